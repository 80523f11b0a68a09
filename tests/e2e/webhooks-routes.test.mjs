// Webhooks as their organisation's members make, change and remove them.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { bearer, call, cookiesOf, ofPage } from "../support/caller.mjs";
import { answer } from "../support/faults.mjs";
import { opened } from "../support/integrations.mjs";
import { createOrganization } from "../support/users.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";
import { startWorker } from "../support/worker.mjs";

const ALL = "/api/webhooks";
const of = (id) => `${ALL}/${id}`;
const replayOf = (id, event) => `${of(id)}/deliveries/${event}/replay`;
const KEYS = ["id", "organization_id", "url", "events", "min_severity", "enabled", "disabled_reason", "previous_secret_ends_at", "created_at"];
const SECRET = /^whsec_[A-Za-z0-9+/]{43}=$/;
const URL_OF_RECEIVER = "https://receiver.example.com/hook?a=b";

describe("webhooks", { concurrency: true }, () => {
  const fixture = workerFixture({ gateway: true, settings: { WEBHOOK_LOOPBACK: undefined } });
  const { info } = fixture;
  let sql, gateway, worker;
  before(() => void ({ sql, gateway, worker } = fixture));

  const add = async (visitor, body = {}) => (await visitor.post(ALL, { url: URL_OF_RECEIVER, ...body })).expect(201).json;
  const row = async (id) => (await sql`select * from public.webhook_endpoints where id = ${id}`)[0];
  /** An event that waits for its delivery; returns its id. */
  async function happened({ id, organization_id }, count = 1) {
    for (let i = 0; i < count; i++) {
      await sql`select private.enqueue_event(${organization_id}, ${randomUUID()}, 'connection.created', '{}')`;
    }
    const [{ event_id }] = await sql`select event_id from public.webhook_deliveries where endpoint_id = ${id} order by position desc limit 1`;
    return event_id;
  }

  it("a webhook is added with a secret that is shown once and stored sealed, and listed without it", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const made = await add(browser);
    assert.deepEqual(Object.keys(made), [...KEYS, "secret"]);
    assert.partialDeepStrictEqual(made, {
      organization_id: browser.user.id, url: URL_OF_RECEIVER, events: null, min_severity: null, enabled: true, disabled_reason: null, previous_secret_ends_at: null,
    });
    assert.match(made.secret, SECRET);
    const stored = await row(made.id);
    assert.deepEqual(await opened(info, stored), { secret: made.secret });
    assert.ok(!JSON.stringify(stored).includes(made.secret.slice(6)));
    await assert.rejects(opened(info, { ...stored, id: randomUUID() }), { fault: "not-authentic" }, "the secret opens in its own row alone");

    const listed = (await browser.get(ALL)).expect(200);
    const { secret, ...shown } = made;
    assert.deepEqual(listed.json, { webhooks: [shown], has_more: false });
    assert.deepEqual(Object.keys(listed.json.webhooks[0]), KEYS);
    assert.ok(!listed.text.includes(secret));
  });

  // Threat model 121.
  it("a webhook stores an internationalised host as its punycode, in the canonical form", async () => {
    const browser = await BrowserSession.signedIn(worker);
    for (const [url, canonical] of [
      ["https://bücher.example/hook", "https://xn--bcher-kva.example/hook"],
      ["https://BÜCHER.example:443/ä", "https://xn--bcher-kva.example/%C3%A4"],
    ]) {
      const made = await add(browser, { url });
      assert.equal(made.url, canonical);
      assert.equal((await row(made.id)).url, canonical);
      const changed = (await browser.patch(of(made.id), { url: "https://пример.рф/" })).expect(200).json;
      assert.equal(changed.url, "https://xn--e1afmkfd.xn--p1ai/");
    }
    for (const url of ["https://ｌｏｃａｌｈｏｓｔ/", "https://①②⑦.0.0.1/", "https://printer.ｌｏｃａｌ/"]) (await browser.post(ALL, { url })).expect(400, "bad_url");
  });

  it("changing a webhook changes only what is named", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const { id } = await add(browser, { events: ["connection.deleted"] });
    const changed = async (body) => {
      const { url, events, enabled } = (await browser.patch(of(id), body)).expect(200).json;
      return [url, events, enabled];
    };
    const other = "https://other.example.com:8443/";
    assert.deepEqual(await changed({ url: other }), [other, ["connection.deleted"], true]);
    assert.deepEqual(await changed({ enabled: false }), [other, ["connection.deleted"], false]);
    assert.deepEqual(await changed({ events: ["connection.created", "connection.refreshed"] }), [
      other, ["connection.created", "connection.refreshed"], false,
    ]);
    assert.deepEqual(await changed({ events: null, enabled: true }), [other, null, true]);
    const shown = (await browser.patch(of(id), { enabled: true })).expect(200);
    assert.deepEqual(Object.keys(shown.json), KEYS);
  });

  it("a webhook reports scans and findings, of those no less severe than it asks for", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const events = [
      "finding.opened", "finding.reopened", "finding.resolved", "finding.mute_ended", "assessment.completed", "assessment.incomplete",
    ];
    const made = await add(browser, { events, min_severity: "high" });
    assert.deepEqual([made.events, made.min_severity], [events, "high"]);
    const severities = ["critical", "high", "medium", "low", "info"];
    for (const severity of severities) {
      await sql`select private.enqueue_event(${browser.user.id}, ${randomUUID()}, 'finding.opened', '{}', ${severity})`;
    }
    await sql`select private.enqueue_event(${browser.user.id}, ${randomUUID()}, 'assessment.completed', '{}')`;
    await sql`select private.enqueue_event(${browser.user.id}, ${randomUUID()}, 'connection.created', '{}')`;
    const { deliveries } = (await browser.get(`${of(made.id)}/deliveries`)).expect(200).json;
    assert.deepEqual(deliveries.map(({ type }) => type), ["assessment.completed", "finding.opened", "finding.opened"]);

    const least = async (body) => (await browser.patch(of(made.id), body)).expect(200).json.min_severity;
    assert.equal(await least({ min_severity: "low" }), "low");
    assert.equal(await least({ enabled: true }), "low");
    assert.equal(await least({ min_severity: null }), null);
    assert.equal((await browser.get(ALL)).json.webhooks[0].min_severity, null);
  });

  it("replacing a webhook's secret leaves the earlier one valid for a day, and no third", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const { id, secret: first } = await add(browser);
    const rotated = (await browser.post(`${of(id)}/secret`, {})).expect(200).json;
    assert.deepEqual(Object.keys(rotated), [...KEYS, "secret"]);
    assert.match(rotated.secret, SECRET);
    assert.notEqual(rotated.secret, first);
    const hours = (Date.parse(rotated.previous_secret_ends_at) - Date.now()) / 3_600_000;
    assert.ok(hours > 23.9 && hours < 24.1);
    assert.deepEqual(await opened(info, await row(id)), { secret: rotated.secret, previous_secret: first });
    const third = (await browser.post(`${of(id)}/secret`, {})).expect(200).json.secret;
    assert.deepEqual(await opened(info, await row(id)), { secret: third, previous_secret: rotated.secret });
  });

  it("several replacements of a secret at once each answer a secret that is, or was, valid", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const { id } = await add(browser);
    const answers = await Promise.all(Array.from({ length: 3 }, () => browser.post(`${of(id)}/secret`, {})));
    const given = answers.filter(({ status }) => status === 200).map(({ json }) => json.secret);
    const { secret, previous_secret } = await opened(info, await row(id));
    assert.ok(given.includes(secret) && (given.length === 1 || given.includes(previous_secret)));
  });

  it("a webhook whose secret's key is lost is restored by another secret", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const { id } = await add(browser);
    await sql`update public.webhook_endpoints set config = config || '{"_enc": {"v": 2, "kid": "0123456789abcdef"}}' where id = ${id}`;
    const rotated = (await browser.post(`${of(id)}/secret`, {})).expect(200).json;
    assert.equal(rotated.previous_secret_ends_at, null);
    assert.deepEqual(await opened(info, await row(id)), { secret: rotated.secret });
  });

  it("deleting a webhook deletes its deliveries", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const made = await add(browser);
    await happened(made);
    assert.deepEqual((await browser.delete(of(made.id))).expect(200).json, { success: true });
    (await browser.delete(of(made.id))).expect(404, "not_found");
    assert.deepEqual((await browser.get(ALL)).expect(200).json, { webhooks: [], has_more: false });
    (await browser.get(`${of(made.id)}/deliveries`)).expect(404, "not_found");
    await sql`select private.clean_up_webhooks()`;
    assert.equal((await sql`select from public.webhook_deliveries where endpoint_id = ${made.id}`).length, 0);
  });

  it("an organization has ten webhooks at the most", async () => {
    const browser = await BrowserSession.signedIn(worker);
    for (let i = 0; i < 10; i++) await add(browser);
    (await browser.post(ALL, { url: URL_OF_RECEIVER })).expect(429, "too_many_webhooks");
  });

  it("a webhook is every member's to manage, and no removed member's", async () => {
    const [one, other, stranger] = await Promise.all([1, 2, 3].map(() => BrowserSession.signedIn(worker)));
    const organization_id = await createOrganization(sql, [one.user, other.user]);
    const { id } = await add(one, { organization_id });
    const query = `?organization_id=${organization_id}`;
    assert.deepEqual((await other.get(`${ALL}${query}`)).expect(200).json.webhooks.map((webhook) => webhook.id), [id]);
    (await other.patch(of(id), { enabled: false })).expect(200);
    (await stranger.post(ALL, { url: URL_OF_RECEIVER, organization_id })).expect(403, "not_a_member");
    assert.deepEqual((await stranger.get(`${ALL}${query}`)).expect(200).json, { webhooks: [], has_more: false });
    await sql`delete from public.organization_members where user_id = ${other.user.id}`;
    (await other.delete(of(id))).expect(404, "not_found");
  });

  // Threat model 16.
  it("every webhook route answers another organization's id byte for byte like one that does not exist", async () => {
    const [owner, stranger] = [await BrowserSession.signedIn(worker), await BrowserSession.signedIn(worker)];
    const made = await add(owner);
    const event = await happened(made);
    const before = await row(made.id);
    for (const ask of [
      (id) => stranger.patch(of(id), { url: "https://mine.example.com" }),
      (id) => stranger.delete(of(id)),
      (id) => stranger.post(`${of(id)}/secret`, {}),
      (id) => stranger.get(`${of(id)}/deliveries`),
      (id) => stranger.post(replayOf(id, event), {}),
    ]) {
      const [foreign, unknown] = [await ask(made.id), await ask(randomUUID())];
      foreign.expect(404, "not_found");
      const bare = ({ status, text, headers }) => ({
        status, text, headers: [...headers].filter(([name]) => !["x-request-id", "date"].includes(name)),
      });
      assert.deepEqual(bare(foreign), bare(unknown));
    }
    assert.deepEqual(await row(made.id), before);
  });

  it("a webhook's deliveries are listed in pages, the newest first, and replayed", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const made = await add(browser);
    await happened(made, 5);
    const page = async (query) => (await browser.get(`${of(made.id)}/deliveries${query}`)).expect(200).json;
    const first = await page("?limit=2");
    assert.deepEqual(Object.keys(first.deliveries[0]), [
      "event_id", "type", "integration_id", "occurred_at", "state", "attempts", "last_attempt_at", "last_status", "last_error", "next_attempt_at",
    ]);
    const second = await page(`?limit=2&cursor=${first.next_cursor}`);
    const third = await page(`?limit=2&cursor=${second.next_cursor}`);
    assert.equal(third.next_cursor, null);
    const ids = [first, second, third].flatMap(({ deliveries }) => deliveries.map(({ event_id }) => event_id));
    const rows = await sql`select event_id from public.webhook_deliveries where endpoint_id = ${made.id} order by position desc`;
    assert.deepEqual(ids, rows.map(({ event_id }) => event_id));

    await sql`update public.webhook_deliveries set state = 'delivered' where endpoint_id = ${made.id}`;
    const replayed = (await browser.post(replayOf(made.id, ids[4]), {})).expect(202);
    assert.deepEqual(replayed.json, { event_id: ids[4], state: "pending" });
    const { deliveries } = await page("");
    assert.deepEqual([deliveries[0].event_id, deliveries[0].state, deliveries[1].state], [ids[4], "pending", "delivered"]);
    (await browser.post(replayOf(made.id, randomUUID()), {})).expect(404, "not_found");
    (await browser.patch(of(made.id), { enabled: false })).expect(200);
    (await browser.post(replayOf(made.id, ids[4]), {})).expect(409, "webhook_disabled");
  });

  it("private, local and malformed addresses are rejected, at adding and at changing", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const { id } = await add(browser);
    for (const url of [
      "http://receiver.example.com", "https://localhost", "https://127.0.0.1", "https://127.1", "https://2130706433", "https://0x7f.1",
      "https://0177.0.0.1", "https://10.0.0.1", "https://192.168.1.1", "https://172.20.0.1", "https://169.254.169.254/latest/meta-data",
      "https://100.64.0.1", "https://0.0.0.0", "https://224.0.0.1", "https://[::1]", "https://[::]", "https://[::ffff:10.0.0.1]",
      "https://[fd00::1]", "https://[fe80::1]", "https://[ff02::1]", "https://printer.local", "https://a.internal", "https://intranet",
      "https://user@receiver.example.com", "https://user:pass@receiver.example.com", "https://receiver.example.com:22", "https://receiver.example.com#x",
      "https://①②⑦.0.0.1", "javascript:alert(1)", "//receiver.example.com", "", `https://receiver.example.com/${"x".repeat(2048)}`,
    ]) {
      (await browser.post(ALL, { url })).expect(400, "bad_url");
      (await browser.patch(of(id), { url })).expect(400, "bad_url");
    }
    assert.equal((await row(id)).url, URL_OF_RECEIVER);
  });

  // Threat model 30.
  it("webhook routes answer 400 to anything but the documented bodies and queries, and nothing changes", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const { id } = await add(browser);
    const before = await row(id);
    const url = URL_OF_RECEIVER;
    for (const body of [
      {}, [], null, { url: 7 }, { url: null }, { url, events: [] }, { url, events: ["connection.planted"] }, { url, events: "connection.created" },
      { url, events: ["connection.created", "connection.created"] }, { url, events: [null] }, { url, secret: "whsec_x" }, { url, enabled: false },
      { url, organization_id: "x" }, { url, organization_id: null }, { url, min_severity: "HIGH" }, { url, min_severity: 1 }, { url, min_severity: "" }, { url, events: ["finding.planted"] },
    ]) {
      (await browser.post(ALL, body)).expect(400, "invalid_request");
    }
    for (const body of [
      {}, [], { url: null }, { enabled: "yes" }, { enabled: null }, { events: [] }, { events: ["planted"] }, { secret: "x" }, { enabled: true, id }, { min_severity: "planted" }, { min_severity: 3 },
    ]) {
      (await browser.patch(of(id), body)).expect(400, "invalid_request");
    }
    for (const path of [
      `${ALL}?organization_id=x`, `${ALL}?organization_id=${id}&organization_id=${id}`, `${ALL}?limit=1`, `${of(id)}/deliveries?cursor=x`,
      `${of(id)}/deliveries?limit=0`, `${of("x")}/deliveries`, `${of(`${id}%26or=(id.gt.0)`)}/deliveries`,
    ]) {
      (await browser.get(path)).expect(400, "invalid_request");
    }
    (await browser.post(replayOf(id, "x"), {})).expect(400, "invalid_request");
    (await browser.patch(of("x"), { enabled: true })).expect(400, "invalid_request");
    assert.deepEqual(await row(id), before);
    (await browser.get(of(id))).expect(405, "method_not_allowed");
  });

  // Threat model 28.
  it("webhook routes reject another site's page, a form, and requests without a session", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const { id } = await add(browser);
    const ours = ofPage(worker, cookiesOf(browser));
    for (const [method, path, body] of [
      ["POST", ALL, JSON.stringify({ url: URL_OF_RECEIVER })], ["PATCH", of(id), '{"enabled":false}'], ["DELETE", of(id)],
      ["POST", `${of(id)}/secret`, "{}"], ["POST", replayOf(id, randomUUID()), "{}"],
    ]) {
      for (const over of [{ origin: "https://evil.example" }, { origin: "null" }, { "sec-fetch-site": "cross-site" }]) {
        (await call(worker, method, path, { headers: { ...ours, ...over }, body })).expect(403, "forbidden");
      }
      if (body) (await call(worker, method, path, { headers: { ...ours, "content-type": "text/plain" }, body })).expect(403, "forbidden");
      (await call(worker, method, path, { headers: { "content-type": "application/json" }, body })).expect(401, "unauthorized");
    }
    for (const path of [ALL, `${of(id)}/deliveries`]) (await call(worker, "GET", path)).expect(401, "unauthorized");
    assert.equal((await row(id)).enabled, true);
    const headers = bearer(browser.user.access_token);
    (await call(worker, "POST", ALL, { headers, body: { url: URL_OF_RECEIVER } })).expect(201);
  });

  // Threat model 31.
  it("webhook routes answer a failing database neither as success nor with its words", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const { id } = await add(browser);
    const mine = (request) => request.path.includes(id) || request.body.includes(id) || request.body.includes(browser.user.id);
    for (const [behaviour, status] of [
      [answer(500, "planted"), 503], [answer(200, "<html>planted", { "content-type": "text/html" }), 502], [answer(401, { message: "planted" }), 502],
    ]) {
      const restore = gateway.fault(mine, behaviour);
      for (const asked of [
        await browser.post(ALL, { url: URL_OF_RECEIVER }), await browser.patch(of(id), { enabled: false }), await browser.delete(of(id)),
        await browser.post(`${of(id)}/secret`, {}), await browser.get(`${of(id)}/deliveries`), await browser.post(replayOf(id, randomUUID()), {}),
      ]) {
        assert.equal(asked.status, status, asked.text);
        assert.ok(!asked.all.includes("planted") && !asked.all.includes("whsec_"));
      }
      restore();
    }
    (await browser.patch(of(id), { enabled: true })).expect(200);
  });

  it("loopback is accepted as a receiver only if the app itself is on it", async (t) => {
    const local = await startWorker(info);
    t.after(local.stop);
    const browser = await BrowserSession.signedIn(local);
    for (const url of ["http://localhost:4000/hook", "http://127.0.0.1:4000", "http://[::1]:4000/"]) await add(browser, { url });
    for (const url of ["http://receiver.example.com", "http://10.0.0.1", "http://127.0.0.2"]) (await browser.post(ALL, { url })).expect(400, "bad_url");
    const deployed = await startWorker(info, { APP_URL: "https://edge.example" });
    t.after(deployed.stop);
    (await call(deployed, "GET", "/health")).expect(500);
    await deployed.logged(/WEBHOOK_LOOPBACK environment variable is not allowed/);
  });
});
