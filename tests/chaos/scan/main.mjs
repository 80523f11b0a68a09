// The scanner under fire: two of them, while accounts change, the provider fails in every way, workerd is killed, the database's server is
// killed, its sessions are ended, leases end early and integrations go. Judged by what the provider has really answered.
//
//     node_modules/.bin/node tests/chaos/scan/main.mjs [--minutes 5 | --short] [--seed N]
//
// `cargo xtask chaos scan` builds the scanner, then runs this. Exit status: 0 no violation, 1 some, 2 wrong arguments.
import path from "node:path";
import { fileURLToPath } from "node:url";

import { Random } from "../random.mjs";
import { Report } from "../report.mjs";
import { parseOptions, run } from "../run.mjs";
import { Fixture } from "./fixture.mjs";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const SIZES = { short: { accounts: 8 }, long: { accounts: 30 } };
const SHORT_MS = 15_000;
/** To come to rest and to be judged; what takes longer hangs. */
const GRACE_MINUTES = 10;

const options = parseOptions();
const report = new Report();
report.say(`seed: ${options.seed} (--seed ${options.seed} repeats the plan)`);

const fixture = await Fixture.start({
  dir: path.join(ROOT, `.dev/chaos-scan-${process.pid}`),
  random: new Random(options.seed),
  report,
  size: options.short ? SIZES.short : SIZES.long,
});
await run({ options, report, fixture, graceMinutes: GRACE_MINUTES }, async () => {
  await fixture.storm(options.short ? SHORT_MS : options.minutes * 60_000);
  await fixture.verdict();
});
