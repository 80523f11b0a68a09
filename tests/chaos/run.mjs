// What the command lines of the chaos runs have in common: their arguments, how a run ends, and how long it may take.
import { randomInt } from "node:crypto";
import path from "node:path";
import { parseArgs } from "node:util";

const EXIT = { clean: 0, violations: 1, usage: 2, interrupted: 130 };

/** Reads the process's arguments: `{ minutes, short, seed }` and whatever `more` has. A wrong one ends the process. */
export function parseOptions(more = {}) {
  try {
    const { values } = parseArgs({
      options: { minutes: { type: "string" }, short: { type: "boolean", default: false }, seed: { type: "string" }, ...more },
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

/** Runs `play` on a fixture and ends the process: when it is done, at a signal, or when it takes `graceMinutes` longer than it should. */
export async function run({ options: { minutes, seed }, report, fixture, graceMinutes }, play) {
  const begun = performance.now();
  let ending;
  /** However often it is called, the first call counts. */
  const end = (code) => (ending ??= stopAndTell(code));
  const stopAndTell = async (code) => {
    const found = report.violations;
    await fixture.stop();
    if (code === EXIT.interrupted) report.violations = found;
    report.say(`\n${report.closing()}`);
    if (report.violations > 0) report.say(`seed: ${seed}; logs: ${path.join(fixture.dir, "logs")}`);
    else fixture.discard();
    process.exit(code);
  };

  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => end(EXIT.interrupted));
  setTimeout(() => {
    const gone = Math.round((performance.now() - begun) / 60_000);
    report.violation("a run comes to its end", `${minutes} minutes and some`, `${gone} minutes`);
    void end(EXIT.violations);
  }, (minutes + graceMinutes) * 60_000).unref();

  try {
    await play();
  } catch (error) {
    // What is stopped under its hands fails, and proves nothing.
    if (ending) await ending;
    report.violation("the harness itself does not fail", "no error", error.stack);
  }
  await end(report.violations ? EXIT.violations : EXIT.clean);
}
