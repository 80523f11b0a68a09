// docs/operations.md: a backup of the whole database is restored into an empty project, word for word, after a rotation that it does not know.
// The database holds what a real one does, and a worker before and after the restore says what its users and programs see.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import postgres from "postgres";

import { startServer } from "../database/support.mjs";
import { open, unwrap } from "../format/format.mjs";
import { keytool, newKey, PROGRAM, sealFor, somePlain } from "../keytool/support.mjs";
import { createProjectKeys } from "../stack/keys.mjs";
import { freePort } from "../stack/listen.mjs";
import { startRest } from "../stack/rest.mjs";
import { workerSettings } from "../stack/settings.mjs";
import { startThread } from "../stack/thread.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { commandsUnder } from "../support/documented.mjs";
import { postgresPrograms } from "../support/postgres-programs.mjs";
import { programOf } from "../support/service-keys.mjs";
import { signHS256, userClaims } from "../support/tokens.mjs";
import { startModules } from "../support/worker.mjs";

const PAGE = "docs/operations.md";
const BUILD = fileURLToPath(new URL("../../worker/build", import.meta.url));
const programs = await postgresPrograms();
/** The key before the first rotation, that of the backup, and that of today. */
const [Z, A, B] = [newKey(), newKey(), newKey()];

describe("a restored database", { skip: programs.missing ?? false }, () => {
  const stops = [];
  let server, folder;
  before(async () => {
    server = await startServer();
    folder = mkdtempSync(path.join(tmpdir(), "restore-"));
    symlinkSync(path.resolve(PROGRAM), `${folder}/keytool`);
    for (const [name, { base64 }] of [["old", A], ["new", B]]) writeFileSync(`${folder}/${name}.key`, base64, { mode: 0o600 });
  });
  after(async () => {
    for (const stop of stops.reverse()) await stop();
    await server?.stop();
    if (folder) rmSync(folder, { recursive: true });
  });

  /** Supabase's API and a worker over a database: `{ worker, sql }`. `keys` are the project's, `settings` the worker's. */
  async function startOver(url, keys, settings) {
    const sql = postgres(url("postgres"), { max: 1, onnotice: () => {} });
    stops.push(() => sql.end());
    const { jwtSecret, verificationKey } = keys;
    const rest = await startRest({ databaseUrl: url("authenticator"), jwtSecret, verificationKey, logs: server.logs });
    stops.push(rest.stop);
    const routes = [{ prefix: "/rest/v1", upstream: rest.url, path: "" }];
    const gateway = await startThread({ name: "gateway", module: "./gateway.mjs", options: { keys, routes }, logs: server.logs });
    stops.push(gateway.stop);
    const port = await freePort();
    const info = {
      app_url: `http://localhost:${port}`, supabase_url: gateway.value.url, publishable_key: keys.publishableKey, secret_key: keys.secretKey,
      jwt_secret: jwtSecret, jwks_private_key: keys.signingKey, client_id: randomUUID(), client_secret: randomUUID(),
      // Nothing here is due for a request to a provider.
      authorization_server_url: gateway.value.url,
    };
    const bindings = Object.entries({ ...workerSettings(info), PLAINTEXT_CREDENTIALS: "true", ...settings });
    const running = await startModules({ name: "edge", build: BUILD, bindings, port });
    stops.push(running.stop);
    return { sql, worker: { url: info.app_url, info, ...running } };
  }

  /** What a reader types; a command whose line ends in `# exit status 4: …` has to end so, every other one with 0. Returns what it prints. */
  async function type(blocks, DATABASE_URL) {
    const fails = /^(.*\S) +# exit status (\d+)\b.*$/gm;
    const typed = blocks.map(({ text }) => text.replaceAll(fails, 'status=0; $1 || status=$?; [ "$status" = $2 ] || exit 99'));
    const env = { PATH: `${folder}:${programs.folder}:${process.env.PATH}`, DATABASE_URL };
    const child = spawn("bash", ["-euo", "pipefail", "-c", typed.join("\n")], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    for (const stream of ["stdout", "stderr"]) child[stream].setEncoding("utf8").on("data", (chunk) => (text += chunk));
    const status = await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
    assert.equal(status, 0, text);
    return text;
  }

  const backup = commandsUnder(PAGE, "## Backup").filter(({ text }) => text.includes("pg_dump"));
  const emptyProject = commandsUnder(PAGE, "### A whole database");
  const steps = commandsUnder(PAGE, "## Restore");
  const step = (number) => {
    const found = steps.filter(({ heading }) => heading.startsWith(`### ${number}. `));
    assert.ok(found.length > 0, `step ${number} has no command`);
    return found;
  };

  it("opens again with the key of its time, and is moved to the key of today as the page says", async () => {
    const project = await server.createProject();
    const projectKeys = await createProjectKeys();
    const url = project.url("postgres");
    const { sql, worker } = await startOver((role) => project.url(role), projectKeys, { ENCRYPTION_KEY: A.base64, FALLBACK_ENCRYPTION_KEYS: Z.base64 });

    // Connections of several organizations, of the key before; a webhook, an OAuth app and a service key of one of them.
    const user = { id: randomUUID() };
    const signedIn = async (worker) => {
      const browser = new BrowserSession(worker);
      await browser.signIn({ ...user, access_token: await signHS256(worker.info, userClaims(worker.info, user)) });
      return browser;
    };
    const rows = [user.id, user.id, randomUUID(), randomUUID()].map((organization_id) => ({ id: randomUUID(), organization_id, plain: { ...somePlain(), expires_at: "2099-01-01T00:00:00Z" } }));
    const columns = ({ id, organization_id, plain }, key) => ({
      id, organization_id, integration_type: "supabase", name: id, external_account_id: id, config: sealFor(key, { id, organization_id }, plain),
    });
    await sql`insert into public.integrations ${sql(rows.map((row) => columns(row, Z)))}`;
    const browser = await signedIn(worker);
    const endpoint = (await browser.post("/api/webhooks", { url: "http://127.0.0.1:1/" })).expect(201).json;
    // As a version before data keys has sealed it: only the schedule moves it.
    const place = { id: endpoint.id, organization_id: user.id };
    await sql`update public.webhook_endpoints set config = ${sql.json(sealFor(A, place, { secret: endpoint.secret }))} where id = ${endpoint.id}`;
    const app = (await browser.post("/api/oauth-apps", { integration_type: "github", name: "Ours", client_id: "an-app", client_secret: "its-secret" })).expect(201).json;
    const program = await programOf(browser, ["connections:read", "connections:credentials"]);
    const revoked = await programOf(browser, ["connections:read"]);

    // The first rotation: Z is retired, and the fence stays up for A.
    const at = { DATABASE_URL: url };
    const rotated = await keytool({ ...at, ENCRYPTION_KEY: A.base64, FALLBACK_ENCRYPTION_KEYS: Z.base64 }, "rotate", "--complete", "--yes");
    assert.equal(rotated.status, 0, rotated.stderr);
    await type(backup, url);
    const [{ events }] = await sql`select count(*)::int as events from public.credential_events`;

    // What happens after the backup: one is disconnected, one's organization is deleted with its data keys, a service key is revoked, and the key
    // changes to B.
    await sql`delete from public.integrations where id = ${rows[3].id}`;
    const deleted = rows[2].organization_id;
    const dataKeysOf = async (sql) => (await sql`select kid from private.data_keys where organization_id = ${deleted}`).length;
    assert.equal(await dataKeysOf(sql), 1);
    await sql`select private.delete_data_keys(${deleted})`;
    await sql`delete from public.integrations where organization_id = ${deleted}`;
    await browser.delete(`/api/service-keys/${revoked.made.id}`);
    for (const args of [["fence", "--lift"], ["rotate"]]) {
      const done = await keytool({ ...at, ENCRYPTION_KEY: B.base64, FALLBACK_ENCRYPTION_KEYS: A.base64 }, ...args);
      assert.equal(done.status, 0, done.stderr);
    }

    const [heading] = emptyProject;
    const made = await type([{ ...heading, text: `${heading.text}\necho "url: $DATABASE_URL"` }], url);
    const restored = /^url: (.*)$/m.exec(made)[1];
    await type(step(2), restored);
    const name = new URL(restored).pathname;
    const today = await startOver((role) => Object.assign(new URL(project.url(role)), { pathname: name }).href, projectKeys, {
      ENCRYPTION_KEY: B.base64, FALLBACK_ENCRYPTION_KEYS: A.base64,
    });
    const [counted] = await today.sql`select (select count(*) from public.integrations)::int as rows, (select count(*) from public.credential_events)::int as events`;
    assert.deepEqual({ ...counted }, { rows: 4, events }, "what was deleted is back, and the events are those of the backup");
    await assert.rejects(
      today.sql`update public.integrations set config = ${today.sql.json(columns(rows[0], B).config)} where id = ${rows[0].id}`,
      { code: "IK001" },
      "the restored fence is up for the key of its time",
    );

    const third = await type(step(3), restored);
    assert.match(third, new RegExp(`${A.kid}, which is not among your keys`));
    assert.match(third, new RegExp(`key ${Z.kid}: retired`));
    assert.match(await type(step(4), restored), new RegExp(`rotation to ${B.kid}: 100\\.0 %, 0 rows left`));

    // As the page says, only the schedule moves the rest: before it, the old key is not retired.
    const early = await keytool({ DATABASE_URL: restored, ENCRYPTION_KEY: B.base64, FALLBACK_ENCRYPTION_KEYS: A.base64 }, "rotate", "--complete", "--yes");
    assert.equal(early.status, 1, early.stdout + early.stderr);
    assert.match(early.stderr, /1 row of webhook_endpoints/);
    await today.worker.scheduled();
    const sixth = await type(step(6), restored);
    assert.match(sixth, /4 of 4 rows open/);
    assert.match(sixth, new RegExp(`^key ${A.kid} is retired`, "m"));

    // Every credential is as it was, and users and programs have what they had.
    for (const { id, organization_id, config } of await today.sql`select id, organization_id, config from public.integrations`) {
      const wrapped = await today.sql`select organization_id, kid, wrapping_kid, wrapped from private.data_keys where organization_id = ${organization_id}`;
      const dataKeys = wrapped.map((one) => unwrap([B.key], one));
      assert.deepEqual(open([B.key], { organization_id, integration_id: id }, config, dataKeys), rows.find((row) => row.id === id).plain);
    }
    const again = await signedIn(today.worker);
    assert.equal((await again.get("/api/integrations")).expect(200).json.count, 2);
    assert.deepEqual((await again.get("/api/webhooks")).expect(200).json.webhooks.map(({ id }) => id), [endpoint.id]);
    assert.deepEqual((await again.get("/api/oauth-apps")).expect(200).json.oauth_apps.map(({ id }) => id), [app.id]);
    const asProgram = (path, body) => fetch(today.worker.url + path, {
      method: "POST", headers: { authorization: `Bearer ${program.key}`, "content-type": "application/json" }, body: JSON.stringify(body),
    });
    const credential = await asProgram(`/api/integrations/${rows[0].id}/credential`, { form: "plain" });
    const text = await credential.text();
    assert.equal(credential.status, 200, text);
    assert.ok(text.includes(rows[0].plain.access_token));
    // What the page warns of, and what it says to do.
    assert.equal(await dataKeysOf(today.sql), 1, "the deleted data key is back, and has opened its row above");
    await today.sql`select private.delete_data_keys(${deleted})`;
    const without = await keytool({ DATABASE_URL: restored, ENCRYPTION_KEY: B.base64 }, "verify");
    assert.equal(without.status, 4, without.stdout + without.stderr);
    assert.match(without.stdout, /3 of 4 rows open/);
    const old = await fetch(`${today.worker.url}/api/integrations`, { headers: { authorization: `Bearer ${revoked.key}` } });
    assert.equal(old.status, 200, "a key that was revoked after the backup is valid again");
  });
});
