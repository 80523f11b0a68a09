// What an operator reads at three in the morning: which database, what a row needs, what is left, and no advice that destroys.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { listen } from "../stack/listen.mjs";
import {
  A, A_TO_B, assertDone, assertError, B, C, keytool, keytoolOnTerminal, newKey, sealFor, sealLegacy, somePlain, startDatabases,
} from "./support.mjs";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

let databases;
before(async () => (databases = await startDatabases()));
after(() => databases?.stop());

const ALONE = { ENCRYPTION_KEY: B.base64 };
const run = (table, settings, ...args) => keytool({ ...table.direct, ...settings }, ...args);
const count = (text, pattern) => [...text.matchAll(pattern)].length;
const states = async (table) => {
  const { keys } = (await run(table, {}, "registry", "--json")).events().at(-1);
  return Object.fromEntries(keys.map(({ kid, state }) => [kid, state]));
};

describe("rows that do not open", () => {
  test("a wrong key is one line that names the key of the rows, and nobody is told to delete them", async () => {
    const table = await databases.project();
    await table.insertMany(200, A);
    const sentence = `200 rows are sealed with key ${A.kid}, which is not among your keys`;
    for (const command of ["status", "verify"]) {
      const done = await run(table, { ENCRYPTION_KEY: C.base64 }, command);
      assertError(done, 4, new RegExp(`^error: ${sentence}$`));
      assert.equal(count(done.stdout, new RegExp(sentence, "g")), 1);
      assert.ok(done.stdout.split("\n").length < 15, done.stdout);
      assert.match(done.stderr, /^hint: nothing need be wrong with these rows, so delete none/m);
    }
    await table.insertMany(10, B);
    assertError(await run(table, { ENCRYPTION_KEY: C.base64 }, "verify"), 4, /^error: 210 rows are sealed with 2 keys that are not among yours$/);
    await table.sql`delete from public.integrations where config->'_enc'->>'kid' = ${B.kid}`;
    const none = await run(table, { ENCRYPTION_KEY: C.base64 }, "fence");
    assertError(none, 4, new RegExp(sentence));
    assertError(await run(table, { ENCRYPTION_KEY: B.base64, FALLBACK_ENCRYPTION_KEYS: C.base64 }, "rotate", "--force"), 4, new RegExp(sentence));
  });

  test("a list is sorted, and cut unless all are asked for; every line of another key's row names it", async () => {
    const table = await databases.project();
    const ids = await table.insertMany(60, A);
    const all = await run(table, { ENCRYPTION_KEY: C.base64 }, "verify", "--list-all");
    const listed = [...all.stdout.matchAll(/^does not open: (\S+) of organization .*: unknown-key at "\/_enc", key ([0-9a-f]{16})$/gm)];
    assert.deepEqual(listed.map(([, id, kid]) => [id, kid]), ids.toSorted().map((id) => [id, A.kid]));

    const damaged = [];
    for (let i = 0; i < 30; i += 1) damaged.push(await table.insert({ access_token: `in the clear ${i}` }));
    const some = await run(table, { ENCRYPTION_KEY: A.base64 }, "verify");
    assertError(some, 3, /^error: 30 rows do not open$/);
    const first = [...some.stdout.matchAll(/^does not open: (\S+) /gm)].map(([, id]) => id);
    assert.deepEqual(first, damaged.toSorted().slice(0, 20));
    assert.match(some.stdout, /^\.\.\. and 10 rows more: --list-all lists them$/m);
    // Both: the damaged ones give the status, the others are told apart.
    const both = await run(table, { ENCRYPTION_KEY: C.base64 }, "status");
    assertError(both, 3, /^error: 90 rows do not open$/);
    assert.match(both.stderr, /^hint: 30 of them are damaged; the others may need a key or a version that is not here: begin with those, and delete none/m);
    const events = (await run(table, { ENCRYPTION_KEY: C.base64 }, "verify", "--json")).events();
    assert.equal(events.filter(({ event, kind, kid }) => event === "does_not_open" && kind === "missing_key" && kid === A.kid).length, 60);
    assert.deepEqual(events.filter(({ event }) => event === "do_not_open").map(({ kind, kid, rows }) => [kind, kid, rows]),
      [["missing_key", A.kid, 60], ["damaged", null, 30]]);
  });

  test("another version and a legacy value that no key fits are told apart from damage", async () => {
    const table = await databases.project();
    const sealed = sealFor(A, { id: randomUUID(), organization_id: randomUUID() }, somePlain());
    await table.insert({ ...sealed, _enc: { v: 4, kid: A.kid } });
    const newer = await run(table, { ENCRYPTION_KEY: A.base64 }, "verify");
    assertError(newer, 4, /^error: 1 row is of a version of the format that this keytool does not read$/);
    assert.match(newer.stderr, /^hint: .*install the keytool of the worker's version, and delete none$/m);
    const legacy = await databases.project();
    await legacy.insert({ access_token: sealLegacy(C, "x") });
    const unknown = await run(legacy, { ENCRYPTION_KEY: A.base64 }, "verify");
    assertError(unknown, 4, /^error: 1 row of the legacy form opens with none of your keys/);
    for (const done of [newer, unknown]) assert.doesNotMatch(done.stdout, /^does not open:/m, "what may be intact is listed with --list-all alone");
  });

  test("no advice to delete a row stands anywhere in the program or the runbook", async () => {
    const files = (await readdir(`${ROOT}keytool/src`, { recursive: true })).filter((file) => /\.(rs|txt)$/.test(file)).map((file) => `keytool/src/${file}`);
    for (const file of [...files, "docs/rotation.md"]) {
      assert.doesNotMatch(await readFile(ROOT + file, "utf8"), /(repair|mend) or delete|(?<!not )delete (them|it|these)\b/, file);
    }
  });
});

describe("retiring", () => {
  const prepared = async () => {
    const table = await databases.project();
    await table.insertMany(20, A);
    assertDone(await run(table, A_TO_B, "rotate"));
    assertDone(await run(table, A_TO_B, "fence"));
    return table;
  };

  test("a typing error and the next key are refused, and so is the primary key", async () => {
    const table = await prepared();
    for (const kid of ["0123456789abcdef", C.kid]) {
      assertError(await run(table, A_TO_B, "retire", "--yes", kid), 2, new RegExp(`^error: nothing was ever sealed with key ${kid} here: no key is retired$`));
    }
    const next = { ENCRYPTION_KEY: B.base64, FALLBACK_ENCRYPTION_KEYS: `${A.base64},${C.base64}` };
    assertError(await run(table, next, "retire", "--yes"), 2, new RegExp(`nothing was ever sealed with key ${C.kid}`));
    assertError(await run(table, A_TO_B, "retire", "--yes", B.kid), 2, /is the primary key: no key is retired$/);
    assert.deepEqual(await states(table), { [A.kid]: "known", [B.kid]: "allowed" });
    // All the way it retires what was used, and says what was not.
    const all = await run(table, next, "rotate", "--complete", "--yes");
    assertDone(all);
    assert.match(all.stdout, new RegExp(`^key ${C.kid} is not retired: nothing was ever sealed with it here$`, "m"));
    assert.deepEqual(await states(table), { [A.kid]: "retired", [B.kid]: "allowed" });
  });

  test("asks on a terminal, with the database, the keys and the rows, and takes no for an answer", async () => {
    const table = await prepared();
    const settings = { ...table.direct, ...A_TO_B };
    const refused = await keytoolOnTerminal(settings, ["retire"], { answer: "n\n" });
    assert.equal(refused.status, 2, refused.text);
    assert.match(refused.text, /not confirmed: nothing was changed/);
    const { host, pathname } = new URL(table.direct.DATABASE_URL);
    for (const said of [`database: ${host}${pathname} as postgres`, "20 rows open with key", B.kid, `Retire ${A.kid}? [y/N]`]) {
      assert.ok(refused.text.includes(said), `${said}\n${refused.text}`);
    }
    assert.equal((await states(table))[A.kid], "known");
    const agreed = await keytoolOnTerminal(settings, ["retire"], { answer: "y\n" });
    assert.equal(agreed.status, 0, agreed.text);
    assert.match(agreed.text, new RegExp(`key ${A.kid} is retired: no row needs it`));
    assert.equal((await states(table))[A.kid], "retired");
  });

  test("without a terminal it needs --yes, before it does anything", async () => {
    const table = await prepared();
    for (const command of [["retire"], ["rotate", "--complete"], ["unretire", A.kid]]) {
      assertError(await run(table, A_TO_B, ...command), 2, /there is no terminal to ask on$/);
    }
    assert.equal((await states(table))[A.kid], "known");
  });

  test("a key that was retired by mistake is taken back, and opens and seals again", async () => {
    const table = await prepared();
    assertDone(await run(table, A_TO_B, "retire", "--yes"));
    // A backup comes back whose rows are on A.
    assertDone(await run(table, {}, "fence", "--lift"));
    await table.insertMany(3, A);
    const back = { ENCRYPTION_KEY: A.base64, FALLBACK_ENCRYPTION_KEYS: B.base64 };
    assertError(await run(table, back, "rotate"), 2, /is retired$/);
    const status = await run(table, back, "status");
    assert.match(status.stdout, new RegExp(`^warning: the primary key ${A.kid} is retired`, "m"));
    assertError(await run(table, back, "unretire", "--yes", C.kid), 2, /is not retired$/);
    assertDone(await run(table, back, "unretire", "--yes", A.kid));
    assert.equal((await states(table))[A.kid], "known");
    assertDone(await run(table, back, "rotate"));
    assertDone(await run(table, { ENCRYPTION_KEY: A.base64 }, "verify"));
  });

  test("settings that are swapped are recognised", async () => {
    const table = await prepared();
    const swapped = { ENCRYPTION_KEY: A.base64, FALLBACK_ENCRYPTION_KEYS: B.base64 };
    for (const command of [["retire", "--yes"], ["fence"], ["rotate"]]) {
      const done = await run(table, swapped, ...command);
      assertError(done, 2, new RegExp(`^error: the fence is up for ${B.kid}, which is a fallback key here, and the primary key is ${A.kid}$`));
      assert.match(done.stderr, /^hint: ENCRYPTION_KEY and FALLBACK_ENCRYPTION_KEYS are probably swapped/m);
    }
  });
});

describe("everything that is sealed", () => {
  const insertEndpoint = async (table, key, { sealedFor } = {}) => {
    const place = { id: randomUUID(), organization_id: randomUUID() };
    const config = sealFor(key, sealedFor ?? place, { secret: `whsec_${randomUUID()}` });
    await table.sql`
      insert into public.webhook_endpoints (id, organization_id, url, config)
      values (${place.id}, ${place.organization_id}, 'https://hooks.example/x', ${table.sql.json(config)})`;
    return place;
  };

  test("a webhook's secret on the old key shows in status, stops verify --primary-only and retire with the same words", async () => {
    const table = await databases.project();
    await table.insertMany(5, B);
    for (const key of [A, A, B]) await insertEndpoint(table, key);
    const pending = { id: randomUUID(), organization_id: randomUUID() };
    await table.sql`
      insert into public.pending_connections (id, user_id, organization_id, integration_type, config, return_to)
      values (${pending.id}, gen_random_uuid(), ${pending.organization_id}, 'supabase', ${table.sql.json(sealFor(A, pending, somePlain()))}, '/')`;
    const status = await run(table, A_TO_B, "status");
    assertDone(status);
    assert.match(status.stdout, new RegExp(`^webhook_endpoints: 2 rows sealed with key ${A.kid} \\(fallback\\)$`, "m"));
    assert.match(status.stdout, new RegExp(`^pending_connections: 1 row sealed with key ${A.kid} \\(fallback\\)$`, "m"));
    assert.match(status.stdout, new RegExp(`^rotation to ${B.kid}: 100\\.0 %, 0 rows left\nnot over yet: 1 row of pending_connections and 2 rows of webhook_endpoints are still sealed with key ${A.kid}$`, "m"));
    const elsewhere = (await run(table, A_TO_B, "status", "--json")).events().at(-1).sealed_elsewhere;
    assert.deepEqual(elsewhere.map(({ table, kid, rows }) => `${table} ${kid} ${rows}`).toSorted(),
      [`pending_connections ${A.kid} 1`, `webhook_endpoints ${A.kid} 2`, `webhook_endpoints ${B.kid} 1`].toSorted());
    assertDone(await run(table, A_TO_B, "verify"));
    assertDone(await run(table, A_TO_B, "fence"));
    const needed = new RegExp(`^error: 1 row of pending_connections and 2 rows of webhook_endpoints are still sealed with key ${A.kid}$`);
    for (const command of [["verify", "--primary-only"], ["retire", "--yes"]]) {
      const done = await run(table, A_TO_B, ...command);
      assertError(done, 1, needed);
      assert.match(done.stderr, /^hint: the worker's schedule rewraps 200 webhook secrets a minute/m);
    }
    // Without the old key it is a key that is missing.
    for (const command of ["verify", "status"]) {
      assertError(await run(table, ALONE, command), 4, new RegExp(`sealed with key ${A.kid}, which is not among your keys$`));
    }
  });

  test("a webhook's secret that does not open is found by status, verify and retire, each after its event, both ways", async () => {
    const table = await databases.project();
    await table.insertMany(3, B);
    for (let i = 0; i < 1200; i += 1) await insertEndpoint(table, B);
    assertDone(await run(table, A_TO_B, "fence"));
    const { id, organization_id } = await insertEndpoint(table, B, { sealedFor: { id: randomUUID(), organization_id: randomUUID() } });
    const { newKey: rest } = await table.rest();
    for (const way of [table.direct, rest]) {
      for (const command of [["status"], ["verify"], ["verify", "--primary-only"], ["retire", "--yes", A.kid]]) {
        const done = await keytool({ ...way, ...A_TO_B }, ...command);
        assertError(done, 3, /^error: 1 row of webhook_endpoints does not open$/);
        assert.match(done.stdout, new RegExp(`^webhook_endpoints: does not open: ${id} of organization ${organization_id}: not-authentic at "/secret"$`, "m"));
        assert.match(done.stderr, /^hint: replace the secret of such a webhook endpoint/m);
      }
    }
    const found = (await run(table, A_TO_B, "verify", "--json")).events().filter(({ event }) => event === "does_not_open");
    assert.deepEqual(found.map((event) => [event.table, event.id, event.class, event.kind]), [["webhook_endpoints", id, "not-authentic", "damaged"]]);
    const [{ events }] = await table.sql`select count(*)::int as events from public.credential_events where action = 'opened' and organization_id = ${organization_id}`;
    assert.equal(events, 9, "an event for each command");
    await table.sql`delete from public.webhook_endpoints where id = ${id}`;
    assertDone(await run(table, A_TO_B, "verify"));
  });
});

// Threat model 233.
describe("the secrets of an OAuth app", () => {
  const insertApp = async (table, key, { sealedFor } = {}) => {
    const place = { id: randomUUID(), organization_id: randomUUID() };
    const config = sealFor(key, sealedFor ?? place, { client_secret: randomUUID(), fallback_client_secret: randomUUID() });
    await table.sql`
      insert into private.oauth_apps (id, organization_id, integration_type, name, client_id, config)
      values (${place.id}, ${place.organization_id}, 'supabase', 'Ours', 'client', ${table.sql.json(config)})`;
    return { ...place, config };
  };

  test("on the old key show in status and stop verify --primary-only and retire, and are done once the worker has rewrapped them", async () => {
    const table = await databases.project();
    await table.insertMany(3, B);
    const app = await insertApp(table, A);
    const status = await run(table, A_TO_B, "status");
    assert.match(status.stdout, new RegExp(`^oauth_apps: 1 row sealed with key ${A.kid} \\(fallback\\)$`, "m"));
    assertDone(await run(table, A_TO_B, "verify"));
    assertDone(await run(table, A_TO_B, "fence"));
    for (const command of [["verify", "--primary-only"], ["retire", "--yes"]]) {
      const done = await run(table, A_TO_B, ...command);
      assertError(done, 1, new RegExp(`^error: 1 row of oauth_apps is still sealed with key ${A.kid}$`));
      assert.match(done.stderr, /^hint: the worker's schedule rewraps the secrets of OAuth apps/m);
    }
    // As the worker's schedule does it: the same secrets, with the other key.
    const plain = Object.fromEntries(["client_secret", "fallback_client_secret"].map((name) => [name, randomUUID()]));
    const resealed = { table: "oauth_apps", id: app.id, read: app.config, config: sealFor(B, app, plain) };
    const [{ answer }] = await table.sql`select public.reseal_secrets(${table.sql.json([resealed])}) as answer`;
    assert.deepEqual(answer, { outcome: "resealed", count: 1 });
    for (const command of [["verify", "--primary-only"], ["retire", "--yes", A.kid]]) assertDone(await run(table, A_TO_B, ...command));
    assertDone(await run(table, ALONE, "verify"));
  });

  test("that do not open are found by status and verify, with the app's place", async () => {
    const table = await databases.project();
    const { id, organization_id } = await insertApp(table, B, { sealedFor: { id: randomUUID(), organization_id: randomUUID() } });
    for (const command of ["status", "verify"]) {
      const done = await run(table, A_TO_B, command);
      assertError(done, 3, /^error: 1 row of oauth_apps does not open$/);
      assert.match(done.stdout, new RegExp(`^oauth_apps: does not open: ${id} of organization ${organization_id}: not-authentic at "/client_secret"$`, "m"));
      assert.match(done.stderr, /set the client secret of such an OAuth app anew/);
    }
  });
});

describe("where", () => {
  test("every command says first which database and which keys, never a password, and in JSON as the first event", async () => {
    const table = await databases.project();
    const { host, pathname, password } = new URL(table.direct.DATABASE_URL);
    const keys = `primary key ${B.kid}, fallback key ${A.kid}`;
    for (const command of [["status"], ["rotate"], ["verify"], ["fence"], ["registry"]]) {
      const done = await run(table, A_TO_B, ...command);
      assertDone(done);
      assert.equal(done.stderr.split("\n")[0], `database: ${host}${pathname} as postgres (directly); ${keys}`);
      if (password) assert.ok(!done.stderr.includes(password));
      const first = (await run(table, A_TO_B, "--json", ...command)).all()[0];
      assert.deepEqual([first.event, first.way, first.primary, first.fallbacks], ["connecting", "directly", B.kid, [A.kid]]);
    }
    const both = await run(table, { ...A_TO_B, SUPABASE_URL: "https://x.supabase.co", SUPABASE_SERVICE_ROLE_KEY: "sb_secret_hunter2" }, "status");
    assert.match(both.stderr, /^database: .*; SUPABASE_URL is set too, and not used$/m);
    const { newKey: rest } = await table.rest();
    const done = await keytool({ ...rest, ...A_TO_B }, "status");
    assert.equal(done.stderr.split("\n")[0], `database: ${rest.SUPABASE_URL} (through PostgREST); ${keys}`);
  });

  test("an @ in a password that is not encoded is named, and nothing of the password is shown", async () => {
    const done = await keytool({ ...A_TO_B, DATABASE_URL: "postgres://postgres:hunter2@hunter3@db.example.com/postgres" }, "status");
    assertError(done, 2, /^error: the password in DATABASE_URL has an @ that is not encoded$/);
    assert.doesNotMatch(done.stderr, /hunter/);
  });
});

describe("how far", () => {
  test("100 % means that nothing is left; what does not open is left; the categories add up; a part says that it is one", async () => {
    const table = await databases.project();
    await table.insertMany(1999, B);
    const organization_id = randomUUID();
    await table.insertSealed(A, undefined, { organization_id });
    const status = await run(table, A_TO_B, "status");
    assert.match(status.stdout, new RegExp(`^rotation to ${B.kid}: 99\\.9 %, 1 row left$`, "m"));
    const part = await run(table, A_TO_B, "status", "--only-organization", organization_id);
    assert.match(part.stdout, new RegExp(`^rows of organization ${organization_id}: 1$`, "m"));
    assert.match(part.stdout, new RegExp(`^rotation of organization ${organization_id} to ${B.kid}: 0\\.0 %, 1 row left$`, "m"));
    assert.match((await run(table, A_TO_B, "verify", "--shard", "1/2")).stdout, /^\d+ of \d+ rows of shard 1\/2 open with/m);

    assertDone(await run(table, A_TO_B, "rotate"));
    assert.match((await run(table, A_TO_B, "status")).stdout, /: 100\.0 %, 0 rows left$/m);
    // It names the primary key and does not open.
    await table.insert(sealFor(B, { id: randomUUID(), organization_id }, somePlain()));
    await table.insert("no object");
    await table.insert({ project_id: "nothing sealed" });
    await table.insert({ access_token: sealLegacy(A, "x") });
    const left = await run(table, A_TO_B, "status", "--json");
    const { tally, left: rows } = left.events().at(-1);
    assert.equal(rows, 3);
    const { by_kid, by_wrapping_kid, missing_data_key, other_kids, legacy_form, nothing_sealed, unreadable } = tally;
    const byKey = [...Object.values(by_kid), ...Object.values(by_wrapping_kid)];
    assert.equal(byKey.reduce((sum, n) => sum + n, 0) + missing_data_key + other_kids + legacy_form + nothing_sealed + unreadable, tally.rows);
    assert.match((await run(table, A_TO_B, "status")).stdout, /: 99\.8 %, 3 rows left$/m);
  });

  test("an organization without rows is an error, and one whose rows are done is none", async () => {
    const table = await databases.project();
    const organization_id = randomUUID();
    await table.insertSealed(B, undefined, { organization_id });
    for (const command of ["status", "verify", "rotate"]) {
      assertError(await run(table, A_TO_B, command, "--only-organization", randomUUID()), 2, /^error: organization [0-9a-f-]{36} has no rows$/);
      assertDone(await run(table, A_TO_B, command, "--only-organization", organization_id));
    }
  });
});

describe("stopping", () => {
  for (const [signal, status] of [["SIGINT", 130], ["SIGTERM", 143]]) {
    test(`${signal} leaves what was rewrapped, a last line, its event and status ${status}`, async () => {
      const table = await databases.project();
      await table.insertMany(600, A);
      await table.sql`analyze public.integrations`;
      const done = run(table, A_TO_B, "rotate", "--max-rate", "20", "--batch", "20");
      const rewrapped = async () => (await table.sql`select count(*)::int as n from public.integrations where config->'_enc'->'v' = '3'`)[0].n;
      while ((await rewrapped()) < 40) await new Promise((resolve) => setTimeout(resolve, 50));
      done.child.kill(signal);
      const ended = await done;
      assertError(ended, status, new RegExp(`^error: stopped by ${signal}: \\d+ rows rewrapped, about \\d+ rows not looked at yet$`));
      assert.match(ended.stderr, /^hint: nothing is half done: run it again, and it does what is left$/m);
      const rows = await rewrapped();
      assert.ok(rows < 600);
      const [said] = ended.stderr.match(/\d+(?= rows rewrapped, about)/);
      const [{ sum }] = await table.sql`select sum((details->>'rows')::int)::int from public.credential_events where action = 'rotated'`;
      assert.deepEqual([Number(said), sum], [rows, rows]);
    });
  }

  test("without a terminal a line every ten seconds says how far it is", async () => {
    const table = await databases.project();
    await table.insertMany(250, A);
    const done = await run(table, A_TO_B, "rotate", "--max-rate", "20", "--batch", "20");
    assertDone(done);
    assert.match(done.stderr, /^rewrap: \d+ rows.*, \d+ rewrapped, \d+\/s$/m);
  });
});

describe("for machines", () => {
  test("an error and its hint are the last event", async () => {
    const done = await keytool({}, "verify", "--json");
    assert.deepEqual(done.all(), [{
      event: "error", message: "ENCRYPTION_KEY environment variable is not set", exit_status: 2,
      hint: "set it or give --key-file; make a key with `keytool generate` or `openssl rand -base64 32`",
    }]);
    const usage = await keytool({}, "rotate", "--json", "--jobs", "0");
    assert.deepEqual([usage.status, usage.all().map(({ event, exit_status }) => [event, exit_status])], [2, [["error", 2]]]);
    const table = await databases.project();
    await table.insertMany(2, A);
    const { event, message, exit_status } = (await run(table, ALONE, "verify", "--json")).all().at(-1);
    assert.deepEqual([event, message, exit_status], ["error", `2 rows are sealed with key ${A.kid}, which is not among your keys`, 4]);
  });

  test("the runbook lists every event and every exit status, and none that is not there", async () => {
    const events = new Set();
    for (const file of await readdir(`${ROOT}keytool/src`, { recursive: true })) {
      if (!file.endsWith(".rs")) continue;
      const text = await readFile(`${ROOT}keytool/src/${file}`, "utf8");
      for (const [, name] of text.matchAll(/"event"(?::|\] =) "(\w+)"/g)) events.add(name);
    }
    // Those of `fence --lift` are the database's outcomes.
    for (const name of ["lifted", "not_fenced"]) events.add(name);
    const runbook = await readFile(`${ROOT}docs/rotation.md`, "utf8");
    const rows = [...runbook.matchAll(/^\| ((?:`\w+`(?:, )?)+) \| .*\|$/gm)];
    const documented = rows.flatMap(([, names]) => [...names.matchAll(/\w+/g)].map(([name]) => name));
    assert.deepEqual(documented.filter((name) => !/^\d/.test(name)).toSorted(), [...events].toSorted());
    for (const status of [0, 1, 2, 3, 4, 130, 143]) assert.ok(documented.includes(String(status)), `status ${status}`);
  });
});

describe("hints", () => {
  test("what other tools put into the URL is passed over, and sslrootcert is obeyed", async () => {
    const table = await databases.project();
    const url = new URL(table.direct.DATABASE_URL);
    url.search = "pgbouncer=true&supa=base-pooler.x&connection_limit=1";
    assertDone(await keytool({ ...A_TO_B, DATABASE_URL: url.href }, "status"));
    url.search = "sslmode=verify-full&sslrootcert=/nonexistent/ca.pem";
    assertError(await keytool({ ...A_TO_B, DATABASE_URL: url.href }, "status"), 2, /^error: the certificate file of sslrootcert in DATABASE_URL/);
    url.search = "hunter2=1";
    const unknown = await keytool({ ...A_TO_B, DATABASE_URL: url.href }, "status");
    assertError(unknown, 2, /is no connection string/);
    assert.doesNotMatch(unknown.stderr, /hunter2/);
  });

  test("a server without TLS, a read-only database, an address with no PostgREST", async () => {
    const table = await databases.project();
    await table.insertMany(2, A);
    const url = new URL(table.direct.DATABASE_URL);
    url.search = "sslmode=require";
    const plain = await keytool({ ...A_TO_B, DATABASE_URL: url.href }, "status");
    assertError(plain, 1, /^error: the connection is not encrypted: .*TLS/);
    assert.match(plain.stderr, /^hint: the password was not sent/m);
    url.search = `options=${encodeURIComponent("-c default_transaction_read_only=on")}`;
    assertError(await keytool({ ...A_TO_B, DATABASE_URL: url.href }, "rotate"), 1, /^error: the database takes no writes/);
    const server = createHttpServer((_, response) => response.writeHead(404).end("<html>no such page</html>"));
    try {
      const rest = { SUPABASE_URL: await listen(server), SUPABASE_SERVICE_ROLE_KEY: "sb_secret_hunter2" };
      const none = await keytool({ ...A_TO_B, ...rest }, "status");
      assertError(none, 2, /^error: there is no PostgREST at this address/);
      assert.match(none.stderr, /^hint: SUPABASE_URL is the project's own address/m);
    } finally {
      server.close();
    }
  });

  test("a key of 32 equal bytes is refused, wherever it is given", async () => {
    const weak = Buffer.alloc(32, 7).toString("base64");
    const message = /all bytes of the key are equal, so it is no secret$/;
    assertError(await keytool({ ENCRYPTION_KEY: weak }, "id"), 2, message);
    assertError(await keytool({ ENCRYPTION_KEY: A.base64, FALLBACK_ENCRYPTION_KEYS: `${B.base64},${weak}` }, "id", "--all"), 2, message);
    const folder = await mkdtemp(path.join(tmpdir(), "keytool-"));
    try {
      await writeFile(`${folder}/key`, weak, { mode: 0o600 });
      assertError(await keytool({}, "id", "--key-file", `${folder}/key`), 2, message);
      assertError(await keytool({}, "id", "--key-file", folder), 2, /is not a file$/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("words", () => {
  test("the fence's last line is about the fence, and the registry shows ages", async () => {
    const table = await databases.project();
    await table.insertMany(3, B);
    const fence = await run(table, A_TO_B, "fence");
    assertDone(fence);
    assert.match(fence.stdout.trimEnd().split("\n").at(-1), new RegExp(`^the fence is up, and key ${B.kid} opens every row, alone or with the data keys that it wraps: no other key may write$`));
    await table.sql`update public.key_registry set changed_at = now() - interval '3 days'`;
    const registry = await run(table, {}, "registry");
    assert.match(registry.stdout, /^fence: up since \S+ \(\d+ seconds? ago\)$/m);
    assert.match(registry.stdout, new RegExp(`^key ${B.kid}: allowed since \\S+ \\(3 days ago\\)$`, "m"));
  });

  test("switch writes the two settings in each other's place, for the owner alone, over no file", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "keytool-"));
    const out = `${folder}/switch.json`;
    const prepared = { ENCRYPTION_KEY: A.base64, FALLBACK_ENCRYPTION_KEYS: B.base64 };
    try {
      const done = await keytool(prepared, "switch", "--out", out);
      assertDone(done);
      assert.equal(done.stdout, "");
      assert.deepEqual(JSON.parse(await readFile(out, "utf8")), { ENCRYPTION_KEY: B.base64, FALLBACK_ENCRYPTION_KEYS: A.base64 });
      assert.equal((await stat(out)).mode & 0o777, 0o600);
      for (const key of [A, B]) assert.ok(done.stderr.includes(key.kid) && !done.stderr.includes(key.base64));
      assertError(await keytool(prepared, "switch", "--out", out), 2, /exists$/);
      const several = { ENCRYPTION_KEY: A.base64, FALLBACK_ENCRYPTION_KEYS: `${C.base64},${B.base64}` };
      assertError(await keytool(several, "switch", "--out", `${folder}/2`), 2, /several fallback keys$/);
      assertDone(await keytool(several, "switch", "--out", `${folder}/2`, "--to", B.kid));
      assert.deepEqual(JSON.parse(await readFile(`${folder}/2`, "utf8")), { ENCRYPTION_KEY: B.base64, FALLBACK_ENCRYPTION_KEYS: `${A.base64},${C.base64}` });
      for (const to of [[], ["--to", newKey().kid]]) {
        assertError(await keytool({ ENCRYPTION_KEY: A.base64 }, "switch", "--out", `${folder}/3`, ...to), 2, /not among the fallback keys$/);
      }
      assert.deepEqual((await readdir(folder)).toSorted(), ["2", "switch.json"]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("a bar fits a terminal of 40 columns, and a terminal that cannot move its cursor gets none", async () => {
    const table = await databases.project();
    await table.insertMany(600, A);
    await table.sql`analyze public.integrations`;
    const settings = { ...table.direct, ...A_TO_B };
    const bar = await keytoolOnTerminal(settings, ["rotate", "--dry-run", "--batch", "1"], { columns: 40 });
    assert.doesNotMatch(bar.text, /[░█]/, "a bar that is not there is not drawn");
    const last = bar.text.slice(bar.text.lastIndexOf("would rewrap") + "would rewrap".length);
    assert.doesNotMatch(last, /rewrap/, "no bar comes back after the result");
    const drawn = bar.text.split(/\r|\n|\u001b\[[0-9;?]*[A-Za-z]/).filter((line) => /rewrap .*\/s$/.test(line));
    assert.ok(drawn.length > 0 && drawn.every((line) => line.length <= 40), JSON.stringify(drawn));
    for (const term of ["dumb", ""]) {
      const plain = await keytoolOnTerminal(settings, ["rotate", "--dry-run", "--batch", "1"], { term });
      assert.doesNotMatch(plain.text, /\u001b/);
    }
  });
});
