// How long the database takes to compare a run of many results with what is known.
import { randomUUID } from "node:crypto";

const CHUNK = 1000;
const ROUNDS = 5;
const CHECKS = Array.from({ length: 50 }, (_, n) => ({ check_id: `bench_${n}`, check_version: 1 }));
/** One run after the other over the same integration, and what each of them sees of every resource. */
const CASES = [
  ["all are new", "fail"], ["all are known", "fail"], ["all pass", "pass"], ["all are back", "fail"], ["none is seen", "unknown"],
  ["all are seen again", "fail"], ["all are gone", undefined],
];

/** The medians of some rounds, each with an integration that `insert` makes: `{ name: milliseconds of finish_scan_run }`. */
export async function measureFinish(sql, insert, count) {
  const times = Object.fromEntries(CASES.map(([name]) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    const integration = await insert();
    for (const [name, status] of CASES) times[name].push(await finish(sql, integration, count, status));
  }
  return Object.fromEntries(Object.entries(times).map(([name, each]) => [name, each.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)]]));
}

async function finish(sql, { id }, count, status) {
  const [{ run }] = await sql`select private.open_run(i, 'user', null, ${randomUUID()}) as run from public.integrations i where i.id = ${id}`;
  const owner = randomUUID();
  const [{ claimed }] = await sql`select public.claim_scan_runs(${owner}, 1, '{supabase}', 120) as claimed`;
  const { generation } = claimed.claims.find((claim) => claim.id === run);
  for (let from = 0; status && from < count; from += CHUNK) {
    const results = Array.from({ length: Math.min(CHUNK, count - from) }, (_, n) => result(from + n, status));
    await sql`select public.save_scan_position(${run}, ${owner}, ${generation}, 'bench', ${String(from)}, ${sql.json(results)}, 1)`;
  }
  const begun = performance.now();
  const [{ finished }] = await sql`select public.finish_scan_run(${run}, ${owner}, ${generation}, 'bench', ${sql.json(CHECKS)}) as finished`;
  const time = performance.now() - begun;
  if (finished.outcome !== "finished" || (finished.result !== "complete" && status !== "unknown")) throw new Error(`the run ended ${JSON.stringify(finished)}`);
  return time;
}

function result(n, status) {
  return {
    check_id: CHECKS[n % CHECKS.length].check_id, check_version: 1, resource: { type: "bucket", id: `r${n}` }, resource_name: `Resource ${n}`, status,
    severity: "medium", ...(status === "fail" && { evidence: { "/public": true } }), ...(status === "unknown" && { reason: "absent" }),
  };
}
