// Threat model 7, 8 and 10: what a connection asks for, where it returns to, and what a refusal looks like.
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { decline } from "../support/authorization.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { exchangeOf } from "../support/grants.mjs";
import { integrationsOf, SEALED } from "../support/integrations.mjs";
import { oauthFixture } from "../support/oauth.mjs";

const HTML = { accept: "text/html,application/xhtml+xml" };
const TOKEN = /^[\w-]{43}$/;

describe("the authorization request and its way back", { concurrency: true }, () => {
  const fixture = oauthFixture();
  const signedIn = () => BrowserSession.signedIn(fixture.worker);
  const transactionsOf = ({ user }) => fixture.sql`select * from public.oauth_transactions where user_id = ${user.id}`;

  // Threat model 7.
  it("the authorization server sees S256 and a fresh verifier every time", async () => {
    const browser = await signedIn();
    const verifiers = [];
    for (let flow = 0; flow < 3; flow++) {
      const callback = await browser.consent(`pkce-${randomUUID()}`);
      (await browser.get(callback)).expect(303);
      const form = new URLSearchParams(fixture.server.requests.find(exchangeOf(callback)).body);
      const verifier = form.get("code_verifier");
      const { searchParams: asked } = new URL(authorizationRequest(new URL(callback).searchParams.get("state")).path, fixture.server.url);
      assert.match(verifier, /^[A-Za-z0-9\-._~]{43,128}$/, "a verifier as RFC 7636, 4.1 wants it");
      assert.equal(asked.get("code_challenge"), challengeOf(verifier));
      assert.deepEqual(asked.getAll("code_challenge_method"), ["S256"]);
      assert.equal(form.get("redirect_uri"), asked.get("redirect_uri"));
      verifiers.push(verifier);
    }
    assert.equal(new Set(verifiers).size, verifiers.length, "no verifier twice");
    const asked = fixture.server.requests.filter(({ path }) => path.startsWith("/v1/oauth/authorize?"));
    for (const { path } of asked) {
      for (const verifier of verifiers) assert.ok(!path.includes(verifier), "no verifier in a URL");
    }
  });

  // Threat model 7.
  it("plain is never sent, and each of twenty flows has its own state, challenge and cookie", async () => {
    const browser = await signedIn();
    const urls = [];
    for (let flow = 0; flow < 20; flow++) urls.push(new URL(await browser.begin()));
    for (const name of ["state", "code_challenge"]) {
      const values = urls.map(({ searchParams }) => searchParams.get(name));
      assert.equal(new Set(values).size, urls.length, `no ${name} twice`);
      for (const value of values) assert.match(value, TOKEN);
    }
    for (const { searchParams } of urls) {
      assert.deepEqual([...searchParams.keys()].sort(), ["client_id", "code_challenge", "code_challenge_method", "redirect_uri", "response_type", "state"]);
      assert.deepEqual([searchParams.get("response_type"), searchParams.get("code_challenge_method")], ["code", "S256"]);
    }
    const cookies = browser.jar.header(fixture.worker.url).match(/__Host-flow-[0-9a-f]{16}=[\w-]{43}/g);
    assert.equal(new Set(cookies.map((cookie) => cookie.split("=")[1])).size, urls.length, "no binding twice");
  });

  // Threat model 7.
  it("the database holds hashes and a sealed verifier, nothing that could finish a flow", async () => {
    const browser = await signedIn();
    const { searchParams } = new URL(await browser.begin());
    const [transaction, ...others] = await transactionsOf(browser);
    assert.deepEqual(others, []);
    const state = searchParams.get("state");
    assert.equal(transaction.state_hash, createHash("sha256").update(state).digest("hex"));
    const { _enc, ...verifier } = transaction.verifier;
    assert.equal(_enc.v, 3);
    for (const value of Object.values(verifier)) assert.match(value, SEALED);
    const text = JSON.stringify(transaction);
    const [, binding] = browser.jar.header(fixture.worker.url).match(/__Host-flow-[0-9a-f]{16}=([\w-]{43})/);
    for (const secret of [state, binding]) assert.ok(!text.includes(secret), text);
    const minutes = (transaction.expires_at - Date.now()) / 60_000;
    assert.ok(minutes > 9 && minutes <= 10, `expires in ${minutes} minutes`);
  });

  // Threat model 8.
  it("a return_to that leaves the origin is rejected, and nothing is started", async () => {
    const browser = await signedIn();
    for (const return_to of [
      "//e", "/\\e", "/%09/e", "https:e", "javascript:x", "https://a@e",
      "///e", "/%2fe", "/%5ce", "/%2F%2Fe", "\\\\e", "\\/e", "/\t/e", "/\n/e", "/%0d%0aset-cookie:a=b", "\t//e", " //e", "/ /e",
      "e", "e/", "", "?x", "#x", "@e", "https://e", "HTTPS://e", "//e:3000/x", "data:text/html,x", "/x\\y", "/%", "/é", `/${"x".repeat(2000)}`,
      `${fixture.worker.url}.evil.example/`, 7, ["/x"], { path: "/x" },
    ]) {
      const answer = await browser.post("/api/auth/authorize", { integration_type: "supabase", return_to });
      assert.equal(answer.status, 400, `${JSON.stringify(return_to)}: expected 400, got ${answer.all}`);
      answer.expect(400, "invalid_request");
    }
    assert.deepEqual([...(await transactionsOf(browser))], []);
  });

  // Threat model 8.
  it("a return_to of the same origin is accepted, and the browser returns there", async () => {
    const browser = await signedIn();
    for (const return_to of [undefined, "/", "/settings?tab=integrations", "/a/b//c?next=//e", "/%20x", "/..//e"]) {
      const callback = await browser.consent(`return-${randomUUID()}`, { return_to });
      const { location } = (await browser.get(callback)).expect(303);
      const reached = new URL(location, fixture.worker.url);
      const wanted = new URL(return_to ?? "/", fixture.worker.url);
      assert.equal(reached.origin, fixture.worker.url, location);
      assert.equal(reached.pathname, wanted.pathname);
      assert.match(reached.searchParams.get("connected"), /^[0-9a-f-]{36}$/);
      reached.searchParams.delete("connected");
      assert.deepEqual([...reached.searchParams], [...wanted.searchParams]);
    }
  });

  // Threat model 8.
  it("a return_to at the callback itself is ignored", async () => {
    const browser = await signedIn();
    const callback = await browser.consent(`return-${randomUUID()}`);
    const { location } = (await browser.get(`${callback}&return_to=https://evil.example/&redirect_uri=https://evil.example/`)).expect(303);
    assert.match(location, /^\/\?connected=[0-9a-f-]{36}$/);
  });

  // Threat model 10.
  it("declining shows a page that says so, without a request or a row, and the flow is over", async () => {
    const browser = await signedIn();
    const authorizationUrl = await browser.begin();
    const callback = await decline(authorizationUrl, { login: `decline-${randomUUID()}` });
    const { searchParams } = new URL(callback);
    assert.equal(searchParams.get("error"), "access_denied");
    const page = (await browser.get(callback, HTML)).expect(400);
    assert.match(page.headers.get("content-type"), /^text\/html/);
    assert.match(page.text, /Access was declined at the provider; nothing was connected\./);
    assert.ok(!page.text.includes(searchParams.get("error_description")), page.text);
    assert.equal(hitsWithVerifierOf(authorizationUrl), 0, "hits of the token endpoint");
    assert.deepEqual(await integrationsOf(fixture.sql, browser.user.id), []);
    (await browser.get(callback)).expect(400, "flow_unknown");
  });

  // Threat model 10.
  it("declining is answered as JSON to a client that asks for it", async () => {
    const browser = await signedIn();
    (await browser.get(await browser.decline(`decline-${randomUUID()}`))).expect(400, "declined");
  });

  // Threat model 10.
  it("the provider's text never gets into the page unescaped, nor into its headers or the log", async () => {
    const script = `<script>alert("planted-${randomUUID()}")</script>`;
    for (const [parameters, status] of [
      [{ error: "access_denied", error_description: script, error_uri: `javascript:${script}` }, 400],
      [{ error: script, error_description: script }, 502],
      [{ error: "server_error", error_description: script, scope: script }, 502],
      [{ error: "access_denied", code: script }, 400],
      [{ error: "access_denied", error_description: `"'><img src=x onerror=${script}>` }, 400],
      [{ error: "access_denied", iss: script }, 400],
      [{ error: "access_denied", state: script }, 400],
    ]) {
      const browser = await signedIn();
      const callback = new URL(await browser.decline(`decline-${randomUUID()}`));
      callback.searchParams.delete("error_description");
      for (const [name, value] of Object.entries(parameters)) callback.searchParams.set(name, value);
      const page = (await browser.get(callback, HTML)).expect(status);
      assert.match(page.headers.get("content-type"), /^text\/html/);
      const policy = page.headers.get("content-security-policy");
      assert.ok(!/unsafe|\*/.test(policy) && policy.includes("default-src 'none'"), policy);
      const request = page.headers.get("x-request-id");
      assert.match(page.text, new RegExp(request));
      assert.ok(!page.all.includes("planted-"), page.all);
      assert.ok(!(await fixture.worker.logged(new RegExp(request))).includes("planted-"));
      assert.deepEqual(await integrationsOf(fixture.sql, browser.user.id), []);
    }
  });

  /** A flow without a code is known at the token endpoint by its PKCE verifier. */
  function hitsWithVerifierOf(authorizationUrl) {
    const challenge = new URL(authorizationUrl).searchParams.get("code_challenge");
    return fixture.server.count(({ path, body }) => path === "/v1/oauth/token" && challengeOf(new URLSearchParams(body).get("code_verifier")) === challenge);
  }

  function authorizationRequest(state) {
    return fixture.server.requests.find(({ path }) => path.startsWith("/v1/oauth/authorize?") && path.includes(`state=${state}`));
  }
});

/** RFC 7636, 4.2 */
function challengeOf(verifier) {
  return createHash("sha256").update(verifier ?? "").digest("base64url");
}
