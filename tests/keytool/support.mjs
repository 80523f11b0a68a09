// What the tests of keytool's rotation share: the built program, a database for each test, both ways to it, and rows that were sealed by
// another implementation of the format.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createCipheriv, randomBytes, randomUUID } from "node:crypto";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { startServer } from "../database/support.mjs";
import { keyId, open, seal, unwrap, wrap } from "../format/format.mjs";
import { createProjectKeys } from "../stack/keys.mjs";
import { startRest } from "../stack/rest.mjs";
import { startThread } from "../stack/thread.mjs";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The program: KEYTOOL_BIN, or the debug build, which is made here so that it is never an old one. */
export const PROGRAM = process.env.KEYTOOL_BIN ?? build();

function build() {
  const arguments_ = ["build", "--quiet", "--package", "keytool"];
  const { status } = spawnSync("cargo", arguments_, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
  assert.equal(status, 0, "keytool cannot be built");
  return path.join(path.resolve(ROOT, process.env.CARGO_TARGET_DIR ?? "target"), "debug", "keytool");
}

export function newKey() {
  return keyOf(randomBytes(32).toString("base64"));
}

/** A key by its base64. */
export function keyOf(base64) {
  const key = Buffer.from(base64, "base64");
  return { key, base64, kid: keyId(key) };
}

export const A = newKey();
export const B = newKey();
export const C = newKey();

/** The settings of a rotation from A to B. */
export const A_TO_B = { ENCRYPTION_KEY: B.base64, FALLBACK_ENCRYPTION_KEYS: A.base64 };

/** Starts it; `settings` are all of its environment. Resolves to `{ status, signal, stdout, stderr, events }`; `child` is on the promise. */
export function keytool(settings, ...args) {
  const child = spawn(PROGRAM, args, { env: settings, stdio: ["ignore", "pipe", "pipe"] });
  const text = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"]) child[stream].setEncoding("utf8").on("data", (chunk) => (text[stream] += chunk));
  const done = new Promise((resolve, reject) => {
    child.once("error", reject);
    // The first line is the database, the last one of a failure the error: the tests of those look at `all`.
    const between = () => events(text.stdout).filter(({ event }) => event !== "connecting" && event !== "error");
    child.once("close", (status, signal) => resolve({ status, signal, ...text, events: between, all: () => events(text.stdout) }));
  });
  return Object.assign(done, { child });
}

/** The same on a terminal of so many columns, on which somebody types `answer`; `text` is all that is shown. */
export function keytoolOnTerminal(settings, args, { answer = "", columns = 80, term = "xterm" } = {}) {
  const command = `stty cols ${columns} rows 24; exec '${PROGRAM}' ${args.join(" ")}`;
  const child = spawn("script", ["-qec", command, "/dev/null"], { env: { PATH: process.env.PATH, TERM: term, ...settings }, stdio: ["pipe", "pipe", "inherit"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk) => {
    text += chunk;
    if (answer && text.includes("[y/N]")) child.stdin.end(answer);
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => resolve({ status, text }));
  });
}

function events(stdout) {
  return stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

/** What a command says before anything else: which database, which keys. */
export const WHERE = /^database: .*\n/;

/** It ended with this status and its first `error:` line matches. */
export function assertError(done, status, message) {
  assert.equal(done.status, status, done.stdout + done.stderr);
  assert.match(done.stderr.split("\n").find((line) => line.startsWith("error: ")) ?? "", message, done.stderr);
  assert.match(done.stderr, /^hint: /m);
}

export function assertDone(done) {
  assert.equal(done.status, 0, done.stdout + done.stderr);
}

/** Starts PostgreSQL for one test file; `project()` gives a database of its own: `{ sql, settings, ... }`. */
export async function startDatabases() {
  const server = await startServer();
  const stops = [];
  return {
    async project(options) {
      const project = await server.createProject(options);
      return new Table(project, server.logs, stops);
    },
    async stop() {
      for (const stop of stops.reverse()) await stop();
      await server.stop();
    },
  };
}

class Table {
  #logs;
  #stops;

  constructor(project, logs, stops) {
    this.project = project;
    this.sql = project.owner;
    this.direct = { DATABASE_URL: project.url("postgres") };
    this.#logs = logs;
    this.#stops = stops;
  }

  /** The settings of the way over PostgREST, with the old kind of service key and with the new one; and with the public key. */
  async rest() {
    const keys = await createProjectKeys();
    const { jwtSecret, verificationKey } = keys;
    const rest = await startRest({ databaseUrl: this.project.url("authenticator"), jwtSecret, verificationKey, logs: this.#logs });
    this.#stops.push(rest.stop);
    const routes = [{ prefix: "/rest/v1", upstream: rest.url, path: "" }];
    const gateway = await startThread({ name: "gateway", module: "./gateway.mjs", options: { keys, routes }, logs: this.#logs });
    this.#stops.push(gateway.stop);
    const settings = (key) => ({ SUPABASE_URL: gateway.value.url, SUPABASE_SERVICE_ROLE_KEY: key });
    return { oldKey: settings(keys.serviceRoleKey), newKey: settings(keys.secretKey), anonymous: settings(keys.anonKey) };
  }

  /** Inserts a row with this config as it is, whatever it is; returns its id. */
  async insert(config, { id = randomUUID(), organization_id = randomUUID() } = {}) {
    await this.sql`
      insert into public.integrations (id, organization_id, integration_type, name, config)
      values (${id}, ${organization_id}, 'supabase', 'My Project', ${JSON.stringify(config)}::text::jsonb)`;
    return id;
  }

  /** Inserts a row sealed with a key. */
  async insertSealed(key, plain = somePlain(), over = {}) {
    const place = { id: randomUUID(), organization_id: randomUUID(), ...over };
    return this.insert(sealFor(key, place, plain), place);
  }

  async insertMany(count, key, plain = somePlain) {
    const rows = Array.from({ length: count }, () => {
      const place = { id: randomUUID(), organization_id: randomUUID() };
      return { ...place, integration_type: "supabase", name: "My Project", config: sealFor(key, place, plain()) };
    });
    for (let i = 0; i < rows.length; i += 2000) {
      await this.sql`insert into public.integrations ${this.sql(rows.slice(i, i + 2000))}`;
    }
    return rows.map(({ id }) => id);
  }

  /** Gives an organization this data key, wrapped with that key. */
  async addDataKey(wrapping, organization_id, dataKey) {
    const { kid, wrapping_kid, wrapped } = wrap(wrapping.key, organization_id, dataKey.key, randomBytes(12));
    await this.sql`insert into private.data_keys (organization_id, kid, wrapping_kid, wrapped) values (${organization_id}, ${kid}, ${wrapping_kid}, ${wrapped})`;
  }

  /** Seals as the worker does: with the organization's current data key, which it makes if there is none. `keys` are its key ring. */
  async sealAsWorker(keys, place, plain) {
    const ring = keys.map(({ key }) => key);
    const added = wrap(ring[0], place.organization_id, randomBytes(32), randomBytes(12));
    const [{ data_keys }] = await this.sql`select public.add_data_keys(${this.sql.json([added])})->'data_keys' as data_keys`;
    return sealFor(keys[0], place, plain, { key: unwrap(ring, data_keys[0]) });
  }

  /** Inserts rows of one organization as the worker seals them: with the organization's data key, which this key wraps. */
  async insertOnDataKey(wrapping, count = 1, { organization_id = randomUUID(), dataKey = newKey() } = {}) {
    await this.addDataKey(wrapping, organization_id, dataKey);
    const ids = [];
    for (let n = 0; n < count; n += 1) {
      const place = { id: randomUUID(), organization_id };
      ids.push(await this.insert(sealFor(wrapping, place, somePlain(), dataKey), place));
    }
    return { ids, organization_id, dataKey };
  }

  /** All rows in the order of their ids, config as PostgreSQL writes it, so that a changed number shows. Each has its organization's data keys aside. */
  async rows() {
    const dataKeys = Map.groupBy(await this.dataKeys(), (dataKey) => dataKey.organization_id);
    const rows = await this.sql`select *, config::text as text, xmin::text as version from public.integrations order by id`;
    return rows.map((row) => Object.defineProperty({ ...row }, "dataKeys", { value: dataKeys.get(row.organization_id) ?? [] }));
  }

  async dataKeys() {
    return (await this.sql`select * from private.data_keys order by organization_id, created_at`).map((row) => ({ ...row }));
  }
}

/** The key of the deployment that a row needs: that it is sealed with, or that wraps its data key. */
export function kidOf({ config, dataKeys }) {
  if (config._enc?.v !== 3) return config._enc?.kid;
  return dataKeys.find(({ kid }) => kid === config._enc.kid)?.wrapping_kid;
}

export function somePlain() {
  return { access_token: `sbp_${randomUUID()}`, refresh_token: randomUUID(), project_id: "abc123", expires_in: 3600 };
}

/** With the key itself, or with the data key if there is one. */
export function sealFor({ key }, { id, organization_id }, plain, dataKey) {
  return seal(key, { organization_id, integration_id: id }, plain, () => randomBytes(12), dataKey ? [dataKey.key] : []);
}

/** The row's plaintext, with these keys and the data keys that they wrap, by the other implementation. */
export function openRow(keys, row) {
  const ring = keys.map(({ key }) => key);
  const unwrapped = row.dataKeys.filter(({ wrapping_kid }) => keys.some(({ kid }) => kid === wrapping_kid)).map((wrapped) => unwrap(ring, wrapped));
  return open(ring, { organization_id: row.organization_id, integration_id: row.id }, row.config, unwrapped);
}

/** A value as the source document's TypeScript sealed it. */
export function sealLegacy({ key }, text) {
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, iv);
  const ciphertext = Buffer.concat([cipher.update(text), cipher.final()]);
  return [iv, cipher.getAuthTag(), ciphertext].map((bytes) => bytes.toString("base64")).join(".");
}
