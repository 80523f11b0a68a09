// What a stack leaves in the file system for others: the worker's settings, and whose a directory is.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

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
    WEBHOOK_LOOPBACK: "true",
  };
}

/**
 * What a developer's worker has beyond them: a type that is connected with credentials, those of the stack's `machine`; and what examples/connect
 * needs.
 */
export function developerSettings(info) {
  return {
    CREDENTIAL_TYPES: "auth0",
    AUTH0_BASE_URL: info.authorization_server_url,
    RETURN_ORIGINS: "http://localhost:4000",
    PLAINTEXT_CREDENTIALS: "true",
  };
}

/** Every setting of the scanner. */
export function scannerSettings(info) {
  return {
    SUPABASE_URL: info.supabase_url,
    SUPABASE_SERVICE_ROLE_KEY: info.secret_key,
    SUPABASE_BASE_URL: info.authorization_server_url,
    AUTH0_BASE_URL: info.authorization_server_url,
    ENCRYPTION_KEY: info.encryption_key,
  };
}

/** Writes settings for wrangler. What is not this stack's own is never overwritten: it may hold the only copy of a key. */
export function writeDevVars(file, settings) {
  requireDevVars(file);
  const lines = Object.entries(settings).map(([name, value]) => `${name}="${value}"`);
  writeAtomically(file, [mark(process.pid), ...lines, ""].join("\n"));
}

/** Throws when the file is the user's own, or that of another running stack. */
export function requireDevVars(file) {
  const owner = ownerOf(file);
  if (owner === "user") {
    throw new Error(`${file} is not the stack's and would be overwritten\nhint: move it elsewhere, or remove it`);
  }
  if (owner !== undefined && owner !== process.pid && isStack(owner)) {
    const hint = "stop that one, or start this one with --no-vars";
    throw new Error(`${file} belongs to another running stack (process ${owner})\nhint: ${hint}`);
  }
}

/** Removes what writeDevVars wrote. */
export function removeDevVars(file) {
  if (ownerOf(file) === process.pid) rmSync(file);
}

/** Makes `dir` this process's own until `release()` is called; throws when a running stack has it already. */
export function claimDirectory(dir) {
  mkdirSync(dir, { recursive: true });
  const file = path.join(dir, "stack.pid");
  const owner = existsSync(file) ? Number(readFileSync(file, "utf8")) : undefined;
  if (owner && isStack(owner)) {
    throw new Error(`a stack runs in ${dir} already (process ${owner})\nhint: stop it, or choose another --dir`);
  }
  writeAtomically(file, `${process.pid}\n`);
  return { release: () => rmSync(file, { force: true }) };
}

/** Writes a file that holds secrets so that nobody reads half of it. */
export function writeAtomically(file, text) {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, text, { mode: 0o600 });
  renameSync(draft, file);
}

function mark(pid) {
  return `# Written by the local stack (process ${pid}) for as long as it runs.`;
}

/** The process id of the stack that wrote the file, "user" if none did, undefined if there is none. */
function ownerOf(file) {
  if (!existsSync(file)) return undefined;
  const [first] = readFileSync(file, "utf8").split("\n");
  const pid = Number(/\(process (\d+)\)/.exec(first)?.[1]);
  return first === mark(pid) ? pid : "user";
}

/** Whether the process is a stack: a killed one's id may be another program's by now. */
function isStack(pid) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error.code !== "EPERM") return false;
  }
  const commandLine = `/proc/${pid}/cmdline`;
  return !existsSync(commandLine) || readFileSync(commandLine, "utf8").includes("main.mjs");
}
