// Threat model 9: an authorization server that misbehaves gets neither a secret nor the worker's time, and leaves no row behind.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";

import { BrowserSession } from "../support/browser-session.mjs";
import { answer, cut, drop, flood, never, redirect } from "../support/faults.mjs";
import { codeOf, exchangeOf, isAlive, rewritten, sentOn, takesAccessToken } from "../support/grants.mjs";
import { integrationsOf, opened } from "../support/integrations.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import { startProxy } from "../support/proxy.mjs";

const PLANTED = "planted-by-the-provider";
const GENERIC = { error: { code: "provider_failed", message: "the provider failed or returned an invalid response; try again" } };
/** The worker's bound is 20 s; the rest is for a busy machine. */
const BOUND_MS = 28_000;
const MEGABYTE = 1024 * 1024;
const JSON_TYPE = { "content-type": "application/json" };
const GRANT = { access_token: PLANTED, refresh_token: PLANTED, token_type: "bearer", expires_in: 3600 };
const { access_token: _, ...GRANT_WITHOUT_TOKEN } = GRANT;

describe("a provider that misbehaves", { concurrency: true }, () => {
  // Where a redirect would lead: nothing may ever arrive there.
  let elsewhere;
  const fixture = oauthFixture({
    async settings({ info, stops }) {
      elsewhere = await startProxy(info.authorization_server_url);
      stops.push(elsewhere.stop);
      return {};
    },
  });

  /**
   * Connects while the provider behaves so at this request, and fails as it must. Both are functions of the callback URL, which
   * is returned.
   */
  async function fails(matcherOf, behaviourOf, [status, code] = [502, "provider_failed"]) {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const callback = await browser.consent(`provider-${randomUUID()}`);
    fixture.server.fault(matcherOf(callback), behaviourOf(callback));
    const begun = performance.now();
    const failure = (await browser.get(callback)).expect(status, code);
    const took = performance.now() - begun;

    if (status === 502) assert.deepEqual(failure.json, GENERIC);
    else assert.match(failure.headers.get("retry-after"), /^[0-9]+$/);
    assert.ok(took < BOUND_MS, `expected an answer within ${BOUND_MS} ms, got one after ${took} ms`);
    const line = await fixture.worker.logged(new RegExp(failure.headers.get("x-request-id")));
    for (const secret of [PLANTED, fixture.worker.info.client_secret, fixture.grant(callback)?.access_token].filter(Boolean)) {
      assert.ok(!failure.all.includes(secret) && !line.includes(secret), `${failure.all}\n${line}`);
    }
    assert.deepEqual(await integrationsOf(fixture.sql, browser.user.id), []);
    assert.equal(fixture.exchanges(callback), 1, "a code is exchanged once, whatever happens");
    assert.equal(elsewhere.count(`/${codeOf(callback)}`), 0, "nothing follows a redirect");
    return callback;
  }

  /** The right answer after 10 MB of white space, so that nothing but the size is in the way of a row. */
  function oversized({ gzip = false, announced = false } = {}) {
    return async ({ request, response }) => {
      const { status, json } = await sentOn(fixture.info.authorization_server_url, request);
      const text = " ".repeat(10 * MEGABYTE) + JSON.stringify(json);
      const body = gzip ? gzipSync(text) : Buffer.from(text);
      response.writeHead(status, { ...JSON_TYPE, ...(gzip && { "content-encoding": "gzip" }), ...(announced && { "content-length": body.length }) });
      response.write(body.subarray(0, 1));
      response.end(body.subarray(1));
    };
  }

  /** What any endpoint can do. */
  const ANYWHERE = [
    ["10 MB", () => oversized()],
    ["10 MB, announced", () => oversized({ announced: true })],
    ["10 MB in 10 kB of gzip", () => oversized({ gzip: true })],
    ["10 MB in 10 kB of gzip, announced as 10 kB", () => oversized({ gzip: true, announced: true })],
    ["HTML", () => answer(200, `<html>${PLANTED}</html>`, { "content-type": "text/html" })],
    ["HTML that is called JSON", () => answer(200, `<html>${PLANTED}</html>`, JSON_TYPE)],
    ["half an answer", () => cut()],
    ["no answer, but a closed connection", () => drop()],
    ["nothing, ever", () => never()],
    ["a byte now and then", () => drip],
    ["an error object", () => answer(200, { error: PLANTED, error_description: PLANTED, message: PLANTED })],
    ...[400, 401, 403, 429, 500, 503].map((status) => [`${status}`, () => answer(status, { error: PLANTED, message: PLANTED })]),
    ["204", () => answer(204)],
    ["null", () => answer(200, null)],
  ];

  for (const status of [301, 302, 303, 307, 308]) {
    const away = (callback) => redirect(`${elsewhere.url}/${codeOf(callback)}`, status);
    // Threat model 9.
    it(`a ${status} of the token endpoint is answered 502, and the client secret does not follow`, () => fails(exchangeOf, away));
    // Threat model 9.
    it(`a ${status} of the identity endpoint is answered 502, the access token does not follow, and the grant is revoked`, async () =>
      assertRevoked(await fails(fixture.identityOf, away)));
  }

  for (const [what, behaviour] of ANYWHERE) {
    // Threat model 124.
    const says = what === "429" ? [429, "provider_rate_limited"] : undefined;
    // Threat model 9.
    it(`a token endpoint that answers ${what} leads to ${says?.[0] ?? 502} and no row`, () => fails(exchangeOf, behaviour, says));
    // Threat model 9.
    it(`an identity endpoint that answers ${what} leads to 502 and no row, and the grant is revoked`, async () =>
      assertRevoked(await fails(fixture.identityOf, behaviour)));
  }

  for (const [what, grant] of [
    ["no access_token", GRANT_WITHOUT_TOKEN],
    ["an empty access_token", { ...GRANT, access_token: "" }],
    ["an access_token that is no string", { ...GRANT, access_token: [PLANTED] }],
    ["an access_token that would be two headers", { ...GRANT, access_token: `x\r\nx-injected: ${PLANTED}` }],
    ["a list", [GRANT]],
    ["an error in place of a grant", { error: PLANTED }],
    ["another token type", { ...GRANT, token_type: "mac" }],
  ]) {
    // Threat model 9.
    it(`a token endpoint that answers ${what} leads to 502 and no row`, () => fails(exchangeOf, () => answer(201, grant)));
  }

  // RFC 6749, 5.1: only access_token and token_type are required, and providers mean "unknown" by some of these.
  for (const [what, change] of [
    ...["-1", "1e300", "1e999", "0", '"soon"', "null"].map((seconds) => [
      `expires_in ${seconds}`, (grant) => JSON.stringify(grant).replace(/"expires_in":\d+/, `"expires_in":${seconds}`),
    ]),
    ["a lone surrogate", (grant) => JSON.stringify(grant).replace("{", '{"note":"\\ud800",')],
    ["U+0000 in a member", (grant) => ({ ...grant, note: "\0" })],
  ]) {
    // Threat model 123.
    it(`a token endpoint that answers ${what} beside an access token has issued a grant`, async () => {
      const browser = await BrowserSession.signedIn(fixture.worker);
      const callback = await browser.consent(`odd-${randomUUID()}`);
      fixture.server.fault(exchangeOf(callback), rewritten(fixture.info.authorization_server_url, change));
      (await browser.get(callback)).expect(303);
      const [row, ...others] = await integrationsOf(fixture.sql, browser.user.id);
      assert.deepEqual(others, []);
      assert.equal(await takesAccessToken(fixture.info, (await opened(fixture.info, row)).access_token), true);
    });
  }

  for (const [what, change] of [
    ["another token type", (grant) => ({ ...grant, token_type: "mac" })],
    ["half of its JSON", (grant) => JSON.stringify(grant).slice(0, -1)],
  ]) {
    // Threat model 123.
    it(`a token endpoint that answers ${what} with tokens leads to 502 and no row, and they are revoked`, async () => {
      const browser = await BrowserSession.signedIn(fixture.worker);
      const callback = await browser.consent(`refused-${randomUUID()}`);
      let granted;
      fixture.server.fault(exchangeOf(callback), rewritten(fixture.info.authorization_server_url, (grant) => change((granted = grant))));
      (await browser.get(callback)).expect(502, "provider_failed");
      assert.deepEqual(await integrationsOf(fixture.sql, browser.user.id), []);
      assert.equal(await isAlive(fixture.worker.info, granted), false);
    });
  }

  // Threat model 9.
  it("a response that is too large is not read to its end", async () => {
    let taken;
    await fails(exchangeOf, () => (exchange) => {
      const { socket } = exchange.response;
      const before = socket.bytesWritten;
      taken = () => socket.bytesWritten - before;
      return flood(200 * MEGABYTE)(exchange);
    });
    assert.ok(taken() < 50 * MEGABYTE, `expected the worker to stop reading soon, it took ${taken()} bytes`);
  });

  for (const [what, body] of [
    ["a project without id", [{ name: PLANTED }]],
    ["a project with an empty id", [{ ref: "", name: PLANTED }]],
    ["a project with an id of 10 kB", [{ ref: "x".repeat(10_000), name: PLANTED }]],
    ["one project too many", Array.from({ length: 1001 }, (_, i) => ({ ref: `ref${i}`, name: PLANTED }))],
    ["no list", { projects: [] }],
  ]) {
    // Threat model 9.
    it(`an identity endpoint that answers ${what} leads to 502 and no row, and the grant is revoked`, async () =>
      assertRevoked(await fails(fixture.identityOf, () => answer(200, body))));
  }

  async function assertRevoked(callback) {
    const grant = fixture.grant(callback);
    const revocations = fixture.server.requests.filter(({ path, body }) => path === "/v1/oauth/revoke" && body.includes(grant.refresh_token));
    assert.equal(revocations.length, 1, "requests to revoke it");
    assert.equal(await isAlive(fixture.worker.info, grant), false, "the grant must be dead at the authorization server");
  }
});

/** Announces JSON, and sends white space for as long as anybody listens. */
async function drip({ response, delay }) {
  response.writeHead(200, JSON_TYPE);
  while (!response.destroyed) {
    response.write(" ");
    await delay(200);
  }
}
