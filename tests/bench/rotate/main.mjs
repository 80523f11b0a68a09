// The bench of the rotation: how many rows a second change their key, beside what PostgreSQL takes to write them at all, and beside
// the script that one would write. All ways take turns on the same table.
//
//     node_modules/.bin/node tests/bench/rotate/main.mjs [--json] [--rows 200000] [--rounds 3] [--per-organization 10] [--wrapping-only]
//       [--keytool target/release/keytool]
//
// --wrapping-only measures what a rotation takes when no row has to be resealed, and nothing else.
//
// `cargo xtask bench rotate` builds keytool, then runs this. It judges nothing: only an error is a failure.
import path from "node:path";
import { fileURLToPath } from "node:url";

import { startDelay } from "./delay.mjs";
import { runFloor } from "./floor.mjs";
import { runKeytool } from "./keytool.mjs";
import { startProject } from "./project.mjs";
import { show } from "./report.mjs";
import { makeRows, newKey } from "./rows.mjs";
import { runScript } from "./script.mjs";
import { parseOptions } from "../options.mjs";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const LIMITS = { rows: 10_000_000, rounds: 20, "per-organization": 5000 };
const CONNECTIONS = 2;
const FLOOR_BATCH = 1000;
const ROUND_TRIP_MS = 10;
/** Turns of the floor that are not counted. Then as many of the updates are HOT as ever will be. */
const WARM_UP = 4;
/** What the script does of the rows: all of them would take minutes. */
const SAMPLE = 2000;

const options = parseOptions(
  {
    rows: { type: "string", default: "200000" },
    rounds: { type: "string", default: "3" },
    // A rotation writes two events an organization, so with one row each it measures those.
    "per-organization": { type: "string", default: "10" },
    "wrapping-only": { type: "boolean", default: false },
    keytool: { type: "string", default: "target/release/keytool" },
  },
  LIMITS,
);
const log = (line) => console.error(line);
const result = await measure({ ...options, keytool: path.resolve(ROOT, options.keytool) });
console.log(options.json ? JSON.stringify(result, null, 2) : show(result));

async function measure({ rows, rounds, keytool, "per-organization": perOrganization, "wrapping-only": wrappingOnly }) {
  log("starting PostgreSQL and PostgREST");
  const project = await startProject();
  const link = await startDelay(project.databaseUrl, ROUND_TRIP_MS);
  try {
    let key = newKey();
    log(`making ${rows} rows`);
    await makeRows(project.sql, rows, key, perOrganization);
    const [{ organizations }] = await project.sql`select count(*)::int as organizations from private.data_keys`;

    const rotate = async (place, wrappingOnly = false) => {
      const next = newKey();
      const run = await runKeytool(keytool, { from: key, to: next, place, connections: CONNECTIONS, wrappingOnly });
      const expected = wrappingOnly ? 0 : rows;
      if (run.written !== expected) throw new Error(`keytool has written ${run.written} rows of ${expected}`);
      if (run.dataKeys !== organizations) throw new Error(`keytool has rewrapped ${run.dataKeys} data keys of ${organizations}`);
      key = next;
      // They would be deleted a quarter of an hour later.
      await project.sql`delete from private.data_keys where replaced_at is not null`;
      return { ...run, rows: expected };
    };
    const wrapping = [];
    for (let round = 0; round < rounds; round++) {
      await project.settle();
      const { seconds } = await rotate({ DATABASE_URL: project.databaseUrl }, true);
      wrapping.push(seconds);
      log(`round ${round + 1} of ${rounds}: wrapping key only: ${seconds.toFixed(2)} s for ${organizations} organizations`);
    }
    const settings = { rows, organizations, rounds, connections: CONNECTIONS, round_trip_ms: ROUND_TRIP_MS };
    if (wrappingOnly) return { settings, wrapping_seconds: median(wrapping) };
    const sample = Math.min(SAMPLE, rows);
    const ways = {
      floor: async () => ({ rows, seconds: await runFloor(project.databaseUrl, { connections: CONNECTIONS, batch: FLOOR_BATCH }) }),
      direct: () => rotate({ DATABASE_URL: project.databaseUrl }),
      delayed: () => rotate({ DATABASE_URL: link.url }),
      rest: () => rotate({ SUPABASE_URL: project.supabaseUrl, SUPABASE_SERVICE_ROLE_KEY: project.keys.secretKey }),
      script: async () => ({ rows: sample, seconds: await runScript(project, key, sample) }),
    };
    // All that the turns have written so far.
    let written = 0;
    const take = async (way) => {
      await project.settle();
      const turn = await way();
      written += turn.rows;
      return turn;
    };
    // The first to write a table that was just filled find no room beside the rows.
    for (let turn = 0; turn < WARM_UP; turn++) await take(ways.floor);
    const measured = [];
    for (let round = 0; round < rounds; round++) {
      const run = {};
      for (const [name, way] of Object.entries(ways)) {
        const before = await project.hotUpdates(written);
        const { seconds, rows, peakKb } = await take(way);
        const after = await project.hotUpdates(written);
        run[name] = { rows_per_second: rows / seconds, hot: (after - before) / rows, peak_mb: peakKb === undefined ? null : peakKb / 1024 };
        log(`round ${round + 1} of ${rounds}: ${name}: ${Math.round(run[name].rows_per_second)} rows/s`);
      }
      measured.push(run);
    }
    return { settings: { ...settings, sample }, wrapping_seconds: median(wrapping), ...summarize(measured) };
  } finally {
    await link.stop();
    await project.stop();
  }
}

/** Medians; a ratio is the median of the rounds' ratios, the sides of which ran one after the other. */
function summarize(rounds) {
  const over = (of) => median(rounds.map(of));
  const ways = Object.keys(rounds[0]).map((name) => {
    const figures = Object.keys(rounds[0][name]).map((figure) => [figure, over((run) => run[name][figure])]);
    return [name, Object.fromEntries(figures)];
  });
  const ratio = (one, other) => over((run) => run[one].rows_per_second / run[other].rows_per_second);
  return {
    ways: Object.fromEntries(ways),
    ratios: {
      direct_to_floor: ratio("direct", "floor"),
      direct_to_script: ratio("direct", "script"),
      delayed_to_direct: ratio("delayed", "direct"),
      rest_to_script: ratio("rest", "script"),
    },
  };
}

/** Of the figures that there are. */
function median(figures) {
  const numbers = figures.filter((figure) => figure !== null);
  if (numbers.length === 0) return null;
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
