// Signing in with a code by e-mail, and at an OAuth provider of the project, against Supabase Auth's API. Threat model 130 to 132.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { answer } from "../support/faults.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { codesSentTo, linkTokensSentTo, signInAtProvider } from "../support/sign-in.mjs";
import { signUp, supabase } from "../support/users.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

describe("signing in without a password", { concurrency: true }, () => {
  const fixture = workerFixture({ gateway: true });
  const { info } = fixture;
  let worker, gateway;
  before(() => void ({ worker, gateway } = fixture));
  const userOf = async (browser) => (await browser.get("/api/session")).expect(200).json.user;

  it("the ways are those that the project has switched on", async () => {
    const { json } = (await new BrowserSession(worker).get("/api/session/methods")).expect(200);
    assert.deepEqual(json, { email: true, providers: ["github"] });
  });

  it("a code by e-mail signs its account in, once", async () => {
    const { id, email } = await signUp(worker.info);
    const browser = new BrowserSession(worker);
    (await browser.post("/api/session/code", { email })).expect(200);
    const [code] = codesSentTo(info, email);
    (await browser.post("/api/session", { email, code: code === "000000" ? "000001" : "000000" })).expect(401, "bad_credentials");
    (await browser.post("/api/session", { email, code: `${code}x` })).expect(401, "bad_credentials");
    (await browser.post("/api/session", { email, code })).expect(200);
    assert.equal((await userOf(browser)).id, id);
    (await new BrowserSession(worker).post("/api/session", { email, code })).expect(401, "bad_credentials");
    assert.ok(!JSON.stringify(worker.logs()).includes(code));
  });

  // Threat model 130.
  it("an unknown address gets the same answer, no code and no account", async () => {
    const [known, unknown] = [(await signUp(worker.info)).email, `${randomUUID()}@example.com`];
    const answers = [];
    for (const email of [known, unknown]) {
      const { status, text } = await new BrowserSession(worker).post("/api/session/code", { email });
      answers.push([status, text]);
    }
    assert.deepEqual(answers[0], answers[1]);
    assert.deepEqual(codesSentTo(info, unknown), []);
    const [{ count }] = await fixture.sql`select count(*)::int from auth.users where email = ${unknown}`;
    assert.equal(count, 0);
  });

  // Threat model 130.
  it("codes cannot be guessed: after five tries the account has to wait, and an e-mail that is not sent is logged", async () => {
    const { email } = await signUp(worker.info);
    const browser = new BrowserSession(worker);
    const restore = gateway.fault(({ path, body }) => path.startsWith("/auth/v1/otp") && body.includes(email), answer(429, { code: "over_email_send_rate_limit" }));
    (await browser.post("/api/session/code", { email })).expect(200);
    restore();
    await worker.logged(/limit of e-mails was reached/);
    for (let n = 0; n < 4; n++) (await browser.post("/api/session", { email, code: "000000" })).expect(401, "bad_credentials");
    (await browser.post("/api/session", { email, code: "000000" })).expect(429, "too_many_sign_ins");
    (await browser.post("/api/session/code", { email })).expect(429, "too_many_sign_ins");
  });

  // Threat model 132.
  it("a link signs its account in, once, with a session of its own", async () => {
    const { id, email, refresh_token } = await signUp(worker.info);
    (await new BrowserSession(worker).post("/api/session/code", { email })).expect(200);
    const [token_hash] = linkTokensSentTo(info, email);
    const browser = new BrowserSession(worker);
    (await browser.post("/api/session", { token_hash })).expect(400, "invalid_request");
    (await browser.post("/api/session", { email, token_hash: `${token_hash}0` })).expect(401, "bad_credentials");
    (await browser.post("/api/session", { email, token_hash: `${token_hash}&type=recovery` })).expect(401, "bad_credentials");
    (await browser.post("/api/session", { email, token_hash })).expect(200);
    assert.equal((await userOf(browser)).id, id);
    (await new BrowserSession(worker).post("/api/session", { email, token_hash })).expect(401, "bad_credentials");
    assert.ok(!JSON.stringify(worker.logs()).includes(token_hash));
    (await browser.post("/api/session", { refresh: true })).expect(200);
    (await browser.delete("/api/session")).expect(200);
    const { error } = await supabase(worker.info).auth.refreshSession({ refresh_token });
    assert.equal(error, null, "the application's session goes on");
  });

  // Threat model 132.
  it("tokens of links cannot be guessed, and that of another account signs nobody in", async () => {
    const [{ email }, other] = [await signUp(worker.info), await signUp(worker.info)];
    const browser = new BrowserSession(worker);
    (await browser.post("/api/session/code", { email: other.email })).expect(200);
    const [token_hash] = linkTokensSentTo(info, other.email);
    (await browser.post("/api/session", { email, token_hash })).expect(401, "bad_credentials");
    (await browser.get("/api/session")).expect(401, "unauthorized");
    for (let n = 0; n < 4; n++) (await browser.post("/api/session", { email, token_hash: `${n}` })).expect(401, "bad_credentials");
    (await browser.post("/api/session", { email, token_hash: "0" })).expect(429, "too_many_sign_ins");
  });

  it("a sign-in at a provider ends where it began, with a session", async () => {
    const browser = new BrowserSession(worker);
    const email = `${randomUUID()}@example.com`;
    const { authorization_url: url } = (await browser.post("/api/session/authorize", { provider: "github", return_to: "/?webhooks=all" })).expect(200).json;
    const end = (await browser.get(await signInAtProvider(url, email))).expect(303);
    assert.equal(end.location, "/?webhooks=all");
    assert.equal((await userOf(browser)).email, email);
  });

  // Threat model 131.
  it("a callback in another browser signs nobody in, and leaves the first browser's sign-in as it was", async () => {
    const [first, other] = [new BrowserSession(worker), new BrowserSession(worker)];
    const begin = async (browser) => (await browser.post("/api/session/authorize", { provider: "github" })).expect(200).json.authorization_url;
    const [url] = [await begin(first), await begin(other)];
    const back = await signInAtProvider(url, `${randomUUID()}@example.com`);
    for (const browser of [other, new BrowserSession(worker)]) {
      const end = (await browser.get(back)).expect(303);
      assert.equal(end.location, "/?sign_in=failed");
      (await browser.get("/api/session")).expect(401, "unauthorized");
    }
    assert.equal((await first.get(back)).expect(303).location, "/");
    await userOf(first);
    assert.equal((await first.get(back)).expect(303).location, "/?sign_in=failed", "a code works once");
  });

  it("a sign-in that is cancelled, malformed, or for an unknown provider or address signs nobody in", async () => {
    const browser = new BrowserSession(worker);
    const begin = (body) => browser.post("/api/session/authorize", body);
    (await begin({ provider: "Git Hub" })).expect(400, "invalid_request");
    for (const return_to of ["//planted.example", "https://planted.example", "/\\planted"]) (await begin({ provider: "github", return_to })).expect(400, "invalid_request");
    const { authorization_url: url } = (await begin({ provider: "github" })).expect(200).json;
    const back = new URL(await signInAtProvider(url, "", "cancel"));
    assert.equal((await browser.get(back.href)).expect(303).location, "/?sign_in=failed");
    for (const query of ["", "?code=", "?code=a&code=b", `?code=${"x".repeat(600)}`]) {
      await begin({ provider: "github" });
      assert.equal((await browser.get(`/api/session/callback${query}`)).expect(303).location, "/?sign_in=failed");
    }
    (await browser.get("/api/session")).expect(401, "unauthorized");
  });
});
