// Applies migrations the way the Supabase CLI does: in the order of their names, each in a transaction together with
// its record in supabase_migrations.schema_migrations.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import postgres from "postgres";

export const MIGRATIONS = fileURLToPath(new URL("../../migrations", import.meta.url));
const NAME = /^(\d{14})_(.+)\.sql$/;

/**
 * Applies what is not yet applied; returns the versions that it did apply. With `to`, nothing later than that version.
 * A migration that fails is rolled back, and the error names it.
 */
export async function migrate(databaseUrl, { directory = MIGRATIONS, to } = {}) {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  try {
    await sql.unsafe(`
      create schema if not exists supabase_migrations;
      create table if not exists supabase_migrations.schema_migrations (
        version text not null primary key, statements text[], name text)`);
    const recorded = await sql`select version from supabase_migrations.schema_migrations`;
    const applied = new Set(recorded.map(({ version }) => version));
    const pending = listMigrations(directory).filter(({ version }) => !applied.has(version) && (!to || version <= to));
    for (const migration of pending) await apply(sql, migration);
    return pending.map(({ version }) => version);
  } finally {
    await sql.end();
  }
}

/** The migrations of a directory in their order: `[{ version, name, file }]`. */
export function listMigrations(directory = MIGRATIONS) {
  return readdirSync(directory)
    .sort()
    .flatMap((file) => {
      const [, version, name] = NAME.exec(file) ?? [];
      return version ? [{ version, name, file: path.join(directory, file) }] : [];
    });
}

async function apply(sql, { version, name, file }) {
  const text = readFileSync(file, "utf8");
  try {
    await sql.begin(async (transaction) => {
      await transaction.unsafe(text);
      await transaction`
        insert into supabase_migrations.schema_migrations (version, statements, name) values (${version}, ${[text]}, ${name})`;
    });
  } catch (error) {
    throw new Error(`migration ${path.basename(file)} failed: ${error.message}`, { cause: error });
  }
}
