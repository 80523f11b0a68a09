// Every outcome of the functions that the worker calls.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { abandonment, addMember, addPending, beginning, call, completion, config, disconnection, insertIntegration, KID, pending, startServer } from "./support.mjs";

let server, owner, service;
before(async () => {
  server = await startServer();
  ({ owner, service } = await server.createProject());
});
after(() => server?.stop());

const consumption = ({ p_state_hash, p_binding_hash, p_user_id }) => ({ p_state_hash, p_binding_hash, p_user_id });
// Results as plain arrays, to be compared with such.
const transactions = async (id) => [...(await owner`select * from public.oauth_transactions where id = ${id}`)];
const stored = async (id) => [...(await owner`select * from public.pending_connections where id = ${id}`)];
const integrations = async (organization) => [
  ...(await owner`select * from public.integrations where organization_id = ${organization} order by id`),
];
const events = async (organization) => [
  ...(await owner`select * from public.credential_events where organization_id = ${organization} order by id`),
];

describe("begin_connection", () => {
  test("begin_connection starts a transaction of ten minutes for the user's own organization", async () => {
    const args = beginning();
    assert.deepEqual(await call(service, "begin_connection", args), { outcome: "begun" });
    const [row] = await transactions(args.p_id);
    assert.equal(row.state_hash, args.p_state_hash);
    assert.equal(row.expires_at - row.created_at, 600_000);
  });

  test("begin_connection starts a transaction for an organization that the user is a member of", async () => {
    const args = beginning({ p_organization_id: randomUUID() });
    await addMember(owner, args.p_organization_id, args.p_user_id);
    assert.deepEqual(await call(service, "begin_connection", args), { outcome: "begun" });
  });

  test("begin_connection answers not_a_member for another organization and for one that does not exist", async () => {
    for (const p_organization_id of [randomUUID(), null]) {
      const args = beginning({ p_organization_id });
      assert.deepEqual(await call(service, "begin_connection", args), { outcome: "not_a_member" });
      assert.equal((await transactions(args.p_id)).length, 0);
    }
  });

  test("begin_connection answers not_a_member without a user", async () => {
    const args = beginning({ p_user_id: null, p_organization_id: null });
    assert.deepEqual(await call(service, "begin_connection", { ...args, p_user_id: null }), { outcome: "not_a_member" });
  });

  test("begin_connection answers too_many from a user's 51st open transaction on; an expired one makes room", async () => {
    const user = randomUUID();
    const begin = (args = beginning({ p_user_id: user })) => call(service, "begin_connection", args);
    const first = beginning({ p_user_id: user });
    await begin(first);
    for (let i = 1; i < 50; i++) assert.deepEqual(await begin(), { outcome: "begun" });
    assert.deepEqual(await begin(), { outcome: "too_many" });
    assert.deepEqual(await call(service, "begin_connection", beginning()), { outcome: "begun" }, "another user is not concerned");
    await owner`update public.oauth_transactions set expires_at = now() where id = ${first.p_id}`;
    assert.deepEqual(await begin(), { outcome: "begun" });
  });

  test("begin_connection answers too_many from an organization's 501st open transaction on, whoever starts it", async () => {
    const organization = randomUUID();
    const users = Array.from({ length: 11 }, () => randomUUID());
    for (const user of users) await addMember(owner, organization, user);
    const begin = (p_user_id) => call(service, "begin_connection", beginning({ p_user_id, p_organization_id: organization }));
    for (const user of users.slice(0, 10)) {
      for (let i = 0; i < 50; i++) assert.deepEqual(await begin(user), { outcome: "begun" });
    }
    assert.deepEqual(await begin(users[10]), { outcome: "too_many" });
    await owner`delete from public.oauth_transactions where user_id = ${users[0]}`;
    assert.deepEqual(await begin(users[10]), { outcome: "begun" });
  });

  test("a value out of bounds is rejected", async () => {
    const long = (length) => "x".repeat(length);
    for (const over of [
      { p_state_hash: long(129) },
      { p_state_hash: "" },
      { p_state_hash: null },
      { p_binding_hash: long(129) },
      { p_integration_type: long(65) },
      { p_issuer: long(513) },
      { p_redirect_uri: long(2049) },
      { p_verifier: { x: long(4096) } },
      { p_return_to: long(2049) },
    ]) {
      await assert.rejects(call(service, "begin_connection", beginning(over)), { code: /^23(514|502)$/ }, Object.keys(over)[0]);
    }
  });
});

describe("consume_transaction", () => {
  const begin = async (over) => {
    const args = beginning(over);
    assert.deepEqual(await call(service, "begin_connection", args), { outcome: "begun" });
    return args;
  };

  test("consume_transaction consumes a transaction once, and then answers unknown", async () => {
    const args = await begin();
    assert.deepEqual(await call(service, "consume_transaction", consumption(args)), {
      outcome: "consumed",
      id: args.p_id,
      organization_id: args.p_organization_id,
      integration_type: args.p_integration_type,
      issuer: args.p_issuer,
      redirect_uri: args.p_redirect_uri,
      verifier: args.p_verifier,
      return_to: args.p_return_to,
      connect_session: null,
      integration_id: null,
      account_id: null,
    });
    assert.equal((await transactions(args.p_id)).length, 0);
    assert.deepEqual(await call(service, "consume_transaction", consumption(args)), { outcome: "unknown" });
  });

  test("consume_transaction answers foreign to another binding or user, and the owner can still use the transaction", async () => {
    const args = await begin();
    for (const over of [{ p_binding_hash: "other" }, { p_user_id: randomUUID() }, { p_binding_hash: null }, { p_user_id: null }]) {
      assert.deepEqual(await call(service, "consume_transaction", { ...consumption(args), ...over }), { outcome: "foreign" });
    }
    assert.equal((await call(service, "consume_transaction", consumption(args))).outcome, "consumed");
  });

  test("consume_transaction answers unknown for a made-up, an empty and a missing state", async () => {
    for (const p_state_hash of ["never", "", null]) {
      const args = { ...consumption(beginning()), p_state_hash };
      assert.deepEqual(await call(service, "consume_transaction", args), { outcome: "unknown" });
    }
  });

  test("consume_transaction answers unknown for an expired transaction, also to a stranger", async () => {
    const args = await begin();
    await owner`update public.oauth_transactions set expires_at = now() - interval '1 second' where id = ${args.p_id}`;
    assert.deepEqual(await call(service, "consume_transaction", consumption(args)), { outcome: "unknown" });
    const stranger = { ...consumption(args), p_user_id: randomUUID() };
    assert.deepEqual(await call(service, "consume_transaction", stranger), { outcome: "unknown" });
  });

  test("consume_transaction answers not_a_member after the membership has ended, and the transaction is used up", async () => {
    const organization = randomUUID();
    const user = randomUUID();
    await addMember(owner, organization, user);
    const args = await begin({ p_user_id: user, p_organization_id: organization });
    await owner`delete from public.organization_members where user_id = ${user}`;
    assert.deepEqual(await call(service, "consume_transaction", consumption(args)), { outcome: "not_a_member" });
    assert.deepEqual(await call(service, "consume_transaction", consumption(args)), { outcome: "unknown" });
  });
});

describe("complete_connection", () => {
  test("a completion that arrives after the disconnection brings nothing back", async () => {
    const args = completion({ p_pending_id: null });
    await call(service, "complete_connection", args);
    await call(service, "disconnect_integration", disconnection({ p_id: args.p_id, p_user_id: args.p_user_id }));
    assert.deepEqual(await call(service, "complete_connection", args), { outcome: "unknown" });
    assert.deepEqual(await integrations(args.p_organization_id), []);
  });

  test("complete_connection creates an active row under the given id, and an event", async () => {
    const args = completion();
    assert.deepEqual(await call(service, "complete_connection", args), { outcome: "created", id: args.p_id });
    const [row] = await integrations(args.p_organization_id);
    assert.equal(row.id, args.p_id);
    assert.equal(row.integration_type, "supabase");
    assert.equal(row.external_account_id, args.p_external_account_id);
    assert.equal(row.name, args.p_name);
    assert.equal(row.status, "active");
    assert.deepEqual(row.config, args.p_config);
    const [event, ...rest] = await events(args.p_organization_id);
    assert.deepEqual(rest, []);
    assert.ok(Date.now() - event.occurred_at < 60_000);
    assert.deepEqual(
      { ...event, id: 0, occurred_at: 0, transaction_id: "0" },
      {
        id: 0,
        occurred_at: 0,
        transaction_id: "0",
        user_id: args.p_user_id,
        organization_id: args.p_organization_id,
        integration_id: args.p_id,
        integration_type: "supabase",
        external_account_id: args.p_external_account_id,
        action: "connected",
        outcome: "succeeded",
        reason: null,
        request_id: "request 1",
        actor: "user",
        details: null,
      },
    );
  });

  test("complete_connection answers exists and writes nothing if the account has another id, and updates with that id", async () => {
    const first = completion();
    await call(service, "complete_connection", first);
    await owner`update public.integrations set status = 'error' where id = ${first.p_id}`;
    const [before] = await integrations(first.p_organization_id);

    const again = { ...first, p_id: randomUUID(), p_name: "Renamed", p_config: config(KID.b), p_request_id: "request 2" };
    assert.deepEqual(await call(service, "complete_connection", again), { outcome: "exists", id: first.p_id });
    assert.deepEqual(await integrations(first.p_organization_id), [before]);
    assert.equal((await events(first.p_organization_id)).length, 1);

    again.p_id = first.p_id;
    assert.deepEqual(await call(service, "complete_connection", again), { outcome: "updated", id: first.p_id });
    const [row, ...others] = await integrations(first.p_organization_id);
    assert.deepEqual(others, []);
    assert.deepEqual([row.name, row.status, row.config], ["Renamed", "active", config(KID.b)]);
    assert.deepEqual(row.created_at, before.created_at);
    assert.ok(row.updated_at > before.updated_at);
    assert.deepEqual((await events(first.p_organization_id)).map((event) => event.action), ["connected", "reconnected"]);
  });

  test("complete_connection creates a row for each account, type and organization", async () => {
    const first = completion();
    await call(service, "complete_connection", first);
    const other = randomUUID();
    await addMember(owner, other, first.p_user_id);
    for (const over of [
      { p_external_account_id: "another" },
      { p_integration_type: "github" },
      { p_organization_id: other },
    ]) {
      const args = { ...first, ...over, p_id: randomUUID() };
      assert.deepEqual(await call(service, "complete_connection", args), { outcome: "created", id: args.p_id });
    }
  });

  test("complete_connection answers unknown for the id of another integration, which is left as it was", async () => {
    const user = randomUUID();
    const theirs = completion({ p_external_account_id: "theirs" });
    const ours = completion({ p_user_id: user, p_external_account_id: "ours" });
    await call(service, "complete_connection", theirs);
    await call(service, "complete_connection", ours);
    const before = [await integrations(theirs.p_user_id), await integrations(user)];
    const unknown = { outcome: "unknown" };
    for (const [over, expected] of [
      [{ p_id: theirs.p_id, p_external_account_id: "theirs" }, unknown],
      [{ p_id: theirs.p_id, p_external_account_id: "another" }, unknown],
      // The account is the user's own row, which is named before the stranger's id is looked at.
      [{ p_id: theirs.p_id, p_external_account_id: "ours" }, { outcome: "exists", id: ours.p_id }],
      [{ p_id: ours.p_id, p_external_account_id: "ours", p_integration_type: "github" }, unknown],
      [{ p_id: ours.p_id, p_external_account_id: "another" }, unknown],
    ]) {
      const answer = await call(service, "complete_connection", completion({ p_user_id: user, p_config: config(KID.b), ...over }));
      assert.deepEqual(answer, expected, JSON.stringify(over));
    }
    assert.deepEqual([await integrations(theirs.p_user_id), await integrations(user)], before);
    assert.equal((await events(user)).length, 1);
  });

  test("complete_connection gives a row that an older version wrote its account", async () => {
    const user = randomUUID();
    const id = await insertIntegration(service, { organization_id: user });
    const answer = await call(service, "complete_connection", completion({ p_id: id, p_user_id: user }));
    assert.deepEqual(answer, { outcome: "updated", id });
    const [row] = await integrations(user);
    assert.equal(row.external_account_id, "abcdefghijklmnopqrst");
  });

  test("complete_connection writes nothing for a non-member", async () => {
    const args = completion({ p_organization_id: randomUUID() });
    assert.deepEqual(await call(service, "complete_connection", args), { outcome: "not_a_member" });
    assert.deepEqual(await integrations(args.p_organization_id), []);
    assert.deepEqual(await events(args.p_organization_id), []);
  });

  test("a value out of bounds is rejected", async () => {
    for (const over of [
      { p_integration_type: "" },
      { p_integration_type: null },
      { p_external_account_id: null },
      { p_external_account_id: "" },
      { p_external_account_id: "x".repeat(201) },
      { p_name: "" },
      { p_name: null },
      { p_name: "x".repeat(201) },
      { p_config: [] },
      { p_config: null },
      { p_config: { x: "x".repeat(262_144) } },
      { p_request_id: "x".repeat(201) },
    ]) {
      const args = completion(over);
      await assert.rejects(call(service, "complete_connection", args), { code: /^(22023|23514|23502)$/ }, JSON.stringify(over).slice(0, 60));
      assert.deepEqual(await integrations(args.p_organization_id), []);
      assert.deepEqual(await events(args.p_organization_id), []);
    }
  });
});

describe("a grant over several accounts", () => {
  const ask = ({ p_id, p_user_id }) => ({ p_id, p_user_id });
  const add = async (over) => {
    const args = pending(over);
    assert.deepEqual(await addPending(service, args), { outcome: "waiting" });
    return args;
  };

  test("a pending grant is read by its user alone, for ten minutes", async () => {
    const args = await add();
    const { expires_at, ...answer } = await call(service, "pending_connection", ask(args));
    assert.deepEqual(answer, {
      outcome: "waiting",
      organization_id: args.p_organization_id,
      integration_type: "supabase",
      config: args.p_config,
      accounts: args.p_accounts,
      return_to: "/after",
    });
    assert.ok(Math.abs(Date.parse(expires_at) - Date.now() - 600_000) < 60_000, expires_at);
    assert.deepEqual(await call(service, "pending_connection", { ...ask(args), p_user_id: randomUUID() }), { outcome: "unknown" });
    assert.deepEqual(await call(service, "pending_connection", { ...ask(args), p_id: randomUUID() }), { outcome: "unknown" });
  });

  test("a pending grant offers a non-member nothing, and is not read once the membership has ended", async () => {
    const args = pending({ p_organization_id: randomUUID() });
    assert.deepEqual(await addPending(service, args), { outcome: "not_a_member" });
    assert.equal((await stored(args.p_id))[0].accounts, null);
    await addMember(owner, args.p_organization_id, args.p_user_id);
    await add(args);
    await owner`delete from public.organization_members where user_id = ${args.p_user_id}`;
    assert.deepEqual(await call(service, "pending_connection", ask(args)), { outcome: "unknown" });
  });

  test("completing a pending grant deletes it, and a second time answers unknown", async () => {
    const args = await add();
    const complete = (over) =>
      call(service, "complete_connection", completion({ p_user_id: args.p_user_id, p_pending_id: args.p_id, ...over }));
    assert.equal((await complete()).outcome, "created");
    assert.deepEqual(await stored(args.p_id), []);
    assert.deepEqual(await complete({ p_external_account_id: "another" }), { outcome: "unknown" });
    assert.equal((await integrations(args.p_user_id)).length, 1);
  });

  test("a pending grant stays for the second call when the first answers exists", async () => {
    const args = await add();
    const standing = completion({ p_user_id: args.p_user_id });
    await call(service, "complete_connection", standing);
    const complete = (p_id) => call(service, "complete_connection", { ...standing, p_id, p_pending_id: args.p_id });
    assert.deepEqual(await complete(randomUUID()), { outcome: "exists", id: standing.p_id });
    assert.equal((await stored(args.p_id)).length, 1);
    assert.deepEqual(await complete(standing.p_id), { outcome: "updated", id: standing.p_id });
    assert.deepEqual(await stored(args.p_id), []);
  });

  test("a pending grant of another user, organization or type is unknown", async () => {
    const args = await add();
    const organization = randomUUID();
    await addMember(owner, organization, args.p_user_id);
    for (const over of [
      { p_user_id: randomUUID() },
      { p_user_id: args.p_user_id, p_organization_id: organization },
      { p_user_id: args.p_user_id, p_integration_type: "github" },
    ]) {
      const answer = await call(service, "complete_connection", completion({ ...over, p_pending_id: args.p_id }));
      assert.deepEqual(answer, { outcome: "unknown" });
    }
    assert.equal((await stored(args.p_id)).length, 1);
  });

  test("a pending grant is given up by its user alone, once", async () => {
    const args = await add();
    assert.deepEqual(await call(service, "abandon_connection", abandonment({ ...args, p_user_id: randomUUID() })), { outcome: "unknown" });
    const abandoned = await call(service, "abandon_connection", abandonment(args));
    assert.equal(abandoned.outcome, "abandoned");
    assert.deepEqual(
      { ...abandoned.revocation, config: JSON.parse(abandoned.revocation.config) },
      { id: args.p_id, organization_id: args.p_organization_id, sealed_for: args.p_id, integration_type: "supabase", config: args.p_config },
    );
    assert.deepEqual(await call(service, "abandon_connection", abandonment(args)), { outcome: "unknown" });
  });

  test("an expired pending grant is unknown to its user, and is queued for revocation", async () => {
    const args = await add();
    await owner`update public.pending_connections set expires_at = now() where id = ${args.p_id}`;
    assert.deepEqual(await call(service, "pending_connection", ask(args)), { outcome: "unknown" });
    const complete = completion({ p_user_id: args.p_user_id, p_pending_id: args.p_id });
    assert.deepEqual(await call(service, "complete_connection", complete), { outcome: "unknown" });
    assert.equal((await stored(args.p_id)).length, 1);
    const claim = { p_owner: randomUUID(), p_limit: 100, p_types: ["supabase"], p_wide_types: [], p_request_id: "r" };
    const { claims } = await call(service, "claim_revocations", claim);
    assert.ok(claims.some(({ id }) => id === args.p_id));
    assert.deepEqual(await stored(args.p_id), []);
  });

  test("a value out of bounds is rejected", async () => {
    for (const over of [
      { p_integration_type: "x".repeat(65) },
      { p_config: [] },
      { p_config: { x: "x".repeat(262_144) } },
      { p_accounts: [] },
      { p_accounts: {} },
      { p_accounts: Array.from({ length: 1001 }, () => ({})) },
      { p_accounts: ["x".repeat(262_144)] },
      { p_return_to: "x".repeat(2049) },
    ]) {
      await assert.rejects(addPending(service, pending(over)), { code: "23514" }, JSON.stringify(over).slice(0, 60));
    }
  });
});
