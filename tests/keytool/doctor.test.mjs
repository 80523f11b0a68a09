// keytool doctor: what is wrong, in plain words, and the exit status of the first of it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmod, copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { A, A_TO_B, B, C, PROGRAM, assertDone, assertError, keytool, startDatabases } from "./support.mjs";

let databases;
let folder;
before(async () => {
  databases = await startDatabases();
  folder = await mkdtemp(path.join(tmpdir(), "keytool-"));
  await mkdir(`${folder}/ours`);
  await symlink(path.resolve(PROGRAM), `${folder}/ours/keytool`);
  for (const name of ["jdk", "other"]) await mkdir(`${folder}/${name}`);
  for (const file of ["jdk/keytool", "jdk/java", "other/keytool"]) {
    await writeFile(`${folder}/${file}`, "#!/bin/sh\n");
    await chmod(`${folder}/${file}`, 0o755);
  }
});
after(async () => {
  await databases?.stop();
  await rm(folder, { recursive: true });
});

/** The checks by name, with this program first in PATH. */
async function doctor(settings, { status, PATH = `${folder}/ours` }) {
  const done = await keytool({ PATH, ...settings }, "doctor", "--json");
  assert.equal(done.status, status, done.stdout + done.stderr);
  return Object.fromEntries(done.events().map(({ event, check, ...rest }) => {
    assert.equal(event, "doctor_check");
    return [check, rest];
  }));
}
const wrong = (checks) => Object.entries(checks).filter(([, { state }]) => state === "wrong").map(([name]) => name);

describe("which keytool runs", () => {
  for (const [where, PATH, state, message] of [
    ["this one is first", "ours:jdk", "ok", /^a shell runs this keytool$/],
    ["a JDK's is first", "jdk:ours", "wrong", /^a shell runs the keytool of a JDK: .*\/jdk\/keytool$/],
    ["some other is first", "other:ours", "wrong", /^a shell runs another keytool than this one: .*\/other\/keytool$/],
    ["none is there", "nowhere", "note", /^no keytool is in PATH$/],
  ]) {
    test(where, async () => {
      const folders = PATH.split(":").map((name) => `${folder}/${name}`).join(":");
      const { program } = await doctor({}, { status: 2, PATH: folders });
      assert.equal(program.state, state);
      assert.match(program.message, message);
    });
  }
});

test("under its second name no other keytool is in its way", async () => {
  const program = `${folder}/ours/sealed-keytool`;
  await copyFile(PROGRAM, program);
  const { stdout } = spawnSync(program, ["doctor"], { encoding: "utf8", env: { PATH: `${folder}/jdk:${folder}/ours` } });
  assert.match(stdout, /^ok {5}program: a shell runs this sealed-keytool$/m);
});

describe("the database and the keys", () => {
  test("all is well, both ways, and nothing is opened or written", async () => {
    const table = await databases.project();
    await table.insertMany(50, B);
    const { newKey: rest } = await table.rest();
    for (const way of [table.direct, rest]) {
      const checks = await doctor({ ...way, ...A_TO_B }, { status: 0 });
      assert.deepEqual(Object.entries(checks).map(([name, { state }]) => `${name} ${state}`),
        ["version", "program", "keys", "settings", "database", "migrations", "schedule", "fence", "retired", "rows", "elsewhere"].map((name) => `${name} ok`));
    }
    const [{ events, keys }] = await table.sql`
      select (select count(*)::int from public.credential_events) as events, (select count(*)::int from public.key_registry) as keys`;
    assert.deepEqual([events, keys], [0, 0]);
    const shown = await keytool({ PATH: `${folder}/ours`, ...table.direct, ...A_TO_B }, "doctor");
    assertDone(shown);
    for (const { base64 } of [A, B]) assert.ok(!shown.stdout.includes(base64));
    assert.match(shown.stdout, /^ok {5}rows: a sample of them names the primary key$/m);
  });

  test("settings that are missing or malformed are status 2", async () => {
    assert.deepEqual(wrong(await doctor({}, { status: 2 })), ["settings"]);
    const checks = await doctor({ ENCRYPTION_KEY: "hunter2", DATABASE_URL: "hunter3" }, { status: 2 });
    assert.deepEqual(wrong(checks), ["keys", "settings"]);
    assert.doesNotMatch(JSON.stringify(checks), /hunter/);
    const text = await keytool({ PATH: "" }, "doctor");
    assertError(text, 2, /^error: 1 check found something wrong$/);
  });

  test("a database that is not there, and one without the migrations, are status 1", async () => {
    const unreachable = await doctor({ ...A_TO_B, DATABASE_URL: "postgres://u:hunter2@127.0.0.1:9/postgres" }, { status: 1 });
    assert.deepEqual(wrong(unreachable), ["database"]);
    assert.match(unreachable.database.message, /cannot be reached/);
    const table = await databases.project();
    for (const [name, check] of [["schedule_state", "migrations"], ["rewrap_load", "migrations"], ["key_registry_state", "database"]]) {
      await table.sql.unsafe(`alter function public.${name}() rename to gone_${name}`);
      const checks = await doctor({ ...A_TO_B, ...table.direct }, { status: 1 });
      assert.deepEqual(wrong(checks), [check], name);
      assert.match(checks[check].message, /lacks what this program calls/);
      assert.match(checks[check].hint, /supabase db push/);
    }
  });

  test("rows of a key that is not here are status 4; rows of a fallback are a note", async () => {
    const table = await databases.project();
    await table.insertMany(10, A);
    const missing = await doctor({ ...table.direct, ENCRYPTION_KEY: C.base64 }, { status: 4 });
    assert.deepEqual(wrong(missing), ["rows"]);
    assert.equal(missing.rows.message, `10 rows of a sample are sealed with key ${A.kid}, which is not among your keys`);
    const { rows } = await doctor({ ...table.direct, ...A_TO_B }, { status: 0 });
    assert.deepEqual([rows.state, rows.hint], ["note", "run `keytool rotate`"]);
  });

  test("a fence for another key, swapped settings and a retired primary key are status 2", async () => {
    const table = await databases.project();
    await table.insertMany(3, A);
    const run = (...command) => keytool({ ...table.direct, ...A_TO_B }, ...command).then(assertDone);
    await run("rotate");
    await run("fence");
    const up = await doctor({ ...table.direct, ...A_TO_B }, { status: 0 });
    assert.equal(up.fence.state, "note");
    const swapped = await doctor({ ...table.direct, ENCRYPTION_KEY: A.base64, FALLBACK_ENCRYPTION_KEYS: B.base64 }, { status: 2 });
    assert.deepEqual(wrong(swapped), ["fence"]);
    assert.match(swapped.fence.hint, /probably swapped/);
    const other = await doctor({ ...table.direct, ENCRYPTION_KEY: C.base64 }, { status: 2 });
    assert.match(other.fence.message, new RegExp(`not for the primary key ${C.kid}: writes with it are rejected$`));
    await run("retire", "--yes");
    await run("fence", "--lift");
    const retired = await doctor({ ...table.direct, ENCRYPTION_KEY: A.base64, FALLBACK_ENCRYPTION_KEYS: B.base64 }, { status: 2 });
    assert.deepEqual(wrong(retired), ["retired"]);
  });

  test("a schedule that does not run is status 1", async () => {
    const table = await databases.project();
    const limit = (ends) => table.sql`
      insert into private.rate_limits (kind, subject, attempts, ends_at) values ('x', ${ends}, 1, now() + ${ends}::interval)
      on conflict do nothing`;
    await limit("1 minute");
    await limit("-9 minutes");
    assert.equal((await doctor({ ...table.direct, ...A_TO_B }, { status: 0 })).schedule.state, "ok");
    await limit("-2 hours");
    const { schedule } = await doctor({ ...table.direct, ...A_TO_B }, { status: 1 });
    assert.equal(schedule.message, "something that the schedule cleans up every minute was due 2 hours ago");
    assert.match(schedule.hint, /Cron Trigger/);
  });
});
