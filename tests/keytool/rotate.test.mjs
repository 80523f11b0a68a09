// keytool rotate: every row moves to the new key, nothing else changes, and no row is lost whoever else writes or kills.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";

import { lockWait } from "../database/support.mjs";
import {
  A, A_TO_B, assertDone, assertError, B, C, keytool, kidOf, openRow, sealFor, sealLegacy, somePlain, startDatabases,
} from "./support.mjs";
import { until } from "../support/wait.mjs";

let databases;
before(async () => (databases = await startDatabases()));
after(() => databases?.stop());

const rotate = (table, ...args) => keytool({ ...table.direct, ...A_TO_B }, "rotate", "--json", ...args);
const summary = (done) => done.events().at(-1);
const kids = (rows) => [...new Set(rows.map(kidOf))];

/** The most memory that a process had, in kB, as far as can be seen from outside. */
function watchMemory(child) {
  let peak = 0;
  const timer = setInterval(() => {
    try {
      peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1] ?? peak);
    } catch {
      // It has ended, or there is no /proc.
    }
  }, 5);
  child.once("close", () => clearInterval(timer));
  return () => peak;
}

/** What a rotation must leave as it was: all columns but config, and of config all that is not sealed. */
function unsealed({ config, text, version, ...columns }) {
  const { access_token, refresh_token, _enc, ...rest } = config;
  return { ...columns, rest };
}

describe("a role of keytool's own", () => {
  /** A role that may log in, as a member of service_role or with the right to the functions alone: neither passes by row level security. */
  async function roleFor(table, grant) {
    const [role, password] = [`keytool_${randomUUID().replaceAll("-", "")}`, randomUUID()];
    await table.sql.unsafe(`create role ${role} login password '${password}'; ${grant(role)}`);
    const url = new URL(table.direct.DATABASE_URL);
    Object.assign(url, { username: role, password });
    return { DATABASE_URL: url.href };
  }
  const functions = `select p.oid::regprocedure::text as name from pg_proc p
    where p.pronamespace = 'public'::regnamespace and p.proname ~ '^(rewrap_|key_registry_state|record_|read_sealed_elsewhere|(add_|next_|)data_keys$|delete_replaced)'`;

  test("a role of keytool's own sees every row despite row level security", async () => {
    const table = await databases.project();
    const names = (await table.sql.unsafe(functions)).map(({ name }) => name);
    const grants = {
      member: (role) => `grant service_role to ${role}`,
      "functions only": (role) => names.map((name) => `grant execute on function ${name} to ${role}`).join("; "),
    };
    for (const [name, grant] of Object.entries(grants)) {
      const ids = await table.insertMany(30, A);
      const role = await roleFor(table, grant);
      const done = await keytool({ ...role, ...A_TO_B }, "rotate", "--json");
      assertDone(done);
      assert.equal(summary(done).written, ids.length, name);
      assert.deepEqual(kids(await table.rows()), [B.kid], name);
      const verified = await keytool({ ...role, ENCRYPTION_KEY: B.base64 }, "verify", "--json");
      assertDone(verified);
      assert.equal(summary(verified).tally.rows, (await table.rows()).length, name + verified.stdout);
    }
  });
});

describe("every way to the rows", () => {
  const ways = {
    "directly": async (table) => table.direct,
    "over PostgREST with the old service key": async (table) => (await table.rest()).oldKey,
    "over PostgREST with the new service key": async (table) => (await table.rest()).newKey,
  };
  for (const [name, settings] of Object.entries(ways)) {
    test(`rotating ${name} rewraps all rows, keeps their other fields, and a second run writes nothing`, async () => {
      const table = await databases.project();
      await table.insertMany(700, A);
      // Of these, only the data key moves.
      await table.insertOnDataKey(B, 20);
      await table.insertOnDataKey(A, 20);
      // Numbers that a double cannot hold, a secret deep inside, names that need escaping, text beyond ASCII.
      const odd = { access_token: "x", list: [{ "a/b~c": { "x\"y_key": "ключ 🔑" } }], "ü_key": "", none_token: null, "z": "\u2028\\" };
      const oddId = await table.insertSealed(A, odd);
      await table.sql`
        update public.integrations set updated_at = '2020-02-02', config = config || '{"big": 123456789012345678901234567890.10, "tiny": 1e-400}'
        where id = ${oddId}`;
      const before = await table.rows();
      const env = { ...(await settings(table)), ...A_TO_B };

      const done = await keytool(env, "rotate", "--json", "--batch", "100");
      assertDone(done);
      const { event, data_keys, written, lost_races, does_not_open, kid } = summary(done);
      assert.deepEqual({ event, data_keys, written, lost_races, does_not_open, kid }, {
        event: "rewrapped", data_keys: 1, written: 701, lost_races: 0, does_not_open: 0, kid: B.kid,
      });
      const after = await table.rows();
      assert.deepEqual(kids(after), [B.kid]);
      assert.ok(after.every(({ config }) => config._enc.v === 3));
      assert.deepEqual(after.map(unsealed).map(({ rest: { list, ...rest }, ...row }) => ({ ...row, rest: { ...rest, "ü_key": 0 } })),
        before.map(unsealed).map(({ rest: { list, ...rest }, ...row }) => ({ ...row, rest: { ...rest, "ü_key": 0 } })));
      // The texts of the numbers, since JavaScript has no such numbers.
      const text = after.find(({ id }) => id === oddId).text;
      assert.match(text, /"big": 123456789012345678901234567890\.10/);
      assert.match(text, /"tiny": 0\.0{399}1/);
      for (const [i, row] of after.entries()) assert.deepEqual(openRow([B], row), openRow([A, B], before[i]));

      const again = await keytool(env, "rotate", "--json");
      assertDone(again);
      assert.deepEqual([summary(again).written, summary(again).data_keys], [0, 0]);
      assert.deepEqual(await table.rows(), after);
    });
  }
});

describe("what is in the table", () => {
  test("rotating an empty table does nothing", async () => {
    const table = await databases.project();
    const done = await rotate(table);
    assertDone(done);
    assert.equal(summary(done).written, 0);
    assertDone(await keytool({ ...table.direct, ...A_TO_B }, "rotate", "--complete", "--yes"));
  });

  test("rotating turns the legacy form, of either key, into the current one", async () => {
    const table = await databases.project();
    const ids = [];
    for (const key of [A, B]) ids.push(await table.insert({ access_token: sealLegacy(key, "sbp_1"), api_key: "", project_id: "p" }));
    assertDone(await rotate(table));
    for (const row of await table.rows()) {
      assert.equal(kidOf(row), B.kid);
      assert.deepEqual({ ...openRow([B], row) }, { access_token: "sbp_1", api_key: "", project_id: "p" });
    }
  });

  // Threat model 104 and 109.
  test("rotating lists and leaves a row that cannot be parsed, and rewraps the others", async () => {
    const nested = `${"[".repeat(130)}${"]".repeat(130)}`;
    const table = await databases.project();
    await table.insertMany(5, A);
    const [broken, large] = (await table.rows()).map(({ id }) => id);
    await table.sql.unsafe(`update public.integrations set config = config || '{"x": ${nested}}' where id = '${broken}'`);
    await table.sql.unsafe(`update public.integrations set config = config || '{"x": 1e400}' where id = '${large}'`);
    const before = (await table.rows()).find(({ id }) => id === broken);
    const { newKey } = await table.rest();
    for (const way of [table.direct, newKey]) {
      for (const command of [["verify"], ["rotate"], ["status"]]) {
        const done = await keytool({ ...A_TO_B, ...way }, "--json", ...command);
        assertError(done, 3, /^error: 1 row does not open$/);
        const found = done.events().filter(({ event }) => event === "does_not_open");
        assert.deepEqual(found.map((event) => [event.id, event.class]), [[broken, "too-deep"]], command[0]);
      }
    }
    for (const row of await table.rows()) {
      if (row.id === broken) assert.deepEqual(row, before);
      else assert.equal(kidOf(row), B.kid, row.id === large ? "the number beyond a double" : row.id);
    }
  });

  test("rotating leaves plaintext that looks like the parser's own, beside a secret in the same object", async () => {
    const table = await databases.project();
    const x = { "$serde_json::private::Number": "5" };
    const id = await table.insertSealed(A, { nested: { api_key: "s", x }, access_token: "t" });
    assertDone(await rotate(table));
    const [row] = await table.rows();
    assert.deepEqual([row.id, row.config.nested.x, kidOf(row)], [id, x, B.kid]);
    assert.equal(openRow([B], row).nested.api_key, "s");
  });

  test("rotating lists rows that do not open by id and class, rewraps the others, and exits 3", async () => {
    const table = await databases.project();
    await table.insertMany(50, A);
    const place = () => ({ id: randomUUID(), organization_id: randomUUID() });
    const sealed = sealFor(A, place(), somePlain());
    const huge = { ...sealFor(A, place(), somePlain()), filler: "x".repeat(3 << 20) };
    const deep = JSON.parse(`${'{"a":'.repeat(40)}{"token":"x"}${"}".repeat(40)}`);
    const strange = {
      "no-object": [null, "text", [], [sealed], 7],
      "not-authentic": [sealed, { ...sealed, access_token: sealed.refresh_token }],
      "too-large": [huge],
      "not-sealed": [{ access_token: "sbp_in_the_clear" }, { ...sealed, access_token: "" }],
      "unknown-key": [{ ...sealed, _enc: { v: 2, kid: C.kid } }],
      "unknown-version": [{ ...sealed, _enc: { v: 4, kid: A.kid } }],
      "malformed-enc": [{ ...sealed, _enc: null }, { ...sealed, _enc: { v: 2, kid: A.kid, alg: "x" } }, { ...sealed, _enc: "v2" }],
      "wrong-type": [{ ...sealed, api_key: 5 }, { api_key: ["x"] }],
      "too-deep": [deep],
    };
    const expected = new Map();
    for (const [fault, configs] of Object.entries(strange)) {
      for (const config of configs) expected.set(await table.insert(config), fault);
    }
    const fine = [];
    for (const config of [{}, { project_id: "p" }, { access_token: null }]) fine.push(await table.insert(config));
    const before = new Map((await table.rows()).map((row) => [row.id, row]));

    const done = await rotate(table);
    assertError(done, 3, /^error: \d+ rows do not open$/);
    const found = done.events().filter(({ event }) => event === "does_not_open");
    assert.deepEqual(new Map(found.map(({ id, class: fault }) => [id, fault]).sort()), new Map([...expected].sort()));
    assert.equal(found.length, expected.size);
    assert.deepEqual([summary(done).written, summary(done).does_not_open], [50, expected.size]);
    for (const row of await table.rows()) {
      if (expected.has(row.id) || fine.includes(row.id)) assert.deepEqual(row, before.get(row.id));
      else assert.equal(kidOf(row), B.kid);
    }
    const output = done.stdout + done.stderr;
    for (const secret of ["sbp_in_the_clear", sealed.access_token, A.base64, B.base64]) assert.ok(!output.includes(secret));

    // And so they are for status and verify, which read every row, and for the fence, which is refused.
    for (const command of ["status", "verify"]) {
      const seen = await keytool({ ...table.direct, ...A_TO_B }, command, "--json");
      assertError(seen, 3, /^error: \d+ rows do not open$/);
      assert.deepEqual(new Map(seen.events().flatMap((e) => (e.event === "does_not_open" ? [[e.id, e.class]] : [])).sort()), new Map([...expected].sort()));
    }
    assertError(await keytool({ ...table.direct, ...A_TO_B }, "fence"), 3, /rows do not open$/);
    assert.equal((await keytool(table.direct, "registry", "--json")).events().at(-1).fence, null);
    assertError(await rotate(table, "--complete", "--yes"), 3, /rows do not open$/);
  });

  test("rotating many configs of a megabyte takes little memory", async () => {
    const table = await databases.project();
    for (let i = 0; i < 40; i += 1) await table.insertSealed(A, { ...somePlain(), filler: randomUUID().repeat(28_000) });
    const running = rotate(table, "--batch", "1000");
    const peak = watchMemory(running.child);
    const done = await running;
    assertDone(done);
    assert.equal(summary(done).written, 40);
    // Pages are cut at a megabyte; 40 configs at once would be 80 MB and more.
    if (process.platform === "linux") assert.ok(peak() > 1024 && peak() < 32 * 1024, `${peak()} kB`);
  });
});

describe("wrong keys are noticed before the first write", () => {
  const cases = {
    "the fallback is missing": { settings: { ENCRYPTION_KEY: B.base64 }, message: /sealed with key [0-9a-f]{16}, which is not among your keys$/ },
    "the fallback is another key": { settings: { ENCRYPTION_KEY: B.base64, FALLBACK_ENCRYPTION_KEYS: C.base64 }, message: /which is not among your keys$/ },
    "the worker seals with another key than the primary": {
      settings: { ENCRYPTION_KEY: C.base64, FALLBACK_ENCRYPTION_KEYS: A.base64 },
      also: (table) => table.insertMany(20, B),
      message: new RegExp(`sealed with key ${B.kid}, which is not among your keys$`),
    },
    "the key of the legacy form is missing": {
      settings: A_TO_B,
      also: async (table) => {
        for (let i = 0; i < 20; i += 1) await table.insert({ access_token: sealLegacy(C, "x") });
      },
      message: /none of 20 sampled rows of the legacy form opens/,
    },
  };
  for (const [name, { settings, also, message }] of Object.entries(cases)) {
    test(name, async () => {
      const table = await databases.project();
      await table.insertMany(100, A);
      await also?.(table);
      const before = await table.rows();
      const done = await keytool({ ...table.direct, ...settings }, "rotate");
      assertError(done, 4, message);
      assert.deepEqual(await table.rows(), before);
    });
  }

  test("wrong keys are noticed in a table with one row", async () => {
    const table = await databases.project();
    await table.insertSealed(A);
    assertError(await keytool({ ...table.direct, ENCRYPTION_KEY: B.base64 }, "rotate"), 4, /which is not among your keys$/);
  });

  test("--force goes on with the rows that open", async () => {
    const table = await databases.project();
    await table.insertMany(50, A);
    await table.insertMany(50, C);
    const done = await rotate(table, "--force");
    assertError(done, 4, new RegExp(`^error: 50 rows are sealed with key ${C.kid}, which is not among your keys$`));
    assert.deepEqual([summary(done).written, summary(done).does_not_open], [50, 50]);
  });
});

describe("a part of the table", () => {
  test("a dry run seals and opens, and writes nothing", async () => {
    const table = await databases.project();
    await table.insertMany(300, A);
    const before = await table.rows();
    const done = await rotate(table, "--dry-run");
    assertDone(done);
    assert.deepEqual(summary(done), { event: "dry_run", kid: B.kid, would_write: 300, would_rewrap_data_keys: 0, does_not_open: 0 });
    assert.deepEqual(await table.rows(), before);
  });

  test("rotating one organization leaves the others", async () => {
    const table = await databases.project();
    await table.insertMany(30, A);
    const organization_id = randomUUID();
    const mine = new Set();
    for (let i = 0; i < 5; i += 1) mine.add(await table.insertSealed(A, somePlain(), { organization_id }));
    assertDone(await rotate(table, "--only-organization", organization_id));
    for (const row of await table.rows()) assert.equal(kidOf(row), mine.has(row.id) ? B.kid : A.kid);
  });

  test("overlapping shards rotate at the same time", async () => {
    const table = await databases.project();
    await table.insertMany(2000, A);
    const shards = ["1/3", "2/3", "3/3", "1/2"].map((shard) => rotate(table, "--shard", shard, "--batch", "50"));
    const done = await Promise.all(shards);
    done.forEach(assertDone);
    assert.equal(done.reduce((sum, one) => sum + summary(one).written, 0), 2000);
    assert.deepEqual(kids(await table.rows()), [B.kid]);
  });

  test("rotating is no faster than asked for", async () => {
    const table = await databases.project();
    await table.insertMany(400, A);
    const started = performance.now();
    assertDone(await rotate(table, "--max-rate", "100", "--batch", "50"));
    // Eight batches of half a second; the first one goes at once.
    assert.ok(performance.now() - started > 3000);
  });
});

describe("others write meanwhile", () => {
  test("a row that is written while it is sealed stays as written, and is read again", async () => {
    const table = await databases.project();
    const ids = await table.insertMany(20, A);
    const [{ id, organization_id }] = await table.rows();
    const newer = { access_token: "newer", project_id: "p" };
    let done;
    await table.project.connect("postgres").begin(async (sql) => {
      await sql`update public.integrations set config = ${sql.json(sealFor(A, { id, organization_id }, newer))} where id = ${id}`;
      done = rotate(table);
      await lockWait(table.sql);
    });
    assertDone(await done);
    assert.equal(summary(await done).lost_races, 1);
    assert.equal(summary(await done).written, ids.length);
    const row = (await table.rows())[0];
    assert.equal(kidOf(row), B.kid);
    assert.deepEqual({ ...openRow([B], row) }, newer);
  });

  test("rotating waits for a writer that holds a row, and blocks nobody meanwhile", async () => {
    const table = await databases.project();
    await table.insertMany(20, A);
    const [{ id }, { id: other }] = await table.rows();
    let done;
    await table.project.connect("postgres").begin(async (sql) => {
      await sql`select from public.integrations where id = ${id} for update`;
      done = rotate(table);
      await lockWait(table.sql);
      // After two seconds of waiting the batch gives up, releases its locks, and tries again.
      await until("the batch gives up", async () => {
        const [{ waiting }] = await table.sql`
          select count(*)::integer as waiting from pg_stat_activity
          where application_name = 'keytool' and datname = current_database() and wait_event_type = 'Lock'`;
        return waiting === 0;
      });
      await table.sql.begin(async (writer) => {
        await writer`set local lock_timeout = '2500ms'`;
        await writer`update public.integrations set name = 'renamed' where id = ${other}`;
      });
    });
    assertDone(await done);
    assert.deepEqual(kids(await table.rows()), [B.kid]);
  });

  test("two rotations at once finish beside a worker that inserts, updates and deletes with the new key", async () => {
    const table = await databases.project();
    const ids = await table.insertMany(3000, A);
    const acknowledged = new Map((await table.rows()).map((row) => [row.id, openRow([A], row)]));
    const rotators = [1, 2].map(() => rotate(table, "--batch", "40", "--jobs", "2"));
    const running = Promise.all(rotators);
    let finished = false;
    running.finally(() => (finished = true));
    for (let i = 0; !finished || i < 50; i += 1) {
      const id = ids[(i * 7919) % ids.length];
      const plain = { ...somePlain(), n: i };
      if (i % 5 === 0) {
        const place = { id: randomUUID(), organization_id: randomUUID() };
        await table.insert(await table.sealAsWorker([B, A], place, plain), place);
        acknowledged.set(place.id, plain);
      } else if (i % 5 === 1) {
        await table.sql`delete from public.integrations where id = ${id}`;
        acknowledged.delete(id);
      } else {
        const [row] = await table.sql`select organization_id from public.integrations where id = ${id}`;
        if (!row) continue;
        const config = await table.sealAsWorker([B, A], { id, ...row }, plain);
        await table.sql`update public.integrations set config = ${table.sql.json(config)} where id = ${id}`;
        acknowledged.set(id, plain);
      }
    }
    (await running).forEach(assertDone);
    const rows = await table.rows();
    assert.deepEqual(kids(rows), [B.kid]);
    assert.deepEqual(new Map(rows.map((row) => [row.id, { ...openRow([B], row) }])), new Map([...acknowledged].sort().map(([id, plain]) => [id, { ...plain }])));
  });

  test("rotating reports a writer that keeps sealing with the old key, and ends", async () => {
    const table = await databases.project();
    await table.insertMany(5, A);
    const writer = table.project.connect("postgres");
    // After every row that the rotation writes, an old isolate writes another one on the old key.
    const [{ id, organization_id }] = await table.rows();
    const old = sealFor(A, { id, organization_id }, somePlain());
    await writer.unsafe(`
      create function public.old_isolate() returns trigger language plpgsql security definer as $$
      begin
        if current_setting('integrations.rewrap', true) = 'on' and new.id = '${id}' then
          new.config := '${JSON.stringify(old)}';
        end if;
        return new;
      end $$;
      create trigger old_isolate before update on public.integrations for each row execute function public.old_isolate();`);
    assertError(await rotate(table), 1, /rows on other keys keep coming/);
  });
});

describe("the trail of a rotation", () => {
  const events = (table) =>
    table.sql`select organization_id, action, reason, details from public.credential_events order by id`.then((rows) => rows.map((row) => ({ ...row })));

  test("a rotation records for each organization once that rows are opened, and in the end what was rewrapped", async () => {
    const table = await databases.project();
    await table.insertMany(30, A);
    const organizations = (await table.sql`select organization_id as id, count(*)::integer as rows from public.integrations group by 1 order by 1`);
    assertDone(await rotate(table));
    const of = (action) => async () => (await events(table)).filter((event) => event.action === action).toSorted((a, b) => (a.organization_id < b.organization_id ? -1 : 1));
    const [opened, rotated] = [await of("opened")(), await of("rotated")()];
    const role = new URL(table.direct.DATABASE_URL).username;
    const dataKeys = new Map((await table.dataKeys()).map(({ organization_id, kid }) => [organization_id, kid]));
    assert.deepEqual(opened.map((event) => [event.organization_id, event.reason, event.details]),
      organizations.map(({ id }) => [id, "rotate", { to: B.kid, role }]));
    assert.deepEqual(rotated.map((event) => [event.organization_id, event.details]),
      organizations.map(({ id, rows }) => [id, { rows, from: [A.kid], to: dataKeys.get(id), role }]));
    assertDone(await rotate(table));
    assert.equal((await events(table)).length, 2 * organizations.length, "a run that finds nothing opens nothing");
  });

  test("every row that a killed rotation has written is in an event: by the next run, or by the schedule", async () => {
    const table = await databases.project();
    await table.insertMany(300, A);
    const rewrapped = async () => (await table.sql`select count(*)::int as n from public.integrations where config->'_enc'->'v' = '3'`)[0].n;
    const recorded = async () => (await table.sql`
      select coalesce(sum((details->>'rows')::int), 0)::int as n, count(*)::int as events, count(distinct organization_id)::int as organizations
      from public.credential_events where action = 'rotated' and details @> ${table.sql.json({ from: [A.kid] })}`)[0];
    const kill = async (rows) => {
      const running = rotate(table, "--batch", "10", "--jobs", "1", "--max-rate", "200");
      await until(`${rows} rewrapped rows`, async () => (await rewrapped()) >= rows);
      running.child.kill("SIGKILL");
      assert.equal((await running).signal, "SIGKILL");
      // A batch that the server had received ends without its client.
      let last = -1;
      await until("the end of the last batch", async () => last === (last = await rewrapped()));
      return last;
    };

    const first = await kill(20);
    assert.ok(first < 300);
    assert.equal((await recorded()).n, 0, "killed before it could record them");
    const cleaned = () => table.sql`select public.clean_up(400)`;
    await cleaned();
    assert.equal((await recorded()).n, 0, "it might still be running");
    await table.sql`update private.rewrapped set written_at = written_at - interval '16 minutes'`;
    for (let part = 0; part < 16; part += 1) await cleaned();
    assert.deepEqual(await recorded(), { n: first, events: first, organizations: first });

    const second = await kill(first + 20);
    assert.equal((await recorded()).n, first);
    assertDone(await rotate(table));
    assert.ok(second < 300);
    assert.deepEqual(await recorded(), { n: 300, events: 300, organizations: 300 });
    assert.deepEqual([...(await table.sql`select from private.rewrapped`)], []);
  });

  test("ends a rotation whose trail cannot be written before it opens or writes anything", async () => {
    const table = await databases.project();
    await table.insertMany(3, A);
    const before = await table.rows();
    await table.sql.unsafe(`
      create function public.no_trail() returns trigger language plpgsql as $$ begin raise exception 'no trail'; end $$;
      create trigger no_trail before insert on public.credential_events for each row execute function public.no_trail();`);
    for (const run of [rotate(table), rotate(table, "--dry-run"), keytool({ ...table.direct, ...A_TO_B }, "verify", "--json")]) {
      assertError(await run, 1, /no trail/);
    }
    assert.deepEqual(await table.rows(), before);
  });
});

describe("killed and cut off", () => {
  test("a rotation that was killed many times is simply run again", async () => {
    const table = await databases.project();
    await table.insertMany(2000, A);
    const before = await table.rows();
    const written = async () =>
      (await table.sql`select count(*)::integer as rows from public.integrations where config->'_enc'->'v' = '3'`)[0].rows;
    let killed = 0;
    // Each time once it has written some more, and a little later each time: at another moment of what it is doing then.
    for (let wanted = 100, later = 0; wanted < 1500; wanted = (await written()) + 100, later = (later + 7) % 20) {
      const done = rotate(table, "--batch", "20", "--max-rate", "1000");
      await until("some more rows are written", async () => done.child.exitCode !== null || (await written()) >= wanted);
      // Not a wait for anything: it varies the moment.
      await delay(later);
      done.child.kill("SIGKILL");
      killed += (await done).signal === "SIGKILL" ? 1 : 0;
      for (const row of await table.rows()) openRow([A, B], row);
    }
    assert.ok(killed > 2, `${killed} were killed`);
    const half = await written();
    assert.ok(half > 0 && half < 2000, `${half} of 2000 rows were written when it was killed`);
    const done = await rotate(table);
    assertDone(done);
    assert.equal(summary(done).written, 2000 - half);
    const after = await table.rows();
    assert.deepEqual(after.map(unsealed), before.map(unsealed));
    for (const [i, row] of after.entries()) assert.deepEqual(openRow([B], row), openRow([A], before[i]));
  });

  test("a rotation reconnects when the server ends its connection", async () => {
    const table = await databases.project();
    await table.insertMany(3000, A);
    const done = rotate(table, "--batch", "20", "--max-rate", "3000");
    const written = async () =>
      (await table.sql`select count(*)::integer as rows from public.integrations where config->'_enc'->'v' = '3'`)[0].rows;
    let ended = 0;
    // What fails before it has begun is not repeated: each time once it has written some more.
    for (let before = 0; ended < 6; before = await written()) {
      await until("some more rows are written", async () => done.child.exitCode !== null || (await written()) > before);
      if (done.child.exitCode !== null) break;
      // Allowed, as it is the same role.
      const rows = await table.sql`
        select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'keytool' and datname = current_database()`;
      ended += rows.length;
    }
    assertDone(await done);
    assert.ok(ended > 2, `${ended} connections were ended`);
    assert.deepEqual(kids(await table.rows()), [B.kid]);
  });

  test("a rotation ends without a panic when the reader of its events goes away", async () => {
    const table = await databases.project();
    for (let i = 0; i < 20; i += 1) await table.insert("no object");
    const done = rotate(table);
    done.child.stdout.destroy();
    const { status, stderr } = await done;
    assert.deepEqual([status, stderr], [1, ""]);
  });
});
