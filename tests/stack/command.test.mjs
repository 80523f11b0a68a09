// The stack's command: whatever happens to it, it says so, and leaves nothing running.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { listen } from "./listen.mjs";
import { developerSettings, removeDevVars, scannerSettings, workerSettings, writeDevVars } from "./settings.mjs";

const MAIN = fileURLToPath(new URL("main.mjs", import.meta.url));
const ARGUMENTS = ["--no-worker", "--no-vars"];
const GONE_WITHIN_MS = 15_000;
const POLL_MS = 50;

const scratch = mkdtempSync(path.join(tmpdir(), "stack-test-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

test("the stack describes itself in a file for the owner only, and SIGTERM ends it in order", async () => {
  const stack = await up("terminated");
  const { mode } = statSync(stack.description);
  assert.equal(mode & 0o777, 0o600);
  stack.child.kill("SIGTERM");
  assert.deepEqual(await once(stack.child, "exit"), [0, null]);
  await assertGone(stack);
  assert.equal(existsSync(stack.description), false);
});

test("a second stack does not take the first one's directory", async () => {
  const stack = await up("claimed");
  const child = spawn(process.execPath, [MAIN, "--dir", path.dirname(stack.description), ...ARGUMENTS]);
  const output = collect(child);
  assert.deepEqual(await once(child, "close"), [1, null]);
  assert.match(output(), /error: a stack runs in .+ already \(process \d+\)\nhint: /);
  assert.ok(await accepts(stack.info.database_url));
  stack.child.kill("SIGTERM");
  await once(stack.child, "exit");
});

test("the stack's servers end when it is killed", async () => {
  const stack = await up("killed");
  stack.child.kill("SIGKILL");
  await assertGone(stack);
});

test("the stack ends with its parent", async () => {
  // A shell that waits, as a terminal's or a build tool's process would.
  const stack = await up("orphaned", (argv) => spawn("sh", ["-c", '"$@" & wait', "sh", process.execPath, ...argv]));
  stack.child.kill("SIGKILL");
  await assertGone(stack);
});

test("a server that dies ends the stack, and is named", async () => {
  const stack = await up("failing");
  const [, pid] = /\[(\d+)\] LOG: +starting PostgreSQL/.exec(readFileSync(path.join(stack.info.logs, "postgres.log"), "utf8"));
  process.kill(Number(pid), "SIGKILL");
  assert.deepEqual(await once(stack.child, "exit"), [1, null]);
  assert.match(stack.output(), /error: (postgres|rest) ended/);
  await assertGone(stack);
});

test("a port in use is reported, and nothing is started", async () => {
  const holder = createServer();
  const { port } = new URL(await listen(holder));
  const dir = path.join(scratch, "occupied");
  const child = spawn(process.execPath, [MAIN, "--dir", dir, "--no-vars", "--port", port]);
  const output = collect(child);
  assert.deepEqual(await once(child, "close"), [1, null]);
  assert.match(output(), new RegExp(`error: port ${port} is in use\nhint: `));
  assert.equal(existsSync(dir), false);
  holder.close();
});

test("the scanner is given no client secret", () => {
  assert.deepEqual(Object.keys(scannerSettings({})).filter((name) => /CLIENT/.test(name)), []);
});

test("an unknown option is a usage error", async () => {
  const child = spawn(process.execPath, [MAIN, "--bogus"]);
  const output = collect(child);
  assert.deepEqual(await once(child, "close"), [2, null]);
  assert.match(output(), /--bogus/);
});

test("the worker's settings go into a file for the owner only, never over one that is not the stack's", () => {
  const info = { app_url: "http://localhost:3000", encryption_key: "key+/=" };
  const settings = { ...workerSettings(info), ...developerSettings(info) };
  const file = path.join(scratch, ".dev.vars");
  writeDevVars(file, settings);
  writeDevVars(file, settings);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const text = readFileSync(file, "utf8");
  assert.match(text, /^ENCRYPTION_KEY="key\+\/="$/m);
  for (const name of [...Object.keys(workerSettings(info)), "CREDENTIAL_TYPES"]) assert.match(text, new RegExp(`^${name}=`, "m"));
  removeDevVars(file);
  assert.equal(existsSync(file), false);

  const [ownMark] = text.split("\n");
  const other = spawn(process.execPath, ["-e", "setInterval(() => {}, 1e9)", "main.mjs"]);
  after(() => other.kill());
  const foreign = [
    ["ENCRYPTION_KEY=the user's own\n", /is not the stack's/],
    [text.replace(ownMark, ownMark.replace(process.pid, other.pid)), /another running stack/],
  ];
  for (const [content, reason] of foreign) {
    writeFileSync(file, content);
    assert.throws(() => writeDevVars(file, settings), reason);
    removeDevVars(file);
    assert.equal(readFileSync(file, "utf8"), content);
  }
});

/** Runs the command until it is ready. */
async function up(name, start = (argv) => spawn(process.execPath, argv)) {
  const dir = path.join(scratch, name);
  const child = start([MAIN, "--dir", dir, ...ARGUMENTS]);
  const output = collect(child);
  while (!/^ready: /m.test(output())) {
    const [event] = await Promise.race([once(child.stdout, "data").then(() => ["data"]), once(child, "exit")]);
    assert.equal(event, "data", output());
  }
  const description = path.join(dir, "stack.json");
  return { child, output, description, info: JSON.parse(readFileSync(description, "utf8")) };
}

function collect(child) {
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (text += chunk));
  return () => text;
}

/** None of the stack's servers takes connections any longer. */
async function assertGone({ info }) {
  const deadline = Date.now() + GONE_WITHIN_MS;
  for (const url of [info.database_url, info.supabase_url, info.authorization_server_url]) {
    while (await accepts(url)) {
      assert.ok(Date.now() < deadline, `${new URL(url).host} still takes connections`);
      await delay(POLL_MS);
    }
  }
}

function accepts(url) {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  return new Promise((resolve) => {
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
  }).finally(() => socket.destroy());
}
