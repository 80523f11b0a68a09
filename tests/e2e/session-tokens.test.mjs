// Who is a user: one whose token the project signed, for a user, for now. Everybody else is told to sign in.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { bearer, call } from "../support/caller.mjs";
import { startProxy } from "../support/proxy.mjs";
import { signES256, signHS256, tokensWithWrongClaims, tokensWithWrongSignatures, userClaims } from "../support/tokens.mjs";
import { signUp } from "../support/users.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";
import { startWorker } from "../support/worker.mjs";

const LIST = "/api/integrations";

describe("tokens", { concurrency: true }, () => {
  const fixture = workerFixture({ gateway: true });
  const { info } = fixture;
  let gateway, worker, elsewhere, user;
  before(async () => {
    ({ gateway, worker } = fixture);
    elsewhere = await startProxy(info.supabase_url);
    fixture.stops.push(elsewhere.stop);
    user = await signUp(worker.info);
  });

  /** Every way in: as Bearer, as a session that is to be made, and in the cookie of a session that was not made here. */
  async function assertRefused(cases, at = worker) {
    for (const [name, token] of cases) {
      const ways = {
        "as Bearer": () => call(at, "GET", LIST, { headers: bearer(token) }),
        "as Bearer of a disconnect": () => call(at, "DELETE", `${LIST}/${randomUUID()}`, { headers: bearer(token) }),
        "as the cookie": () => call(at, "GET", "/api/session", { headers: { cookie: `__Host-session=${token}` } }),
        "as a new session": () => call(at, "POST", "/api/session", { body: { access_token: token } }),
      };
      for (const [way, send] of Object.entries(ways)) {
        const answer = await send();
        assert.equal(`${answer.status} ${answer.text}`, `401 ${UNAUTHORIZED}`, `${name}, ${way}`);
        assert.deepEqual(answer.headers.getSetCookie(), [], `${name}, ${way}: no session may be made`);
      }
    }
  }

  it("the project's users are accepted, whichever way the project signs", async () => {
    const claims = userClaims(worker.info, user);
    const tokens = {
      "from Supabase Auth": user.access_token,
      ES256: await signES256(worker.info, claims),
      HS256: await signHS256(worker.info, claims),
      "an audience among several": await signES256(worker.info, { ...claims, aud: ["other", "authenticated"] }),
    };
    for (const [name, token] of Object.entries(tokens)) {
      const answer = await call(worker, "GET", "/api/session", { headers: bearer(token) });
      assert.equal(answer.expect(200).json.user.id, user.id, name);
    }
  });

  it("token times are accepted with clocks that differ by 30 seconds, not by more", async () => {
    const claims = userClaims(worker.info, user);
    const { iat: now } = claims;
    for (const [name, changed, status] of [
      ["expired 15 s ago", { exp: now - 15 }, 200],
      ["expired 45 s ago", { exp: now - 45 }, 401],
      ["valid in 15 s", { nbf: now + 15 }, 200],
      ["valid in 60 s", { nbf: now + 60 }, 401],
      ["issued in 60 s", { iat: now + 60 }, 401],
    ]) {
      const token = await signES256(worker.info, { ...claims, ...changed });
      const answer = await call(worker, "GET", LIST, { headers: bearer(token) });
      assert.equal(answer.status, status, `${name}: ${answer.text}`);
    }
  });

  // Threat model 12.
  it("a worthless signature is answered 401: none, HS256 under public bytes, a key that the token names", async () => {
    const cases = await tokensWithWrongSignatures(worker.info, user, elsewhere.url);
    assert.ok(cases.length > 15, "the list of wrong signatures is there");
    await assertRefused(cases);
    assert.deepEqual(elsewhere.requests, [], "no request may go where a token says");
  });

  // Threat model 12.
  it("without a JWT secret no HS256 token is accepted, not even one under an empty secret", async (t) => {
    const asymmetric = await startWorker(worker.info, { SUPABASE_JWT_SECRET: undefined });
    t.after(() => asymmetric.stop());
    const token = await signHS256(worker.info, userClaims(worker.info, user));
    const wrong = await tokensWithWrongSignatures(worker.info, user, elsewhere.url);
    await assertRefused([["the old secret", token], ...wrong.filter(([name]) => name.startsWith("HS256"))], asymmetric);
    (await call(asymmetric, "GET", LIST, { headers: bearer(user.access_token) })).expect(200);
  });

  // Threat model 13.
  it("the project's own keys and an anonymous user are answered 401", async () => {
    const claims = userClaims(worker.info, user);
    await assertRefused([
      ["the anon key", info.anon_key],
      ["the service key", info.service_role_key],
      ["the publishable key", info.publishable_key],
      ["the secret key", info.secret_key],
      ["the JWT secret", info.jwt_secret],
      ["an anonymous user, ES256", await signES256(worker.info, { ...claims, is_anonymous: true })],
      ["an anonymous user, HS256", await signHS256(worker.info, { ...claims, is_anonymous: true })],
      ["the service role with a subject", await signHS256(worker.info, { ...claims, role: "service_role" })],
    ]);
  });

  // Threat model 14.
  it("wrong claims under a right signature are answered 401, and Supabase is not asked", async () => {
    const cases = await tokensWithWrongClaims(worker.info, user);
    assert.ok(cases.length > 12, "the list of wrong claims is there");
    await assertRefused(cases);
    const sent = gateway.requests.filter(({ headers }) => cases.some(([, token]) => headers.authorization?.includes(token)));
    assert.deepEqual(sent, [], "none of them may reach Supabase");
  });

  // Threat model 14.
  it("anything that is not a token is answered 401", async () => {
    const headers = ["Bearer", "Bearer ", "Bearer  ", "Basic dXNlcjpwYXNz", "bearer", `Token ${user.access_token}`, user.access_token];
    const tokens = ["x", "..", "a.b.c", "e30.e30.", `${"a".repeat(9000)}.e30.e30`, "null.null.null", "W10.W10.W10"];
    for (const authorization of [...headers, ...tokens.map((token) => `Bearer ${token}`)]) {
      const answer = await call(worker, "GET", LIST, { headers: { authorization } });
      assert.equal(`${answer.status} ${answer.text}`, `401 ${UNAUTHORIZED}`, authorization.slice(0, 40));
    }
  });
});

const UNAUTHORIZED = '{"error":{"code":"unauthorized","message":"sign in first"}}';
