// The worker under fire: users, callbacks, refreshes, checks and disconnections on workerd, while every part around it fails, workerd
// itself is killed, and strangers send what they like. Judged by what the authorization server and the database say.
//
//     node_modules/.bin/node tests/chaos/worker/main.mjs [--minutes 5 | --short] [--seed N]
//
// `cargo xtask chaos worker` builds the worker, then runs this. Exit status: 0 no violation, 1 some, 2 wrong arguments.
import { randomInt } from "node:crypto";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { Random } from "../random.mjs";
import { Report } from "../report.mjs";
import { Scene } from "./scene.mjs";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const SIZES = {
  short: { users: 3, calm: [3000, 7000], drain: 2000 },
  long: { users: 5, calm: [5000, 30_000], drain: 30_000 },
};
const SHORT_MS = 20_000;
const EXIT = { clean: 0, violations: 1, usage: 2, interrupted: 130 };
/** To come to rest and to be judged; what takes longer hangs. */
const GRACE_MINUTES = 10;

const options = parse(process.argv.slice(2));
const report = new Report();
let ending;
report.say(`seed: ${options.seed} (--seed ${options.seed} repeats the plan)`);

const scene = await Scene.start({
  dir: path.join(ROOT, `.dev/chaos-worker-${process.pid}`),
  random: new Random(options.seed),
  report,
  size: options.short ? SIZES.short : SIZES.long,
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => end(EXIT.interrupted));
setTimeout(() => {
  report.violation("a run comes to its end", `${options.minutes} minutes and some`, `${GRACE_MINUTES} more`);
  void end(EXIT.violations);
}, (options.minutes + GRACE_MINUTES) * 60_000).unref();

try {
  await scene.storm(options.short ? SHORT_MS : options.minutes * 60_000);
  await scene.verdict();
} catch (error) {
  // What is stopped under its hands fails, and proves nothing.
  if (ending) await ending;
  report.violation("the harness itself does not fail", "no error", error.stack);
}
await end(report.violations ? EXIT.violations : EXIT.clean);

/** However often it is called, the first call counts. */
function end(code) {
  ending ??= stopAndTell(code);
  return ending;
}

async function stopAndTell(code) {
  const found = report.violations;
  await scene.stop();
  if (code === EXIT.interrupted) report.violations = found;
  report.say(`\n${report.closing()}`);
  if (report.violations > 0) report.say(`seed: ${options.seed}; logs: ${path.join(scene.dir, "logs")}`);
  else scene.discard();
  process.exit(code);
}

function parse(argv) {
  try {
    const { values } = parseArgs({
      args: argv,
      options: { minutes: { type: "string" }, short: { type: "boolean", default: false }, seed: { type: "string" } },
    });
    const minutes = values.short ? 0 : Number(values.minutes ?? 5);
    const seed = Number(values.seed ?? randomInt(2 ** 32));
    if (!(minutes >= 0 && minutes <= 24 * 60)) throw new Error("--minutes must be from 0 to 1440");
    if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)) throw new Error("--seed must be from 0 to 4294967295");
    return { ...values, minutes, seed };
  } catch (error) {
    console.error(`error: ${error.message}`);
    process.exit(EXIT.usage);
  }
}
