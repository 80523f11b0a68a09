// Threat model 5: what one authorization server began, no other may finish (RFC 9207, RFC 9700 section 4.4).
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { codeOf } from "../support/grants.mjs";
import { integrationsOf } from "../support/integrations.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import { startProxy } from "../support/proxy.mjs";

describe("a callback comes from the authorization server that was asked", { concurrency: true }, () => {
  // A second provider at an origin of its own: whatever reaches it is seen.
  let gitlab;
  const fixture = oauthFixture({
    async settings({ info, stops }) {
      gitlab = await startProxy(info.authorization_server_url);
      stops.push(gitlab.stop);
      return { GITLAB_CLIENT_ID: "gitlab-client", GITLAB_CLIENT_SECRET: "gitlab-secret", GITLAB_BASE_URL: gitlab.url };
    },
  });

  /** Changes a callback URL: another path, other parameters (undefined removes one, a list doubles it). */
  function altered(callback, { path, ...parameters }) {
    const url = new URL(callback);
    if (path) url.pathname = path;
    for (const [name, value] of Object.entries(parameters)) {
      url.searchParams.delete(name);
      for (const one of [value ?? []].flat()) url.searchParams.append(name, one);
    }
    return url.href;
  }

  async function assertNothing(browser, ...codes) {
    const hits = [fixture.server, gitlab].map(({ count }) => count(({ body }) => codes.some((code) => body.includes(code))));
    assert.deepEqual(hits, [0, 0], "hits of the two token endpoints");
    assert.deepEqual(await integrationsOf(fixture.sql, browser.user.id), []);
  }

  // Threat model 5.
  it("both providers are offered, each with its own callback", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const { providers } = (await browser.get("/api/providers")).expect(200).json;
    assert.deepEqual(providers, [
      { integration_type: "supabase", name: "Supabase", auth: "oauth" },
      { integration_type: "gitlab", name: "GitLab", auth: "oauth" },
    ]);
    for (const { integration_type } of providers) {
      const { searchParams } = new URL(await browser.begin({ integration_type }));
      assert.equal(searchParams.get("redirect_uri"), `${fixture.worker.url}/api/auth/callback/${integration_type}`);
    }
  });

  // Threat model 5.
  it("supabase's response at gitlab's callback is answered 400 without a request, and the flow is used up", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const callback = await browser.consent(`issuer-${randomUUID()}`);
    (await browser.get(altered(callback, { path: "/api/auth/callback/gitlab" }))).expect(400, "invalid_request");
    await assertNothing(browser, codeOf(callback));
    (await browser.get(callback)).expect(400, "flow_unknown");
    await assertNothing(browser, codeOf(callback));
  });

  // Threat model 5.
  it("a code of supabase's in gitlab's flow at supabase's callback is answered 400 without a request", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    for (const path of ["/api/auth/callback/supabase", "/api/auth/callback"]) {
      const { searchParams } = new URL(await browser.begin({ integration_type: "gitlab" }));
      const good = await browser.consent(`issuer-${randomUUID()}`);
      const mixed = altered(good, { path, state: searchParams.get("state") });
      (await browser.get(mixed)).expect(400, "invalid_request");
      await assertNothing(browser, codeOf(good));
    }
  });

  // Threat model 5.
  it("a response at the callback of a provider that is not configured, or of none, is answered 400 without a request", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const callback = await browser.consent(`issuer-${randomUUID()}`);
    for (const type of ["SUPABASE", "supabase%00", "..%2fsupabase"]) {
      (await browser.get(altered(callback, { path: `/api/auth/callback/${type}` }))).expect(400, "provider_unknown");
    }
    // Last: an organization may have an app of its own there, so the response is looked at, and its transaction used up.
    (await browser.get(altered(callback, { path: "/api/auth/callback/github" }))).expect(400, "invalid_request");
    await assertNothing(browser, codeOf(callback));
  });

  for (const [what, change] of [
    ["wrong", () => ({ iss: "https://evil.example" })],
    ["wrong by a slash", (iss) => ({ iss: `${iss}/` })],
    ["wrong by case", (iss) => ({ iss: iss.replace("http", "HTTP") })],
    ["the second provider's", () => ({ iss: gitlab.url })],
    ["doubled, first right", (iss) => ({ iss: [iss, "https://evil.example"] })],
    ["doubled, last right", (iss) => ({ iss: ["https://evil.example", iss] })],
    ["doubled, both right", (iss) => ({ iss: [iss, iss] })],
    ["missing", () => ({ iss: undefined })],
    ["empty", () => ({ iss: "" })],
    ["missing, with an error in place of the code", () => ({ iss: undefined, code: undefined, error: "access_denied" })],
  ]) {
    // Threat model 5.
    it(`an issuer that is ${what} is answered 400 without a request`, async () => {
      const browser = await BrowserSession.signedIn(fixture.worker);
      const callback = await browser.consent(`issuer-${randomUUID()}`);
      const issuer = new URL(callback).searchParams.get("iss");
      assert.equal(issuer, fixture.info.authorization_server_url, "the authorization server advertises and names its issuer");
      (await browser.get(altered(callback, change(issuer)))).expect(400, "invalid_request");
      await assertNothing(browser, codeOf(callback));
    });
  }

  for (const name of ["code", "state"]) {
    // Threat model 5.
    it(`a duplicate ${name} (RFC 6749, 3.1) is answered 400 without a request, and its owner can still finish`, async () => {
      const browser = await BrowserSession.signedIn(fixture.worker);
      const callback = await browser.consent(`issuer-${randomUUID()}`);
      const value = new URL(callback).searchParams.get(name);
      (await browser.get(altered(callback, { [name]: [value, value] }))).expect(400, "invalid_request");
      (await browser.get(altered(callback, { [name]: [value, "x"] }))).expect(400, "invalid_request");
      await assertNothing(browser, codeOf(callback));
      (await browser.get(callback)).expect(303);
      assert.equal(fixture.exchanges(callback), 1);
    });
  }
});
