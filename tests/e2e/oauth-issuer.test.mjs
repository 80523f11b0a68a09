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

  it("5. both providers are on offer, each with its own callback", async () => {
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

  it("5. begun at supabase, delivered to gitlab's callback: 400, 0 hits, and the flow is burnt", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const callback = await browser.consent(`issuer-${randomUUID()}`);
    (await browser.get(altered(callback, { path: "/api/auth/callback/gitlab" }))).expect(400, "invalid_request");
    await assertNothing(browser, codeOf(callback));
    (await browser.get(callback)).expect(400, "flow_unknown");
    await assertNothing(browser, codeOf(callback));
  });

  it("5. begun at gitlab, delivered to supabase's callback, with a code of supabase's: 400, 0 hits", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    for (const path of ["/api/auth/callback/supabase", "/api/auth/callback"]) {
      const { searchParams } = new URL(await browser.begin({ integration_type: "gitlab" }));
      const good = await browser.consent(`issuer-${randomUUID()}`);
      const mixed = altered(good, { path, state: searchParams.get("state") });
      (await browser.get(mixed)).expect(400, "invalid_request");
      await assertNothing(browser, codeOf(good));
    }
  });

  it("5. delivered to the callback of a provider that is not configured: 400, 0 hits", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const callback = await browser.consent(`issuer-${randomUUID()}`);
    for (const type of ["github", "SUPABASE", "supabase%00", "..%2fsupabase"]) {
      (await browser.get(altered(callback, { path: `/api/auth/callback/${type}` }))).expect(400, "provider_unknown");
    }
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
    it(`5. an issuer that is ${what}: 400, 0 hits`, async () => {
      const browser = await BrowserSession.signedIn(fixture.worker);
      const callback = await browser.consent(`issuer-${randomUUID()}`);
      const issuer = new URL(callback).searchParams.get("iss");
      assert.equal(issuer, fixture.info.authorization_server_url, "the authorization server advertises and names its issuer");
      (await browser.get(altered(callback, change(issuer)))).expect(400, "invalid_request");
      await assertNothing(browser, codeOf(callback));
    });
  }

  for (const name of ["code", "state"]) {
    it(`5. a ${name} that stands twice (RFC 6749, 3.1): 400, 0 hits, and its owner can still finish`, async () => {
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
