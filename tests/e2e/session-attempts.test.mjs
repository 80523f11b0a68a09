// Passwords that are tried one after the other: pauses that grow, for the account from this address and for the address, and no longer
// ones for everybody else. Threat model 108.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { call } from "../support/caller.mjs";
import { signUp } from "../support/users.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";
import { startWorker } from "../support/worker.mjs";

const TOKEN = "/auth/v1/token?grant_type=password";

describe("a password", () => {
  const fixture = workerFixture({ gateway: true });
  const { info } = fixture;
  let sql, gateway, worker;
  before(() => void ({ sql, gateway, worker } = fixture));

  let last = 0;
  /** An address of its own for each test (RFC 5737). */
  const newAddress = () => `198.51.100.${++last}`;
  const attempt = (email, password, address, to = worker) =>
    call(to, "POST", "/api/session", { headers: { "cf-connecting-ip": address }, body: { email, password } });
  const tries = (email) => gateway.count(({ path, body }) => path.startsWith(TOKEN) && body.includes(email));

  it("a wrong password is passed on five times of 40, then answered 429, for an unknown account just the same", async () => {
    const { email } = await signUp(worker.info);
    const shown = [];
    for (const account of [email, `${randomUUID()}@example.com`]) {
      const address = newAddress();
      const answers = [];
      for (let n = 0; n < 40; n++) answers.push(await attempt(account, "wrong", address));
      assert.equal(tries(account), 5);
      for (const answer of answers.slice(0, 5)) answer.expect(401, "bad_credentials");
      for (const answer of answers.slice(5)) {
        answer.expect(429, "too_many_sign_ins");
        const seconds = Number(answer.headers.get("retry-after"));
        assert.ok(seconds >= 1 && seconds <= 5, `${seconds} s`);
      }
      shown.push(answers.map(({ status, json }) => [status, json]));
    }
    assert.deepEqual(shown[0], shown[1]);
  });

  it("a right password is accepted from another address while a stranger tries", async () => {
    const { email, password } = await signUp(worker.info);
    const stranger = newAddress();
    for (let n = 0; n < 20; n++) await attempt(email, "wrong", stranger);
    (await attempt(email, password, newAddress())).expect(200);
    (await attempt(email, password, stranger)).expect(429, "too_many_sign_ins");
  });

  it("a right password resets the account's attempts", async () => {
    const { email, password } = await signUp(worker.info);
    const address = newAddress();
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < 3; n++) (await attempt(email, "wrong", address)).expect(401, "bad_credentials");
      (await attempt(email, password, address)).expect(200);
    }
  });

  it("an address that tries one account after the other is paused", async () => {
    const address = newAddress();
    const answers = [];
    for (let n = 0; n < 40; n++) answers.push((await attempt(`${randomUUID()}@example.com`, "wrong", address)).status);
    assert.deepEqual([answers.filter((status) => status === 401).length, answers.filter((status) => status === 429).length], [30, 10]);
  });

  it("a sign-in passes on the client's address with a secret key and with no other, and never the user agent", async () => {
    const { email, password } = await signUp(worker.info);
    const address = newAddress();
    (await attempt(email, password, address)).expect(200);
    const sent = (of) => gateway.requests.findLast(({ path, body }) => path.startsWith(TOKEN) && body.includes(of)).headers;
    assert.deepEqual([sent(email)["sb-forwarded-for"], sent(email).apikey], [address, info.secret_key]);
    assert.equal(sent(email)["user-agent"], "sealed-integrations");
    const old = await startWorker(worker.info, { SUPABASE_SERVICE_ROLE_KEY: info.service_role_key });
    try {
      (await attempt(email, password, address, old)).expect(200);
    } finally {
      await old.stop();
    }
    assert.deepEqual([sent(email)["sb-forwarded-for"], sent(email).apikey], [undefined, info.publishable_key]);
  });

  it("renewals from one address are paused, too", async () => {
    const address = newAddress();
    const renew = (from) => call(worker, "POST", "/api/session", {
      headers: { "cf-connecting-ip": from, origin: worker.url, cookie: "__Host-session-refresh=guessed" }, body: { refresh: true },
    });
    const renewals = () => gateway.count(({ path }) => path.startsWith("/auth/v1/token?grant_type=refresh_token"));
    const before = renewals();
    const statuses = [];
    for (let n = 0; n < 110; n++) statuses.push((await renew(address)).status);
    const passed = renewals() - before;
    assert.ok(passed >= 100 && passed < 110, `${passed} were passed on`);
    assert.ok(statuses.includes(429) && statuses.slice(0, 100).every((status) => status === 401), statuses.join());
    assert.equal((await renew(newAddress())).status, 401);
  });

  it("a password attempt leaves neither the e-mail address nor the client's address in the database or the log", async () => {
    const { email, password } = await signUp(worker.info);
    const address = newAddress();
    await attempt(email, "wrong", address);
    await attempt(email, password, address);
    const [{ all }] = await sql`select jsonb_agg(to_jsonb(r))::text as all from private.rate_limits r`;
    for (const text of [all, JSON.stringify(worker.logs())]) assert.ok(!text.includes(email) && !text.includes(address));
  });
});
