// The migrations apply to an empty project and to one that holds the source's table with rows, and once.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { listMigrations } from "../stack/migrate.mjs";
import { call, completion, config, insertIntegration, startServer } from "./support.mjs";

const FIRST = "20251207133000";

/** The source document's migration, to the letter. */
const SOURCE = `
CREATE TABLE public.integrations (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id UUID NOT NULL,
  integration_type TEXT NOT NULL,
  name TEXT NOT NULL,
  config JSONB NOT NULL DEFAULT '{}',
  status TEXT NOT NULL DEFAULT 'active',
  scan_schedule TEXT,
  last_checked_at TIMESTAMPTZ,
  next_check_at TIMESTAMPTZ,
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

-- Indexes for performance
CREATE INDEX idx_integrations_org_id ON public.integrations(organization_id);
CREATE INDEX idx_integrations_type ON public.integrations(integration_type);
CREATE INDEX idx_integrations_status ON public.integrations(status);
CREATE INDEX idx_integrations_next_check ON public.integrations(next_check_at);

-- RLS Policies
ALTER TABLE public.integrations ENABLE ROW LEVEL SECURITY;

CREATE POLICY "Users can manage their own integrations"
  ON public.integrations
  FOR ALL
  USING (organization_id::text = auth.uid()::text);
`;

let server;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

/** Everything about the schema that a migration can change. */
async function catalogue(sql) {
  const [{ described }] = await sql`
    with ours as (
      select c.oid, n.nspname || '.' || c.relname as name, c.relkind, c.relrowsecurity, c.relacl
      from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('public', 'private')
    )
    select jsonb_build_object(
      'relations', (select jsonb_agg(jsonb_build_array(name, relkind, relrowsecurity, relacl::text) order by name) from ours),
      'columns', (
        select jsonb_agg(jsonb_build_array(
          ours.name, attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid), attacl::text
        ) order by ours.name, attnum)
        from ours join pg_attribute on attrelid = ours.oid and attnum > 0 and not attisdropped
        left join pg_attrdef on adrelid = attrelid and adnum = attnum
        where relkind in ('r', 'p')
      ),
      'indexes', (select jsonb_agg(indexdef order by indexdef) from pg_indexes where schemaname in ('public', 'private')),
      'constraints', (
        select jsonb_agg(jsonb_build_array(ours.name, conname, pg_get_constraintdef(k.oid)) order by ours.name, conname)
        from ours join pg_constraint k on conrelid = ours.oid
      ),
      'views', (
        select jsonb_agg(jsonb_build_array(name, c.reloptions, pg_get_viewdef(ours.oid)) order by name)
        from ours join pg_class c on c.oid = ours.oid where ours.relkind = 'v'
      ),
      'policies', (select jsonb_agg(to_jsonb(p) order by tablename, policyname) from pg_policies p where schemaname = 'public'),
      'triggers', (
        select jsonb_agg(jsonb_build_array(pg_get_triggerdef(t.oid), tgenabled) order by tgname, pg_get_triggerdef(t.oid))
        from ours join pg_trigger t on tgrelid = ours.oid where not tgisinternal
      ),
      'functions', (
        select jsonb_agg(jsonb_build_array(pg_get_functiondef(p.oid), proacl::text) order by p.oid::regprocedure::text)
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname in ('public', 'private')
      )
    ) as described`;
  return described;
}

test("the first migration has the effect of the source document's", async () => {
  const [ours, theirs] = [await server.createProject({ to: FIRST }), await server.createProject({ to: null })];
  await theirs.owner.unsafe(SOURCE);
  assert.deepEqual(await catalogue(ours.owner), await catalogue(theirs.owner));
  assert.deepEqual(await theirs.migrate(FIRST), [FIRST]);
  assert.deepEqual(await catalogue(theirs.owner), await catalogue(ours.owner), "applied to the source's table it changes nothing");
});

test("migrations are named as the Supabase CLI names them, each version once", () => {
  const versions = listMigrations().map(({ version }) => version);
  assert.ok(versions.length > 1);
  assert.equal(versions[0], FIRST);
  assert.equal(new Set(versions).size, versions.length);
});

test("the same schema results from nothing and from the source's table, by a role that is no superuser", async () => {
  const [fresh, standing] = [await server.createProject(), await server.createProject({ to: null })];
  await standing.owner.unsafe(SOURCE);
  await standing.migrate();
  const [{ usesuper }] = await standing.owner`select usesuper from pg_user where usename = current_user`;
  assert.equal(usesuper, false);
  assert.deepEqual(await catalogue(standing.owner), await catalogue(fresh.owner));
});

test("a second time nothing is applied, and a file that is run again by hand is harmless or rejected whole", async () => {
  const project = await server.createProject();
  assert.deepEqual(await project.migrate(), []);
  const before = await catalogue(project.owner);
  for (const { file, name } of listMigrations()) {
    const text = readFileSync(file, "utf8");
    // What already stands is refused (class 42), in one transaction with the rest of the file.
    await project.owner.begin((sql) => sql.unsafe(text)).catch((error) => assert.match(error.code, /^42/, `${name}: ${error.message}`));
    assert.deepEqual(await catalogue(project.owner), before, name);
  }
});

test("rows of the source's table stay as they are, and get the account that their config names", async () => {
  const { owner, service, migrate } = await standingProject();
  const organization = randomUUID();
  const at = (day) => new Date(Date.UTC(2025, 11, day));
  const insert = (value, over = {}) =>
    insertIntegration(owner, { organization_id: organization, config: owner.json(value), updated_at: at(9), ...over });
  const project = (project_id) => config(null, { project_id });

  const expected = new Map([
    [await insert(project("single")), "single"],
    [await insert(project("twice"), { created_at: at(8) }), null],
    [await insert(project("twice"), { created_at: at(10) }), "twice"],
    [await insert(project("twice"), { created_at: at(9) }), null],
    [await insert(project("twice"), { organization_id: randomUUID() }), "twice"],
    [await insert(project("twice"), { integration_type: "github" }), "twice"],
    [await insert(project("x".repeat(200))), "x".repeat(200)],
    [await insert(project("x".repeat(201))), null],
    [await insert(project("")), null],
    [await insert(project(7)), null],
    [await insert(project(null)), null],
    [await insert(project({ id: "nested" })), null],
    [await insert({}), null],
    [await insert([project("listed")]), null],
    [await insert("project_id"), null],
    [await insert(3), null],
  ]);
  const [nothing] = await owner`
    insert into public.integrations (organization_id, integration_type, name, config) values (${organization}, 'supabase', 'n', 'null')
    returning id`;
  expected.set(nothing.id, null);
  const [same, ...both] = await Promise.all([1, 2].map(() => insert(project("same moment"), { created_at: at(8) })));
  const winner = [same, ...both].sort().at(-1);
  for (const id of [same, ...both]) expected.set(id, id === winner ? "same moment" : null);

  const before = await owner`select * from public.integrations order by id`;
  await migrate();
  const rows = await owner`select * from public.integrations order by id`;
  const columns = Object.keys(before[0]);
  const asBefore = (row) => Object.fromEntries(columns.map((column) => [column, row[column]]));
  assert.deepEqual(rows.map(asBefore), before.map(asBefore));
  for (const row of rows) {
    assert.equal(row.external_account_id, expected.get(row.id), JSON.stringify(row.config).slice(0, 80));
  }

  await writersStillWork(service);
});

test("the owner can adopt the accounts of rows that an older version inserts after the migration", async () => {
  const { owner, service } = await server.createProject();
  const connected = completion();
  await call(service, "complete_connection", connected);
  const taken = { organization_id: connected.p_organization_id, config: service.json({ project_id: connected.p_external_account_id }) };
  const late = await insertIntegration(service, taken);
  const own = await insertIntegration(service);
  const [{ adopted }] = await owner`select private.adopt_external_accounts()::int as adopted`;
  assert.equal(adopted, 1);
  const account = async (id) => (await owner`select external_account_id from public.integrations where id = ${id}`)[0].external_account_id;
  assert.equal(await account(own), "abc123");
  assert.equal(await account(late), null, "the account has its row already");
});

async function standingProject() {
  const project = await server.createProject({ to: null });
  await project.owner.unsafe(SOURCE);
  return { owner: project.owner, service: project.service, migrate: () => project.migrate() };
}

/** What the source's application does with its service key. */
async function writersStillWork(service) {
  const id = await insertIntegration(service);
  const [inserted] = await service`select * from public.integrations where id = ${id}`;
  assert.equal(inserted.external_account_id, null);
  await service`update public.integrations set config = ${service.json(config(null))}, status = 'error' where id = ${id}`;
  const [updated] = await service`select * from public.integrations where id = ${id}`;
  assert.equal(updated.status, "error");
  assert.ok(updated.updated_at > inserted.updated_at);
  const deleted = await service`delete from public.integrations where id = ${id} returning id`;
  assert.equal(deleted.length, 1);
}
