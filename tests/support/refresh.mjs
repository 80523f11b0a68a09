// Refreshes as seen from both ends: what the worker asks of the authorization server, and what stands in the row.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { BrowserSession } from "./browser-session.mjs";
import { opened } from "./integrations.mjs";

const TOKEN_PATH = "/v1/oauth/token";

/** Matches the redemptions of this refresh token, at a proxy (proxy.mjs) in front of the authorization server. */
export function redemptionOf(refreshToken) {
  return ({ path, body }) => {
    if (path !== TOKEN_PATH) return false;
    const form = new URLSearchParams(body);
    return form.get("grant_type") === "refresh_token" && form.get("refresh_token") === refreshToken;
  };
}

/** A new user's connection: `{ browser, id, tokens }`, the tokens as they are stored. */
export async function connection(fixture, worker = fixture.worker) {
  const browser = await BrowserSession.signedIn(worker);
  const id = await browser.connect(`refresh-${randomUUID()}`);
  return { browser, id, tokens: await tokensOf(fixture, id) };
}

export function refresh({ browser, id }) {
  return browser.post(`/api/integrations/${id}/refresh`, {});
}

/** The row of an integration. */
export async function rowOf({ sql }, id) {
  const [row] = await sql`select * from public.integrations where id = ${id}`;
  return row;
}

/** The row's config, opened. */
export async function tokensOf(fixture, id) {
  return opened(fixture.info, await rowOf(fixture, id));
}

export async function leaseOf({ sql }, id) {
  const [lease] = await sql`select * from public.credential_leases where integration_id = ${id}`;
  return lease;
}

/** What the trail says of refreshes: `[[action, outcome, reason]]`. */
export async function refreshesOf({ sql }, id) {
  const events = await sql`
    select action, outcome, reason from public.credential_events
    where integration_id = ${id} and action in ('refreshed', 'refresh_failed') order by id`;
  return events.map(({ action, outcome, reason }) => [action, outcome, reason]);
}

/** Forgets when the last refresh was, so that the next is not taken for the same, and any back-off. */
export function expireBackoff({ sql }, id) {
  return sql`
    update public.credential_leases
    set settled_at = settled_at - interval '1 hour', failed_at = failed_at - interval '1 hour', retry_at = now()
    where integration_id = ${id}`;
}

/** Lets the access token end in so many seconds, as far as we know. */
export function setTokenExpiry({ sql }, id, seconds) {
  const moment = new Date(Date.now() + seconds * 1000).toISOString();
  return sql`
    update public.integrations set config = config || ${sql.json({ expires_at: moment })} where id = ${id}`;
}

/** The row holds a grant that the authorization server takes: neither half nor dead. */
export async function assertAlive(fixture, id) {
  const { access_token } = await tokensOf(fixture, id);
  const { status } = await fetch(`${fixture.info.authorization_server_url}/v1/projects`, {
    headers: { authorization: `Bearer ${access_token}` },
  });
  assert.equal(status, 200, "the stored access token is taken");
}

/** How many connections are due by the schedule. */
export async function dueLeft(sql) {
  const [{ left }] = await sql`
    select count(*)::int as left from public.integrations where token_expires_at < now() + interval '10 minutes'`;
  return left;
}
