// What the role of an organization's member allows in each function, and that the migration of roles takes nothing from anybody.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";

import { listMigrations } from "../stack/migrate.mjs";
import { beginning, call, completion, config, disconnection, insertIntegration, KID, pending, startServer } from "./support.mjs";

const ROLES = "20261127020000";

let server, owner, service;
before(async () => {
  server = await startServer();
  ({ owner, service } = await server.createProject());
});
after(() => server?.stop());

const join = (sql, organization_id, role, user_id = randomUUID()) =>
  sql`insert into public.organization_members ${sql({ organization_id, user_id, role })}`.then(() => user_id);

/** An organization with what the functions work on: `of(name, user)` are the arguments of a function for a user. */
async function organization() {
  const id = randomUUID();
  const admin = await join(owner, id, "admin");
  const integration = await insertIntegration(owner, { organization_id: id, external_account_id: randomUUID() });
  const endpoint = randomUUID();
  const created = { p_id: endpoint, p_user_id: admin, p_organization_id: id, p_url: "https://hooks.example.com/", p_events: null, p_config: config(KID.a) };
  assert.equal((await call(service, "create_webhook_endpoint", created)).outcome, "created");
  const mute = { check_id: "a.check", reason: "accepted_risk", note: "known", expires_at: new Date(Date.now() + 3_600_000).toISOString() };
  const muted = await call(service, "mute_findings", { p_user_id: admin, p_organization_id: id, p_mute: mute });
  const app = randomUUID();
  const added = {
    p_id: app, p_organization_id: id, p_integration_type: "supabase", p_name: "App", p_client_id: randomUUID(), p_slug: null,
    p_config: config(KID.a), p_user_id: admin,
  };
  assert.equal((await call(service, "create_oauth_app", added)).outcome, "created");
  const key = { p_organization_id: id, p_name: "key", p_prefix: "sik_abc", p_scopes: ["connections:read"] };
  const begun = async (user) => {
    const args = beginning({ p_user_id: user, p_organization_id: id });
    await owner`insert into public.oauth_transactions ${owner({
      id: args.p_id, state_hash: args.p_state_hash, binding_hash: args.p_binding_hash, user_id: user, organization_id: id,
      integration_type: "supabase", redirect_uri: args.p_redirect_uri, verifier: owner.json(args.p_verifier),
    })}`;
    return { p_state_hash: args.p_state_hash, p_binding_hash: args.p_binding_hash };
  };
  const granted = async (user) => {
    const { p_accounts, ...args } = pending({ p_user_id: user, p_organization_id: id });
    await call(service, "add_pending_connection", args);
    return { p_id: args.p_id, p_accounts };
  };
  const about = (p_id, more = {}) => async () => ({ p_id, ...more });
  const arguments_of = {
    begin_connection: async () => beginning({ p_organization_id: id }),
    consume_transaction: begun,
    check_credential_attempts: async () => ({ p_organization_id: id }),
    offer_accounts: granted,
    pending_connection: async (user) => {
      const { p_id, p_accounts } = await granted(user);
      await owner`update public.pending_connections set accounts = ${owner.json(p_accounts)}, expires_at = now() + interval '10 minutes' where id = ${p_id}`;
      return { p_id, p_reason: "choose" };
    },
    complete_connection: async () => completion({ p_organization_id: id, p_external_account_id: randomUUID() }),
    connect_named: async () => ({ ...completion({ p_organization_id: id, p_external_account_id: randomUUID() }), p_custom_name: randomUUID() }),
    change_integration: about(integration, { p_changes: { name: "Another" } }),
    claim_refresh: about(integration, { p_owner: randomUUID() }),
    claim_check: about(integration, { p_soon: 60 }),
    request_scan: about(integration, { p_types: ["supabase"] }),
    mute_findings: async () => ({ p_organization_id: id, p_mute: mute }),
    end_mute: about(muted.mute.id),
    create_webhook_endpoint: async () => ({ ...created, p_id: randomUUID() }),
    change_webhook_endpoint: about(endpoint, { p_changes: { enabled: true } }),
    find_webhook_endpoint: about(endpoint),
    change_webhook_secret: about(endpoint, { p_read: config(KID.a), p_config: config(KID.a) }),
    replay_webhook_delivery: async () => ({ p_endpoint_id: endpoint, p_event_id: randomUUID() }),
    delete_webhook_endpoint: about(endpoint),
    create_oauth_app: async () => ({ ...added, p_id: randomUUID(), p_client_id: randomUUID() }),
    find_oauth_app: about(app),
    change_oauth_app: about(app, { p_name: "Renamed", p_read: null, p_config: null }),
    delete_oauth_app: about(app),
    disconnect_integration: async () => disconnection({ p_id: integration }),
    create_service_key: async () => ({ ...key, p_hash: randomUUID().replaceAll("-", "").repeat(2) }),
    list_service_keys: async () => ({ p_organization_id: id }),
  };
  return { id, functions: Object.keys(arguments_of), of: async (name, user) => ({ ...(await arguments_of[name](user)), p_user_id: user }) };
}

const KEYS = ["create_service_key", "list_service_keys"];
/** They concern what the user has begun, the worker itself, or only a count; or they only read. */
const OTHERS = [
  "abandon_connection", "add_pending_connection", "admit_write", "export_events", "list_oauth_apps", "revoke_service_key", "settle_checks",
  "settle_refreshes",
];

describe("roles", () => {
  test("every function that takes a user is tried here with each role, or named as one that asks for none", async () => {
    const { functions } = await organization();
    const rows = await owner`
      select proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where n.nspname = 'public' and 'p_user_id' = any (p.proargnames) order by proname`;
    assert.deepEqual(rows.map(({ proname }) => proname), [...functions, ...OTHERS].sort());
  });

  // Threat model 220.
  test("the role member may change nothing, admin all but the service keys, owner all", async () => {
    const { id, functions, of } = await organization();
    const changed = async () => JSON.stringify(await owner`
      select (select jsonb_agg(to_jsonb(i) order by i.id) from public.integrations i where organization_id = ${id}) as rows,
        (select jsonb_agg(to_jsonb(w) order by w.id) from public.webhook_endpoints w where organization_id = ${id}) as webhooks,
        (select jsonb_agg(to_jsonb(m) order by m.id) from public.finding_mutes m where organization_id = ${id}) as mutes,
        (select count(*) from public.oauth_transactions where organization_id = ${id} and expires_at > now()) as begun,
        (select count(*) from public.credential_events where organization_id = ${id}) as events,
        (select count(*) from public.assessments where organization_id = ${id}) as runs`);
    const member = await join(owner, id, "member");
    const attempts = [];
    for (const name of functions) attempts.push([name, await of(name, member)]);
    const before = await changed();
    for (const [name, args] of attempts) {
      if (KEYS.includes(name)) assert.deepEqual(await call(service, name, args), { outcome: "not_the_owner" }, name);
      else await assert.rejects(call(service, name, args), { code: "IK002" }, name);
    }
    assert.equal(await changed(), before);

    for (const role of ["admin", "owner"]) {
      const { functions: names, of: args, id: other } = await organization();
      const user = await join(owner, other, role);
      for (const name of names) {
        const { outcome } = await call(service, name, await args(name, user));
        // There is no such delivery.
        const refused = name === "replay_webhook_delivery" ? ["not_a_member"] : ["not_a_member", "unknown"];
        if (role === "admin" && KEYS.includes(name)) assert.equal(outcome, "not_the_owner", name);
        else assert.ok(![...refused, "not_the_owner"].includes(outcome), `${role} ${name}: ${outcome}`);
      }
    }
  });

  test("who is no member gets the same answers as before roles, and the personal organization needs none", async () => {
    const { functions, of } = await organization();
    for (const name of functions) {
      const { outcome } = await call(service, name, await of(name, randomUUID()));
      assert.ok(["not_a_member", "unknown"].includes(outcome), `${name}: ${outcome}`);
    }
    const user = randomUUID();
    // A row cannot take anything from the owner of a personal organization.
    await join(owner, user, "member", user);
    assert.deepEqual(await call(service, "begin_connection", beginning({ p_user_id: user })), { outcome: "begun" });
  });

  test("a role that is taken away while a connection is under way ends it, and the grant stays pending", async () => {
    const organization_id = randomUUID();
    const user = await join(owner, organization_id, "admin");
    const args = beginning({ p_user_id: user, p_organization_id: organization_id });
    await call(service, "begin_connection", args);
    const grant = pending({ p_user_id: user, p_organization_id: organization_id });
    await call(service, "add_pending_connection", (({ p_accounts, ...rest }) => rest)(grant));
    await owner`update public.organization_members set role = 'member' where user_id = ${user}`;
    const { p_state_hash, p_binding_hash } = args;
    await assert.rejects(call(service, "consume_transaction", { p_state_hash, p_binding_hash, p_user_id: user }), { code: "IK002" });
    const completed = completion({ p_user_id: user, p_organization_id: organization_id, p_pending_id: grant.p_id });
    await assert.rejects(call(service, "complete_connection", completed), { code: "IK002" });
    const [{ count }] = await owner`select count(*)::int from public.pending_connections where id = ${grant.p_id}`;
    assert.equal(count, 1, "so that the worker, or else the schedule, revokes it");
  });

  test("the migration lets members do what they could do, and the file cannot be run again to promote the ones after it", async () => {
    const [{ version: before }] = listMigrations().filter(({ version }) => version < ROLES).slice(-1);
    const project = await server.createProject({ to: before });
    const organization_id = randomUUID();
    const users = {};
    for (const role of ["member", "admin", "owner"]) users[role] = await join(project.owner, organization_id, role);
    await project.migrate();
    const roles = async () =>
      Object.fromEntries((await project.owner`select user_id, role from public.organization_members`).map(({ user_id, role }) => [user_id, role]));
    assert.deepEqual(await roles(), { [users.member]: "admin", [users.admin]: "admin", [users.owner]: "owner" });

    const [seer, unnamed] = [await join(project.owner, organization_id, "member"), randomUUID()];
    await project.owner`insert into public.organization_members (organization_id, user_id) values (${organization_id}, ${unnamed})`;
    const { file } = listMigrations().find(({ version }) => version === ROLES);
    await assert.rejects(project.owner.begin((sql) => sql.unsafe(readFileSync(file, "utf8"))), { code: "42723" });
    assert.equal((await roles())[seer], "member");
    assert.equal((await roles())[unnamed], "admin", "a writer that knows no roles adds whom it always added");
  });
});
