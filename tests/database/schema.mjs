// What the migrations make of a project, as text for readers: migrations/schema.sql, and the table of functions in docs/database.md.
//
//     node_modules/.bin/node tests/database/schema.mjs      # writes both anew
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { startServer } from "./support.mjs";

const SCHEMA = fileURLToPath(new URL("../../migrations/schema.sql", import.meta.url));
const DOCS = fileURLToPath(new URL("../../docs/database.md", import.meta.url));
const [BEGIN, END] = ["<!-- functions: made by tests/database/schema.mjs -->", "<!-- end of functions -->"];
const HEAD = `-- What the migrations make of a project, for readers: made by tests/database/schema.mjs, compared by a test, applied by nobody.\n`;

const quote = (text) => `'${text.replaceAll("'", "''")}'`;

async function tables(sql) {
  const relations = await sql`
    select c.oid, n.nspname || '.' || c.relname as name, c.relrowsecurity as secured, obj_description(c.oid) as comment
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('public', 'private') and c.relkind = 'r' order by 2`;
  const texts = [];
  for (const { oid, name, secured, comment } of relations) {
    const columns = await sql`
      select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as required, a.attidentity <> '' as identity, a.attgenerated <> '' as generated,
        pg_get_expr(d.adbin, d.adrelid) as fallback, col_description(a.attrelid, a.attnum) as comment
      from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = ${oid} and a.attnum > 0 and not a.attisdropped order by a.attnum`;
    const constraints = await sql`
      select conname as name, pg_get_constraintdef(oid) as definition from pg_constraint
      where conrelid = ${oid} and contype <> 'n' order by contype desc, conname`;
    const indexes = await sql`
      select pg_get_indexdef(i.indexrelid) as definition from pg_index i
      where i.indrelid = ${oid} and not exists (select from pg_constraint k where k.conindid = i.indexrelid) order by 1`;
    const policies = await sql`
      select polname as name, polcmd as command, pg_get_expr(polqual, polrelid) as using from pg_policy where polrelid = ${oid} order by polname`;
    const triggers = await sql`
      select pg_get_triggerdef(oid) as definition, tgenabled = 'D' as disabled from pg_trigger
      where tgrelid = ${oid} and not tgisinternal order by tgname, 1`;
    const grants = await sql`
      select r.role, string_agg(p.privilege, ', ' order by p.privilege) as privileges
      from unnest(array['anon', 'authenticated', 'service_role']) r (role)
      cross join unnest(array['select', 'insert', 'update', 'delete']) p (privilege)
      where has_table_privilege(r.role, ${oid}::oid, p.privilege) group by 1 order by 1`;
    const readable = await sql`
      select string_agg(a.attname, ', ' order by a.attnum) as columns from pg_attribute a
      where a.attrelid = ${oid} and a.attnum > 0 and not a.attisdropped
        and not has_table_privilege('authenticated', ${oid}::oid, 'select') and has_column_privilege('authenticated', ${oid}::oid, a.attnum, 'select')`;
    const parts = [
      ...columns.map(({ name: column, type, required, identity, generated, fallback, comment: note }) => {
        const computed = generated ? ` generated always as (${fallback}) stored` : ` default ${fallback}`;
        const made = identity ? " generated always as identity" : fallback === null ? "" : computed;
        return [`${column} ${type}${made}${required ? " not null" : ""}`, note];
      }),
      ...constraints.map(({ name: constraint, definition }) => [`constraint ${constraint} ${definition}`, null]),
    ];
    const lines = parts.map(([part, note], i) => {
      const above = note === null ? "" : `  -- ${note}\n`;
      return `${above}  ${part}${i < parts.length - 1 ? "," : ""}`;
    });
    texts.push(
      [
        ...(comment === null ? [] : [`-- ${comment}`]),
        `create table ${name} (\n${lines.join("\n")}\n);`,
        ...indexes.map(({ definition }) => `${definition};`),
        ...(secured ? [`alter table ${name} enable row level security;`] : []),
        ...policies.map(({ name: policy, command, using }) => `create policy ${JSON.stringify(policy)} on ${name} for ${{ r: "select", "*": "all" }[command]} using (${using});`),
        ...triggers.map(({ definition, disabled }) => `${definition};${disabled ? " -- disabled until a rotation declares its fence" : ""}`),
        ...grants.map(({ role, privileges }) => `grant ${privileges} on ${name} to ${role};`),
        ...(readable[0].columns === null ? [] : [`grant select (${readable[0].columns}) on ${name} to authenticated;`]),
      ].join("\n"),
    );
  }
  return texts;
}

async function views(sql) {
  const rows = await sql`
    select n.nspname || '.' || c.relname as name, array_to_string(c.reloptions, ', ') as options, pg_get_viewdef(c.oid) as definition,
      obj_description(c.oid) as comment,
      array(select r from unnest(array['anon', 'authenticated', 'service_role']) r where has_table_privilege(r, c.oid, 'select')) as readers
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('public', 'private') and c.relkind = 'v' order by 1`;
  return rows.map(({ name, options, definition, comment, readers }) =>
    [
      ...(comment === null ? [] : [`-- ${comment}`]),
      `create view ${name} with (${options}) as\n${definition}`,
      ...readers.map((role) => `grant select on ${name} to ${role};`),
    ].join("\n"),
  );
}

const functionsOf = (sql) => sql`
  select n.nspname as schema, p.proname as name, p.oid::regprocedure::text as signature, pg_get_functiondef(p.oid) as definition,
    obj_description(p.oid) as comment, has_function_privilege('service_role', p.oid, 'execute') as service,
    has_function_privilege('authenticated', p.oid, 'execute') as users
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname in ('public', 'private') order by n.nspname, p.proname`;

/** The text of migrations/schema.sql. */
export async function schemaOf(sql) {
  const functions = (await functionsOf(sql)).map(({ signature, definition, comment, service, users }) => {
    const grants = [...(service ? ["service_role"] : []), ...(users ? ["authenticated"] : [])];
    return [
      `${definition.trimEnd()};`,
      ...(comment === null ? [] : [`comment on function ${signature} is ${quote(comment)};`]),
      ...grants.map((role) => `grant execute on function ${signature} to ${role};`),
    ].join("\n");
  });
  return `${HEAD}\n${[...(await tables(sql)), ...(await views(sql)), ...functions].join("\n\n")}\n`;
}

/** The table of the functions that the worker and keytool call, by their comments. */
export async function functionsTable(sql) {
  const rows = (await functionsOf(sql)).filter(({ schema, service }) => schema === "public" && service);
  return ["| function | what it does |", "| --- | --- |", ...rows.map(({ name, comment }) => `| \`${name}\` | ${comment} |`)].join("\n");
}

export const readSchema = () => readFileSync(SCHEMA, "utf8");

/** docs/database.md with this table in its place. */
export function docsWith(table) {
  const text = readFileSync(DOCS, "utf8");
  const [before, rest] = text.split(BEGIN);
  return `${before}${BEGIN}\n\n${table}\n\n${END}${rest.split(END)[1]}`;
}
export const readDocs = () => readFileSync(DOCS, "utf8");

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = await startServer();
  try {
    const { owner } = await server.createProject();
    writeFileSync(SCHEMA, await schemaOf(owner));
    writeFileSync(DOCS, docsWith(await functionsTable(owner)));
  } finally {
    await server.stop();
  }
}
