// Grants as the authorization server sees them: what it gave out for a code, and whether it still takes it.

const TOKEN_PATH = "/v1/oauth/token";

/** The code of a callback URL. */
export function codeOf(callbackUrl) {
  return new URL(callbackUrl).searchParams.get("code");
}

/** Matches the token request for the code of this callback URL, at a proxy (proxy.mjs) in front of the server. */
export function exchangeOf(callbackUrl) {
  const code = codeOf(callbackUrl);
  return ({ path, body }) => path === TOKEN_PATH && new URLSearchParams(body).get("code") === code;
}

/** Sends a proxy's request on to the server `target`: `{ status, json }`. */
export async function sentOn(target, { method, path, headers: all, body }) {
  const { authorization, "content-type": type } = all;
  const headers = Object.entries({ authorization, "content-type": type }).filter(([, value]) => value !== undefined);
  const answer = await fetch(target + path, { method, headers, body: method === "GET" ? undefined : body });
  return { status: answer.status, json: await answer.json() };
}

/** A behaviour (faults.mjs) that sends a request on to `target`, and answers what `change` makes of its JSON: an object, or text. */
export function rewritten(target, change) {
  return async ({ request, response }) => {
    const { status, json } = await sentOn(target, request);
    const changed = change(json, request);
    response.writeHead(status, { "content-type": "application/json" });
    response.end(typeof changed === "string" ? changed : JSON.stringify(changed));
  };
}

/**
 * Lets a proxy of the server `target` keep what it gives out. Returns a function: the grant for a callback URL's code, or
 * undefined as long as there is none.
 */
export function keepGrants(proxy, target) {
  const grants = new Map();
  proxy.fault(
    TOKEN_PATH,
    rewritten(target, (grant, { body }) => {
      grants.set(new URLSearchParams(body).get("code"), grant);
      return grant;
    }),
  );
  return (callbackUrl) => grants.get(codeOf(callbackUrl));
}

/** Whether the server's API takes this access token. */
export async function takesAccessToken(info, token) {
  const { status } = await fetch(`${info.authorization_server_url}/v1/projects`, { headers: { authorization: `Bearer ${token}` } });
  if (status !== 200 && status !== 401) throw new Error(`/v1/projects answered ${status}`);
  return status === 200;
}

/**
 * Whether the grant stands: its access token is taken and its refresh token can be exchanged, or neither. Spends the
 * refresh token. `info` is that of the worker whose client it was given to.
 */
export async function isAlive(info, { access_token, refresh_token }) {
  const access = await takesAccessToken(info, access_token);
  const credentials = Buffer.from(`${info.client_id}:${info.client_secret}`).toString("base64");
  const response = await fetch(info.authorization_server_url + TOKEN_PATH, {
    method: "POST",
    headers: { authorization: `Basic ${credentials}` },
    body: new URLSearchParams({ grant_type: "refresh_token", refresh_token }),
  });
  const { error } = await response.json();
  if (error && error !== "invalid_grant") throw new Error(`the refresh was answered with ${error}`);
  const refresh = error === undefined;
  if (access !== refresh) throw new Error(`half a grant: the access token is taken: ${access}, the refresh token: ${refresh}`);
  return access;
}

/** Ends a grant at the server, as its user may at any time. */
export async function withdraw({ authorization_server_url: server, client_id, client_secret }, { refresh_token }) {
  const response = await fetch(`${server}/v1/oauth/revoke`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ client_id, client_secret, refresh_token }),
  });
  if (response.status !== 204) throw new Error(`the revocation answered ${response.status}`);
}
