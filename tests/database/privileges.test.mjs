// Who may read and do what (threat model 26): in SQL for every object there is, and through the real PostgREST.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { SignJWT } from "jose";

import { createProjectKeys } from "../stack/keys.mjs";
import { startRest } from "../stack/rest.mjs";
import { addMember, call, completion, config, insertIntegration, KID, startServer } from "./support.mjs";

let server, project, owner, service, rest, keys;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
  keys = await createProjectKeys();
  rest = await startRest({
    databaseUrl: project.url("authenticator"),
    jwtSecret: keys.jwtSecret,
    verificationKey: keys.verificationKey,
    logs: server.logs,
  });
});
after(async () => {
  await rest?.stop();
  await server?.stop();
});

const SAFE_COLUMNS = [
  "id", "organization_id", "integration_type", "name", "status", "scan_schedule", "last_checked_at", "next_check_at", "created_at",
  "updated_at", "external_account_id", "token_expires_at", "status_reason", "external_user_id", "granted_scopes", "oauth_app_id", "connected_by", "tags",
];
const EVENT_COLUMNS = [
  "id", "occurred_at", "actor", "user_id", "organization_id", "integration_id", "integration_type", "action", "outcome", "reason",
  "request_id", "details",
];
const ENDPOINT_COLUMNS = [
  "id", "organization_id", "url", "events", "min_severity", "enabled", "disabled_reason", "previous_secret_ends_at", "created_at",
];
const DELIVERY_COLUMNS = [
  "endpoint_id", "event_id", "position", "organization_id", "integration_id", "type", "occurred_at", "state", "attempts",
  "next_attempt_at", "last_attempt_at", "last_status", "last_error", "delivered_at",
];
const SCANNER_COLUMNS = {
  assessments: `id organization_id integration_id integration_type account_id trigger slot requested_by state outcome reason catalogue
    baseline requests passed failed unknown not_applicable muted opened reopened resolved unverified queued_at started_at finished_at`,
  assessment_checks: `assessment_id organization_id check_id check_version status reason needs complete passed failed unknown not_applicable`,
  findings: `id organization_id integration_id integration_type account_id check_id check_version resource_type resource_id resource_name
    item severity sort_key state ended_as unverified_since unverified_reason evidence reopened first_seen_at opened_at ended_at`,
  finding_events: `id occurred_at finding_id organization_id assessment_id action cause reason`,
  finding_mutes: `id organization_id integration_id check_id resource_id item reason note created_by created_at expires_at ended_at ended_by`,
};
/** What users read, of which service keys have views. */
const FOR_SERVICES = [
  "integrations", "credential_events", "assessments", "assessment_checks", "finding_list", "muted_finding_list", "assessment_findings", "finding_events", "mute_list", "webhook_endpoints", "webhook_deliveries",
];

describe("what is granted, object by object", () => {
  test("functions are granted to the service key alone, the two of the policies to users, and the rest to nobody", async () => {
    const functions = await owner`
      select p.oid::regprocedure::text as name, n.nspname as schema,
        array(select r from unnest(array['anon', 'authenticated', 'service_role']) r where has_function_privilege(r, p.oid, 'execute')) as callers,
        exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee = 0) as everyone
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where n.nspname in ('public', 'private')`;
    const policies = ["private.can_access_organization(uuid)", "private.my_organizations()"];
    assert.ok(functions.length > 20);
    for (const { name, schema, callers, everyone } of functions) {
      const expected = policies.includes(name) ? ["authenticated"] : schema === "public" ? ["service_role"] : [];
      assert.deepEqual([...callers], expected, name);
      assert.equal(everyone, false, name);
    }
  });

  test("all functions but one run with their own rights and a pinned search_path", async () => {
    const functions = await owner`
      select p.oid::regprocedure::text as name, p.prosecdef as definer, p.prorettype = 'trigger'::regtype as trigger,
        'search_path=pg_catalog, pg_temp' = any (coalesce(p.proconfig, '{}')) as pinned, p.prosqlbody is not null as resolved
      from pg_proc p where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)`;
    for (const { name, definer, trigger, pinned, resolved } of functions) {
      if (name === "private.can_access_organization(uuid)") {
        assert.ok(resolved, `${name} has a body that was resolved when it was created`);
        continue;
      }
      assert.ok(pinned, `${name} looks in pg_catalog first and in pg_temp last`);
      assert.ok(definer || trigger, `${name} is security definer`);
    }
  });

  // Threat model 110. With an empty search_path the temporary schema is still looked at first for types (PostgreSQL 18, "search_path").
  test("a temporary type does not run code with a function's rights", async () => {
    const attacker = project.connect("authenticator", { role: "service_role" });
    await attacker.unsafe(`
      create temp table seen (name text);
      create function pg_temp.spy(anyelement) returns boolean language plpgsql as
        $$ begin insert into pg_temp.seen values (current_user); return true; end $$;
      grant all on pg_temp.seen to public;
      create domain pg_temp.text as pg_catalog.text check (pg_temp.spy(value));
      create domain pg_temp.jsonb as pg_catalog.jsonb check (pg_temp.spy(value));
      create domain pg_temp.boolean as pg_catalog.bool check (pg_temp.spy(value));
      create domain pg_temp.uuid as pg_catalog.uuid check (pg_temp.spy(value));`);
    await attacker.unsafe(`select pg_catalog.count(public.claim_due_refreshes(pg_catalog.gen_random_uuid(), 10, 600, '{supabase}', 'r'))`);
    await attacker.unsafe(
      `select public.change_integration(pg_catalog.gen_random_uuid(), pg_catalog.gen_random_uuid(), '{"name": "n"}', 'r')`,
    );
    assert.deepEqual([...(await attacker.unsafe("select distinct name from pg_temp.seen"))], []);
  });

  test("tables, columns and sequences are granted to nobody who does not need them", async () => {
    const granted = await owner`
      select n.nspname || '.' || c.relname as name, r.role, p.privilege
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      cross join unnest(array['anon', 'authenticated', 'service_role']) r (role)
      cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger', 'maintain']) p (privilege)
      where n.nspname in ('public', 'private') and c.relkind in ('r', 'p', 'v', 'm') and has_table_privilege(r.role, c.oid, p.privilege)`;
    const summary = {};
    for (const { name, role, privilege } of granted) ((summary[name] ??= {})[role] ??= []).push(privilege);
    const all = ["select", "insert", "update", "delete"];
    assert.deepEqual(summary, {
      "public.integrations": { service_role: all },
      "public.organization_members": { authenticated: ["select"], service_role: all },
      "public.credential_events": { service_role: ["select"] },
      "public.assessments": { service_role: ["select"] },
      "public.assessment_findings": { authenticated: ["select"] },
      "public.finding_list": { authenticated: ["select"] },
      "public.mute_list": { authenticated: ["select"] },
      "public.muted_finding_list": { authenticated: ["select"] },
      ...Object.fromEntries(FOR_SERVICES.map((name) => [`public.service_${name}`, { service_role: ["select"] }])),
    });

    const columns = await owner`
      select c.relname as table, r.role, a.attname as column, p.privilege
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      cross join unnest(array['anon', 'authenticated']) r (role)
      cross join unnest(array['select', 'insert', 'update', 'references']) p (privilege)
      where n.nspname in ('public', 'private') and c.relkind = 'r' and c.relname <> 'organization_members'
        and has_column_privilege(r.role, c.oid, a.attnum, p.privilege)`;
    assert.deepEqual(
      columns.map(({ table, role, column, privilege }) => `${role} ${privilege} ${table}.${column}`).sort(),
      [
        ...SAFE_COLUMNS.map((column) => `authenticated select integrations.${column}`),
        ...EVENT_COLUMNS.map((column) => `authenticated select credential_events.${column}`),
        ...ENDPOINT_COLUMNS.map((column) => `authenticated select webhook_endpoints.${column}`),
        ...DELIVERY_COLUMNS.map((column) => `authenticated select webhook_deliveries.${column}`),
        ...Object.entries(SCANNER_COLUMNS).flatMap(([table, names]) =>
          names.split(/\s+/).map((column) => `authenticated select ${table}.${column}`),
        ),
      ].sort(),
    );

    const sequences = await owner`
      select c.relname from pg_class c
      cross join unnest(array['anon', 'authenticated', 'service_role']) r (role)
      cross join unnest(array['usage', 'select', 'update']) p (privilege)
      where c.relkind = 'S' and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
        and has_sequence_privilege(r.role, c.oid, p.privilege)`;
    assert.deepEqual([...sequences], []);
  });

  test("every table has row level security, and its policies only read", async () => {
    const open = await owner`
      select c.relname from pg_class c
      where c.relkind = 'r' and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and not c.relrowsecurity`;
    assert.deepEqual([...open], []);
    const policies = await owner`select tablename, cmd, roles::text from pg_policies where schemaname = 'public' order by tablename`;
    assert.deepEqual(
      policies.map(({ tablename, cmd, roles }) => [tablename, cmd, roles]),
      [
        "assessment_checks", "assessments", "credential_events", "finding_events", "finding_mutes", "findings", "integrations",
        "organization_members", "webhook_deliveries", "webhook_endpoints",
      ].map((table) => [table, "SELECT", "{authenticated}"]),
    );
  });

  test("nobody but the owner may use what comes into the schema private later", async () => {
    const [{ anon, create }] = await owner`
      select has_schema_privilege('anon', 'private', 'usage') as anon, has_schema_privilege('authenticated', 'private', 'create') as create`;
    assert.deepEqual({ anon, create }, { anon: false, create: false });
  });
});

describe("events", () => {
  test("events are append-only for the service key and for the owner", async () => {
    const args = completion();
    await call(service, "complete_connection", args);
    const attempts = (sql) => [
      sql`update public.credential_events set user_id = ${randomUUID()}`,
      sql`update public.credential_events set user_id = ${randomUUID()} where false`,
      sql`delete from public.credential_events`,
      sql`truncate public.credential_events`,
    ];
    for (const attempt of [...attempts(service), service`insert into public.credential_events default values`, ...attempts(owner)]) {
      await assert.rejects(attempt, { code: "42501" });
    }
    await assert.rejects(service`alter table public.credential_events disable trigger append_only`, { code: "42501" });
    await assert.rejects(service`set session_replication_role = replica`, { code: "42501" });
    const rows = await service`select user_id from public.credential_events where integration_id = ${args.p_id}`;
    assert.deepEqual(rows.map((row) => row.user_id), [args.p_user_id]);
  });
});

describe("rows of users and organizations", () => {
  const names = async (sql) => (await sql`select name from public.integrations order by name`).map((row) => row.name);

  test("a user sees the rows of their own organization and of those they belong to", async () => {
    const [alice, bob, shared] = [randomUUID(), randomUUID(), randomUUID()];
    await addMember(owner, shared, bob);
    for (const [organization_id, name] of [[alice, "Alice's"], [bob, "Bob's"], [shared, "Shared"]]) {
      await insertIntegration(service, { organization_id, name });
    }
    assert.deepEqual(await names(project.user(alice)), ["Alice's"]);
    assert.deepEqual(await names(project.user(bob)), ["Bob's", "Shared"]);
    assert.deepEqual(await names(project.user(randomUUID())), []);
    await addMember(owner, shared, alice);
    assert.deepEqual(await names(project.user(alice)), ["Alice's", "Shared"]);
    const memberships = await project.user(alice)`select organization_id, user_id from public.organization_members`;
    assert.deepEqual([...memberships].map((row) => ({ ...row })), [{ organization_id: shared, user_id: alice }]);
    await owner`delete from public.organization_members where organization_id = ${shared} and user_id = ${alice}`;
    assert.deepEqual(await names(project.user(alice)), ["Alice's"]);
  });

  // Threat model 17.
  test("nothing in a token but the user's id counts", async () => {
    const organization = randomUUID();
    await insertIntegration(service, { organization_id: organization });
    const claims = {
      organization_id: organization,
      org_id: organization,
      user_metadata: { organization_id: organization, organizations: [organization], role: "owner" },
      app_metadata: { organization_id: organization },
    };
    assert.deepEqual(await names(project.user(randomUUID(), claims)), []);
  });

  test("a token without a user sees no rows", async () => {
    await insertIntegration(service);
    const nobody = project.connect("authenticator", { role: "authenticated", "request.jwt.claims": '{"role":"authenticated"}' });
    assert.deepEqual(await names(nobody), []);
  });

  test("a list without a filter uses an index: the policy is not called for every row", async () => {
    await owner`
      insert into public.integrations (organization_id, integration_type, name)
      select gen_random_uuid(), 'supabase', 'many' from generate_series(1, 5000)`;
    await owner`analyze public.integrations`;
    const plan = (await project.user(randomUUID())`explain select id from public.integrations`).map((row) => row["QUERY PLAN"]);
    assert.match(plan.join("\n"), /Index Cond: .*private\.my_organizations\(\)/);
  });
});

describe("through PostgREST", () => {
  const request = async (token, path, { method = "GET", body, headers = {} } = {}) => {
    const response = await fetch(`${rest.url}${path}`, {
      method,
      headers: { ...(token && { authorization: `Bearer ${token}` }), "content-type": "application/json", ...headers },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, body: text && JSON.parse(text) };
  };
  const userToken = (sub) =>
    new SignJWT({ sub, role: "authenticated" })
      .setProtectedHeader({ alg: "HS256" })
      .setExpirationTime("5 minutes")
      .sign(new TextEncoder().encode(keys.jwtSecret));

  const callers = async () => {
    const user = randomUUID();
    const args = completion({ p_user_id: user });
    await call(service, "complete_connection", args);
    await addMember(owner, randomUUID(), user);
    return [
      { who: "a user", token: await userToken(user), denied: 403, args, user },
      { who: "the anon key", token: keys.anonKey, denied: 401, args, user },
      { who: "nobody", token: undefined, denied: 401, args, user },
    ];
  };

  test("PostgREST lists the safe columns of a user's own rows, counted", async () => {
    const [{ token, args }] = await callers();
    const answer = await request(token, `/integrations?select=${SAFE_COLUMNS}`, { headers: { prefer: "count=exact" } });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    assert.deepEqual(answer.body.map((row) => row.id), [args.p_id]);
    assert.deepEqual(Object.keys(answer.body[0]), SAFE_COLUMNS);
  });

  test("PostgREST lets no user read config: selected, filtered, ordered, aggregated or by default", async () => {
    for (const { who, token, denied } of await callers()) {
      for (const path of [
        "/integrations?select=config",
        "/integrations?select=id,config",
        "/integrations?select=id,token:config->>access_token",
        "/integrations?select=*",
        "/integrations",
        "/integrations?select=id&config->>access_token=like.a*",
        "/integrations?select=id&order=config",
      ]) {
        const answer = await request(token, path);
        assert.deepEqual([answer.status, answer.body.code], [denied, "42501"], `${who}: ${path}`);
      }
    }
  });

  test("PostgREST lets no user write a row or a column of any table", async () => {
    const fingerprint = async () => {
      const tables = await owner`
        select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('public', 'private') order by name`;
      const rows = await owner.unsafe(
        tables
          .map(({ name }) => `select '${name}' as name, count(*)::int, md5(string_agg(t::text, '' order by t::text)) from ${name} t`)
          .join(" union all "),
      );
      return rows.map((row) => ({ ...row }));
    };
    const all = await callers();
    const before = await fingerprint();
    for (const { who, token, denied, args, user } of all) {
      const row = { organization_id: user, integration_type: "supabase", name: "n" };
      const attempts = [
        [`/integrations`, { method: "POST", body: row }],
        [`/integrations`, { method: "POST", body: { id: args.p_id, ...row }, headers: { prefer: "resolution=merge-duplicates" } }],
        [`/integrations?id=eq.${args.p_id}`, { method: "PATCH", body: { name: "x" } }],
        [`/integrations?id=eq.${args.p_id}`, { method: "PATCH", body: { config: config(KID.c) } }],
        [`/integrations?id=eq.${args.p_id}`, { method: "DELETE" }],
        [`/organization_members`, { method: "POST", body: { organization_id: randomUUID(), user_id: user } }],
        [`/organization_members?user_id=eq.${user}`, { method: "PATCH", body: { role: "owner" } }],
        [`/organization_members?user_id=eq.${user}`, { method: "DELETE" }],
        ...[
          "oauth_transactions", "pending_connections", "credential_events", "key_registry", "webhook_endpoints", "webhook_deliveries",
          "assessments", "findings", "finding_events",
        ].flatMap((table) => [
          [`/${table}`, {}],
          [`/${table}`, { method: "POST", body: {} }],
          [`/${table}`, { method: "DELETE" }],
        ]),
        ...["assessment_checks", "finding_mutes", "mute_list"].flatMap((table) => [
          [`/${table}`, { method: "POST", body: { organization_id: user } }],
          [`/${table}?organization_id=eq.${user}`, { method: "PATCH", body: { organization_id: randomUUID() } }],
          [`/${table}?organization_id=eq.${user}`, { method: "DELETE" }],
        ]),
      ];
      for (const [path, options] of attempts) {
        const answer = await request(token, path, options);
        assert.deepEqual([answer.status, answer.body.code], [denied, "42501"], `${who}: ${options.method ?? "GET"} ${path}`);
      }
    }
    assert.deepEqual(await fingerprint(), before);
  });

  test("PostgREST rejects a user's call of every function", async () => {
    const functions = await owner`
      select p.proname as name, coalesce(p.proargnames[1:p.pronargs], '{}') as arguments
      from pg_proc p where p.pronamespace = 'public'::regnamespace`;
    assert.ok(functions.length >= 14);
    for (const { who, token, denied } of await callers()) {
      for (const { name, arguments: names } of functions) {
        const body = Object.fromEntries(names.map((argument) => [argument, null]));
        const answer = await request(token, `/rpc/${name}`, { method: "POST", body });
        assert.deepEqual([answer.status, answer.body.code], [denied, "42501"], `${who}: ${name}`);
      }
    }
  });

  test("PostgREST has no functions of the schema private, whoever asks", async () => {
    const names = (await owner`select proname as name from pg_proc where pronamespace = 'private'::regnamespace`).map((row) => row.name);
    assert.ok(names.length > 5);
    for (const token of [await userToken(randomUUID()), keys.serviceRoleKey]) {
      for (const name of names) {
        const answer = await request(token, `/rpc/${name}`, { method: "POST", body: {} });
        assert.equal(answer.status, 404, name);
      }
      const answer = await request(token, "/fence", { headers: { "accept-profile": "private" } });
      assert.equal(answer.status, 406);
    }
  });

  test("PostgREST lets the service key call the functions, with rewrap's arrays and the fence's rejection", async () => {
    const rpc = (name, body) => request(keys.serviceRoleKey, `/rpc/${name}`, { method: "POST", body });
    const args = completion();
    assert.deepEqual((await rpc("complete_connection", args)).body, { outcome: "created", id: args.p_id });

    const page = await rpc("rewrap_read", { p_after: null, p_limit: 5000, p_pending: true, p_organization_id: args.p_organization_id });
    assert.equal(page.status, 200, JSON.stringify(page.body));
    const [{ id, version }] = page.body;
    const patch = { access_token: "bmV3.bmV3.bmV3", _enc: { v: 2, kid: KID.b } };
    const applied = await rpc("rewrap_write", { p_ids: [id], p_versions: [version], p_patches: [patch], p_from_kids: [null] });
    assert.deepEqual([applied.status, applied.body], [200, 1]);

    const { body: fence } = await rpc("declare_fence", { p_kids: [KID.b] });
    assert.equal(fence.outcome, "fenced");
    try {
      const refused = await rpc("complete_connection", completion());
      assert.equal(refused.status, 400);
      assert.deepEqual(refused.body, {
        code: "IK001",
        message: "integrations.config is not sealed with a key that may write now",
        details: `key id: ${KID.a}`,
        hint: "a key rotation has fenced this key out: seal with the current ENCRYPTION_KEY and write again",
      });
    } finally {
      assert.deepEqual((await rpc("lift_fence", {})).body, { outcome: "lifted" });
    }
  });
});
