// Accounts that are connected with credentials: under a name of the user's own, and what ends them.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { addMember, call, completion, config, insertIntegration, KID, lockWait, startServer } from "./support.mjs";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());

const named = (over = {}) => ({ ...completion(), p_integration_type: "stripe", p_custom_name: "Mine", ...over });
const connect = (args, sql = service) => call(sql, "connect_named", args);
const find = async (id) => (await owner`select * from public.integrations where id = ${id}`)[0];
const actions = async (id) =>
  (await owner`select action from public.credential_events where integration_id = ${id} order by id`).map(({ action }) => action);
const shape = ({ name, name_is_custom, external_account_id, config, status }) => [name, name_is_custom, external_account_id, config, status];

describe("connect_named", () => {
  test("connect_named connects under the user's name, which stays when the account is connected again", async () => {
    const args = named();
    assert.deepEqual(await connect(args), { outcome: "created", id: args.p_id });
    assert.deepEqual(shape(await find(args.p_id)), ["Mine", true, args.p_external_account_id, args.p_config, "active"]);
    const { p_custom_name: _, ...again } = args;
    assert.equal((await call(service, "complete_connection", { ...again, p_name: "Theirs" })).outcome, "updated");
    assert.equal((await find(args.p_id)).name, "Mine");
    assert.deepEqual(await actions(args.p_id), ["connected", "reconnected"]);
  });

  test("connect_named names an account that is there already, in its own row", async () => {
    const args = named();
    await connect(args);
    const other = { ...args, p_id: randomUUID(), p_custom_name: "Another", p_config: config(KID.b) };
    assert.deepEqual(await connect(other), { outcome: "exists", id: args.p_id });
    assert.equal((await find(args.p_id)).name, "Mine", "nothing is written yet");
    assert.deepEqual(await connect({ ...other, p_id: args.p_id }), { outcome: "updated", id: args.p_id });
    assert.deepEqual(shape(await find(args.p_id)), ["Another", true, args.p_external_account_id, other.p_config, "active"]);
    assert.deepEqual(await actions(args.p_id), ["connected", "reconnected", "renamed"]);
  });

  test("connect_named answers name_taken and writes nothing if another account of the type in the organization has the name", async () => {
    const user = randomUUID();
    const mine = named({ p_user_id: user, p_organization_id: user });
    await connect(mine);
    const other = { ...mine, p_id: randomUUID(), p_external_account_id: "other" };
    assert.deepEqual(await connect(other), { outcome: "name_taken" });
    assert.equal(await find(other.p_id), undefined);
    assert.deepEqual(await actions(other.p_id), []);
    // A row whose writer knew no accounts has its name all the same.
    await insertIntegration(owner, { organization_id: user, integration_type: "stripe", name: "Old" });
    assert.deepEqual(await connect({ ...other, p_custom_name: "Old" }), { outcome: "name_taken" });
    for (const over of [{ p_integration_type: "twilio" }, { p_custom_name: "Free" }]) {
      assert.equal((await connect({ ...other, p_id: randomUUID(), ...over })).outcome, "created");
    }
  });

  test("one of two connections gets a name that both ask for at once", async () => {
    const user = randomUUID();
    const both = ["one", "two"].map((p_external_account_id) =>
      named({ p_user_id: user, p_organization_id: user, p_external_account_id }));
    const first = project.connect("authenticator", { role: "service_role" });
    let second;
    await first.begin(async (transaction) => {
      assert.equal((await connect(both[0], transaction)).outcome, "created");
      second = connect(both[1]);
      await lockWait(owner);
    });
    assert.deepEqual(await second, { outcome: "name_taken" });
  });

  test("connect_named answers not_a_member and writes nothing for a non-member", async () => {
    const organization = randomUUID();
    const args = named({ p_organization_id: organization });
    assert.deepEqual(await connect(args), { outcome: "not_a_member" });
    assert.equal(await find(args.p_id), undefined);
    await addMember(owner, organization, args.p_user_id);
    assert.equal((await connect(args)).outcome, "created");
  });

  test("connect_named rejects a name out of bounds", async () => {
    for (const p_custom_name of [null, "", "x".repeat(201)]) {
      await assert.rejects(connect(named({ p_custom_name })), { code: "22023" });
    }
  });
});

describe("check_credential_attempts", () => {
  const admit = (p_user_id, p_organization_id = p_user_id, sql = service) => call(sql, "check_credential_attempts", { p_user_id, p_organization_id });
  const rowOf = async (user) => (await owner`select * from private.rate_limits where kind = 'credentials' and subject = ${user}`)[0];
  const ago = (user, interval) => owner`
    update private.rate_limits
    set ends_at = now() + interval '10 minutes' - ${interval}::interval,
      blocked_until = case when blocked_until > now() then now() + interval '10 minutes' - ${interval}::interval else blocked_until end
    where subject = ${user}`;

  test("check_credential_attempts admits sixty in ten minutes in all organizations together; then it says how long to wait, and asking makes no wait longer", async () => {
    const [user, organization] = [randomUUID(), randomUUID()];
    await addMember(owner, organization, user);
    for (let attempt = 1; attempt <= 60; attempt++) {
      assert.equal((await admit(user, attempt % 2 ? user : organization)).outcome, "admitted", `attempt ${attempt}`);
    }
    await ago(user, "9 minutes");
    for (const of of [user, organization, user]) {
      const { outcome, seconds } = await admit(user, of);
      assert.equal(outcome, "too_many");
      assert.ok(seconds > 50 && seconds <= 60, `${seconds} seconds`);
    }
    assert.equal((await rowOf(user)).attempts, 60, "nothing grows without end");
    await ago(user, "10 minutes");
    assert.equal((await admit(user)).outcome, "admitted");
    assert.equal((await rowOf(user)).attempts, 1);
  });

  test("check_credential_attempts counts each of many at once", async () => {
    const user = randomUUID();
    const sql = project.connect("authenticator", { role: "service_role" }, 8);
    const answers = await Promise.all(Array.from({ length: 70 }, () => admit(user, user, sql)));
    assert.equal(answers.filter(({ outcome }) => outcome === "admitted").length, 60);
  });

  test("check_credential_attempts does not deadlock for users who come back at the same time", async () => {
    const users = Array.from({ length: 4 }, () => randomUUID());
    const sql = project.connect("authenticator", { role: "service_role" }, users.length);
    for (const user of users) await admit(user);
    for (let round = 0; round < 100; round++) {
      await owner`update private.rate_limits set ends_at = now() - interval '1 hour' where subject = any (${users})`;
      const answers = await Promise.all(users.map((user) => admit(user, user, sql)));
      assert.deepEqual(answers.map(({ outcome }) => outcome), users.map(() => "admitted"));
    }
  });

  test("check_credential_attempts does not count a non-member's attempt", async () => {
    const user = randomUUID();
    assert.deepEqual(await admit(user, randomUUID()), { outcome: "not_a_member" });
    assert.equal(await rowOf(user), undefined);
  });

  test("clean_up deletes attempts that no longer count", async () => {
    const [old, recent] = [randomUUID(), randomUUID()];
    for (const one of [old, recent]) await admit(one);
    await ago(old, "11 minutes");
    await call(service, "clean_up", { p_event_days: 400 });
    assert.deepEqual([await rowOf(old), (await rowOf(recent)).attempts], [undefined, 1]);
  });
});

describe("a client that is rejected", () => {
  const claimed = async (args) => {
    const p_owner = randomUUID();
    const claim = await call(service, "claim_refresh", { p_id: args.p_id, p_owner });
    assert.equal(claim.outcome, "claimed");
    return { p_owner, generation: claim.generation };
  };
  const settle = async (args, { p_owner, generation }, fault) => {
    const p_results = service.json([{ id: args.p_id, generation, fault }]);
    return (await call(service, "settle_refreshes", { p_owner, p_results })).ends[args.p_id];
  };
  const connected = async () => {
    const args = completion({ p_integration_type: "auth0", p_config: config(KID.a, { expires_at: "2025-12-08T10:30:00Z" }) });
    await call(service, "complete_connection", args);
    return args;
  };

  test("a rejected client requires other credentials and says why, whatever came before", async () => {
    const args = await connected();
    assert.equal(await settle(args, await claimed(args), "outcome_unknown"), "backed_off");
    await owner`update public.credential_leases set failed_at = null, retry_at = null where integration_id = ${args.p_id}`;
    assert.equal(await settle(args, await claimed(args), "invalid_client"), "reconnect_required");
    const { status, status_reason } = await find(args.p_id);
    assert.deepEqual([status, status_reason], ["reconnect_required", "invalid_client"]);
    const [event] = await owner`
      select action, outcome, reason from public.credential_events where integration_id = ${args.p_id} order by id desc limit 1`;
    assert.deepEqual({ ...event }, { action: "refresh_failed", outcome: "reconnect_required", reason: "invalid_client" });
    const due = { p_owner: randomUUID(), p_limit: 100, p_within: 600, p_types: ["auth0"] };
    const { claims } = await call(service, "claim_due_refreshes", due);
    assert.deepEqual(claims.filter(({ id }) => id === args.p_id), [], "it is not asked again");
  });

  test("a rejected client is active again once there are other credentials, and they are refreshed", async () => {
    const args = await connected();
    await settle(args, await claimed(args), "invalid_client");
    assert.equal((await call(service, "complete_connection", { ...args, p_config: config(KID.b), p_reconnect: true })).outcome, "updated");
    const { status, status_reason } = await find(args.p_id);
    assert.deepEqual([status, status_reason], ["active", null]);
    await claimed(args);
  });

  test("an unknown fault of a client is an error", async () => {
    const args = await connected();
    await assert.rejects(settle(args, await claimed(args), "refused_client"), { code: "22023" });
  });
});
