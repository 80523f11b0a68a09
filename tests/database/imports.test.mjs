// Imports: what a service key may store, what it never touches, and that no grant of the source's is ever queued for revocation (threat model 251 to 253).
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { addMember, call, completion, config, disconnection, insertIntegration, KID, lockWait, startServer } from "./support.mjs";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());

const keyOf = async (p_organization_id, p_scopes = ["connections:import"]) => {
  const p_hash = createHash("sha256").update(randomUUID()).digest("hex");
  const args = { p_user_id: null, p_organization_id, p_name: "importer", p_prefix: "sik_abcd", p_hash, p_scopes };
  return (await call(service, "create_service_key", args)).service_key;
};
const importation = (over = {}) => ({
  p_id: randomUUID(), p_service_key: null, p_organization_id: randomUUID(), p_integration_type: "gitlab", p_external_account_id: "7", p_name: "jo",
  p_config: config(KID.a, { access_token: randomUUID() }), p_granted_at: new Date(), p_replace: false, p_is_grant: true, p_external_user_id: null,
  p_request_id: "r", ...over,
});
/** Arguments of an import into a new organization, with its own key. */
const ready = async (over = {}) => {
  const p_organization_id = randomUUID();
  return importation({ p_organization_id, p_service_key: (await keyOf(p_organization_id)).id, ...over });
};
const store = (args, sql = service) => call(sql, "import_connection", args);
const rows = async (organization) => [...(await owner`select * from public.integrations where organization_id = ${organization} order by created_at`)];
const events = async (organization) => [...(await owner`select * from public.credential_events where organization_id = ${organization} order by id`)];
/** Nothing waits to be stored or revoked. */
const assertNothingQueued = async (organization) => {
  const [{ pending, revocations }] = await owner`
    select (select count(*) from public.pending_connections where organization_id = ${organization})::int as pending,
      (select count(*) from private.pending_revocations where organization_id = ${organization})::int as revocations`;
  assert.deepEqual({ pending, revocations }, { pending: 0, revocations: 0 });
};

describe("import_connection", () => {
  test("creates the row with its external user, and an event that names the key", async () => {
    const args = await ready({ p_external_user_id: "customer 5" });
    assert.deepEqual(await store(args), { outcome: "created", id: args.p_id });
    const [row] = await rows(args.p_organization_id);
    assert.deepEqual(
      [row.id, row.external_account_id, row.external_user_id, row.status, row.config, row.may_have_earlier_grant],
      [args.p_id, "7", "customer 5", "active", args.p_config, false],
    );
    const [event, ...others] = await events(args.p_organization_id);
    assert.equal(others.length, 0);
    assert.deepEqual(
      [event.actor, event.user_id, event.action, event.reason, event.details],
      ["service_key", null, "connected", "import", { service_key: args.p_service_key, name: "importer" }],
    );
    await assertNothingQueued(args.p_organization_id);
  });

  test("repeats without a second row or event, and answers unknown once the row is deleted", async () => {
    const args = await ready();
    await store(args);
    assert.deepEqual(await store(args), { outcome: "created", id: args.p_id });
    assert.equal((await events(args.p_organization_id)).length, 1);
    const user = randomUUID();
    await addMember(owner, args.p_organization_id, user);
    await call(service, "disconnect_integration", disconnection({ p_id: args.p_id, p_user_id: user }));
    await owner`delete from private.pending_revocations where organization_id = ${args.p_organization_id}`;
    assert.deepEqual(await store(args), { outcome: "unknown" });
    assert.equal((await rows(args.p_organization_id)).length, 0);
  });

  test("does not touch an account that is connected, by whomever", async () => {
    const user = randomUUID();
    const connected = completion({ p_user_id: user, p_integration_type: "gitlab", p_external_account_id: "7" });
    await call(service, "complete_connection", connected);
    const before = await rows(user);
    const args = importation({ p_organization_id: user, p_service_key: (await keyOf(null)).id });
    assert.deepEqual(await store(args), { outcome: "already_connected" });
    assert.deepEqual(await store({ ...args, p_id: connected.p_id }), { outcome: "already_connected" });
    assert.deepEqual(await rows(user), before);
    await assertNothingQueued(user);
  });

  test("does not touch the row of an earlier application, which has its account in the config only", async () => {
    const args = await ready({ p_integration_type: "supabase", p_external_account_id: "abc123" });
    const id = await insertIntegration(service, { organization_id: args.p_organization_id });
    assert.deepEqual(await store(args), { outcome: "already_connected" });
    assert.deepEqual(await store({ ...args, p_replace: true }), { outcome: "exists", id });
    assert.deepEqual(await store({ ...args, p_id: id, p_replace: true }), { outcome: "updated", id });
    const [row, ...others] = await rows(args.p_organization_id);
    assert.deepEqual([row.external_account_id, others.length], ["abc123", 0]);
  });

  test("decides between two imports at the same time in the transaction: one is stored", async () => {
    const args = await ready();
    const [one, two] = [project.connect("authenticator", { role: "service_role" }), project.connect("authenticator", { role: "service_role" })];
    let later;
    const first = await one.begin(async (sql) => {
      const answer = await store(args, sql);
      later = store({ ...args, p_id: randomUUID() }, two);
      await lockWait(owner);
      return answer;
    });
    assert.deepEqual([first.outcome, (await later).outcome], ["created", "already_connected"]);
    assert.equal((await rows(args.p_organization_id)).length, 1);
  });

  test("replaces the credentials if asked to, and queues nothing for revocation: the two grants may be one", async () => {
    const args = await ready();
    await store(args);
    const again = { ...args, p_id: randomUUID(), p_config: config(KID.a, { access_token: "x.y.z" }), p_replace: true };
    assert.deepEqual(await store(again), { outcome: "exists", id: args.p_id });
    assert.deepEqual((await rows(args.p_organization_id))[0].config, args.p_config, "exists writes nothing");
    assert.deepEqual(await store({ ...again, p_id: args.p_id }), { outcome: "updated", id: args.p_id });
    const [row] = await rows(args.p_organization_id);
    assert.deepEqual([row.config, row.may_have_earlier_grant], [again.p_config, true]);
    const [, event] = await events(args.p_organization_id);
    assert.deepEqual([event.action, event.reason, event.details.name], ["reconnected", "import", "importer"]);
    await assertNothingQueued(args.p_organization_id);
  });

  test("does not touch an account that is connected with an organization's own app", async () => {
    const args = await ready();
    await store(args);
    const app = {
      p_id: randomUUID(), p_user_id: args.p_organization_id, p_organization_id: args.p_organization_id, p_integration_type: "gitlab", p_name: "Ours",
      p_client_id: "c", p_slug: null, p_config: { client_secret: "aXY=.dGFn.Y2lwaGVy", _enc: { v: 2, kid: KID.a } },
    };
    assert.equal((await call(service, "create_oauth_app", app)).outcome, "created");
    await owner`update public.integrations set oauth_app_id = ${app.p_id} where id = ${args.p_id}`;
    const before = await rows(args.p_organization_id);
    const again = { ...args, p_config: config(KID.a, { access_token: "x.y.z" }) };
    for (const p_replace of [false, true]) {
      for (const p_id of [args.p_id, randomUUID()]) assert.deepEqual(await store({ ...again, p_id, p_replace }), { outcome: "own_oauth_app" });
    }
    assert.deepEqual(await rows(args.p_organization_id), before);
    const { rows: exported } = await call(service, "export_integrations", { p_ids: [args.p_id] });
    assert.deepEqual([exported[args.p_id].oauth_app_id, exported[args.p_id].external_user_id], [app.p_id, null]);
  });

  test("replaces a key that a user entered without recording an earlier grant", async () => {
    const args = await ready({ p_is_grant: false });
    await store(args);
    const replaced = await store({ ...args, p_config: config(KID.a, { api_key: "x.y.z" }), p_replace: true });
    assert.equal(replaced.outcome, "updated");
    assert.equal((await rows(args.p_organization_id))[0].may_have_earlier_grant, false);
  });

  test("does not replace credentials that are newer than the import, or that are being refreshed", async () => {
    const args = await ready();
    await store(args);
    const replacing = { ...args, p_config: config(KID.a, { access_token: "x.y.z" }), p_replace: true };
    const earlier = { ...replacing, p_granted_at: new Date(Date.now() - 60_000) };
    assert.deepEqual(await store(earlier), { outcome: "outdated" });
    const p_owner = randomUUID();
    const claim = { p_id: args.p_id, p_owner, p_user_id: null, p_within: null, p_read: false, p_reason: "refresh", p_request_id: "r" };
    assert.equal((await call(service, "claim_refresh", claim)).outcome, "claimed");
    assert.deepEqual(await store(replacing), { outcome: "refreshing" });
    assert.deepEqual((await rows(args.p_organization_id))[0].config, args.p_config);
    await owner`update public.credential_leases set expires_at = now() - interval '1 second' where integration_id = ${args.p_id}`;
    assert.equal((await store(replacing)).outcome, "updated", "a lease that has expired is no refresh in progress");
  });

  test("stores nothing while a grant of the account is queued for revocation, which may end the imported one", async () => {
    const args = await ready();
    await store(args);
    const user = randomUUID();
    await addMember(owner, args.p_organization_id, user);
    await call(service, "disconnect_integration", disconnection({ p_id: args.p_id, p_user_id: user }));
    const again = { ...args, p_id: randomUUID() };
    assert.deepEqual(await store(again), { outcome: "revoking" });
    await owner`delete from private.pending_revocations where organization_id = ${args.p_organization_id}`;
    assert.equal((await store(again)).outcome, "created");
  });

  test("takes no key of another organization, without the scope, revoked, expired, or unknown", async () => {
    const args = importation();
    const revoked = await keyOf(args.p_organization_id);
    await call(service, "revoke_service_key", { p_user_id: null, p_id: revoked.id });
    const expired = await keyOf(args.p_organization_id);
    await owner`update private.service_keys set expires_at = now() where id = ${expired.id}`;
    const reader = await keyOf(null, ["connections:write", "connections:credentials", "connections:read"]);
    for (const { id } of [await keyOf(randomUUID()), reader, revoked, expired, { id: randomUUID() }, { id: null }]) {
      const { p_organization_id, p_integration_type } = args;
      const admission = { p_service_key: id, p_organization_id, p_integration_type };
      assert.deepEqual(await call(service, "admit_import", admission), { outcome: "foreign_organization" });
      assert.deepEqual(await store({ ...args, p_service_key: id }), { outcome: "foreign_organization" });
    }
    assert.equal((await rows(args.p_organization_id)).length, 0);
    assert.equal((await store({ ...args, p_service_key: (await keyOf(null)).id })).outcome, "created", "a key of all organizations");
  });
});

describe("admit_import", () => {
  const admission = async (over = {}) => {
    const p_organization_id = randomUUID();
    return { p_service_key: (await keyOf(p_organization_id)).id, p_organization_id, p_integration_type: "gitlab", ...over };
  };

  test("admits 600 in a minute, and then says how long to wait", async () => {
    const args = await admission();
    assert.equal((await call(service, "admit_import", args)).outcome, "admitted");
    await owner`update private.rate_limits set attempts = 599 where kind = 'import' and subject = ${args.p_service_key}`;
    const { at } = await call(service, "admit_import", args);
    assert.ok(Math.abs(new Date(at) - Date.now()) < 60_000, at);
    const { outcome, seconds } = await call(service, "admit_import", args);
    assert.deepEqual([outcome, seconds >= 1 && seconds <= 60], ["too_many", true]);
    assert.equal((await call(service, "admit_import", await admission())).outcome, "admitted", "another key is not concerned");
  });

  test("waits while the provider accepts no requests of the type", async () => {
    const args = await admission({ p_integration_type: "paused" });
    await owner`insert into private.provider_pauses (client, endpoint, until) values ('paused', 'api', now() + interval '90 seconds')`;
    const { outcome, seconds } = await call(service, "admit_import", args);
    assert.deepEqual([outcome, seconds > 80 && seconds <= 90], ["paused", true]);
  });
});
