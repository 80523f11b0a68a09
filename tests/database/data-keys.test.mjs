// The data keys of organizations: one current key each, what may wrap them, and that nothing is written whose key is gone.
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { call, completion, config, insertIntegration, KID, lockWait, pending, startServer } from "./support.mjs";
import { endpointArgs, endpointOf, secrets } from "./webhooks.mjs";

const NIL = "00000000-0000-0000-0000-000000000000";
const DELETED = { code: "IK004" };

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());

const kid = () => randomBytes(8).toString("hex");
const key = (organization_id, over = {}) => ({ organization_id, kid: kid(), wrapping_kid: KID.a, wrapped: "aXY=.dGFn.Y2lwaGVy", ...over });
const add = async (keys, sql = service) => (await call(sql, "add_data_keys", { p_data_keys: sql.json(keys) })).data_keys;
const read = async (...organizations) => (await call(service, "data_keys", { p_organization_ids: organizations })).data_keys;
const rewrap = async (rewrapped) => (await call(service, "rewrap_data_keys", { p_rewrapped: service.json(rewrapped) })).count;
const erase = (organization, sql = owner) => sql`select private.delete_data_keys(${organization}) as answer`.then(([{ answer }]) => answer);
const sealed = (key, fields = {}) => ({ ...config(null, fields), _enc: { v: 3, kid: key.kid } });
/** An organization with a data key: `[organization, key]`. */
async function made(over = {}) {
  const organization = randomUUID();
  return [organization, (await add([key(organization, over)]))[0]];
}
const another = () => project.connect("authenticator", { role: "service_role" });

describe("reading and adding", () => {
  test("an organization keeps its first data key, and whoever adds another gets that one", async () => {
    const [organization, other] = [randomUUID(), randomUUID()];
    const first = key(organization);
    assert.deepEqual(await add([first]), [first]);
    const second = key(other);
    assert.deepEqual(await add([key(organization), second]), [first, second].sort((a, b) => (a.organization_id < b.organization_id ? -1 : 1)));
    assert.deepEqual(await read(organization, randomUUID()), [first]);
    assert.deepEqual(await read(), []);
  });

  test("of two that add at once, both get the first one's key", async () => {
    const organization = randomUUID();
    const [a, b] = [another(), another()];
    let waiting;
    const first = await a.begin(async (sql) => {
      const answer = await add([key(organization)], sql);
      waiting = add([key(organization)], b);
      await lockWait(owner);
      return answer;
    });
    assert.deepEqual(await waiting, first);
    assert.deepEqual(await read(organization), first);
  });

  test("the current key comes first, and a replaced one follows", async () => {
    const [organization, old] = await made();
    await owner`update private.data_keys set replaced_at = now() where organization_id = ${organization}`;
    const [current, former] = await add([key(organization)]);
    assert.notEqual(current.kid, old.kid);
    assert.deepEqual(former, old);
    assert.deepEqual(await read(organization), [current, old]);
  });

  test("arguments have bounds", async () => {
    const many = Array.from({ length: 1001 }, () => randomUUID());
    for (const p_organization_ids of [null, many]) await assert.rejects(call(service, "data_keys", { p_organization_ids }), { code: "22023" });
    for (const keys of [[], {}, null, many.map((id) => key(id))]) {
      await assert.rejects(call(service, "add_data_keys", { p_data_keys: service.json(keys) }), { code: "22023" });
    }
    for (const over of [{ kid: "x" }, { wrapping_kid: "x" }, { wrapped: "" }, { wrapped: "x".repeat(4097) }]) {
      await assert.rejects(add([key(randomUUID(), over)]), { code: "23514" });
    }
  });
});

describe("rewrapping", () => {
  const next = async (after, p_wrapping_kid = null, p_limit = 1000) =>
    (await call(service, "next_data_keys", { p_after_organization_id: after?.organization_id ?? null, p_after_kid: after?.kid ?? null, p_wrapping_kid, p_limit }))
      .data_keys;

  test("a data key is rewrapped only as it was read, which leaves an event and the former key in the registry", async () => {
    const [organization, old] = await made({ wrapping_kid: KID.c });
    const [, changed] = await made({ wrapping_kid: KID.c });
    const rewrapped = [old, changed].map((one) => ({ ...one, read: one.wrapped, wrapping_kid: KID.b, wrapped: "bmV3.bmV3.bmV3" }));
    rewrapped[1].read = "other";
    assert.equal(await rewrap(rewrapped), 1);
    assert.equal(await rewrap(rewrapped), 0);
    assert.deepEqual(await read(organization), [{ ...old, wrapping_kid: KID.b, wrapped: "bmV3.bmV3.bmV3" }]);
    const [event] = await owner`select action, outcome, details from public.credential_events where organization_id = ${organization}`;
    assert.deepEqual([event.action, event.outcome], ["rotated", "succeeded"]);
    assert.deepEqual([event.details.data_key, event.details.from, event.details.to], [old.kid, [KID.c], KID.b]);
    const { keys } = await call(service, "key_registry_state");
    assert.ok(keys.some(({ kid, state }) => kid === KID.c && state === "known"));
  });

  test("pages go through all keys that another key wraps", async () => {
    const fresh = await server.createProject();
    const all = await add(Array.from({ length: 5 }, (_, i) => key(randomUUID(), { wrapping_kid: i === 2 ? KID.b : KID.a })), fresh.service);
    const pages = [];
    for (let last; ;) {
      const [one] = (await call(fresh.service, "next_data_keys", {
        p_after_organization_id: last?.organization_id ?? null, p_after_kid: last?.kid ?? null, p_wrapping_kid: KID.b, p_limit: 1,
      })).data_keys;
      if (!one) break;
      pages.push((last = one));
    }
    const rows = all.filter(({ wrapping_kid }) => wrapping_kid === KID.a);
    assert.deepEqual(pages, rows.map((row) => ({ ...row, replaced: false, rewrapped: false })));
    for (const limit of [0, 1001, null]) await assert.rejects(next(undefined, null, limit), { code: "22023" });
  });
});

describe("the fence", () => {
  test("behind the fence a data key is added and rewrapped only by an allowed key, and what a data key seals passes", async () => {
    const fresh = await server.createProject();
    const organization = randomUUID();
    const [old] = await add([key(organization)], fresh.service);
    const { fence } = await call(fresh.service, "declare_fence", { p_kids: [KID.b] });
    const message = "a data key is not sealed with a key that may write now";
    await assert.rejects(add([key(randomUUID())], fresh.service), { code: "IK001", message });
    await add([key(randomUUID(), { wrapping_kid: KID.b })], fresh.service);
    const id = await insertIntegration(fresh.service, { organization_id: organization, config: fresh.service.json(sealed(old)) });
    await assert.rejects(insertIntegration(fresh.service, { config: fresh.service.json(config(KID.a)) }), { code: "IK001" });

    await call(fresh.service, "record_keys", { p_kids: [KID.a] });
    const retire = () => call(fresh.service, "retire_key", { p_kid: KID.a, p_fence: fence });
    assert.deepEqual(await retire(), { outcome: "needed", tables: { data_keys: 1 } });
    const move = (wrapping_kid) => call(fresh.service, "rewrap_data_keys", {
      p_rewrapped: fresh.service.json([{ ...old, read: old.wrapped, wrapping_kid, wrapped: "bmV3.bmV3.bmV3" }]),
    });
    await assert.rejects(move(KID.c), { code: "IK001" });
    assert.deepEqual(await move(KID.b), { outcome: "rewrapped", count: 1 });
    assert.deepEqual(await retire(), { outcome: "retired" });
    assert.equal((await fresh.owner`select config->'_enc'->>'kid' as kid from public.integrations where id = ${id}`)[0].kid, old.kid);
  });

  test("a declaration waits for a data key that is being added, and retire_key then counts it", async () => {
    const fresh = await server.createProject();
    const [a, b] = [fresh.connect("authenticator", { role: "service_role" }), fresh.connect("authenticator", { role: "service_role" })];
    let declared;
    await a.begin(async (sql) => {
      await add([key(randomUUID())], sql);
      declared = call(b, "declare_fence", { p_kids: [KID.b] });
      await lockWait(fresh.owner);
    });
    const { fence } = await declared;
    assert.equal((await call(fresh.service, "retire_key", { p_kid: KID.a, p_fence: fence })).outcome, "needed");
  });
});

describe("deleting", () => {
  // Threat model 37.
  test("deleting is for the owner of the database alone, says what it deleted, and leaves an event", async () => {
    const [organization, one] = await made();
    await assert.rejects(erase(organization, service), { code: "42501" });
    for (const change of ["delete from private.data_keys", "update private.data_keys set wrapped = 'x'", "select from private.data_keys", "truncate private.data_keys"]) {
      await assert.rejects(service.unsafe(change), { code: "42501" }, change);
    }
    assert.deepEqual(await erase(organization), { outcome: "deleted", kids: [one.kid] });
    assert.deepEqual(await erase(organization), { outcome: "none" });
    const [event] = await owner`select action, details from public.credential_events where organization_id = ${organization}`;
    assert.deepEqual([event.action, event.details.data_keys], ["data_keys_deleted", [one.kid]]);
    const [after] = await add([key(organization)]);
    assert.notEqual(after.kid, one.kid);
  });

  // Threat model 36.
  test("nothing is written under a deleted key, or under one of another organization, in any table", async () => {
    const [organization, gone] = await made();
    const [, foreign] = await made();
    const owned = { p_user_id: organization, p_organization_id: organization };
    const endpoint = await endpointOf(service, organization, { p_config: secrets() });
    const row = completion({ ...owned, p_config: sealed(gone) });
    assert.equal((await call(service, "complete_connection", row)).outcome, "created");
    await erase(organization);
    const message = (table) => ({ ...DELETED, message: `${table}.config is sealed with a data key that its organization does not have` });
    for (const one of [gone, foreign]) {
      const p_config = sealed(one);
      await assert.rejects(call(service, "complete_connection", completion({ ...owned, p_external_account_id: "other", p_config })), message("integrations"));
      await assert.rejects(call(service, "add_pending_connection", (({ p_accounts, ...args }) => args)(pending({ ...owned, p_config }))), message("pending_connections"));
      await assert.rejects(call(service, "create_webhook_endpoint", endpointArgs(organization, { p_config })), message("webhook_endpoints"));
      await assert.rejects(
        call(service, "change_webhook_secret", { p_id: endpoint.id, p_user_id: organization, p_read: service.json(secrets()), p_config }), message("webhook_endpoints"));
      const app = { p_id: randomUUID(), p_user_id: organization, p_organization_id: organization, p_integration_type: "supabase", p_name: "n", p_client_id: kid(), p_slug: null, p_config };
      await assert.rejects(call(service, "create_oauth_app", app), message("oauth_apps"));
    }
    // The same kid, other secrets: a reconnection with a key that has been deleted since it was read.
    const again = sealed(gone, { access_token: "bmV3.bmV3.bmV3" });
    await assert.rejects(call(service, "complete_connection", { ...row, p_config: again }), message("integrations"));
    // A writer of plaintext, and whoever deletes or moves nothing of the secrets, still writes.
    await owner`update public.integrations set config = config || '{"note": "x"}', name = 'other' where id = ${row.p_id}`;
    await assert.rejects(owner`update public.integrations set organization_id = ${randomUUID()} where id = ${row.p_id}`, DELETED);
  });

  test("what belongs to the deployment is sealed with a key of the nil UUID", async () => {
    const [one] = await add([key(NIL)]);
    const [, other] = await made();
    const insert = (config) => owner`insert into public.webhook_endpoints (id, organization_id, url, config) values (${randomUUID()}, null, 'https://x.example', ${owner.json(config)})`;
    await insert(sealed(one));
    await assert.rejects(insert(sealed(other)), DELETED);
    await owner`delete from private.data_keys where organization_id = ${NIL}`;
  });

  test("a deletion waits for a writer that has begun, and a writer for a deletion", async () => {
    const [organization, one] = await made();
    const [a, b] = [project.connect("postgres"), project.connect("postgres")];
    const write = (sql) => insertIntegration(sql, { organization_id: organization, external_account_id: kid(), config: sql.json(sealed(one)) });
    let waiting;
    await a.begin(async (sql) => {
      await write(sql);
      waiting = erase(organization, b);
      await lockWait(owner);
    });
    assert.equal((await waiting).outcome, "deleted");

    await add([key(organization, { kid: one.kid })]);
    await a.begin(async (sql) => {
      await erase(organization, sql);
      waiting = write(b);
      waiting.catch(() => {});
      await lockWait(owner);
    });
    await assert.rejects(waiting, DELETED);
  });

  test("a refresh whose data key was deleted keeps its claim, and is settled under another key; the others of the batch are settled", async () => {
    const [[organization, one], [other, second]] = [await made(), await made()];
    const rows = [];
    for (const [organization_id, dataKey] of [[organization, one], [other, second]]) {
      const soon = { expires_at: new Date(Date.now() + 30_000).toISOString() };
      const args = completion({ p_user_id: organization_id, p_config: sealed(dataKey, soon) });
      await call(service, "complete_connection", args);
      const p_owner = randomUUID();
      rows.push({ ...args, dataKey, p_owner, claim: await call(service, "claim_refresh", { p_id: args.p_id, p_owner, p_within: 60 }) });
    }
    const claimer = rows[0].p_owner;
    await owner`update public.credential_leases set owner = ${claimer} where integration_id = ${rows[1].p_id}`;
    await erase(organization);
    const fresh = (dataKey) => sealed(dataKey, { access_token: "bmV3.bmV3.bmV3" });
    const result = ({ p_id, claim }, dataKey) => ({ id: p_id, generation: claim.generation, config: fresh(dataKey) });
    const settle = async (results) => (await call(service, "settle_refreshes", { p_owner: claimer, p_results: service.json(results) })).ends;
    assert.deepEqual(await settle(rows.map((row) => result(row, row.dataKey))), { [rows[0].p_id]: "data_key_deleted", [rows[1].p_id]: "settled" });
    const [replacement] = await add([key(organization)]);
    assert.deepEqual(await settle([result(rows[0], replacement)]), { [rows[0].p_id]: "settled" });
    const [{ config: stored }] = await owner`select config from public.integrations where id = ${rows[0].p_id}`;
    assert.deepEqual(stored, fresh(replacement));
  });
});

test("a config of the ring takes the result of a refresh under a data key, and one of a data key that of the ring", async () => {
  const [organization, one] = await made();
  const soon = { expires_at: new Date(Date.now() + 30_000).toISOString() };
  const states = [config(KID.a, soon), sealed(one, soon)];
  for (const [before, after] of [states, states.toReversed()]) {
    const args = completion({ p_user_id: organization, p_external_account_id: kid(), p_config: before });
    await call(service, "complete_connection", args);
    const p_owner = randomUUID();
    const { generation } = await call(service, "claim_refresh", { p_id: args.p_id, p_owner, p_within: 60 });
    // Somebody else writes plaintext meanwhile: the lease stays, and the change is merged.
    await owner`update public.integrations set config = config || '{"note": "theirs"}' where id = ${args.p_id}`;
    const refreshed = { ...after, access_token: "bmV3.bmV3.bmV3" };
    const p_results = service.json([{ id: args.p_id, generation, config: refreshed }]);
    assert.deepEqual((await call(service, "settle_refreshes", { p_owner, p_results })).ends, { [args.p_id]: "settled" });
    const [{ config: stored }] = await owner`select config from public.integrations where id = ${args.p_id}`;
    assert.deepEqual(stored, { ...refreshed, note: "theirs" });
  }
});

test("secrets under a replaced data key are found to be sealed again, and those under the current one are not", async () => {
  const [organization, old] = await made();
  const on = (config) => endpointOf(service, organization, { p_config: config });
  const [former, ring] = [await on(sealed(old)), await on(secrets(KID.c))];
  const found = async (p_kids) => (await call(service, "secrets_on", { p_kids, p_limit: 500 })).secrets.map(({ id }) => id);
  assert.deepEqual(await found([KID.c]), [ring.id]);
  await owner`update private.data_keys set replaced_at = now() where organization_id = ${organization}`;
  const [current] = await add([key(organization)]);
  await on(sealed(current));
  assert.deepEqual((await found([KID.c])).sort(), [former.id, ring.id].sort());
  const resealed = [{ table: "webhook_endpoints", id: former.id, read: sealed(old), config: sealed(current) }];
  assert.equal((await call(service, "reseal_secrets", { p_resealed: service.json(resealed) })).count, 1);
  assert.deepEqual(await found([KID.c]), [ring.id]);
  const { keys } = await call(service, "key_registry_state");
  assert.ok(!keys.some(({ kid }) => kid === old.kid), "a data key is no key of the registry");
});
