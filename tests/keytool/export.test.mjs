// keytool export: every connection, opened, in a file that nobody but its recipients reads; its event first.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { A, A_TO_B, B, C, assertDone, assertError, keytool, sealLegacy, somePlain, startDatabases } from "./support.mjs";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const decrypt = (AGE_IDENTITY, input) =>
  execFileSync("cargo", ["run", "--quiet", "--package", "keytool", "--example", "decrypt"], {
    cwd: ROOT, input, encoding: "utf8", maxBuffer: 1 << 26, env: { ...process.env, ...(AGE_IDENTITY && { AGE_IDENTITY }) },
  });

let databases;
let folder;
let keys;
before(async () => {
  databases = await startDatabases();
  folder = await mkdtemp(path.join(tmpdir(), "keytool-"));
  keys = [1, 2, 3].map(() => decrypt().trim().split(" "));
});
after(async () => {
  await databases?.stop();
  await rm(folder, { recursive: true });
});
const lines = async (identity, file) => decrypt(identity, await readFile(file)).split("\n").filter(Boolean);

test("every connection is in the file, opened, for each recipient and for nobody else, both ways", async () => {
  const table = await databases.project();
  const plain = new Map();
  for (const key of [A, B]) {
    for (let i = 0; i < 30; i += 1) {
      const one = { ...somePlain(), number: 1.5 };
      plain.set(await table.insertSealed(key, one), one);
    }
  }
  const organization_id = randomUUID();
  const mine = await table.insert({ access_token: sealLegacy(A, "legacy"), project_id: "p" }, { organization_id });
  plain.set(mine, { access_token: "legacy", project_id: "p" });
  const [[identity, first], [other, second], [stranger]] = keys;
  const { newKey: rest } = await table.rest();
  for (const [name, way] of Object.entries({ direct: table.direct, rest })) {
    const out = `${folder}/${name}.age`;
    const done = await keytool({ ...way, ...A_TO_B }, "export", "--recipient", first, "--recipient", second, "--out", out, "--batch", "10");
    assertDone(done);
    assert.match(done.stdout, /^exported 61 rows; 0 do not open$/m);
    assert.equal((await stat(out)).mode & 0o777, 0o600);
    const raw = await readFile(out, "latin1");
    assert.ok(raw.startsWith("age-encryption.org/v1\n") && !raw.includes("sbp_") && !raw.includes("access_token"));
    for (const own of [identity, other]) {
      const rows = (await lines(own, out)).map((line) => JSON.parse(line));
      assert.deepEqual(new Map(rows.map(({ id, config }) => [id, config])), plain);
      const { config, created_at, updated_at, ...columns } = rows.find(({ id }) => id === mine);
      assert.deepEqual(columns, { id: mine, organization_id, integration_type: "supabase", name: "My Project", status: "active", external_account_id: null, external_user_id: null, oauth_app_id: null, scan_schedule: null });
    }
    await assert.rejects(lines(stranger, out));
  }
  const [{ events }] = await table.sql`
    select count(*)::int as events from public.credential_events where action = 'opened' and reason = 'export' and organization_id = ${organization_id}`;
  assert.equal(events, 2);
  const part = `${folder}/part.age`;
  assertDone(await keytool({ ...table.direct, ...A_TO_B }, "export", "--recipient", first, "--out", part, "--only-organization", organization_id));
  assert.deepEqual((await lines(identity, part)).map((line) => JSON.parse(line).id), [mine]);
});

test("a row whose key is missing is left out and counted, and the others are there", async () => {
  const table = await databases.project();
  await table.insertMany(5, A);
  await table.insertMany(2, C);
  const [[identity, recipient]] = keys;
  const out = `${folder}/some.age`;
  const done = await keytool({ ...table.direct, ENCRYPTION_KEY: A.base64 }, "export", "--recipient", recipient, "--out", out);
  assertError(done, 4, new RegExp(`^error: 2 rows are sealed with key ${C.kid}, which is not among your keys$`));
  assert.match(done.stdout, /^exported 5 rows; 2 do not open$/m);
  assert.equal((await lines(identity, out)).length, 5);
});

test("no file is overwritten, none is left behind by a failure, and nothing is opened without its event", async () => {
  const table = await databases.project();
  await table.insertMany(3, A);
  const [[identity, recipient]] = keys;
  const settings = { ...table.direct, ENCRYPTION_KEY: A.base64 };
  const out = `${folder}/once.age`;
  const run = (...args) => keytool(settings, "export", ...args);
  assertDone(await run("--recipient", recipient, "--out", out));
  const before = await readFile(out);
  assertError(await run("--recipient", recipient, "--out", out), 2, /^error: the file of --out exists$/);
  assert.deepEqual(await readFile(out), before);
  for (const wrong of [[], ["--recipient", "hunter2"], ["--recipient", identity]]) {
    const done = await run(...wrong, "--out", `${folder}/none.age`);
    assert.equal(done.status, 2);
    assert.ok(!done.stderr.includes("hunter2") && !done.stderr.includes(identity));
  }
  await table.sql.unsafe(`
    create function public.no_trail() returns trigger language plpgsql as $$ begin raise exception 'no trail'; end $$;
    create trigger no_trail before insert on public.credential_events for each row execute function public.no_trail();`);
  assertError(await run("--recipient", recipient, "--out", `${folder}/none.age`), 1, /no trail/);
  assert.ok(!(await readdir(folder)).includes("none.age"));
});
