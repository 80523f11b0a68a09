// OAuth apps of an organization's own: whose they are, that each grant keeps the app it was issued to, and that one app's troubles are no other's.
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { abandonment, beginning, call, completion, config, disconnection, insertIntegration, KID, lockWait, pending, startServer } from "./support.mjs";

const HOUR_MS = 3_600_000;
const TYPE = "supabase";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());

const secrets = (kid = KID.a, fields = {}) => ({ client_secret: "aXY=.dGFn.Y2lwaGVy", ...fields, _enc: { v: 2, kid } });
/** Arguments of create_oauth_app for a user's personal organization. */
const creation = (user, over = {}) => ({
  p_id: randomUUID(), p_user_id: user, p_organization_id: user, p_integration_type: TYPE, p_name: "Ours", p_client_id: randomUUID(), p_slug: null,
  p_config: secrets(), ...over,
});
const create = async (user, over, sql = service) => {
  const args = creation(user, over);
  const { outcome } = await call(sql, "create_oauth_app", args);
  assert.equal(outcome, "created");
  return { id: args.p_id, client_id: args.p_client_id, slug: null, config: args.p_config };
};
const expiring = (ms, kid = KID.a) => config(kid, { expires_at: new Date(Date.now() + ms).toISOString() });
const row = async (id) => (await owner`select * from public.integrations where id = ${id}`)[0];
const queued = (id) => owner`select oauth_app_id, reason from private.pending_revocations where sealed_for = ${id}`;
/** Connects an account with an app (null: the deployment's), as a callback does; returns the integration's id and its user. */
async function connect(user, app, over = {}) {
  const grant = pending({ p_user_id: user, p_config: expiring(HOUR_MS) });
  delete grant.p_accounts;
  await call(service, "add_pending_connection", { ...grant, p_oauth_app_id: app?.id ?? null });
  const args = completion({ p_user_id: user, p_config: expiring(HOUR_MS), p_pending_id: grant.p_id, p_second_grant: "replaces", ...over });
  const answer = await call(service, "complete_connection", args);
  assert.match(answer.outcome, /created|updated/);
  return { p_id: args.p_id, p_user_id: user };
}
const disconnect = (made) => call(service, "disconnect_integration", disconnection(made));
const change = (over) => call(service, "change_oauth_app", { p_name: null, p_read: null, p_config: null, ...over });

describe("an app", () => {
  test("is added, listed and renamed, and never shown with its secrets", async () => {
    const user = randomUUID();
    const app = await create(user);
    await call(service, "create_oauth_app", creation(user, { p_integration_type: "github", p_slug: "our-app" }));
    await connect(user, app);
    const { oauth_apps } = await call(service, "list_oauth_apps", { p_organization_id: user, p_user_id: user });
    const shown = { client_id: app.client_id, has_fallback_secret: false, id: app.id, integration_type: TYPE, name: "Ours", organization_id: user, slug: null };
    assert.deepEqual(oauth_apps.map(({ integration_type, slug }) => [integration_type, slug]), [["github", "our-app"], [TYPE, null]]);
    const [, { created_at, updated_at, ...listed }] = oauth_apps;
    assert.deepEqual(listed, { ...shown, connections: 1 });
    assert.ok(created_at && updated_at && !JSON.stringify(oauth_apps).includes("_enc"));
    const renamed = await change({ p_id: app.id, p_user_id: user, p_name: "Renamed" });
    assert.partialDeepStrictEqual(renamed, { outcome: "changed", oauth_app: { ...shown, name: "Renamed" } });
  });

  test("has its secrets replaced only if they are still the ones that were read", async () => {
    const user = randomUUID();
    const app = await create(user);
    const found = await call(service, "find_oauth_app", { p_id: app.id, p_user_id: user });
    assert.deepEqual(found, { outcome: "found", organization_id: user, config: app.config });
    const both = secrets(KID.a, { fallback_client_secret: "aXY=.dGFn.Y2lwaGVy" });
    const changed = await change({ p_id: app.id, p_user_id: user, p_read: app.config, p_config: both });
    assert.deepEqual([changed.outcome, changed.oauth_app.has_fallback_secret], ["changed", true]);
    assert.deepEqual(await change({ p_id: app.id, p_user_id: user, p_read: app.config, p_config: secrets() }), { outcome: "outdated" });
  });

  // Threat model 230.
  test("is another organization's to nobody: not read, changed, deleted, or connected with", async () => {
    const [user, other] = [randomUUID(), randomUUID()];
    const app = await create(user);
    for (const name of ["find_oauth_app", "delete_oauth_app"]) {
      assert.deepEqual(await call(service, name, { p_id: app.id, p_user_id: other }), { outcome: "unknown" });
      assert.deepEqual(await call(service, name, { p_id: app.id }), { outcome: "unknown" }, "a call without a caller");
    }
    assert.deepEqual(await change({ p_id: app.id, p_user_id: other, p_name: "Theirs" }), { outcome: "unknown" });
    const foreign = { outcome: "not_a_member" };
    assert.deepEqual(await call(service, "list_oauth_apps", { p_organization_id: user, p_user_id: other }), foreign);
    assert.deepEqual(await call(service, "create_oauth_app", creation(other, { p_organization_id: user })), foreign);
    const begin = (over) => call(service, "begin_connection", beginning({ p_oauth_app_id: app.id, ...over }));
    assert.deepEqual(await begin({ p_user_id: other }), { outcome: "unknown_app" });
    assert.deepEqual(await begin({ p_user_id: user, p_integration_type: "github" }), { outcome: "unknown_app" });
    assert.equal((await begin({ p_user_id: user })).outcome, "begun");
    // Not even a writer that goes around the functions.
    await assert.rejects(insertIntegration(owner, { organization_id: other, oauth_app_id: app.id }), { code: "23503" });
    await assert.rejects(insertIntegration(owner, { organization_id: user, integration_type: "github", oauth_app_id: app.id }), { code: "23503" });
  });

  test("is managed with a service key of its organization that may change connections, and listed with one that may read them", async () => {
    const organization = randomUUID();
    const keyOf = async (scope, of = organization) => (await call(service, "create_service_key", {
      p_user_id: null, p_organization_id: of, p_name: "backend", p_prefix: "sik_abcd", p_scopes: [scope],
      p_hash: createHash("sha256").update(randomUUID()).digest("hex"),
    })).service_key.id;
    const [writes, reads, foreign] = await Promise.all([keyOf("connections:write"), keyOf("connections:read"), keyOf("connections:write", randomUUID())]);
    const args = creation(null, { p_organization_id: organization });
    for (const p_service_key of [reads, foreign]) {
      assert.deepEqual(await call(service, "create_oauth_app", { ...args, p_service_key }), { outcome: "not_a_member" });
    }
    assert.equal((await call(service, "create_oauth_app", { ...args, p_service_key: writes })).outcome, "created");
    const list = (p_service_key) => call(service, "list_oauth_apps", { p_organization_id: organization, p_service_key });
    assert.equal((await list(reads)).oauth_apps.length, 1);
    assert.deepEqual(await list(foreign), { outcome: "not_a_member" });
    assert.deepEqual(await call(service, "delete_oauth_app", { p_id: args.p_id, p_service_key: foreign }), { outcome: "unknown" });
    assert.deepEqual(await call(service, "delete_oauth_app", { p_id: args.p_id, p_service_key: writes }), { outcome: "deleted" });
  });

  test("is one client: an organization adds it once for a type, and has twenty apps at most, also if they come at once", async () => {
    const user = randomUUID();
    const { client_id: p_client_id } = await create(user);
    assert.deepEqual(await call(service, "create_oauth_app", creation(user, { p_client_id })), { outcome: "client_taken" });
    await create(user, { p_client_id, p_integration_type: "github" });
    await create(randomUUID(), { p_client_id });
    const answers = await Promise.all(Array.from({ length: 30 }, () => call(service, "create_oauth_app", creation(user))));
    const of = (wanted) => answers.filter(({ outcome }) => outcome === wanted).length;
    assert.deepEqual([of("created"), of("too_many")], [18, 12]);
  });

  test("rejects values out of bounds", async () => {
    for (const over of [
      { p_name: "" }, { p_name: "x".repeat(201) }, { p_client_id: "" }, { p_client_id: "x".repeat(513) }, { p_slug: "a/b" }, { p_slug: "" },
      { p_config: secrets(KID.a, { client_secret: "x".repeat(16384) }) },
    ]) {
      await assert.rejects(call(service, "create_oauth_app", creation(randomUUID(), over)), { code: "23514" });
    }
  });
});

describe("a grant", () => {
  // Threat model 231.
  test("names the app that it was issued to at every step, from the request to its revocation", async () => {
    const user = randomUUID();
    const app = await create(user);
    const begun = beginning({ p_user_id: user, p_oauth_app_id: app.id });
    assert.deepEqual(await call(service, "begin_connection", begun), { outcome: "begun", oauth_app: app });
    const { p_state_hash, p_binding_hash } = begun;
    const consumed = await call(service, "consume_transaction", { p_state_hash, p_binding_hash, p_user_id: user });
    assert.deepEqual([consumed.outcome, consumed.oauth_app], ["consumed", app]);
    const made = await connect(user, app);
    assert.equal((await row(made.p_id)).oauth_app_id, app.id);
    const claim = await call(service, "claim_refresh", { p_id: made.p_id, p_owner: randomUUID() });
    assert.deepEqual([claim.outcome, claim.oauth_app], ["claimed", app]);
    const check = await call(service, "claim_check", { ...made, p_soon: 60 });
    assert.deepEqual([check.outcome, check.oauth_app], ["claimed", app]);
    const disconnected = await disconnect(made);
    assert.deepEqual(disconnected.revocation.oauth_app, app);

    const lost = pending({ p_user_id: user });
    delete lost.p_accounts;
    await call(service, "add_pending_connection", { ...lost, p_oauth_app_id: app.id });
    const abandoned = await call(service, "abandon_connection", abandonment(lost));
    assert.deepEqual(abandoned.revocation.oauth_app, app);
    // The schedule revokes it too, whatever types the deployment offers.
    const late = pending({ p_user_id: user });
    delete late.p_accounts;
    await call(service, "add_pending_connection", { ...late, p_oauth_app_id: app.id });
    await owner`update public.pending_connections set expires_at = now() where id = ${late.p_id}`;
    const claims = { p_owner: randomUUID(), p_limit: 100, p_types: [], p_wide_types: [], p_request_id: "r" };
    const due = (await call(service, "claim_revocations", claims)).claims;
    assert.deepEqual(due.find(({ sealed_for }) => sealed_for === late.p_id).oauth_app, app);
  });

  test("of the deployment's app names none", async () => {
    const made = await connect(randomUUID(), null);
    assert.equal((await call(service, "claim_refresh", { p_id: made.p_id, p_owner: randomUUID() })).oauth_app, undefined);
    assert.equal((await disconnect(made)).revocation.oauth_app, undefined);
  });

  test("is replaced together with its app, and a reconnection keeps the row's app unless it names another", async () => {
    const user = randomUUID();
    const [one, other] = [await create(user), await create(user)];
    const { p_id } = await connect(user, one);
    const begin = (over) => call(service, "begin_connection", beginning({ p_user_id: user, p_integration_id: p_id, ...over }));
    assert.equal((await begin({ p_keeps_app: true })).oauth_app.id, one.id);
    assert.equal((await begin({ p_oauth_app_id: other.id })).oauth_app.id, other.id);
    assert.equal((await begin({})).oauth_app, undefined);

    await connect(user, one, { p_id });
    assert.deepEqual([...(await queued(p_id))], [], "the provider has ended the grant of the same client");
    await connect(user, other, { p_id });
    assert.equal((await row(p_id)).oauth_app_id, other.id);
    assert.deepEqual([...(await queued(p_id))], [{ oauth_app_id: one.id, reason: "replaced" }], "revoked with the client that it was issued to");
    await connect(user, null, { p_id });
    assert.equal((await row(p_id)).oauth_app_id, null);
    assert.deepEqual((await queued(p_id)).map(({ oauth_app_id }) => oauth_app_id), [one.id, other.id]);
  });

  test("of an app that the row returns to is no longer revoked, by whatever path the row left the app", async () => {
    const claims = async () => {
      const args = { p_owner: randomUUID(), p_limit: 100, p_types: [TYPE], p_wide_types: [TYPE], p_request_id: "r" };
      return (await call(service, "claim_revocations", args)).claims.map(({ sealed_for, oauth_app }) => [sealed_for, oauth_app?.id]);
    };
    for (const p_second_grant of ["replaces", null, "separate"]) {
      const user = randomUUID();
      const [one, other] = [await create(user), await create(user)];
      const row_of = { p_external_account_id: randomUUID(), p_second_grant };
      const { p_id } = await connect(user, one, row_of);
      await connect(user, other, { ...row_of, p_id });
      await connect(user, one, { ...row_of, p_id, p_config: expiring(2 * HOUR_MS) });
      const left = (await queued(p_id)).map(({ oauth_app_id }) => oauth_app_id);
      assert.deepEqual(left, p_second_grant === "separate" ? [one.id, other.id] : [other.id], `${p_second_grant}`);
      assert.equal((await row(p_id)).may_have_earlier_grant, p_second_grant === null);
      // Where a revocation ends everything of the user and the client, it would end the row's grant.
      const due = (await claims()).filter(([id]) => id === p_id);
      assert.deepEqual(due, [[p_id, other.id]], `${p_second_grant}`);
    }
  });

  test("that another app's replaced is kept while another connection of the same user, or end user, uses the former app", async () => {
    const [user, external_user_id] = [randomUUID(), randomUUID()];
    const app = await create(user);
    const account = () => ({ p_external_account_id: randomUUID() });
    const stays = await connect(user, null, account());
    const moved = account();
    const { p_id } = await connect(user, null, moved);
    await connect(user, app, { ...moved, p_id });
    const backend = randomUUID();
    const of_end_user = (over) => insertIntegration(owner, { organization_id: backend, external_user_id, ...over });
    await of_end_user({ external_account_id: randomUUID() });
    const theirs = await of_end_user({ external_account_id: "theirs" });
    await owner`select private.queue_replaced(i) from public.integrations i where i.id = ${theirs}`;
    await owner`update public.integrations set oauth_app_id = ${(await create(backend)).id} where id = ${theirs}`;
    await call(service, "claim_revocations", { p_owner: randomUUID(), p_limit: 100, p_types: [TYPE], p_wide_types: [TYPE], p_request_id: "r" });
    for (const id of [p_id, theirs]) {
      const events = await owner`select outcome, reason from public.credential_events where integration_id = ${id} and action = 'revoked'`;
      assert.deepEqual([...events], [{ outcome: "kept", reason: "replaced" }], id === p_id ? "the same user" : "the same end user");
    }
    assert.equal((await row(stays.p_id)).status, "active");
  });

  test("is revoked although other connections of the account use another client, and kept if they use the same one", async () => {
    const [user, other] = [randomUUID(), randomUUID()];
    const app = await create(user);
    const wide = { p_wide_types: [TYPE] };
    const account = { p_external_account_id: randomUUID() };
    const { p_id } = await connect(other, null, account);
    const made = await connect(user, app, account);
    assert.deepEqual((await call(service, "disconnect_integration", disconnection(made, wide))).shared, []);
    // The same client, which another organization has added too.
    const theirs = await connect(other, await create(other, { p_client_id: app.client_id }), { ...account, p_id });
    const again = await connect(user, app, account);
    const { shared } = await call(service, "disconnect_integration", disconnection(again, wide));
    assert.deepEqual(shared.map(({ id }) => id), [theirs.p_id]);
    const lost = pending({ p_user_id: user });
    delete lost.p_accounts;
    await call(service, "add_pending_connection", { ...lost, p_oauth_app_id: app.id });
    const abandoned = { ...abandonment(lost, { p_wide: true }), ...account };
    assert.deepEqual(await call(service, "abandon_connection", abandoned), { outcome: "kept" });
  });

  test("that a writer of the source document stores is the deployment's app's, and whatever changes less keeps the app", async () => {
    const user = randomUUID();
    const app = await create(user);
    const { p_id } = await connect(user, app);
    const appOf = async () => (await row(p_id)).oauth_app_id;
    await service`update public.integrations set config = config || '{"project_name": "Renamed"}', name = 'Renamed' where id = ${p_id}`;
    assert.equal(await appOf(), app.id, "a change of plaintext");
    const [{ version }] = await owner`select xmin::text as version from public.integrations where id = ${p_id}`;
    const rewrap = { p_ids: [p_id], p_versions: [version], p_patches: [config(KID.b)], p_from_kids: [KID.a] };
    assert.equal(Number(await call(service, "rewrap_write", rewrap)), 1);
    assert.equal(await appOf(), app.id, "a rotation");
    const p_owner = randomUUID();
    const { generation } = await call(service, "claim_refresh", { p_id, p_owner });
    const refreshed = [{ id: p_id, generation, config: config(KID.b, { access_token: "d.e.f" }) }];
    assert.deepEqual((await call(service, "settle_refreshes", { p_owner, p_results: service.json(refreshed) })).ends, { [p_id]: "settled" });
    assert.equal(await appOf(), app.id, "a refresh");
    await service`update public.integrations set config = ${service.json(config(null, { access_token: "g.h.i" }))} where id = ${p_id}`;
    assert.equal(await appOf(), null, "another grant");
  });

  test("that returns after its integration and its app are gone does not keep the others from being settled", async () => {
    const user = randomUUID();
    const app = await create(user);
    const late = await connect(user, app);
    const other = await connect(user, null, { p_external_account_id: "other" });
    const p_owner = randomUUID();
    const [one, two] = await Promise.all([late, other].map(({ p_id }) => call(service, "claim_refresh", { p_id, p_owner })));
    const result = ({ p_id }, { generation }, oauth_app_id) => ({
      id: p_id, generation, config: config(KID.a), organization_id: user, integration_type: TYPE, oauth_app_id,
    });
    const settle = async () => {
      const results = [result(late, one, app.id), result(other, two, null)];
      return (await call(service, "settle_refreshes", { p_owner, p_results: service.json(results) })).ends;
    };
    await owner`delete from public.integrations where id = ${late.p_id}`;
    await settle();
    assert.deepEqual([...(await queued(late.p_id))], [{ oauth_app_id: app.id, reason: "late" }]);
    await owner`delete from private.pending_revocations where sealed_for = ${late.p_id}`;
    assert.deepEqual(await call(service, "delete_oauth_app", { p_id: app.id, p_user_id: user }), { outcome: "deleted" });
    assert.deepEqual(await settle(), { [late.p_id]: "gone", [other.p_id]: "settled" });
    assert.deepEqual([...(await queued(late.p_id))], []);
  });
});

describe("an app that is deleted", () => {
  test("is refused as long as a connection or a grant needs it, and ends what was only started", async () => {
    const user = randomUUID();
    const app = await create(user);
    const remove = () => call(service, "delete_oauth_app", { p_id: app.id, p_user_id: user });
    const begun = beginning({ p_user_id: user, p_oauth_app_id: app.id });
    await call(service, "begin_connection", begun);
    const made = await connect(user, app);
    const parked = pending({ p_user_id: user });
    delete parked.p_accounts;
    await call(service, "add_pending_connection", { ...parked, p_oauth_app_id: app.id });
    assert.deepEqual(await remove(), { outcome: "in_use", connections: 1, grants: 1 });
    const { revocation } = await disconnect(made);
    assert.deepEqual(await remove(), { outcome: "in_use", connections: 0, grants: 2 });
    await owner`delete from private.pending_revocations where id = ${revocation.id}`;
    await owner`delete from public.pending_connections where id = ${parked.p_id}`;
    assert.deepEqual(await remove(), { outcome: "deleted" });
    const { p_state_hash, p_binding_hash } = begun;
    assert.deepEqual(await call(service, "consume_transaction", { p_state_hash, p_binding_hash, p_user_id: user }), { outcome: "unknown" });
    assert.deepEqual(await call(service, "begin_connection", beginning({ p_user_id: user, p_oauth_app_id: app.id })), { outcome: "unknown_app" });
  });

  test("waits for whoever is storing a grant of it, and then is refused", async () => {
    const user = randomUUID();
    const app = await create(user);
    let removing;
    await project.connect("authenticator", { role: "service_role" }).begin(async (sql) => {
      const grant = pending({ p_user_id: user });
      delete grant.p_accounts;
      await call(sql, "add_pending_connection", { ...grant, p_oauth_app_id: app.id });
      removing = call(service, "delete_oauth_app", { p_id: app.id, p_user_id: user });
      await lockWait(owner);
    });
    assert.deepEqual(await removing, { outcome: "in_use", connections: 0, grants: 1 });
  });
});

// Threat model 232.
describe("what one client suffers", () => {
  const due = async (p_types) => {
    const [refreshes, checks] = await Promise.all([
      owner`select id from private.due_refreshes(100, 600, private.without_paused(${p_types}, 'token'))`,
      owner`select id from private.due_checks(100, private.without_paused(${p_types}, 'api'))`,
    ]);
    return [refreshes, checks].map((rows) => rows.map(({ id }) => id));
  };
  const connected = async (user, app) => {
    const { p_id } = await connect(user, app, { p_external_account_id: randomUUID(), p_config: expiring(60_000) });
    await owner`update public.integrations set scan_schedule = '0 3 * * *', next_check_at = now() - interval '1 minute' where id = ${p_id}`;
    return p_id;
  };
  const pause = async (p_id, p_organizations) => {
    for (const p_endpoint of ["token", "api"]) await call(service, "pause_provider", { p_id, p_endpoint, p_seconds: 60, p_organizations });
  };

  test("a pause of an app covers all its connections and no other client, and the type's pause none of an app", async () => {
    const user = randomUUID();
    const [one, other] = [await create(user), await create(user)];
    const [a, b, c, deployments] = await Promise.all([connected(user, one), connected(user, one), connected(user, other), connected(user, null)]);
    const seen = async (types = [TYPE]) => (await due(types)).map((ids) => [a, b, c, deployments].filter((id) => ids.includes(id)));
    const both = (ids) => [ids, ids];
    assert.deepEqual(await seen(), both([a, b, c, deployments]));
    assert.deepEqual(await seen([]), both([a, b, c]), "an app needs no client of the deployment");
    await pause(a, null);
    assert.deepEqual(await seen(), both([b, c, deployments]), "each user has a limit");
    await pause(a, 3);
    assert.deepEqual(await seen(), both([c, deployments]), "the app has a limit");
    const refused = await call(service, "claim_refresh", { p_id: b, p_owner: randomUUID() });
    assert.equal(refused.outcome, "failed");
    assert.equal((await call(service, "claim_check", { p_id: b, p_user_id: user, p_soon: 30 })).outcome, "paused");
    await pause(deployments, 1);
    assert.deepEqual(await seen(), both([c]));
    assert.equal((await call(service, "claim_refresh", { p_id: c, p_owner: randomUUID() })).outcome, "claimed");
    await owner`delete from private.provider_pauses where client = ${TYPE}`;
  });

  test("organizations' own apps are no evidence for a pause of the type", async () => {
    for (let i = 0; i < 4; i++) {
      const user = randomUUID();
      await pause(await connected(user, await create(user)), 3);
    }
    assert.equal((await owner`select from private.provider_pauses where client = ${TYPE}`).length, 0);
  });

  test("a wrong secret of an app ends no grant, although the type's other clients are well", async () => {
    const user = randomUUID();
    const { p_id } = await connect(user, await create(user), { p_external_account_id: randomUUID(), p_config: expiring(-60_000) });
    const well = await connected(user, null);
    const settle = async (id, result) => {
      const p_owner = randomUUID();
      await owner`update public.credential_leases set failed_at = null, retry_at = null, settled_at = null where integration_id = ${id}`;
      const { generation } = await call(service, "claim_refresh", { p_id: id, p_owner });
      return (await call(service, "settle_refreshes", { p_owner, p_results: service.json([{ id, generation, ...result }]) })).ends[id];
    };
    const refused = () => settle(p_id, { fault: "refused", refusal: { alike: "401 invalid_client", may_be_ours: true, tries: 3 } });
    for (let i = 0; i < 4; i++) assert.equal(await refused(), "backed_off");
    await owner`update public.credential_leases set refused_since = now() - interval '25 hours' where integration_id = ${p_id}`;
    assert.equal(await settle(well, { config: expiring(60_000) }), "settled");
    assert.equal(await refused(), "backed_off");
    const { status, status_reason } = await row(p_id);
    assert.deepEqual([status, status_reason], ["degraded", "refresh_failed"]);
  });

  test("a secret that does not open is told in the event at once, and in the status once the token has expired", async () => {
    const user = randomUUID();
    const app = await create(user);
    for (const [ms, status, reason] of [[60_000, "active", null], [-60_000, "degraded", "app_unreadable"]]) {
      const { p_id } = await connect(user, app, { p_external_account_id: randomUUID(), p_config: expiring(ms) });
      const p_owner = randomUUID();
      const { generation } = await call(service, "claim_refresh", { p_id, p_owner });
      const results = [{ id: p_id, generation, fault: "app_unreadable" }];
      assert.deepEqual((await call(service, "settle_refreshes", { p_owner, p_results: service.json(results) })).ends, { [p_id]: "backed_off" });
      const after = await row(p_id);
      assert.deepEqual([after.status, after.status_reason], [status, reason]);
      const [event] = await owner`select outcome, reason from public.credential_events where integration_id = ${p_id} and action = 'refresh_failed'`;
      assert.deepEqual(event, { outcome: "failed", reason: "app_unreadable" });
    }
  });
});

describe("the key that the secrets are sealed with", () => {
  test("is not retired while an app is on it, the secrets are sealed again for the app that was read, and none comes onto it behind the fence", async () => {
    const fresh = await server.createProject();
    const user = randomUUID();
    const [one, two] = [await create(user, {}, fresh.service), await create(user, {}, fresh.service)];
    const { fence } = await call(fresh.service, "declare_fence", { p_kids: [KID.b] });
    const retire = () => call(fresh.service, "retire_key", { p_kid: KID.a, p_fence: fence });
    assert.deepEqual(await retire(), { outcome: "needed", tables: { oauth_apps: 2 } });
    const { rows } = await call(fresh.service, "read_sealed_elsewhere", {});
    assert.deepEqual(rows.map(({ table, id, sealed_for, organization_id, config: text }) => [table, id, sealed_for, organization_id, JSON.parse(text)]).sort(),
      [one, two].map(({ id, config: stored }) => ["oauth_apps", id, id, user, stored]).sort());

    await assert.rejects(create(user, {}, fresh.service), { code: "IK001", message: "oauth_apps.config is not sealed with a key that may write now" });
    const { secrets: found } = await call(fresh.service, "secrets_on", { p_kids: [KID.a], p_limit: 500 });
    assert.deepEqual(found.map(({ table, id, organization_id }) => [table, id, organization_id]).sort(), [one, two].map(({ id }) => ["oauth_apps", id, user]).sort());
    const reseal = (...p_resealed) => call(fresh.service, "reseal_secrets", { p_resealed: fresh.service.json(p_resealed) });
    const moved = ({ id, config: read }, over) => ({ table: "oauth_apps", id, read, config: secrets(KID.b), ...over });
    await assert.rejects(reseal(moved(one, { config: secrets(KID.c) })), { code: "IK001" });
    assert.deepEqual(await reseal(moved(one), moved(two, { read: secrets(KID.a, { client_secret: "other" }) }), moved(two, { table: "webhook_endpoints" })), {
      outcome: "resealed", count: 1,
    });
    assert.deepEqual(await retire(), { outcome: "needed", tables: { oauth_apps: 1 } });
    assert.deepEqual(await reseal(moved(two)), { outcome: "resealed", count: 1 });
    assert.deepEqual(await retire(), { outcome: "retired" });
  });
});

test("a connect session names apps by type: those of its organization and of types that it allows", async () => {
  const user = randomUUID();
  const app = await create(user);
  const hash = (text) => createHash("sha256").update(text).digest("hex");
  const { service_key } = await call(service, "create_service_key", {
    p_user_id: null, p_organization_id: user, p_name: "backend", p_prefix: "sik_abcd", p_hash: hash(randomUUID()), p_scopes: ["connect_sessions:write"],
  });
  const start = (p_oauth_apps, token = randomUUID()) => call(service, "create_connect_session", {
    p_service_key: service_key.id, p_id: randomUUID(), p_token_hash: hash(token), p_organization_id: user, p_external_user_id: "u1",
    p_external_user_name: null, p_integration_types: [TYPE], p_reconnects: null, p_return_url: "https://app.example/", p_return_state: null,
    p_code_challenge: "A".repeat(43), p_scopes: {}, p_metadata: {}, p_oauth_apps,
  });
  const foreign = await create(randomUUID());
  for (const wrong of [{ [TYPE]: foreign.id }, { github: app.id }, { [TYPE]: "x" }]) assert.deepEqual(await start(wrong), { outcome: "unknown_app" });
  assert.equal((await start({ [TYPE]: app.id }, "link")).outcome, "created");
  const opened = await call(service, "open_connect_session", { p_token_hash: hash("link"), p_binding_hash: hash("browser") });
  assert.deepEqual(opened.connect_session.oauth_apps, { [TYPE]: app.id });
});
