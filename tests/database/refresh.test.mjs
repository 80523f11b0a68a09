// The refresh's functions: one lease at a time, an end for each, and nothing written over what somebody else has put there.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { call, completion, config, disconnection, insertIntegration, KID, lockWait, startServer } from "./support.mjs";
import { deliveriesOf, endpointOf } from "./webhooks.mjs";

const AT_ONCE = 50;
const HOUR_MS = 3_600_000;

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());

const inMs = (ms) => new Date(Date.now() + ms).toISOString();
const ends = (moment, fields = {}) => config(KID.a, { expires_at: moment, ...fields });
const connected = async (over = {}) => {
  const args = completion({ p_config: ends(inMs(60_000)), ...over });
  await call(service, "complete_connection", args);
  return args;
};
const row = async (id) => (await owner`select * from public.integrations where id = ${id}`)[0];
const lease = async (id) => (await owner`select * from public.credential_leases where integration_id = ${id}`)[0];
const claim = (id, over = {}) => call(service, "claim_refresh", { p_id: id, p_owner: randomUUID(), ...over });
const settle = (p_owner, ...p_results) => call(service, "settle_refreshes", { p_owner, p_results: service.json(p_results) });
const claimed = async (id, over = {}) => {
  const p_owner = randomUUID();
  const answer = await claim(id, { p_owner, ...over });
  assert.equal(answer.outcome, "claimed");
  return { id, owner: p_owner, ...answer };
};
const end = async ({ id, owner: p_owner, generation }, result) => (await settle(p_owner, { id, generation, ...result })).ends[id];
const trail = async (id) =>
  (await owner`select action, outcome, reason, actor from public.credential_events where integration_id = ${id} order by id`).map(
    (event) => [event.action, event.outcome, event.reason, event.actor],
  );

describe("a token that lives for less than the time that is asked for", () => {
  const refreshed = async (seconds) => {
    const args = await connected();
    const held = await claimed(args.p_id);
    assert.equal(await end(held, { config: ends(inMs(seconds * 1000), { access_token: "d.e.f" }) }), "settled");
    return args.p_id;
  };
  const ago = (id, seconds) =>
    owner`update public.credential_leases set settled_at = now() - make_interval(secs => ${seconds}) where integration_id = ${id}`;

  test("is refreshed by a caller once, and again after 30 seconds or once it has expired", async () => {
    const id = await refreshed(300);
    assert.equal((await claim(id, { p_within: 600 })).outcome, "current");
    await ago(id, 31);
    assert.equal((await claim(id, { p_within: 600 })).outcome, "claimed");
    assert.equal((await claim(await refreshed(-1), { p_within: 600 })).outcome, "claimed");
  });

  test("is refreshed by the schedule after half of its life", async () => {
    const id = await refreshed(300);
    const isDue = async () => {
      const [{ due }] = await owner`select ${id} in (select d.id from private.due_refreshes(500, 600, '{supabase}') d) as due`;
      return due;
    };
    assert.equal(await isDue(), false);
    await ago(id, 250);
    assert.equal(await isDue(), false, "250 of 550 seconds");
    await ago(id, 350);
    assert.equal(await isDue(), true);
  });
});

describe("token_expires_at", () => {
  for (const [text, expected] of [
    ["2025-12-08T10:30:00Z", "2025-12-08T10:30:00.000Z"],
    ["2025-12-08T10:30:00.5+01:00", "2025-12-08T09:30:00.500Z"],
    ["2025-12-08 10:30:00Z", "2025-12-08T10:30:00.000Z"],
    ...["", "soon", "now", "infinity", "epoch", "2025-12-08", "2025-12-08T10:30:00", "2025-13-45T99:99:99Z", "2025-02-30T10:00:00Z",
      "0000-00-00T00:00:00Z", "2025-12-08T10:30:00+99:99", "2025-12-08T10:30:00Z; drop", "x".repeat(10_000), 1765189800, 1e300, null, true,
      ["2025-12-08T10:30:00Z"], { at: "2025-12-08T10:30:00Z" }].map((text) => [text, null]),
  ]) {
    test(`token_expires_at of ${JSON.stringify(text).slice(0, 40)} is ${expected}`, async () => {
      const id = await insertIntegration(owner, { config: owner.json({ expires_at: text }) });
      assert.equal((await row(id)).token_expires_at?.toISOString() ?? null, expected);
    });
  }

  test("token_expires_at of a config that is not an object is null", async () => {
    for (const odd of ["text", 1, []]) {
      const id = await insertIntegration(owner, { config: owner.json(odd) });
      assert.equal((await row(id)).token_expires_at, null);
    }
  });

  test("token_expires_at follows the config, whoever writes it, and nothing else", async () => {
    const id = await insertIntegration(owner, { config: owner.json(ends("2025-12-08T10:30:00Z")) });
    await owner`update public.integrations set config = ${owner.json(ends("2026-01-01T00:00:00Z"))} where id = ${id}`;
    assert.equal((await row(id)).token_expires_at.toISOString(), "2026-01-01T00:00:00.000Z");
    await owner`update public.integrations set token_expires_at = now() where id = ${id}`;
    assert.equal((await row(id)).token_expires_at.toISOString(), "2026-01-01T00:00:00.000Z");
    await owner`update public.integrations set config = '{}' where id = ${id}`;
    assert.equal((await row(id)).token_expires_at, null);
  });

  test("token_expires_at is given to existing rows, whose updated_at stays", async () => {
    const old = await server.createProject({ to: "20261123200400" });
    const updated_at = new Date("2025-12-08T10:00:00Z");
    const id = await insertIntegration(old.owner, { updated_at, config: old.owner.json(ends("2025-12-08T10:30:00Z")) });
    const other = await insertIntegration(old.owner, { updated_at, config: old.owner.json({ expires_at: "soon" }) });
    await old.migrate();
    const rows = await old.owner`select id, token_expires_at, updated_at from public.integrations`;
    const of = (wanted) => rows.find((one) => one.id === wanted);
    assert.equal(of(id).token_expires_at.toISOString(), "2025-12-08T10:30:00.000Z");
    assert.equal(of(other).token_expires_at, null);
    for (const one of rows) assert.equal(one.updated_at.toISOString(), updated_at.toISOString());
  });

  test("token_expires_at keeps a rotation's updates HOT", async () => {
    const fresh = await server.createProject();
    const ids = [];
    for (let i = 0; i < 20; i++) ids.push(await insertIntegration(fresh.owner, { config: fresh.owner.json(ends(inMs(0))) }));
    const page = await fresh.service`select * from public.rewrap_read(null, 100, true)`;
    const patch = { access_token: "bmV3.bmV3.bmV3", _enc: { v: 2, kid: KID.b } };
    const [{ written }] = await fresh.service`
      select public.rewrap_write(${page.map(({ id }) => id)}::uuid[], ${page.map(({ version }) => version)}::text[],
        ${page.map(() => patch)}::jsonb[], ${page.map(() => KID.a)})::integer as written`;
    assert.equal(written, ids.length);
    await fresh.service`select pg_stat_force_next_flush()`;
    const [{ updated, hot }] = await fresh.owner`
      select n_tup_upd::int as updated, n_tup_hot_upd::int as hot from pg_stat_user_tables where relname = 'integrations'`;
    assert.equal(updated, ids.length);
    assert.ok(hot > 0, "no update was HOT");
    assert.equal((await fresh.owner`select from public.credential_leases`).length, 0);
  });
});

test("an active row has no reason, whoever made it active", async () => {
  const { p_id } = await connected();
  await owner`update public.integrations set status = 'degraded', status_reason = 'provider_failed' where id = ${p_id}`;
  assert.equal((await row(p_id)).status_reason, "provider_failed");
  await owner`update public.integrations set status = 'active' where id = ${p_id}`;
  assert.equal((await row(p_id)).status_reason, null);
});

describe("a claim", () => {
  test("one of 50 claims at once gets the lease of a refresh", async () => {
    const many = project.connect("authenticator", { role: "service_role" }, AT_ONCE);
    await Promise.all(Array.from({ length: AT_ONCE }, () => many`select pg_sleep(0.2)`));
    for (let round = 0; round < 5; round++) {
      const { p_id } = await connected();
      const answers = await Promise.all(
        Array.from({ length: AT_ONCE }, () => call(many, "claim_refresh", { p_id, p_owner: randomUUID() })),
      );
      assert.equal(answers.filter(({ outcome }) => outcome === "claimed").length, 1);
      assert.equal(answers.filter(({ outcome }) => outcome === "busy").length, AT_ONCE - 1);
    }
    await many.end();
  });

  test("a claim of a refresh hands the sealed config out with an event, which tells who and what for", async () => {
    const { p_id, p_user_id, p_config } = await connected();
    const answer = await claim(p_id, { p_user_id, p_reason: "refresh" });
    assert.deepEqual(JSON.parse(answer.config), p_config);
    assert.deepEqual([answer.organization_id, answer.integration_type, answer.refreshed], [p_user_id, "supabase", false]);
    assert.deepEqual((await trail(p_id)).at(-1), ["opened", "succeeded", "refresh", "user"]);
    assert.ok((await lease(p_id)).attempted_at, "the attempt is recorded before it is made");
  });

  test("a claim is granted when the token ends within the horizon, and otherwise hands out the stored credential, if asked to", async () => {
    const { p_id, p_config } = await connected({ p_config: ends(inMs(HOUR_MS)) });
    const unread = await claim(p_id, { p_within: 600 });
    assert.deepEqual([unread.outcome, unread.config], ["current", null]);
    assert.equal((await trail(p_id)).length, 1, "nothing was opened");
    const read = await claim(p_id, { p_within: 600, p_read: true, p_reason: "check" });
    assert.deepEqual([read.outcome, JSON.parse(read.config)], ["current", p_config]);
    assert.deepEqual((await trail(p_id)).at(-1), ["opened", "succeeded", "check", "service"]);
    assert.equal((await claim(p_id, { p_within: 4000 })).outcome, "claimed");
  });

  test("a claim of a credential without an expiry is never due, and can be forced", async () => {
    const { p_id } = await connected({ p_config: config(KID.a) });
    assert.equal((await claim(p_id, { p_within: 1_000_000 })).outcome, "current");
    assert.equal((await claim(p_id)).outcome, "claimed");
  });

  test("a claim of another organization's integration is answered like one that does not exist", async () => {
    const { p_id } = await connected();
    assert.deepEqual(await claim(p_id, { p_user_id: randomUUID() }), { outcome: "unknown" });
    assert.deepEqual(await claim(randomUUID(), { p_user_id: randomUUID() }), { outcome: "unknown" });
    assert.equal(await lease(p_id), undefined);
  });

  test("a claim of a refresh takes over a lease that has expired, and knows that an attempt was made", async () => {
    const { p_id } = await connected();
    const first = await claimed(p_id);
    assert.deepEqual(await claim(p_id), { outcome: "busy" });
    await owner`update public.credential_leases set expires_at = now() where integration_id = ${p_id}`;
    const second = await claimed(p_id);
    assert.notEqual(second.generation, first.generation);
    assert.equal((await lease(p_id)).unknown_outcomes, 1);
    assert.equal(await end(first, { config: ends(inMs(HOUR_MS)) }), "changed", "the first comes too late");
    assert.equal(await end(second, { fault: "invalid_grant" }), "reconnect_required");
    assert.deepEqual((await trail(p_id)).at(-1), ["refresh_failed", "reconnect_required", "refresh_lost", "service"]);
  });

  test("an expired claim of a refresh may still be settled while nobody has taken it over", async () => {
    const { p_id } = await connected();
    const only = await claimed(p_id);
    await owner`update public.credential_leases set expires_at = now() where integration_id = ${p_id}`;
    assert.equal(await end(only, { config: ends(inMs(HOUR_MS)) }), "settled");
  });

  test("a claim is not granted for a config that is too large to take fresh tokens", async () => {
    const { p_id } = await connected({ p_config: ends(inMs(0), { p: "x".repeat(200_000) }) });
    for (const over of [{}, { p_within: 600 }]) assert.equal((await claim(p_id, over)).outcome, "current");
  });

  test("a claim of a refresh soon after a refresh finds it done", async () => {
    const { p_id } = await connected();
    await end(await claimed(p_id), { config: ends(inMs(HOUR_MS)) });
    const answer = await claim(p_id);
    assert.deepEqual([answer.outcome, answer.settled], ["current", true]);
    await owner`update public.credential_leases set settled_at = now() - interval '31 seconds' where integration_id = ${p_id}`;
    assert.equal((await claim(p_id)).outcome, "claimed");
  });
});

describe("another writer's change of plaintext", () => {
  const edit = (id, change) => owner`update public.integrations set config = config || ${owner.json(change)} where id = ${id}`;
  const remove = (id, member) => owner`update public.integrations set config = config - ${member}::text where id = ${id}`;
  const fenced = async (act) => {
    assert.equal((await call(service, "declare_fence", { p_kids: [KID.b] })).outcome, "fenced");
    try {
      return await act();
    } finally {
      await call(service, "lift_fence");
    }
  };
  const start = () => connected({ p_config: ends(inMs(60_000), { note: "old", gone: 1, same: 1 }) });
  const refreshed = (args, over = {}) => ({ ...args.p_config, access_token: "bmV3.bmV3.bmV3", expires_at: inMs(HOUR_MS), ...over });

  test("another writer's change of plaintext during a refresh is merged into what was refreshed", async () => {
    const args = await start();
    const mine = await claimed(args.p_id);
    await edit(args.p_id, { note: "new", added: { a: null } });
    await edit(args.p_id, { note: "newer" });
    await remove(args.p_id, "gone");
    const { gone, ...kept } = refreshed(args);
    assert.equal(await end(mine, { config: { ...kept, gone } }), "settled");
    assert.deepEqual((await row(args.p_id)).config, { ...kept, note: "newer", added: { a: null } });
    assert.equal((await lease(args.p_id)).base, null);
  });

  test("another writer's change of plaintext loses to the refresh where both changed the same member", async () => {
    const args = await start();
    const mine = await claimed(args.p_id);
    await edit(args.p_id, { note: "theirs", expires_at: inMs(-HOUR_MS) });
    const fresh = refreshed(args, { note: "ours" });
    assert.equal(await end(mine, { config: fresh }), "settled");
    assert.deepEqual((await row(args.p_id)).config, fresh);
  });

  test("another writer's change of plaintext keeps the refreshed config that waits to be written", async () => {
    const args = await start();
    const mine = await claimed(args.p_id);
    await edit(args.p_id, { note: "before" });
    const fresh = refreshed(args);
    assert.equal(await fenced(() => end(mine, { config: fresh })), "journalled");
    await edit(args.p_id, { note: "after" });
    const next = await claimed(args.p_id, { p_within: 0 });
    assert.deepEqual([JSON.parse(next.config), next.refreshed], [{ ...fresh, note: "after" }, true]);
    await edit(args.p_id, { note: "later still" });
    assert.equal(await end(next, { config: JSON.parse(next.config) }), "settled");
    assert.deepEqual((await row(args.p_id)).config, { ...fresh, note: "later still" });
  });

  test("another writer's change of plaintext that is too large to wait with the refreshed config is merged when that is written, and delays nobody else", async () => {
    const args = await start();
    const mine = await claimed(args.p_id);
    const fresh = refreshed(args);
    assert.equal(await fenced(() => end(mine, { config: fresh })), "journalled");
    await edit(args.p_id, { note: "x".repeat(262_144) });
    await owner`update public.credential_leases set retry_at = null where integration_id = ${args.p_id}`;
    const other = await start();
    const p_owner = randomUUID();
    const { claims } = await call(service, "claim_due_refreshes", { p_owner, p_limit: 500, p_within: 600, p_types: ["supabase"] });
    const [own, others] = [args, other].map(({ p_id }) => claims.find(({ id }) => id === p_id));
    assert.ok(others, "the other row is claimed");
    assert.equal(await end({ ...own, owner: p_owner }, { config: JSON.parse(own.config) }), "settled");
    assert.deepEqual((await row(args.p_id)).config, { ...fresh, note: "x".repeat(262_144) });
    await end({ ...others, owner: p_owner }, { fault: "released" });
  });

  test("another writer's change of plaintext and a rotation of the row leave no field of the older key", async () => {
    const args = await start();
    const mine = await claimed(args.p_id);
    await edit(args.p_id, { note: "new" });
    const [{ version }] = await service`select version from public.rewrap_read(${null}, 5000, true) where id = ${args.p_id}`;
    const patch = { access_token: "Yg==.Yg==.Yg==", _enc: { v: 2, kid: KID.b } };
    await service`select public.rewrap_write(array[${args.p_id}]::uuid[], array[${version}]::text[], array[${patch}]::jsonb[], array[${KID.a}])`;
    const fresh = refreshed(args);
    assert.equal(await end(mine, { config: fresh }), "settled");
    assert.deepEqual((await row(args.p_id)).config, { ...fresh, note: "new" });
  });

  for (const [what, change] of [["a token", { refresh_token: "YQ==.YQ==.YQ==" }], ["a nested secret", { app: { client_secret: "x" } }], ["the key", { _enc: { v: 2, kid: KID.b } }]]) {
    test(`another writer ends the refresh if it brings ${what}`, async () => {
      const args = await start();
      const mine = await claimed(args.p_id);
      await edit(args.p_id, change);
      assert.equal(await end(mine, { config: refreshed(args) }), "changed");
      assert.deepEqual((await row(args.p_id)).config, { ...args.p_config, ...change });
    });
  }

  test("another writer's tokens end what waits to be written, and the row remembers its grant", async () => {
    const args = await start();
    const mine = await claimed(args.p_id);
    assert.equal(await fenced(() => end(mine, { config: refreshed(args) })), "journalled");
    assert.equal((await row(args.p_id)).may_have_earlier_grant, false);
    await edit(args.p_id, { refresh_token: "YQ==.YQ==.YQ==" });
    assert.equal(await lease(args.p_id), undefined);
    assert.equal((await row(args.p_id)).may_have_earlier_grant, true);
  });
});

describe("an end", () => {
  test("settling a refresh writes the config, the expiry, the status and the event", async () => {
    const { p_id } = await connected();
    await owner`update public.integrations set status = 'degraded', status_reason = 'provider_failed' where id = ${p_id}`;
    const fresh = ends("2030-01-01T00:00:00Z", { access_token: "bmV3.bmV3.bmV3" });
    assert.equal(await end(await claimed(p_id), { config: fresh }), "settled");
    const { config: stored, status, status_reason, token_expires_at } = await row(p_id);
    assert.deepEqual([stored, status, status_reason, token_expires_at.toISOString()], [fresh, "active", null, "2030-01-01T00:00:00.000Z"]);
    assert.deepEqual((await trail(p_id)).map(([action]) => action), ["connected", "opened", "refreshed"]);
    const { owner: holder, attempted_at, journal } = await lease(p_id);
    assert.deepEqual([holder, attempted_at, journal], [null, null, null]);
  });

  test("settling a refresh may be repeated, and is written once", async () => {
    const { p_id } = await connected();
    const mine = await claimed(p_id);
    const fresh = ends(inMs(HOUR_MS));
    assert.deepEqual([await end(mine, { config: fresh }), await end(mine, { config: fresh })], ["settled", "settled"]);
    assert.equal((await trail(p_id)).filter(([action]) => action === "refreshed").length, 1);
  });

  test("settling a refresh of another owner or generation writes nothing", async () => {
    const { p_id, p_config } = await connected();
    const mine = await claimed(p_id);
    for (const over of [{ owner: randomUUID() }, { generation: mine.generation + 1 }, { generation: 0 }]) {
      assert.equal(await end({ ...mine, ...over }, { config: ends(inMs(HOUR_MS)) }), "changed");
      assert.equal(await end({ ...mine, ...over }, { fault: "invalid_grant" }), "changed");
    }
    const { config: stored, status } = await row(p_id);
    assert.deepEqual([stored, status], [p_config, "active"]);
  });

  test("settling a refresh after a reconnection leaves the new grant alone, whatever the result", async () => {
    for (const result of [{ config: ends(inMs(HOUR_MS)) }, { fault: "invalid_grant" }]) {
      const args = await connected();
      const mine = await claimed(args.p_id);
      const fresh = ends(inMs(HOUR_MS), { access_token: "cmU=.cmU=.cmU=" });
      assert.equal((await call(service, "complete_connection", { ...args, p_config: fresh })).outcome, "updated");
      assert.equal(await end(mine, result), "changed");
      const { config: stored, status } = await row(args.p_id);
      assert.deepEqual([stored, status], [fresh, "active"]);
    }
  });

  test("settling a refresh after a rotation of the row is written", async () => {
    const { p_id } = await connected();
    const mine = await claimed(p_id);
    const [{ version }] = await service`select version from public.rewrap_read(${null}, 5000, true) where id = ${p_id}`;
    const patch = { access_token: "bmV3.bmV3.bmV3", _enc: { v: 2, kid: KID.b } };
    await service`select public.rewrap_write(array[${p_id}]::uuid[], array[${version}]::text[], array[${patch}]::jsonb[], array[${KID.a}])`;
    assert.equal(await end(mine, { config: ends(inMs(HOUR_MS)) }), "settled");
  });

  test("settling a refresh after a disconnection says so, and nothing of the credential is left", async () => {
    const { p_id, p_user_id } = await connected();
    const mine = await claimed(p_id);
    await call(service, "disconnect_integration", disconnection({ p_id, p_user_id }));
    assert.equal(await end(mine, { config: ends(inMs(HOUR_MS)) }), "gone");
    assert.equal(await lease(p_id), undefined);
  });

  test("a refreshed config that a fence rejects is kept in the journal, and the next claim gets it", async () => {
    const { p_id } = await connected();
    const mine = await claimed(p_id);
    const fresh = ends(inMs(HOUR_MS), { access_token: "bmV3.bmV3.bmV3" });
    assert.equal((await call(service, "declare_fence", { p_kids: [KID.b] })).outcome, "fenced");
    try {
      assert.equal(await end(mine, { config: fresh }), "journalled");
      assert.equal(await end(mine, { config: fresh }), "journalled", "repeated");
    } finally {
      await call(service, "lift_fence");
    }
    const next = await claimed(p_id, { p_within: 0 });
    assert.deepEqual([JSON.parse(next.config), next.refreshed], [fresh, true]);
    assert.equal((await lease(p_id)).attempted_at, null, "there is nothing to redeem");
    assert.equal(await end(next, { config: fresh }), "settled");
    assert.equal((await lease(p_id)).journal, null);
  });

  test("a refreshed config that waits too long for a lock is kept in the journal", async () => {
    const { p_id } = await connected();
    const mine = await claimed(p_id);
    const other = project.connect("postgres");
    let pending;
    await other.begin(async (sql) => {
      await sql`select from public.integrations where id = ${p_id} for update`;
      pending = end(mine, { config: ends(inMs(HOUR_MS)) });
      await lockWait(owner);
      assert.equal(await pending, "journalled");
    });
  });

  test("a refreshed config that waits too long for a lock undoes no other of its batch", async () => {
    const p_owner = randomUUID();
    const [held, free] = [(await connected()).p_id, (await connected()).p_id];
    const results = [];
    for (const id of [held, free]) results.push({ id, generation: (await claim(id, { p_owner })).generation });
    await project.connect("postgres").begin(async (sql) => {
      await sql`select from public.integrations where id = ${held} for update`;
      const { ends: answers } = await settle(p_owner, { ...results[0], fault: "invalid_grant" }, { ...results[1], config: ends(inMs(HOUR_MS)) });
      assert.deepEqual(answers, { [held]: "backed_off", [free]: "settled" });
    });
    assert.equal((await row(held)).status, "active");
    assert.ok((await lease(held)).attempted_at, "the attempt stays on record");
  });

  test("a failed refresh is retried ever later, and no sooner than the provider says", async () => {
    const { p_id } = await connected();
    const waits = [];
    for (const result of [{ fault: "outcome_unknown" }, { fault: "refused" }, { fault: "refused", retry_after: 500 }, { fault: "unreadable" }]) {
      assert.equal((await row(p_id)).status, "active", "the token has not ended");
      assert.equal(await end(await claimed(p_id), result), "backed_off");
      const { retry_at, failed_at } = await lease(p_id);
      waits.push(Math.round((retry_at - failed_at) / 1000));
      assert.equal((await claim(p_id)).outcome, "failed", "just now");
      await owner`update public.credential_leases set failed_at = now() - interval '11 seconds' where integration_id = ${p_id}`;
      assert.equal((await claim(p_id, { p_within: 600, p_read: true })).outcome, "current", "a reader gets what there is");
    }
    assert.deepEqual(waits, [30, 60, 500, 240]);
  });

  test("a credential without a refresh token waits for the token's end, and then requires a reconnection", async () => {
    const { p_id } = await connected({ p_config: ends(inMs(60_000)) });
    assert.equal(await end(await claimed(p_id), { fault: "not_refreshable" }), "backed_off");
    assert.equal((await lease(p_id)).retry_at.toISOString(), (await row(p_id)).token_expires_at.toISOString());
    const past = await connected({ p_config: ends(inMs(-1000)) });
    assert.equal(await end(await claimed(past.p_id), { fault: "not_refreshable" }), "reconnect_required");
    assert.equal((await row(past.p_id)).status_reason, "not_refreshable");
  });

  test("invalid_grant makes it reconnect_required, and it is not retried", async () => {
    const { p_id } = await connected();
    assert.equal(await end(await claimed(p_id), { fault: "invalid_grant" }), "reconnect_required");
    const { status, status_reason } = await row(p_id);
    assert.deepEqual([status, status_reason], ["reconnect_required", "invalid_grant"]);
    await owner`update public.credential_leases set failed_at = null where integration_id = ${p_id}`;
    for (const over of [{}, { p_within: 600 }]) assert.equal((await claim(p_id, over)).outcome, "current");
    assert.deepEqual((await due()).filter((one) => one.id === p_id), []);
  });

  test("settling a batch of refreshes settles each by itself, in one call", async () => {
    const p_owner = randomUUID();
    const ids = [];
    for (let i = 0; i < 3; i++) ids.push((await connected()).p_id);
    const gone = randomUUID();
    const results = [];
    for (const id of ids) results.push({ id, generation: (await claim(id, { p_owner })).generation });
    const { ends: answers } = await settle(p_owner,
      { ...results[0], config: ends(inMs(HOUR_MS)) }, { ...results[1], fault: "outcome_unknown" }, { ...results[2], fault: "released" },
      { id: gone, generation: 1, fault: "outcome_unknown" });
    assert.deepEqual(answers, { [ids[0]]: "settled", [ids[1]]: "backed_off", [ids[2]]: "released", [gone]: "gone" });
    assert.equal((await lease(ids[2])).attempted_at, null);
  });

  for (const [what, results] of [
    ["neither config nor fault", [{ id: randomUUID(), generation: 1 }]],
    ["both", [{ id: randomUUID(), generation: 1, config: {}, fault: "refused" }]],
    ["an unknown fault", [{ id: randomUUID(), generation: 1, fault: "whatever" }]],
    ["a config that is no object", [{ id: randomUUID(), generation: 1, config: [] }]],
    ["a config that is too large", [{ id: randomUUID(), generation: 1, config: { x: "x".repeat(262_144) } }]],
    ["more than 500", Array.from({ length: 501 }, () => ({ id: randomUUID(), generation: 1, fault: "refused" }))],
  ]) {
    test(`settling ${what} is rejected`, () => assert.rejects(settle(randomUUID(), ...results), { code: "22023" }));
  }
});

// Threat model 122.
describe("a refusal", () => {
  const DAY = "25 hours";
  const refusal = (over = {}) => ({ fault: "refused", refusal: { alike: "400 invalid_request", may_be_ours: false, tries: 3, ...over } });
  const past = (over = {}) => connected({ p_config: ends(inMs(-60_000)), ...over });
  const age = (id) => owner`
    update public.credential_leases set refused_since = refused_since - ${DAY}::interval, failed_at = null, retry_at = null
    where integration_id = ${id}`;
  const refused = async (id, over) => {
    const answer = await end(await claimed(id), refusal(over));
    await owner`update public.credential_leases set failed_at = null, retry_at = null where integration_id = ${id}`;
    return answer;
  };
  const standing = async (id) => {
    const { status, status_reason } = await row(id);
    return [status, status_reason];
  };

  test("a rejected refresh while the token is still valid is no verdict, and does not count", async () => {
    const { p_id } = await connected();
    for (let i = 0; i < 4; i++) assert.equal(await refused(p_id), "backed_off");
    assert.deepEqual(await standing(p_id), ["active", null]);
    assert.equal((await lease(p_id)).refusals, 0);
  });

  for (const result of [refusal(), { fault: "refused" }, { fault: "outcome_unknown" }]) {
    test(`a rejected refresh after the token's end leaves the connection degraded, not active: ${JSON.stringify(result).slice(0, 40)}`, async () => {
      const { p_id } = await past();
      assert.equal(await end(await claimed(p_id), result), "backed_off");
      assert.deepEqual(await standing(p_id), ["degraded", "refresh_failed"]);
      await owner`update public.credential_leases set failed_at = null where integration_id = ${p_id}`;
      assert.equal(await end(await claimed(p_id), { config: ends(inMs(HOUR_MS)) }), "settled");
      assert.deepEqual(await standing(p_id), ["active", null]);
    });
  }

  test("a repeated rejection ends the grant after the entry's tries and a day, not sooner", async () => {
    const { p_id } = await past();
    for (let i = 0; i < 5; i++) assert.equal(await refused(p_id), "backed_off", "within a day");
    const few = await past();
    for (let i = 0; i < 2; i++) {
      assert.equal(await refused(few.p_id), "backed_off");
      await age(few.p_id);
    }
    assert.deepEqual(await standing(few.p_id), ["degraded", "refresh_failed"], "twice, over two days");
    for (const id of [p_id, few.p_id]) {
      await age(id);
      assert.equal(await refused(id), "reconnect_required");
      assert.deepEqual(await standing(id), ["reconnect_required", "refresh_refused"]);
      assert.deepEqual((await trail(id)).at(-1), ["refresh_failed", "reconnect_required", "refresh_refused", "service"]);
      assert.equal((await claim(id)).outcome, "current", "it is not asked again");
    }
  });

  test("a rejection of another kind starts the count anew; an outage in between does not", async () => {
    const { p_id } = await past();
    await refused(p_id);
    await refused(p_id);
    await age(p_id);
    assert.equal(await end(await claimed(p_id), { fault: "outcome_unknown" }), "backed_off");
    await owner`update public.credential_leases set failed_at = null where integration_id = ${p_id}`;
    assert.equal((await lease(p_id)).refusals, 2);
    assert.equal(await refused(p_id, { alike: "404 " }), "backed_off");
    assert.equal((await lease(p_id)).refusals, 1);
    await age(p_id);
    await refused(p_id, { alike: "404 " });
    assert.equal(await refused(p_id, { alike: "404 " }), "reconnect_required");
  });

  test("a rejection is forgotten once a refresh or a reconnection brings other tokens", async () => {
    for (const renew of [
      async ({ p_id }) => assert.equal(await end(await claimed(p_id), { config: ends(inMs(-1000)) }), "settled"),
      (args) => call(service, "complete_connection", { ...args, p_config: ends(inMs(-1000), { access_token: "cmU=.cmU=.cmU=" }) }),
    ]) {
      const args = await past();
      await refused(args.p_id);
      await refused(args.p_id);
      await age(args.p_id);
      await renew(args);
      await owner`update public.credential_leases set settled_at = null where integration_id = ${args.p_id}`;
      assert.equal(await refused(args.p_id), "backed_off");
      assert.equal((await lease(args.p_id)).refusals, 1);
    }
  });

  test("a rejection that may be our client's fault ends no grant, however often, until another of the type is refreshed", async () => {
    const p_integration_type = "wrong_secret";
    const over = { alike: "401 invalid_client", may_be_ours: true };
    const ids = [];
    for (let i = 0; i < 20; i++) ids.push((await past({ p_integration_type })).p_id);
    const stays = async () => {
      for (const id of ids) {
        await refused(id, over);
        await age(id);
        for (let i = 0; i < 3; i++) assert.equal(await refused(id, over), "backed_off");
        assert.deepEqual(await standing(id), ["degraded", "refresh_failed"]);
      }
    };
    await stays();
    // Another provider's success says nothing of this one.
    const elsewhere = await connected({ p_integration_type: "right_secret" });
    await end(await claimed(elsewhere.p_id), { config: ends(inMs(HOUR_MS)) });
    await stays();
    const other = await connected({ p_integration_type });
    assert.equal(await end(await claimed(other.p_id), { config: ends(inMs(HOUR_MS)) }), "settled");
    for (const id of ids) assert.equal(await refused(id, over), "reconnect_required", "a token of another client");
    assert.deepEqual(await standing(other.p_id), ["active", null]);
  });

  test("webhooks report a rejected refresh: degraded once, then reconnect_required", async () => {
    const args = await past();
    await endpointOf(service, args.p_organization_id);
    await refused(args.p_id);
    await refused(args.p_id);
    await age(args.p_id);
    await refused(args.p_id);
    const told = (await deliveriesOf(owner, args.p_id)).map(({ type, data }) => [type, data.status, data.reason]);
    assert.deepEqual(told, [
      ["connection.degraded", "degraded", "refresh_failed"],
      ["connection.refresh_failed", "degraded", "refused"],
      ["connection.refresh_failed", "degraded", "refused"],
      ["connection.reconnect_required", "reconnect_required", "refresh_refused"],
    ]);
  });

  test("a rejection with values out of bounds is an error", async () => {
    const { p_id } = await past();
    const mine = await claimed(p_id);
    for (const over of [{ tries: 1 }, { tries: 1001 }, { tries: null }, { alike: "x".repeat(129) }, { alike: null }, { may_be_ours: null }]) {
      await assert.rejects(end(mine, refusal(over)), { code: "22023" });
    }
  });
});

test("a credential that does not open leaves the connection degraded", async () => {
  const { p_id } = await connected();
  assert.equal(await end(await claimed(p_id), { fault: "unreadable" }), "backed_off");
  const { status, status_reason } = await row(p_id);
  assert.deepEqual([status, status_reason], ["degraded", "unreadable"]);
});

const due = async (over = {}) =>
  (await call(service, "claim_due_refreshes", { p_owner: randomUUID(), p_limit: 500, p_within: 600, p_types: ["supabase"], ...over })).claims;

describe("what is due", () => {
  let fresh, sql;
  before(async () => {
    fresh = await server.createProject();
    sql = fresh.owner;
  });
  const insert = (ms, over = {}) => insertIntegration(sql, { config: sql.json(ends(inMs(ms))), ...over });
  const claims = async (over = {}) => {
    const args = { p_owner: randomUUID(), p_limit: 500, p_within: 600, p_types: ["supabase"], ...over };
    return (await call(fresh.service, "claim_due_refreshes", args)).claims.map(({ id }) => id);
  };

  test("due refreshes are claimed once, the soonest first, and only of types and statuses that can be refreshed", async () => {
    const [third, first, second] = [await insert(500_000), await insert(-60_000), await insert(0)];
    const others = [
      await insert(HOUR_MS), await insert(0, { integration_type: "gitlab" }), await insert(0, { status: "reconnect_required" }),
      await insert(0, { status: "revoked" }), await insert(0, { config: sql.json(config(KID.a)) }),
    ];
    assert.deepEqual(await claims({ p_limit: 2 }), [first, second]);
    assert.deepEqual(await claims(), [third]);
    assert.deepEqual(await claims(), []);
    const events = await sql`select integration_id from public.credential_events where action = 'opened' order by id`;
    assert.deepEqual(events.map((event) => event.integration_id), [first, second, third]);
    assert.ok(others.every((id) => !events.some((event) => event.integration_id === id)));
  });

  test("two schedules at once share the due refreshes, and neither waits for a locked row", async () => {
    const ids = [];
    for (let i = 0; i < 40; i++) ids.push(await insert(0));
    const other = fresh.connect("postgres");
    await other.begin(async (held) => {
      await held`select from public.integrations where id = ${ids[0]} for update`;
      const runs = [fresh.connect("authenticator", { role: "service_role" }), fresh.connect("authenticator", { role: "service_role" })];
      const args = () => ({ p_owner: randomUUID(), p_limit: 30, p_within: 600, p_types: ["supabase"] });
      const [a, b] = await Promise.all(runs.map((run) => call(run, "claim_due_refreshes", args())));
      const got = [...a.claims, ...b.claims].map(({ id }) => id);
      assert.equal(new Set(got).size, got.length, "none twice");
      assert.ok(!got.includes(ids[0]));
    });
  });

  test("a claim of due refreshes is bounded in size, and an oversized config keeps no other waiting", async () => {
    await claims();
    const big = { p: "x".repeat(190_000) };
    for (let i = 0; i < 10; i++) await insert(-1000 * i, { config: sql.json(ends(inMs(-1000 * i), big)) });
    await insert(-HOUR_MS, { config: sql.json(ends(inMs(-HOUR_MS), { p: "x".repeat(300_000) })) });
    assert.equal((await claims()).length, 6);
    assert.equal((await claims()).length, 4);
  });

  test("a claim of due refreshes rejects arguments out of bounds", async () => {
    for (const over of [{ p_limit: 0 }, { p_limit: 501 }, { p_limit: null }, { p_within: null }, { p_types: null }]) {
      await assert.rejects(claims(over), { code: "22023" });
    }
  });
});
