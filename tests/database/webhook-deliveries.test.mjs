// Deliveries: claimed by one at a time, in order, with a back-off of three days, and one endpoint never in another's way.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";

import { call, startServer } from "./support.mjs";
import { deliveriesOf, endpointOf, secrets } from "./webhooks.mjs";

const HOUR_MS = 3_600_000;

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());
afterEach(() => owner`delete from public.webhook_endpoints`);

const endpoint = (over) => endpointOf(service, randomUUID(), over);
/** Writes so many events of an integration; returns its id. */
async function happened({ organization }, count = 1, integration = randomUUID()) {
  for (let i = 0; i < count; i++) {
    await owner`select private.enqueue_event(${organization}, ${integration}, 'connection.refreshed', ${owner.json({ i })})`;
  }
  return integration;
}
const claim = async (p_limit = 100, { p_owner = randomUUID(), ...over } = {}) => {
  const { outcome, deliveries } = await call(service, "claim_webhook_deliveries", { p_owner, p_limit, ...over });
  assert.equal(outcome, "claimed");
  return deliveries.map((delivery) => ({ ...delivery, owner: p_owner }));
};
const settle = ({ owner: p_owner, endpoint_id, event_id }, result = { status: 200 }) =>
  call(service, "settle_webhook_deliveries", { p_owner, p_results: service.json([{ endpoint_id, event_id, ...result }]) });
const FAILED = { status: 500, error: "status" };
const of = async ({ endpoint_id, event_id }) =>
  (await owner`select * from public.webhook_deliveries where endpoint_id = ${endpoint_id} and event_id = ${event_id}`)[0];
const due = () => owner`update public.webhook_deliveries set next_attempt_at = now() where state = 'pending'`;
const endpointRow = async ({ id }) => (await owner`select * from public.webhook_endpoints where id = ${id}`)[0];

describe("a claim", () => {
  test("a claim of deliveries has all that is needed to send them", async () => {
    const made = await endpoint();
    const integration = await happened(made);
    const [claimed, ...others] = await claim();
    assert.deepEqual(others, []);
    const [{ event_id, occurred_at }] = await deliveriesOf(owner, integration);
    assert.equal(Date.parse(claimed.occurred_at), occurred_at.getTime());
    assert.deepEqual({ ...claimed, occurred_at: null, owner: null }, {
      endpoint_id: made.id, organization_id: made.organization, url: "https://receiver.example.com/hook", config: secrets(), both: false, slow: true,
      event_id, type: "connection.refreshed", occurred_at: null, data: { i: 0 }, owner: null,
    });
  });

  test("one of many claims at once gets a delivery", async () => {
    const made = await endpoint();
    for (let i = 0; i < 60; i++) await happened(made);
    const many = project.connect("authenticator", { role: "service_role" }, 20);
    await Promise.all(Array.from({ length: 20 }, () => many`select pg_sleep(0.1)`));
    const ids = [];
    const work = async () => {
      const p_owner = randomUUID();
      for (;;) {
        const { deliveries } = await call(many, "claim_webhook_deliveries", { p_owner, p_limit: 10 });
        if (deliveries.length === 0) return;
        ids.push(...deliveries.map(({ event_id }) => event_id));
        const p_results = deliveries.map(({ endpoint_id, event_id }) => ({ endpoint_id, event_id, status: 200 }));
        await call(many, "settle_webhook_deliveries", { p_owner, p_results: many.json(p_results) });
      }
    };
    await Promise.all(Array.from({ length: 20 }, work));
    await work();
    assert.deepEqual([ids.length, new Set(ids).size], [60, 60]);
  });

  test("a claim leaves no more than ten deliveries in flight to one endpoint", async () => {
    const made = await endpoint();
    for (let i = 0; i < 12; i++) await happened(made);
    const [first, ...others] = await claim();
    assert.equal(others.length, 9);
    assert.equal((await claim()).length, 0);
    await settle(first);
    assert.equal((await claim()).length, 1);
  });

  test("a delivery that is not settled can be claimed again after two minutes", async () => {
    const made = await endpoint();
    await happened(made);
    const [first] = await claim();
    assert.deepEqual(await claim(), []);
    await owner`update public.webhook_deliveries set leased_until = now()`;
    const [second] = await claim();
    assert.equal(second.event_id, first.event_id);
    await settle(first, FAILED);
    assert.equal((await of(second)).attempts, 0, "whoever lost the lease settles nothing");
    await settle(second);
    assert.equal((await of(second)).state, "delivered");
    await settle(second, FAILED);
    assert.equal((await of(second)).state, "delivered", "a repeated settling changes nothing");
  });

  test("a delivery that is given back is due at once, and was no attempt", async () => {
    await happened(await endpoint());
    const [first] = await claim();
    await settle(first, { error: "released" });
    const { attempts, last_error } = await of(first);
    assert.deepEqual([attempts, last_error], [0, null]);
    assert.equal((await claim()).length, 1);
  });

  test("a claim skips an endpoint that is disabled or named to be skipped", async () => {
    const [off, skipped, good] = [await endpoint(), await endpoint(), await endpoint()];
    for (const made of [off, skipped, good]) await happened(made);
    await owner`update public.webhook_endpoints set enabled = false where id = ${off.id}`;
    const claimed = await claim(100, { p_skip: [skipped.id] });
    assert.deepEqual(claimed.map(({ endpoint_id }) => endpoint_id), [good.id]);
  });

  test("a claim hands out both secrets until the earlier one ends", async () => {
    const made = await endpoint();
    for (const [ends, both] of [["1 hour", true], ["-1 second", false]]) {
      await owner`update public.webhook_endpoints set previous_secret_ends_at = now() + ${ends}::interval where id = ${made.id}`;
      await happened(made);
      const [claimed] = await claim();
      assert.equal(claimed.both, both);
      await settle(claimed);
    }
  });

  test("a claim of deliveries rejects arguments out of bounds", async () => {
    for (const over of [{ p_limit: 0 }, { p_limit: 101 }, { p_limit: null }, { p_owner: null }, { p_skip: null }, { p_slow: null }, { p_slow: -1 }]) {
      await assert.rejects(call(service, "claim_webhook_deliveries", { p_owner: randomUUID(), p_limit: 1, ...over }), { code: "22023" });
    }
    await assert.rejects(settle({ owner: null }), { code: "22023" });
    const p_results = service.json(Array(101).fill({}));
    await assert.rejects(call(service, "settle_webhook_deliveries", { p_owner: randomUUID(), p_results }), { code: "22023" });
  });
});

describe("order", () => {
  test("an integration's later event waits until the earlier one is delivered", async () => {
    const made = await endpoint();
    const integration = await happened(made, 3);
    const other = await happened(made, 1);
    const ids = (await deliveriesOf(owner, integration)).map(({ event_id }) => event_id);
    const heard = [];
    for (let turn = 0; turn < 3; turn++) {
      const claimed = await claim();
      const [mine] = claimed.filter(({ event_id }) => ids.includes(event_id));
      assert.equal(claimed.length, turn === 0 ? 2 : 1, "the other integration's does not wait");
      assert.deepEqual(await claim(), [], "nor while it is on its way");
      heard.push(mine.event_id);
      for (const one of claimed) await settle(one);
    }
    assert.deepEqual(heard, ids);
    assert.equal((await deliveriesOf(owner, other))[0].state, "delivered");
  });

  test("an integration's later event waits while the earlier one backs off, and is due once that is given up", async () => {
    const made = await endpoint();
    const integration = await happened(made, 2);
    const [first] = await claim();
    await settle(first, FAILED);
    assert.deepEqual(await claim(), []);
    await owner`update public.webhook_deliveries set expires_at = now() where event_id = ${first.event_id}`;
    await call(service, "clean_up", { p_event_days: 400 });
    const [second] = await claim();
    const [, { event_id }] = await deliveriesOf(owner, integration);
    assert.equal(second.event_id, event_id);
    assert.equal((await of(first)).state, "failed");
  });

  test("another endpoint of the organization does not wait for an earlier event", async () => {
    const made = await endpoint();
    const other = await endpointOf(service, made.organization);
    await happened(made, 2);
    for (const one of await claim()) await settle(one, one.endpoint_id === made.id ? FAILED : { status: 204 });
    const [next, ...more] = await claim();
    assert.deepEqual([next.endpoint_id, more.length], [other.id, 0]);
  });
});

describe("a failure", () => {
  test("a failed delivery is retried ten times in three days, then given up", async () => {
    const made = await endpoint();
    await happened(made);
    let elapsed = 0;
    let attempts = 0;
    let last;
    for (;;) {
      const [claimed] = await claim();
      if (!claimed) break;
      await settle(claimed, FAILED);
      attempts++;
      last = await of(claimed);
      if (last.state !== "pending") break;
      const pause = last.next_attempt_at - Date.now();
      elapsed += pause;
      // As if the pause had passed.
      await owner`
        update public.webhook_deliveries
        set next_attempt_at = now(), expires_at = expires_at - make_interval(secs => ${pause / 1000}) where event_id = ${claimed.event_id}`;
    }
    assert.deepEqual([last.state, last.last_status, last.last_error, last.attempts], ["failed", 500, "status", attempts]);
    assert.ok(attempts >= 9 && attempts <= 11, `${attempts} attempts`);
    assert.ok(elapsed > 48 * HOUR_MS && elapsed < 72 * HOUR_MS, `${elapsed / HOUR_MS} hours`);
  });

  test("a failed delivery waits as long as the receiver asks, a day at the most", async () => {
    const made = await endpoint();
    for (const [retry_after, atLeast] of [[3600, 3600], [10_000_000, 86_400]]) {
      await happened(made);
      const [claimed] = await claim();
      await settle(claimed, { ...FAILED, retry_after });
      const wait = ((await of(claimed)).next_attempt_at - Date.now()) / 1000;
      assert.ok(Math.abs(wait - atLeast) < 60, `${wait} s`);
    }
  });

  test("a failed delivery puts its endpoint behind the others, with one delivery, until it succeeds", async () => {
    const [bad, good] = [await endpoint(), await endpoint()];
    for (let i = 0; i < 20; i++) await happened(bad);
    const [first] = await claim(1);
    await settle(first, { error: "timeout" });
    assert.ok((await endpointRow(bad)).failing_since);
    for (let i = 0; i < 3; i++) await happened(good);
    const claimed = await claim();
    assert.deepEqual(claimed.map(({ endpoint_id }) => endpoint_id).filter((id) => id === bad.id).length, 1);
    assert.equal((await claim()).length, 0, "nor another while that is on its way");
    for (const one of claimed) await settle(one);
    assert.equal((await endpointRow(bad)).failing_since, null);
    assert.equal((await claim()).length, 10, "as many as an endpoint has in a claim");
  });

  test("a failing endpoint does not come first where the claim has no room", async () => {
    const [bad, good] = [await endpoint(), await endpoint()];
    await happened(bad);
    await owner`update public.webhook_endpoints set failing_since = now() where id = ${bad.id}`;
    await happened(good);
    assert.deepEqual((await claim(1)).map(({ endpoint_id }) => endpoint_id), [good.id]);
  });

  test("after an outage what waited is due at the first success, but one event that fails keeps waiting", async () => {
    const made = await endpoint();
    const fail = async () => {
      const [claimed] = await claim();
      await settle(claimed, FAILED);
      return claimed;
    };
    for (const [outage, expected] of [["1 minute", false], ["6 minutes", true]]) {
      await owner`delete from public.webhook_deliveries`;
      await owner`update public.webhook_endpoints set failing_since = null`;
      await happened(made);
      const waiting = await fail();
      await owner`update public.webhook_endpoints set failing_since = now() - ${outage}::interval`;
      await happened(made);
      const [good] = await claim();
      assert.notEqual(good.event_id, waiting.event_id);
      await settle(good);
      assert.equal((await of(waiting)).next_attempt_at <= new Date(), expected, outage);
    }
  });

  test("410 gives up and disables the endpoint, unless its url has changed", async () => {
    const [gone, moved] = [await endpoint(), await endpoint()];
    for (const made of [gone, moved]) await happened(made);
    const claimed = await claim();
    await owner`update public.webhook_endpoints set url = 'https://new.example.com' where id = ${moved.id}`;
    for (const one of claimed) await settle(one, { status: 410, error: "status", url: one.url });
    const { enabled, disabled_reason } = await endpointRow(gone);
    assert.deepEqual([enabled, disabled_reason], [false, "gone"]);
    assert.equal((await endpointRow(moved)).enabled, true);
    for (const one of claimed) assert.equal((await of(one)).state, "failed");
  });
});

describe("a replay", () => {
  const replay = (made, event, user = made.user) =>
    call(service, "replay_webhook_delivery", { p_endpoint_id: made.id, p_event_id: event, p_user_id: user });

  test("a replay sends the event again, behind what waits already", async () => {
    const made = await endpoint();
    const integration = await happened(made, 2);
    const [first] = await claim();
    await settle(first);
    assert.deepEqual(await replay(made, first.event_id), { outcome: "replayed" });
    const heard = [];
    for (let turn = 0; turn < 2; turn++) {
      const [claimed] = await claim();
      heard.push(claimed.event_id);
      await settle(claimed);
    }
    const [{ event_id: second }, { event_id: again }] = await deliveriesOf(owner, integration);
    assert.deepEqual([heard, again], [[second, first.event_id], first.event_id]);
  });

  test("a replay of what was given up has three days again, and of what waits it is due now", async () => {
    const made = await endpoint();
    await happened(made);
    const [claimed] = await claim();
    await settle(claimed, FAILED);
    await replay(made, claimed.event_id);
    const waiting = await of(claimed);
    assert.ok(waiting.next_attempt_at <= new Date() && waiting.attempts === 1);
    await owner`update public.webhook_deliveries set state = 'failed', expires_at = now()`;
    await replay(made, claimed.event_id);
    const again = await of(claimed);
    assert.deepEqual([again.state, again.attempts], ["pending", 0]);
    assert.ok(again.expires_at - Date.now() > 71 * HOUR_MS);
    assert.equal((await claim()).length, 1);
  });

  test("a replay is rejected for strangers, unknown events and a disabled endpoint", async () => {
    const made = await endpoint();
    await happened(made);
    const [claimed] = await claim();
    await settle(claimed);
    assert.deepEqual(await replay(made, claimed.event_id, randomUUID()), { outcome: "unknown" });
    assert.deepEqual(await replay(made, randomUUID()), { outcome: "unknown" });
    await owner`update public.webhook_endpoints set enabled = false where id = ${made.id}`;
    assert.deepEqual(await replay(made, claimed.event_id), { outcome: "disabled" });
    assert.equal((await of(claimed)).state, "delivered");
  });
});

describe("what is kept", () => {
  const cleanUp = () => call(service, "clean_up", { p_event_days: 400 });

  test("events are kept for two weeks, longer if one still waits", async () => {
    const made = await endpoint();
    const [old, waiting, young] = [await happened(made), await happened(made), await happened(made)];
    const claimed = await claim();
    for (const one of claimed) await settle(one);
    await owner`update private.webhook_events set occurred_at = now() - interval '15 days' where integration_id = any (${[old, waiting]})`;
    await owner`
      update public.webhook_deliveries set state = 'pending', next_attempt_at = 'infinity' where integration_id = ${waiting}`;
    await cleanUp();
    const kept = await owner`
      select integration_id as id from private.webhook_events where integration_id = any (${[old, waiting, young]})`;
    assert.deepEqual(kept.map(({ id }) => id).sort(), [waiting, young].sort());
    assert.equal((await deliveriesOf(owner, old)).length, 0);
  });

  test("what could not be delivered in three days is given up, also if the endpoint is disabled", async () => {
    const made = await endpoint();
    const integration = await happened(made);
    await owner`update public.webhook_endpoints set enabled = false`;
    await owner`update public.webhook_deliveries set expires_at = now()`;
    await due();
    await cleanUp();
    const [{ state, last_error }] = await deliveriesOf(owner, integration);
    assert.deepEqual([state, last_error], ["failed", "expired"]);
  });

  test("a claim uses the indexes in a large outbox", async () => {
    const made = await endpoint();
    await owner`
      with e as (
        insert into private.webhook_events (organization_id, integration_id, type, data)
          select ${made.organization}::uuid, gen_random_uuid(), 'connection.refreshed', '{}' from generate_series(1, 20000) returning *
      )
      insert into public.webhook_deliveries (endpoint_id, event_id, organization_id, integration_id, type, occurred_at, state)
        select ${made.id}::uuid, e.id, e.organization_id, e.integration_id, e.type, e.occurred_at, 'delivered' from e`;
    await happened(made);
    await owner`analyze public.webhook_deliveries`;
    const begun = Date.now();
    assert.equal((await claim()).length, 1);
    assert.ok(Date.now() - begun < 1000, `${Date.now() - begun} ms`);
  });
});
