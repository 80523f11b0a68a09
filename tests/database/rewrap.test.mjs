// The rotation's statements: what a page shows, what a look counts, and that a batch writes a row only as it was read.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";

import { until } from "../support/wait.mjs";
import { call, config, insertIntegration, KID, lockWait, startServer } from "./support.mjs";

const NIL = "00000000-0000-0000-0000-000000000000";
const MAX = "ffffffff-ffff-ffff-ffff-ffffffffffff";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());
beforeEach(async () => {
  await owner`delete from public.integrations`;
  await owner`delete from private.pending_reseals`;
  await owner`delete from private.data_keys`;
});

const connect = () => project.connect("authenticator", { role: "service_role" });
const insert = (value, over = {}) => insertIntegration(service, { config: service.json(value), ...over });
/** A row whose config is any JSON, also what the driver would not send as such. */
const insertAny = (id, value, organization = randomUUID()) => service`
  insert into public.integrations (id, organization_id, integration_type, name, config)
  values (${id}, ${organization}, 'supabase', 'n', ${JSON.stringify(value)}::text::jsonb)`;
/** One of each value, every second one of the organisation that is returned. */
async function insertEach(ids, values) {
  const organization = randomUUID();
  for (const [i, id] of ids.entries()) await insertAny(id, values[i], i % 2 ? organization : undefined);
  return organization;
}
const row = async (id) => ({ ...(await owner`select * from public.integrations where id = ${id}`)[0] });
const page = async ({ after = null, limit = 100, pending = true, until = null, organization = null } = {}) => [
  ...(await service`select * from public.rewrap_read(${after}, ${limit}, ${pending}, ${until}, ${organization})`),
];
const DATA_KEY = KID.b;
/** As a data key of its organization has sealed it. */
const onDataKey = (fields = {}, kid = DATA_KEY) => ({ ...config(null, fields), _enc: { v: 3, kid } });
const resealed = { access_token: "bmV3.bmV3.bmV3", _enc: { v: 3, kid: DATA_KEY } };
/** Gives these organizations the data key; without any, those that have rows. */
const addDataKeys = (organizations = null) => owner`
  insert into private.data_keys (organization_id, kid, wrapping_kid, wrapped)
  select o.id, ${DATA_KEY}, ${KID.b}, 'iv.tag.wrapped'
  from (select distinct i.organization_id from public.integrations i where ${organizations}::uuid[] is null union select unnest(${organizations}::uuid[])) o (id)
  on conflict do nothing`;
const insertDone = async (over = {}) => {
  const organization_id = over.organization_id ?? randomUUID();
  await addDataKeys([organization_id]);
  return insert(onDataKey(), { ...over, organization_id });
};
/** Writes what a rotator would of a page. Returns how many were written. */
const apply = async (rows, { patch = resealed, sql = service } = {}) => {
  await addDataKeys();
  const patches = rows.map(() => JSON.stringify(patch));
  const [{ written }] = await sql`
    select public.rewrap_write(
      ${rows.map(({ id }) => id)}, ${rows.map(({ version }) => version)}, ${patches}::text[]::jsonb[],
      ${rows.map(({ config }) => config?._enc?.kid ?? null)}
    )::integer as written`;
  return written;
};
const kidOf = async (id) => (await row(id)).config._enc.kid;

describe("rewrap_read", () => {
  test("rewrap_read returns the rows in the order of their ids, each once, the lowest and the highest id included", async () => {
    const ids = [NIL, MAX, ...Array.from({ length: 21 }, () => randomUUID())].sort();
    for (const id of ids) await insert(config(KID.a), { id });
    const seen = [];
    for (let after = null; ; after = seen.at(-1)) {
      const rows = await page({ after, limit: 5 });
      if (!rows.length) break;
      assert.ok(rows.length <= 5);
      seen.push(...rows.map(({ id }) => id));
    }
    assert.deepEqual(seen, ids);
  });

  test("rewrap_read returns what is not sealed with the data key of its organization, whatever its form", async () => {
    const organization_id = randomUUID();
    await addDataKeys([organization_id]);
    const values = [config(KID.a), config(DATA_KEY), config(null), {}, null, "text", [onDataKey()], { _enc: "x" }, { _enc: { kid: 7 } }];
    const id = (n) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
    await insertDone({ id: id(0), organization_id });
    for (const [i, value] of values.entries()) await insertAny(id(i + 1), value, organization_id);
    await insertDone({ id: id(98), organization_id });
    assert.deepEqual((await page()).map((r) => [r.id, r.config]), values.map((value, i) => [id(i + 1), value]));
    assert.deepEqual((await page({ pending: false })).map((r) => r.id), [id(0), ...values.map((_, i) => id(i + 1)), id(98)]);
  });

  test("a row is pending from the write that leaves the data key, or its replacement, until the write that comes to it", async () => {
    const id = await insertDone();
    const { organization_id } = await row(id);
    const pending = async () => (await page()).map((r) => r.id);
    const write = (value) => service`update public.integrations set config = ${service.json(value)} where id = ${id}`;
    assert.deepEqual(await pending(), []);
    for (const value of [config(KID.b), config(null)]) {
      await write(value);
      assert.deepEqual(await pending(), [id]);
      await write(onDataKey());
      assert.deepEqual(await pending(), []);
    }
    const replacement = { organization_id, replaced: DATA_KEY, kid: KID.c, wrapping_kid: KID.b, wrapped: "w" };
    assert.deepEqual(await call(service, "replace_data_keys", { p_replacements: [replacement] }), { outcome: "replaced", count: 1 });
    assert.deepEqual(await pending(), [id]);
    await write(onDataKey({}, KID.c));
    assert.deepEqual(await pending(), []);
    // Who has read the keys before still writes with the replaced one.
    await write(onDataKey());
    assert.deepEqual(await pending(), [id]);
  });

  test("rewrap_read keeps to a range of ids and to an organization", async () => {
    const organization = randomUUID();
    const ids = Array.from({ length: 9 }, () => randomUUID()).sort();
    for (const [i, id] of ids.entries()) await insert(config(KID.a), { id, ...(i % 2 && { organization_id: organization }) });
    const listed = async (range) => (await page(range)).map(({ id }) => id);
    assert.deepEqual(await listed({ after: ids[1], until: ids[4] }), ids.slice(2, 5));
    assert.deepEqual(await listed({ organization }), ids.filter((_, i) => i % 2));
    assert.deepEqual(await listed({ organization, after: ids[1], limit: 2 }), [ids[3], ids[5]]);
    assert.deepEqual(await listed({ organization: randomUUID() }), []);
    for (const id of ids.slice(0, 3)) {
      await addDataKeys();
      await service`update public.integrations set config = ${service.json(onDataKey())} where id = ${id}`;
    }
    assert.deepEqual(await listed({ after: ids[1], until: ids[4] }), ids.slice(3, 5));
    assert.deepEqual(await listed({ organization }), ids.filter((_, i) => i % 2 && i > 2));
    assert.deepEqual(await listed({ pending: false, organization, until: ids[4] }), [ids[1], ids[3]]);
  });

  test("rewrap_read is bounded by the size of what travels", async () => {
    const id = (n) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
    // Random, so that the database does not store it smaller than it is.
    const large = () => Array.from({ length: 12_000 }, () => randomUUID()).join("");
    await insert(config(KID.a), { id: id(0) });
    for (let n = 2; n < 8; n += 1) await insert(config(KID.a, { large: large() }), { id: id(n) });
    await insert(config(KID.a, { large: Array.from({ length: 6 }, large).join("") }), { id: id(8) });
    for (const pending of [true, false]) {
      const pages = [];
      for (let after = null; ; ) {
        const rows = await page({ after, pending });
        if (!rows.length) break;
        pages.push(rows.map((r) => Number(r.id.slice(-2))));
        after = rows.at(-1).id;
      }
      assert.deepEqual(pages, [[0, 2, 3, 4], [5, 6, 7], [8]]);
    }
  });

  test("rewrap_read bounds its limit", async () => {
    for (const limit of [0, -1, 5001, null]) await assert.rejects(page({ limit }), { code: "22023" });
    await assert.rejects(page({ pending: null }), { code: "22023" });
  });

  test("rewrap_read skips rows that were deleted, and record_rotation forgets them", async () => {
    const ids = [];
    for (let n = 0; n < 5; n += 1) ids.push(await insert(config(KID.a)));
    ids.sort();
    await owner`delete from public.integrations where id = any (${ids.slice(0, 3)})`;
    assert.deepEqual((await page({ limit: 2 })).map(({ id }) => id), ids.slice(3));
    assert.equal((await service`select public.record_rotation(0) as next`)[0].next, null);
    assert.deepEqual((await owner`select integration_id as id from private.pending_reseals order by 1`).map(({ id }) => id), ids.slice(3));
  });
});

describe("rewrap_write", () => {
  test("rewrap_write replaces the given fields of config and leaves all else, updated_at included", async () => {
    const id = await insert(config(KID.a, { project_id: "p", nested: { api_key: "x", plain: 1 }, expires_at: "2026" }), { status: "error" });
    const before = await row(id);
    const patch = { ...resealed, nested: { api_key: "y", plain: 1 } };
    assert.equal(await apply(await page(), { patch }), 1);
    assert.deepEqual(await row(id), { ...before, config: { ...before.config, ...patch } });
  });

  test("every other update moves updated_at, in the same transaction too", async () => {
    const id = await insert(config(KID.a));
    const before = await row(id);
    await connect().begin(async (sql) => {
      const rows = await sql`select * from public.rewrap_read(null, 10, true)`;
      assert.equal(await apply(rows, { sql, patch: { _enc: { v: 2, kid: KID.c } } }), 1);
      await sql`update public.integrations set config = config where id = ${id}`;
    });
    assert.ok((await row(id)).updated_at > before.updated_at);
  });

  test("rewrap_write leaves a row alone that was written or deleted after it was read", async () => {
    const [kept, changed, touched, deleted, replaced] = await Promise.all(Array.from({ length: 5 }, () => insert(config(KID.a))));
    const rows = await page();
    await service`update public.integrations set config = ${service.json(config(KID.a, { access_token: "newer" }))} where id = ${changed}`;
    await service`update public.integrations set last_checked_at = now() where id = ${touched}`;
    await service`delete from public.integrations where id in (${deleted}, ${replaced})`;
    await insert(config(KID.a, { access_token: "another" }), { id: replaced });
    const before = [await row(changed), await row(touched), await row(replaced)];
    assert.equal(await apply(rows), 1);
    assert.equal((await row(kept)).config._enc.kid, KID.b);
    assert.deepEqual([await row(changed), await row(touched), await row(replaced)], before);
    assert.deepEqual(await row(deleted), {});
    // Read again, they are written.
    assert.equal(await apply(await page()), 3);
  });

  test("rewrap_write waits for a writer that holds the row and leaves the row to it, and writes if the writer rolls back", async () => {
    for (const end of ["commit", "rollback"]) {
      const id = await insert(config(KID.a));
      const rows = (await page()).filter((r) => r.id === id);
      let applying;
      await connect().begin(async (sql) => {
        await sql`update public.integrations set config = ${sql.json(config(KID.a, { access_token: "newer" }))} where id = ${id}`;
        applying = apply(rows);
        await lockWait(owner);
        if (end === "rollback") throw new Error(end);
      }).catch((error) => assert.equal(error.message, "rollback"));
      assert.equal(await applying, end === "commit" ? 0 : 1);
      assert.equal((await row(id)).config.access_token, end === "commit" ? "newer" : resealed.access_token);
    }
  });

  test("four rotations of the same rows write each row once, in any order and without a deadlock", async () => {
    await owner`
      insert into public.integrations (organization_id, integration_type, name, config)
      select gen_random_uuid(), 'supabase', 'n', ${owner.json(config(KID.a))} from generate_series(1, 2000)`;
    const written = await Promise.all(Array.from({ length: 4 }, async () => {
      const sql = connect();
      let count = 0;
      for (let after = null; ; ) {
        const rows = await sql`select * from public.rewrap_read(${after}, 100, true)`;
        if (!rows.length) return count;
        count += await apply(rows, { sql });
        after = rows.at(-1).id;
      }
    }));
    assert.equal(written.reduce((sum, count) => sum + count), 2000);
  });

  test("a second run of rewrap_write finds nothing to write", async () => {
    await insert(config(KID.a));
    await insert(config(null));
    await apply(await page());
    assert.deepEqual(await page(), []);
  });

  test("rewrap_write leaves a row pending whose data key was replaced after the row was sealed", async () => {
    const id = await insert(config(KID.a));
    const rows = await page();
    await addDataKeys();
    const replacement = { organization_id: (await row(id)).organization_id, replaced: DATA_KEY, kid: KID.c, wrapping_kid: KID.b, wrapped: "w" };
    await call(service, "replace_data_keys", { p_replacements: [replacement] });
    assert.equal(await apply(rows), 1);
    assert.deepEqual((await page()).map((r) => r.id), [id]);
  });

  test("rewrap_write says how many rows it wrote", async () => {
    for (let n = 0; n < 3; n += 1) await insert(config(KID.a));
    const rows = await page();
    await service`update public.integrations set last_checked_at = now() where id = ${rows[0].id}`;
    assert.equal(await apply(rows), 2);
  });

  test("rewrap_write does not wait for the disk, in its own transaction only", async () => {
    const id = await insert(config(KID.a));
    const sql = connect();
    const standing = async (connection) => (await connection`show synchronous_commit`)[0].synchronous_commit;
    await sql`set synchronous_commit = on`;
    await sql.begin(async (transaction) => {
      assert.equal(await apply(await page(), { sql: transaction }), 1);
      assert.equal((await transaction`select config->'_enc'->>'kid' as kid from public.integrations where id = ${id}`)[0].kid, KID.b);
      assert.equal(await standing(transaction), "off");
    });
    assert.equal(await standing(sql), "on");
  });

  test("rewrap_write gives up on a row that stays locked, and leaves the whole batch", async () => {
    const [held, free] = [await insert(config(KID.a)), await insert(config(KID.a))];
    const rows = await page();
    const before = [await row(held), await row(free)];
    await connect().begin(async (sql) => {
      await sql`select from public.integrations where id = ${held} for update`;
      await assert.rejects(apply(rows), { code: "55P03" });
    });
    assert.deepEqual([await row(held), await row(free)], before);
  });

  test("rewrap_write obeys the fence", async () => {
    const id = await insert(config(KID.a));
    const before = await row(id);
    await call(service, "declare_fence", { p_kids: [KID.b] });
    try {
      await assert.rejects(apply(await page(), { patch: { ...resealed, _enc: { v: 2, kid: KID.c } } }), { code: "IK001" });
      assert.deepEqual(await row(id), before);
      assert.equal(await apply(await page()), 1);
    } finally {
      await call(service, "lift_fence");
    }
  });

  test("rewrap_write leaves a row whose config is not an object", async () => {
    for (const value of ["text", [], 7]) await insert(value);
    assert.equal(await apply(await page()), 0);
  });

  test("rewrap_write rejects an invalid batch whole", async () => {
    const id = await insert(config(KID.a));
    const before = await row(id);
    const [{ version }] = await page();
    const patch = JSON.stringify(resealed);
    const batches = {
      "more ids": [[id, id], [version], [patch]],
      "fewer former key ids": [[id], [version], [patch], []],
      "no former key ids": [[id], [version], [patch], null],
      "fewer patches": [[id], [version], []],
      "no versions": [[id], null, [patch]],
      "a version that is none": [[id], ["x"], [patch]],
      "a patch without a key id": [[id], [version], ['{"access_token": "x"}']],
      "a patch that is no object": [[id], [version], ['"x"']],
      "a patch with half a key id": [[id], [version], ['{"_enc": {}}']],
      "no patch": [[id], [version], [null]],
      "a patch that is the name alone": [[id], [version], ['"_enc"']],
      "too many": [Array(5001).fill(id), Array(5001).fill(version), Array(5001).fill(patch)],
    };
    for (const [name, [ids, versions, patches, from = ids.map(() => KID.a)]] of Object.entries(batches)) {
      const call = service`select public.rewrap_write(${ids}::uuid[], ${versions}::text[], ${patches}::text[]::jsonb[], ${from}::text[])`;
      await assert.rejects(call, { code: /^22(023|P02)$/ }, name);
    }
    assert.deepEqual(await row(id), before);
    assert.equal(await apply([]), 0);
  });
});

describe("record_opening", () => {
  const record = async (organizations, { kid = KID.b, reason = "rotate" } = {}) =>
    (await service`select public.record_opening(${reason}, ${kid}, ${organizations}) as events`)[0].events;

  test("record_opening writes one event an organization: what for, to which key, and who", async () => {
    const [one, two] = [randomUUID(), randomUUID()];
    assert.equal(await record([one, two]), 2);
    assert.equal(await record([one], { kid: null, reason: "verify" }), 1);
    const events = await owner`select * from public.credential_events where action = 'opened' order by id`;
    assert.deepEqual(events.map((event) => [event.organization_id, event.actor, event.integration_id, event.reason, event.details]), [
      [one, "keytool", null, "rotate", { to: KID.b, role: "authenticator" }],
      [two, "keytool", null, "rotate", { to: KID.b, role: "authenticator" }],
      [one, "keytool", null, "verify", { role: "authenticator" }],
    ]);
  });

  test("record_opening rejects a purpose that it does not know, and more than 5,000 organizations", async () => {
    for (const reason of ["look", "", null]) await assert.rejects(record([randomUUID()], { reason }), { code: "22023" });
    for (const organizations of [null, Array(5001).fill(randomUUID())]) await assert.rejects(record(organizations), { code: "22023" });
  });
});

describe("record_rotation", () => {
  beforeEach(() => owner`delete from private.rewrapped`);
  const record = ({ part = 0, sql = service } = {}) =>
    sql`select public.record_rotation(${part}) as next`.then(([{ next }]) => next);
  const rotated = async (organizations) =>
    (await owner`
      select actor, organization_id, integration_id, details from public.credential_events
      where action = 'rotated' and organization_id = any (${organizations}) order by id`).map((event) => ({ ...event }));

  test("record_rotation writes one event an organization: how many rows, from which keys, to which, and who", async () => {
    const [one, two] = ["0", "f"].map((digit) => digit + randomUUID().slice(1));
    for (const value of [config(KID.a), config(KID.a), { access_token: "legacy" }]) await insert(value, { organization_id: one });
    await insert(config(KID.c), { organization_id: two });
    await apply(await page({ limit: 2 }));
    await apply(await page());
    assert.equal(await record(), null);
    const event = (organization_id, rows, from) =>
      ({ actor: "keytool", organization_id, integration_id: null, details: { rows, from, to: KID.b, role: "authenticator" } });
    assert.deepEqual(await rotated([one, two]), [event(one, 3, [KID.a, "legacy"]), event(two, 1, [KID.c])]);
    // Each row is in one event.
    assert.equal(await record(), null);
    assert.equal((await rotated([one, two])).length, 2);
  });

  test("two that record the same rotation at once write each event once", async () => {
    const organization_id = randomUUID();
    await insert(config(KID.a), { organization_id });
    await apply(await page());
    const [one, two] = [connect(), connect()];
    let second;
    await one.begin(async (sql) => {
      await record({ sql });
      second = record({ sql: two });
      await lockWait(owner);
    });
    await second;
    assert.deepEqual((await rotated([organization_id])).map(({ details }) => details.rows), [1]);
  });

  test("a row and what its event will say are written or undone together", async () => {
    const organization_id = randomUUID();
    await insert(config(KID.a), { organization_id });
    await assert.rejects(connect().begin(async (sql) => {
      assert.equal(await apply(await page(), { sql }), 1);
      throw new Error("undone");
    }), /undone/);
    await record();
    assert.deepEqual(await rotated([organization_id]), []);
  });

  test("record_rotation records thousands of organizations in parts, and says which is next", async () => {
    const organization = (part, n) => `${part}0000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
    const organizations = ["0", "7", "f"].map((part) => Array.from({ length: 3000 }, (_, n) => organization(part, n)));
    for (const [i, part] of [0, 7, 15].entries()) {
      const kids = organizations[i].map(() => KID.b);
      await owner`insert into private.rewrapped (role, part, organizations, from_kids, kids) values ('r', ${part}, ${organizations[i]}::uuid[], ${kids}, ${kids})`;
    }
    const counts = async () => Promise.all(organizations.map(async (some) => (await rotated(some)).length));
    assert.equal(await record(), 8);
    assert.deepEqual(await counts(), [3000, 3000, 0]);
    assert.equal(await record({ part: 8 }), null);
    assert.deepEqual(await counts(), [3000, 3000, 3000]);
  });

  test("record_rotation takes what was written before to the disk, with no event too", async () => {
    const id = await insert(config(KID.a));
    await apply(await page());
    await owner`delete from private.rewrapped`;
    const [{ lsn }] = await owner`select pg_current_wal_insert_lsn() as lsn`;
    // The server of the tests never waits for the disk by itself.
    const sql = project.connect("authenticator", { role: "service_role", synchronous_commit: "on" });
    assert.equal(await record({ sql }), null);
    const [{ flushed }] = await owner`select pg_current_wal_flush_lsn() >= ${lsn}::pg_lsn as flushed`;
    assert.deepEqual([flushed, await kidOf(id)], [true, KID.b]);
  });

  test("record_rotation rejects what is no part", async () => {
    for (const over of [{ part: -1 }, { part: 16 }, { part: null }]) {
      await assert.rejects(record(over), { code: "22023" });
    }
  });
});

describe("rewrap_load", () => {
  test("rewrap_load counts who has waited for a lock for a while", async () => {
    const vitals = async () => {
      const { estimated_rows, estimated_pending, ...others } = await call(service, "rewrap_load");
      return others;
    };
    assert.deepEqual(await vitals(), { lock_waits: 0, replication_lag_seconds: null });
    const id = await insert(config(KID.a));
    const update = (sql) => sql`update public.integrations set name = 'n' where id = ${id}`;
    let waiting;
    await connect().begin(async (sql) => {
      await update(sql);
      waiting = update(connect()).execute();
      await lockWait(owner);
      assert.equal((await vitals()).lock_waits, 0, "a short wait is not counted");
      await until("the wait is counted", async () => (await vitals()).lock_waits === 1);
    });
    await waiting;
    assert.equal((await vitals()).lock_waits, 0);
  });

  test("rewrap_load knows how many rows there are once the table was analysed", async () => {
    for (let i = 0; i < 3; i += 1) await insert(config(KID.a));
    await owner`analyze public.integrations`;
    assert.equal((await call(service, "rewrap_load")).estimated_rows, 3);
  });
});
