// What a bench of the worker is measured in: a stack of its own, in a directory of its own, which go when it is over.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { startStack } from "../stack/stack.mjs";
import { connect } from "../support/database.mjs";

/**
 * Answers what `measure` does, which gets `{ info, sql, started }`: `started` waits for something that has a `stop()`, and stops it in the end,
 * the newest first.
 */
export async function withStack(name, log, measure) {
  const dir = mkdtempSync(path.join(tmpdir(), `${name}-`));
  const stops = [() => rmSync(dir, { recursive: true, force: true })];
  const started = async (starting) => {
    const thing = await starting;
    stops.push(() => thing.stop());
    return thing;
  };
  try {
    log("starting the stack");
    const { info } = await started(startStack({ dir, appUrl: "http://localhost:3000", onExit: (error) => log(error.message) }));
    const sql = connect(info);
    stops.push(() => sql.end());
    return await measure({ info, sql, started });
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}
