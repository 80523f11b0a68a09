// What the tests of the scanner's tables share.
import { randomUUID } from "node:crypto";

import { call, completion, config, KID } from "./support.mjs";

/** A connected integration of a type that no other test uses, so that its claims are this test's. */
export async function scannable(service, over = {}) {
  const type = over.p_integration_type ?? `type-${randomUUID()}`;
  const args = completion({ p_integration_type: type, ...over });
  const { outcome } = await call(service, "complete_connection", args);
  if (outcome !== "created") throw new Error(`complete_connection: ${outcome}`);
  return { id: args.p_id, user: args.p_user_id, organization: args.p_organization_id, type };
}

export const requestScan = (service, { id, user, type }, over = {}) =>
  call(service, "request_scan", { p_id: id, p_user_id: user, p_types: [type], ...over });

/** Claims up to `limit` runs of a type: `{ ...claim, owner }`. */
export async function claimRuns(sql, type, limit = 1, over = {}) {
  const p_owner = randomUUID();
  const { claims } = await call(sql, "claim_scan_runs", { p_owner, p_limit: limit, p_types: [type], p_soon: 120, ...over });
  return claims.map((claim) => ({ ...claim, owner: p_owner }));
}

/** Requests a run and claims it. */
export async function beginScan(service, integration) {
  const { outcome } = await requestScan(service, integration);
  if (outcome !== "queued") throw new Error(`request_scan: ${outcome}`);
  const [claim] = await claimRuns(service, integration.type);
  return claim;
}

/** A result as the crate `checks` serializes it. */
export function result(status, id = "one", over = {}) {
  return {
    check_id: "t_tls", check_version: 1, resource: { type: "project", id }, resource_name: `Name of ${id}`, status, severity: "high",
    ...(status === "fail" ? { evidence: { "/enabled": false } } : {}),
    ...(status === "unknown" ? { reason: "absent" } : {}),
    ...over,
  };
}

export const check = (over = {}) => ({ check_id: "t_tls", check_version: 1, ...over });

const held = ({ id, owner, generation }) => ({ p_id: id, p_owner: owner, p_generation: generation });

export const savePosition = (sql, claim, over = {}) =>
  call(sql, "save_scan_position", {
    ...held(claim), p_catalogue: "catalogue 1", p_position: "{}", p_requests: 1, ...over, p_results: sql.json(over.p_results ?? []),
  });

export const finishScan = (sql, claim, results = [], { checks = [check()], ...over } = {}) =>
  call(sql, "finish_scan_run", {
    ...held(claim), p_catalogue: "catalogue 1", p_checks: sql.json(checks), p_results: sql.json(results), p_requests: 1, ...over,
  });

export const reopenCredential = (sql, claim) => call(sql, "reopen_scan_credential", { ...held(claim), p_soon: 120 });

/** A whole run with these results. */
export async function scan(service, integration, results, options) {
  return finishScan(service, await beginScan(service, integration), results, options);
}

export const runOf = async (owner, id) => (await owner`select * from public.assessments where id = ${id}`)[0];

export const findingsOf = async (owner, { id }) => [
  ...(await owner`select * from public.findings where integration_id = ${id} order by check_id, resource_id, item`),
];

/** The history of an integration's findings: `[[resource, action, cause, reason]]`. */
export async function historyOf(owner, { id }) {
  const events = await owner`
    select f.resource_id, e.action, e.cause, e.reason from public.finding_events e join public.findings f on f.id = e.finding_id
    where f.integration_id = ${id} order by e.id`;
  return events.map(({ resource_id, action, cause, reason }) => [resource_id, action, cause, reason]);
}

/** Lets a claimed run's lease, or the time that a run waits for, be over. */
export const makeDue = (owner, runId) => owner`update private.scan_claims set due_at = now() where assessment_id = ${runId}`;

export const sealed = (fields) => config(KID.a, fields);
