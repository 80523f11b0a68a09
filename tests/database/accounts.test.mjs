// Several accounts of one provider: their names, renaming, and the reconnection of exactly one.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { addMember, addPending, beginning, call, completion, config, insertIntegration, KID, lockWait, pending, startServer } from "./support.mjs";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());

const connect = async (over) => {
  const args = completion(over);
  const { outcome } = await call(service, "complete_connection", args);
  return { args, outcome };
};
const created = async (over) => {
  const { args, outcome } = await connect(over);
  assert.equal(outcome, "created");
  return args;
};
const find = async (id) => (await owner`select * from public.integrations where id = ${id}`)[0];
const name = async ({ p_id }) => (await find(p_id)).name;
const actions = async (id) =>
  (await owner`select action from public.credential_events where integration_id = ${id} order by id`).map(({ action }) => action);
const change = ({ p_id, p_user_id }, p_changes, over = {}) =>
  call(service, "change_integration", { p_id, p_user_id, p_changes, p_request_id: "r", ...over });

describe("names", () => {
  test("names a second account of the same name by its account's id, and a third that collides by a number", async () => {
    const user = randomUUID();
    const one = await created({ p_user_id: user, p_external_account_id: "one" });
    const two = await created({ p_user_id: user, p_external_account_id: "two" });
    assert.deepEqual([await name(one), await name(two)], ["My Project", "My Project (two)"]);
    await change(one, { name: "My Project (three)" });
    const three = await created({ p_user_id: user, p_external_account_id: "three", p_name: "My Project" });
    assert.equal(await name(three), "My Project");
    const four = await created({ p_user_id: user, p_external_account_id: "two (2)", p_name: "My Project" });
    assert.equal(await name(four), "My Project (two (2))");
    await change(one, { name: "My Project (five)" });
    assert.equal(await name(await created({ p_user_id: user, p_external_account_id: "five" })), "My Project (2)");
  });

  test("lets accounts of different types or organizations have the same name", async () => {
    const user = randomUUID();
    await created({ p_user_id: user });
    assert.equal(await name(await created({ p_user_id: user, p_integration_type: "github" })), "My Project");
    assert.equal(await name(await created()), "My Project");
  });

  test("fits the longest name and the longest account id into one name", async () => {
    const user = randomUUID();
    const longest = "n".repeat(200);
    await created({ p_user_id: user, p_name: longest });
    const second = await name(await created({ p_user_id: user, p_name: longest, p_external_account_id: "a".repeat(200) }));
    assert.deepEqual([second.length, second.slice(-66)], [200, `(${"a".repeat(64)})`]);
  });

  test("takes the provider's new name at a reconnection; the same name again changes nothing", async () => {
    const user = randomUUID();
    const one = await created({ p_user_id: user, p_external_account_id: "one" });
    const two = await created({ p_user_id: user, p_external_account_id: "two" });
    for (const [p_name, expected] of [["My Project", "My Project (two)"], ["Other", "Other"]]) {
      assert.equal((await connect({ ...two, p_name })).outcome, "updated");
      assert.equal(await name(two), expected);
    }
    assert.equal((await connect(one)).outcome, "updated");
    assert.equal(await name(one), "My Project");
  });

  test("gives two accounts of one name different names when they are connected at once", async () => {
    const user = randomUUID();
    const both = ["one", "two"].map((p_external_account_id) => completion({ p_user_id: user, p_external_account_id }));
    const first = project.connect("authenticator", { role: "service_role" });
    let second;
    await first.begin(async (transaction) => {
      await call(transaction, "complete_connection", both[0]);
      second = call(service, "complete_connection", both[1]);
      await lockWait(owner);
    });
    assert.equal((await second).outcome, "created");
    assert.deepEqual([await name(both[0]), await name(both[1])], ["My Project", "My Project (two)"]);
  });
});

describe("change_integration", () => {
  test("a name that a user gave stays when the account is connected again, and leaves one event", async () => {
    const args = await created();
    assert.deepEqual(await change(args, { name: "Mine" }), { outcome: "changed" });
    assert.deepEqual(await change(args, { name: "Mine" }), { outcome: "changed" });
    assert.equal((await connect({ ...args, p_name: "Theirs" })).outcome, "updated");
    assert.equal(await name(args), "Mine");
    assert.deepEqual(await actions(args.p_id), ["connected", "renamed", "reconnected"]);
  });

  test("change_integration answers name_taken when another integration of the type in the organization has the name", async () => {
    const user = randomUUID();
    await created({ p_user_id: user, p_name: "Taken" });
    const other = await created({ p_user_id: user, p_external_account_id: "other" });
    assert.deepEqual(await change(other, { name: "Taken" }), { outcome: "name_taken" });
    assert.equal(await name(other), "My Project");
    assert.deepEqual(await change(await created(), { name: "Taken" }), { outcome: "changed" });
  });

  test("change_integration sets and removes a schedule, and leaves what is not named as it is", async () => {
    const args = await created();
    await change(args, { scan_schedule: "*/5 * * * *", next_check_at: "2027-01-01T00:05:00Z" });
    await change(args, { name: "Mine" });
    let row = await find(args.p_id);
    assert.deepEqual([row.scan_schedule, row.next_check_at.toISOString()], ["*/5 * * * *", "2027-01-01T00:05:00.000Z"]);
    await change(args, { scan_schedule: null, next_check_at: null });
    row = await find(args.p_id);
    assert.deepEqual([row.scan_schedule, row.next_check_at, row.name], [null, null, "Mine"]);
    assert.deepEqual(await actions(args.p_id), ["connected", "rescheduled", "renamed", "rescheduled"]);
  });

  test("change_integration replaces the tags, each once and in order, and the same ones again are no event", async () => {
    const args = await created();
    assert.deepEqual((await find(args.p_id)).tags, []);
    for (const tags of [["eu", "b c", "eu"], ["b c", "eu"]]) assert.deepEqual(await change(args, { tags }), { outcome: "changed" });
    assert.deepEqual((await find(args.p_id)).tags, ["b c", "eu"]);
    await change(args, { name: "Mine" });
    assert.deepEqual((await find(args.p_id)).tags, ["b c", "eu"]);
    await change(args, { tags: [] });
    assert.deepEqual((await find(args.p_id)).tags, []);
    assert.deepEqual(await actions(args.p_id), ["connected", "tagged", "renamed", "tagged"]);
    for (const tags of [Array.from({ length: 21 }, (_, i) => `${i}`), [""], ["é".repeat(65)], [null]]) {
      await assert.rejects(change(args, { tags }), { code: /^23/ });
    }
    await assert.rejects(change(args, { tags: "eu" }), { code: "22023" });
  });

  test("an integration says who connected it last, whatever another application writes", async () => {
    const args = await created();
    const other = randomUUID();
    assert.deepEqual((await find(args.p_id)).connected_by, { actor: "user", user_id: args.p_user_id });
    await owner`insert into public.organization_members (organization_id, user_id) values (${args.p_organization_id}, ${other})`;
    await call(service, "complete_connection", { ...args, p_user_id: other });
    assert.deepEqual((await find(args.p_id)).connected_by, { actor: "user", user_id: other });
    assert.equal((await find(await insertIntegration(owner))).connected_by, null);
  });

  test("change_integration answers unknown to a non-member, and for an id that does not exist", async () => {
    const args = await created();
    assert.deepEqual(await change(args, { name: "x" }, { p_user_id: randomUUID() }), { outcome: "unknown" });
    assert.deepEqual(await change(args, { name: "x" }, { p_id: randomUUID() }), { outcome: "unknown" });
    assert.equal(await name(args), "My Project");
  });

  test("change_integration rejects unknown fields and values out of bounds", async () => {
    const args = await created();
    for (const changes of [
      { config: {} }, { status: "active" }, { name: "" }, { name: null }, { name: "x".repeat(201) }, { scan_schedule: "x".repeat(201) },
      [], null,
    ]) {
      await assert.rejects(change(args, changes && owner.json(changes)), { code: "22023" }, JSON.stringify(changes));
    }
  });
});

describe("credentials of an account that arrive late", () => {
  const again = (args, over) => call(service, "complete_connection", { ...args, p_config: config(KID.b), ...over });
  const at = (seconds) => new Date(Date.now() + seconds * 1000);

  test("credentials of an account that arrive late do not replace what the user gave afterwards", async () => {
    const args = await created({ p_granted_at: at(-60) });
    assert.equal((await again(args, { p_granted_at: at(-30) })).outcome, "updated");
    const before = await find(args.p_id);
    assert.deepEqual(await again(args, { p_granted_at: at(-40), p_config: args.p_config }), { outcome: "outdated" });
    const named = { p_custom_name: `name ${randomUUID()}`, p_granted_at: at(-40) };
    assert.deepEqual(await call(service, "connect_named", { ...args, ...named }), { outcome: "outdated" });
    assert.deepEqual(await find(args.p_id), before);
    assert.deepEqual(await again(args, { p_granted_at: at(-31), p_config: args.p_config }), { outcome: "updated", id: args.p_id }, "at the same time");
  });

  test("credentials of an account that arrive late do not replace a newer grant, and stay pending so that they are revoked", async () => {
    const args = await created();
    const grant = pending({ p_user_id: args.p_user_id, p_organization_id: args.p_organization_id });
    await addPending(service, { ...grant, p_accounts: null });
    await owner`update public.pending_connections set created_at = now() - interval '1 minute' where id = ${grant.p_id}`;
    assert.deepEqual(await again(args, { p_pending_id: grant.p_id }), { outcome: "outdated" });
    assert.equal((await owner`select from public.pending_connections where id = ${grant.p_id}`).length, 1);
    assert.deepEqual((await find(args.p_id)).config, args.p_config);
  });
});

describe("reconnect", () => {
  const begin = (args, over = {}) =>
    call(service, "begin_connection", {
      ...beginning({ p_user_id: args.p_user_id, p_organization_id: args.p_organization_id }), p_integration_id: args.p_id, ...over,
    });

  test("a reconnection names its integration and account when it is consumed, and null once the integration is gone", async () => {
    const args = await created({ p_external_account_id: "one" });
    const consumed = async () => {
      const flow = { ...beginning({ p_user_id: args.p_user_id }), p_integration_id: args.p_id };
      assert.deepEqual(await call(service, "begin_connection", flow), { outcome: "begun" });
      return async () => {
        const { p_state_hash, p_binding_hash, p_user_id } = flow;
        const answer = await call(service, "consume_transaction", { p_state_hash, p_binding_hash, p_user_id });
        return [answer.outcome, answer.integration_id, answer.account_id];
      };
    };
    const [now, later] = [await consumed(), await consumed()];
    assert.deepEqual(await now(), ["consumed", args.p_id, "one"]);
    await owner`delete from public.integrations where id = ${args.p_id}`;
    assert.deepEqual(await later(), ["consumed", args.p_id, null]);
  });

  test("a reconnection is not started for an integration that does not exist, of another type, or of another organization", async () => {
    const args = await created();
    for (const over of [{ p_integration_id: randomUUID() }, { p_integration_type: "github" }]) {
      assert.deepEqual(await begin(args, over), { outcome: "unknown" });
    }
    const user = randomUUID();
    assert.deepEqual(await begin(args, { p_user_id: user, p_organization_id: user }), { outcome: "unknown" });
    assert.deepEqual(await begin(args, { p_user_id: user }), { outcome: "not_a_member" });
  });

  test("a reconnection is not started when no account can fit", async () => {
    const user = randomUUID();
    const legacy = async (value) => ({
      p_id: await insertIntegration(owner, { organization_id: user, config: owner.json(value) }), p_user_id: user, p_organization_id: user,
    });
    for (const value of [config(null), config(null, { project_id: 7 }), [], "x"]) {
      assert.deepEqual(await begin(await legacy(value)), { outcome: "no_account" }, JSON.stringify(value));
    }
    const alone = await legacy(config(null, { project_id: "one" }));
    assert.deepEqual(await begin(alone), { outcome: "begun" });
    await created({ p_user_id: user, p_external_account_id: "one" });
    assert.deepEqual(await begin(alone), { outcome: "no_account" });
  });

  test("a reconnection writes only its own row, and only for its own account", async () => {
    const user = randomUUID();
    const one = await created({ p_user_id: user, p_external_account_id: "one" });
    const two = await created({ p_user_id: user, p_external_account_id: "two" });
    const [first, second] = [await find(one.p_id), await find(two.p_id)];
    const renewed = { ...two, p_config: config(KID.b), p_reconnect: true };
    for (const p_external_account_id of ["one", "three"]) {
      assert.equal((await connect({ ...renewed, p_external_account_id })).outcome, "mismatch");
    }
    assert.deepEqual([await find(one.p_id), await find(two.p_id)], [first, second]);
    assert.equal((await connect(renewed)).outcome, "updated");
    assert.deepEqual([await find(one.p_id), (await find(two.p_id)).config], [first, renewed.p_config]);
    const [event] = await owner`
      select reason from public.credential_events where integration_id = ${two.p_id} and action = 'reconnected'`;
    assert.equal(event.reason, "requested");
  });

  test("a reconnection of a deleted integration creates nothing", async () => {
    const args = await created();
    await owner`delete from public.integrations where id = ${args.p_id}`;
    assert.equal((await connect({ ...args, p_reconnect: true })).outcome, "unknown");
    assert.equal(await find(args.p_id), undefined);
  });

  test("a reconnection gives a row whose account is only in its config that account, unless another row has it", async () => {
    const user = randomUUID();
    const organization = randomUUID();
    await addMember(owner, organization, user);
    const legacy = () =>
      insertIntegration(owner, { organization_id: organization, config: owner.json(config(null, { project_id: "one" })) });
    const reconnect = (p_id, p_external_account_id) =>
      connect({ p_id, p_user_id: user, p_organization_id: organization, p_external_account_id, p_reconnect: true });

    const id = await legacy();
    assert.equal((await reconnect(id, "other")).outcome, "mismatch");
    assert.equal((await reconnect(id, "one")).outcome, "updated");
    assert.equal((await find(id)).external_account_id, "one");
    const twin = await legacy();
    const before = await find(twin);
    assert.equal((await reconnect(twin, "one")).outcome, "mismatch");
    assert.deepEqual(await find(twin), before);
  });
});
