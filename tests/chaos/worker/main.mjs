// The worker under fire: users, callbacks, refreshes, checks and disconnections on workerd, while every part around it fails, workerd
// itself is killed, and strangers send what they like. Judged by what the authorization server and the database say.
//
//     node_modules/.bin/node tests/chaos/worker/main.mjs [--minutes 5 | --short] [--seed N]
//
// `cargo xtask chaos worker` builds the worker, then runs this. Exit status: 0 no violation, 1 some, 2 wrong arguments.
import path from "node:path";
import { fileURLToPath } from "node:url";

import { Random } from "../random.mjs";
import { Report } from "../report.mjs";
import { parseOptions, run } from "../run.mjs";
import { Fixture } from "./fixture.mjs";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const SIZES = {
  short: { users: 3, calm: [3000, 7000], drain: 2000 },
  long: { users: 5, calm: [5000, 30_000], drain: 30_000 },
};
const SHORT_MS = 20_000;
/** To come to rest and to be judged; what takes longer hangs. */
const GRACE_MINUTES = 10;

const options = parseOptions();
const report = new Report();
report.say(`seed: ${options.seed} (--seed ${options.seed} repeats the plan)`);

const fixture = await Fixture.start({
  dir: path.join(ROOT, `.dev/chaos-worker-${process.pid}`),
  random: new Random(options.seed),
  report,
  size: options.short ? SIZES.short : SIZES.long,
});
await run({ options, report, fixture, graceMinutes: GRACE_MINUTES }, async () => {
  await fixture.storm(options.short ? SHORT_MS : options.minutes * 60_000);
  await fixture.verdict();
});
