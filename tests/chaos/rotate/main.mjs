// The rotation of the key under fire: real servers, workers on workerd under load, one to four rotators, kill -9 at random points
// and at every statement; and a judge of every version of every row.
//
//     node_modules/.bin/node tests/chaos/rotate/main.mjs [--minutes 5 | --short] [--seed N] [--keytool target/release/keytool]
//
// `cargo xtask chaos rotate` builds what is needed, then runs this. Exit status: 0 no violation, 1 some, 2 wrong arguments.
import path from "node:path";
import { fileURLToPath } from "node:url";

import { Random } from "../random.mjs";
import { Report } from "../report.mjs";
import { parseOptions, run } from "../run.mjs";
import { Fixture } from "./fixture.mjs";
import { Rotation } from "./rotation.mjs";
import { newKey } from "./sealing.mjs";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const SIZES = {
  short: { rows: 1000, swept: 8, rounds: 2, pause: 1000, everyWay: false, users: 3, writers: 2 },
  long: { rows: 3000, swept: 24, rounds: 12, pause: 4000, everyWay: true, users: 5, writers: 4 },
};
/** A whole rotation takes less, also the second one on a busy machine, with ten times the rows; what takes longer hangs. */
const GRACE_MINUTES = 20;

const options = parseOptions({ keytool: { type: "string", default: "target/release/keytool" } });
const report = new Report();
const begun = performance.now();
const minutesGone = () => (performance.now() - begun) / 60_000;
report.say(`seed: ${options.seed} (--seed ${options.seed} repeats the plan)`);

const random = new Random(options.seed);
const fixture = await Fixture.start({ dir: path.join(ROOT, `.dev/chaos-${process.pid}`), program: path.resolve(ROOT, options.keytool), random, report });
await run({ options, report, fixture, graceMinutes: GRACE_MINUTES }, async () => {
  const size = options.short ? SIZES.short : SIZES.long;
  let a = newKey();
  let deployment = await fixture.deploy([a]);
  fixture.journal.keys = fixture.model.keys = fixture.dataKeys.keys = [a];
  fixture.journal.admit(a);
  fixture.load.keys = [a];
  await fixture.load.begin(size);
  do {
    const b = newKey();
    deployment = await new Rotation(fixture, { a, b, deployment, random: random.fork(), size }).run();
    report.count("rotations");
    a = b;
  } while (minutesGone() < options.minutes && report.violations === 0);
  await fixture.load.end();
  await fixture.journal.readAll();
  await fixture.model.check();
  report.count("ivs, each used once", fixture.nonces.size);
});
