// The bench of the scanner: how many requests a second it makes, claims, judging and writing included, beside the same number of bare
// calls to the same provider, as many at a time, in turns, by a worker that does nothing else. And how long a large run takes to finish.
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

/** Runs of the schedule in which nothing gets done, before the bench gives up. */
const IDLE_RUNS = 3;
const AT_ONCE = 20;
const LIMIT_MINUTES = 45;
/** One of the reads that the scanner makes. */
const BARE_PATH = "/v1/projects/abcdefghijklmnopqrst/storage/buckets";

const options = parseOptions(
  { rows: { type: "string", default: "2000" }, latency: { type: "string", default: "50" }, results: { type: "string", default: "10000" } },
  { rows: 10_000, latency: 1000, results: 50_000 },
);
const log = (line) => console.error(line);
const measured = await measure(options);
console.log(options.json ? JSON.stringify(measured, null, 2) : show(measured));

function measure({ rows, latency, results }) {
  return withStack("bench-scan", log, async ({ info, sql, started }) => {
    const finish = await measureFinish(sql, () => insertScannable({ info, sql }), results);
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

    const bareCalls = (count, lanes) => bare.call(`${provider.value.url}${BARE_PATH}`, count, lanes, { headers: { authorization: "Bearer bare" } });
    const { count, peak, seconds } = await compare(scanner, bareCalls, { sql, rows, reset: () => provided("/reset"), log });
    const perSecond = { scanner: count / seconds.scanner, bare: count / seconds.bare };
    return { settings: { rows, latency, results }, finish, requests: count / rows, lanes: peak, ...perSecond, ratio: perSecond.scanner / perSecond.bare };
  });
}

/**
 * Runs the schedule, as the clock would once a minute, until no run is open, and after each of its runs makes as many bare calls: so what else the
 * machine does slows both.
 */
async function compare(scanner, bareCalls, { sql, rows, reset, log }) {
  const end = Date.now() + LIMIT_MINUTES * 60_000;
  const sum = { count: 0, peak: 0, seconds: { scanner: 0, bare: 0 } };
  for (let left = rows, idle = 0; left > 0; ) {
    sum.seconds.scanner += await secondsOf(() => scanner.scheduled());
    const { count, peak } = await reset();
    sum.count += count;
    sum.peak = Math.max(sum.peak, peak);
    sum.seconds.bare += await secondsOf(() => bareCalls(count, sum.peak));
    await reset();
    const [{ open }] = await sql`select count(*)::int as open from public.assessments where state <> 'done'`;
    log(`${rows - open} of ${rows} runs, ${sum.count} requests: ${(sum.seconds.bare / sum.seconds.scanner).toFixed(2)}`);
    idle = open < left ? 0 : idle + 1;
    const logged = () => scanner.logs().slice(-5).map(({ message }) => message).join("\n");
    if (idle === IDLE_RUNS) throw new Error(`${open} runs stay open:\n${logged()}`);
    if (Date.now() > end) throw new Error(`after ${LIMIT_MINUTES} minutes ${open} runs are open; --rows makes them fewer`);
    left = open;
  }
  const [{ whole }] = await sql`select count(*)::int as whole from public.assessments where outcome = 'complete' and requests > 0`;
  if (whole < rows) throw new Error(`${whole} of ${rows} runs are complete`);
  return sum;
}

async function secondsOf(work) {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
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
    ...Object.entries(finish).map(([name, ms]) => `${name.padEnd(18)}${ms.toFixed(0).padStart(7)}`),
  ].join("\n");
}
