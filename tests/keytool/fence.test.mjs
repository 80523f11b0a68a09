// The end of a rotation: fence, verify and retire prove that the old key is needed for nothing, and refuse to say so too early.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { lockWait } from "../database/support.mjs";
import { A, A_TO_B, assertDone, assertError, B, C, keytool, openRow, sealLegacy, startDatabases } from "./support.mjs";

let databases;
before(async () => (databases = await startDatabases()));
after(() => databases?.stop());

const ALONE = { ENCRYPTION_KEY: B.base64 };
const run = (table, settings, ...args) => keytool({ ...table.direct, ...settings }, ...args);
const registry = async (table) => {
  const { event, fence, keys } = (await run(table, {}, "registry", "--json")).events().at(-1);
  assert.equal(event, "registry");
  return { fence, keys };
};
const states = async (table) => Object.fromEntries((await registry(table)).keys.map(({ kid, state }) => [kid, state]));

describe("step by step", () => {
  test("keytool rotates step by step, from status to the retired key", async () => {
    const table = await databases.project();
    await table.insertMany(300, A);
    await table.insertMany(10, B);
    await table.insert({ access_token: sealLegacy(A, "x") });
    await table.insert({ project_id: "nothing sealed" });

    const status = await run(table, A_TO_B, "status", "--json");
    assertDone(status);
    const { tally, not_on_primary } = status.events().at(-1);
    assert.deepEqual([tally.rows, tally.by_kid, tally.legacy_form, tally.nothing_sealed, not_on_primary], [312, { [A.kid]: 300, [B.kid]: 10 }, 1, 1, 301]);

    // Too early, each of them, and each says what comes first.
    assertError(await run(table, A_TO_B, "fence"), 1, /^error: 301 rows are not sealed with key/);
    assertError(await run(table, A_TO_B, "retire", "--yes"), 1, /^error: there is no fence: no key is retired/);
    assertError(await run(table, ALONE, "verify"), 4, /^error: 301 rows do not open with these keys$/);
    assert.deepEqual(await states(table), { [A.kid]: "known", [B.kid]: "known" });
    assert.equal((await registry(table)).fence, null);

    assertDone(await run(table, A_TO_B, "rotate"));
    assertError(await run(table, A_TO_B, "retire", "--yes"), 1, /there is no fence/);
    assertDone(await run(table, A_TO_B, "fence"));
    assert.deepEqual(await states(table), { [A.kid]: "known", [B.kid]: "allowed" });
    // From here on the database refuses an old isolate's write, and lets all others pass.
    await assert.rejects(table.insertSealed(A), { code: "IK001" });
    await assert.rejects(table.insert({ access_token: sealLegacy(B, "x") }), { code: "IK001" });
    await table.insertSealed(B);
    await table.insert({ project_id: "nothing sealed" });

    assertDone(await run(table, A_TO_B, "verify", "--primary-only"));
    assertDone(await run(table, A_TO_B, "retire", "--yes"));
    assert.deepEqual(await states(table), { [A.kid]: "retired", [B.kid]: "allowed" });

    // With B alone every row opens, with A alone none that holds anything.
    assertDone(await run(table, ALONE, "verify"));
    const old = await run(table, { ENCRYPTION_KEY: A.base64 }, "verify", "--json");
    assertError(old, 4, new RegExp(`^error: 312 rows are sealed with key ${B.kid}, which is not among your keys$`));
    for (const row of await table.rows()) openRow([B], row);

    // The old key is not taken up again by mistake, and the next rotation begins with the fence down.
    assertError(await run(table, { ENCRYPTION_KEY: A.base64, FALLBACK_ENCRYPTION_KEYS: B.base64 }, "rotate"), 2, /is retired/);
    assertError(await run(table, { ENCRYPTION_KEY: A.base64, FALLBACK_ENCRYPTION_KEYS: B.base64 }, "fence"), 2, /is retired/);
    assertError(await run(table, { ENCRYPTION_KEY: C.base64, FALLBACK_ENCRYPTION_KEYS: B.base64 }, "rotate"), 2, /the fence is up for/);
    assertDone(await run(table, {}, "fence", "--lift"));
    assertDone(await run(table, {}, "fence", "--lift"));
    await table.insertSealed(C);
  });

  test("keytool rotates completely in one command", async () => {
    const table = await databases.project();
    await table.insertMany(300, A);
    const done = await run(table, A_TO_B, "rotate", "--complete", "--yes", "--json");
    assertDone(done);
    const steps = done.events().map(({ event }) => event).filter((event) => event !== "progress");
    assert.deepEqual(steps, ["rewrapped", "fenced", "rewrapped", "verified", "retired"]);
    assert.deepEqual(await states(table), { [A.kid]: "retired", [B.kid]: "allowed" });
    // Again: it finds all done, and that is fine.
    assertDone(await run(table, A_TO_B, "rotate", "--complete", "--yes"));
  });

  test("keytool rotates completely over PostgREST", async () => {
    const table = await databases.project();
    await table.insertMany(50, A);
    const { newKey } = await table.rest();
    const settings = { ...newKey, ...A_TO_B };
    assertDone(await keytool(settings, "rotate", "--complete", "--yes"));
    assertDone(await keytool({ ...newKey, ...ALONE }, "verify"));
    assertDone(await keytool(newKey, "fence", "--lift"));
    assert.deepEqual(await states(table), { [A.kid]: "retired", [B.kid]: "known" });
  });
});

describe("what is in the way", () => {
  test("no key is retired if a row was not seen by a pass", async () => {
    const table = await databases.project();
    await table.insertMany(20, B);
    assertDone(await run(table, A_TO_B, "fence"));
    // Behind the fence's back, as a restore with triggers disabled would.
    await table.sql`alter table public.integrations disable trigger refuse_fenced_key`;
    await table.insertSealed(A);
    await table.sql`alter table public.integrations enable trigger refuse_fenced_key`;
    assertError(await run(table, A_TO_B, "retire", "--yes"), 4, new RegExp(`^error: 1 row is still sealed with key ${A.kid}, a fallback key$`));
    assert.deepEqual(await states(table), { [B.kid]: "allowed" });
    assertDone(await run(table, A_TO_B, "rotate"));
    assertDone(await run(table, A_TO_B, "retire", "--yes", A.kid));
  });

  test("no key is retired behind a fence for two keys or for another one", async () => {
    const table = await databases.project();
    await table.insertMany(5, B);
    for (const kids of [[A.kid, B.kid], [C.kid]]) {
      await table.sql`select public.declare_fence(${kids})`;
      assertError(await run(table, A_TO_B, "retire", "--yes"), 1, /^error: the fence is up for .*, not for/);
    }
  });

  test("the primary key cannot be retired, nor an invalid key id", async () => {
    const table = await databases.project();
    await table.insertMany(5, B);
    assertDone(await run(table, A_TO_B, "fence"));
    assert.equal((await run(table, A_TO_B, "retire", "--yes", B.kid)).status, 2);
    assert.equal((await run(table, A_TO_B, "retire", "--yes", "hunter2")).status, 2);
    assertError(await run(table, ALONE, "retire"), 2, /no key to retire/);
    assert.deepEqual(await states(table), { [B.kid]: "allowed" });
  });

  test("the fence waits for a writing transaction, and writers do not queue behind it for long", async () => {
    const table = await databases.project();
    await table.insertMany(5, B);
    let done;
    await table.project.connect("postgres").begin(async (sql) => {
      await sql`update public.integrations set name = name`;
      done = run(table, A_TO_B, "fence");
      await lockWait(table.sql);
      await table.sql.begin(async (other) => {
        await other`set local lock_timeout = '4s'`;
        await other`insert into public.integrations (organization_id, integration_type, name) values (gen_random_uuid(), 'supabase', 'n')`;
      });
    });
    assertDone(await done);
    assert.notEqual((await registry(table)).fence, null);
  });
});

test("status is printed for people, too, and without keys as far as possible", async () => {
  const table = await databases.project();
  const organization_id = "3f2c9a64-0b1d-4e8f-a7c5-6d9e2b10f483";
  for (let i = 0; i < 3; i += 1) await table.insertSealed(A, undefined, { organization_id });
  await table.insertSealed(B);
  const { stdout } = await run(table, A_TO_B, "status", "--by", "organization");
  assert.match(stdout, /^rows: 4$/m);
  assert.match(stdout, new RegExp(`^  key ${A.kid} \\(fallback\\): 3$`, "m"));
  assert.match(stdout, new RegExp(`^rotation to ${B.kid}: 25.0 %, 3 rows left$`, "m"));
  assert.match(stdout, new RegExp(`^organization ${organization_id}: 3 rows: key ${A.kid} \\(fallback\\): 3$`, "m"));
  const bare = await run(table, {}, "status");
  assertDone(bare);
  assert.match(bare.stdout, /^warning: ENCRYPTION_KEY environment variable is not set: nothing was opened, so this does not say whether the rows open$/m);
});
