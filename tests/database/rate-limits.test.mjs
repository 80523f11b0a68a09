// How often a user may write, and how often somebody may try a password. Threat model 107 and 108.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { call, startServer } from "./support.mjs";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());

/** Lets so much time pass for whatever the subject has tried. */
const pass = (subject, interval) => owner`
  update private.rate_limits
  set ends_at = ends_at - ${interval}::interval, blocked_until = blocked_until - ${interval}::interval
  where subject like ${`%${subject}%`}`;

describe("admit_write", () => {
  const admit = (p_user_id, sql = service) => call(sql, "admit_write", { p_user_id });

  test("admit_write admits 120 writes of a user in a minute, and says how long the next one has to wait", async () => {
    const user = randomUUID();
    for (let n = 0; n < 120; n++) assert.deepEqual(await admit(user), { outcome: "admitted" });
    const { outcome, seconds } = await admit(user);
    assert.equal(outcome, "too_many");
    assert.ok(seconds > 0 && seconds <= 60, `${seconds} s`);
    assert.deepEqual(await admit(randomUUID()), { outcome: "admitted" }, "another user is not kept waiting");
    await pass(user, "1 minute");
    assert.deepEqual(await admit(user), { outcome: "admitted" });
  });

  test("admit_write admits 5,000 in a day", async () => {
    const user = randomUUID();
    await admit(user);
    await owner`update private.rate_limits set attempts = 4999 where subject = ${user} and kind = 'writes in a day'`;
    assert.deepEqual(await admit(user), { outcome: "admitted" });
    const { outcome, seconds } = await admit(user);
    assert.equal(outcome, "too_many");
    assert.ok(seconds > 80_000 && seconds <= 86_400, `${seconds} s`);
  });

  test("admit_write counts each of many at once", async () => {
    const user = randomUUID();
    const many = project.connect("authenticator", { role: "service_role" }, 8);
    const answers = await Promise.all(Array.from({ length: 150 }, () => admit(user, many)));
    assert.equal(answers.filter(({ outcome }) => outcome === "admitted").length, 120);
  });
});

describe("admit_sign_in", () => {
  const admit = (p_account, p_address, sql = service) => call(sql, "admit_sign_in", { p_account, p_address });
  const forgive = (p_account, p_address) => call(service, "forgive_sign_ins", { p_account, p_address });
  const names = () => [`account-${randomUUID()}`, `address-${randomUUID()}`];
  const admitted = async (count, account, address) => {
    for (let n = 0; n < count; n++) assert.deepEqual(await admit(account, address), { outcome: "admitted" }, `attempt ${n + 1}`);
  };

  test("admit_sign_in lets an address try an account five times, then with pauses that double", async () => {
    const [account, address] = names();
    await admitted(5, account, address);
    for (const pause of [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]) {
      const { outcome, seconds } = await admit(account, address);
      assert.deepEqual([outcome, seconds], ["too_many", pause]);
      await pass(account, `${pause} seconds`);
      await owner`delete from private.rate_limits where subject = ${address}`;
      await admitted(1, account, address);
    }
  });

  test("a sign-in attempt that has to wait makes no wait longer", async () => {
    const [account, address] = names();
    await admitted(5, account, address);
    for (let n = 0; n < 20; n++) assert.equal((await admit(account, address)).outcome, "too_many");
    await pass(account, "5 seconds");
    await admitted(1, account, address);
  });

  test("a stranger's sign-in attempts do not keep out the owner at another address", async () => {
    const [account, address] = names();
    const strangers = Array.from({ length: 12 }, () => names()[1]);
    for (const stranger of strangers) {
      for (let n = 0; n < 6; n++) await admit(account, stranger);
    }
    const { outcome, seconds = 0 } = await admit(account, address);
    assert.ok(outcome === "admitted" || seconds <= 10, `${outcome}, ${seconds} s: no longer than ten seconds, whatever strangers do`);
  });

  test("admit_sign_in slows an address down that tries one account after the other", async () => {
    const [, address] = names();
    let tried = 0;
    while ((await admit(names()[0], address)).outcome === "admitted") tried++;
    assert.equal(tried, 30);
    const { seconds } = await admit(names()[0], address);
    assert.ok(seconds >= 1 && seconds <= 120, `${seconds} s`);
    await admitted(1, ...names());
  });

  test("a right password clears the account's attempts, and not the address's", async () => {
    const [account, address] = names();
    await admitted(5, account, address);
    assert.equal((await admit(account, address)).outcome, "too_many");
    assert.deepEqual(await forgive(account, address), { outcome: "forgiven" });
    await admitted(5, account, address);
    const [{ attempts }] = await owner`select attempts from private.rate_limits where subject = ${address}`;
    assert.equal(attempts, 11);
  });

  test("admit_sign_in counts each of many at once", async () => {
    const [account, address] = names();
    const many = project.connect("authenticator", { role: "service_role" }, 8);
    const answers = await Promise.all(Array.from({ length: 40 }, () => admit(account, address, many)));
    assert.equal(answers.filter(({ outcome }) => outcome === "admitted").length, 5);
  });

  test("admit_sign_in lets an address renew sessions a hundred times in ten minutes, then with pauses", async () => {
    const [, address] = names();
    const renew = () => call(service, "admit_renewal", { p_address: address });
    for (let n = 0; n < 100; n++) assert.deepEqual(await renew(), { outcome: "admitted" });
    assert.deepEqual(await renew(), { outcome: "too_many", seconds: 1 });
    await admitted(1, names()[0], address);
    await assert.rejects(call(service, "admit_renewal", { p_address: null }), { code: "22023" });
  });

  test("admit_sign_in without a subject is an error", async () => {
    await assert.rejects(admit(null, "x"), { code: "22023" });
    await assert.rejects(admit("x", null), { code: "22023" });
  });
});
