// A session from sign-in to sign-out: made of tokens of Supabase Auth, kept where no script reaches it, renewed, and ended.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { bearer, call } from "../support/caller.mjs";
import { answer } from "../support/faults.mjs";
import { signES256, userClaims } from "../support/tokens.mjs";
import { signUp } from "../support/users.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const SESSION = "__Host-session";
const REFRESH = "__Host-session-refresh";
const COOKIE = /^(__Host-session|__Host-session-refresh)=[^;]+; Path=\/; Max-Age=([1-9]\d*); Secure; HttpOnly; SameSite=Lax$/;
const LOGOUT = "/auth/v1/logout";

describe("a session", { concurrency: true }, () => {
  const fixture = workerFixture({ gateway: true });
  let gateway, worker;
  before(() => void ({ gateway, worker } = fixture));

  it("a session is made of e-mail and password, and is in HttpOnly cookies alone", async () => {
    const { id, email, password } = await signUp(worker.info);
    const browser = new BrowserSession(worker);
    const signedIn = (await browser.post("/api/session", { email, password })).expect(200);
    const { user, expires_at, ...rest } = signedIn.json;
    assert.deepEqual({ user, rest }, { user: { id, email }, rest: {} });
    const lifetime = (Date.parse(expires_at) - Date.now()) / 1000;
    assert.ok(lifetime > 3500 && lifetime <= 3600, `the session is said to live ${lifetime} s`);

    const cookies = signedIn.headers.getSetCookie();
    assert.deepEqual(cookies.map((line) => line.split("=")[0]), [SESSION, REFRESH]);
    for (const line of cookies) assert.match(line, COOKIE);
    for (const name of [SESSION, REFRESH]) assert.ok(!signedIn.text.includes(browser.jar.get(name)), `${name} must not stand in the body`);
    assert.equal((await browser.get("/api/session")).expect(200).json.user.id, id);
  });

  it("a session is not made of a wrong password, an unknown address, or too much", async () => {
    const { email } = await signUp(worker.info);
    for (const body of [
      { email, password: "wrong" },
      { email: `${randomUUID()}@example.com`, password: "wrong" },
    ]) {
      const refused = (await call(worker, "POST", "/api/session", { body })).expect(401, "bad_credentials");
      assert.deepEqual(refused.headers.getSetCookie(), []);
    }
    const claims = userClaims(worker.info, { id: randomUUID() });
    const large = await signES256(worker.info, { ...claims, user_metadata: { note: "x".repeat(4000) } });
    (await call(worker, "POST", "/api/session", { body: { access_token: large } })).expect(400, "invalid_request");
    (await call(worker, "GET", "/api/integrations", { headers: bearer(large) })).expect(200);
  });

  it("a session is made of a token alone, without a way to renew it", async () => {
    const user = await signUp(worker.info);
    const browser = new BrowserSession(worker);
    const made = (await browser.post("/api/session", { access_token: user.access_token })).expect(200);
    assert.deepEqual(made.headers.getSetCookie().map((line) => line.split("=")[0]), [SESSION]);
    (await browser.post("/api/session", { refresh: true })).expect(401, "unauthorized");
  });

  it("a session is renewed with its refresh cookie, which is then another", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const before = browser.jar.get(REFRESH);
    const renewed = (await browser.post("/api/session", { refresh: true })).expect(200);
    assert.equal(renewed.json.user.id, browser.user.id);
    for (const line of renewed.headers.getSetCookie()) assert.match(line, COOKIE);
    assert.notEqual(browser.jar.get(REFRESH), before);
    (await browser.get("/api/session")).expect(200);
    (await browser.post("/api/session", { refresh: true })).expect(200);
  });

  it("a session is not renewed without its cookie, nor with `refresh` false, nor with a refresh token that nobody gave out", async () => {
    const headers = { origin: worker.url };
    (await call(worker, "POST", "/api/session", { headers, body: { refresh: true } })).expect(401, "unauthorized");
    (await call(worker, "POST", "/api/session", { headers, body: { refresh: false } })).expect(400, "invalid_request");
    const forged = { ...headers, cookie: `${REFRESH}=${randomUUID()}` };
    (await call(worker, "POST", "/api/session", { headers: forged, body: { refresh: true } })).expect(401, "bad_credentials");
  });

  it("a session ends for the browser and at Supabase Auth", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const kept = browser.jar.get(REFRESH);
    const out = (await browser.delete("/api/session")).expect(200);
    assert.deepEqual(out.json, { success: true });
    for (const line of out.headers.getSetCookie()) assert.match(line, /^__Host-session(-refresh)?=; Path=\/; Max-Age=0; Secure; HttpOnly; SameSite=Lax$/);
    assert.deepEqual([browser.jar.get(SESSION), browser.jar.get(REFRESH)], [undefined, undefined]);
    (await browser.get("/api/session")).expect(401, "unauthorized");
    // Whoever kept the cookie has nothing of it.
    const headers = { origin: worker.url, cookie: `${REFRESH}=${kept}` };
    (await call(worker, "POST", "/api/session", { headers, body: { refresh: true } })).expect(401, "bad_credentials");
    // Signed out is signed out, also the second time.
    (await browser.delete("/api/session")).expect(200);
  });

  it("a session ends for the browser although Supabase Auth does not confirm it, and the log says so", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const token = browser.jar.get(SESSION);
    gateway.fault(({ path, headers }) => path.startsWith(LOGOUT) && headers.authorization === `Bearer ${token}`, answer(500, "down"));
    (await browser.delete("/api/session")).expect(200);
    assert.equal(browser.jar.get(SESSION), undefined);
    await worker.logged(/did not confirm the sign-out/);
  });

  it("too many sign-ins are answered otherwise than wrong ones", async () => {
    const { email, password } = await signUp(worker.info);
    gateway.fault(({ path, body }) => path.startsWith("/auth/v1/token") && body.includes(email), answer(429, { msg: "slow down" }));
    (await call(worker, "POST", "/api/session", { body: { email, password } })).expect(429, "too_many_sign_ins");
  });
});
