// The bench of the scheduled refreshes: how many due credentials a second the schedule refreshes, beside the same number of bare calls to the same
// provider, as many at a time, by a worker that does nothing else.
//
//     node_modules/.bin/node tests/bench/refresh/main.mjs [--json] [--rows 3000] [--rounds 3] [--latency 20] [--queue]
//
// `cargo xtask bench refresh` builds the worker, then runs this. It judges nothing: only an error is a failure.
import { setTimeout as delay } from "node:timers/promises";

import { startThread } from "../../stack/thread.mjs";
import { dueLeft } from "../../support/refresh.mjs";
import { startWorker } from "../../support/worker.mjs";
import { startBareCaller } from "./bare.mjs";
import { makeDue } from "./rows.mjs";
import { parseOptions } from "../options.mjs";
import { withStack } from "../setting.mjs";

const LIMITS = { rows: 100_000, rounds: 20, latency: 1000 };
/** Runs of the schedule in which nothing gets done, before it is taken for stuck. */
const IDLE_RUNS = 3;

const options = parseOptions(
  {
    rows: { type: "string", default: "3000" },
    rounds: { type: "string", default: "3" },
    latency: { type: "string", default: "20" },
    queue: { type: "boolean", default: false },
  },
  LIMITS,
);
const log = (line) => console.error(line);
const result = await measure(options);
console.log(options.json ? JSON.stringify(result, null, 2) : show(result));

function measure({ rows, rounds, latency, queue }) {
  return withStack("bench-refresh", log, async ({ info, sql, started }) => {
    const provider = await started(
      startThread({ name: "provider", module: "../bench/refresh/provider.mjs", options: { latency }, logs: info.logs, onExit: (error) => log(error.message) }),
    );
    const provided = async (path) => (await fetch(provider.value.url + path)).json();
    const worker = await started(startWorker(info, { SUPABASE_BASE_URL: provider.value.url }, { queue }));
    const bare = await started(startBareCaller());

    const measured = [];
    for (let round = 0; round < rounds; round++) {
      await makeDue(sql, info, rows);
      await provided("/reset");
      const schedule = await timed(rows, () => refreshAll(worker, sql, queue));
      const { peak, count } = await provided("/reset");
      if (count !== rows) throw new Error(`${count} redemptions of ${rows} tokens`);
      const calls = await timed(rows, () => bare.call(`${provider.value.url}/v1/oauth/token`, rows, peak));
      measured.push({ lanes: peak, runs: schedule.runs, schedule: schedule.perSecond, bare: calls.perSecond, ratio: schedule.perSecond / calls.perSecond });
      log(`round ${round + 1} of ${rounds}: ${JSON.stringify(measured.at(-1))}`);
    }
    const median = (name) => measured.map((one) => one[name]).sort((a, b) => a - b)[Math.floor(rounds / 2)];
    const names = ["lanes", "runs", "schedule", "bare", "ratio"];
    return { settings: { rows, rounds, latency, queue }, ...Object.fromEntries(names.map((name) => [name, median(name)])) };
  });
}

/** Runs the schedule, as the clock would once a minute, until nothing is due. What a run leaves to the queue is waited for. */
async function refreshAll(worker, sql, queue) {
  let left = await dueLeft(sql);
  let idle = 0;
  let runs = 0;
  for (; left > 0; runs++) {
    await worker.scheduled();
    const now = await (queue ? settled(sql) : dueLeft(sql));
    idle = now < left ? 0 : idle + 1;
    if (idle === IDLE_RUNS) throw new Error(`${now} rows stay due:\n${worker.logs().slice(-5).map(({ message }) => message).join("\n")}`);
    left = now;
  }
  return { runs };
}

/** How many are still due once the queue has done its part: none, or no fewer a second later. */
async function settled(sql) {
  let [left, since] = [await dueLeft(sql), performance.now()];
  while (left > 0 && performance.now() - since < 1000) {
    await delay(50);
    const now = await dueLeft(sql);
    if (now < left) [left, since] = [now, performance.now()];
  }
  return left;
}

async function timed(rows, work) {
  const begun = performance.now();
  const result = await work();
  return { ...result, perSecond: rows / ((performance.now() - begun) / 1000) };
}

function show({ settings: { rows, rounds, latency, queue }, lanes, runs, schedule, bare, ratio }) {
  return [
    `${rows} due rows, a provider that answers in ${latency} ms, ${lanes} calls at a time, median of ${rounds} rounds`,
    "",
    `bare calls    ${bare.toFixed(0).padStart(6)} a second`,
    `the schedule  ${schedule.toFixed(0).padStart(6)} a second, in ${runs} runs${queue ? " and what the queue shared out" : ""}`,
    `ratio         ${ratio.toFixed(2).padStart(6)}`,
  ].join("\n");
}
