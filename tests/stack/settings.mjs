// The worker's settings for a stack, and the file that wrangler reads them from.
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";

const MARK = "# Written by the local stack for as long as it runs.";

/** Every setting of the worker, by the stack's `info`. */
export function workerSettings(info) {
  return {
    APP_URL: info.app_url,
    SUPABASE_URL: info.supabase_url,
    SUPABASE_ANON_KEY: info.publishable_key,
    SUPABASE_SERVICE_ROLE_KEY: info.secret_key,
    SUPABASE_JWT_SECRET: info.jwt_secret,
    SUPABASE_CLIENT_ID: info.client_id,
    SUPABASE_CLIENT_SECRET: info.client_secret,
    SUPABASE_BASE_URL: info.authorization_server_url,
    SUPABASE_ISSUER: info.authorization_server_url,
    ENCRYPTION_KEY: info.encryption_key,
  };
}

/** Writes them for wrangler. A file of the user's own is never overwritten: it may hold the only copy of a key. */
export function writeDevVars(file, info) {
  requireOurs(file);
  const lines = Object.entries(workerSettings(info)).map(([name, value]) => `${name}="${value}"`);
  writeAtomically(file, [MARK, ...lines, ""].join("\n"));
}

/** Throws when the file is the user's own. */
export function requireOurs(file) {
  if (existsSync(file) && !readFileSync(file, "utf8").startsWith(MARK)) {
    throw new Error(`${file} is not the stack's and would be overwritten\nhint: move it elsewhere, or remove it`);
  }
}

/** Removes what writeDevVars wrote. */
export function removeDevVars(file) {
  if (existsSync(file) && readFileSync(file, "utf8").startsWith(MARK)) rmSync(file);
}

/** Writes a file that holds secrets so that nobody reads half of it. */
export function writeAtomically(file, text) {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, text, { mode: 0o600 });
  renameSync(draft, file);
}
