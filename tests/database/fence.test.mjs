// The fence: what it refuses, what it lets pass, and that no writer slips through while it goes up.
import assert from "node:assert/strict";
import { randomInt, randomUUID } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";

import { isSensitive } from "../format/format.mjs";
import { Random } from "../chaos/random.mjs";
import { call, completion, config, insertIntegration, KID, lockWait, startServer } from "./support.mjs";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());
beforeEach(async () => {
  await call(service, "lift_fence");
  await owner`delete from public.key_registry`;
});

const declare = (...kids) => call(service, "declare_fence", { p_kids: kids });
const states = async () => {
  const { keys } = await call(service, "key_registry_state");
  return Object.fromEntries(keys.map(({ kid, state }) => [kid, state]));
};
const insert = (value, sql = service) => insertIntegration(sql, { config: sql.json(value) });
const enc = (value) => ({ project_id: "p", _enc: value });
const FENCED = { code: "IK001" };

describe("what it rejects", () => {
  const fine = {
    "an allowed key": config(KID.b),
    "another allowed key": config(KID.c),
    "nothing at all": {},
    "plain fields only": { project_id: "p", token_type: "bearer", monkey: "x", nested: [{ name: "n" }] },
    "a secret that is null": { access_token: null, nested: { apiKey: null } },
    "a string": "access_token",
    "a number": 7,
    "a list of plain values": ["token", 1, null],
  };
  const refused = {
    "another key": config(KID.a),
    "the legacy form": config(null),
    "a secret in the legacy form, deep down": { providers: [{ settings: { apiKey: "x" } }] },
    "a list that holds one": [{ client_secret: "x" }],
    "a secret that is no string": { client_secret: { a: 1 } },
    "no key id": enc({ v: 2 }),
    "a key id that is none": enc({ v: 2, kid: "x" }),
    "a key id that is no string": enc({ v: 2, kid: 7 }),
    "key data that are no object": enc("aaaa"),
    "key data that are null": enc(null),
  };

  test("the fence rejects nothing before it is declared, and nothing after it is lifted", async () => {
    for (const value of Object.values({ ...fine, ...refused })) await insert(value);
    assert.equal((await declare(KID.b)).outcome, "fenced");
    assert.deepEqual(await call(service, "lift_fence"), { outcome: "lifted" });
    for (const value of Object.values({ ...fine, ...refused })) await insert(value);
  });

  test("the fence rejects every write of a config that another or an unknown key has sealed", async () => {
    const standing = await insert(config(KID.a));
    await declare(KID.b, KID.c);
    for (const value of Object.values(fine)) {
      await insert(value);
      await service`update public.integrations set config = ${service.json(value)} where id = ${standing}`;
    }
    for (const [name, value] of Object.entries(refused)) {
      await assert.rejects(insert(value), FENCED, `insert: ${name}`);
      await assert.rejects(service`update public.integrations set config = ${service.json(value)} where id = ${standing}`, FENCED, name);
      await assert.rejects(insert(value, owner), FENCED, `insert as owner: ${name}`);
    }
  });

  test("the fence accepts a write of other columns, and rejects a changed id", async () => {
    const id = await insert(config(KID.a));
    await declare(KID.b);
    await service`update public.integrations set last_checked_at = now(), status = 'error' where id = ${id}`;
    await assert.rejects(service`update public.integrations set id = ${randomUUID()} where id = ${id}`, FENCED);
    await service`delete from public.integrations where id = ${id}`;
  });

  test("the fence rejects the worker's whole write, so that it can be repeated", async () => {
    const args = completion();
    await declare(KID.b);
    await assert.rejects(call(service, "complete_connection", args), FENCED);
    const [{ events }] = await owner`select count(*)::int as events from public.credential_events where integration_id = ${args.p_id}`;
    assert.equal(events, 0);
    assert.equal((await call(service, "complete_connection", { ...args, p_config: config(KID.b) })).outcome, "created");
  });

  test("the fence's error names the key id and never a value", async () => {
    await declare(KID.b);
    const failure = async (value) => {
      const error = await insert(value).catch((error) => error);
      return [error.message, error.detail, error.hint];
    };
    const hint = "a key rotation has fenced this key out: seal with the current ENCRYPTION_KEY and write again";
    const message = "integrations.config is not sealed with a key that may write now";
    assert.deepEqual(await failure(config(KID.a)), [message, `key id: ${KID.a}`, hint]);
    assert.deepEqual(await failure(enc({ kid: "planted secret" })), [message, "key id: none", hint]);
    assert.deepEqual(await failure(config(null)), [message, "key id: none", hint]);
  });

  test("the fence takes the same field names for secrets as docs/format.md", async () => {
    const words = ["token", "key", "secret", "password", "Token", "KEY", "tOKEN", "Key", "keys", "tokenS"];
    const heads = ["", "_", "access_", "access", "ACCESS", "ACCESS_", "oauth2", "api-", "API", "mon", "MON", "Mon", "x y ", "ü", "É", "a.", "1", "é_"];
    const names = heads.flatMap((head) => words.flatMap((word) => [head + word, `${head}${word}_id`]));
    const rows = await owner`
      select n as name, private.holds_secrets(jsonb_build_object(n, 'x')) as held from unnest(${names}::text[]) n`;
    assert.equal(rows.length, names.length);
    for (const { name, held } of rows) assert.equal(held, isSensitive(name), name);
    assert.ok(rows.some((row) => row.held) && rows.some((row) => !row.held));
  });
});

describe("declaring, lifting, retiring", () => {
  test("declaring the same keys again keeps the fence, and other keys make another fence", async () => {
    const first = await declare(KID.a, KID.b);
    assert.deepEqual(await declare(KID.b, KID.a, KID.a), first);
    const second = await declare(KID.b);
    assert.notEqual(second.fence, first.fence);
    assert.ok(second.declared_at > first.declared_at);
    assert.deepEqual(await states(), { [KID.a]: "known", [KID.b]: "allowed" });
    const { fence: { age_seconds, ...fence } } = await call(service, "key_registry_state");
    assert.deepEqual(fence, { id: second.fence, declared_at: second.declared_at });
    assert.ok(Number.isInteger(age_seconds) && age_seconds >= 0 && age_seconds < 60, `${age_seconds}`);
    await call(service, "lift_fence");
    assert.notEqual((await declare(KID.b)).fence, second.fence, "between the two it was down");
  });

  test("lifting a fence answers lifted, and then not_fenced", async () => {
    await declare(KID.b);
    assert.deepEqual(await call(service, "lift_fence"), { outcome: "lifted" });
    assert.deepEqual(await call(service, "lift_fence"), { outcome: "not_fenced" });
    assert.deepEqual(await states(), { [KID.b]: "known" });
    assert.equal((await call(service, "key_registry_state")).fence, null);
  });

  test("declaring a fence rejects an invalid list of keys", async () => {
    for (const kids of [[], null, ["x"], [KID.a.toUpperCase()], [KID.a, null], [`${KID.a}0`], Array(17).fill(KID.a)]) {
      await assert.rejects(call(service, "declare_fence", { p_kids: kids }), { code: "22023" }, JSON.stringify(kids));
    }
    assert.deepEqual(await states(), {});
  });

  test("a key is retired behind the fence that it was scanned under, if anything was ever sealed with it", async () => {
    const retire = (p_kid, p_fence) => call(service, "retire_key", { p_kid, p_fence });
    const { fence: older } = await declare(KID.a, KID.b);
    const { fence } = await declare(KID.b);
    assert.deepEqual(await retire(KID.a, older), { outcome: "not_fenced" });
    assert.deepEqual(await retire(KID.a, null), { outcome: "not_fenced" });
    assert.deepEqual(await retire(KID.b, fence), { outcome: "allowed" });
    assert.deepEqual(await retire(KID.a, fence), { outcome: "retired" });
    assert.deepEqual(await retire(KID.a, fence), { outcome: "retired" });
    assert.deepEqual(await retire(KID.c, fence), { outcome: "unknown" }, "a typing error, or the next key");
    assert.deepEqual(await states(), { [KID.a]: "retired", [KID.b]: "allowed" });
    await call(service, "record_keys", { p_kids: [KID.c, KID.a, KID.b, KID.c] });
    assert.deepEqual(await states(), { [KID.a]: "retired", [KID.b]: "allowed", [KID.c]: "known" });
    assert.deepEqual(await retire(KID.c, fence), { outcome: "retired" }, "also one that was never declared");
    assert.deepEqual(await states(), { [KID.a]: "retired", [KID.b]: "allowed", [KID.c]: "retired" });
    assert.deepEqual(await declare(KID.c, KID.b, KID.a), { outcome: "retired", kids: [KID.a, KID.c] });
    await call(service, "lift_fence");
    assert.deepEqual(await retire(KID.a, fence), { outcome: "not_fenced" });
    assert.deepEqual(await states(), { [KID.a]: "retired", [KID.b]: "known", [KID.c]: "retired" });
  });

  test("a key that is unretired may be allowed again, and no other key is unretired", async () => {
    const unretire = (p_kid) => call(service, "unretire_key", { p_kid });
    await declare(KID.a);
    const { fence } = await declare(KID.b);
    assert.deepEqual(await unretire(KID.a), { outcome: "not_retired" });
    assert.deepEqual(await call(service, "retire_key", { p_kid: KID.a, p_fence: fence }), { outcome: "retired" });
    assert.deepEqual(await unretire(KID.b), { outcome: "not_retired" });
    assert.deepEqual(await unretire(KID.c), { outcome: "not_retired" });
    assert.deepEqual(await unretire(null), { outcome: "not_retired" });
    assert.deepEqual(await unretire(KID.a), { outcome: "unretired" });
    assert.deepEqual(await states(), { [KID.a]: "known", [KID.b]: "allowed" });
    assert.equal((await declare(KID.a)).outcome, "fenced");
  });

  test("record_keys takes a bounded list of key ids and nothing else", async () => {
    for (const p_kids of [null, ["x"], [null], [KID.a.toUpperCase()], Array(65).fill(KID.a)]) {
      await assert.rejects(call(service, "record_keys", { p_kids }), { code: "22023" }, JSON.stringify(p_kids));
    }
    assert.deepEqual(await call(service, "record_keys", { p_kids: [] }), { outcome: "recorded" });
    assert.deepEqual(await states(), {});
  });

  test("a key that a credential on its way is sealed with is not retired", async () => {
    const { fence } = await declare(KID.b);
    await call(service, "record_keys", { p_kids: [KID.a] });
    const retire = () => call(service, "retire_key", { p_kid: KID.a, p_fence: fence });
    const needed = (tables) => ({ outcome: "needed", tables });
    const elsewhere = async () => Object.fromEntries((await call(service, "key_registry_state")).sealed_elsewhere.map(({ table, kid, rows }) => [`${table} ${kid}`, rows]));
    const id = await insert(config(KID.b));
    await owner`insert into public.credential_leases (integration_id, journal) values (${id}, ${owner.json(config(KID.a))})`;
    await owner`
      insert into public.pending_connections (id, user_id, organization_id, integration_type, config, accounts, return_to)
      values (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'supabase', ${owner.json(config(KID.a))}, '[{"id": "a", "name": "a"}]', '/')`;
    const begin = (verifier) => owner`
      insert into public.oauth_transactions (id, state_hash, binding_hash, user_id, organization_id, integration_type, redirect_uri, verifier)
      values (gen_random_uuid(), gen_random_uuid(), 'b', gen_random_uuid(), gen_random_uuid(), 'supabase', 'https://x.example/', ${owner.json(verifier)})`;
    await begin(config(KID.a));
    await begin(config(KID.b));
    await begin({ nothing: "sealed" });
    assert.deepEqual(await retire(), needed({ credential_leases: 1, pending_connections: 1, oauth_transactions: 1 }));
    assert.deepEqual(await elsewhere(), {
      [`credential_leases ${KID.a}`]: 1, [`oauth_transactions ${KID.a}`]: 1, [`oauth_transactions ${KID.b}`]: 1, [`pending_connections ${KID.a}`]: 1,
    });
    // An expired request opens for nobody; an expired connection has to be revoked, with the same key.
    await owner`update public.oauth_transactions set expires_at = now() - interval '1 second'`;
    await owner`update public.pending_connections set expires_at = now() - interval '1 second'`;
    assert.deepEqual(await retire(), needed({ credential_leases: 1, pending_connections: 1 }));
    const claim = { p_owner: randomUUID(), p_limit: 1, p_types: ["supabase"], p_wide_types: [], p_request_id: "r" };
    const { claims: [{ id: revocation }] } = await call(service, "claim_revocations", claim);
    assert.deepEqual(await retire(), needed({ credential_leases: 1, pending_revocations: 1 }));
    const settled = { p_id: revocation, p_owner: claim.p_owner, p_result: "revoked", p_request_id: "r" };
    assert.deepEqual(await call(service, "settle_revocation", settled), { outcome: "settled" });
    assert.deepEqual(await retire(), needed({ credential_leases: 1 }));
    await owner`update public.credential_leases set journal = ${owner.json(config(KID.b))}`;
    assert.deepEqual(await retire(), { outcome: "retired" });
    assert.deepEqual(await elsewhere(), { [`credential_leases ${KID.b}`]: 1 });
  });

  test("what is sealed elsewhere is read in pages, each row once, with the id that it is sealed for", async () => {
    const id = await insert(config(KID.b));
    await owner`insert into public.credential_leases (integration_id, journal) values (${id}, ${owner.json(config(KID.a))})`;
    await owner`
      insert into public.webhook_endpoints (id, organization_id, url, config)
      select gen_random_uuid(), gen_random_uuid(), 'https://hooks.example/', ${owner.json(config(KID.a, { filler: "x".repeat(3000) }))} from generate_series(1, 1500)`;
    const revocation = { id: randomUUID(), sealed_for: randomUUID() };
    await owner`
      insert into private.pending_revocations (id, organization_id, sealed_for, integration_type, config, reason)
      values (${revocation.id}, gen_random_uuid(), ${revocation.sealed_for}, 'supabase', ${owner.json(config(KID.a))}, 'abandoned')`;
    const [seen, pages] = [[], []];
    for (let last = {}; ; last = seen.at(-1)) {
      const { rows } = await call(service, "read_sealed_elsewhere", { p_table: last.table ?? null, p_id: last.id ?? null });
      if (rows.length === 0) break;
      seen.push(...rows);
      pages.push(rows);
    }
    const [{ rows }] = await owner`select count(*)::int as rows from private.sealed_elsewhere_rows()`;
    assert.ok(rows >= 1502);
    assert.deepEqual([seen.length, new Set(seen.map(({ table, id }) => table + id)).size], [rows, rows]);
    for (const page of pages) assert.ok(page.length <= 1000 && page.reduce((sum, row) => sum + row.config.length, 0) < 1048576 + 4096);
    const of = (table) => seen.find((row) => row.table === table && [id, revocation.id].includes(row.id));
    assert.deepEqual([of("credential_leases").sealed_for, of("credential_leases").organization_id],
      [id, (await owner`select organization_id from public.integrations where id = ${id}`)[0].organization_id]);
    assert.equal(of("pending_revocations").sealed_for, revocation.sealed_for);
    assert.deepEqual(JSON.parse(of("credential_leases").config), config(KID.a));
  });

  test("a fence's trigger that is enabled by hand rejects nothing, and one that is disabled by hand is no fence", async () => {
    await owner`alter table public.integrations enable trigger all`.catch(() =>
      owner`alter table public.integrations enable trigger user`);
    await insert(config(KID.a));
    const { fence } = await declare(KID.b);
    await owner`alter table public.integrations disable trigger refuse_fenced_key`;
    assert.equal((await call(service, "key_registry_state")).fence, null);
    assert.deepEqual(await call(service, "retire_key", { p_kid: KID.a, p_fence: fence }), { outcome: "not_fenced" });
    const again = await declare(KID.b);
    assert.notEqual(again.fence, fence);
    await assert.rejects(insert(config(KID.a)), FENCED);
  });
});

describe("writers at the same time", () => {
  const connect = () => project.connect("authenticator", { role: "service_role" });
  const onKey = async (kid) => (await owner`select id from public.integrations where config->'_enc'->>'kid' = ${kid}`).map((row) => row.id);

  test("the fence waits a bounded time for a writer that wrote before it, and the scan then sees its row", async () => {
    let written;
    await connect().begin(async (sql) => {
      written = await insert(config(KID.a), sql);
      assert.deepEqual(await declare(KID.b), { outcome: "busy" });
      assert.equal((await call(service, "key_registry_state")).fence, null);
      assert.deepEqual(await states(), {});
    });
    const declaring = declare(KID.b);
    assert.equal((await declaring).outcome, "fenced");
    assert.ok((await onKey(KID.a)).includes(written));
  });

  test("the scan sees the row of a writer that ends while the declaration waits", async () => {
    let written, declaring;
    await connect().begin(async (sql) => {
      written = await insert(config(KID.a), sql);
      declaring = declare(KID.b);
      await lockWait(owner);
    });
    assert.equal((await declaring).outcome, "fenced");
    assert.ok((await onKey(KID.a)).includes(written));
  });

  test("the fence rejects a writer that began before it and writes after it, at every isolation level", async () => {
    for (const level of ["read committed", "repeatable read", "serializable"]) {
      for (const known of [false, true]) {
        await call(service, "lift_fence");
        await owner`delete from public.key_registry`;
        // The list may name keys that an older snapshot has seen as allowed.
        if (known) {
          await declare(KID.a, KID.b);
        }
        const writing = connect().begin(`isolation level ${level}`, async (sql) => {
          await sql`select count(*) from public.integrations`;
          assert.equal((await declare(KID.b)).outcome, "fenced");
          await insert(config(KID.a), sql);
        });
        const code = level === "read committed" ? "IK001" : "40001";
        await assert.rejects(writing, { code }, `${level}, ${known ? "another" : "no"} fence before`);
      }
    }
  });

  test("the fence checks a statement that waited for its declaration", async () => {
    const standing = await insert(config(KID.b));
    const [blind, update] = [connect(), connect()];
    let writes;
    await connect().begin(async (sql) => {
      assert.equal((await call(sql, "declare_fence", { p_kids: [KID.b] })).outcome, "fenced");
      writes = Promise.allSettled([
        insert(config(KID.a), blind),
        update`update public.integrations set config = ${update.json(config(KID.a))} where id = ${standing}`,
      ]);
      await lockWait(owner, 2);
    });
    for (const { reason } of await writes) assert.equal(reason?.code, "IK001");
  });

  test("the fence checks a prepared statement that has run before", async () => {
    const sql = connect();
    const write = () => sql`insert into public.integrations (organization_id, integration_type, name, config)
      values (${randomUUID()}, 'supabase', 'n', ${sql.json(config(KID.a))})`;
    for (let i = 0; i < 8; i++) await write();
    await declare(KID.b);
    await assert.rejects(write(), FENCED);
  });

  test("a fence with fewer keys waits for a writer that the earlier fence accepted", async () => {
    await declare(KID.a, KID.b);
    let written;
    await connect().begin(async (sql) => {
      written = await insert(config(KID.a), sql);
      assert.deepEqual(await declare(KID.b), { outcome: "busy" });
      await assert.rejects(
        owner.begin(async (sql) => {
          await sql`set local lock_timeout = '200ms'`;
          await sql`update public.key_registry set state = 'known' where kid = ${KID.a}`;
        }),
        { code: "55P03" },
        "nor does the list change by hand under a writer",
      );
    });
    assert.equal((await declare(KID.b)).outcome, "fenced");
    assert.ok((await onKey(KID.a)).includes(written));
  });

  test("once the fence is up and a scan is clean, no row is on the old key again, whatever is still writing", async (context) => {
    const seed = Number(process.env.SEED ?? randomInt(2 ** 32));
    context.diagnostic(`SEED=${seed} repeats the choices`);
    const random = new Random(seed);
    await owner`delete from public.integrations`;
    const many = project.connect("authenticator", { role: "service_role" }, 12);
    const ids = await Promise.all(Array.from({ length: 40 }, () => insert(config(KID.a), many)));
    let stop = false;
    let refused = 0;
    const writers = Array.from({ length: 8 }, async (_, i) => {
      const own = random.fork();
      while (!stop) {
        const kid = i % 2 ? KID.a : KID.b;
        const id = own.pick(ids);
        const write = own.next() < 0.3
          ? insert(config(kid), many)
          : many`update public.integrations set config = ${many.json(config(kid))} where id = ${id}`;
        await write.catch((error) => {
          assert.equal(error.code, "IK001");
          refused++;
        });
      }
    });
    try {
      while ((await declare(KID.b)).outcome !== "fenced");
      const rewrap = () => owner`
        update public.integrations set config = jsonb_set(config, '{_enc,kid}', to_jsonb(${KID.b}::text)) where config->'_enc'->>'kid' = ${KID.a}`;
      await rewrap();
      const deadline = Date.now() + 1000;
      while (Date.now() < deadline) assert.deepEqual(await onKey(KID.a), []);
    } finally {
      stop = true;
      await Promise.all(writers);
    }
    assert.ok(refused > 0);
    assert.deepEqual(await onKey(KID.a), []);
  });

  test("two declarations at once leave one fence", async () => {
    const lists = [[KID.a], [KID.b], [KID.a, KID.b], [KID.c]];
    const answers = await Promise.all(lists.map((kids) => call(connect(), "declare_fence", { p_kids: kids })));
    assert.deepEqual(answers.map(({ outcome }) => outcome), lists.map(() => "fenced"));
    const { fence } = await call(service, "key_registry_state");
    const last = answers.findIndex((answer) => answer.fence === fence.id);
    const allowed = Object.entries(await states()).filter(([, state]) => state === "allowed").map(([kid]) => kid);
    assert.deepEqual(allowed, lists[last]);
  });
});
