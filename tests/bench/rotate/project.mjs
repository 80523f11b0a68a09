// A Supabase project to measure on: PostgreSQL as in earnest (what is committed is on the disk), PostgREST and the gateway.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import postgres from "postgres";

import { createProjectKeys } from "../../stack/keys.mjs";
import { migrate } from "../../stack/migrate.mjs";
import { startPostgres } from "../../stack/postgres.mjs";
import { startRest } from "../../stack/rest.mjs";
import { startThread } from "../../stack/thread.mjs";

const SETTINGS = {
  fsync: "on",
  synchronous_commit: "on",
  full_page_writes: "on",
  shared_buffers: "512MB",
  max_wal_size: "4GB",
  // The log's files are used again, as in a server that has been in use, and not made anew in somebody's turn.
  min_wal_size: "4GB",
  // It would run in the middle of one side's turn; the bench vacuums between turns.
  autovacuum: "off",
};

/** Tenths of a second. */
const STATISTICS_WAITS = 300;

/** Returns `{ databaseUrl, supabaseUrl, restUrl, keys, sql, settle(), hotUpdates(), stop() }`. */
export async function startProject() {
  const dir = mkdtempSync(path.join(tmpdir(), "bench-rotate-"));
  const logs = path.join(dir, "logs");
  const stops = [() => rmSync(dir, { recursive: true, force: true })];
  const stop = async () => {
    while (stops.length) await stops.pop()();
  };
  const onExit = (error) => console.error(error.message);
  try {
    const keys = await createProjectKeys();
    const { jwtSecret, verificationKey } = keys;
    const database = await startPostgres({ dir, logs, onExit, settings: SETTINGS });
    stops.push(database.stop);
    await migrate(database.url("postgres"));
    const rest = await startRest({ databaseUrl: database.url("authenticator"), jwtSecret, verificationKey, logs, onExit });
    stops.push(rest.stop);
    const gateway = await startThread({
      name: "gateway",
      module: "./gateway.mjs",
      options: { keys, routes: [{ prefix: "/rest/v1", upstream: rest.url, path: "" }] },
      logs,
      onExit,
    });
    stops.push(gateway.stop);
    const sql = postgres(database.url("postgres"), { max: 2, onnotice: () => {} });
    const admin = postgres(database.url("supabase_admin"), { max: 1, onnotice: () => {} });
    stops.push(() => Promise.all([sql.end(), admin.end()]));
    return {
      databaseUrl: database.url("postgres"),
      supabaseUrl: gateway.value.url,
      restUrl: rest.url,
      keys,
      sql,
      /** As before the first turn: no dead row, nothing left to write. */
      async settle() {
        await sql.unsafe("vacuum public.integrations");
        await admin.unsafe("checkpoint");
      },
      /**
       * How many of the `expected` updates so far needed no new entry in any index. A session tells of its work some time after it has
       * ended, and one of PostgREST, which stays, when it has been idle for ten seconds.
       */
      async hotUpdates(expected) {
        for (let waits = 0; waits < STATISTICS_WAITS; waits++) {
          const [{ updated, hot }] = await sql`
            select n_tup_upd::float8 as updated, n_tup_hot_upd::float8 as hot from pg_stat_user_tables where relname = 'integrations'`;
          if (updated === expected) return hot;
          await delay(100);
        }
        throw new Error(`the statistics do not come to the ${expected} updates that were made`);
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
