// keytool service-key: an operator creates, lists and revokes service keys, directly and through PostgREST (threat model 202).
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { assertDone, assertError, keytool, startDatabases } from "./support.mjs";

let databases, table;
before(async () => {
  databases = await startDatabases();
  table = await databases.project();
});
after(() => databases?.stop());

const hash = (key) => createHash("sha256").update(key.slice(4)).digest("hex");
const create = (settings, ...args) => keytool(settings, "service-key", "create", "--name", "a backend", "--scope", "connections:credentials", ...args);

describe("keytool service-key", () => {
  for (const way of ["direct", "rest"]) {
    test(`creates a key whose hash the database has, lists it and revokes it (${way})`, async () => {
      const settings = way === "direct" ? table.direct : (await table.rest()).newKey;
      const organization = randomUUID();
      const done = await create(settings, "--organization", organization, "--days", "30", "--scope", "connections:read");
      assertDone(done);
      const key = done.stdout.trim();
      assert.match(key, /^sik_[\w-]{43}$/);
      assert.ok(!done.stderr.includes(key.slice(8)), done.stderr);
      const id = /service key id: (\S+)/.exec(done.stderr)[1];
      const [row] = await table.sql`select * from private.service_keys where id = ${id}`;
      assert.deepEqual([row.hash, row.prefix, row.name, row.organization_id], [hash(key), key.slice(0, 8), "a backend", organization]);
      assert.deepEqual(row.scopes, ["connections:credentials", "connections:read"]);
      assert.ok(Math.abs(row.expires_at - Date.now() - 30 * 86_400_000) < 3_600_000, `expires at ${row.expires_at}`);

      const listed = await keytool(settings, "service-key", "list", "--organization", organization);
      assertDone(listed);
      assert.match(listed.stdout, new RegExp(`^${id}  ${key.slice(0, 8)}…  a backend; organization ${organization}; .*never used\n$`));

      assertDone(await keytool(settings, "service-key", "revoke", id));
      const [{ revoked_at }] = await table.sql`select revoked_at from private.service_keys where id = ${id}`;
      assert.ok(revoked_at);
      assert.match((await keytool(settings, "service-key", "list", "--organization", organization)).stdout, /; revoked 2/);
      assertError(await keytool(settings, "service-key", "revoke", randomUUID()), 2, /no service key with this id/);
    });
  }

  test("writes the key to a new file of its owner's, and nothing to stdout", async () => {
    const dir = await mkdtemp(path.join(tmpdir(), "service-key-"));
    try {
      const out = path.join(dir, "key");
      const done = await create(table.direct, "--out", out, "--json");
      assertDone(done);
      const key = (await readFile(out, "utf8")).trim();
      assert.equal((await stat(out)).mode & 0o777, 0o600);
      assert.ok(!done.stdout.includes(key), done.stdout);
      assert.equal((await table.sql`select from private.service_keys where hash = ${hash(key)} and organization_id is null`).length, 1);
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  test("exits 2 for a scope that does not exist, or none", async () => {
    for (const scope of [["--scope", "all"], []]) {
      const done = await keytool(table.direct, "service-key", "create", "--name", "x", ...scope);
      assert.deepEqual([done.status, done.stdout], [2, ""]);
      assert.match(done.stderr, /--scope <SCOPE>/);
    }
  });
});
