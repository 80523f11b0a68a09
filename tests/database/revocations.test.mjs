// A grant that ends is given up in the database first, then revoked at the provider; what fails is repeated (threat model 102, 103, 111).
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";

import {
  abandonment, addMember, addPending, call, completion, config, disconnection, insertIntegration, KID, pending, startServer,
} from "./support.mjs";

let server, owner, service;
before(async () => {
  server = await startServer();
  ({ owner, service } = await server.createProject());
});
after(() => server?.stop());
afterEach(() => owner`delete from private.pending_revocations`);

const connected = async (over) => {
  const args = completion(over);
  assert.equal((await call(service, "complete_connection", args)).outcome, "created");
  return args;
};
const queued = async () => [
  ...(await owner`select sealed_for, config, reason, owner, attempts from private.pending_revocations order by created_at, id`),
];
const trail = async (id) => [
  ...(await owner`
    select action, outcome, reason from public.credential_events
    where integration_id = ${id} and action in ('disconnected', 'revoked') order by id`),
];
const claim = async (over = {}) => {
  const args = { p_owner: randomUUID(), p_limit: 100, p_types: ["supabase"], p_wide_types: [], p_request_id: "r", ...over };
  const { claims } = await call(service, "claim_revocations", args);
  return claims.map((row) => ({ ...row, config: JSON.parse(row.config), owner: args.p_owner }));
};
const settle = ({ id, owner: p_owner }, p_result) =>
  call(service, "settle_revocation", { p_id: id, p_owner, p_result, p_request_id: "r" });
const dueNow = () => owner`update private.pending_revocations set next_attempt_at = now(), owner = null, leased_until = null`;

describe("disconnect_integration", () => {
  test("disconnect_integration deletes the row and leases the revocation of its credential, in one transaction", async () => {
    const args = await connected();
    const asked = disconnection(args);
    const { outcome, revocation, earlier_grant, shared } = await call(service, "disconnect_integration", asked);
    assert.deepEqual([outcome, earlier_grant, shared], ["disconnected", false, []]);
    assert.deepEqual(
      { ...revocation, id: undefined, config: JSON.parse(revocation.config) },
      {
        id: undefined, organization_id: args.p_organization_id, sealed_for: args.p_id, integration_type: "supabase", config: args.p_config,
      },
    );
    assert.equal((await owner`select from public.integrations where id = ${args.p_id}`).length, 0);
    assert.deepEqual(await claim(), [], "the caller has the lease");
    assert.deepEqual(await settle({ id: revocation.id, owner: asked.p_owner }, "revoked"), { outcome: "settled" });
    assert.deepEqual(await queued(), []);
    assert.deepEqual(await trail(args.p_id), [
      { action: "disconnected", outcome: "succeeded", reason: null },
      { action: "revoked", outcome: "succeeded", reason: "disconnected" },
    ]);
  });

  test("disconnect_integration revokes the newest credential if a refreshed one waits to be written", async () => {
    const args = await connected();
    const fresh = config(KID.c);
    await owner`insert into public.credential_leases (integration_id, journal) values (${args.p_id}, ${owner.json(fresh)})`;
    const { revocation } = await call(service, "disconnect_integration", disconnection(args));
    assert.deepEqual(JSON.parse(revocation.config), fresh);
    assert.equal((await owner`select from public.credential_leases where integration_id = ${args.p_id}`).length, 0);
  });

  test("disconnect_integration deletes a row whatever its config holds", async () => {
    const deep = "[".repeat(200) + "]".repeat(200);
    for (const value of ['{"x": 1e400}', deep, '"text"', "null", "7"]) {
      const user = randomUUID();
      const [{ id }] = await owner.unsafe(
        `insert into public.integrations (organization_id, integration_type, name, config)
         values ('${user}', 'supabase', 'n', '${value}') returning id`,
      );
      const { outcome, revocation } = await call(service, "disconnect_integration", disconnection({ p_id: id, p_user_id: user }));
      assert.equal(outcome, "disconnected", value);
      assert.equal(typeof revocation.config, "string", value);
    }
  });

  test("disconnect_integration answers unknown to a stranger and the second time, and nothing happens", async () => {
    const args = await connected();
    const stranger = disconnection({ ...args, p_user_id: randomUUID() });
    assert.deepEqual(await call(service, "disconnect_integration", stranger), { outcome: "unknown" });
    assert.equal((await owner`select from public.integrations where id = ${args.p_id}`).length, 1);
    assert.deepEqual(await queued(), []);
    await call(service, "disconnect_integration", disconnection(args));
    assert.deepEqual(await call(service, "disconnect_integration", disconnection(args)), { outcome: "unknown" });
  });

  test("disconnect_integration names the integrations that share the grant, and says which of them the caller may see", async () => {
    const account = { p_external_account_id: `account ${randomUUID()}`, p_integration_type: "google" };
    const [own, user] = [randomUUID(), randomUUID()];
    await addMember(owner, own, user);
    const args = await connected({ ...account, p_user_id: user });
    const visible = await connected({ ...account, p_user_id: user, p_organization_id: own });
    const hidden = await connected(account);
    const { shared } = await call(service, "disconnect_integration", disconnection(args, { p_wide_types: ["google"] }));
    assert.deepEqual(new Set(shared.map(({ id, visible: seen }) => `${id} ${seen}`)), new Set([`${visible.p_id} true`, `${hidden.p_id} false`]));
    const narrow = await call(service, "disconnect_integration", disconnection(hidden));
    assert.deepEqual(narrow.shared, [], "where a revocation ends one token");
  });
});

describe("complete_connection", () => {
  const again = (args, over) =>
    call(service, "complete_connection", { ...args, p_config: config(KID.b), ...over });

  test("complete_connection queues the replaced grant for revocation where the provider keeps grants apart", async () => {
    const args = await connected();
    assert.equal((await again(args, { p_second_grant: "separate" })).outcome, "updated");
    assert.deepEqual(await queued(), [{ sealed_for: args.p_id, config: args.p_config, reason: "replaced", owner: null, attempts: 0 }]);
    const { earlier_grant } = await call(service, "disconnect_integration", disconnection(args));
    assert.equal(earlier_grant, false);
  });

  test("complete_connection queues what a refresh of the replaced grant returns afterwards, and waits for it", async () => {
    const args = await connected();
    const p_owner = randomUUID();
    const { generation } = await call(service, "claim_refresh", { p_id: args.p_id, p_owner });
    assert.equal((await again(args, { p_second_grant: "separate" })).outcome, "updated");
    assert.deepEqual(await claim(), [], "the refresh has not returned");
    const refreshed = config(KID.a, { access_token: "d.e.f" });
    const results = service.json([{ id: args.p_id, generation, config: refreshed }]);
    for (const attempt of ["first", "repeated"]) {
      const { ends } = await call(service, "settle_refreshes", { p_owner, p_results: results });
      assert.equal(ends[args.p_id], "changed", attempt);
      assert.deepEqual((await queued()).map((row) => [row.sealed_for, row.config]), [[args.p_id, refreshed]], attempt);
    }
    assert.deepEqual((await claim()).map((row) => row.config), [refreshed]);
  });

  test("complete_connection has the replaced grant revoked although its refresh never returns", async () => {
    const args = await connected();
    await call(service, "claim_refresh", { p_id: args.p_id, p_owner: randomUUID() });
    await again(args, { p_second_grant: "separate" });
    await owner`update private.pending_revocations set next_attempt_at = next_attempt_at - interval '91 seconds'`;
    assert.deepEqual((await claim()).map((row) => row.config), [args.p_config]);
  });

  test("complete_connection remembers that an earlier grant may exist where nobody knows what the provider does", async () => {
    const [unknown, replaced] = [await connected(), await connected()];
    await again(unknown, {});
    await again(replaced, { p_second_grant: "replaces" });
    assert.deepEqual(await queued(), []);
    assert.equal((await call(service, "disconnect_integration", disconnection(unknown))).earlier_grant, true);
    assert.equal((await call(service, "disconnect_integration", disconnection(replaced))).earlier_grant, false);
  });

  test("complete_connection answers the same row when it is repeated after a lost answer", async () => {
    const grant = pending();
    await addPending(service, { ...grant, p_accounts: null });
    const args = completion({ p_user_id: grant.p_user_id, p_pending_id: grant.p_id });
    assert.equal((await call(service, "complete_connection", args)).outcome, "created");
    assert.deepEqual(await call(service, "complete_connection", args), { outcome: "updated", id: args.p_id });
    assert.deepEqual(await queued(), []);
  });

  test("complete_connection writes nothing after the grant was given up", async () => {
    const grant = pending();
    await addPending(service, { ...grant, p_accounts: null });
    assert.equal((await call(service, "abandon_connection", abandonment(grant))).outcome, "abandoned");
    const late = completion({ p_user_id: grant.p_user_id, p_pending_id: grant.p_id });
    assert.deepEqual(await call(service, "complete_connection", late), { outcome: "unknown" });
    assert.equal((await owner`select from public.integrations where id = ${late.p_id}`).length, 0);
  });

  test("complete_connection wins against a later attempt to give the grant up", async () => {
    const grant = pending();
    await addPending(service, { ...grant, p_accounts: null });
    await call(service, "complete_connection", completion({ p_user_id: grant.p_user_id, p_pending_id: grant.p_id }));
    assert.deepEqual(await call(service, "abandon_connection", abandonment(grant)), { outcome: "unknown" });
    assert.deepEqual(await queued(), []);
  });
});

describe("add_pending_connection", () => {
  for (const [what, ending] of [
    ["stored", (grant) => call(service, "complete_connection", completion({ p_user_id: grant.p_user_id, p_pending_id: grant.p_id }))],
    ["given up", (grant) => call(service, "abandon_connection", abandonment(grant))],
  ]) {
    test(`add_pending_connection writes nothing when it arrives after its repetition, once the grant was ${what}`, async () => {
      const { p_accounts: _, ...grant } = pending();
      await call(service, "add_pending_connection", grant);
      await ending(grant);
      await owner`delete from private.pending_revocations`;
      await call(service, "add_pending_connection", grant);
      assert.equal((await owner`select from public.pending_connections where id = ${grant.p_id}`).length, 0);
      await owner`update public.pending_connections set expires_at = now() - interval '1 second'`;
      assert.deepEqual(await claim(), []);
    });
  }
});

describe("abandon_connection", () => {
  test("abandon_connection keeps a grant that another integration of the account uses, where a revocation would end that too", async () => {
    const p_external_account_id = `account ${randomUUID()}`;
    await connected({ p_external_account_id });
    const grant = pending();
    await addPending(service, { ...grant, p_accounts: null });
    const asked = abandonment(grant, { p_external_account_id, p_wide: true });
    assert.deepEqual(await call(service, "abandon_connection", asked), { outcome: "kept" });
    assert.deepEqual(await queued(), []);
    assert.deepEqual(await trail(grant.p_id), [{ action: "revoked", outcome: "kept", reason: "abandoned" }]);
  });

  test("abandon_connection keeps a grant of an unknown account if the user has connected another one", async () => {
    const { p_user_id } = await connected();
    const grant = pending({ p_user_id });
    await addPending(service, { ...grant, p_accounts: null });
    assert.deepEqual(await call(service, "abandon_connection", abandonment(grant, { p_wide: true })), { outcome: "kept" });
  });

  test("abandon_connection queues the grant where a revocation ends this grant alone", async () => {
    const { p_user_id, p_external_account_id } = await connected();
    const grant = pending({ p_user_id });
    await addPending(service, { ...grant, p_accounts: null });
    const answer = await call(service, "abandon_connection", abandonment(grant, { p_external_account_id }));
    assert.equal(answer.outcome, "abandoned");
  });
});

describe("claim_revocations", () => {
  const expired = async (over, columns = {}) => {
    const grant = pending(over);
    await addPending(service, { ...grant, ...columns });
    await owner`update public.pending_connections set expires_at = now() where id = ${grant.p_id}`;
    return grant;
  };

  test("claim_revocations takes over expired grants that nobody stored or chose from", async () => {
    const [stored, chosen] = [await expired({}, { p_accounts: null }), await expired({})];
    const claims = await claim();
    assert.deepEqual(new Set(claims.map(({ id }) => id)), new Set([stored.p_id, chosen.p_id]));
    const reasons = Object.fromEntries((await queued()).map(({ sealed_for, reason }) => [sealed_for, reason]));
    assert.deepEqual(reasons, { [stored.p_id]: "abandoned", [chosen.p_id]: "expired" });
    assert.deepEqual(await claim(), [], "leased");
  });

  test("claim_revocations retries a failed revocation ever more seldom, and gives up after a day", async () => {
    const grant = await expired();
    let seconds = 0;
    for (let attempt = 1; attempt <= 3; attempt++) {
      const [mine] = await claim();
      assert.deepEqual(await settle(mine, "failed"), { outcome: "settled" });
      assert.deepEqual(await claim(), [], "not at once");
      const [{ wait, attempts }] = await owner`
        select extract(epoch from next_attempt_at - now())::int as wait, attempts from private.pending_revocations`;
      assert.equal(attempts, attempt);
      assert.ok(wait > seconds && wait <= 3600, `${wait} s after ${seconds} s`);
      seconds = wait;
      await dueNow();
    }
    await owner`update private.pending_revocations set give_up_at = now()`;
    assert.deepEqual(await claim(), []);
    assert.deepEqual(await queued(), []);
    assert.deepEqual(await trail(grant.p_id), [{ action: "revoked", outcome: "failed", reason: "expired" }]);
  });

  test("a revocation is settled only by the owner of its lease", async () => {
    await expired();
    const [mine] = await claim();
    assert.deepEqual(await settle({ ...mine, owner: randomUUID() }, "revoked"), { outcome: "unknown" });
    assert.deepEqual(await settle(mine, "unsupported"), { outcome: "settled" });
    assert.deepEqual(await settle(mine, "revoked"), { outcome: "unknown" });
  });

  test("claim_revocations keeps a grant that another integration uses by now", async () => {
    const grant = await expired();
    await connected({ p_user_id: grant.p_user_id });
    assert.deepEqual(await claim({ p_wide_types: ["supabase"] }), []);
    assert.deepEqual(await trail(grant.p_id), [{ action: "revoked", outcome: "kept", reason: "expired" }]);
  });

  test("claim_revocations takes turns between organizations", async () => {
    const many = randomUUID();
    for (let i = 0; i < 5; i++) await expired({ p_user_id: many });
    const one = await expired();
    const claims = await claim({ p_limit: 2 });
    assert.deepEqual(new Set(claims.map(({ organization_id }) => organization_id)), new Set([many, one.p_user_id]));
  });

  test("claim_revocations leaves the types that are not configured", async () => {
    await expired({ p_integration_type: "gitlab" });
    assert.deepEqual(await claim(), []);
    assert.equal((await queued()).length, 1);
  });

  test("claim_revocations takes the tokens of a refresh that returns after its integration was deleted, once", async () => {
    const args = await connected();
    const p_owner = randomUUID();
    const { generation } = await call(service, "claim_refresh", { p_id: args.p_id, p_owner, p_read: false });
    await call(service, "disconnect_integration", disconnection(args));
    const fresh = config(KID.a, { access_token: "bmV3.bmV3.bmV3" });
    const result = { id: args.p_id, generation, config: fresh, organization_id: args.p_organization_id, integration_type: "supabase" };
    for (const _ of [1, 2]) {
      const { ends } = await call(service, "settle_refreshes", { p_owner, p_results: [result] });
      assert.equal(ends[args.p_id], "gone");
    }
    const late = (await queued()).filter(({ reason }) => reason === "late");
    assert.deepEqual(late, [{ sealed_for: args.p_id, config: fresh, reason: "late", owner: null, attempts: 0 }]);
    // A revocation of all that the user has granted must not end what the same user has connected beside it.
    const [of] = await owner`select user_id, external_account_id from private.pending_revocations where reason = 'late' and sealed_for = ${args.p_id}`;
    assert.deepEqual({ ...of }, { user_id: args.p_user_id, external_account_id: args.p_external_account_id });
  });
});

test("an older writer's row without an account is not taken for a shared grant", async () => {
  await insertIntegration(owner, { integration_type: "gitlab" });
  const grant = pending({ p_integration_type: "gitlab" });
  await addPending(service, { ...grant, p_accounts: null });
  const asked = abandonment(grant, { p_external_account_id: "another", p_wide: true });
  assert.equal((await call(service, "abandon_connection", asked)).outcome, "abandoned");
});
