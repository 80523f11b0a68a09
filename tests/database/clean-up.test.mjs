// What has had its time is deleted, in bounded calls, and nothing else is. Threat model 107.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { beginning, call, startServer } from "./support.mjs";
import { endpointOf } from "./webhooks.mjs";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());

const cleanUp = (p_event_days = 400) => call(service, "clean_up", { p_event_days });
/** Writes so many events, of so many days ago; returns the integration that they tell of. */
async function events(count, days) {
  const integration = randomUUID();
  await owner`
    insert into public.credential_events (occurred_at, user_id, organization_id, integration_id, integration_type, action, outcome)
    select now() - make_interval(days => ${days}), gen_random_uuid(), gen_random_uuid(), ${integration}::uuid, 'supabase', 'renamed', 'succeeded'
    from generate_series(1, ${count})`;
  return integration;
}
const left = async (integration) =>
  (await owner`select count(*)::int as n from public.credential_events where integration_id = ${integration}`)[0].n;

describe("events", () => {
  test("events are deleted once they are older than the operator keeps them, and not before", async () => {
    const [old, young] = [await events(3, 401), await events(3, 399)];
    assert.deepEqual(await cleanUp(), { outcome: "cleaned", more: false });
    assert.deepEqual([await left(old), await left(young)], [0, 3]);
    await cleanUp(398);
    assert.equal(await left(young), 0);
  });

  test("events are deleted 5,000 in a call, the oldest first", async () => {
    const old = await events(12_000, 500);
    const rest = [];
    for (let calls = 0; calls < 3; calls++) {
      const { more } = await cleanUp();
      rest.push([await left(old), more]);
    }
    assert.deepEqual(rest, [[7000, true], [2000, true], [0, false]]);
  });

  test("events can be deleted by clean_up only, not even by the owner", async () => {
    await events(1, 500);
    for (const sql of ["delete from public.credential_events", "update public.credential_events set action = 'opened'", "truncate public.credential_events"]) {
      await assert.rejects(owner.unsafe(sql), { code: "42501" }, sql);
    }
    await cleanUp();
    await assert.rejects(owner`delete from public.credential_events`, { code: "42501" }, "nor in the session of a clean-up");
    await owner.begin(async (transaction) => {
      await call(transaction, "clean_up", { p_event_days: 400 });
      await assert.rejects(transaction.savepoint((inner) => inner`delete from public.credential_events`), { code: "42501" });
    });
  });

  test("events of the last 30 days stay even if somebody switches the guard off", async () => {
    const young = await events(1, 29);
    const slip = owner.begin(async (transaction) => {
      await transaction`select set_config('integrations.deletes_old_events', 'on', true)`;
      await transaction`delete from public.credential_events`;
    });
    await assert.rejects(slip, { code: "42501" });
    assert.equal(await left(young), 1);
  });

  test("events are kept for 30 days at least", async () => {
    for (const days of [29, 0, -1, 36_501, null]) await assert.rejects(cleanUp(days), { code: "22023" });
  });
});

test("connections that were started and not finished are deleted, even if nobody starts another", async () => {
  const [expired, open] = [beginning(), beginning()];
  for (const args of [expired, open]) assert.equal((await call(service, "begin_connection", args)).outcome, "begun");
  await owner`update public.oauth_transactions set expires_at = now() where id = ${expired.p_id}`;
  await cleanUp();
  const rows = await owner`select id from public.oauth_transactions`;
  assert.deepEqual(rows.map(({ id }) => id), [open.p_id]);
});

test("the end of a pending connection is remembered for an hour", async () => {
  for (const minutes of [59, 61]) {
    await owner`insert into private.ended_connections (id, ended_at) values (gen_random_uuid(), now() - make_interval(mins => ${minutes}))`;
  }
  await cleanUp();
  const left = await owner`select now() - ended_at < interval '1 hour' as young from private.ended_connections`;
  assert.deepEqual(left.map(({ young }) => young), [true]);
});

test("a full outbox records the next event as failed, and it can be replayed", async () => {
  const made = await endpointOf(service, randomUUID());
  const happened = (count) => owner`
    select private.enqueue_event(${made.organization}, gen_random_uuid(), 'connection.refreshed', '{}') from generate_series(1, ${count})`;
  await happened(10_000);
  await happened(1);
  const states = await owner`
    select state, last_error, count(*)::int as n from public.webhook_deliveries where endpoint_id = ${made.id} group by 1, 2 order by n`;
  assert.deepEqual(states.map(({ state, last_error, n }) => [state, last_error, n]), [["failed", "overflow", 1], ["pending", null, 10_000]]);
  const [{ event_id }] = await owner`select event_id from public.webhook_deliveries where state = 'failed'`;
  const replay = { p_endpoint_id: made.id, p_event_id: event_id, p_user_id: made.user };
  assert.deepEqual(await call(service, "replay_webhook_delivery", replay), { outcome: "replayed" });
});
