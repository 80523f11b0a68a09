// Endpoints: made, changed and removed by members alone, within bounds; their secrets, and the key that these are sealed with.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { addMember, call, KID, lockWait, startServer } from "./support.mjs";
import { endpointArgs, endpointOf, memberWithEndpoint, secrets } from "./webhooks.mjs";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());

const row = async (id) => (await owner`select * from public.webhook_endpoints where id = ${id}`)[0];
const create = (args) => call(service, "create_webhook_endpoint", args);
const change = ({ id, user }, p_changes) =>
  call(service, "change_webhook_endpoint", { p_id: id, p_user_id: user, p_changes: service.json(p_changes) });

describe("an endpoint", () => {
  test("an endpoint is shown without its secrets", async () => {
    const args = endpointArgs(randomUUID(), { p_events: ["connection.deleted"] });
    const { outcome, endpoint } = await create(args);
    assert.equal(outcome, "created");
    assert.deepEqual({ ...endpoint, created_at: null }, {
      id: args.p_id, organization_id: args.p_organization_id, url: args.p_url, events: args.p_events, min_severity: null, enabled: true,
      disabled_reason: null, previous_secret_ends_at: null, created_at: null,
    });
  });

  test("an endpoint is added by members only", async () => {
    const args = endpointArgs(randomUUID(), { p_user_id: randomUUID() });
    assert.deepEqual(await create(args), { outcome: "not_a_member" });
    await addMember(owner, args.p_organization_id, args.p_user_id);
    assert.equal((await create(args)).outcome, "created");
  });

  test("an organization has ten endpoints at the most, also when many are added at once", async () => {
    const organization = randomUUID();
    const many = project.connect("authenticator", { role: "service_role" }, 15);
    const outcomes = await Promise.all(
      Array.from({ length: 15 }, async () => (await call(many, "create_webhook_endpoint", endpointArgs(organization))).outcome),
    );
    assert.deepEqual(outcomes.sort(), [...Array(10).fill("created"), ...Array(5).fill("too_many")]);
  });

  test("an endpoint's values are within bounds", async () => {
    for (const over of [
      { p_url: "" }, { p_url: "x".repeat(2049) }, { p_events: [] }, { p_events: ["connection.planted"] }, { p_events: [null] },
      { p_config: [] }, { p_config: secrets(KID.a, { secret: "x".repeat(4096) }) },
    ]) {
      await assert.rejects(create(endpointArgs(randomUUID(), over)), { code: "23514" }, JSON.stringify(over).slice(0, 60));
    }
  });

  test("changing an endpoint changes only what is named", async () => {
    const made = await memberWithEndpoint(owner, service);
    const shown = async (changes) => {
      const { outcome, endpoint } = await change(made, changes);
      assert.equal(outcome, "changed");
      return [endpoint.url, endpoint.events, endpoint.enabled];
    };
    const url = "https://other.example.com";
    assert.deepEqual(await shown({ url }), [url, null, true]);
    assert.deepEqual(await shown({ events: ["connection.created"] }), [url, ["connection.created"], true]);
    assert.deepEqual(await shown({ enabled: false }), [url, ["connection.created"], false]);
    assert.deepEqual(await shown({ events: null, enabled: true }), [url, null, true]);
    for (const wrong of [[], { config: {} }, { url: null }, { enabled: "yes" }, { events: "all" }]) {
      await assert.rejects(change(made, wrong), { code: "22023" }, JSON.stringify(wrong));
    }
    for (const wrong of [{ url: "" }, { events: [] }, { events: ["planted"] }]) {
      await assert.rejects(change(made, wrong), { code: "23514" }, JSON.stringify(wrong));
    }
  });

  test("an endpoint that was disabled as gone is enabled again without the reason", async () => {
    const made = await memberWithEndpoint(owner, service);
    await owner`update public.webhook_endpoints set enabled = false, disabled_reason = 'gone' where id = ${made.id}`;
    assert.equal((await change(made, { url: "https://new.example.com" })).endpoint.disabled_reason, "gone");
    const { endpoint } = await change(made, { enabled: true });
    assert.deepEqual([endpoint.enabled, endpoint.disabled_reason], [true, null]);
  });

  test("an endpoint of another organization is unknown, whatever is asked, and stays as it was", async () => {
    const made = await memberWithEndpoint(owner, service);
    const before = await row(made.id);
    for (const [p_id, p_user_id] of [[made.id, randomUUID()], [randomUUID(), made.user]]) {
      for (const [name, args] of [
        ["change_webhook_endpoint", { p_changes: { url: "https://planted.example.com" } }],
        ["delete_webhook_endpoint", {}],
        ["find_webhook_endpoint", {}],
        ["change_webhook_secret", { p_read: before.config, p_config: secrets(KID.b) }],
      ]) {
        assert.deepEqual(await call(service, name, { p_id, p_user_id, ...args }), { outcome: "unknown" }, name);
      }
    }
    assert.deepEqual(await row(made.id), before);
  });

  test("deleting an endpoint with a long history is bounded: it is gone at once, and clean_up deletes its deliveries a thousand at a time", async () => {
    const made = await memberWithEndpoint(owner, service);
    const other = await endpointOf(service, made.organization, { p_user_id: made.user });
    await owner`
      with e as (
        insert into private.webhook_events (organization_id, integration_id, type, data)
        select ${made.organization}, gen_random_uuid(), 'connection.created', '{}' from generate_series(1, 2499) returning *
      )
      insert into public.webhook_deliveries (endpoint_id, event_id, organization_id, integration_id, type, occurred_at)
      select ${made.id}, e.id, e.organization_id, e.integration_id, e.type, e.occurred_at from e`;
    await owner`select private.enqueue_event(${made.organization}, ${randomUUID()}, 'connection.created', '{}')`;
    const stored = async ({ id }) => (await owner`select count(*)::int as n from public.webhook_deliveries where endpoint_id = ${id}`)[0].n;
    const args = { p_id: made.id, p_user_id: made.user };
    const { p_user_id, ...about } = args;
    assert.deepEqual(await call(service, "delete_webhook_endpoint", args), { outcome: "deleted" });
    assert.equal(await stored(made), 2500);
    assert.deepEqual((await row(made.id)).config, {}, "its secrets are gone");

    const key = randomUUID();
    await owner`
      insert into private.service_keys (id, organization_id, name, prefix, hash, scopes)
      values (${key}, null, 'all', 'sik_all1', ${key.replaceAll("-", "").repeat(2)}, ${["webhooks:manage"]})`;
    const reads = async (sql, prefix) => {
      const endpoints = await sql.unsafe(`select id from public.${prefix}webhook_endpoints where organization_id = '${made.organization}'`);
      const deliveries = await sql.unsafe(`select distinct endpoint_id from public.${prefix}webhook_deliveries where organization_id = '${made.organization}'`);
      assert.deepEqual([endpoints.map(({ id }) => id), deliveries.map(({ endpoint_id }) => endpoint_id)], [[other.id], [other.id]]);
    };
    await reads(project.user(made.user), "");
    await service.begin(async (sql) => {
      await sql`select set_config('request.headers', ${JSON.stringify({ "x-service-key-id": key })}, true)`;
      await reads(sql, "service_");
    });
    assert.equal((await owner`select from private.sealed_elsewhere_rows() where id = ${made.id}`).length, 0);
    for (const [name, more] of [
      ["delete_webhook_endpoint", {}], ["find_webhook_endpoint", {}], ["change_webhook_endpoint", { p_changes: service.json({ enabled: true }) }],
    ]) {
      assert.deepEqual(await call(service, name, { ...about, p_user_id, ...more }), { outcome: "unknown" }, name);
    }
    const claims = await call(service, "claim_webhook_deliveries", { p_owner: randomUUID(), p_limit: 100 });
    assert.ok(claims.deliveries.every(({ endpoint_id }) => endpoint_id !== made.id));
    await owner`select private.enqueue_event(${made.organization}, ${randomUUID()}, 'connection.created', '{}')`;
    assert.deepEqual([await stored(made), await stored(other)], [2500, 2], "it gets nothing more");
    for (let i = 2; i <= 10; i++) assert.equal((await endpointOf(service, made.organization, { p_user_id: made.user })).organization, made.organization);

    const left = [];
    for (let i = 0; i < 3; i++) {
      const [{ more }] = await owner`select private.clean_up_webhooks() as more`;
      left.push([await stored(made), more]);
    }
    assert.deepEqual(left, [[1500, true], [500, true], [0, false]]);
    assert.equal(await row(made.id), undefined);
    assert.equal(await stored(other), 2);
  });

  test("deleting an endpoint deletes its deliveries", async () => {
    const made = await memberWithEndpoint(owner, service);
    await owner`select private.enqueue_event(${made.organization}, ${randomUUID()}, 'connection.created', '{}')`;
    const args = { p_id: made.id, p_user_id: made.user };
    assert.deepEqual(await call(service, "delete_webhook_endpoint", args), { outcome: "deleted" });
    assert.deepEqual(await call(service, "delete_webhook_endpoint", args), { outcome: "unknown" });
    await owner`select private.clean_up_webhooks()`;
    assert.equal((await owner`select from public.webhook_deliveries where endpoint_id = ${made.id}`).length, 0);
  });
});

describe("a secret", () => {
  const rotate = ({ id, user }, p_read, p_config) =>
    call(service, "change_webhook_secret", { p_id: id, p_user_id: user, p_read: service.json(p_read), p_config: service.json(p_config) });
  const both = secrets(KID.a, { secret: "bmV3.bmV3.bmV3", previous_secret: "b2xk.b2xk.b2xk" });

  test("replacing a secret leaves the earlier one valid for a day", async () => {
    const made = await memberWithEndpoint(owner, service);
    const { outcome, config } = await call(service, "find_webhook_endpoint", { p_id: made.id, p_user_id: made.user });
    assert.deepEqual([outcome, config], ["found", secrets()]);
    const { endpoint } = await rotate(made, config, both);
    const hours = (Date.parse(endpoint.previous_secret_ends_at) - Date.now()) / 3_600_000;
    assert.ok(hours > 23.9 && hours < 24.1, endpoint.previous_secret_ends_at);
    assert.deepEqual((await row(made.id)).config, both);
    assert.deepEqual(await rotate(made, config, secrets()), { outcome: "changed" }, "what was read stands no more");
  });

  test("an expired secret is deleted by the next clean-up", async () => {
    const made = await memberWithEndpoint(owner, service);
    await rotate(made, secrets(), both);
    await owner`select private.clean_up_webhooks()`;
    assert.deepEqual((await row(made.id)).config, both);
    await owner`update public.webhook_endpoints set previous_secret_ends_at = now() where id = ${made.id}`;
    await owner`select private.clean_up_webhooks()`;
    const { config, previous_secret_ends_at } = await row(made.id);
    assert.deepEqual([config.secret, config.previous_secret, previous_secret_ends_at], [both.secret, undefined, null]);
  });
});

describe("the key that the secrets are sealed with", () => {
  const reseal = (...p_resealed) => call(service, "reseal_secrets", { p_resealed: service.json(p_resealed) });

  test("secrets are sealed again with another key only if they are on one of the named keys and still as they were read", async () => {
    const fresh = await server.createProject();
    const [one, two, done] = await Promise.all(
      [KID.a, KID.a, KID.b].map((kid) => endpointOf(fresh.service, randomUUID(), { p_config: secrets(kid) })),
    );
    const found = await call(fresh.service, "secrets_on", { p_kids: [KID.a, KID.c], p_limit: 500 });
    assert.deepEqual(found.secrets.map(({ id }) => id).sort(), [one.id, two.id].sort());
    assert.deepEqual(Object.keys(found.secrets[0]).sort(), ["config", "id", "organization_id", "table"]);
    assert.equal((await call(fresh.service, "secrets_on", { p_kids: [KID.a], p_limit: 1 })).secrets.length, 1);
    const p_resealed = [
      { id: one.id, read: secrets(KID.a), config: secrets(KID.b) },
      { id: two.id, read: secrets(KID.a, { secret: "other" }), config: secrets(KID.b) },
      { id: randomUUID(), read: secrets(KID.a), config: secrets(KID.b) },
    ].map((resealed) => ({ table: "webhook_endpoints", ...resealed }));
    assert.deepEqual(await call(fresh.service, "reseal_secrets", { p_resealed: fresh.service.json(p_resealed) }), {
      outcome: "resealed", count: 1,
    });
    const kids = await fresh.owner`select id, config->'_enc'->>'kid' as kid from public.webhook_endpoints`;
    const of = (endpoint) => kids.find(({ id }) => id === endpoint.id).kid;
    assert.deepEqual([one, two, done].map(of), [KID.b, KID.a, KID.b]);
  });

  test("a key is not retired while a secret is on it, and no secret comes onto it behind the fence", async () => {
    const fresh = await server.createProject();
    const on = (kid) => endpointArgs(randomUUID(), { p_config: secrets(kid) });
    const args = on(KID.a);
    await call(fresh.service, "create_webhook_endpoint", args);
    const { fence } = await call(fresh.service, "declare_fence", { p_kids: [KID.b] });
    const retire = () => call(fresh.service, "retire_key", { p_kid: KID.a, p_fence: fence });
    assert.deepEqual(await retire(), { outcome: "needed", tables: { webhook_endpoints: 1 } });

    await assert.rejects(call(fresh.service, "create_webhook_endpoint", on(KID.a)), {
      code: "IK001", message: "webhook_endpoints.config is not sealed with a key that may write now",
    });
    const { outcome } = await call(fresh.service, "create_webhook_endpoint", on(KID.b));
    assert.equal(outcome, "created");
    const write = (read, config) =>
      call(fresh.service, "reseal_secrets", { p_resealed: fresh.service.json([{ table: "webhook_endpoints", id: args.p_id, read, config }]) });
    await assert.rejects(write(secrets(KID.a), secrets(KID.c)), { code: "IK001" });
    await write(secrets(KID.a), secrets(KID.b));
    await assert.rejects(write(secrets(KID.b), secrets(KID.a)), { code: "IK001" });
    assert.deepEqual(await retire(), { outcome: "retired" });
  });

  test("secrets on a key are counted together with those of writers while the fence goes up", async () => {
    const fresh = await server.createProject();
    let declared;
    await fresh.service.begin(async (sql) => {
      await call(sql, "create_webhook_endpoint", endpointArgs(randomUUID(), { p_config: secrets(KID.a) }));
      declared = call(fresh.connect("authenticator", { role: "service_role" }), "declare_fence", { p_kids: [KID.b] });
      await lockWait(fresh.owner);
    });
    const { fence } = await declared;
    assert.equal((await call(fresh.service, "retire_key", { p_kid: KID.a, p_fence: fence })).outcome, "needed");
  });

  test("sealing secrets again rejects arguments out of bounds", async () => {
    for (const args of [{ p_kids: null, p_limit: 1 }, { p_kids: [], p_limit: 0 }, { p_kids: [], p_limit: 501 }]) {
      await assert.rejects(call(service, "secrets_on", args), { code: "22023" });
    }
    await assert.rejects(reseal(...Array(501).fill({})), { code: "22023" });
    await assert.rejects(call(service, "reseal_secrets", { p_resealed: {} }), { code: "22023" });
  });
});
