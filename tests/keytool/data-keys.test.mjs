// The data keys of organizations: a rotation rewraps them and no row, a leak replaces them, and a deletion ends what they have sealed.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { A, A_TO_B, assertDone, assertError, B, C, keytool, keytoolOnTerminal, kidOf, newKey, openRow, sealFor, startDatabases } from "./support.mjs";
import { until } from "../support/wait.mjs";

let databases, folder;
before(async () => {
  databases = await startDatabases();
  folder = mkdtempSync(path.join(tmpdir(), "data-keys-"));
});
after(async () => {
  await databases?.stop();
  rmSync(folder, { recursive: true });
});

const ALONE = { ENCRYPTION_KEY: B.base64 };
const run = (table, settings, ...args) => keytool({ ...table.direct, ...settings }, ...args);
const last = (done) => done.events().at(-1);
const plainOf = (rows, keys = [A, B]) => rows.map((row) => ({ ...openRow(keys, row) }));
const kids = async (table) => [...new Set((await table.rows()).map(kidOf))];
/** As if so many minutes had passed since data keys were replaced. */
const later = (table) => table.sql`update private.data_keys set replaced_at = replaced_at - interval '16 minutes'`;

describe("a rotation of the wrapping key", () => {
  test("rewraps one row an organization, and leaves the rows that data keys have sealed as they are", async () => {
    const table = await databases.project();
    const organizations = [];
    for (let n = 0; n < 5; n += 1) organizations.push((await table.insertOnDataKey(A, 10)).organization_id);
    const before = await table.rows();
    assert.deepEqual(await kids(table), [A.kid]);

    const dry = last(await run(table, A_TO_B, "rotate", "--dry-run", "--json"));
    assert.deepEqual([dry.would_rewrap_data_keys, dry.would_write], [5, 0]);
    assert.deepEqual(await kids(table), [A.kid]);

    const done = await run(table, A_TO_B, "rotate", "--complete", "--yes", "--json");
    assertDone(done);
    const rewrapped = done.events().find(({ event }) => event === "rewrapped");
    assert.deepEqual([rewrapped.data_keys, rewrapped.written], [5, 0]);
    const after = await table.rows();
    assert.deepEqual(after, before, "no row was written");
    assert.deepEqual(await kids(table), [B.kid]);
    assert.deepEqual(plainOf(after, [B]), plainOf(before));
    const events = await table.sql`select organization_id, details from public.credential_events where action = 'rotated'`;
    assert.deepEqual(events.map(({ organization_id, details }) => [organization_id, details.from, details.to]).toSorted(),
      organizations.map((id) => [id, [A.kid], B.kid]).toSorted());
    const keys = (await run(table, {}, "registry", "--json")).events().at(-1).keys;
    assert.deepEqual(Object.fromEntries(keys.map(({ kid, state }) => [kid, state])), { [A.kid]: "retired", [B.kid]: "allowed" });
  });

  test("is refused by fence and retire while a data key is on the old key, and verify and status say so", async () => {
    const table = await databases.project();
    await table.insertOnDataKey(B, 3);
    await table.insertOnDataKey(A, 7);
    const status = await run(table, A_TO_B, "status");
    for (const line of [
      `  data keys of 1 organization, wrapped with key ${B.kid} (primary): 3`, `  data keys of 1 organization, wrapped with key ${A.kid} (fallback): 7`,
      `data keys: 1 wrapped with key ${A.kid} (fallback)`, `rotation to ${B.kid}: 30.0 %, 7 rows left`, `not over yet: 1 data key is still sealed with key ${A.kid}`,
    ]) assert.ok(status.stdout.split("\n").includes(line), `${line}\n${status.stdout}`);
    assert.deepEqual(last(await run(table, A_TO_B, "status", "--json")).tally.by_wrapping_kid, { [A.kid]: 7, [B.kid]: 3 });
    assertError(await run(table, A_TO_B, "fence"), 1, /^error: 7 rows are not sealed with key/);
    assertError(await run(table, A_TO_B, "verify", "--primary-only"), 4, new RegExp(`7 rows are still sealed with key ${A.kid}, a fallback key`));
    assertDone(await run(table, A_TO_B, "verify"));
    // A data key without rows holds the old key too.
    assertDone(await run(table, A_TO_B, "rotate"));
    assertDone(await run(table, A_TO_B, "fence"));
    await assert.rejects(table.addDataKey(A, randomUUID(), newKey()), { code: "IK001" });
    await table.sql`alter table private.data_keys disable trigger refuse_fenced_wrapping`;
    await table.addDataKey(A, randomUUID(), newKey());
    assertError(await run(table, A_TO_B, "retire", "--yes"), 1, new RegExp(`^error: 1 data key is still sealed with key ${A.kid}$`));
  });

  test("stops before the first write if the wrapping keys are missing", async () => {
    const table = await databases.project();
    await table.insertOnDataKey(C, 5);
    const before = [await table.rows(), await table.dataKeys()];
    assertError(await run(table, A_TO_B, "rotate"), 4, new RegExp(`^error: 5 sampled rows are sealed with key ${C.kid}, which is not among your keys$`));
    assertError(await run(table, A_TO_B, "rotate", "--force"), 4, new RegExp(`^error: 1 data key is wrapped with key ${C.kid}, which is not among your keys$`));
    assert.deepEqual([await table.rows(), await table.dataKeys()], before);
  });

  test("lists a data key that is damaged, and moves the others", async () => {
    const table = await databases.project();
    const { organization_id } = await table.insertOnDataKey(A, 2);
    await table.insertOnDataKey(A, 50);
    await table.sql`update private.data_keys set wrapped = overlay(wrapped placing 'AAAA' from 30) where organization_id = ${organization_id}`;
    const done = await run(table, A_TO_B, "rotate", "--json");
    assertError(done, 3, /^error: 1 data key is damaged/);
    assert.equal(last(done).data_keys, 1);
    const finding = done.events().find(({ event }) => event === "does_not_open");
    assert.deepEqual([finding.table, finding.organization_id, finding.class], ["data_keys", organization_id, "not-authentic"]);
    assertError(await run(table, A_TO_B, "verify"), 3, /^error: 2 rows do not open$/);
  });
});

describe("new data keys", () => {
  test("replaces each data key that another key has wrapped, once, reseals its rows, and deletes it when nothing uses it", async () => {
    const table = await databases.project();
    const { organization_id } = await table.insertOnDataKey(A, 30);
    await table.insertMany(20, A);
    await table.insertOnDataKey(B, 4);
    const before = await table.rows();
    const known = (await table.dataKeys()).find((key) => key.organization_id === organization_id).kid;
    const place = { id: randomUUID(), organization_id };
    const leaked = (await table.dataKeys()).find(({ kid }) => kid === known);
    assert.equal(leaked.wrapping_kid, A.kid);
    const endpoint = async () => (await table.sql`select config->'_enc'->>'kid' as kid from public.webhook_endpoints`)[0].kid;
    const secret = { secret: `whsec_${randomUUID()}` };
    await table.sql`insert into public.webhook_endpoints (id, organization_id, url, config)
      values (${place.id}, ${organization_id}, 'https://example.com/hook', ${table.sql.json(await table.sealAsWorker([B, A], place, secret))})`;
    assert.equal(await endpoint(), known);

    const done = await run(table, A_TO_B, "rotate", "--new-data-keys", "--json");
    assertDone(done);
    assert.deepEqual([last(done).new_data_keys, last(done).written, last(done).replaced_data_keys_left], [1, 50, 1]);
    const after = await table.rows();
    assert.deepEqual(plainOf(after, [B]), plainOf(before));
    assert.ok(after.every(({ config }) => config._enc.kid !== known));
    assert.deepEqual(await kids(table), [B.kid]);

    // Again: no key is replaced twice.
    const again = last(await run(table, A_TO_B, "rotate", "--new-data-keys", "--json"));
    assert.deepEqual([again.new_data_keys, again.written, again.replaced_data_keys_left], [0, 0, 1]);
    // It stays as long as something needs it, and as long as a task may have it in memory.
    await later(table);
    await table.sql`select public.clean_up(400)`;
    assert.ok((await table.dataKeys()).some(({ kid }) => kid === known), "the endpoint needs it");
    assert.match((await run(table, {}, "registry")).stdout, /^replaced data keys: 1, /m);
    const [{ secrets }] = await table.sql`select public.secrets_on('{}', 100)->'secrets' as secrets`;
    assert.deepEqual(secrets.map(({ id }) => id), [place.id], "the worker's schedule reseals it");
    const resealed = await table.sealAsWorker([B, A], place, secret);
    await table.sql`select public.reseal_secrets(${table.sql.json([{ table: "webhook_endpoints", id: place.id, read: secrets[0].config, config: resealed }])})`;
    await table.sql`select public.clean_up(400)`;
    assert.ok(!(await table.dataKeys()).some(({ kid }) => kid === known));
    assertDone(await run(table, ALONE, "verify"));
  });

  test("a replaced key stays while a row of any kind is sealed with it", async () => {
    const table = await databases.project();
    const { organization_id, dataKey } = await table.insertOnDataKey(A, 1);
    await table.sql`update private.data_keys set replaced_at = now() - interval '1 hour'`;
    const deleted = async () => (await table.sql`select (public.delete_replaced_data_keys(10)->>'count')::int as count`)[0].count;
    const config = { verifier_token: "a.b.c", _enc: { v: 3, kid: dataKey.kid } };
    const json = table.sql.json(config);
    const user = randomUUID();
    const uses = {
      integrations: [async () => {}, () => table.sql`delete from public.integrations`],
      oauth_transactions: [() => table.sql`
        insert into public.oauth_transactions (id, state_hash, binding_hash, user_id, organization_id, integration_type, issuer, redirect_uri, verifier, return_to)
        values (${randomUUID()}, 's', 'b', ${user}, ${organization_id}, 'supabase', 'https://i.test', 'https://r.test', ${json}, '/')`,
        () => table.sql`delete from public.oauth_transactions`],
    };
    for (const [name, [use, end]] of Object.entries(uses)) {
      await use();
      assert.equal(await deleted(), 0, name);
      await end();
    }
    assert.equal(await deleted(), 1);
    const [{ reason, details }] = await table.sql`select reason, details from public.credential_events where action = 'data_keys_deleted'`;
    assert.deepEqual([reason, details.data_keys], ["replaced", [dataKey.kid]]);
  });

  test("a writer with the replaced key is waited for, and its row resealed", async () => {
    const table = await databases.project();
    const { ids: [id], organization_id, dataKey } = await table.insertOnDataKey(A, 1);
    const plain = { access_token: "newer" };
    let done;
    await table.project.connect("postgres").begin(async (sql) => {
      await sql`update public.integrations set config = config - '_enc' where id = ${id}`;
      await sql`update public.integrations set config = ${sql.json(sealFor(A, { id, organization_id }, plain, dataKey))} where id = ${id}`;
      done = run(table, A_TO_B, "rotate", "--new-data-keys", "--json");
      await until("the rotation waits for the writer", async () => (await table.sql`select from pg_locks where not granted`).length > 0);
    });
    assertDone(await done);
    const [row] = await table.rows();
    assert.notEqual(row.config._enc.kid, dataKey.kid);
    assert.deepEqual(plainOf([row], [B]), [plain]);
  });

  test("killed at any moment and run again, it replaces each key once and leaves no row behind", async () => {
    const table = await databases.project();
    for (let n = 0; n < 20; n += 1) await table.insertOnDataKey(A, 20);
    const before = await table.rows();
    const command = ["rotate", "--new-data-keys", "--batch", "10", "--max-rate", "200", "--json"];
    const progress = async () => (await table.dataKeys()).filter(({ wrapping_kid }) => wrapping_kid === B.kid).length + (await table.rows())
      .filter((row, i) => row.config._enc.kid !== before[i].config._enc.kid).length;
    for (const wanted of [10, 30, 100]) {
      const running = run(table, A_TO_B, ...command);
      await until("some more is written", async () => running.child.exitCode !== null || (await progress()) >= wanted);
      running.child.kill("SIGKILL");
      await running;
      plainOf(await table.rows());
    }
    const done = await run(table, A_TO_B, "rotate", "--new-data-keys", "--json");
    assertDone(done);
    assert.equal((await table.dataKeys()).length, 40, "one new key an organization");
    const after = await table.rows();
    assert.deepEqual(plainOf(after, [B]), plainOf(before));
    const old = new Set(before.map(({ config }) => config._enc.kid));
    assert.ok(after.every(({ config }) => !old.has(config._enc.kid)));
  });
});

describe("deleting an organization's keys", () => {
  test("asks, names the database and what is lost, and no key opens its rows any more, also in the middle of a rotation", async () => {
    const table = await databases.project();
    const gone = await table.insertOnDataKey(A, 3);
    await table.insertOnDataKey(A, 60);
    const command = ["delete-data-keys", gone.organization_id];
    const refused = await keytoolOnTerminal(table.direct, command, { answer: "n\n" });
    assert.equal(refused.status, 2, refused.text);
    for (const said of [new URL(table.direct.DATABASE_URL).host, gone.organization_id, "3 rows of integrations", "No grant is revoked", "backup"]) {
      assert.ok(refused.text.includes(said), `${said}\n${refused.text}`);
    }
    assertError(await run(table, {}, ...command), 2, /no terminal to ask on$/);
    assertError(await run(table, {}, "delete-data-keys", randomUUID(), "--yes"), 2, /has no data keys$/);
    assert.equal((await table.dataKeys()).length, 2);

    const done = await run(table, {}, ...command, "--yes", "--json");
    assertDone(done);
    const { event, kids: deleted, tables } = last(done);
    assert.deepEqual([event, deleted, tables], ["data_keys_deleted", [gone.dataKey.kid], { integrations: 3 }]);
    const [trail] = await table.sql`select organization_id, details from public.credential_events where action = 'data_keys_deleted'`;
    assert.deepEqual([trail.organization_id, trail.details.data_keys], [gone.organization_id, [gone.dataKey.kid]]);

    const status = await run(table, A_TO_B, "status", "--json");
    assertError(status, 4, /^error: 3 rows are sealed with data keys that their organizations no longer have$/);
    assert.deepEqual(status.events().filter(({ event }) => event === "do_not_open").map(({ kind, rows }) => [kind, rows]), [["missing_data_key", 3]]);
    assert.equal(last(status).tally.missing_data_key, 3);
    assertError(await run(table, A_TO_B, "verify"), 4, /no longer have$/);
    // No key of the deployment opens them, so they hold up no rotation.
    const rotated = await run(table, A_TO_B, "rotate", "--complete", "--yes");
    assertDone(rotated);
    assert.match(rotated.stdout, /^3 rows are sealed with data keys that their organizations no longer have$/m);
  });

  test("needs the owner's own connection", async () => {
    const table = await databases.project();
    const { organization_id } = await table.insertOnDataKey(A, 1);
    const rest = (await table.rest()).newKey;
    assertError(await keytool(rest, "delete-data-keys", organization_id, "--yes"), 2, /needs a direct connection/);
    assert.equal((await table.dataKeys()).length, 1);
  });

  test("a rotation stops before its first write if the data keys of most rows are missing", async () => {
    const table = await databases.project();
    for (let n = 0; n < 3; n += 1) await table.insertOnDataKey(A, 5);
    await table.sql`delete from private.data_keys where ctid in (select ctid from private.data_keys limit 2)`;
    const before = [await table.rows(), await table.dataKeys()];
    assertError(await run(table, A_TO_B, "rotate"), 4, /^error: the data keys of 10 sampled rows are not in the database$/);
    assert.deepEqual([await table.rows(), await table.dataKeys()], before);
  });
});

describe("without a database", () => {
  const withInput = (settings, input, ...args) => keytoolOnTerminal(settings, [...args, "<", input]);
  test("open takes the wrapped data keys that data-keys prints, and says what is missing without", async () => {
    const table = await databases.project();
    const { organization_id } = await table.insertOnDataKey(A, 1);
    const [row] = await table.rows();
    const printed = await run(table, {}, "data-keys", organization_id);
    assertDone(printed);
    const [keysFile, configFile] = [`${folder}/keys.json`, `${folder}/config.json`];
    writeFileSync(keysFile, printed.stdout);
    writeFileSync(configFile, JSON.stringify(row.config));
    const place = ["--organization", organization_id, "--integration", row.id];
    const opened = await withInput({ ENCRYPTION_KEY: A.base64 }, configFile, "open", ...place, "--data-keys", keysFile);
    assert.equal(opened.status, 0, opened.text);
    assert.deepEqual(JSON.parse(opened.text), { ...openRow([A], row) });
    const without = await withInput({ ENCRYPTION_KEY: A.base64 }, configFile, "open", ...place);
    assert.deepEqual([without.status, /--data-keys/.test(without.text)], [4, true], without.text);
    const otherKey = await withInput({ ENCRYPTION_KEY: B.base64 }, configFile, "open", ...place, "--data-keys", keysFile);
    assert.deepEqual([otherKey.status, /wraps its data key/.test(otherKey.text)], [4, true], otherKey.text);
    writeFileSync(`${folder}/plain.json`, JSON.stringify({ access_token: "x" }));
    const sealed = await withInput({ ENCRYPTION_KEY: A.base64 }, `${folder}/plain.json`, "seal", ...place, "--data-keys", keysFile);
    assert.equal(sealed.status, 0, sealed.text);
    const resealed = { id: row.id, organization_id, config: JSON.parse(sealed.text), dataKeys: row.dataKeys };
    assert.deepEqual([resealed.config._enc.v, { ...openRow([A], resealed) }], [3, { access_token: "x" }]);
    assertError(await run(table, {}, "data-keys", randomUUID()), 2, /has no data keys$/);
  });
});
