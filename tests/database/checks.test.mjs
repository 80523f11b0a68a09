// The health checks' functions: one check of a row at a time, verdicts by compare-and-swap, and providers that are left alone.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";

import { addMember, call, completion, config, insertIntegration, KID, lockWait, startServer } from "./support.mjs";
import { deliveriesOf, endpointOf } from "./webhooks.mjs";

const AT_ONCE = 30;
const HOUR_MS = 3_600_000;
const SOON = 120;
const DAILY = "0 3 * * *";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());
beforeEach(async () => {
  await owner`delete from public.integrations`;
  await owner`delete from private.provider_pauses`;
});

const inMs = (ms) => new Date(Date.now() + ms);
const row = async (id) => (await owner`select * from public.integrations where id = ${id}`)[0];
const trail = async (id, action = "checked") =>
  (await owner`select outcome, reason, actor, user_id from public.credential_events where integration_id = ${id} and action = ${action} order by id`)
    .map(({ outcome, reason, actor, user_id }) => [outcome, reason, actor, user_id]);

/** A connection: the arguments that made it. */
const connected = async (over = {}) => {
  const args = completion({ p_config: config(KID.a, { expires_at: inMs(HOUR_MS).toISOString() }), ...over });
  await call(service, "complete_connection", args);
  return args;
};
/** A connection with a schedule, due since a minute ago. */
const due = async (over = {}) => {
  const args = await connected(over);
  await owner`update public.integrations set scan_schedule = ${DAILY}, next_check_at = ${inMs(-60_000)} where id = ${args.p_id}`;
  return args;
};
const claim = ({ p_id, p_user_id }, over = {}) => call(service, "claim_check", { p_id, p_user_id, p_soon: SOON, ...over });
const claimDue = (over = {}, sql = service) =>
  call(sql, "claim_due_checks", { p_limit: 20, p_types: ["supabase"], p_soon: SOON, ...over }).then(({ claims }) => claims);
const settle = async (result, over = {}) => {
  const { ends } = await call(service, "settle_checks", { p_results: service.json([{ reason: null, ...result }]), ...over });
  return ends[result.id];
};
const free = (id) => owner`delete from private.check_claims where integration_id = ${id}`;
/** A provider asks an integration to wait; the type does when so many organisations were told so, null: never. */
const pause = ({ p_id }, p_seconds, p_organizations = null, p_endpoint = "api") =>
  call(service, "pause_provider", { p_id, p_endpoint, p_seconds, p_organizations });
const pauseType = async (seconds, kind = "supabase") => {
  for (const endpoint of ["token", "api"]) {
    await owner`insert into private.provider_pauses values (${kind}, ${endpoint}, now() + make_interval(secs => ${seconds}))`;
  }
};
const secondsLeft = async (endpoint) => {
  const [row] = await owner`select extract(epoch from until - now())::float as left from private.provider_pauses where endpoint = ${endpoint}`;
  return row?.left;
};
const leave = (id) => owner`update public.integrations set last_checked_at = last_checked_at - interval '1 hour' where id = ${id}`;

describe("a claim of one check", () => {
  test("a claim of one check hands out the config with an event, and says what must answer and which config it is", async () => {
    const made = await connected();
    const claimed = await claim(made, { p_request_id: "r1" });
    assert.partialDeepStrictEqual(claimed, {
      outcome: "claimed", id: made.p_id, organization_id: made.p_user_id, integration_type: "supabase",
      account_id: made.p_external_account_id, scan_schedule: null,
    });
    assert.deepEqual(JSON.parse(claimed.config), made.p_config);
    assert.match(claimed.version, /^[0-9a-f]{64}$/);
    assert.deepEqual(await trail(made.p_id, "opened"), [["succeeded", "check", "user", made.p_user_id]]);
  });

  test("of 30 claims of one check at once, one gets it; after the verdict the others get that", async () => {
    const made = await connected();
    const many = project.connect("authenticator", { role: "service_role" }, AT_ONCE);
    const answers = await Promise.all(
      Array.from({ length: AT_ONCE }, () => call(many, "claim_check", { p_id: made.p_id, p_user_id: made.p_user_id, p_soon: SOON })),
    );
    await many.end();
    const claimed = answers.filter(({ outcome }) => outcome === "claimed");
    assert.equal(claimed.length, 1);
    assert.equal(answers.filter(({ outcome }) => outcome === "busy").length, AT_ONCE - 1);
    assert.equal((await trail(made.p_id, "opened")).length, 1, "what is not handed out leaves no event");
    await settle({ id: made.p_id, version: claimed[0].version, status: "degraded", reason: "timeout" });
    const recent = await claim(made);
    assert.partialDeepStrictEqual(recent, { outcome: "recent", status: "degraded", status_reason: "timeout", next_check_at: null });
    await leave(made.p_id);
    assert.equal((await claim(made)).outcome, "busy", "not twice within ten seconds, whatever the row says");
    await free(made.p_id);
    assert.equal((await claim(made)).outcome, "claimed");
  });

  test("a claim of one check leaves out a config whose token ends soon, or whose refresh waits to be written", async () => {
    const soon = await connected({ p_config: config(KID.a, { expires_at: inMs(60_000).toISOString() }) });
    assert.equal((await claim(soon)).config, null);
    assert.deepEqual(await trail(soon.p_id, "opened"), []);
    const endless = await connected({ p_config: config(KID.a), p_external_account_id: "endless" });
    assert.ok((await claim(endless)).config);
    const kept = await connected({ p_external_account_id: "kept" });
    await owner`insert into public.credential_leases (integration_id, journal) values (${kept.p_id}, '{}')`;
    assert.equal((await claim(kept)).config, null);
  });

  test("a claim of one check answers unknown to a non-member and for an id that does not exist, and leaves no event", async () => {
    const made = await connected();
    const stranger = randomUUID();
    for (const p_id of [made.p_id, randomUUID()]) {
      assert.deepEqual(await claim({ p_id, p_user_id: stranger }), { outcome: "unknown" });
    }
    assert.deepEqual(await trail(made.p_id, "opened"), []);
    await addMember(owner, made.p_organization_id, stranger);
    assert.equal((await claim({ p_id: made.p_id, p_user_id: stranger })).outcome, "claimed");
  });

  test("a claim of one check names the account of a row that has it in its config only", async () => {
    const organization_id = randomUUID();
    const id = await insertIntegration(owner, { organization_id });
    assert.equal((await claim({ p_id: id, p_user_id: organization_id })).account_id, "abc123");
  });

  test("a claim of a check ends by itself after its worker died", async () => {
    const made = await due();
    assert.equal((await claimDue()).length, 1);
    assert.equal((await claimDue()).length, 0);
    assert.equal((await claim(made)).outcome, "busy");
    await owner`update private.check_claims set until = now() - interval '1 second'`;
    assert.equal((await claimDue()).length, 1);
  });
});

describe("the claims of the schedule", () => {
  test("scheduled check claims take what is due by schedule, status, type and time, the longest due first", async () => {
    const [late, later] = [await due({ p_external_account_id: "1" }), await due({ p_external_account_id: "2" })];
    await owner`update public.integrations set next_check_at = ${inMs(-HOUR_MS)} where id = ${later.p_id}`;
    for (const [i, change] of [
      { next_check_at: inMs(60_000) }, { next_check_at: null }, { scan_schedule: null }, { status: "reconnect_required" },
      { status: "revoked" }, { integration_type: "github" }, { status: "whatever" },
    ].entries()) {
      const { p_id } = await due({ p_external_account_id: `not ${i}` });
      await owner`update public.integrations set ${owner(change)} where id = ${p_id}`;
    }
    const degraded = await due({ p_external_account_id: "3" });
    await owner`update public.integrations set status = 'degraded', next_check_at = now() where id = ${degraded.p_id}`;
    const claims = await claimDue();
    assert.deepEqual(claims.map(({ id }) => id), [later.p_id, late.p_id, degraded.p_id]);
    assert.deepEqual(JSON.parse(claims[0].config), later.p_config);
    assert.equal(claims[0].scan_schedule, DAILY);
    assert.deepEqual(await trail(later.p_id, "opened"), [["succeeded", "check", "service", null]]);
    assert.deepEqual(await claimDue(), []);
  });

  test("scheduled check claims skip what is being refreshed", async () => {
    const made = await due();
    await call(service, "claim_refresh", { p_id: made.p_id, p_owner: randomUUID() });
    assert.deepEqual(await claimDue(), []);
  });

  test("scheduled check claims never hand out a row twice, however many workers claim, and leave none", async () => {
    const ids = [];
    for (let i = 0; i < 200; i++) ids.push((await due({ p_external_account_id: `${i}` })).p_id);
    const workers = Array.from({ length: 6 }, () => project.connect("authenticator", { role: "service_role" }));
    const taken = await Promise.all(
      workers.map(async (sql) => {
        const mine = [];
        for (let empty = 0; empty < 5; ) {
          const claims = await claimDue({ p_limit: 10 }, sql);
          empty = claims.length === 0 ? empty + 1 : 0;
          // Some are settled at once: then they are due no more, whatever another's snapshot says.
          const results = claims.filter((_, i) => i % 2).map(({ id, version, scan_schedule }) => (
            { id, version, status: "active", reason: null, schedule: scan_schedule, next_check_at: inMs(HOUR_MS) }
          ));
          await call(sql, "settle_checks", { p_results: sql.json(results) });
          mine.push(...claims.map(({ id }) => id));
        }
        return mine;
      }),
    );
    await Promise.all(workers.map((sql) => sql.end()));
    assert.deepEqual(taken.flat().sort(), ids.sort());
  });

  test("scheduled check claims do not wait for a row that somebody holds", async () => {
    const [held, other] = [await due({ p_external_account_id: "1" }), await due({ p_external_account_id: "2" })];
    await owner.begin(async (sql) => {
      await sql`select from public.integrations where id = ${held.p_id} for update`;
      assert.deepEqual((await claimDue()).map(({ id }) => id), [other.p_id]);
    });
  });

  test("scheduled check claims skip a paused provider's due rows without reading them", async () => {
    const fresh = await server.createProject();
    await fresh.owner`
      insert into public.integrations (organization_id, integration_type, name, scan_schedule, next_check_at, status)
      select gen_random_uuid(), t.kind, 'n', ${DAILY}, now() + (n - t.due) * interval '1 minute', 'active'
      from generate_series(1, 10000) n, (values ('supabase', 100), ('github', 10000)) t (kind, due)`;
    await fresh.owner`analyze public.integrations`;
    const [{ "QUERY PLAN": [{ Plan }] }] = await fresh.owner`
      explain (format json) select id from public.integrations c
      where c.oauth_app_id is null and c.integration_type = 'supabase' and c.next_check_at <= now() and c.scan_schedule is not null and c.next_check_at is not null
        and c.status in ('active', 'degraded')
      order by c.next_check_at limit 80`;
    assert.match(JSON.stringify(Plan), /integrations_due_for_check/);
  });

  test("scheduled check claims reject arguments out of bounds", async () => {
    for (const over of [{ p_limit: 0 }, { p_limit: 101 }, { p_limit: null }, { p_types: null }, { p_soon: null }]) {
      await assert.rejects(claimDue(over), { code: "22023" });
    }
  });
});

describe("a verdict", () => {
  test("a verdict is written with its event, and what follows by the schedule", async () => {
    const made = await due();
    const [{ version }] = await claimDue();
    const next = inMs(HOUR_MS);
    const end = await settle({
      id: made.p_id, version, status: "degraded", reason: "provider_failed", schedule: DAILY, next_check_at: next,
    }, { p_request_id: "r7" });
    const after = await row(made.p_id);
    assert.deepEqual([after.status, after.status_reason, after.next_check_at], ["degraded", "provider_failed", next]);
    assert.ok(Date.now() - after.last_checked_at < 10_000);
    assert.deepEqual([end.end, end.status, end.status_reason, new Date(end.next_check_at)], ["checked", "degraded", "provider_failed", next]);
    assert.deepEqual(await trail(made.p_id), [["degraded", "provider_failed", "service", null]]);
    await settle({ id: made.p_id, version, status: "active" }, { p_user_id: made.p_user_id });
    assert.equal((await row(made.p_id)).status_reason, null);
    assert.deepEqual((await trail(made.p_id)).at(-1), ["active", null, "user", made.p_user_id]);
  });

  for (const [what, change] of [
    ["a reconnection", (made) => call(service, "complete_connection", { ...made, p_config: config(KID.a, { access_token: "bmV3.bmV3.bmV3" }) })],
    ["the source's own writer", ({ p_id }) => owner`update public.integrations set config = '{"access_token": "x"}' where id = ${p_id}`],
  ]) {
    test(`a verdict about a config that ${what} has replaced is not written`, async () => {
      const made = await due();
      const [{ version }] = await claimDue();
      await change(made);
      for (const [status, reason] of [["revoked", "account_gone"], ["reconnect_required", "unauthorized"], ["degraded", "timeout"], ["active", null]]) {
        assert.deepEqual(await settle({ id: made.p_id, version, status, reason }), { end: "changed" });
      }
      const after = await row(made.p_id);
      assert.deepEqual([after.status, after.last_checked_at], ["active", null]);
      assert.deepEqual(await trail(made.p_id), []);
      assert.equal((await claimDue()).length, 1, "and it is still due");
    });
  }

  test("a verdict waits for a reconnection that is under way, and is then not written", async () => {
    const made = await due();
    const [{ version }] = await claimDue();
    const other = project.connect("authenticator", { role: "service_role" });
    let settled;
    await other.begin(async (sql) => {
      await call(sql, "complete_connection", { ...made, p_config: config(KID.a, { access_token: "bmV3.bmV3.bmV3" }) });
      settled = settle({ id: made.p_id, version, status: "reconnect_required", reason: "unauthorized" });
      await lockWait(owner);
    });
    assert.deepEqual(await settled, { end: "changed" });
    assert.equal((await row(made.p_id)).status, "active");
  });

  test("a verdict on a row that stays locked undoes no other verdict", async () => {
    const [held, other] = [await due({ p_external_account_id: "1" }), await due({ p_external_account_id: "2" })];
    const claims = await claimDue();
    const p_results = claims.map(({ id, version }) => ({ id, version, status: "active", reason: null }));
    await owner.begin(async (sql) => {
      await sql`select from public.integrations where id = ${held.p_id} for update`;
      const { ends } = await call(service, "settle_checks", { p_results: service.json(p_results) });
      assert.equal(ends[held.p_id].end, "busy");
      assert.equal(ends[other.p_id].end, "checked");
    });
  });

  test("a verdict after its row or its user is gone says so and writes nothing", async () => {
    const made = await connected();
    const { version } = await claim(made);
    const verdict = { id: made.p_id, version, status: "degraded", reason: "timeout" };
    assert.deepEqual(await settle(verdict, { p_user_id: randomUUID() }), { end: "gone" });
    await owner`delete from public.integrations`;
    assert.deepEqual(await settle(verdict), { end: "gone" });
    assert.deepEqual(await trail(made.p_id), []);
  });

  test("a verdict of an outage leaves an ended grant as it is; a good token does not restore a grant that cannot be refreshed", async () => {
    for (const [status, status_reason, verdict, expected] of [
      ["reconnect_required", "unauthorized", ["degraded", "timeout"], ["reconnect_required", "unauthorized"]],
      ["revoked", "account_gone", ["degraded", "timeout"], ["revoked", "account_gone"]],
      ["reconnect_required", "unauthorized", ["active", null], ["active", null]],
      ["revoked", "account_gone", ["active", null], ["active", null]],
      ["reconnect_required", "invalid_grant", ["active", null], ["reconnect_required", "invalid_grant"]],
      ["reconnect_required", "refresh_lost", ["reconnect_required", "unauthorized"], ["reconnect_required", "refresh_lost"]],
      ["reconnect_required", "not_refreshable", ["active", null], ["reconnect_required", "not_refreshable"]],
      ["reconnect_required", "invalid_grant", ["revoked", "account_gone"], ["revoked", "account_gone"]],
    ]) {
      const made = await connected({ p_external_account_id: randomUUID() });
      await owner`update public.integrations set status = ${status}, status_reason = ${status_reason} where id = ${made.p_id}`;
      const { version } = await claim(made);
      const end = await settle({ id: made.p_id, version, status: verdict[0], reason: verdict[1] });
      assert.deepEqual([end.status, end.status_reason], expected);
      assert.deepEqual((await trail(made.p_id))[0].slice(0, 2), expected, "the event says what stands");
    }
  });

  test("a verdict notifies the organization once of degraded and once of reconnect_required", async () => {
    const fresh = await server.createProject();
    const has = await fresh.owner`select to_regprocedure('private.enqueue_event(uuid, uuid, text, jsonb, text)') as outbox`;
    const told = fresh.owner;
    // In place of whatever outbox there is: what it is told, by whom, is what counts here.
    await told`create table private.told (organization_id uuid, integration_id uuid, type text, data jsonb)`;
    if (has[0].outbox === null) {
      await told.unsafe(`create function private.enqueue_event(uuid, uuid, text, jsonb) returns void language sql as 'insert into private.told values ($1, $2, $3, $4)'`);
    } else {
      await told.unsafe(`create or replace function private.enqueue_event(
          p_organization_id uuid, p_integration_id uuid, p_type text, p_data jsonb, p_severity text default null
        ) returns void language sql as 'insert into private.told values ($1, $2, $3, $4)'`);
    }
    const args = completion();
    await call(fresh.service, "complete_connection", args);
    await told`truncate private.told`;
    const { version } = await call(fresh.service, "claim_check", { p_id: args.p_id, p_user_id: args.p_user_id, p_soon: SOON });
    for (const [status, reason] of [["degraded", "timeout"], ["revoked", "account_gone"], ["reconnect_required", "unauthorized"], ["active", null]]) {
      const p_results = fresh.service.json([{ id: args.p_id, version, status, reason }]);
      await call(fresh.service, "settle_checks", { p_results });
    }
    const rows = await told`select organization_id, integration_id, type, data->>'reason' as reason from private.told`;
    assert.deepEqual([...rows], [
      { organization_id: args.p_organization_id, integration_id: args.p_id, type: "connection.degraded", reason: "timeout" },
      { organization_id: args.p_organization_id, integration_id: args.p_id, type: "connection.reconnect_required", reason: "account_gone" },
    ]);
  });

  test("an invalid verdict is rejected", async () => {
    const { p_id: id } = await connected();
    for (const result of [
      { id, version: "v", status: "gone", reason: "x" }, { id, version: "v", status: "degraded", reason: null },
      { id, version: "v", status: "active", reason: "x" }, { id: null, version: "v", status: "active" },
    ]) {
      await assert.rejects(settle(result), { code: "22023" });
    }
    await assert.rejects(call(service, "settle_checks", { p_results: service.json({}) }), { code: "22023" });
    const many = Array.from({ length: 101 }, () => ({ id, version: "v", status: "active" }));
    await assert.rejects(call(service, "settle_checks", { p_results: service.json(many) }), { code: "22023" });
  });
});

// Threat model 117.
describe("forbidden", () => {
  const forbidden = async (made, forbidden_days = 3) => {
    await free(made.p_id);
    await leave(made.p_id);
    const { outcome, version } = await claim(made);
    assert.equal(outcome, "claimed");
    const { end, status, status_reason } = await settle({ id: made.p_id, version, status: "degraded", reason: "forbidden", forbidden_days });
    assert.equal(end, "checked");
    return [status, status_reason];
  };
  const found = async (made, status, reason = null) => {
    await free(made.p_id);
    await leave(made.p_id);
    const { version } = await claim(made);
    await settle({ id: made.p_id, version, status, reason });
  };
  const age = ({ p_id }, days) => owner`
    update private.forbidden_checks set since = since - make_interval(days => ${days}) where integration_id = ${p_id}`;
  const DEGRADED = ["degraded", "forbidden"];
  const OVER = ["reconnect_required", "forbidden"];

  test("forbidden becomes reconnect_required after the entry's days, whatever an outage says in between", async () => {
    const made = await connected();
    await endpointOf(service, made.p_organization_id);
    assert.deepEqual(await forbidden(made), DEGRADED);
    await age(made, 2);
    assert.deepEqual(await forbidden(made), DEGRADED, "two days of three");
    await found(made, "degraded", "timeout");
    await age(made, 2);
    assert.deepEqual(await forbidden(made), OVER);
    assert.deepEqual((await trail(made.p_id)).at(-1).slice(0, 2), OVER);
    const told = (await deliveriesOf(owner, made.p_id)).map(({ type, data }) => [type, data.reason]);
    assert.deepEqual(told, [["connection.degraded", "forbidden"], ["connection.reconnect_required", "forbidden"]]);
    await free(made.p_id);
    assert.deepEqual(await forbidden(made), OVER, "and stays so");
  });

  test("forbidden becomes reconnect_required at once where the entry says so", async () => {
    assert.deepEqual(await forbidden(await connected(), 0), OVER);
  });

  test("forbidden is counted anew after a good answer or a reconnection, and not after a refresh", async () => {
    const good = await connected();
    await forbidden(good);
    await age(good, 9);
    await found(good, "active");
    assert.deepEqual(await forbidden(good), DEGRADED);

    const again = await connected({ p_external_account_id: "again" });
    await forbidden(again);
    await age(again, 9);
    await call(service, "complete_connection", { ...again, p_config: config(KID.a, { expires_at: inMs(2 * HOUR_MS).toISOString(), access_token: "cmU=.cmU=.cmU=" }) });
    assert.deepEqual(await forbidden(again), DEGRADED);

    const fresh = await connected({ p_external_account_id: "fresh" });
    await forbidden(fresh);
    await age(fresh, 9);
    const p_owner = randomUUID();
    const { generation } = await call(service, "claim_refresh", { p_id: fresh.p_id, p_owner });
    const refreshed = config(KID.a, { expires_at: inMs(3 * HOUR_MS).toISOString() });
    await call(service, "settle_refreshes", { p_owner, p_results: service.json([{ id: fresh.p_id, generation, config: refreshed }]) });
    assert.deepEqual(await forbidden(fresh), OVER);
  });

  test("forbidden for all integrations of a type at once ends none of them, until one is answered again", async () => {
    const all = [];
    for (let i = 0; i < 5; i++) all.push(await connected({ p_integration_type: "gatekeeper" }));
    for (const made of all) await forbidden(made);
    for (const made of all) await age(made, 9);
    for (const made of all) assert.deepEqual(await forbidden(made), DEGRADED);
    const [first, ...others] = all;
    await found(first, "active");
    for (const made of others) assert.deepEqual(await forbidden(made), OVER);
  });

  test("forbidden rejects a number of days outside 0 to 365", async () => {
    const { p_id: id } = await connected();
    for (const forbidden_days of [-1, 366]) {
      await assert.rejects(settle({ id, version: "v", status: "degraded", reason: "forbidden", forbidden_days }), { code: "22023" });
    }
  });
});

describe("the next check", () => {
  test("the next check follows the schedule that was handed out, unless the schedule was changed meanwhile", async () => {
    const made = await due();
    const [{ version }] = await claimDue();
    const theirs = inMs(2 * HOUR_MS);
    await call(service, "change_integration", {
      p_id: made.p_id, p_user_id: made.p_user_id, p_changes: service.json({ scan_schedule: "0 4 * * *", next_check_at: theirs }),
    });
    await settle({ id: made.p_id, version, status: "active", schedule: DAILY, next_check_at: inMs(HOUR_MS) });
    assert.deepEqual((await row(made.p_id)).next_check_at, theirs);
  });

  test("there is no next check while a reconnection is required, and one at once after it", async () => {
    for (const status of ["reconnect_required", "revoked"]) {
      const made = await due({ p_external_account_id: status });
      const [{ version }] = await claimDue();
      const end = await settle({ id: made.p_id, version, status, reason: "unauthorized", schedule: DAILY, next_check_at: inMs(HOUR_MS) });
      assert.equal(end.next_check_at, null);
      const changes = { scan_schedule: "0 5 * * *", next_check_at: inMs(HOUR_MS) };
      await call(service, "change_integration", { p_id: made.p_id, p_user_id: made.p_user_id, p_changes: service.json(changes) });
      assert.equal((await row(made.p_id)).next_check_at, null);
      await call(service, "complete_connection", { ...made, p_config: config(KID.a) });
      const { next_check_at, scan_schedule } = await row(made.p_id);
      assert.ok(Math.abs(next_check_at - Date.now()) < 10_000 && scan_schedule === "0 5 * * *");
      await free(made.p_id);
      assert.equal((await claimDue()).length, 1);
    }
  });

  test("there is no next check after a refresh that ends the grant", async () => {
    const made = await due();
    const p_owner = randomUUID();
    const { generation } = await call(service, "claim_refresh", { p_id: made.p_id, p_owner });
    await call(service, "settle_refreshes", { p_owner, p_results: service.json([{ id: made.p_id, generation, fault: "invalid_grant" }]) });
    const { status, next_check_at } = await row(made.p_id);
    assert.deepEqual([status, next_check_at], ["reconnect_required", null]);
  });

  test("the next check of a row without a schedule is left to its writer", async () => {
    const theirs = inMs(HOUR_MS);
    const organization_id = randomUUID();
    const id = await insertIntegration(owner, { organization_id, next_check_at: theirs });
    await owner`update public.integrations set status = 'revoked' where id = ${id}`;
    assert.deepEqual((await row(id)).next_check_at, theirs);
    const { version } = await claim({ p_id: id, p_user_id: organization_id });
    await settle({ id, version, status: "active", schedule: null, next_check_at: null });
    assert.deepEqual((await row(id)).next_check_at, theirs);
  });

  test("the next check keeps its time when a claim is given back, and comes later when it was skipped", async () => {
    const made = await due();
    const [{ version }] = await claimDue();
    assert.deepEqual(await settle({ id: made.p_id, version }), { end: "released" });
    assert.equal((await claimDue()).length, 1);
    const next = inMs(HOUR_MS);
    await settle({ id: made.p_id, version, schedule: DAILY, next_check_at: next });
    assert.deepEqual((await row(made.p_id)).next_check_at, next);
    assert.deepEqual(await trail(made.p_id), []);
  });
});

describe("a pause", () => {
  test("a pause holds for checks and refreshes of its type, of every organization, until it ends", async () => {
    const [one, other] = [await due(), await due()];
    const github = await due({ p_integration_type: "github" });
    const end = { p_config: config(KID.a, { expires_at: inMs(10_000).toISOString() }) };
    const ending = await connected({ ...end, p_external_account_id: "ends" });
    await pauseType(60);
    const types = ["supabase", "github"];
    assert.deepEqual((await claimDue({ p_types: types })).map(({ id }) => id), [github.p_id]);
    const refreshes = { p_owner: randomUUID(), p_limit: 10, p_within: 600, p_types: types };
    assert.deepEqual((await call(service, "claim_due_refreshes", refreshes)).claims, []);
    for (const made of [one, other]) {
      const { outcome, seconds } = await claim(made);
      assert.ok(outcome === "paused" && seconds > 50 && seconds <= 60);
    }
    const asked = await call(service, "claim_refresh", { p_id: ending.p_id, p_owner: randomUUID() });
    assert.ok(asked.outcome === "failed" && asked.paused_seconds > 50);
    const read = await call(service, "claim_refresh", { p_id: ending.p_id, p_owner: randomUUID(), p_within: 120, p_read: true });
    assert.deepEqual([read.outcome, JSON.parse(read.config)], ["current", ending.p_config], "a reader gets what stands");
    assert.match(read.version, /^[0-9a-f]{64}$/);
    await owner`update private.provider_pauses set until = now()`;
    assert.equal((await claimDue({ p_types: types })).length, 2);
    assert.equal((await call(service, "claim_due_refreshes", refreshes)).claims.length, 1);
  });

  test("a pause does not keep an earlier refresh from being written", async () => {
    const made = await connected();
    await owner`insert into public.credential_leases (integration_id, journal) values (${made.p_id}, '{"access_token": "kept"}')`;
    await pauseType(60);
    const p_owner = randomUUID();
    const { claims } = await call(service, "claim_due_refreshes", { p_owner, p_limit: 10, p_within: 600, p_types: ["supabase"] });
    assert.deepEqual(claims.map(({ id, refreshed }) => [id, refreshed]), [[made.p_id, true]]);
  });

  test("a pause of one integration holds for it alone, at the endpoint that asked for it", async () => {
    const [one, other] = [await due(), await due()];
    assert.equal((await pause(one, 60)).outcome, "paused");
    assert.deepEqual((await claimDue()).map(({ id }) => id), [other.p_id]);
    const { outcome, seconds } = await claim(one);
    assert.ok(outcome === "paused" && seconds > 50 && seconds <= 60);
    assert.equal((await call(service, "claim_refresh", { p_id: one.p_id, p_owner: randomUUID() })).outcome, "claimed", "its token endpoint did not ask");

    const ending = await connected({ p_config: config(KID.a, { expires_at: inMs(10_000).toISOString() }) });
    await pause(ending, 60, null, "token");
    assert.equal((await claim(ending)).outcome, "claimed", "its API did not ask");
    const refreshes = { p_owner: randomUUID(), p_limit: 10, p_within: 600, p_types: ["supabase"] };
    assert.deepEqual((await call(service, "claim_due_refreshes", refreshes)).claims, []);
    assert.ok((await call(service, "claim_refresh", { p_id: ending.p_id, p_owner: randomUUID() })).paused_seconds > 50);
    await owner`update private.integration_pauses set until = now()`;
    assert.equal((await call(service, "claim_due_refreshes", refreshes)).claims.length, 1);
  });

  // Threat model 112.
  test("a type is paused once several organizations were told to wait, however often one of them was", async () => {
    const p_user_id = randomUUID();
    const own = await Promise.all(Array.from({ length: 5 }, (_, i) => due({ p_user_id, p_organization_id: p_user_id, p_external_account_id: `${i}` })));
    const [second, third, healthy] = [await due(), await due(), await due()];
    for (const made of [...own, ...own]) assert.equal((await pause(made, 3600, 3)).outcome, "paused");
    assert.equal((await pause(second, 600, 3)).outcome, "paused");
    assert.equal(await secondsLeft("api"), undefined);
    assert.equal((await claim(healthy)).outcome, "claimed");
    await free(healthy.p_id);

    assert.equal((await pause(third, 300, 3)).outcome, "type_paused");
    const left = await secondsLeft("api");
    assert.ok(left > 290 && left <= 300, `as long as three of them have to wait: ${left} s`);
    assert.equal((await claim(healthy)).outcome, "paused");
    assert.equal(await secondsLeft("token"), undefined, "another endpoint is another limit");
    for (const made of own) await pause(made, 3600, 3);
    assert.ok(await secondsLeft("api") <= 300, "one organisation does not prolong it");
  });

  test("a pause of one organization does not count for the type after ten minutes, nor where the type is never paused", async () => {
    const made = await Promise.all(Array.from({ length: 6 }, () => due()));
    for (const one of made.slice(0, 2)) await pause(one, 3600, 3);
    await owner`update private.integration_pauses set noted_at = now() - interval '11 minutes'`;
    assert.equal((await pause(made[2], 3600, 3)).outcome, "paused");
    for (const one of made) assert.equal((await pause(one, 3600)).outcome, "paused");
    assert.equal(await secondsLeft("api"), undefined);
    assert.equal((await pause(made[0], 60, 1, "token")).outcome, "type_paused", "where the entry says that the limit is the app's");
  });

  test("a pause is never shortened, and lasts an hour at the most", async () => {
    const made = await due();
    const left = async () => ((await owner`select until from private.integration_pauses`)[0].until - Date.now()) / 1000;
    await pause(made, 600);
    await pause(made, 5);
    assert.ok(await left() > 590);
    await pause(made, 3600);
    assert.ok(await left() > 3590);
    for (const seconds of [0, -1, 3601, null]) await assert.rejects(pause(made, seconds), { code: "22023" });
    for (const organizations of [0, -1, 101]) await assert.rejects(pause(made, 5, organizations), { code: "22023" });
    await assert.rejects(pause(made, 5, null, "elsewhere"), { code: "23514" });
    await assert.rejects(pause(made, 5, null, null), { code: "23502" });
    assert.equal((await pause({ p_id: randomUUID() }, 5)).outcome, "unknown");
    await owner`delete from public.integrations`;
    assert.equal((await owner`select from private.integration_pauses`).length, 0);
  });
});
