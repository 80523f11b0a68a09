// keytool import without a worker: what its files may be, what it says of them, and what it does where the network or the server fails
// (threat model 254). tests/e2e/import.test.mjs runs it against the worker.
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { wrap } from "../format/format.mjs";
import { listen } from "../stack/listen.mjs";
import { A, assertDone, assertError, B, keytool, sealFor, sealLegacy } from "./support.mjs";

const KEY = `sik_${"k".repeat(43)}`;
const ORGANIZATION = randomUUID();
const SECRET = "planted-secret";

let folder;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "keytool-import-"));
});
after(() => rm(folder, { recursive: true }));

const file = async (content) => {
  const name = path.join(folder, `${randomUUID()}.json`);
  await writeFile(name, content);
  return name;
};
const lines = (all) => file(all.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
const connection = (over = {}) => ({ integration_type: "supabase", credential: { access_token: SECRET }, ...over });
const dryRun = (name, settings, ...args) => keytool(settings, "import", name, "--dry-run", "--organization", ORGANIZATION, ...args);

describe("keytool import --dry-run", () => {
  test("reads every line, reports the bad ones by number and code, shows nothing of them, and exits 5", async () => {
    const long = JSON.stringify(connection({ credential: { access_token: SECRET.repeat(20_000) } }));
    const name = await lines([
      connection(), "", `{"${SECRET}`, connection({ integration_type: undefined }), { integration_type: SECRET }, long,
      connection({ credential: { access_token: SECRET.repeat(2_000) } }), SECRET, connection({ organization_id: SECRET }), connection(),
    ]);
    const done = await dryRun(name, {});
    assertError(done, 5, /^error: 7 were not imported$/);
    const said = done.stdout.split("\n").filter(Boolean).sort();
    assert.deepEqual(said, [
      "2 can be sent; 7 cannot", "line 3: malformed", "line 4: no_type", "line 5: no_credential", "line 6: too_long", "line 7: too_long", "line 8: malformed", "line 9: malformed",
    ]);
    assert.ok(!`${done.stdout}${done.stderr}`.includes(SECRET));
    const machine = await dryRun(name, {}, "--json");
    const events = machine.all();
    assert.deepEqual(events.find(({ line }) => line === 4), { event: "not_imported", line: 4, code: "no_type" });
    assert.deepEqual(events.slice(-2).map(({ event }) => event), ["import_read", "error"]);
  });

  test("opens sealed rows of both forms with the key ring, each in its place", async () => {
    const place = { id: randomUUID(), organization_id: randomUUID() };
    const row = (config, over = {}) => ({ ...place, integration_type: "supabase", config, ...over });
    const config = sealFor(A, place, { access_token: SECRET });
    const name = await lines([
      row(config), row({ access_token: sealLegacy(A, SECRET) }), row(config, { id: randomUUID() }), row(sealFor(B, place, { access_token: SECRET })), row(config, { id: undefined }),
    ]);
    const done = await dryRun(name, { ENCRYPTION_KEY: A.base64 }, "--from", "rows");
    assertError(done, 5, /^error: 3 were not imported$/);
    assert.deepEqual(done.stdout.split("\n").filter(Boolean).sort(), ["2 can be sent; 3 cannot", "line 3: does_not_open", "line 4: does_not_open", "line 5: malformed"]);
    const dataKey = randomBytes(32);
    const wrapped = wrap(Buffer.from(A.base64, "base64"), place.organization_id, dataKey, randomBytes(12));
    const third = await lines([row(sealFor(A, place, { access_token: SECRET }, { key: dataKey }))]);
    assertError(await dryRun(third, { ENCRYPTION_KEY: A.base64 }, "--from", "rows"), 5, /^error: 1 was not imported$/);
    const dataKeys = await file(JSON.stringify({ data_keys: [wrapped] }));
    assertDone(await dryRun(third, { ENCRYPTION_KEY: A.base64 }, "--from", "rows", "--data-keys", dataKeys));
    assertDone(await dryRun(await lines([row(config)]), { ENCRYPTION_KEY: B.base64, FALLBACK_ENCRYPTION_KEYS: A.base64 }, "--from", "rows"));
    assertError(await dryRun(name, {}, "--from", "rows"), 2, /ENCRYPTION_KEY environment variable is not set/);
  });

  test("counts the entries of n8n's array, and names its encrypted form", async () => {
    const entry = (data) => ({ id: "1", name: "n", type: "githubOAuth2Api", data });
    const name = await file(JSON.stringify([entry({ oauthTokenData: { access_token: SECRET } }), entry("U2FsdGVkX1")], null, 2));
    const done = await dryRun(name, {}, "--from", "n8n", "--type", "githubOAuth2Api=github");
    assertError(done, 5, /^error: 1 was not imported$/);
    assert.deepEqual(done.stdout.split("\n").filter(Boolean).sort(), ["1 can be sent; 1 cannot", "entry 2: encrypted"]);
    assertError(await dryRun(await file(SECRET), {}, "--from", "n8n"), 1, /^error: the file is no JSON$/);
  });

  test("exits 2 for arguments that are wrong, and repeats none of them", async () => {
    for (const args of [[], ["--type", SECRET], ["--field", `=${SECRET}`], ["--from", SECRET], ["--organization", SECRET], ["--jobs", "17"]]) {
      const done = await keytool({}, "import", await file(""), ...(args.length ? ["--dry-run", ...args] : []));
      assert.equal(done.status, 2, args.join(" "));
      assert.ok(!done.stderr.includes(SECRET), done.stderr);
    }
    assertError(await dryRun(path.join(folder, "none"), {}), 2, /^error: the file cannot be read/);
    assertDone(await dryRun(await file("\n\n"), {}));
  });
});

describe("keytool import at a server that fails", () => {
  /** A server that answers a request by its token as `answers` says: `[status, body, headers]`, one after the other; `seen` are its tokens. */
  const server = async (t, answers) => {
    const seen = [];
    const http = createServer(async (request, response) => {
      const body = JSON.parse((await request.toArray()).join(""));
      const token = body.credential.access_token;
      seen.push({ token, authorization: request.headers.authorization, path: request.url });
      const [status, json, headers = {}] = answers(token, seen.filter((one) => one.token === token).length) ?? [];
      if (status === undefined) return request.socket.destroy();
      response.writeHead(status, { "content-type": "application/json", ...headers });
      response.end(typeof json === "string" ? json : JSON.stringify(json));
    });
    const url = await listen(http);
    t.after(() => http.closeAllConnections() ?? http.close());
    return { url, seen };
  };
  const created = [201, { id: randomUUID(), replaced: false, refreshable: true, not_refreshable_reason: null }];
  const refused = (status, code, headers) => [status, { error: { code, message: SECRET } }, headers];
  const tokens = (...all) => lines(all.map((access_token) => connection({ credential: { access_token } })));
  const run = (url, name, ...args) => keytool({ SERVICE_KEY: KEY }, "import", name, "--url", url, "--organization", ORGANIZATION, ...args);

  test("waits as long as the server says, repeats what got no answer, and goes on after a refusal", async (t) => {
    const { url, seen } = await server(t, (token, time) => {
      if (token === "limited" && time === 1) return refused(429, "too_many_requests", { "retry-after": "1" });
      if (token === "cut" && time === 1) return undefined;
      if (token === "database" && time === 1) return refused(503, "upstream_timeout");
      if (token === "there") return refused(409, "already_connected");
      if (token === "paused") return refused(429, "provider_paused", { "retry-after": "3600" });
      if (token === "dead") return refused(422, "credentials_refused");
      if (token === "ends") return [200, { replaced: true, refreshable: false, not_refreshable_reason: "no_refresh_token" }];
      return created;
    });
    const began = Date.now();
    const done = await run(url, await tokens("fine", "limited", "cut", "database", "there", "paused", "dead", "ends"), "--jobs", "8");
    assert.ok(Date.now() - began > 900, "it waited");
    assertError(done, 5, /^error: 2 were not imported$/);
    assert.deepEqual(done.stdout.split("\n").filter(Boolean).sort(), [
      "imported 4; replaced 1; 1 were connected already; 2 failed", "line 6: provider_paused", "line 7: credentials_refused",
      "line 8: imported without a refresh token: it ends with its access token",
    ]);
    assert.equal(seen.length, 11);
    assert.deepEqual([...new Set(seen.map((one) => `${one.path} ${one.authorization}`))], [`/api/integrations/import Bearer ${KEY}`]);
    assert.ok(![done.stdout, done.stderr].some((text) => text.includes(SECRET) || text.includes(KEY)));
  });

  test("stops at once where no line would fare better, and says why", async (t) => {
    for (const [answer, status, message] of [
      [refused(401, "unauthorized"), 2, /does not know this service key/],
      [refused(403, "missing_scope"), 2, /lacks the scope connections:import/],
      [refused(404, "not_found"), 1, /answered 404, and not as the worker does/],
      [[200, SECRET], 1, /answered 200, and not as the worker does/],
      [[307, {}, { location: "https://other.example" }], 1, /answered 307/],
      [[500, { error: { code: SECRET.toUpperCase(), message: "" } }], 1, /answered 500/],
    ]) {
      const { url, seen } = await server(t, () => answer);
      const done = await run(url, await tokens(...Array.from({ length: 50 }, (_, i) => `t${i}`)), "--jobs", "1");
      assertError(done, status, message);
      assert.equal(seen.length, 1);
      assert.ok(![done.stdout, done.stderr].some((text) => text.toLowerCase().includes(SECRET)));
    }
  });

  test("needs a service key from the environment, and an https address", async () => {
    const name = await tokens("fine");
    for (const [settings, url, message] of [
      [{}, "https://x.example", /SERVICE_KEY environment variable is not set/],
      [{ SERVICE_KEY: `eyJ${SECRET}` }, "https://x.example", /SERVICE_KEY is no service key/],
      [{ SERVICE_KEY: KEY }, "http://x.example", /--url is no https address/],
      [{ SERVICE_KEY: KEY }, `https://user:${SECRET}@x.example`, /--url is no https address/],
    ]) {
      const done = await keytool(settings, "import", name, "--url", url);
      assertError(done, 2, message);
      assert.ok(!done.stderr.includes(SECRET), done.stderr);
    }
    assert.equal(await readFile(name, "utf8"), JSON.stringify(connection({ credential: { access_token: "fine" } })));
  });
});
