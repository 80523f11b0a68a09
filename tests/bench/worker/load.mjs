// One run of load, in a process of its own so that its work is nobody else's:
//
//     node load.mjs '{"url": "http://127.0.0.1:8080/health", "headers": {}, "connections": 16, "seconds": 3}'
//
// (with `requests`, autocannon's: each connection sends them in turn) prints `{ requests, seconds, p50, p99 }` as JSON (milliseconds), and fails if any answer was not a 200.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const FILE = fileURLToPath(import.meta.url);
/** Beyond the run itself: to start, and to wait for the last answers. */
const GRACE_MS = 20_000;

/** Runs it. */
export async function load(options) {
  const { hostname } = new URL(options.url);
  if (!["127.0.0.1", "localhost"].includes(hostname)) throw new Error(`load goes to this machine only, not to ${hostname}`);
  const run = promisify(execFile)(process.execPath, [FILE, JSON.stringify(options)], {
    timeout: options.seconds * 1000 + GRACE_MS,
    killSignal: "SIGKILL",
  });
  return JSON.parse((await run).stdout);
}

async function main({ url, requests, headers, connections, seconds }) {
  const { default: autocannon } = await import("autocannon");
  const times = [];
  const faults = new Map();
  const run = autocannon({ url, requests, headers, connections, duration: seconds });
  const begun = performance.now();
  let ended = begun;
  // autocannon's own histogram knows whole milliseconds only.
  run.on("response", (_client, status, _bytes, took) => {
    ended = performance.now();
    if (status === 200) times.push(took);
    else faults.set(status, (faults.get(status) ?? 0) + 1);
  });
  const { errors, timeouts } = await run;
  if (errors || timeouts || faults.size || times.length === 0) {
    throw new Error(`${url}: ${errors} errors, ${timeouts} timeouts, other answers: ${JSON.stringify([...faults])}`);
  }
  times.sort((a, b) => a - b);
  const quantile = (q) => times[Math.min(times.length - 1, Math.floor(times.length * q))];
  console.log(JSON.stringify({ requests: times.length, seconds: (ended - begun) / 1000, p50: quantile(0.5), p99: quantile(0.99) }));
}

if (process.argv[1] === FILE) await main(JSON.parse(process.argv[2]));
