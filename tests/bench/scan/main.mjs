// The bench of the scanner: how many requests a second it makes of a provider, claims, judging and writing included, beside the same number of bare
// calls to the same provider, as many at a time, by a worker that does nothing else. And how long a large run takes to finish.
//
//     node_modules/.bin/node tests/bench/scan/main.mjs [--json] [--rows 2000] [--latency 50] [--results 10000]
//
// `cargo xtask bench scan` builds the scanner, then runs this. It judges nothing: only an error is a failure.
import { startThread } from "../../stack/thread.mjs";
import { insertScannable, queueRun, startScanner } from "../../support/scanner.mjs";
import { parseOptions } from "../options.mjs";
import { startBareCaller } from "../refresh/bare.mjs";
import { withStack } from "../setting.mjs";
import { measureFinish } from "./finish.mjs";

/** Runs of the schedule in which nothing gets done, before it is taken for stuck. */
const IDLE_RUNS = 3;
const AT_ONCE = 20;

const options = parseOptions(
  { rows: { type: "string", default: "2000" }, latency: { type: "string", default: "50" }, results: { type: "string", default: "10000" } },
  { rows: 10_000, latency: 1000, results: 50_000 },
);
const log = (line) => console.error(line);
const measured = await measure(options);
console.log(options.json ? JSON.stringify(measured, null, 2) : show(measured));

function measure({ rows, latency, results }) {
  return withStack("bench-scan", log, async ({ info, sql, started }) => {
    const finish = await measureFinish(sql, await insertScannable({ info, sql }), results);
    log(`finish: ${JSON.stringify(finish)}`);
    const provider = await started(
      startThread({ name: "provider", module: "../bench/scan/provider.mjs", options: { latency }, logs: info.logs, onExit: (error) => log(error.message) }),
    );
    const provided = async (path) => (await fetch(provider.value.url + path)).json();
    const scanner = await started(startScanner(info, { SUPABASE_BASE_URL: provider.value.url }));
    const bare = await started(startBareCaller());
    log(`queueing ${rows} runs`);
    for (let done = 0; done < rows; done += AT_ONCE) {
      const some = Array.from({ length: Math.min(AT_ONCE, rows - done) }, async () => queueRun({ sql }, await insertScannable({ info, sql })));
      await Promise.all(some);
    }
    await sql.unsafe("vacuum (analyze) public.integrations, private.scan_claims, public.assessments");
    await provided("/reset");

    const scan = await timed(() => scanAll(scanner, sql, rows));
    const { count, peak } = await provided("/reset");
    log(`the scanner: ${count} requests in ${scan.seconds.toFixed(1)} s, ${scan.runs} runs of the schedule`);
    const url = `${provider.value.url}/v1/projects/abcdefghijklmnopqrst/storage/buckets`;
    const calls = await timed(() => bare.call(url, count, peak, { headers: { authorization: "Bearer bare" } }));
    const perSecond = { scanner: count / scan.seconds, bare: count / calls.seconds };
    return { settings: { rows, latency, results }, finish, requests: count / rows, lanes: peak, ...perSecond, ratio: perSecond.scanner / perSecond.bare };
  });
}

/** Runs the schedule, as the clock would once a minute, until no run is open. */
async function scanAll(scanner, sql, rows) {
  let [left, idle, runs] = [rows, 0, 0];
  for (; left > 0; runs++) {
    await scanner.scheduled();
    const [{ open }] = await sql`select count(*)::int as open from public.assessments where state <> 'done'`;
    idle = open < left ? 0 : idle + 1;
    if (idle === IDLE_RUNS) throw new Error(`${open} runs stay open:\n${scanner.logs().slice(-5).map(({ message }) => message).join("\n")}`);
    left = open;
  }
  const [{ whole }] = await sql`select count(*)::int as whole from public.assessments where outcome = 'complete' and requests > 0`;
  if (whole < rows) throw new Error(`${whole} of ${rows} runs are complete`);
  return { runs };
}

async function timed(work) {
  const begun = performance.now();
  const result = await work();
  return { ...result, seconds: (performance.now() - begun) / 1000 };
}

function show({ settings: { rows, latency, results }, finish, requests, lanes, scanner, bare, ratio }) {
  return [
    `${rows} due integrations of ${requests.toFixed(1)} requests, a provider that answers in ${latency} ms, ${lanes} at a time`,
    "",
    `bare calls   ${bare.toFixed(1).padStart(7)} a second`,
    `the scanner  ${scanner.toFixed(1).padStart(7)} a second`,
    `ratio        ${ratio.toFixed(2).padStart(7)}`,
    "",
    `finish_scan_run of ${results} results, in milliseconds`,
    ...Object.entries(finish).map(([name, ms]) => `${name.padEnd(13)}${ms.toFixed(0).padStart(7)}`),
  ].join("\n");
}
