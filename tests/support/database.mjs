// The stack's database, as its owner sees it: nothing is hidden by row level security.
import { randomBytes } from "node:crypto";

import postgres from "postgres";

/** A client of the database, by default the stack's. Close it with `end()`. */
export function connect(info, url = info.database_url) {
  return postgres(url, { max: 4, onnotice: () => {} });
}

/** A database of its own that is as empty as a new Supabase project's (no migration applied). */
export async function createDatabase(info) {
  const name = `test_${randomBytes(8).toString("hex")}`;
  const owner = connect(info);
  const url = new URL(info.database_url);
  url.pathname = name;
  try {
    await owner.unsafe(`create database ${name}`);
  } finally {
    await owner.end();
  }
  return {
    url: url.href,
    async drop() {
      const sql = connect(info);
      await sql.unsafe(`drop database ${name} with (force)`);
      await sql.end();
    },
  };
}
