// The outbox: what happens to a connection is written down in the same transaction, in order, for the endpoints that want to hear of it.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { addMember, call, completion, config, disconnection, insertIntegration, KID, lockWait, startServer } from "./support.mjs";
import { deliveriesOf, endpointArgs, endpointOf } from "./webhooks.mjs";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());

const told = async (id) => (await deliveriesOf(owner, id)).map(({ type }) => type.replace("connection.", ""));
/** A connection whose organisation has an endpoint for everything. */
async function connected(over = {}) {
  const args = completion(over);
  await endpointOf(service, args.p_organization_id);
  assert.equal((await call(service, "complete_connection", args)).outcome, "created");
  return args;
}
async function refreshed({ p_id }, result) {
  const p_owner = randomUUID();
  const { generation } = await call(service, "claim_refresh", { p_id, p_owner });
  const p_results = service.json([{ id: p_id, generation, ...result }]);
  const { ends } = await call(service, "settle_refreshes", { p_owner, p_results });
  await owner`
    update public.credential_leases set failed_at = null, settled_at = null, retry_at = null where integration_id = ${p_id}`;
  return ends[p_id];
}

describe("an event", () => {
  test("events of each kind are recorded in the order in which they happened", async () => {
    const args = await connected();
    assert.equal(await refreshed(args, { config: config(KID.a) }), "settled");
    assert.equal(await refreshed(args, { fault: "refused" }), "backed_off");
    assert.equal(await refreshed(args, { fault: "invalid_grant" }), "reconnect_required");
    await call(service, "complete_connection", args);
    await call(service, "disconnect_integration", disconnection(args));
    assert.deepEqual(await told(args.p_id), [
      "created", "refreshed", "refresh_failed", "reconnect_required", "reconnected", "deleted",
    ]);
    const events = await deliveriesOf(owner, args.p_id);
    assert.deepEqual(events.map(({ data }) => [data.status, data.reason]), [
      ["active", null], ["active", null], ["active", "refused"], ["reconnect_required", "invalid_grant"], ["active", null], ["active", null],
    ]);
    for (const { data, type } of events) {
      assert.deepEqual(
        Object.keys(data).sort(),
        ["external_user_id", "integration_id", "integration_type", "name", "organization_id", "reason", "status"],
        type,
      );
      assert.deepEqual(
        [data.organization_id, data.integration_id, data.integration_type, data.name],
        [args.p_organization_id, args.p_id, "supabase", "My Project"],
      );
    }
  });

  test("an event of a grant that a lost refresh may have ended says so", async () => {
    const args = await connected();
    await refreshed(args, { fault: "outcome_unknown" });
    await refreshed(args, { fault: "invalid_grant" });
    const events = await deliveriesOf(owner, args.p_id);
    assert.deepEqual(events.map(({ type, data }) => [type, data.reason]), [
      ["connection.created", null], ["connection.refresh_failed", "outcome_unknown"], ["connection.reconnect_required", "refresh_lost"],
    ]);
  });

  test("an event holds nothing of a credential", async () => {
    const planted = { access_token: "planted-access.x.y", refresh_token: "planted-refresh.x.y" };
    const args = await connected({ p_config: config(KID.a, planted) });
    assert.equal(await refreshed(args, { config: config(KID.a, planted) }), "settled");
    await call(service, "disconnect_integration", disconnection(args));
    const [{ all }] = await owner`
      select (select jsonb_agg(to_jsonb(w)) from private.webhook_events w where integration_id = ${args.p_id})::text
        || (select jsonb_agg(to_jsonb(d)) from public.webhook_deliveries d where integration_id = ${args.p_id})::text as all`;
    assert.ok(all.includes("connection.refreshed") && !all.includes("planted"), all);
  });

  test("a check that finds the grant over makes one event", async () => {
    const args = await connected();
    const { version } = await call(service, "claim_check", { p_id: args.p_id, p_user_id: args.p_user_id, p_soon: 120 });
    for (const [status, reason] of [["degraded", "timeout"], ["revoked", "account_gone"]]) {
      await call(service, "settle_checks", { p_results: service.json([{ id: args.p_id, version, status, reason }]) });
    }
    const events = await deliveriesOf(owner, args.p_id);
    assert.deepEqual(events.map(({ type, data }) => [type, data.status, data.reason]), [
      ["connection.created", "active", null], ["connection.degraded", "degraded", "timeout"],
      ["connection.reconnect_required", "revoked", "account_gone"],
    ]);
  });

  test("an event is written for every writer of the row, also the source document's", async () => {
    const organization_id = randomUUID();
    await endpointOf(service, organization_id);
    const id = await insertIntegration(service, { organization_id });
    await service`update public.integrations set status = 'degraded' where id = ${id}`;
    await service`update public.integrations set status = 'revoked' where id = ${id}`;
    await service`update public.integrations set status = 'reconnect_required' where id = ${id}`;
    await service`update public.integrations set name = 'x', config = '{}' where id = ${id}`;
    await service`delete from public.integrations where id = ${id}`;
    assert.deepEqual(await told(id), ["created", "degraded", "reconnect_required", "deleted"]);
  });

  test("an event is within bounds whatever the row holds", async () => {
    const organization_id = randomUUID();
    await endpointOf(service, organization_id);
    const long = "\u0001".repeat(100_000);
    const id = await insertIntegration(service, { organization_id, name: long, integration_type: "t".repeat(5000), status: "s".repeat(5000) });
    const [{ data }] = await deliveriesOf(owner, id);
    assert.deepEqual([data.name.length, data.integration_type.length, data.status.length], [200, 64, 64]);
  });

  test("an event is committed and rolled back with its transaction", async () => {
    const organization_id = randomUUID();
    await endpointOf(service, organization_id);
    let id;
    await assert.rejects(
      service.begin(async (sql) => {
        id = await insertIntegration(sql, { organization_id });
        throw new Error("undone");
      }),
      /undone/,
    );
    assert.deepEqual(await told(id), []);
  });

  test("a rotation makes no event", async () => {
    const args = await connected();
    const [{ id, version }] = await service`select * from public.rewrap_read(null, 5000, true) where id = ${args.p_id}`;
    await service`select public.rewrap_write(${[id]}::uuid[], ${[version]}::text[], ${[config(KID.b)]}::jsonb[], ${[KID.a]})`;
    await call(service, "record_rotation", { p_part: 0 });
    assert.deepEqual(await told(id), ["created"]);
  });

  test("an event of an unknown type is rejected", async () => {
    const organization = randomUUID();
    await endpointOf(service, organization);
    const enqueue = (type) => owner`select private.enqueue_event(${organization}, ${randomUUID()}, ${type}, '{}')`;
    await enqueue("connection.created");
    await assert.rejects(enqueue("connection.planted"), { code: "23514" });
  });
});

describe("who is told", () => {
  test("nothing is written if no endpoint wants an event", async () => {
    const args = completion();
    await call(service, "complete_connection", args);
    await endpointOf(service, randomUUID());
    const [{ count }] = await owner`select count(*)::int from private.webhook_events where integration_id = ${args.p_id}`;
    assert.equal(count, 0);
  });

  test("an event goes to each enabled endpoint of the organization that wants the type", async () => {
    const organization_id = randomUUID();
    const all = await endpointOf(service, organization_id);
    const some = await endpointOf(service, organization_id, { p_events: ["connection.deleted", "connection.refreshed"] });
    const off = await endpointOf(service, organization_id);
    await call(service, "change_webhook_endpoint", { p_id: off.id, p_user_id: off.user, p_changes: service.json({ enabled: false }) });
    const id = await insertIntegration(service, { organization_id });
    await service`delete from public.integrations where id = ${id}`;
    const of = async ({ id: endpoint }) =>
      (await owner`select type from public.webhook_deliveries where endpoint_id = ${endpoint} order by position`).map(({ type }) => type);
    assert.deepEqual(await of(all), ["connection.created", "connection.deleted"]);
    assert.deepEqual(await of(some), ["connection.deleted"]);
    assert.deepEqual(await of(off), []);
    const events = await owner`select id from private.webhook_events where integration_id = ${id}`;
    assert.equal(events.length, 2, "an event is one, however many hear of it");
  });

  // Threat model 222.
  test("an endpoint of the whole deployment gets the events of all organizations, and only a key of all sees and manages it", async () => {
    const key = async (organization) => (await call(service, "create_service_key", {
      p_user_id: null, p_organization_id: organization, p_name: "operator", p_prefix: "sik_abcd", p_scopes: ["webhooks:manage"],
      p_hash: randomUUID().replaceAll("-", "").repeat(2),
    })).service_key.id;
    const [one, two, operator] = [randomUUID(), randomUUID(), await key(null)];
    const create = (over) => call(service, "create_webhook_endpoint", endpointArgs(null, { p_user_id: null, p_service_key: operator, ...over }));
    const own = await key(one);
    for (const wrong of [{ p_service_key: own }, { p_service_key: null }, { p_service_key: null, p_user_id: one }]) {
      assert.deepEqual(await create(wrong), { outcome: "not_a_member" });
    }
    const { endpoint } = await create({ p_events: ["connection.created"] });
    assert.equal(endpoint.organization_id, null);
    for (let i = 1; i < 10; i++) assert.equal((await create({ p_events: ["connection.deleted"] })).outcome, "created");
    assert.deepEqual(await create(), { outcome: "too_many" });

    const mine = await endpointOf(service, one);
    const ids = [await insertIntegration(service, { organization_id: one }), await insertIntegration(service, { organization_id: two })];
    const got = await owner`
      select d.organization_id, w.data->>'organization_id' as of from public.webhook_deliveries d join private.webhook_events w on w.id = d.event_id
      where d.endpoint_id = ${endpoint.id} order by d.position`;
    assert.deepEqual(got.map((row) => ({ ...row })), [{ organization_id: null, of: one }, { organization_id: null, of: two }]);
    const { deliveries } = await call(service, "claim_webhook_deliveries", { p_owner: randomUUID(), p_limit: 100 });
    const claimed = deliveries.filter(({ data }) => ids.includes(data.integration_id));
    assert.deepEqual(claimed.map(({ endpoint_id }) => endpoint_id).sort(), [endpoint.id, endpoint.id, mine.id].sort());
    assert.ok(claimed.filter(({ endpoint_id }) => endpoint_id === endpoint.id).every(({ organization_id }) => organization_id === "00000000-0000-0000-0000-000000000000"));

    const seen = (sql) => sql`select endpoint_id from public.webhook_deliveries where endpoint_id = ${endpoint.id}`.then(({ length }) => length);
    assert.equal(await seen(project.user(one)), 0);
    assert.equal((await project.user(one)`select id from public.webhook_endpoints where organization_id is null`).length, 0);
    const about = (caller) => ({ p_id: endpoint.id, p_user_id: null, ...caller });
    for (const caller of [{ p_user_id: one }, { p_service_key: own }, {}]) {
      assert.deepEqual(await call(service, "find_webhook_endpoint", about(caller)), { outcome: "unknown" });
      assert.deepEqual(await call(service, "change_webhook_endpoint", { ...about(caller), p_changes: service.json({ enabled: false }) }), { outcome: "unknown" });
      assert.deepEqual(await call(service, "delete_webhook_endpoint", about(caller)), { outcome: "unknown" });
    }
    for (const [who, count] of [[operator, 10], [own, 0]]) {
      const rows = await service.begin(async (sql) => {
        await sql`select set_config('request.headers', ${JSON.stringify({ "x-service-key-id": who })}, true)`;
        return sql`select id from public.service_webhook_endpoints where organization_id is null`;
      });
      assert.equal(rows.length, count);
    }
    const [{ config }] = await owner`select config from private.sealed_elsewhere_rows() where id = ${endpoint.id} and organization_id = '00000000-0000-0000-0000-000000000000'`;
    assert.ok(config.secret);
    assert.equal((await call(service, "change_webhook_endpoint", { ...about({ p_service_key: operator }), p_changes: service.json({ enabled: false }) })).outcome, "changed");
    assert.deepEqual(await call(service, "delete_webhook_endpoint", about({ p_service_key: operator })), { outcome: "deleted" });
    await owner`delete from public.webhook_endpoints where organization_id is null`;
  });

  test("a change goes through while an endpoint is being deleted, and that endpoint gets nothing", async () => {
    const organization_id = randomUUID();
    const { id: endpoint } = await endpointOf(service, organization_id);
    let inserted;
    await owner.begin(async (sql) => {
      await sql`delete from public.webhook_endpoints where id = ${endpoint}`;
      inserted = insertIntegration(service, { organization_id });
      await lockWait(sql);
    });
    assert.deepEqual(await told(await inserted), []);
  });

  test("members read deliveries and their endpoints; strangers do not", async () => {
    const [member, stranger, organization] = [randomUUID(), randomUUID(), randomUUID()];
    await addMember(owner, organization, member);
    await endpointOf(service, organization, { p_user_id: member });
    const id = await insertIntegration(service, { organization_id: organization });
    const read = async (user) => [
      (await project.user(user)`select type from public.webhook_deliveries where integration_id = ${id}`).length,
      (await project.user(user)`select url from public.webhook_endpoints where organization_id = ${organization}`).length,
    ];
    assert.deepEqual(await read(member), [1, 1]);
    assert.deepEqual(await read(stranger), [0, 0]);
    for (const column of ["config", "failing_since"]) {
      await assert.rejects(project.user(member)`select ${owner(column)} from public.webhook_endpoints`, { code: "42501" });
    }
    await assert.rejects(project.user(member)`select data from private.webhook_events`, { code: "42501" });
  });
});
