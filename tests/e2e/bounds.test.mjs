// What a provider can make the worker hold in memory (threat model 105). Measured is the whole process, so it has a worker of its own.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";

import { listen } from "../stack/listen.mjs";
import { bearer, call } from "../support/caller.mjs";
import { connect } from "../support/database.mjs";
import { logOnFailure } from "../support/log-on-failure.mjs";
import { insertRows } from "../support/own-stack.mjs";
import { startProxy } from "../support/proxy.mjs";
import { stack } from "../support/stack.mjs";
import { signES256, userClaims } from "../support/tokens.mjs";
import { startWorker } from "../support/worker.mjs";

const MEGABYTE = 1024 * 1024;
/** What an isolate may hold. */
const ISOLATE = 128 * MEGABYTE;
const AT_ONCE = 50;
const WARM_UP = 60;
/** The largest answer that names accounts and is still read. */
const LIMIT = 512 * 1024;
/** The largest config that is refreshed. */
const CONFIG = 192 * 1024;
const CHUNK = Buffer.from(`10000\r\n${" ".repeat(0x10000)}\r\n`);

const CHECK = `/api/integrations/${randomUUID()}/check`;

const zeros = (bytes) => `[${"0,".repeat((bytes - 3) / 2)}0]`;
const wide = (bytes) => JSON.stringify(["ж".repeat(bytes / 2 - 2)]);
const whole = (body) => async (socket) => {
  socket.write(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n`);
  socket.end(body);
};
const endless = (headers) => async (socket) => {
  socket.write(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n${headers}transfer-encoding: chunked\r\nconnection: close\r\n\r\n`);
  for (let sent = 0; sent < 200 * MEGABYTE && !socket.destroyed; sent += 0x10000) {
    if (!socket.write(CHUNK)) await new Promise((resolve) => socket.once("drain", resolve).once("close", resolve));
  }
  socket.end("0\r\n\r\n");
};

describe("fifty answers at once", () => {
  const info = stack();
  let sql;
  let hostile;
  let url;
  let behaviour;
  let worker;

  before(async () => {
    sql = connect(info);
    hostile = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => behaviour(socket));
    });
    url = await listen(hostile);
  });
  // What one test leaves in memory must not stand in the next one's way, nor in its baseline.
  beforeEach(async () => {
    worker = await startWorker(info, { SUPABASE_BASE_URL: url });
  });
  afterEach(logOnFailure(() => worker));
  afterEach(() => worker?.stop());
  after(async () => {
    hostile?.close();
    await sql.end();
  });

  /** Connections, each of another user, with the requests that check them. */
  async function checks(count) {
    const ids = await insertRows({ info, sql }, count, { seconds: 7200 });
    const rows = await sql`select id, organization_id from public.integrations where id = any (${ids})`;
    return Promise.all(rows.map(async ({ id, organization_id }) => {
      const token = await signES256(info, userClaims(info, { id: organization_id }));
      return () => call(worker, "POST", `/api/integrations/${id}/check`, { headers: bearer(token), body: {} });
    }));
  }

  for (const [what, answers] of [
    ["of 200 MB, chunked", endless("")],
    ["of 200 MB, chunked, with a Content-Length of 5", endless("content-length: 5\r\n")],
    ["of 4 MB of zeros", whole(zeros(4 * MEGABYTE))],
    ["of zeros, as large as is read", whole(zeros(LIMIT))],
    ["of text beyond Latin-1, as large as is read", whole(wide(LIMIT - 64))],
  ]) {
    it(`fifty provider answers at once: ${what} stay under 128 MB`, async (context) => {
      behaviour = whole("[]");
      const [first, ...rest] = await checks(AT_ONCE + 1);
      (await first()).expect(200);
      behaviour = answers;
      const pid = workerdOf(process.pid);
      const idle = memoryOf(pid, "VmRSS");
      // From here on the peak counts anew.
      writeFileSync(`/proc/${pid}/clear_refs`, "5");
      const found = await Promise.all(rest.map((check) => check()));
      const peak = memoryOf(pid, "VmHWM") - idle;
      context.diagnostic(`${(peak / MEGABYTE).toFixed(1)} MB over ${(idle / MEGABYTE).toFixed(1)}`);
      for (const answer of found) assert.deepEqual([answer.expect(200).json.status, answer.json.status_reason], ["degraded", "bad_answer"]);
      assert.ok(peak < ISOLATE, `${(peak / MEGABYTE).toFixed(1)} MB`);
    });
  }
});

describe("fifty answers of PostgREST's at once", () => {
  const info = stack();
  let gateway;
  let worker;

  before(async () => {
    gateway = await startProxy(info.supabase_url);
  });
  beforeEach(async () => {
    worker = await startWorker({ ...info, supabase_url: gateway.url });
  });
  afterEach(logOnFailure(() => worker));
  afterEach(() => worker?.stop());
  after(() => gateway.stop());

  const json = (body, headers = {}) => ({ response }) =>
    void response.writeHead(200, { "content-type": "application/json", ...headers }).end(body);
  const row = { id: randomUUID(), integration_type: "supabase", name: "n".repeat(100), status: "active", created_at: "2026-11-27T00:00:00Z" };
  const rows = JSON.stringify(Array.from({ length: 1000 }, () => row));
  const claim = (text) => JSON.stringify({
    outcome: "claimed", id: randomUUID(), organization_id: randomUUID(), integration_type: "supabase", account_id: "a", scan_schedule: null,
    version: "0".repeat(64), config: text,
  });
  // As large as our own rows make them. The bound on such answers is higher, as other writers' rows may be larger: 2 MiB.
  for (const [what, path, answers, method, route, status] of [
    ["a list of a thousand rows", "/rest/v1/integrations", json(rows, { "content-range": "0-999/1000" }), "GET", "/api/integrations", 200],
    ["a claim of the largest config", "/rest/v1/rpc/claim_check", json(claim(JSON.stringify({ access_token: "x".repeat(CONFIG) }))), "POST", CHECK, 404],
  ]) {
    it(`fifty PostgREST answers at once: ${what} stay under 128 MB`, async (context) => {
      const asks = await Promise.all(Array.from({ length: AT_ONCE + 1 }, async () => {
        const headers = bearer(await signES256(worker.info, userClaims(worker.info)));
        return () => call(worker, method, route, { headers, ...(method === "POST" && { body: {} }) });
      }));
      const [first, ...rest] = asks;
      // Until the runtime has optimized most of the code: compiling takes more memory than the answers, some 70 MB, and goes on in the background.
      for (let i = 0; i < WARM_UP; i++) await first();
      const restore = gateway.fault(path, answers);
      const pid = workerdOf(process.pid);
      const idle = memoryOf(pid, "VmRSS");
      writeFileSync(`/proc/${pid}/clear_refs`, "5");
      const found = await Promise.all(rest.map((ask) => ask()));
      restore();
      const peak = memoryOf(pid, "VmHWM") - idle;
      context.diagnostic(`${(peak / MEGABYTE).toFixed(1)} MB over ${(idle / MEGABYTE).toFixed(1)}`);
      assert.deepEqual(found.map((answer) => answer.status), found.map(() => status));
      assert.ok(peak < ISOLATE, `${(peak / MEGABYTE).toFixed(1)} MB`);
    });
  }
});

/** The runtime's process, a child of this one. */
function workerdOf(parent) {
  const found = readdirSync("/proc").filter((name) => {
    if (!/^[0-9]+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/comm`, "utf8").trim() === "workerd" && memoryStatus(name).includes(`\nPPid:\t${parent}\n`);
    } catch {
      // It has ended meanwhile.
      return false;
    }
  });
  assert.equal(found.length, 1, "one workerd of this test's");
  return found[0];
}

function memoryOf(pid, name) {
  return Number(new RegExp(`^${name}:\\s+([0-9]+) kB$`, "m").exec(memoryStatus(pid))[1]) * 1024;
}

function memoryStatus(pid) {
  return readFileSync(`/proc/${pid}/status`, "utf8");
}
