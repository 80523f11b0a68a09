// An OAuth app of the customer's own: its client, and no other, asks for, refreshes and revokes the grants that were issued to it (threat model 230 to 233).
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { authorize } from "../support/authorization.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { registerClient } from "../support/clients.mjs";
import { Backend, ORIGIN, SessionBrowser } from "../support/connect-sessions.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import { assertAlive, expireBackoff, refresh, rowOf, setTokenExpiry, tokensOf } from "../support/refresh.mjs";
import { createOrganization } from "../support/users.mjs";

const APPS = "/api/oauth-apps";
const WRONG = "planted-wrong-secret";

describe("an OAuth app of the customer's own", { concurrency: true }, () => {
  const fixture = oauthFixture();
  /** A worker whose deployment has no client of the type. */
  let bare;
  before(async () => {
    const unset = { SUPABASE_CLIENT_ID: undefined, SUPABASE_CLIENT_SECRET: undefined };
    bare = await fixture.start({ ...unset, CREDENTIAL_TYPES: "stripe", RETURN_ORIGINS: ORIGIN });
  });

  /** A client at the authorization server, and an app of it: `{ id, client_id, client_secret }`. */
  const appOf = async (browser, over = {}) => {
    const client = await registerClient(fixture.info, [`${browser.worker.url}/api/auth/callback/supabase`]);
    const { client_id, client_secret } = client;
    const body = { integration_type: "supabase", name: `App ${randomUUID()}`, client_id, client_secret, ...over };
    const { json, text } = (await browser.post(APPS, body)).expect(201);
    assert.ok(!text.includes(client_secret), "an answer has no secret");
    return { id: json.id, client_id, client_secret };
  };
  const signedIn = (worker = fixture.worker) => BrowserSession.signedIn(worker);
  const connection = async (browser, app) => {
    const id = await browser.connect(`own-${randomUUID()}`, { oauth_app_id: app?.id });
    return { browser, id, tokens: await tokensOf(fixture, id) };
  };
  /** The secrets with which the requests that hold this token came, each as [client id, secret]. */
  const clientsOf = (token) => fixture.server.requests.filter(({ body }) => body.includes(token)).map(({ headers, body }) => {
    if (!headers.authorization) {
      const { client_id, client_secret } = JSON.parse(body);
      return [client_id, client_secret];
    }
    return Buffer.from(headers.authorization.split(" ")[1], "base64").toString().split(":").map(decodeURIComponent);
  });
  const pair = ({ client_id, client_secret }) => [client_id, client_secret];
  const change = (browser, { id }, body) => browser.patch(`${APPS}/${id}`, body);

  it("connects, refreshes and revokes with its own client, and leaves the deployment's alone", async () => {
    const browser = await signedIn();
    const app = await appOf(browser);
    const url = new URL(await browser.begin({ oauth_app_id: app.id }));
    assert.equal(url.searchParams.get("client_id"), app.client_id);
    const [own, deployments] = [await connection(browser, app), await connection(browser, null)];
    for (const [made, client] of [[own, app], [deployments, fixture.worker.info]]) {
      const { json } = (await browser.get(`/api/integrations/${made.id}`)).expect(200);
      assert.equal(json.oauth_app_id, made === own ? app.id : null);
      assert.equal((await refresh(made)).expect(200).json.refreshed, true);
      assert.deepEqual(clientsOf(made.tokens.refresh_token), [pair(client)]);
      await assertAlive(fixture, made.id);
      const { refresh_token } = await tokensOf(fixture, made.id);
      const { json: ended } = (await browser.delete(`/api/integrations/${made.id}`)).expect(200);
      assert.equal(ended.revoked, true);
      assert.deepEqual(clientsOf(refresh_token), [pair(client)]);
    }
    (await browser.delete(`${APPS}/${app.id}`)).expect(200);
    assert.ok(!JSON.stringify(fixture.worker.logs()).includes(app.client_secret));
  });

  it("changes its secret without a gap: the new one is tried first and the former one second, until it is dropped", async () => {
    const browser = await signedIn();
    const app = await appOf(browser);
    const made = await connection(browser, app);
    /** The secrets that a refresh tries. */
    const tried = async (code) => {
      await expireBackoff(fixture, made.id);
      const { refresh_token } = await tokensOf(fixture, made.id);
      (await refresh(made)).expect(...(code ? [502, code] : [200]));
      return clientsOf(refresh_token).map(([, secret]) => secret);
    };
    const changed = (await change(browser, app, { client_secret: WRONG })).expect(200);
    assert.ok(changed.json.has_fallback_secret && !changed.text.includes(WRONG));
    (await change(browser, app, { client_secret: WRONG })).expect(200);
    assert.deepEqual(await tried(), [WRONG, app.client_secret], "a repeated change keeps the former secret");
    assert.equal((await change(browser, app, { fallback_client_secret: null })).expect(200).json.has_fallback_secret, false);
    assert.deepEqual(await tried("provider_failed"), [WRONG]);
    assert.equal((await rowOf(fixture, made.id)).status, "active", "a wrong secret ends no connection");
    (await change(browser, app, { client_secret: app.client_secret, fallback_client_secret: null })).expect(200);
    assert.deepEqual((await tried()).at(-1), app.client_secret);
    assert.ok(!JSON.stringify(fixture.worker.logs()).includes(WRONG));
  });

  it("is reconnected with, and replaced by another app together with the grant, which is revoked with its own client", async () => {
    const browser = await signedIn();
    const [one, other] = [await appOf(browser), await appOf(browser)];
    const login = `own-${randomUUID()}`;
    const id = await browser.connect(login, { oauth_app_id: one.id });
    const reconnect = async (options) => (await browser.get(await browser.reconsent(id, login, options))).expect(303);
    const appOfRow = async () => (await rowOf(fixture, id)).oauth_app_id;
    await reconnect({});
    assert.equal(await appOfRow(), one.id);
    await reconnect({ oauth_app_id: other.id });
    assert.equal(await appOfRow(), other.id);
    const [queued] = await fixture.sql`select oauth_app_id from private.pending_revocations where sealed_for = ${id}`;
    assert.equal(queued.oauth_app_id, one.id);
    const inUse = (await browser.delete(`${APPS}/${one.id}`)).expect(409, "oauth_app_in_use");
    assert.match(inUse.json.error.message, /^this OAuth app is in use \(connections: 0; grants .*: 1\)/);
    await reconnect({ oauth_app_id: null });
    assert.equal(await appOfRow(), null);
  });

  it("whose secret does not open says so, ends no connection, and is repaired by a new secret", async () => {
    const browser = await signedIn();
    const app = await appOf(browser);
    const made = await connection(browser, app);
    await fixture.sql`
      update private.oauth_apps set config = config || '{"client_secret": "AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA==.AAAA"}' where id = ${app.id}`;
    await setTokenExpiry(fixture, made.id, -60);
    (await refresh(made)).expect(409, "oauth_app_unreadable");
    (await browser.post("/api/auth/authorize", { integration_type: "supabase", oauth_app_id: app.id })).expect(409, "oauth_app_unreadable");
    const { status, status_reason } = await rowOf(fixture, made.id);
    assert.deepEqual([status, status_reason], ["degraded", "app_unreadable"]);
    const { json } = (await browser.post(`/api/integrations/${made.id}/check`, {})).expect(200);
    assert.deepEqual([json.status, json.status_reason], ["degraded", "app_unreadable"]);
    assert.deepEqual(clientsOf(made.tokens.refresh_token), [], "the token was not sent");
    (await change(browser, app, { fallback_client_secret: null })).expect(409, "oauth_app_unreadable");
    (await change(browser, app, { client_secret: app.client_secret })).expect(200);
    await expireBackoff(fixture, made.id);
    (await refresh(made)).expect(200);
    assert.equal((await rowOf(fixture, made.id)).status, "active");
  });

  it("is nobody else's: not listed, not changed, not connected with", async () => {
    const [browser, stranger] = await Promise.all([signedIn(), signedIn()]);
    const app = await appOf(browser);
    assert.deepEqual((await stranger.get(APPS)).expect(200).json.oauth_apps, []);
    (await stranger.get(`${APPS}?organization_id=${browser.user.id}`)).expect(403, "not_a_member");
    (await change(stranger, app, { client_secret: WRONG })).expect(404, "not_found");
    (await stranger.delete(`${APPS}/${app.id}`)).expect(404, "not_found");
    (await stranger.post("/api/auth/authorize", { integration_type: "supabase", oauth_app_id: app.id })).expect(404, "not_found");
    const organization_id = await createOrganization(fixture.sql, [browser.user], "owner");
    const elsewhere = { integration_type: "supabase", oauth_app_id: app.id, organization_id };
    (await browser.post("/api/auth/authorize", elsewhere)).expect(404, "not_found");
  });

  it("serves a type that the deployment has no client for", async () => {
    const browser = await signedIn(bare);
    (await browser.post("/api/auth/authorize", { integration_type: "supabase" })).expect(400, "provider_unknown");
    const { types } = (await browser.get(APPS)).expect(200).json;
    const { redirect_uri } = types.find(({ integration_type }) => integration_type === "supabase");
    assert.equal(redirect_uri, `${bare.url}/api/auth/callback/supabase`);
    const app = await appOf(browser);
    const made = await connection(browser, app);
    (await refresh(made)).expect(200);
    assert.equal((await browser.post(`/api/integrations/${made.id}/check`, {})).expect(200).json.status, "active");
    assert.equal((await browser.delete(`/api/integrations/${made.id}`)).expect(200).json.revoked, true);
  });

  it("is named by a connect session, and managed by a program", async () => {
    const browser = await signedIn(bare);
    const app = await appOf(browser);
    const backend = await Backend.of(browser, { scopes: ["connect_sessions:write", "connections:read"] });
    assert.equal((await backend.send("GET", APPS)).expect(200).json.oauth_apps.length, 1);
    (await backend.send("DELETE", `${APPS}/${app.id}`)).expect(403, "missing_scope");
    (await backend.send("POST", "/api/connect-sessions", backend.request().body)).expect(400, "provider_unknown");
    const foreign = backend.request({ oauth_apps: { supabase: randomUUID() } }).body;
    (await backend.send("POST", "/api/connect-sessions", foreign)).expect(404, "not_found");
    const session = await backend.start({ oauth_apps: { supabase: app.id } });
    const visitor = new SessionBrowser(bare);
    const opened = (await visitor.open(session)).expect(200).json;
    assert.deepEqual(opened.providers.map(({ integration_type, name }) => [integration_type, name]), [["supabase", "Supabase"]]);
    const begun = (await visitor.step(session, "authorize", { integration_type: "supabase" })).expect(200).json;
    const { location } = (await visitor.get(await authorize(begun.authorization_url, { login: `own-${randomUUID()}` }))).expect(303);
    const returned = new URL(location);
    const { json } = (await backend.complete(session, returned.searchParams.get("code"))).expect(200);
    assert.deepEqual(json.oauth_apps, { supabase: app.id });
    assert.equal((await rowOf(fixture, json.integration.id)).oauth_app_id, app.id);
  });

  it("rejects what cannot be an app", async () => {
    const browser = await signedIn();
    const app = await appOf(browser);
    const body = { integration_type: "supabase", name: "App", client_id: "client", client_secret: "secret" };
    for (const [status, code, over] of [
      [409, "oauth_app_exists", { client_id: app.client_id }],
      [409, "oauth_app_exists", { client_id: fixture.worker.info.client_id }],
      [400, "provider_unknown", { integration_type: "nothing" }],
      [400, "invalid_request", { client_secret: "" }],
      [400, "invalid_request", { client_secret: "s ".repeat(2049) }],
      [400, "invalid_request", { client_id: " client" }],
      [400, "invalid_request", { slug: "a" }],
      [400, "invalid_request", { integration_type: "vercel" }],
      [400, "invalid_request", { integration_type: "vercel", slug: "../x" }],
    ]) {
      (await browser.post(APPS, { ...body, ...over })).expect(status, code);
    }
    (await change(browser, app, {})).expect(400, "invalid_request");
    (await change(browser, app, { client_id: "other" })).expect(400, "invalid_request");
    (await change(browser, app, { fallback_client_secret: "planted" })).expect(400, "invalid_request");
  });
});
