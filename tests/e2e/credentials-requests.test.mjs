// Connecting with credentials: what is refused, what is kept apart, and what a provider that fails leaves behind, which is nothing.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { call } from "../support/caller.mjs";
import { expireCheck } from "../support/checks.mjs";
import { connected, credentialFixture } from "../support/credentials.mjs";
import { answer, never } from "../support/faults.mjs";
import { integrationsOf, opened } from "../support/integrations.mjs";
import { json } from "../support/simulator-http.mjs";
import { createOrganization } from "../support/users.mjs";
import { startWorker } from "../support/worker.mjs";

const PATH = "/api/integrations";
const of = (id) => `${PATH}/${id}/credentials`;

describe("connecting with credentials", { concurrency: true }, () => {
  const fixture = credentialFixture();
  const rows = ({ user }) => integrationsOf(fixture.sql, user.id);
  /** How many requests came to any provider with this secret, in whatever way it is sent. */
  const requestsWith = (secret) => {
    const all = Object.values(fixture.providers).flatMap(({ requests }) => requests);
    const decoded = ({ headers }) => Buffer.from((headers.authorization ?? "").replace("Basic ", ""), "base64").toString();
    return all.filter((request) => (JSON.stringify(request) + decoded(request)).includes(secret)).length;
  };

  it("connecting with credentials names the field that is wrong, never its value, and asks nobody", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const right = { subdomain: "acme", email: "a@b.example", api_token: "planted-token-of-mine" };
    const without = ({ email: _, ...rest }) => rest;
    for (const [fields, field] of [
      [{}, "fields.subdomain"],
      [without(right), "fields.email"],
      [{ ...right, email: "" }, "fields.email"],
      [{ ...right, email: 7 }, "fields.email"],
      [{ ...right, email: null }, "fields.email"],
      [{ ...right, email: ["planted-token-of-mine"] }, "fields.email"],
      [{ ...right, email: "planted-token-of-mine x" }, "fields.email"],
      [{ ...right, api_token: "planted-token-of-mine".repeat(13) }, "fields.api_token"],
      [{ ...right, api_token: "planted-token-of-mine\r\nx-injected: 1" }, "fields.api_token"],
      [{ ...right, api_token: "plänted-token-of-mine" }, "fields.api_token"],
      [{ ...right, "planted-token-of-mine": "x" }, "fields may contain only subdomain, email, api_token"],
    ]) {
      const refused = (await browser.post(PATH, { integration_type: "zendesk", fields })).expect(400, "invalid_fields");
      assert.ok(refused.json.error.message.startsWith(field), refused.text);
      assert.ok(!refused.all.includes("planted") && !refused.all.includes("plänted"), refused.text);
    }
    assert.equal(requestsWith("planted-token-of-mine"), 0);
    assert.deepEqual(await rows(browser), []);
  });

  it("connecting with credentials sends to no other host, whatever a field holds", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const secret = `x-${randomUUID()}`;
    const hosts = [
      "evil.example/", "evil.example#", "evil.example?", "evil.example\\", "evil.example:443/", "x@evil.example/", "169.254.169.254/",
      "localhost/", "..", ".", "../..", "%2e%2e", "a%2fb", "a/../../b", "a\tb", "a\u0001b", "a。evil。example", "-a", "a-", "a..b",
    ];
    for (const host of hosts) {
      for (const [type, name, rest] of [
        ["zendesk", "subdomain", { email: "a@b.example", api_token: secret }],
        ["auth0", "tenant", { client_id: "x", client_secret: secret }],
        ["microsoft_app", "tenant", { client_id: "x", client_secret: secret }],
        ["twilio", "account_sid", { auth_token: secret }],
      ]) {
        // Of a word the hyphen is a part like any other.
        if (type === "twilio" && /^[\w-]+$/.test(host)) continue;
        const refused = await browser.post(PATH, { integration_type: type, fields: { [name]: host, ...rest } });
        refused.expect(400, "invalid_fields");
        assert.match(refused.json.error.message, new RegExp(`^fields\\.${name} must be `), host);
      }
    }
    // jsonb has no NUL: of it no request may hold one.
    const fields = { subdomain: "a\u0000b", email: "a@b.example", api_token: secret };
    (await browser.post(PATH, { integration_type: "zendesk", fields })).expect(400, "invalid_request");
    assert.equal(requestsWith(secret), 0);
  });

  it("a config whose host somebody has changed in the database is rejected", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const provider = fixture.providers.auth0;
    const account = await provider.account();
    const { id } = await connected(browser, "auth0", account);
    for (const tenant of ["evil.example/", "x@evil.example", ""]) {
      await fixture.sql`update public.integrations set config = config || ${fixture.sql.json({ tenant })} where id = ${id}`;
      const before = requestsWith(account.fields.client_secret);
      (await browser.post(`${PATH}/${id}/refresh`, {})).expect(409, "not_refreshable");
      assert.equal(requestsWith(account.fields.client_secret), before);
    }
  });

  it("connecting with credentials needs JSON of its shape, the page's origin, a session, and a type on offer", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const fields = { api_key: "x" };
    for (const body of [
      {}, [], null, "x", { integration_type: "stripe" }, { fields }, { integration_type: 7, fields }, { integration_type: "stripe", fields: "x" },
      { integration_type: "stripe", fields: [fields] }, { integration_type: "stripe", fields, more: 1 },
      { integration_type: "stripe", fields, organization_id: "x" }, { integration_type: "stripe", fields, name: "" },
      { integration_type: "stripe", fields, name: "a\nb" }, { integration_type: "stripe", fields, name: "x".repeat(201) },
    ]) {
      (await browser.post(PATH, body)).expect(400, "invalid_request");
    }
    for (const integration_type of ["nobody", "", "github", "x".repeat(5000)]) {
      (await browser.post(PATH, { integration_type, fields })).expect(400, "provider_unknown");
    }
    (await browser.post(PATH, { integration_type: "supabase", fields })).expect(409, "connects_by_oauth");
    (await browser.post(PATH, { integration_type: "stripe", fields: { api_key: "x".repeat(20_000) } })).expect(413);
    (await new BrowserSession(fixture.worker).post(PATH, { integration_type: "stripe", fields })).expect(401);
    const cookie = browser.jar.header(fixture.worker.url);
    const text = JSON.stringify({ integration_type: "stripe", fields });
    (await call(fixture.worker, "POST", PATH, { headers: { cookie, "content-type": "application/json" }, body: text })).expect(403);
    const origin = "https://evil.example";
    (await call(fixture.worker, "POST", PATH, { headers: { cookie, origin, "content-type": "application/json" }, body: text })).expect(403);
    (await call(fixture.worker, "PUT", of(randomUUID()), { headers: { cookie, origin, "content-type": "application/json" }, body: text })).expect(403);
    assert.deepEqual(await rows(browser), []);
  });

  it("a type with credentials has no authorize, reconnect or callback", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    (await browser.post("/api/auth/authorize", { integration_type: "stripe" })).expect(409, "connects_by_credentials");
    const { id } = await connected(browser, "stripe", await fixture.providers.stripe.account());
    (await browser.post(`${PATH}/${id}/reconnect`, {})).expect(409, "connects_by_credentials");
    const supabase = await browser.connect(`credentials-${randomUUID()}`);
    (await browser.put(of(supabase), { fields: { api_key: "x" } })).expect(409, "connects_by_oauth");
    (await browser.get(`/api/auth/callback/stripe?code=x&state=${"x".repeat(43)}`)).expect(403);
  });

  it("connecting with credentials says whether the provider rejects or fails; nothing is stored, and one can try again", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    for (const type of ["postmark", "close", "auth0"]) {
      const provider = fixture.providers[type];
      const account = await provider.account();
      const connect = () => browser.post(PATH, { integration_type: type, fields: account.fields });
      const of = (request) => Object.values(account.fields).some((value) => JSON.stringify(request).includes(value) || request.headers.authorization);
      for (const [given, status, code, wait = null] of [
        [json(401, { error: "x" }), 422, "credentials_refused"],
        [json(403, { error: "x" }), 422, "credentials_refused"],
        [json(404, {}), 422, "credentials_refused"],
        [{ status: 302, headers: { location: "https://evil.example/" } }, 422, "credentials_refused"],
        [{ ...json(429, {}), headers: { ...json(429, {}).headers, "retry-after": "77" } }, 429, "provider_paused", "77"],
        [json(500, {}), 502, "provider_failed"],
        [json(200, {}), 502, "provider_failed"],
        [json(200, []), 502, "provider_failed"],
        [json(200, "x"), 502, "provider_failed"],
        [{ status: 200, headers: { "content-type": "text/html" }, body: "<html>" }, 502, "provider_failed"],
        [{ status: 200, headers: { "content-type": "application/json" }, body: " ".repeat(5_000_000) }, 502, "provider_failed"],
        [{ status: 204, headers: {} }, 502, "provider_failed"],
      ]) {
        provider.behaviour = (request) => (of(request) ? given : undefined);
        const refused = (await connect()).expect(status, code);
        assert.equal(refused.headers.get("retry-after"), wait, code);
      }
      provider.behaviour = undefined;
      assert.deepEqual(await rows(browser), []);
      const { id } = (await connect()).expect(201).json;
      await browser.delete(`${PATH}/${id}`);
    }
  });

  it("connecting with credentials stores nothing if the database fails, and says so", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const { fields } = await fixture.providers.stripe.account();
    for (const behaviour of [answer(500, {}), answer(200, { outcome: "planted" }), answer(200, "x")]) {
      const restore = fixture.gateway.fault(({ path, body }) => /\/rpc\/(complete_connection|connect_named)/.test(path) && body.includes(browser.user.id), behaviour);
      (await browser.post(PATH, { integration_type: "stripe", fields })).expect(503, "save_failed");
      (await browser.post(PATH, { integration_type: "stripe", fields, name: "Mine" })).expect(503, "save_failed");
      restore();
    }
    assert.deepEqual(await rows(browser), []);
  });

  it("connecting with credentials keeps organizations apart", async () => {
    const [member, stranger] = [await BrowserSession.signedIn(fixture.worker), await BrowserSession.signedIn(fixture.worker)];
    const organization_id = await createOrganization(fixture.sql, [member.user]);
    const provider = fixture.providers.twilio;
    const account = await provider.account();
    const body = { integration_type: "twilio", organization_id, fields: account.fields };
    (await stranger.post(PATH, body)).expect(403, "not_a_member");
    (await stranger.post(PATH, { ...body, name: "Mine" })).expect(403, "not_a_member");
    const { id } = (await member.post(PATH, body)).expect(201).json;
    const [row] = await integrationsOf(fixture.sql, organization_id);
    const secret = `x-${randomUUID()}`;
    const fields = { ...account.fields, auth_token: secret };
    const foreign = (await stranger.put(of(id), { fields })).expect(404);
    const unknown = (await stranger.put(of(randomUUID()), { fields })).expect(404);
    assert.equal(foreign.text, unknown.text);
    (await stranger.put(of("x"), { fields: account.fields })).expect(400);
    assert.equal(requestsWith(secret), 0, "the provider is not asked");
    assert.deepEqual(await integrationsOf(fixture.sql, organization_id), [row]);
    // The same account in another organisation is another integration.
    assert.notEqual((await stranger.post(PATH, { ...body, organization_id: undefined })).expect(201).json.id, id);
  });

  it("connecting with credentials tells the provider nothing of a stranger's credentials", async () => {
    const [member, stranger] = [await BrowserSession.signedIn(fixture.worker), await BrowserSession.signedIn(fixture.worker)];
    const organization_id = await createOrganization(fixture.sql, [member.user]);
    const api_key = `x-${randomUUID()}`;
    (await stranger.post(PATH, { integration_type: "stripe", organization_id, fields: { api_key } })).expect(403, "not_a_member");
    assert.equal(requestsWith(api_key), 0);
  });

  it("connecting with credentials pauses after sixty tries, and the provider is not asked", async () => {
    const [browser, other] = [await BrowserSession.signedIn(fixture.worker), await BrowserSession.signedIn(fixture.worker)];
    const body = async () => ({ integration_type: "stripe", fields: (await fixture.providers.stripe.account()).fields });
    const { id } = (await browser.post(PATH, await body())).expect(201).json;
    // What is malformed is not asked about, and does not count.
    (await browser.post(PATH, { integration_type: "stripe", fields: {} })).expect(400, "invalid_fields");
    const attempts = fixture.sql`
      update private.rate_limits set attempts = 59 where kind = 'credentials' and subject = ${browser.user.id} and attempts = 1 returning 1`;
    assert.equal((await attempts).length, 1);
    (await browser.post(PATH, await body())).expect(201);
    const secret = `x-${randomUUID()}`;
    for (const ask of [
      () => browser.post(PATH, { integration_type: "stripe", fields: { api_key: secret } }),
      () => browser.put(of(id), { fields: { api_key: secret } }),
    ]) {
      const refused = (await ask()).expect(429, "too_many_attempts");
      const seconds = Number(refused.headers.get("retry-after"));
      assert.ok(seconds > 500 && seconds <= 600, `retry-after is ${seconds}`);
    }
    assert.equal(requestsWith(secret), 0);
    (await other.post(PATH, await body())).expect(201);
  });

  it("an integration takes fresh credentials of the same account only", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    for (const type of ["stripe", "zendesk", "microsoft_app"]) {
      const provider = fixture.providers[type];
      const [mine, other] = [await provider.account(), await provider.account()];
      const { id } = await connected(browser, type, mine);
      const before = (await rows(browser)).find((row) => row.id === id);
      (await browser.put(of(id), { fields: other.fields })).expect(409, "account_mismatch");
      assert.deepEqual((await rows(browser)).find((row) => row.id === id), before);
      // Nor does one whose account has another row.
      const second = await connected(browser, type, other);
      (await browser.put(of(id), { fields: other.fields })).expect(409, "account_mismatch");
      for (const body of [{}, { fields: {} }, { fields: mine.fields, name: "x" }, []]) {
        assert.equal((await browser.put(of(id), body)).status, 400);
      }
      await browser.delete(`${PATH}/${second.id}`);
      await browser.delete(`${PATH}/${id}`);
      (await browser.put(of(id), { fields: mine.fields })).expect(404);
    }
  });

  it("an integration is checked with its credential, and restored by fresh ones", async () => {
    for (const type of ["stripe", "zendesk", "microsoft_app"]) {
      const browser = await BrowserSession.signedIn(fixture.worker);
      const provider = fixture.providers[type];
      const account = await provider.account();
      const { id } = await connected(browser, type, account);
      const check = async () => {
        await expireCheck(fixture, id);
        const { status, status_reason } = (await browser.post(`${PATH}/${id}/check`, {})).expect(200).json;
        return [status, status_reason];
      };
      assert.deepEqual(await check(), ["active", null], type);
      provider.forget(account);
      provider.given.splice(0, Infinity, ...provider.given.filter((given) => given.account !== account));
      assert.equal((await check())[0], "reconnect_required", type);
      const fresh = await provider.account(account);
      assert.equal((await browser.put(of(id), { fields: fresh.fields })).expect(200).json.status, "active");
      assert.deepEqual(await check(), ["active", null], type);
    }
  });

  it("a connection with credentials is named like others, or as the user says", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const provider = fixture.providers.stripe;
    const one = await provider.account();
    const two = { ...(await provider.account()) };
    const mine = await connected(browser, "stripe", one, { name: "  Mine " });
    assert.equal(mine.name, "Mine");
    (await browser.post(PATH, { integration_type: "stripe", fields: two.fields, name: "Mine" })).expect(409, "name_taken");
    assert.equal((await rows(browser)).length, 1);
    assert.equal((await connected(browser, "stripe", two)).name, two.name);
    const again = await browser.post(PATH, { integration_type: "stripe", fields: one.fields });
    assert.equal(again.expect(200).json.name, "Mine", "a name that was given stays");
    const renamed = await browser.post(PATH, { integration_type: "stripe", fields: one.fields, name: "Other" });
    assert.deepEqual([renamed.expect(200).json.id, renamed.json.name], [mine.id, "Other"]);
  });

  it("a connection with credentials is stored once, however many ask at once", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const account = await fixture.providers.close.account();
    const body = { integration_type: "close", fields: account.fields };
    const answers = await Promise.all(Array.from({ length: 10 }, () => browser.post(PATH, body)));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array(9).fill(200), 201]);
    const [row, ...others] = await rows(browser);
    assert.deepEqual(others, []);
    assert.equal((await opened(fixture.info, row)).api_key, account.fields.api_key);
  });

  it("rejects credentials that arrive after newer ones of the same account", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const account = await fixture.providers.stripe.account();
    const { id } = await connected(browser, "stripe", account);
    await fixture.sql`update public.integrations set granted_at = now() + interval '1 minute' where id = ${id}`;
    const before = await rows(browser);
    (await browser.put(of(id), { fields: account.fields })).expect(409, "newer_credentials");
    (await browser.post(PATH, { integration_type: "stripe", fields: account.fields })).expect(409, "newer_credentials");
    assert.deepEqual(await rows(browser), before);
  });

  it("a type that is no longer offered cannot be connected, and its integrations can be deleted", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const { id } = await connected(browser, "stripe", await fixture.providers.stripe.account());
    // The same project's users, by the URL that their tokens name.
    const without = await startWorker({ ...fixture.info, supabase_url: fixture.gateway.url }, { CREDENTIAL_TYPES: "twilio" });
    try {
      const elsewhere = new BrowserSession(without);
      await elsewhere.signIn(browser.user);
      (await elsewhere.put(of(id), { fields: { api_key: "x" } })).expect(400, "provider_unknown");
      assert.equal((await elsewhere.delete(`${PATH}/${id}`)).expect(200).json.revoked, false);
    } finally {
      await without.stop();
    }
  });

  it("connecting with credentials waits for a provider no longer than for any other", { timeout: 60_000 }, async () => {
    const stuck = await startWorker({ ...fixture.info, supabase_url: fixture.gateway.url }, { CREDENTIAL_TYPES: "stripe", STRIPE_BASE_URL: fixture.gateway.url });
    try {
      const browser = await BrowserSession.signedIn(stuck);
      fixture.gateway.fault(({ path }) => path === "/v1/account", never());
      const begun = Date.now();
      (await browser.post(PATH, { integration_type: "stripe", fields: { api_key: "x" } })).expect(502, "provider_failed");
      assert.ok(Date.now() - begun < 25_000);
    } finally {
      await stuck.stop();
    }
  });
});
