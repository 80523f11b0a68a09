// Service keys in the database: who makes them, how many there are, and how often one may be used (threat model 201 and 202).
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { result, scan, scannable } from "./scans.mjs";
import { addMember, call, insertIntegration, startServer } from "./support.mjs";

let server, owner, service;
before(async () => {
  server = await startServer();
  ({ owner, service } = await server.createProject());
});
after(() => server?.stop());

const hash = (text) => createHash("sha256").update(text).digest("hex");
const creation = (over = {}) => ({
  p_user_id: null, p_organization_id: null, p_name: "a key", p_prefix: "sik_abcd", p_hash: hash(randomUUID()),
  p_scopes: ["connections:credentials"], p_expires_at: null, ...over,
});
const created = async (over) => {
  const args = creation(over);
  const { outcome, service_key } = await call(service, "create_service_key", args);
  assert.equal(outcome, "created");
  return { ...service_key, hash: args.p_hash };
};
const authenticate = (p_hash, p_scope = "connections:credentials") => call(service, "authenticate_service_key", { p_hash, p_scope });

describe("create_service_key", () => {
  test("makes a key of all organizations for an operator only", async () => {
    assert.equal((await created()).organization_id, null);
    assert.deepEqual(await call(service, "create_service_key", creation({ p_user_id: randomUUID() })), { outcome: "not_a_member" });
  });

  test("rejects members who do not own the organization, and times that are past", async () => {
    const [organization, member] = [randomUUID(), randomUUID()];
    await addMember(owner, organization, member);
    const args = { p_organization_id: organization, p_user_id: member };
    assert.deepEqual(await call(service, "create_service_key", creation(args)), { outcome: "not_the_owner" });
    const past = creation({ p_expires_at: new Date(Date.now() - 1000) });
    assert.deepEqual(await call(service, "create_service_key", past), { outcome: "expired" });
  });

  test("rejects scopes that are not documented, none at all, and what is no hash", async () => {
    for (const over of [{ p_scopes: [] }, { p_scopes: ["all"] }, { p_scopes: null }, { p_hash: "x" }, { p_name: "" }]) {
      await assert.rejects(call(service, "create_service_key", creation(over)), { code: /^23(514|502)$/ }, JSON.stringify(over));
    }
  });

  test("makes at most 50 valid keys of an organization, also at once", async () => {
    const p_organization_id = randomUUID();
    const answers = await Promise.all(Array.from({ length: 60 }, () => call(service, "create_service_key", creation({ p_organization_id }))));
    assert.equal(answers.filter(({ outcome }) => outcome === "created").length, 50);
    const [{ service_key }] = answers;
    await call(service, "revoke_service_key", { p_user_id: null, p_id: service_key.id });
    assert.equal((await call(service, "create_service_key", creation({ p_organization_id }))).outcome, "created");
  });
});

describe("authenticate_service_key", () => {
  test("finds a valid key by its hash, and records when it was used", async () => {
    const key = await created({ p_organization_id: randomUUID() });
    assert.deepEqual(await authenticate(key.hash), { outcome: "authenticated", id: key.id, organization_id: key.organization_id });
    const [{ last_used_at }] = await owner`select last_used_at from private.service_keys where id = ${key.id}`;
    assert.ok(last_used_at);
    assert.deepEqual(await authenticate(key.hash, "connections:write"), { outcome: "missing_scope" });
    assert.deepEqual(await authenticate(hash("another")), { outcome: "unknown" });
    await call(service, "revoke_service_key", { p_user_id: null, p_id: key.id });
    assert.deepEqual(await authenticate(key.hash), { outcome: "unknown" });
  });

  test("limits how often a key is used", async () => {
    const key = await created();
    await authenticate(key.hash);
    const counters = Array.from({ length: 16 }, (_, i) => `${key.id} ${i}`);
    for (const subject of counters) {
      await owner`
        insert into private.rate_limits (kind, subject, attempts, ends_at, blocked_until)
        values ('service key', ${subject}, 400, now() + interval '30 seconds', now() + interval '30 seconds')
        on conflict (kind, subject) do update set blocked_until = excluded.blocked_until`;
    }
    const { outcome, seconds } = await authenticate(key.hash);
    assert.deepEqual([outcome, seconds > 20 && seconds <= 30], ["too_many", true]);
  });
});

// Threat model 211 and 213.
describe("the views for services", () => {
  const VIEWS = [
    "integrations", "credential_events", "assessments", "assessment_checks", "finding_list", "muted_finding_list", "assessment_findings", "finding_events", "mute_list",
    "webhook_endpoints", "webhook_deliveries",
  ];
  /** The rows of a view in a request with these headers. */
  const seen = (view, headers) =>
    service.begin(async (sql) => {
      if (headers) await sql`select set_config('request.headers', ${JSON.stringify(headers)}, true)`;
      return [...(await sql.unsafe(`select organization_id from public.service_${view}`))].map((row) => row.organization_id);
    });
  const as = (key) => ({ "x-service-key-id": key.id });

  test("show the rows of the key's organization, or of all, while the key is valid, and nothing without a key", async () => {
    const [own, other] = [randomUUID(), randomUUID()];
    for (const organization_id of [own, other]) await insertIntegration(service, { organization_id });
    const [key, all] = [await created({ p_organization_id: own }), await created()];
    assert.deepEqual(await seen("integrations", as(key)), [own]);
    const visible = await seen("integrations", as(all));
    assert.ok(visible.includes(own) && visible.includes(other));
    for (const view of VIEWS) {
      for (const headers of [undefined, {}, { "x-service-key-id": randomUUID() }]) assert.deepEqual(await seen(view, headers), [], view);
    }
    await call(service, "revoke_service_key", { p_user_id: null, p_id: key.id });
    assert.deepEqual(await seen("integrations", as(key)), []);
    await owner`update private.service_keys set expires_at = now() where id = ${all.id}`;
    assert.deepEqual(await seen("integrations", as(all)), []);
  });

  test("show findings, muted ones and those of a past run to the key of their organization", async () => {
    const integration = await scannable(service);
    await scan(service, integration, [result("fail")]);
    const mute = { check_id: "t_tls", reason: "wont_fix", note: "note", expires_at: new Date(Date.now() + 86_400_000).toISOString() };
    await call(service, "mute_findings", { p_user_id: integration.user, p_organization_id: integration.organization, p_mute: service.json(mute) });
    const [key, other] = [await created({ p_organization_id: integration.organization }), await created({ p_organization_id: randomUUID() })];
    for (const view of ["finding_list", "muted_finding_list", "assessment_findings"]) {
      assert.deepEqual([await seen(view, as(key)), await seen(view, as(other))], [[integration.organization], []], view);
    }
  });

  test("have the columns that users may read, and no other", async () => {
    for (const view of VIEWS) {
      const columns = await owner`
        select a.attname as name from pg_attribute a
        where a.attrelid = ${`public.service_${view}`}::regclass and a.attnum > 0 order by 1`;
      const granted = await owner`
        select a.attname as name from pg_attribute a
        where a.attrelid = ${`public.${view}`}::regclass and a.attnum > 0 and has_column_privilege('authenticated', a.attrelid, a.attnum, 'select') order by 1`;
      assert.deepEqual([...columns], [...granted], view);
    }
    assert.ok(!(await service`select * from public.service_integrations limit 0`).columns.some(({ name }) => name === "config"));
  });

  test("list all organizations by an index, without a sort", async () => {
    const key = await created();
    await owner`insert into public.integrations (organization_id, integration_type, name) select gen_random_uuid(), 'supabase', 'many' from generate_series(1, 5000)`;
    await owner`analyze public.integrations`;
    const plan = await service.begin(async (sql) => {
      await sql`select set_config('request.headers', ${JSON.stringify(as(key))}, true)`;
      return sql`explain select id from public.service_integrations order by created_at desc, id limit 50`;
    });
    const text = plan.map((row) => row["QUERY PLAN"]).join("\n");
    assert.match(text, /Index Scan using integrations_created_at/);
    assert.doesNotMatch(text, /Sort/);
  });
});

describe("what a service key changes", () => {
  test("needs the scope and the organization, in the transaction itself", async () => {
    const [own, other] = [randomUUID(), randomUUID()];
    const p_id = await insertIntegration(service, { organization_id: own });
    const change = async (key) => {
      const args = { p_id, p_user_id: null, p_changes: service.json({ name: `n-${randomUUID()}` }), p_service_key: key?.id ?? null };
      return (await call(service, "change_integration", args)).outcome;
    };
    const scopes = { p_scopes: ["connections:write"] };
    assert.equal(await change(await created({ p_organization_id: own, ...scopes })), "changed");
    assert.equal(await change(await created(scopes)), "changed");
    assert.equal(await change(await created({ p_organization_id: other, ...scopes })), "unknown");
    assert.equal(await change(await created({ p_organization_id: own, p_scopes: ["connections:read", "connections:credentials"] })), "unknown");
    assert.equal(await change(), "unknown", "nobody at all");
    const claimed = (key) =>
      call(service, "claim_refresh", { p_id, p_owner: randomUUID(), p_service_key: key.id, p_within: 60, p_read: true, p_reason: "credential" });
    assert.equal((await claimed(await created({ p_organization_id: own, ...scopes }))).outcome, "unknown");
    assert.equal((await claimed(await created({ p_organization_id: own }))).outcome, "current");
  });
});

describe("clean_up", () => {
  test("forgets keys that ended before the events that name them are deleted", async () => {
    const [old, recent, valid] = [await created(), await created(), await created()];
    for (const [key, days] of [[old, 401], [recent, 399]]) {
      await owner`update private.service_keys set revoked_at = now() - make_interval(days => ${days}) where id = ${key.id}`;
    }
    await call(service, "clean_up", { p_event_days: 400 });
    const left = (await owner`select id from private.service_keys where id = any (${[old.id, recent.id, valid.id]})`).map(({ id }) => id);
    assert.deepEqual(new Set(left), new Set([recent.id, valid.id]));
  });
});
