// The authorization server keeps to the standards that a client relies on, and to what Supabase does beside them.
import assert from "node:assert/strict";
import { before, test } from "node:test";

import * as oauth from "oauth4webapi";

import { authorize, decline } from "../support/authorization.mjs";
import { registerClient } from "../support/clients.mjs";
import { stack } from "../support/stack.mjs";

const REDIRECT = "http://localhost:1/api/auth/callback";

const info = stack();
const server = info.authorization_server_url;
const metadata = { issuer: server, authorization_response_iss_parameter_supported: true };
let client;

before(async () => {
  client = await registerClient(info, [REDIRECT]);
});

test("a grant is consented to, exchanged, and covers its projects", async () => {
  const { callback, verifier, state } = await begin({ login: "someone" });
  const params = oauth.validateAuthResponse(metadata, client, new URL(callback), state);
  const { status, body } = await exchange(params.get("code"), verifier);
  assert.equal(status, 201);
  assert.deepEqual(Object.keys(body).sort(), ["access_token", "expires_in", "refresh_token", "token_type"]);
  const projects = await projectsOf(body.access_token);
  assert.equal(projects.status, 200);
  assert.equal(projects.body.length, 1);
  const [project] = projects.body;
  assert.equal(project.name, "someone");
  assert.match(project.ref, /^[a-z]{20}$/);
  assert.equal(project.id, project.ref);
  assert.equal(project.status, "ACTIVE_HEALTHY");
});

test("a client of its own gets a token as from Auth0, and reads its tenant's settings with it", async () => {
  const { client_id, client_secret } = info.machine;
  const token = (secret) => fetch(`${server}/oauth/token`, {
    method: "POST",
    body: new URLSearchParams({ grant_type: "client_credentials", client_id, client_secret: secret, audience: "https://demo.auth0.com/api/v2/" }),
  });
  assert.equal((await token("wrong")).status, 401);
  const answer = await token(client_secret);
  assert.equal(answer.status, 200);
  const { access_token } = await answer.json();
  const settings = (authorization) => fetch(`${server}/api/v2/tenants/settings`, { headers: { authorization } });
  assert.equal((await (await settings(`Bearer ${access_token}`)).json()).friendly_name, "Local tenant");
  const { access_token: anothers } = await connect("demo");
  for (const wrong of [`Bearer ${anothers}`, "Bearer wrong", ""]) assert.equal((await settings(wrong)).status, 401);
});

test("what the checks read is answered to a grant that covers the project, and to no other", async () => {
  const [mine, others] = await Promise.all(["demo", "two"].map((login) => connect(login)));
  const [{ ref }] = (await projectsOf(mine.access_token)).body;
  const read = (access_token, path) => fetch(`${server}${path}`, { headers: { authorization: `Bearer ${access_token}` } });
  const answer = await read(mine.access_token, `/v1/projects/${ref}/ssl-enforcement`);
  assert.equal(answer.status, 200);
  assert.equal(typeof (await answer.json()).currentConfig.database, "boolean");
  assert.equal((await read(mine.access_token, `/v1/projects/${ref}/api-keys?reveal=false`)).status, 200);
  assert.equal((await read(mine.access_token, `/v1/projects/${ref}/unheard-of`)).status, 404);
  assert.equal((await read(others.access_token, `/v1/projects/${ref}/ssl-enforcement`)).status, 404);
  assert.equal((await read("wrong", `/v1/projects/${ref}/ssl-enforcement`)).status, 401);
});

test("the login decides the projects, the same ones each time", async () => {
  const names = async (login) => (await projectsOf((await connect(login)).access_token)).body.map(({ name }) => name);
  assert.deepEqual(await names("demo"), ["My Project"]);
  assert.deepEqual(await names("two"), ["First Project", "Second Project"]);
  assert.deepEqual(await names("none"), []);
  const refs = async () => (await projectsOf((await connect("two")).access_token)).body.map(({ ref }) => ref);
  assert.deepEqual(await refs(), await refs());
});

test("a user who declines goes back with access_denied and the issuer", async () => {
  const { url, state } = await authorizationUrl();
  const callback = new URL(await decline(url, {}));
  assert.equal(callback.searchParams.get("error"), "access_denied");
  assert.equal(callback.searchParams.get("state"), state);
  assert.equal(callback.searchParams.get("iss"), server);
});

test("PKCE is required, and only S256", async () => {
  for (const change of [{ code_challenge_method: "plain" }, { code_challenge: undefined, code_challenge_method: undefined }]) {
    const { url } = await authorizationUrl(change);
    const callback = new URL(await authorize(url, {}));
    assert.equal(callback.searchParams.get("error"), "invalid_request");
    assert.equal(callback.searchParams.get("code"), null);
  }
});

test("a wrong verifier, another client and a second use of the code get nothing", async () => {
  const { callback, verifier } = await begin({});
  const code = callback.searchParams.get("code");
  const other = await registerClient(info, [REDIRECT]);
  assert.equal((await exchange(code, oauth.generateRandomCodeVerifier())).body.error, "invalid_grant");
  assert.equal((await exchange(code, verifier, other)).body.error, "invalid_grant");
  assert.equal((await exchange(code, verifier, { ...client, client_secret: "wrong" })).status, 401);
  const { status, body } = await exchange(code, verifier);
  assert.equal(status, 201);
  assert.equal((await exchange(code, verifier)).body.error, "invalid_grant");
  assert.equal((await projectsOf(body.access_token)).status, 401, "a code that is used twice takes its tokens along");
});

test("a redirect URI that was not registered is not redirected to", async () => {
  const { url } = await authorizationUrl({ redirect_uri: "http://localhost:2/elsewhere" });
  await assert.rejects(authorize(url, {}), /answered 400/);
});

test("refreshing rotates, and using an old refresh token revokes the grant", async () => {
  const old = await connect("rotation");
  const refresh = (refresh_token) => token({ grant_type: "refresh_token", refresh_token });
  const renewed = await refresh(old.refresh_token);
  assert.equal(renewed.status, 201);
  assert.notEqual(renewed.body.refresh_token, old.refresh_token);
  assert.equal((await projectsOf(renewed.body.access_token)).status, 200);
  assert.equal((await refresh(old.refresh_token)).body.error, "invalid_grant");
  assert.equal((await refresh(renewed.body.refresh_token)).body.error, "invalid_grant");
  assert.equal((await projectsOf(renewed.body.access_token)).status, 401);
});

test("revocation takes JSON, answers 204 and ends the grant", async () => {
  const { access_token, refresh_token } = await connect("revocation");
  assert.equal((await revoke({ ...client, client_secret: "wrong", refresh_token })).status, 401);
  assert.equal((await projectsOf(access_token)).status, 200);
  const revoked = await revoke({ ...client, refresh_token });
  assert.equal(revoked.status, 204);
  assert.equal(await revoked.text(), "");
  assert.equal((await projectsOf(access_token)).status, 401);
  assert.equal((await token({ grant_type: "refresh_token", refresh_token })).body.error, "invalid_grant");
  assert.equal((await revoke({ ...client })).status, 400);
});

test("the projects are for a bearer of a token", async () => {
  for (const value of [undefined, "unknown"]) {
    const { status, body } = await projectsOf(value);
    assert.equal(status, 401);
    assert.deepEqual(body, { message: "Unauthorized" });
  }
});

async function authorizationUrl(change = {}) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const params = {
    client_id: client.client_id,
    redirect_uri: REDIRECT,
    response_type: "code",
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    ...change,
  };
  const url = new URL("/v1/oauth/authorize", server);
  for (const [name, value] of Object.entries(params)) if (value !== undefined) url.searchParams.set(name, value);
  return { url: url.href, verifier, state };
}

async function begin(options) {
  const { url, verifier, state } = await authorizationUrl();
  return { callback: new URL(await authorize(url, options)), verifier, state };
}

async function connect(login) {
  const { callback, verifier } = await begin({ login });
  return (await exchange(callback.searchParams.get("code"), verifier)).body;
}

function exchange(code, verifier, by) {
  return token({ grant_type: "authorization_code", code, redirect_uri: REDIRECT, code_verifier: verifier }, by);
}

async function token(body, { client_id, client_secret } = client) {
  const response = await fetch(`${server}/v1/oauth/token`, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`${encodeURIComponent(client_id)}:${encodeURIComponent(client_secret)}`)}` },
    body: new URLSearchParams(body),
  });
  return { status: response.status, body: await response.json() };
}

function revoke(body) {
  return fetch(`${server}/v1/oauth/revoke`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function projectsOf(accessToken) {
  const headers = accessToken && { authorization: `Bearer ${accessToken}` };
  const response = await fetch(`${server}/v1/projects`, { headers });
  return { status: response.status, body: await response.json() };
}
