// A backend's user connects an account without being a user of this project (threat model 204 to 210).
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { authorize, decline } from "../support/authorization.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { call } from "../support/caller.mjs";
import { Backend, ORIGIN, RETURN_URL, SessionBrowser, tokenOf } from "../support/connect-sessions.mjs";
import { opened } from "../support/integrations.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import { rowOf } from "../support/refresh.mjs";
import { createOrganization } from "../support/users.mjs";
import { until } from "../support/wait.mjs";

const settings = { RETURN_ORIGINS: `${ORIGIN}, http://localhost:4000`, PLAINTEXT_CREDENTIALS: "true" };

describe("a connect session", { concurrency: true }, () => {
  const fixture = oauthFixture({ settings });
  const login = () => `session-${randomUUID()}`;
  const visitor = () => new SessionBrowser(fixture.worker);
  const backendOf = async (over) => Backend.of(await BrowserSession.signedIn(fixture.worker), over);
  const rows = ({ organization }) => fixture.sql`select id from public.integrations where organization_id = ${organization}`;
  const pendings = ({ id }) => fixture.sql`select id from public.pending_connections where connect_session_id = ${id}`;
  const expire = ({ id }) => fixture.sql`update private.connect_sessions set expires_at = now() - interval '1 second' where id = ${id}`;

  it("a backend's user connects an account, and the backend completes it and reads a live token", async () => {
    const owner = await BrowserSession.signedIn(fixture.worker);
    const backend = await Backend.of(owner);
    const session = await backend.start({ state: "opaque &=", metadata: { plan: "pro" }, tags: ["eu"], external_user_name: "Ada <b>" });
    assert.deepEqual([session.url.split("#")[0], await backend.stateOf(session)], [`${fixture.worker.url}/connect`, "pending"]);

    const browser = visitor();
    const { json: shown } = (await browser.open(session)).expect(200);
    assert.deepEqual(
      [shown.return_origin, shown.external_user, shown.integration_types, shown.is_open, shown.state],
      [ORIGIN, "Ada <b>", ["supabase"], true, "opened"],
    );
    assert.equal(await backend.stateOf(session), "opened");
    const name = login();
    const begun = (await browser.step(session, "authorize", { integration_type: "supabase" })).expect(200).json;
    const callback = await authorize(begun.authorization_url, { login: name });
    const { location } = (await browser.get(callback)).expect(303);
    const back = new URL(location);
    assert.deepEqual([back.origin + back.pathname, back.searchParams.get("tab")], [`${ORIGIN}/connected`, "1"]);
    assert.deepEqual([back.searchParams.get("session"), back.searchParams.get("state")], [session.id, "opaque &="]);

    assert.equal(await backend.stateOf(session), "waiting_for_completion");
    assert.deepEqual((await rows(backend)).length, 0, "nothing is stored before the backend completes");
    const { json: done } = (await backend.complete(session, back.searchParams.get("code"))).expect(200);
    const { integration } = done;
    assert.deepEqual(
      [done.state, done.metadata, integration.external_user_id, integration.name, integration.status],
      ["completed", { plan: "pro" }, session.user, name, "active"],
    );
    assert.deepEqual((await backend.show(session.id)).expect(200).json, done);
    const row = await rowOf(fixture, integration.id);
    assert.equal(row.external_user_id, session.user);
    assert.equal((await opened(fixture.info, row)).access_token, fixture.grant(callback).access_token);
    assert.deepEqual((await pendings(session)).length, 0);

    const credential = await backend.send("POST", `/api/integrations/${integration.id}/credential`, { form: "plain" });
    const { access_token } = credential.expect(200).json.credential;
    const asked = await fetch(`${fixture.info.authorization_server_url}/v1/projects`, { headers: { authorization: `Bearer ${access_token}` } });
    assert.equal(asked.status, 200);

    const { events } = (await owner.get(`/api/integrations/${integration.id}/events`)).expect(200).json;
    const details = { service_key: backend.id, name: backend.name };
    const ofSession = { ...details, connect_session: session.id, external_user_id: session.user };
    assert.deepEqual(events.map(({ actor, action, user_id, details: said }) => [actor, action, user_id, said]), [
      ["service_key", "opened", null, details],
      ["service_key", "connected", null, ofSession],
    ]);
    const { details: openedFor } = (await fixture.sql`select details from public.credential_events where organization_id = ${backend.organization} and reason = 'complete'`)[0];
    assert.deepEqual(openedFor, ofSession);
    const { external_user_id, connected_by, tags } = (await owner.get(`/api/integrations/${integration.id}`)).expect(200).json;
    assert.deepEqual([external_user_id, connected_by, tags], [session.user, { actor: "service_key", ...ofSession }, ["eu"]]);
  });

  // Threat model 204.
  it("a forwarded link connects nothing: the code returns in the browser of whoever authorized, and the key alone completes nothing", async () => {
    const backend = await backendOf();
    const session = await backend.start();
    const victim = visitor();
    const back = await victim.finish(session, login());
    assert.equal(back.searchParams.get("session"), session.id, "the backend compares it with the session of the user in front of it");
    // Who started the session knows all but the code, and cannot see it.
    for (const wrong of [tokenOf(session), session.verifier]) {
      (await backend.complete(session, wrong)).expect(400, "wrong_completion");
    }
    assert.deepEqual([(await rows(backend)).length, (await pendings(session)).length], [0, 1]);
    await fixture.sql`update public.pending_connections set expires_at = now() where connect_session_id = ${session.id}`;
    (await backend.complete(session, back.searchParams.get("code"))).expect(409, "connect_session_over");
    assert.equal((await rows(backend)).length, 0);
  });

  // Threat model 205.
  it("a link opens once, in one browser, and for ten minutes", async () => {
    const backend = await backendOf();
    const session = await backend.start();
    const [one, other] = [visitor(), visitor()];
    const opens = await Promise.all(Array.from({ length: 10 }, () => visitor().open(session)));
    assert.deepEqual(opens.map(({ status }) => status).sort(), [200, ...Array(9).fill(409)]);
    (await one.open(session)).expect(409, "link_used");

    const second = await backend.start();
    (await one.open(second)).expect(200);
    (await one.get(`/api/connect/${second.id}`)).expect(200);
    (await other.get(`/api/connect/${second.id}`)).expect(403, "flow_foreign");
    for (const [step, body] of [["authorize", { integration_type: "supabase" }], ["cancel", {}], ["account", { account_id: "x" }], ["credentials", { integration_type: "supabase", fields: {} }]]) {
      (await other.step(second, step, body)).expect(403, "flow_foreign");
    }
    // Another browser can make a cookie of that name, and does not know its value.
    const forged = { cookie: `__Host-connect-${second.id}=${"A".repeat(43)}` };
    assert.equal((await fetch(new URL(`/api/connect/${second.id}`, fixture.worker.url), { headers: forged })).status, 403);
    // Another browser with a cookie of its own session.
    const third = await backend.start();
    (await other.open(third)).expect(200);
    (await other.step(second, "authorize", { integration_type: "supabase" })).expect(403, "flow_foreign");

    const late = await backend.start();
    await expire(late);
    (await visitor().open(late)).expect(409, "link_expired");
    assert.equal(await backend.stateOf(late), "expired");
    for (const token of ["", "x", "A".repeat(43), `${tokenOf(session)}x`]) (await visitor().post("/api/connect", { token })).expect(404, "not_found");
  });

  // Threat model 206.
  it("another browser, even one of a signed-in user, cannot open the callback of a session", async () => {
    const owner = await BrowserSession.signedIn(fixture.worker);
    const backend = await Backend.of(owner);
    const session = await backend.start();
    const browser = visitor();
    const callback = await browser.consentTo(session, login());
    const nameOf = ({ jar }) => jar.header(fixture.worker.url).split("; ").find((pair) => pair.startsWith("__Host-session-flow-")).split("=")[0];
    const forge = (url, cookie) => call(fixture.worker, "GET", url, { headers: { cookie } });
    (await owner.get(callback)).expect(403, "flow_foreign");
    (await visitor().get(callback)).expect(403, "flow_foreign");
    (await forge(callback, `${nameOf(browser)}=${"A".repeat(43)}`)).expect(403, "flow_foreign");
    assert.equal(fixture.exchanges(callback), 0);
    // The cookie's name does not make a user's flow one of a session.
    const own = await owner.consent(login());
    const flow = owner.jar.header(fixture.worker.url).split("; ").find((pair) => pair.startsWith("__Host-flow-"));
    const cookie = flow.replace("__Host-flow-", "__Host-session-flow-");
    (await forge(own, cookie)).expect(403, "flow_foreign");
    const { location } = (await browser.get(callback)).expect(303);
    assert.ok(new URL(location).searchParams.get("code"));
    (await browser.get(callback)).expect(403, "flow_foreign");
    assert.equal(fixture.exchanges(callback), 1);
  });

  // Threat model 206.
  it("a request of a session that another site's page could make is rejected", async () => {
    const backend = await backendOf();
    const session = await backend.start();
    const browser = visitor();
    const send = (path, headers, body) =>
      browser.jar.fetch(new URL(path, fixture.worker.url), { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
    const own = { origin: fixture.worker.url };
    for (const headers of [{}, { origin: "null" }, { origin: ORIGIN }, { ...own, "content-type": "text/plain" }, { ...own, "sec-fetch-site": "cross-site" }]) {
      assert.equal((await send("/api/connect", headers, { token: tokenOf(session) })).status, 403, JSON.stringify(headers));
    }
    (await browser.open(session)).expect(200);
    for (const headers of [{}, { origin: ORIGIN }, { ...own, "content-type": "text/plain" }]) {
      for (const step of ["authorize", "credentials", "account", "cancel"]) {
        const { status } = await send(`/api/connect/${session.id}/${step}`, headers, { integration_type: "supabase" });
        assert.equal(status, 403, `${step} ${JSON.stringify(headers)}`);
      }
    }
    assert.equal(await backend.stateOf(session), "opened");
  });

  // Threat model 207.
  it("a completion needs the code and the verifier, five attempts at most, and once", async () => {
    const backend = await backendOf();
    const session = await backend.start();
    (await backend.complete(session, "A".repeat(43))).expect(409, "connect_session_not_ready");
    const browser = visitor();
    const callback = await browser.consentTo(session, login());
    (await backend.complete(session, "A".repeat(43))).expect(409, "connect_session_not_ready");
    const code = new URL((await browser.get(callback)).expect(303).location).searchParams.get("code");
    for (const body of [{ code: "x" }, { code_verifier: "short" }, { code_verifier: "ä".repeat(43) }, { extra: 1 }]) {
      (await backend.complete(session, code, body)).expect(400, "invalid_request");
    }
    for (const [wrong, over] of [[code, { code_verifier: "A".repeat(43) }], ["A".repeat(43), {}], [code, { code_verifier: code }]]) {
      (await backend.complete(session, wrong, over)).expect(400, "wrong_completion");
    }
    const attempts = await Promise.all(Array.from({ length: 8 }, () => backend.complete(session, code)));
    const outcomes = attempts.map(({ status, json }) => json.error?.code ?? status);
    assert.deepEqual(outcomes.sort(), [200, ...Array(7).fill("connect_session_completed")]);
    (await backend.complete(session, code)).expect(409, "connect_session_completed");
    assert.equal((await rows(backend)).length, 1);

    const guessed = await backend.start();
    const other = visitor();
    const second = await other.consentTo(guessed, login());
    const right = new URL((await other.get(second)).expect(303).location).searchParams.get("code");
    for (let attempt = 0; attempt < 5; attempt++) (await backend.complete(guessed, right, { code_verifier: "A".repeat(43) })).expect(400, "wrong_completion");
    (await backend.complete(guessed, right)).expect(409, "connect_session_over");
    const { state, failure } = (await backend.show(guessed.id)).expect(200).json;
    assert.deepEqual([state, failure, (await rows(backend)).length], ["failed", "wrong_completion", 1]);
    await fixture.worker.scheduled();
    const { status } = await fetch(`${fixture.info.authorization_server_url}/v1/projects`, {
      headers: { authorization: `Bearer ${fixture.grant(second).access_token}` },
    });
    assert.equal(status, 401, "the grant is revoked");
  });

  // Threat model 207.
  it("a grant that nobody completes in time is revoked", async () => {
    const backend = await backendOf();
    const session = await backend.start();
    const browser = visitor();
    const callback = await browser.consentTo(session, login());
    const code = new URL((await browser.get(callback)).expect(303).location).searchParams.get("code");
    await expire(session);
    await fixture.sql`update public.pending_connections set expires_at = now() where connect_session_id = ${session.id}`;
    (await backend.complete(session, code)).expect(409, "connect_session_over");
    assert.equal(await backend.stateOf(session), "expired");
    await fixture.worker.scheduled();
    const { status } = await fetch(`${fixture.info.authorization_server_url}/v1/projects`, {
      headers: { authorization: `Bearer ${fixture.grant(callback).access_token}` },
    });
    assert.equal(status, 401);
    assert.equal((await rows(backend)).length, 0);
  });

  // Threat model 207.
  it("a completion whose grant expires after its code was accepted says that the session is over", async () => {
    const backend = await backendOf();
    const session = await backend.start();
    const code = (await visitor().finish(session, login())).searchParams.get("code");
    const completing = await fixture.sql.begin(async (sql) => {
      // The completion is admitted, and waits for this lock before it looks at the grant.
      await sql`select private.lock_names(${backend.organization}, 'supabase')`;
      const answer = backend.complete(session, code);
      const admitted = () => fixture.sql`select from private.connect_sessions where id = ${session.id} and completed_by is not null`;
      await until("the completion is admitted", async () => (await admitted()).length === 1);
      await fixture.sql`update public.pending_connections set expires_at = now() - interval '1 minute' where connect_session_id = ${session.id}`;
      return { answer };
    });
    (await completing.answer).expect(409, "connect_session_over");
    assert.equal((await rows(backend)).length, 0);
  });

  it("a user who cancels while the session ends otherwise is not told that it was canceled", async () => {
    const backend = await backendOf();
    const session = await backend.start();
    const browser = visitor();
    (await browser.open(session)).expect(200);
    const canceling = await fixture.sql.begin(async (sql) => {
      await sql`update private.connect_sessions set state = 'failed', failure = 'account_mismatch' where id = ${session.id}`;
      const answer = browser.step(session, "cancel");
      const waits = () => sql`select from pg_locks where not granted and transactionid = pg_current_xact_id()::xid`;
      await until("the cancellation waits", async () => (await waits()).length > 0);
      return { answer };
    });
    (await canceling.answer).expect(409, "connect_session_over");
    assert.equal((await backend.show(session.id)).expect(200).json.failure, "account_mismatch");
  });

  // Threat model 208.
  it("a service key without the scope, of another organization, revoked, expired or malformed starts, shows and completes nothing", async () => {
    const owner = await BrowserSession.signedIn(fixture.worker);
    const backend = await Backend.of(owner);
    const session = await backend.start();
    const back = await visitor().finish(session, login());
    const code = back.searchParams.get("code");
    const attempts = (other) => Promise.all([
      other.send("POST", "/api/connect-sessions", backend.request().body), other.show(session.id), other.complete(session, code),
    ]);
    const outcomes = async (other) => (await attempts(other)).map(({ status, json }) => [status, json.error?.code]);

    const lacking = await Backend.of(owner, { scopes: ["connections:credentials", "connections:write"] });
    assert.deepEqual(await outcomes(lacking), Array(3).fill([403, "missing_scope"]));
    const stranger = await backendOf();
    assert.deepEqual(await outcomes(stranger), [[403, "wrong_organization"], [404, "not_found"], [404, "not_found"]]);
    const revoked = await Backend.of(owner);
    (await owner.delete(`/api/service-keys/${revoked.id}`)).expect(200);
    const expired = await Backend.of(owner);
    await fixture.sql`update private.service_keys set expires_at = now() - interval '1 second' where id = ${expired.id}`;
    const malformed = ["", "x", backend.key.slice(0, -1), `${backend.key}x`, owner.user.access_token, tokenOf(session), code];
    for (const other of [revoked, expired, ...malformed.map((key) => new Backend(fixture.worker, { ...backend, key }))]) {
      assert.deepEqual(await outcomes(other), Array(3).fill([401, "unauthorized"]));
    }
    assert.deepEqual([await backend.stateOf(session), (await rows(backend)).length], ["waiting_for_completion", 0]);
    // Another key of the organization completes it: keys are changed while sessions are open.
    const newer = await Backend.of(owner);
    const { integration } = (await newer.complete(session, code)).expect(200).json;
    const [connected] = await fixture.sql`select details from public.credential_events where integration_id = ${integration.id} and action = 'connected'`;
    assert.equal(connected.details.name, newer.name);
  });

  // Threat model 209.
  it("a session returns to an origin of the setting alone, without user, fragment or parameters of ours", async () => {
    const backend = await backendOf();
    const ask = (over) => backend.send("POST", "/api/connect-sessions", backend.request(over).body);
    for (const return_url of ["https://app.example", "http://localhost:4000/x", "https://APP.example:443/x"]) (await ask({ return_url })).expect(201);
    for (const return_url of [
      "", "/x", "//app.example", "http://app.example/x", "https://app.example:8443", "https://app.example.evil", "https://app.example@evil.example",
      "https://user@app.example", "https://user:x@app.example/x", "https://app.example/#x", "https://app.example/x#", "https://app.example/?code=x",
      "http://localhost:4001", "http://127.0.0.1:4000", "javascript:alert(1)", `https://app.example/${"x".repeat(2048)}`, fixture.worker.url,
    ]) {
      (await ask({ return_url })).expect(400, "return_url_not_allowed");
    }
    const none = await fixture.start({});
    try {
      const without = new Backend(none, backend);
      (await without.send("POST", "/api/connect-sessions", backend.request().body)).expect(400, "return_url_not_allowed");
    } finally {
      await none.stop();
    }
  });

  it("a session asks for what is offered, within bounds", async () => {
    const backend = await backendOf();
    const ask = (over) => backend.send("POST", "/api/connect-sessions", backend.request(over).body);
    for (const over of [
      { organization_id: "x" }, { external_user_id: "" }, { external_user_id: " x" }, { external_user_id: "x".repeat(201) }, { external_user_id: "a\nb" },
      { external_user_name: "\u202e" }, { integration_types: [] }, { integration_types: undefined }, { integration_id: randomUUID() },
      { integration_types: Array(101).fill("supabase") }, { code_challenge: "x" }, { code_challenge: undefined }, { state: "" }, { state: "x".repeat(513) },
      { metadata: [] }, { metadata: { x: "y".repeat(2100) } }, { scopes: [] }, { user_id: randomUUID() },
      // What the database cannot store, or only longer than its text is.
      { state: "a\0b" }, { metadata: { x: ["a\0b"] } }, { metadata: { "a\0b": 1 } }, { metadata: { x: Array(200).fill(1e300) } },
      { metadata: { x: Array(200).fill(1e-300) } },
    ]) {
      (await ask(over)).expect(400, "invalid_request");
    }
    (await ask({ return_url: `https://app.example/${"ä".repeat(1000)}` })).expect(400, "return_url_not_allowed");
    (await ask({ metadata: { x: [1e300, 1e-300, -1.5e17, 0.1], y: "\\u0000\u001f" } })).expect(201);
    (await ask({ integration_types: ["supabase", "github"] })).expect(400, "provider_unknown");
    (await ask({ scopes: { supabase: ["all"] } })).expect(400, "scopes_not_allowed");
    (await ask({ scopes: { github: ["repo"] } })).expect(400, "scopes_not_allowed");
    (await backend.show("x")).expect(400, "invalid_request");
    (await backend.show(randomUUID())).expect(404, "not_found");

    const session = await backend.start();
    const browser = visitor();
    (await browser.open(session)).expect(200);
    (await browser.step(session, "authorize", { integration_type: "github" })).expect(400, "type_not_allowed");
    (await browser.step(session, "credentials", { integration_type: "stripe", fields: {} })).expect(400, "type_not_allowed");
    (await browser.step(session, "credentials", { integration_type: "supabase", fields: {} })).expect(409, "connects_by_oauth");
    (await browser.step(session, "account", { account_id: "x" })).expect(409, "connect_session_over");
  });

  it("a session requests a part of the operator's scopes, and no more", async () => {
    const owner = await BrowserSession.signedIn(fixture.worker);
    const worker = await fixture.start({ ...settings, SUPABASE_SCOPES: "projects:read,database:read" });
    try {
      const backend = Object.assign(await Backend.of(owner), { worker });
      const asked = async (over) => {
        const session = await backend.start(over);
        const url = await new SessionBrowser(worker).authorization(session);
        return new URL(url).searchParams.get("scope");
      };
      assert.equal(await asked({ scopes: { supabase: ["database:read"] } }), "database:read");
      assert.equal(await asked({ scopes: { supabase: [] } }), null);
      assert.equal(await asked({}), "projects:read database:read");
      const more = backend.request({ scopes: { supabase: ["database:read", "database:write"] } }).body;
      (await backend.send("POST", "/api/connect-sessions", more)).expect(400, "scopes_not_allowed");
      const repeated = backend.request({ scopes: { supabase: Array(600).fill("database:read") } }).body;
      (await backend.send("POST", "/api/connect-sessions", repeated)).expect(400, "invalid_request");
    } finally {
      await worker.stop();
    }
  });

  it("a user who declines or cancels returns with an error, and the session fails", async () => {
    const backend = await backendOf();
    const declined = await backend.start({ state: "s" });
    const browser = visitor();
    const callback = await decline(await browser.authorization(declined), { login: login() });
    const back = new URL((await browser.get(callback)).expect(303).location);
    assert.deepEqual(Object.fromEntries(back.searchParams), { tab: "1", session: declined.id, error: "declined", state: "s" });
    const { state, failure } = (await backend.show(declined.id)).expect(200).json;
    assert.deepEqual([state, failure], ["failed", "declined"]);
    (await browser.step(declined, "authorize", { integration_type: "supabase" })).expect(409, "connect_session_over");
    (await backend.complete(declined, "A".repeat(43))).expect(409, "connect_session_over");

    const canceled = await backend.start();
    (await browser.open(canceled)).expect(200);
    const { return_to } = (await browser.step(canceled, "cancel")).expect(200).json;
    assert.equal(return_to, `${RETURN_URL}&session=${canceled.id}&error=declined`);
    assert.equal(await backend.stateOf(canceled), "failed");
    (await browser.step(canceled, "cancel")).expect(409, "connect_session_over");
  });

  it("a session has one authorization: an earlier one that is still open ends, and a second account is not connected", async () => {
    const backend = await backendOf();
    const session = await backend.start();
    const browser = visitor();
    const first = await browser.authorization(session);
    const again = (await browser.step(session, "authorize", { integration_type: "supabase" })).expect(200).json.authorization_url;
    (await browser.get(await authorize(first, { login: login() }))).expect(400, "flow_unknown");
    const { location } = (await browser.get(await authorize(again, { login: login() }))).expect(303);
    assert.ok(new URL(location).searchParams.get("code"));
    (await browser.step(session, "authorize", { integration_type: "supabase" })).expect(409, "connect_session_over");
    assert.equal((await pendings(session)).length, 1);
  });

  it("a user whose grant covers several accounts chooses one of them in the session", async () => {
    const backend = await backendOf();
    const session = await backend.start();
    const browser = visitor();
    const callback = await browser.consentTo(session, `two-${randomUUID()}`);
    const { location } = (await browser.get(callback)).expect(303);
    assert.equal(location, `/connect?session=${session.id}`);
    const { json } = (await browser.get(`/api/connect/${session.id}`)).expect(200);
    assert.equal(json.choice.accounts.length, 2);
    (await browser.step(session, "account", { account_id: "foreign" })).expect(400, "invalid_request");
    const [, account] = json.choice.accounts;
    const { return_to } = (await browser.step(session, "account", { account_id: account.id })).expect(200).json;
    const { integration } = (await backend.complete(session, new URL(return_to).searchParams.get("code"))).expect(200).json;
    assert.deepEqual([integration.external_account_id, integration.name], [account.id, account.name]);
  });

  it("a session that reconnects takes the integration's own account alone", async () => {
    const backend = await backendOf();
    const name = login();
    const first = await backend.start();
    const code = (await visitor().finish(first, name)).searchParams.get("code");
    const { integration } = (await backend.complete(first, code)).expect(200).json;
    const reconnect = { integration_types: undefined, integration_id: integration.id, external_user_id: first.user };
    (await backend.send("POST", "/api/connect-sessions", backend.request({ ...reconnect, integration_id: randomUUID() }).body)).expect(404, "not_found");

    const wrong = await backend.start(reconnect);
    const refused = await visitor().finish(wrong, login());
    assert.equal(refused.searchParams.get("error"), "account_mismatch");
    assert.equal(await backend.stateOf(wrong), "failed");

    const before = await rowOf(fixture, integration.id);
    const right = await backend.start(reconnect);
    const again = (await visitor().finish(right, name)).searchParams.get("code");
    assert.equal((await backend.complete(right, again)).expect(200).json.integration.id, integration.id);
    assert.notDeepEqual((await rowOf(fixture, integration.id)).config, before.config);
    assert.equal((await rows(backend)).length, 1);
  });

  // Threat model 210.
  it("no token, code, verifier or key of a session is in the log, and the database holds hashes", async () => {
    const owner = await BrowserSession.signedIn(fixture.worker);
    const organization = await createOrganization(fixture.sql, [owner.user], "owner");
    const backend = await Backend.of(owner, { organization });
    const session = await backend.start();
    const browser = visitor();
    const code = (await browser.finish(session, login())).searchParams.get("code");
    (await backend.complete(session, "A".repeat(43))).expect(400);
    (await backend.complete(session, code)).expect(200);
    const [stored] = await fixture.sql`select to_jsonb(s) as row from private.connect_sessions s where id = ${session.id}`;
    const cookie = browser.jar.get(`__Host-connect-${session.id}`);
    assert.ok(cookie);
    for (const secret of [tokenOf(session), code, session.verifier, cookie, backend.key]) {
      assert.ok(!JSON.stringify(stored.row).includes(secret));
      assert.ok(!JSON.stringify(fixture.worker.logs()).includes(secret));
    }
  });
});
