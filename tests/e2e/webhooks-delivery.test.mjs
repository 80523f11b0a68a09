// Webhooks as a receiver gets them: signed, in order, at least once, until it takes them. On a stack of its own: a run of the schedule
// delivers whatever is due.
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { afterEach, beforeEach, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";

import { Webhook } from "standardwebhooks";

import { keyId, seal, unwrap, wrap } from "../format/format.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { answer } from "../support/faults.mjs";
import { NIL, dataKeysOf, opened } from "../support/integrations.mjs";
import { ownStackFixture } from "../support/own-stack.mjs";
import { startReceiver, status } from "../support/receiver.mjs";
import { redemptionOf, refresh, setTokenExpiry, tokensOf } from "../support/refresh.mjs";
import { SecretCanaries } from "../support/secret-canaries.mjs";
import { operatorsProgram } from "../support/service-keys.mjs";

const ALL = "/api/webhooks";

describe("a webhook", () => {
  const fixture = ownStackFixture("webhooks-delivery");
  const { start } = fixture;
  let receiver;
  beforeEach(async () => {
    receiver = await startReceiver();
  });
  afterEach(() => receiver.stop());

  /** A new user with a webhook: `{ browser, webhook, organization }`. */
  async function owner(body = {}) {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const webhook = (await browser.post(ALL, { url: receiver.url, ...body })).expect(201).json;
    return { browser, webhook, organization: browser.user.id };
  }
  const run = () => fixture.worker.scheduled();
  const types = (events) => events.map(({ type }) => type.replace("connection.", ""));
  const deliveries = async ({ browser, webhook }) => (await browser.get(`${ALL}/${webhook.id}/deliveries`)).expect(200).json.deliveries;
  /** Lets every back-off be over. */
  const expireBackoff = async () => {
    await fixture.sql`update public.webhook_deliveries set next_attempt_at = now() where state = 'pending'`;
    await fixture.sql`update public.webhook_endpoints set rests_until = now()`;
  };
  /** Something that happened to an integration of the organisation. */
  const happened = ({ organization }, integration = randomUUID(), data = {}) =>
    fixture.sql`select private.enqueue_event(${organization}, ${integration}, 'connection.refreshed', ${fixture.sql.json({ integration_id: integration, ...data })})`;

  it("webhooks report a connection from beginning to end, signed, in order, and nothing of its credentials", async () => {
    const mine = await owner();
    const { browser, webhook } = mine;
    const began = Date.now();
    const login = `told-${randomUUID()}`;
    const id = await browser.connect(login);
    const secrets = [await tokensOf(fixture, id)];
    await browser.connect(login);
    secrets.push(await tokensOf(fixture, id));
    (await refresh({ browser, id })).expect(200);
    secrets.push(await tokensOf(fixture, id));
    await fixture.sql`update public.credential_leases set settled_at = settled_at - interval '1 hour'`;
    let restore = fixture.server.fault(redemptionOf(secrets[2].refresh_token), answer(500));
    (await refresh({ browser, id })).expect(502);
    restore();
    await fixture.sql`update public.credential_leases set failed_at = null, unknown_outcomes = 0`;
    restore = fixture.server.fault(redemptionOf(secrets[2].refresh_token), answer(400, { error: "invalid_grant" }));
    (await refresh({ browser, id })).expect(200);
    restore();
    (await browser.delete(`/api/integrations/${id}`)).expect(200);
    assert.deepEqual(receiver.requests, [], "the schedule delivers");

    await run();
    const events = receiver.events(webhook.secret);
    assert.deepEqual(types(events), ["created", "reconnected", "refreshed", "refresh_failed", "reconnect_required", "deleted"]);
    for (const { data, timestamp, id: event } of events) {
      assert.deepEqual([data.integration_id, data.organization_id, data.integration_type, data.name], [id, browser.user.id, "supabase", login]);
      assert.ok(Date.parse(timestamp) >= began - 1000 && Date.parse(timestamp) <= Date.now());
      assert.match(event, /^[0-9a-f-]{36}$/);
    }
    assert.deepEqual(events.map(({ data }) => data.reason), [null, null, null, "outcome_unknown", "invalid_grant", null]);
    assert.equal(new Set(events.map((event) => event.id)).size, 6);
    const [{ headers, path: to, body }] = receiver.requests;
    assert.equal(to, "/hook?from=edge");
    assert.equal(headers["content-type"], "application/json");
    assert.deepEqual(Object.keys(JSON.parse(body)), ["type", "timestamp", "data"]);
    assert.deepEqual((await deliveries(mine)).map(({ state, attempts, last_status, last_error }) => [state, attempts, last_status, last_error]),
      Array(6).fill(["delivered", 1, 204, null]));
    await run();
    assert.equal(receiver.requests.length, 6, "what was taken is not sent again");

    const canaries = new SecretCanaries();
    secrets.forEach(({ access_token, refresh_token }, i) => canaries.add({ [`access ${i}`]: access_token, [`refresh ${i}`]: refresh_token }));
    canaries.add({ secret: webhook.secret.slice(6), key: fixture.info.encryption_key });
    assert.deepEqual(canaries.in(JSON.stringify(receiver.requests)), []);
    assert.deepEqual(canaries.in(JSON.stringify(fixture.worker.logs())), []);
    const [{ outbox }] = await fixture.sql`
      select (select jsonb_agg(to_jsonb(w)) from private.webhook_events w)::text || (select jsonb_agg(to_jsonb(d)) from public.webhook_deliveries d)::text
        || (select jsonb_agg(to_jsonb(e)) from public.webhook_endpoints e)::text as outbox`;
    assert.deepEqual(canaries.in(outbox), []);
  });

  it("a webhook gets nothing that it did not ask for", async () => {
    const { browser, webhook } = await owner({ events: ["connection.deleted"] });
    const id = await browser.connect(`some-${randomUUID()}`);
    (await browser.delete(`/api/integrations/${id}`)).expect(200);
    await run();
    assert.deepEqual(types(receiver.events(webhook.secret)), ["deleted"]);
  });

  it("a webhook verifies with either secret for a day after a replacement, then with the new one alone", async () => {
    const mine = await owner();
    const { browser, webhook } = mine;
    const { secret } = (await browser.post(`${ALL}/${webhook.id}/secret`, {})).expect(200).json;
    await happened(mine);
    await run();
    assert.equal(receiver.requests[0].headers["webhook-signature"].split(" ").length, 2);
    for (const one of [webhook.secret, secret]) assert.equal(receiver.events(one).length, 1);
    assert.throws(() => new Webhook(`whsec_${randomBytes(32).toString("base64")}`).verify(receiver.requests[0].body, receiver.requests[0].headers));
    await fixture.sql`update public.webhook_endpoints set previous_secret_ends_at = now() where id = ${webhook.id}`;
    receiver.requests.length = 0;
    await happened(mine);
    await run();
    assert.equal(receiver.events(secret).length, 1);
    assert.throws(() => receiver.events(webhook.secret));
    await run();
    const [row] = await fixture.sql`select * from public.webhook_endpoints where id = ${webhook.id}`;
    assert.deepEqual(await opened(fixture.info, row), { secret }, "the earlier one is forgotten");
  });

  it("webhooks wait while their receiver is down, and are then delivered in order", async () => {
    const mine = await owner();
    const [one, two] = [randomUUID(), randomUUID()];
    for (let n = 0; n < 3; n++) for (const integration of [one, two]) await happened(mine, integration, { n });
    await receiver.stop();
    await run();
    await expireBackoff();
    await run();
    const waiting = await deliveries(mine);
    assert.deepEqual([...new Set(waiting.map(({ state }) => state))], ["pending"]);
    const failed = waiting.filter(({ attempts }) => attempts > 0);
    assert.ok(failed.length >= 1 && failed.length <= 2, "only the first of each integration was tried");
    assert.ok(failed.every(({ last_error, last_status }) => last_error === "unreachable" && last_status === null));

    await receiver.start();
    await expireBackoff();
    await run();
    for (const integration of [one, two]) {
      assert.deepEqual(receiver.events(mine.webhook.secret, integration).map(({ data }) => data.n), [0, 1, 2]);
    }
    assert.ok((await deliveries(mine)).every(({ state }) => state === "delivered"));
  });

  it("a retried webhook is signed anew with the time of each attempt, under the same id", async () => {
    const mine = await owner();
    receiver.answer(status(503));
    await happened(mine);
    await run();
    const [{ next_attempt_at, last_status, last_error }] = await deliveries(mine);
    assert.deepEqual([last_status, last_error], [503, "status"]);
    const wait = Date.parse(next_attempt_at) - Date.now();
    assert.ok(wait > 15_000 && wait <= 30_000, `${wait} ms`);
    receiver.answer(undefined);
    await expireBackoff();
    // The signed time is in whole seconds of the real clock.
    await delay(1100);
    await run();
    const [first, second] = receiver.events(mine.webhook.secret);
    assert.equal(first.id, second.id);
    const [{ headers: before }, { headers: after }] = receiver.requests;
    assert.ok(Number(after["webhook-timestamp"]) > Number(before["webhook-timestamp"]));
  });

  it("a webhook waits as long as the receiver asks", async () => {
    const mine = await owner();
    receiver.answer(status(429, { "retry-after": "3600" }));
    await happened(mine);
    await run();
    const [{ next_attempt_at }] = await deliveries(mine);
    const wait = Date.parse(next_attempt_at) - Date.now();
    assert.ok(wait > 3_500_000 && wait < 3_700_000, `${wait} ms`);
  });

  it("a webhook does not follow a redirect: that is a failure", async () => {
    const mine = await owner();
    const other = await startReceiver();
    for (const code of [301, 302, 303, 307, 308]) {
      receiver.answer(status(code, { location: other.url }));
      await happened(mine);
      await run();
      const [{ state, last_error, last_status }] = await deliveries(mine);
      assert.deepEqual([state, last_error, last_status], ["pending", "redirect", code]);
    }
    await other.stop();
    assert.deepEqual(other.requests, []);
  });

  it("a webhook takes a success from the status alone, however long the answer's body", async () => {
    const mine = await owner();
    receiver.answer((_, response) => {
      response.writeHead(200, { "content-type": "text/html" });
      // Without end, until the worker has had enough.
      const timer = setInterval(() => response.write("x".repeat(65_536)), 5);
      response.once("close", () => clearInterval(timer));
    });
    await happened(mine);
    const begun = Date.now();
    await run();
    assert.ok(Date.now() - begun < 5000);
    assert.equal((await deliveries(mine))[0].state, "delivered");
  });

  it("a webhook gives a receiver that does not answer ten seconds", async () => {
    const mine = await owner();
    receiver.answer(() => {});
    await happened(mine);
    const begun = Date.now();
    await run();
    const took = Date.now() - begun;
    assert.ok(took > 9000 && took < 15_000, `${took} ms`);
    assert.equal((await deliveries(mine))[0].last_error, "timeout");
  });

  it("a webhook is disabled by a 410, and delivers what is new once it is enabled again", async () => {
    const mine = await owner();
    const { browser, webhook } = mine;
    receiver.answer(status(410));
    await happened(mine);
    await run();
    const [shown] = (await browser.get(ALL)).expect(200).json.webhooks;
    assert.deepEqual([shown.enabled, shown.disabled_reason], [false, "gone"]);
    assert.equal((await deliveries(mine))[0].state, "failed");
    await happened(mine);
    receiver.answer(undefined);
    receiver.requests.length = 0;
    await run();
    assert.equal(receiver.requests.length, 0, "nothing is written for an endpoint that is disabled");
    (await browser.patch(`${ALL}/${webhook.id}`, { enabled: true })).expect(200);
    await happened(mine);
    await run();
    assert.equal(receiver.events(webhook.secret).length, 1);
  });

  it("a webhook is replayed on request, under the same id", async () => {
    const mine = await owner();
    await happened(mine);
    await run();
    const [{ event_id }] = await deliveries(mine);
    (await mine.browser.post(`${ALL}/${mine.webhook.id}/deliveries/${event_id}/replay`, {})).expect(202);
    await run();
    assert.deepEqual(receiver.events(mine.webhook.secret).map(({ id }) => id), [event_id, event_id]);
    assert.equal(receiver.requests[0].body, receiver.requests[1].body);
  });

  it("a webhook is not delayed by another organization's dead receiver", async () => {
    const dead = await startReceiver();
    dead.answer(() => {});
    const [bad, good] = [await owner({ url: dead.url }), await owner()];
    for (let i = 0; i < 20; i++) await happened(bad);
    for (let i = 0; i < 20; i++) await happened(good);
    const begun = Date.now();
    await run();
    const took = Date.now() - begun;
    await dead.stop();
    assert.equal(receiver.requests.length, 20);
    assert.ok(dead.requests.length <= 6, `${dead.requests.length} attempts`);
    assert.ok(took < 25_000, `${took} ms`);
    const attempts = (await deliveries(bad)).map((delivery) => delivery.attempts);
    assert.equal(attempts.filter((n) => n > 0).length, dead.requests.length, "the others were given back");
  });

  it("a webhook is sent once by several runs at the same time", async () => {
    const mine = await owner();
    for (let i = 0; i < 300; i++) await happened(mine);
    const second = await start();
    await Promise.all([run(), second.scheduled(), run()]);
    for (let runs = 0; receiver.requests.length < 300 && runs < 5; runs++) await run();
    const ids = receiver.requests.map(({ headers }) => headers["webhook-id"]);
    assert.deepEqual([ids.length, new Set(ids).size], [300, 300]);
  });

  it("a webhook whose delivery could not be stored is sent again: at least once", async () => {
    const mine = await owner();
    await happened(mine);
    const restore = fixture.gateway.fault("/rest/v1/rpc/settle_webhook_deliveries", answer(503));
    await run();
    restore();
    await fixture.worker.logged(/"route":"scheduled: webhooks"/);
    assert.equal(receiver.requests.length, 1);
    await run();
    assert.equal(receiver.requests.length, 1, "its claim has not ended");
    await fixture.sql`update public.webhook_deliveries set leased_until = now()`;
    await run();
    const ids = receiver.requests.map(({ headers }) => headers["webhook-id"]);
    assert.deepEqual([ids.length, new Set(ids).size], [2, 1]);
  });

  it("a worker that is not on this machine sends no webhook to it", async () => {
    const mine = await owner();
    await happened(mine);
    const deployed = await start({ APP_URL: "https://edge.example", WEBHOOK_LOOPBACK: undefined });
    await deployed.scheduled();
    assert.equal(receiver.requests.length, 0);
    assert.equal((await deliveries(mine))[0].last_error, "refused");
  });

  it("a scheduled refresh is reported in the same run", async () => {
    const mine = await owner({ events: ["connection.refreshed"] });
    const id = await mine.browser.connect(`swept-${randomUUID()}`);
    await setTokenExpiry(fixture, id, 60);
    await run();
    assert.deepEqual(types(receiver.events(mine.webhook.secret, id)), ["refreshed"]);
  });

  describe("in a rotation of the key", () => {
    it("the schedule moves webhook secrets and the secrets of OAuth apps to the new key, and they sign as before", async (t) => {
      const [mine, operators] = [await owner(), await startReceiver()];
      t.after(() => operators.stop());
      const secrets = { client_secret: `new-${randomUUID()}`, fallback_client_secret: `former-${randomUUID()}` };
      const client = { integration_type: "supabase", name: "Ours", client_id: randomUUID(), client_secret: secrets.fallback_client_secret };
      const { id: app } = (await mine.browser.post("/api/oauth-apps", client)).expect(201).json;
      (await mine.browser.patch(`/api/oauth-apps/${app}`, { client_secret: secrets.client_secret })).expect(200);
      const rotated = (await mine.browser.post(`${ALL}/${mine.webhook.id}/secret`, {})).expect(200).json;
      // Threat model 222.
      const operator = await operatorsProgram(fixture.sql, fixture.worker, "webhooks:manage");
      (await operator.post(ALL, { url: receiver.url })).expect(400, "invalid_request");
      const wide = (await operator.post(ALL, { url: operators.url, organization_id: null })).expect(201).json;
      assert.equal(wide.organization_id, null);
      const [{ config }] = await fixture.sql`select config from public.webhook_endpoints where id = ${wide.id}`;
      assert.deepEqual(config._enc, { v: 3, kid: (await dataKeysOf(fixture.info, NIL))[0].kid });
      (await mine.browser.get(`${ALL}/${wide.id}/deliveries`)).expect(404, "not_found");
      const key = randomBytes(32);
      const newer = await start({ ENCRYPTION_KEY: key.toString("base64"), FALLBACK_ENCRYPTION_KEYS: fixture.info.encryption_key });
      const ring = Buffer.from(fixture.info.encryption_key, "base64");
      const old = keyId(ring);
      const [endpoints, [owned]] = [
        await fixture.sql`select * from public.webhook_endpoints where id in ${fixture.sql([mine.webhook.id, wide.id])}`,
        await fixture.sql`select * from private.oauth_apps where id = ${app}`,
      ];
      // As an earlier version of the worker sealed them.
      for (const [table, row] of [...endpoints.map((row) => ["public.webhook_endpoints", row]), ["private.oauth_apps", owned]]) {
        const place = { organization_id: row.organization_id ?? NIL, integration_id: row.id };
        const config = seal(ring, place, await opened(fixture.info, row), () => randomBytes(12));
        await fixture.sql`update ${fixture.sql(table)} set config = ${fixture.sql.json(config)} where id = ${row.id}`;
      }
      const [{ count }] = await fixture.sql`select count(*)::int from private.data_keys`;
      const newcomer = await BrowserSession.signedIn(fixture.worker);
      const [{ fence }] = await fixture.sql`select public.declare_fence(array[${keyId(key)}]) ->> 'fence' as fence`;
      const retire = async () => (await fixture.sql`select public.retire_key(${old}, ${fence}) as answer`)[0].answer;
      try {
        assert.deepEqual(await retire(), { outcome: "needed", tables: { webhook_endpoints: 2, oauth_apps: 1, data_keys: count } });
        (await newcomer.post(ALL, { url: receiver.url })).expect(503);
        await happened(mine, randomUUID(), { organization_id: mine.organization });
        await newer.scheduled();
        for (const secret of [mine.webhook.secret, rotated.secret]) assert.equal(receiver.events(secret).length, 1);
        assert.deepEqual(operators.events(wide.secret).map(({ data }) => data.organization_id), [mine.organization]);
        const [row] = await fixture.sql`select * from public.webhook_endpoints where id = ${mine.webhook.id}`;
        const [{ kid }] = await dataKeysOf(fixture.info, mine.organization);
        assert.deepEqual(row.config._enc, { v: 3, kid });
        assert.deepEqual(await opened(fixture.info, row), {
          secret: rotated.secret, previous_secret: mine.webhook.secret,
        });
        const [moved] = await fixture.sql`select * from private.oauth_apps where id = ${app}`;
        assert.deepEqual(moved.config._enc, { v: 3, kid });
        assert.deepEqual(await opened(fixture.info, moved), secrets);
        await fixture.sql`delete from public.integrations`;
        assert.deepEqual(await retire(), { outcome: "needed", tables: { data_keys: count } });
        const rewrapped = (await fixture.sql`select * from private.data_keys`).map((row) => ({
          ...wrap(key, row.organization_id, unwrap([ring], row), randomBytes(12)), read: row.wrapped,
        }));
        await fixture.sql`select public.rewrap_data_keys(${fixture.sql.json(rewrapped)})`;
        assert.deepEqual(await retire(), { outcome: "retired" });
      } finally {
        await fixture.sql`delete from public.webhook_endpoints where id = ${wide.id}`;
        await fixture.sql`select public.lift_fence()`;
        // The file's worker does not have the new key.
        await fixture.sql`delete from private.data_keys`;
        await fixture.sql`delete from public.key_registry`;
      }
    });
  });
});
