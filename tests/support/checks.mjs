// Health checks as seen from both ends: what the worker asks of the provider, and what stands in the row.

/** The keys of a check's answer. */
export const HEALTH_KEYS = ["status", "status_reason", "last_checked_at", "next_check_at"];

/** Matches the requests for the list of accounts, and those for one, at a proxy (proxy.mjs) in front of the authorization server. */
export function isQuestion({ path }) {
  return path === "/v1/projects" || path.startsWith("/v1/projects/");
}

/** The same of this access token. */
export function questionOf(accessToken) {
  return (request) => isQuestion(request) && request.headers.authorization === `Bearer ${accessToken}`;
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
export async function expireCheck({ sql }, id) {
  await sql`update public.integrations set last_checked_at = last_checked_at - interval '1 hour' where id = ${id}`;
  await sql`delete from private.check_claims where integration_id = ${id}`;
}
