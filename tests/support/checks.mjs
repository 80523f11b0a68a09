// Health checks as seen from both ends: what the worker asks of the provider, and what stands in the row.

/** The keys of a check's answer. */
export const HEALTH_KEYS = ["status", "status_reason", "last_checked_at", "next_check_at"];

/** Matches the requests for the account of this access token, at a proxy (proxy.mjs) in front of the authorization server. */
export function questionOf(accessToken) {
  return ({ path, headers }) => path === "/v1/projects" && headers.authorization === `Bearer ${accessToken}`;
}

export function check({ browser, id }) {
  return browser.post(`/api/integrations/${id}/check`, {});
}

/** What the trail says of checks: `[[outcome, reason]]`. */
export async function verdictsOf({ sql }, id) {
  const events = await sql`
    select outcome, reason from public.credential_events where integration_id = ${id} and action = 'checked' order by id`;
  return events.map(({ outcome, reason }) => [outcome, reason]);
}

/** Forgets when the last check was, so that the next is not answered with what it found. */
export async function laterChecked({ sql }, id) {
  await sql`update public.integrations set last_checked_at = last_checked_at - interval '1 hour' where id = ${id}`;
  await sql`delete from private.check_claims where integration_id = ${id}`;
}
