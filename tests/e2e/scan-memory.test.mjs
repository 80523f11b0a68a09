// How much memory the scanner takes when every answer is as large as it may be, five at a time. An isolate has 128 MB.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import { workerdProcesses } from "../chaos/worker/deployment.mjs";
import { recordedReads } from "../stack/recorded-reads.mjs";
import { insertScannable, queueRun, runOf, scanFixture } from "../support/scanner.mjs";

const LANES = 5;
const MIB = 1024 * 1024;
const SIZE = 4.9 * MIB;
/** How many are so large; the rest, so that it ends, is as it was recorded. */
const LARGE = 60;
const ISOLATE = 128 * MIB;
const SAMPLE_MS = 20;

describe("the scanner's memory", () => {
  const fixture = scanFixture("scan-memory");

  // threat model 305
  it("the scanner takes less than an isolate has while fifty answers and more have five megabytes each", async (context) => {
    const before = new Set(workerdProcesses());
    const scanner = await fixture.startScanner();
    const [pid] = workerdProcesses().filter((pid) => !before.has(pid));
    const resident = () => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) * 1024;
    await scanner.scheduled();
    const idle = resident();

    const item = JSON.stringify({ id: 1, name: "n".repeat(100), is_one: true, owner: { id: 2 } });
    const items = `[${Array.from({ length: SIZE / (item.length + 1) }, () => item).join(",")}]`;
    const recorded = recordedReads(["supabase"]);
    let answers = 0;
    const restore = fixture.server.fault(({ method, path }) => /^\/v[12]\/(projects|organizations)\//.test(path) && recorded(method, path), ({ request, response }) => {
      const { status, headers, body } = recorded(request.method, request.path);
      response.writeHead(status, headers);
      if (++answers > LARGE) return response.end(body);
      // An object gets one more member, a list that is judged item by item white space.
      response.end(body.endsWith("}") ? `${body.slice(0, -1)},"more":${items}}` : body + " ".repeat(SIZE - body.length));
    });
    const integrations = await Promise.all(Array.from({ length: LANES }, () => insertScannable(fixture)));
    const runs = await Promise.all(integrations.map((integration) => queueRun(fixture, integration)));
    let peak = 0;
    const watch = setInterval(() => (peak = Math.max(peak, resident())), SAMPLE_MS);
    await scanner.scheduled();
    clearInterval(watch);
    restore();
    const ended = await Promise.all(runs.map((run) => runOf(fixture, run)));
    // On a slow machine a slice is over before the run is.
    for (const { outcome, requests } of ended) assert.ok(requests >= 10 && outcome !== "incomplete", `${outcome} after ${requests} requests`);
    assert.ok(answers >= LARGE, `${answers} answers`);
    const taken = Math.round((peak - idle) / MIB);
    assert.ok(peak - idle < ISOLATE, `${taken} MiB more than when idle`);
    context.diagnostic(`${Math.min(answers, LARGE)} answers of 4.9 MiB took ${taken} MiB`);
  });
});
