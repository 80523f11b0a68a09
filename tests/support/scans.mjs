// Runs of the scanner without a scanner: through the database's own functions, as a scanner calls them.
import { randomUUID } from "node:crypto";

/** An integration of this organization, as a connection leaves it. */
export async function addIntegration(sql, organization_id, over = {}) {
  const row = { organization_id, integration_type: "supabase", name: `n-${randomUUID()}`, external_account_id: `a-${randomUUID()}`, config: {}, ...over };
  const [added] = await sql`insert into public.integrations ${sql(row)} returning *`;
  return added;
}

/** A result as the crate `checks` serializes it. */
export function result(check_id, status, over = {}) {
  return {
    check_id, check_version: 1, resource: { type: "project", id: "project-1" }, status, severity: "high", ...(status === "fail" && { evidence: { "/enabled": false } }),
    ...over,
  };
}

const call = async (sql, name, args) => {
  const names = Object.keys(args);
  const list = names.map((name, i) => `${name} => $${i + 1}`).join(", ");
  const [row] = await sql.unsafe(`select public.${name}(${list}) as answer`, names.map((name) => args[name]));
  return row.answer;
};

/** Queues a run and claims it, and no other: the tests of a stack share its queue. */
export async function beginScan(sql, integration, user_id) {
  const { id: p_id, integration_type: type } = integration;
  const asked = await call(sql, "request_scan", { p_id, p_user_id: user_id, p_types: [type] });
  if (!["queued", "already_open"].includes(asked.outcome)) throw new Error(`request_scan: ${asked.outcome}`);
  return claimScan(sql, asked.id, type);
}

/** Claims a queued run, and no other. */
export async function claimScan(sql, run, type) {
  const owner = randomUUID();
  return sql.begin(async (transaction) => {
    await transaction`select pg_advisory_xact_lock(hashtextextended('a test claims a run', 0))`;
    await transaction`update private.scan_claims set due_at = due_at + interval '1 day' where assessment_id <> ${run} and due_at <= now()`;
    const { claims } = await call(transaction, "claim_scan_runs", { p_owner: owner, p_limit: 1, p_types: [type], p_soon: 0 });
    await transaction`update private.scan_claims set due_at = due_at - interval '1 day' where assessment_id <> ${run} and due_at > now() + interval '20 hours'`;
    if (claims[0]?.id !== run) throw new Error(`claim_scan_runs: ${JSON.stringify(claims)}`);
    return { ...claims[0], owner };
  });
}

/** Ends a claimed run with these results. Their checks are those of the catalogue, and `checks`: `{ id: { incomplete, was … } }`. */
export async function finishScan(sql, { id, owner, generation }, results, { checks = {}, reason = null } = {}) {
  const ids = [...new Set([...results.map(({ check_id }) => check_id), ...Object.keys(checks)])];
  const p_checks = ids.map((check_id) => ({ check_id, check_version: 1, ...checks[check_id] }));
  const answer = await call(sql, "finish_scan_run", {
    p_id: id, p_owner: owner, p_generation: generation, p_catalogue: "catalogue 1", p_checks, p_results: results, p_requests: 27, p_reason: reason,
  });
  if (answer.outcome !== "finished") throw new Error(`finish_scan_run: ${answer.outcome}`);
  return answer;
}

/** A whole run. Returns its id. */
export async function scan(sql, integration, user_id, results, options) {
  const claim = await beginScan(sql, integration, user_id);
  await finishScan(sql, claim, results, options);
  return claim.id;
}
