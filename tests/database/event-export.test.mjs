// The export of events: in an order that later commits cannot change, of one's own organizations alone (threat model 221).
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { addMember, call, startServer } from "./support.mjs";

let server, project, owner, service, many;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
  many = project.connect("postgres", {}, 20);
});
after(() => server?.stop());

const write = (sql, organization) => sql`
  insert into public.credential_events (actor, organization_id, integration_id, integration_type, action, outcome)
  values ('service', ${organization}, gen_random_uuid(), 'supabase', 'refreshed', 'succeeded') returning id`.then(([{ id }]) => Number(id));

async function page(caller, after, p_limit = 200) {
  const args = { p_user_id: null, p_service_key: null, p_organization_id: null, ...caller, p_limit };
  const at = { p_transaction_id: after?.transaction_id ?? null, p_id: after?.id ?? null };
  const { events } = await call(service, "export_events", { ...args, ...at });
  return events;
}
/** All that there is to read now, page by page, and where it ends. */
async function readOn(caller, after, limit) {
  const seen = [];
  for (;;) {
    const events = await page(caller, after, limit);
    if (events.length === 0) return { seen, after };
    seen.push(...events.map(({ id }) => id));
    after = events.at(-1);
  }
}
/** A transaction that waits, with what `work` has done, until it is told to commit. */
function transaction(work) {
  const { promise: gate, resolve: commit } = Promise.withResolvers();
  const { promise: held, resolve: hold } = Promise.withResolvers();
  const done = many.begin(async (sql) => {
    const result = await work(sql);
    hold();
    await gate;
    return result;
  });
  return { held, commit: () => (commit(), done) };
}
const key = async (organization, scopes = ["connections:read"]) => {
  const { service_key } = await call(service, "create_service_key", {
    p_user_id: null, p_organization_id: organization, p_name: "export", p_prefix: "sik_abcd", p_scopes: scopes,
    p_hash: createHash("sha256").update(randomUUID()).digest("hex"),
  });
  return service_key.id;
};

describe("export_events", () => {
  // Threat model 221.
  test("an event with a lower id that is committed later is not skipped", async () => {
    const organization = randomUUID();
    const caller = { p_user_id: organization, p_organization_id: organization };
    const slow = transaction((sql) => write(sql, organization));
    await slow.held;
    const quick = await write(owner, organization);
    const before = await readOn(caller);
    const first = await slow.commit();
    assert.ok(first < quick);
    const { seen } = await readOn(caller, before.after);
    assert.deepEqual([...before.seen, ...seen], [first, quick]);
  });

  // Threat model 221.
  test("an event with a lower id of a younger transaction that ends last is not skipped", async () => {
    const organization = randomUUID();
    const caller = { p_user_id: organization, p_organization_id: organization };
    let writeLast;
    const older = transaction(async (sql) => {
      await sql`select pg_current_xact_id()`;
      writeLast = () => write(sql, organization);
    });
    await older.held;
    const younger = transaction((sql) => write(sql, organization));
    await younger.held;
    const high = await writeLast();
    await older.commit();
    const before = await readOn(caller);
    assert.deepEqual(before.seen, [high], "the older transaction has ended, and nothing can come before it any more");
    const low = await younger.commit();
    assert.ok(low < high);
    assert.deepEqual((await readOn(caller, before.after)).seen, [low]);
  });

  // Threat model 221.
  test("forty writers at random and a reader: each event is read once", async () => {
    const organization = randomUUID();
    const caller = { p_user_id: organization, p_organization_id: organization };
    const written = [];
    let writing = true;
    const writers = Promise.all(Array.from({ length: 40 }, async () => {
      const ids = await many.begin(async (sql) => {
        const own = [];
        for (let i = 0; i < 1 + Math.floor(Math.random() * 4); i++) {
          own.push(await write(sql, organization));
          await sql`select pg_sleep(${Math.random() * 0.03})`;
        }
        return own;
      });
      written.push(...ids);
    })).then(() => (writing = false));
    const read = [];
    let at;
    do {
      const { seen, after: end } = await readOn(caller, at, 3);
      read.push(...seen);
      at = end;
    } while (writing);
    await writers;
    read.push(...(await readOn(caller, at, 3)).seen);
    assert.equal(new Set(read).size, read.length, "none twice");
    assert.deepEqual(read.toSorted((a, b) => a - b), written.toSorted((a, b) => a - b));
  });

  // Threat model 221.
  test("members and keys read their organizations' events, and a key of all reads all", async () => {
    const [one, two, member] = [randomUUID(), randomUUID(), randomUUID()];
    await addMember(owner, one, member);
    const [first, second] = [await write(owner, one), await write(owner, two)];
    const ids = async (caller) => (await readOn(caller)).seen.filter((id) => [first, second].includes(id));
    assert.deepEqual(await ids({ p_user_id: member, p_organization_id: one }), [first]);
    for (const stranger of [{ p_user_id: member, p_organization_id: two }, { p_user_id: member }, { p_user_id: randomUUID(), p_organization_id: one }, {}]) {
      assert.deepEqual(await ids(stranger), []);
    }
    const own = await key(one);
    assert.deepEqual(await ids({ p_service_key: own, p_organization_id: one }), [first]);
    assert.deepEqual(await ids({ p_service_key: own, p_organization_id: two }), []);
    assert.deepEqual(await ids({ p_service_key: own }), [], "a key of one organization does not read all");
    const all = await key(null);
    assert.deepEqual(await ids({ p_service_key: all }), [first, second]);
    assert.deepEqual(await ids({ p_service_key: all, p_organization_id: two }), [second]);
    assert.deepEqual(await ids({ p_service_key: await key(null, ["findings:read"]) }), []);
  });

  // Threat model 221.
  test("a cursor ahead of the database's transactions is from before a restore: it is rejected instead of skipping events", async () => {
    const organization = randomUUID();
    const id = await write(owner, organization);
    const read = async (p_transaction_id) =>
      call(service, "export_events", { p_user_id: organization, p_service_key: null, p_organization_id: organization, p_limit: 10, p_transaction_id, p_id: 0 });
    const [{ next }] = await owner`select pg_snapshot_xmax(pg_current_snapshot())::text as next`;
    for (const ahead of [String(BigInt(next) + 1000n), "18446744073709551615"]) assert.deepEqual(await read(ahead), { outcome: "unknown_cursor" }, ahead);
    const { events: [event], outcome } = await read("3");
    assert.deepEqual([outcome, event.id], ["exported", id]);
    assert.equal((await read(event.transaction_id)).outcome, "exported", "the newest that there can be");
  });

  test("a page is read by an index", async () => {
    const organization = randomUUID();
    await owner`
      insert into public.credential_events (actor, organization_id, integration_id, integration_type, action, outcome)
      select 'service', gen_random_uuid(), gen_random_uuid(), 'supabase', 'refreshed', 'succeeded' from generate_series(1, 5000)`;
    await write(owner, organization);
    await owner`analyze public.credential_events`;
    for (const [where, index] of [["true", "credential_events_transaction"], [`organization_id = '${organization}'`, "credential_events_organization"]]) {
      const plan = await owner.unsafe(`
        explain select id from public.credential_events where ${where} and (transaction_id, id) > ('700'::xid8, 5)
          and transaction_id < pg_snapshot_xmin(pg_current_snapshot()) order by transaction_id, id limit 50`);
      assert.match(plan.map((row) => row["QUERY PLAN"]).join("\n"), new RegExp(`Index (Only )?Scan using ${index} `));
    }
  });

  test("events of another cluster stop the export until they are renumbered as docs/operations.md says", async () => {
    const { owner: restored, service: theirs } = await server.createProject();
    const organization = randomUUID();
    const caller = { p_user_id: organization, p_service_key: null, p_organization_id: organization, p_transaction_id: null, p_id: null, p_limit: 10 };
    const [{ id }] = await restored`
      insert into public.credential_events (actor, organization_id, integration_id, integration_type, action, outcome, transaction_id)
      values ('service', ${organization}, gen_random_uuid(), 'supabase', 'refreshed', 'succeeded', '9000000000') returning id`;
    await assert.rejects(call(theirs, "export_events", caller), { code: "IK003" });
    await restored.begin(async (sql) => {
      await sql`alter table public.credential_events disable trigger append_only`;
      await sql`update public.credential_events set transaction_id = '3'`;
      await sql`alter table public.credential_events enable trigger append_only`;
    });
    const { events } = await call(theirs, "export_events", caller);
    assert.deepEqual(events.map((event) => event.id), [Number(id)]);
  });
});
