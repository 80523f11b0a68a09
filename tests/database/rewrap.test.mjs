// The rotation's statements: what a page shows, what a look counts, and that a batch writes a row only as it was read.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";

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
beforeEach(() => owner`delete from public.integrations`);

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
const page = async ({ after = null, limit = 100, kid = KID.b, until = null, organization = null } = {}) => [
  ...(await service`select * from public.rewrap_read(${after}, ${limit}, ${kid}, ${until}, ${organization})`),
];
const resealed = { access_token: "bmV3.bmV3.bmV3", _enc: { v: 2, kid: KID.b } };
/** Writes what a rotator would of a page: the row that only says where the page ends is none of it. Returns how many were written. */
const apply = async (page, { patch = resealed, sql = service, durable = true } = {}) => {
  const rows = page.filter(({ current }) => !current);
  const patches = rows.map(() => JSON.stringify(patch));
  const [{ written }] = await sql`
    select public.rewrap_write(
      ${rows.map(({ id }) => id)}, ${rows.map(({ version }) => version)}, ${patches}::text[]::jsonb[], ${durable}
    ) as written`;
  return written;
};

describe("rewrap_read", () => {
  test("goes through the rows in the order of their ids, each once, the lowest and the highest id included", async () => {
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

  test("shows what is not on the key, whatever its form, and of the rest only where the page ends", async () => {
    const values = [config(KID.a), config(null), {}, null, "text", [config(KID.b)], { _enc: "x" }, { _enc: { kid: 7 } }];
    const id = (n) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
    await insert(config(KID.b), { id: id(0) });
    for (const [i, value] of values.entries()) await insertAny(id(i + 1), value);
    await insert(config(KID.b), { id: id(98) });
    await insert(config(KID.b), { id: id(99) });
    const rows = await page();
    assert.deepEqual(rows.map((r) => [r.id, r.current, r.config]), [
      ...values.map((value, i) => [id(i + 1), false, value]),
    ]);
    // Where the page ends before the table does, so that the next one can begin there.
    assert.deepEqual((await page({ limit: values.length + 2 })).at(-1), { ...(await page({ after: id(97), limit: 1 }))[0], looked: values.length + 2 });
    assert.deepEqual((await page({ limit: 1 })).map((r) => [r.id, r.current]), [[id(0), true]]);
    assert.deepEqual(await page({ after: id(99) }), []);
    const all = await page({ kid: null });
    assert.deepEqual([all.length, all.some((r) => r.current)], [values.length + 3, false]);
  });

  test("keeps to a range of ids and to an organisation", async () => {
    const organization = randomUUID();
    const ids = Array.from({ length: 9 }, () => randomUUID()).sort();
    for (const [i, id] of ids.entries()) await insert(config(KID.a), { id, ...(i % 2 && { organization_id: organization }) });
    const listed = async (range) => (await page(range)).map(({ id }) => id);
    assert.deepEqual(await listed({ after: ids[1], until: ids[4] }), ids.slice(2, 5));
    assert.deepEqual(await listed({ organization }), ids.filter((_, i) => i % 2));
    assert.deepEqual(await listed({ organization, after: ids[1], limit: 2 }), [ids[3], ids[5]]);
    assert.deepEqual(await listed({ organization: randomUUID() }), []);
  });

  test("is bounded by the size of what travels, and counts what it looked at", async () => {
    const id = (n) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
    // Random, so that the database does not store it smaller than it is.
    const large = () => Array.from({ length: 12_000 }, () => randomUUID()).join("");
    await insert(config(KID.a), { id: id(0) });
    await insert(config(KID.b, { large: large() }), { id: id(1) });
    for (let n = 2; n < 8; n += 1) await insert(config(KID.a, { large: large() }), { id: id(n) });
    await insert(config(KID.a, { large: Array.from({ length: 6 }, large).join("") }), { id: id(8) });
    const pages = [];
    for (let after = null; ; ) {
      const rows = await page({ after });
      if (!rows.length) break;
      pages.push(rows.map((r) => [r.id, r.looked]));
      after = rows.at(-1).id;
    }
    assert.deepEqual(pages.map((rows) => rows.map(([id]) => Number(id.slice(-2)))), [[0, 2, 3, 4], [5, 6, 7], [8]]);
    assert.deepEqual(pages[0].map(([, looked]) => looked), [1, 3, 4, 5]);
  });

  test("bounds its limit", async () => {
    for (const limit of [0, -1, 5001, null]) await assert.rejects(page({ limit }), { code: "22023" });
  });
});

describe("rewrap_fetch", () => {
  const fetch = async ({ after = null, limit = 100, kid = KID.b, until = null, organization = null } = {}, sql = service) => [
    ...(await sql`select * from public.rewrap_fetch(${after}, ${limit}, ${kid}, ${until}, ${organization})`),
  ];

  test("shows every row, in the order of their ids and as rewrap_read does, without the config of those on the key", async () => {
    const ids = [NIL, MAX, ...Array.from({ length: 9 }, () => randomUUID())].sort();
    const values = [config(KID.b), config(KID.a), config(null), {}, "text", [config(KID.b)], { _enc: "x" }, null, config(KID.b), 7, []];
    const organization = await insertEach(ids, values);
    const rows = await fetch();
    assert.deepEqual(rows.map(({ id }) => id), ids);
    const shown = (rows) => rows.map(({ id, organization_id, config, version }) => ({ id, organization_id, config, version }));
    assert.deepEqual(shown(rows.filter((_, i) => i !== 0 && i !== 8)), shown(await page()));
    assert.deepEqual([rows[0].config, rows[8].config, rows.some((row) => row.is_large)], [null, null, false]);
    assert.deepEqual(shown(await fetch({ kid: null })), shown(await page({ kid: null })));
    const listed = async (range) => (await fetch(range)).map(({ id }) => id);
    assert.deepEqual(await listed({ after: ids[1], until: ids[4], limit: 2 }), ids.slice(2, 4));
    assert.deepEqual(await listed({ organization }), ids.filter((_, i) => i % 2));
    assert.deepEqual(await listed({ after: MAX }), []);
  });

  test("leaves a large config to rewrap_read, and says so unless it is on the key", async () => {
    const id = (n) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
    const random = Array.from({ length: 100 }, () => randomUUID()).join("");
    const large = [config(KID.a, { random }), config(KID.a, { text: "x".repeat(100_000) }), config(KID.b, { random })];
    for (const [n, value] of [...large, config(KID.a, { text: "x".repeat(1000) })].entries()) await insert(value, { id: id(n) });
    assert.deepEqual((await fetch()).map((row) => [row.is_large, row.config === null]), [[true, true], [true, true], [false, true], [false, false]]);
  });

  test("becomes part of the caller's query: by the index, from where the page begins", async () => {
    const plan = await owner`explain select id, config from public.rewrap_fetch(${NIL}::text::uuid, 10, ${KID.b}, null, null)`;
    const text = plan.map((row) => row["QUERY PLAN"]).join("\n");
    assert.doesNotMatch(text, /Function Scan/);
    assert.match(text, /Index Cond: \(id > /);
  });
});

describe("rewrap_count", () => {
  const count = async ({ after = null, until = MAX, kid = KID.b, organization = null } = {}) => ({
    ...(await service`select * from public.rewrap_count(${after}, ${until}, ${kid}, ${organization})`)[0],
  });

  test("counts the rows of a range, and those of them that are not on the key", async () => {
    const ids = Array.from({ length: 5 }, () => randomUUID()).sort();
    const values = [config(KID.b), config(KID.a), config(null), null, config(KID.b)];
    const organization = await insertEach(ids, values);
    assert.deepEqual(await count(), { looked: 5, unfinished: 3 });
    assert.deepEqual(await count({ kid: null }), { looked: 5, unfinished: 5 });
    assert.deepEqual(await count({ after: ids[0], until: ids[2] }), { looked: 2, unfinished: 2 });
    assert.deepEqual(await count({ after: ids[3] }), { looked: 1, unfinished: 0 });
    assert.deepEqual(await count({ organization }), { looked: 2, unfinished: 2 });
    await assert.rejects(count({ until: null }), { code: "22023" });
  });
});

describe("rewrap_look", () => {
  const look = async ({ after = null, limit = 100, kid = KID.b, until = null, organization = null } = {}) => ({
    ...(await service`select * from public.rewrap_look(${after}, ${limit}, ${kid}, ${until}, ${organization})`)[0],
  });

  test("counts the rows, those of them that are not on the key whatever they are, and says where it ended", async () => {
    assert.deepEqual(await look(), { looked: 0, unfinished: 0, last_id: null });
    const ids = Array.from({ length: 9 }, () => randomUUID()).sort();
    const values = [config(KID.b), config(KID.a), config(null), {}, "text", [config(KID.b)], { _enc: "x" }, null, config(KID.b)];
    const organization = await insertEach(ids, values);
    assert.deepEqual(await look(), { looked: 9, unfinished: 7, last_id: null });
    assert.deepEqual(await look({ limit: 9 }), { looked: 9, unfinished: 7, last_id: ids[8] });
    assert.deepEqual(await look({ limit: 1 }), { looked: 1, unfinished: 0, last_id: ids[0] });
    assert.deepEqual(await look({ after: ids[0], limit: 3 }), { looked: 3, unfinished: 3, last_id: ids[3] });
    assert.deepEqual(await look({ after: ids[0], until: ids[3] }), { looked: 3, unfinished: 3, last_id: null });
    assert.deepEqual(await look({ after: ids[0], until: ids[3], limit: 4 }), { looked: 3, unfinished: 3, last_id: null });
    assert.deepEqual(await look({ after: ids[7] }), { looked: 1, unfinished: 0, last_id: null });
    assert.deepEqual(await look({ after: ids[8] }), { looked: 0, unfinished: 0, last_id: null });
    assert.deepEqual(await look({ organization, limit: 3 }), { looked: 3, unfinished: 3, last_id: ids[5] });
    assert.deepEqual(await look({ kid: null }), { looked: 9, unfinished: 9, last_id: null });
  });

  test("bounds its limit", async () => {
    for (const limit of [0, -1, 100_001, null]) await assert.rejects(look({ limit }), { code: "22023" });
  });
});

test("the functions of the version before go on beside the new ones", async () => {
  // The row that needs nothing is the page's last, which is shown all the same.
  const ids = Array.from({ length: 3 }, () => randomUUID()).sort();
  for (const [i, kid] of [KID.a, KID.a, KID.b].entries()) await insert(config(kid), { id: ids[i] });
  const shown = [...(await service`select * from public.rewrap_page(null, 100, ${KID.b})`)];
  assert.deepEqual(shown.map(({ id, current }) => [id, current]), ids.map((id, i) => [id, i === 2]));
  const old = shown.filter(({ current }) => !current);
  assert.equal(await apply([old[0]]), 1);
  const written = await service`
    select id from public.rewrap_apply(${old.map(({ id }) => id)}, ${old.map(({ version }) => version)},
      ${old.map(() => JSON.stringify(resealed))}::text[]::jsonb[]) id`;
  assert.deepEqual(written.map(({ id }) => id), [ids[1]]);
});

describe("rewrap_write", () => {
  test("replaces the given fields of config and leaves all else, updated_at included", async () => {
    const id = await insert(config(KID.a, { project_id: "p", nested: { api_key: "x", plain: 1 }, expires_at: "2026" }), { status: "error" });
    const before = await row(id);
    const patch = { ...resealed, nested: { api_key: "y", plain: 1 } };
    assert.equal(await apply(await page(), { patch }), 1);
    assert.deepEqual(await row(id), { ...before, config: { ...before.config, ...patch } });
  });

  test("everybody else's update moves updated_at, in the same transaction too", async () => {
    const id = await insert(config(KID.a));
    const before = await row(id);
    await connect().begin(async (sql) => {
      const rows = await sql`select * from public.rewrap_read(null, 10, ${KID.c})`;
      assert.equal(await apply(rows, { sql, patch: { _enc: { v: 2, kid: KID.c } } }), 1);
      await sql`update public.integrations set config = config where id = ${id}`;
    });
    assert.ok((await row(id)).updated_at > before.updated_at);
  });

  test("a row that somebody wrote, or deleted, after it was read stays as they left it", async () => {
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

  test("waits for a writer that holds the row, and leaves the row to it; written where the writer gives up", async () => {
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

  test("four rotators on the same rows, in any order of arrival: each row written once, no deadlock", async () => {
    await owner`
      insert into public.integrations (organization_id, integration_type, name, config)
      select gen_random_uuid(), 'supabase', 'n', ${owner.json(config(KID.a))} from generate_series(1, 2000)`;
    const written = await Promise.all(Array.from({ length: 4 }, async () => {
      const sql = connect();
      let count = 0;
      for (let after = null; ; ) {
        const rows = await sql`select * from public.rewrap_read(${after}, 100, ${KID.b})`;
        if (!rows.length) return count;
        count += await apply(rows, { sql });
        after = rows.at(-1).id;
      }
    }));
    assert.equal(written.reduce((sum, count) => sum + count), 2000);
  });

  test("a second run finds nothing to write", async () => {
    await insert(config(KID.a));
    await insert(config(null));
    await apply(await page());
    assert.deepEqual((await page()).filter((r) => !r.current), []);
  });

  test("not durable: for its own transaction only", async () => {
    const id = await insert(config(KID.a));
    const sql = connect();
    const standing = async (connection) => (await connection`show synchronous_commit`)[0].synchronous_commit;
    await sql`set synchronous_commit = on`;
    await sql.begin(async (transaction) => {
      assert.equal(await apply(await page(), { sql: transaction, durable: false }), 1);
      assert.equal((await transaction`select config->'_enc'->>'kid' as kid from public.integrations where id = ${id}`)[0].kid, KID.b);
      assert.equal(await standing(transaction), "off");
    });
    assert.equal(await standing(sql), "on");
  });

  test("durable with nothing to write: what was written before is on the disk", async () => {
    const id = await insert(config(KID.a));
    await apply(await page(), { durable: false });
    const [{ lsn }] = await owner`select pg_current_wal_insert_lsn() as lsn`;
    // The server of the tests never waits for the disk by itself.
    const sql = project.connect("authenticator", { role: "service_role", synchronous_commit: "on" });
    await apply([], { sql, durable: true });
    const [{ flushed }] = await owner`select pg_current_wal_flush_lsn() >= ${lsn}::pg_lsn as flushed`;
    assert.deepEqual([flushed, (await row(id)).config._enc.kid], [true, KID.b]);
  });

  test("gives up on a row that is held for long, and leaves the whole batch", async () => {
    const [held, free] = [await insert(config(KID.a)), await insert(config(KID.a))];
    const rows = await page();
    const before = [await row(held), await row(free)];
    await connect().begin(async (sql) => {
      await sql`select from public.integrations where id = ${held} for update`;
      await assert.rejects(apply(rows), { code: "55P03" });
    });
    assert.deepEqual([await row(held), await row(free)], before);
  });

  test("the fence stands above it", async () => {
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

  test("a row whose config is no object is left", async () => {
    for (const value of ["text", [], 7]) await insert(value);
    assert.equal(await apply(await page()), 0);
  });

  test("a batch that makes no sense is refused whole", async () => {
    const id = await insert(config(KID.a));
    const before = await row(id);
    const [{ version }] = await page();
    const patch = JSON.stringify(resealed);
    const batches = {
      "more ids": [[id, id], [version], [patch]],
      "fewer patches": [[id], [version], []],
      "no versions": [[id], null, [patch]],
      "a version that is none": [[id], ["x"], [patch]],
      "a patch without a key id": [[id], [version], ['{"access_token": "x"}']],
      "a patch that is no object": [[id], [version], ['"x"']],
      "no patch": [[id], [version], [null]],
      "a patch that is the name alone": [[id], [version], ['"_enc"']],
      "too many": [Array(5001).fill(id), Array(5001).fill(version), Array(5001).fill(patch)],
    };
    for (const [name, [ids, versions, patches]] of Object.entries(batches)) {
      const call = service`select public.rewrap_write(${ids}::uuid[], ${versions}::text[], ${patches}::text[]::jsonb[])`;
      await assert.rejects(call, { code: /^22(023|P02)$/ }, name);
    }
    assert.deepEqual(await row(id), before);
    assert.equal(await apply([]), 0);
  });
});

describe("rewrap_vitals", () => {
  test("counts who waits for a lock, once they have waited for a while", async () => {
    const vitals = async () => {
      const { estimated_rows, ...others } = await call(service, "rewrap_vitals");
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
      await new Promise((resolve) => setTimeout(resolve, 150));
      assert.deepEqual(await vitals(), { lock_waits: 1, replication_lag_seconds: null });
    });
    await waiting;
    assert.equal((await vitals()).lock_waits, 0);
  });

  test("knows how many rows there are once the table was analysed", async () => {
    for (let i = 0; i < 3; i += 1) await insert(config(KID.a));
    await owner`analyze public.integrations`;
    assert.equal((await call(service, "rewrap_vitals")).estimated_rows, 3);
  });
});
