// What a reader finds in migrations/schema.sql and docs/database.md is what the migrations make.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { listMigrations } from "../stack/migrate.mjs";
import { docsWith, functionsTable, readDocs, readSchema, schemaOf } from "./schema.mjs";
import { startServer } from "./support.mjs";

const HINT = "write it anew: node_modules/.bin/node tests/database/schema.mjs";
const SUPABASE = fileURLToPath(new URL("../../supabase", import.meta.url));

let server, owner;
before(async () => {
  server = await startServer();
  ({ owner } = await server.createProject());
});
after(() => server?.stop());

test("migrations/schema.sql is what the migrations make", async () => {
  assert.equal(readSchema(), await schemaOf(owner), HINT);
});

test("docs/database.md has every function that is called, in its comment's words", async () => {
  assert.equal(readDocs(), docsWith(await functionsTable(owner)), HINT);
});

test("every function has a comment", async () => {
  const bare = await owner`
    select p.oid::regprocedure::text as name from pg_proc p
    where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace) and obj_description(p.oid) is null`;
  assert.deepEqual(bare.map(({ name }) => name), []);
});

test("each function is defined once", () => {
  const names = listMigrations().flatMap(({ file }) =>
    [...readFileSync(file, "utf8").matchAll(/^create (?:or replace )?function ([a-z_.]+)/gm)].map(([, name]) => name),
  );
  assert.ok(names.length > 80, `${names.length} functions`);
  assert.deepEqual(names.filter((name, i) => names.indexOf(name) !== i), []);
});

test("`supabase db push` finds the same migrations", () => {
  const theirs = readdirSync(`${SUPABASE}/migrations`).filter((name) => /^\d{14}_.+\.sql$/.test(name));
  assert.deepEqual(theirs.sort(), listMigrations().map(({ version, name }) => `${version}_${name}.sql`));
  assert.match(readFileSync(`${SUPABASE}/config.toml`, "utf8"), /^project_id = /m);
});
