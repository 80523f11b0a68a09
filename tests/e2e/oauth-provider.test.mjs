// Attack 9: an authorization server that misbehaves gets neither a secret nor the worker's time, and leaves no row behind.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";

import { answer, cut, drop, flood, never, redirect } from "../support/faults.mjs";
import { exchangeOf, isAlive, rewritten } from "../support/grants.mjs";
import { integrationsOf } from "../support/integrations.mjs";
import { oauthScene } from "../support/oauth.mjs";
import { startProxy } from "../support/proxy.mjs";
import { Visitor } from "../support/visitor.mjs";

const PLANTED = "planted-by-the-provider";
const GENERIC = { error: { code: "provider_failed", message: "the provider did not answer as it should; try again" } };
/** The worker's bound is 20 s; the rest is for a busy machine. */
const BOUND_MS = 28_000;
const MEGABYTE = 1024 * 1024;
const JSON_TYPE = { "content-type": "application/json" };
const GRANT = { access_token: PLANTED, refresh_token: PLANTED, token_type: "bearer", expires_in: 3600 };
const { access_token: _, ...GRANT_WITHOUT_TOKEN } = GRANT;

describe("a provider that misbehaves", { concurrency: true }, () => {
  // Where a redirect would lead: nothing may ever arrive there.
  let elsewhere;
  const scene = oauthScene({
    async settings({ info }) {
      elsewhere = await startProxy(info.authorization_server_url);
      return {};
    },
    stop: () => elsewhere?.stop(),
  });

  /** Connects while the provider behaves so at this request, and fails as it must. Returns the callback URL. */
  async function fails(matcherOf, behaviour) {
    const browser = await Visitor.signedIn(scene.worker);
    const callback = await browser.consent(`provider-${randomUUID()}`);
    scene.server.fault(matcherOf(callback), behaviour);
    const begun = performance.now();
    const failure = (await browser.get(callback)).expect(502, "provider_failed");
    const took = performance.now() - begun;

    assert.deepEqual(failure.json, GENERIC);
    assert.ok(took < BOUND_MS, `expected an answer within ${BOUND_MS} ms, got one after ${took} ms`);
    const line = await scene.worker.logged(new RegExp(failure.headers.get("x-request-id")));
    for (const secret of [PLANTED, scene.worker.info.client_secret, scene.grant(callback)?.access_token].filter(Boolean)) {
      assert.ok(!failure.all.includes(secret) && !line.includes(secret), `${failure.all}\n${line}`);
    }
    assert.deepEqual(await integrationsOf(scene.sql, browser.user.id), []);
    assert.equal(scene.exchanges(callback), 1, "a code is exchanged once, whatever happens");
    assert.deepEqual(elsewhere.requests, [], "nothing follows a redirect");
    return callback;
  }

  /** What any endpoint can do. */
  const ANYWHERE = [
    ["10 MB", () => flood(10 * MEGABYTE)],
    ["10 MB, announced", () => flood(10 * MEGABYTE, { ...JSON_TYPE, "content-length": 10 * MEGABYTE + 2 })],
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
  const REDIRECTS = [301, 302, 303, 307, 308];

  for (const status of REDIRECTS) {
    it(`9. the token endpoint answers ${status}: 502, and the client secret does not follow`, () =>
      fails(exchangeOf, (exchange) => redirect(elsewhere.url + exchange.request.path, status)(exchange)));
    it(`9. the identity endpoint answers ${status}: 502, the access token does not follow, the grant is revoked`, async () =>
      assertRevoked(await fails(scene.identityOf, (exchange) => redirect(elsewhere.url + exchange.request.path, status)(exchange))));
  }

  for (const [what, behaviour] of ANYWHERE) {
    it(`9. the token endpoint answers ${what}: 502, no row`, () => fails(exchangeOf, behaviour()));
    it(`9. the identity endpoint answers ${what}: 502, no row, the grant is revoked`, async () =>
      assertRevoked(await fails(scene.identityOf, behaviour())));
  }

  for (const [what, grant] of [
    ["no access_token", GRANT_WITHOUT_TOKEN],
    ["an empty access_token", { ...GRANT, access_token: "" }],
    ["an access_token that is no string", { ...GRANT, access_token: [PLANTED] }],
    ["an access_token that would be two headers", { ...GRANT, access_token: `x\r\nx-injected: ${PLANTED}` }],
    ["a refresh_token that is no string", { ...GRANT, refresh_token: { token: PLANTED } }],
    ["a list", [GRANT]],
    ["an error in place of a grant", { error: PLANTED }],
    ["another token type", { ...GRANT, token_type: "mac" }],
  ]) {
    it(`9. the token endpoint answers ${what}: 502, no row`, () => fails(exchangeOf, answer(201, grant)));
  }

  // With tokens that the provider takes, so that nothing but this number is in the way of a row.
  for (const expires_in of ["-1", "1e300", "1e999", "0", '"soon"']) {
    it(`9. the token endpoint answers expires_in ${expires_in}: 502, no row`, () =>
      fails(exchangeOf, rewritten(scene.info.authorization_server_url, (grant) => JSON.stringify(grant).replace(/"expires_in":\d+/, `"expires_in":${expires_in}`))));
  }

  it("9. the token endpoint answers 10 MB in 10 kB of gzip: 502, no row", () =>
    fails(exchangeOf, async ({ request, response }) => {
      const whole = rewritten(scene.info.authorization_server_url, (grant) => ({ ...grant, padding: " ".repeat(10 * MEGABYTE) }));
      await whole({ request, response: compressing(response) });
    }));

  it("9. what is too large is not read to its end", async () => {
    let taken;
    await fails(exchangeOf, (exchange) => {
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
    it(`9. the identity endpoint answers ${what}: 502, no row, the grant is revoked`, async () =>
      assertRevoked(await fails(scene.identityOf, answer(200, body))));
  }

  async function assertRevoked(callback) {
    const grant = scene.grant(callback);
    const revocations = scene.server.requests.filter(({ path, body }) => path === "/v1/oauth/revoke" && body.includes(grant.refresh_token));
    assert.equal(revocations.length, 1, "requests to revoke it");
    assert.equal(await isAlive(scene.worker.info, grant), false, "the grant must be dead at the authorization server");
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

/** A response that is sent as gzip with its compressed length, as a server that means harm would. */
function compressing(response) {
  return {
    writeHead(status, headers) {
      this.head = [status, headers];
    },
    end(text) {
      const body = gzipSync(text);
      const [status, headers] = this.head;
      response.writeHead(status, { ...headers, "content-encoding": "gzip", "content-length": body.length });
      response.end(body);
    },
  };
}
