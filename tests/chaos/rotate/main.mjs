// The rotation of the key under fire: real servers, workers on workerd under load, one to four rotators, kill -9 at random points
// and at every statement; and a judge of every version of every row.
//
//     node_modules/.bin/node tests/chaos/rotate/main.mjs [--minutes 5 | --short] [--seed N] [--keytool target/release/keytool]
//
// `cargo xtask chaos rotate` builds what is needed, then runs this. Exit status: 0 no violation, 1 some, 2 wrong arguments.
import { randomInt } from "node:crypto";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { Random } from "../random.mjs";
import { Report } from "../report.mjs";
import { Rotation } from "./rotation.mjs";
import { Scene } from "./scene.mjs";
import { newKey } from "./sealing.mjs";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const SIZES = {
  short: { rows: 1000, swept: 8, rounds: 2, pause: 1000, everyWay: false, users: 3, writers: 2 },
  long: { rows: 3000, swept: 24, rounds: 12, pause: 4000, everyWay: true, users: 5, writers: 4 },
};
const EXIT = { clean: 0, violations: 1, usage: 2, interrupted: 130 };
/** A whole rotation takes less, also the second one on a busy machine, with ten times the rows; what takes longer hangs. */
const GRACE_MINUTES = 20;

const options = parse(process.argv.slice(2));
const report = new Report();
let ending;
const begun = performance.now();
const minutesGone = () => (performance.now() - begun) / 60_000;
report.say(`seed: ${options.seed} (--seed ${options.seed} repeats the plan)`);

const random = new Random(options.seed);
const scene = await Scene.start({ dir: path.join(ROOT, `.dev/chaos-${process.pid}`), program: path.resolve(ROOT, options.keytool), random, report });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => end(EXIT.interrupted));
setTimeout(() => {
  report.violation("a run comes to its end", `${options.minutes} minutes and some`, `${Math.round(minutesGone())} minutes`);
  void end(EXIT.violations);
}, (options.minutes + GRACE_MINUTES) * 60_000).unref();

try {
  await run();
} catch (error) {
  // What is stopped under its hands fails, and proves nothing.
  if (ending) await ending;
  report.violation("the harness itself does not fail", "no error", error.stack);
}
await end(report.violations ? EXIT.violations : EXIT.clean);

async function run() {
  const size = options.short ? SIZES.short : SIZES.long;
  let a = newKey();
  let deployment = await scene.deploy([a]);
  scene.journal.keys = scene.model.keys = [a];
  scene.journal.admit(a);
  scene.load.key = a;
  await scene.load.begin(size);
  do {
    const b = newKey();
    deployment = await new Rotation(scene, { a, b, deployment, random: random.fork(), size }).run();
    report.count("rotations");
    a = b;
  } while (minutesGone() < options.minutes && report.violations === 0);
  await scene.load.end();
  await scene.journal.readAll();
  await scene.model.check();
  report.count("ivs, each used once", scene.nonces.size);
}

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
      options: {
        minutes: { type: "string" },
        short: { type: "boolean", default: false },
        seed: { type: "string" },
        keytool: { type: "string", default: "target/release/keytool" },
      },
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
