// No secret shows where it does not belong: a run through every flow, and through their failures, with every secret known, and
// then a look at all that was said.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { before, describe, it } from "node:test";

import { PROGRAM } from "../keytool/support.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { bearer, call } from "../support/caller.mjs";
import { cut } from "../support/faults.mjs";
import { codeOf, exchangeOf, keepGrants } from "../support/grants.mjs";
import { dataKeysOf, integrationsOf, opened } from "../support/integrations.mjs";
import { SecretCanaries } from "../support/secret-canaries.mjs";
import { signUp } from "../support/users.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const TOKEN = "/v1/oauth/token";
const REVOKE = "/v1/oauth/revoke";
/** The cookies that a browser must get, the one place where a session's tokens and a flow's binding are said. */
const COOKIE = /^__Host-(session|session-refresh|flow-[0-9a-f]{16})=/;

describe("planted secrets", () => {
  const fallback = randomBytes(32).toString("base64");
  const fixture = workerFixture({
    gateway: true,
    server: true,
    settings: { FALLBACK_ENCRYPTION_KEYS: fallback, LEGACY_CREDENTIAL_COOKIES: "true", REQUEST_LOG: "true" },
  });
  const { info } = fixture;
  const canaries = new SecretCanaries();
  /** All answers of the worker: `{ what, answer }` without the cookies that must be set. */
  const said = [];
  let sql, gateway, server, worker, grantOf;
  before(async () => {
    ({ sql, gateway, server, worker } = fixture);
    grantOf = keepGrants(server, info.authorization_server_url);
    canaries.add({
      ENCRYPTION_KEY: info.encryption_key,
      FALLBACK_ENCRYPTION_KEYS: fallback,
      SUPABASE_SERVICE_ROLE_KEY: info.secret_key,
      SUPABASE_JWT_SECRET: info.jwt_secret,
      SUPABASE_CLIENT_SECRET: worker.info.client_secret,
      "client credentials": Buffer.from(`${worker.info.client_id}:${worker.info.client_secret}`).toString("base64"),
    });
  });

  /** Keeps an answer for the look at the end. */
  function heard(answer, what) {
    const headers = [...answer.headers].filter(([name]) => name !== "set-cookie").map((header) => header.join(": "));
    const cookies = answer.headers.getSetCookie().filter((line) => !COOKIE.test(line));
    said.push({ what, answer: [...headers, ...cookies, answer.text].join("\n") });
    return answer;
  }

  /** A visitor whose every answer is heard, and whose every secret is known. */
  async function visit() {
    const user = await signUp(worker.info);
    canaries.add({ password: user.password, access_token: user.access_token, refresh_token: user.refresh_token });
    const visitor = new BrowserSession(worker);
    for (const method of ["get", "post", "delete"]) {
      const send = visitor[method].bind(visitor);
      visitor[method] = async (path, ...rest) => {
        const answer = heard(await send(path, ...rest), `${method} ${path.slice(0, 40)}`);
        for (const name of ["__Host-session", "__Host-session-refresh"]) {
          if (visitor.jar.get(name)) canaries.add({ [name]: visitor.jar.get(name) });
        }
        return answer;
      };
    }
    await visitor.signIn(user);
    return visitor;
  }

  /** Opens a callback; its code, and what the provider gave out for it, are secrets. */
  async function finish(visitor, callback, headers) {
    const flow = visitor.jar.header(worker.url).match(/__Host-flow-[0-9a-f]{16}=([^;]+)/)?.[1];
    if (flow) canaries.add({ binding: flow });
    if (codeOf(callback)) canaries.add({ code: codeOf(callback) });
    const answer = await visitor.get(callback, headers);
    const grant = grantOf(callback);
    if (grant) canaries.add({ "granted access_token": grant.access_token, "granted refresh_token": grant.refresh_token });
    return answer;
  }

  /** An answer of an upstream that repeats all that it was sent, as error pages and proxies do. */
  const echo = (status, type = "application/json") => ({ request, response }) => {
    const { method, path, headers, body } = request;
    response.writeHead(status, { "content-type": type });
    const repeated = { method, path, headers, body };
    response.end(JSON.stringify({ code: JSON.stringify(headers), message: repeated, error: repeated, error_description: repeated, hint: body, details: path }));
  };

  // Threat model 23.
  it("OAuth flows and their failures run, with every secret known", async () => {
    const visitor = await visit();
    const { user } = visitor;
    (await visitor.post("/api/session", { email: user.email, password: user.password })).expect(200);
    (await visitor.post("/api/session", { email: user.email, password: `${user.password}-wrong` })).expect(401);
    (await visitor.get("/api/session")).expect(200);
    (await visitor.get("/api/providers")).expect(200);

    // Connected, connected again, chosen, given up, declined.
    const login = `secrets-${randomUUID()}`;
    (await finish(visitor, await visitor.consent(login))).expect(303);
    (await finish(visitor, await visitor.consent(login))).expect(303);
    for (const end of [(path, [account]) => visitor.post(path, { account_id: account.id }), (path) => visitor.delete(path)]) {
      const { location } = (await finish(visitor, await visitor.consent(`two-${randomUUID()}`))).expect(303);
      const path = `/api/connections/${new URL(location, worker.url).searchParams.get("choose")}`;
      (await end(path, (await visitor.get(path)).expect(200).json.accounts)).expect(200);
    }
    (await finish(visitor, await visitor.decline(login))).expect(400, "declined");
    (await finish(visitor, await visitor.consent(`none-${randomUUID()}`))).expect(422);
    (await visitor.get("/api/integrations")).expect(200);

    // The provider fails and repeats what it was sent; at the token endpoint, at the projects, at the revocation.
    for (const [matcher, status, type] of [
      [(callback) => exchangeOf(callback), 500, "application/json"],
      [(callback) => exchangeOf(callback), 200, "text/html"],
      [(callback) => exchangeOf(callback), 201, "application/json"],
      [(callback) => ({ path, headers }) => path === "/v1/projects" && headers.authorization === `Bearer ${grantOf(callback)?.access_token}`, 500, "application/json"],
    ]) {
      const callback = await visitor.consent(login);
      const restore = [server.fault(matcher(callback), echo(status, type)), server.fault(REVOKE, echo(500))];
      (await finish(visitor, callback, { accept: "text/html" })).expect(502);
      restore.forEach((undo) => undo());
    }
    const hostile = `${worker.url}/api/auth/callback/supabase?error=${randomUUID()}&error_description=x&state=${randomUUID()}`;
    (await visitor.get(hostile, { accept: "text/html" }));

    // Supabase fails and repeats what it was sent, at each of its functions, tables and at Auth.
    const { location } = (await finish(visitor, await visitor.consent(`two-${randomUUID()}`))).expect(303);
    const choice = `/api/connections/${new URL(location, worker.url).searchParams.get("choose")}`;
    const [{ id }] = await integrationsOf(sql, user.id);
    for (const behaviour of [echo(500), echo(400), echo(401), echo(200), echo(200, "text/html"), cut()]) {
      const callback = await visitor.consent(login);
      const parked = await visitor.consent(`two-${randomUUID()}`);
      const ofSaving = /\/rpc\/(complete|park)_connection/;
      const undo = gateway.fault(ofSaving, behaviour);
      await finish(visitor, callback);
      await finish(visitor, parked);
      undo();
      const waiting = await visitor.consent(login);
      const restore = gateway.fault(/\/rest\/v1\/|\/auth\/v1\/(token|logout|user)/, behaviour);
      await visitor.post("/api/auth/authorize", { integration_type: "supabase" });
      await finish(visitor, waiting);
      await visitor.get(choice);
      await visitor.post(choice, { account_id: "x" });
      await visitor.delete(choice);
      await visitor.get("/api/integrations");
      await visitor.get("/api/session");
      await visitor.delete(`/api/integrations/${id}`);
      await visitor.post("/api/session", { email: user.email, password: user.password });
      await visitor.post("/api/session", { refresh: true });
      restore();
    }

    // Requests with secrets where none belong.
    const { access_token, password } = user;
    for (const [method, path, options] of [
      ["GET", `/api/integrations?organization_id=${access_token}`, { headers: bearer(access_token) }],
      ["GET", `/api/integrations?${access_token}=x`, { headers: bearer(access_token) }],
      ["DELETE", `/api/integrations/${encodeURIComponent(password)}`, { headers: bearer(access_token) }],
      ["GET", `/${access_token}`],
      ["POST", "/api/session", { headers: { "content-type": "application/json" }, body: `{"password":"${password}"` }],
      ["POST", "/api/session", { body: { email: password, password: access_token, extra: password } }],
      ["GET", "/api/session", { headers: bearer(`${access_token}x`) }],
      ["GET", "/api/session", { headers: { cookie: `__Host-session=${access_token}; __Host-session=${access_token}` } }],
      ["POST", "/api/auth/authorize", { headers: bearer(access_token), body: { integration_type: password, return_to: `//${password}` } }],
    ]) {
      const refused = heard(await call(worker, method, path, options), `${method} with a secret`);
      assert.ok(refused.status >= 400 && refused.status < 500, `${method} ${refused.status}`);
    }

    // A row that does not open, disconnected while the provider fails; then the others.
    const rows = await integrationsOf(sql, user.id);
    for (const row of rows) for (const [name, value] of Object.entries(await opened(info, row)).filter(([name]) => name.endsWith("_token"))) canaries.add({ [name]: value });
    await sql`update public.integrations set config = jsonb_set(config, '{access_token}', to_jsonb(${(await opened(info, rows[0])).access_token}::text)) where id = ${rows[0].id}`;
    server.fault(REVOKE, echo(500));
    for (const row of rows) (await visitor.delete(`/api/integrations/${row.id}`)).expect(200);
    (await visitor.delete("/api/session")).expect(200);

    // The verifiers, as the token endpoint got them.
    const exchanged = server.requests.filter(({ path }) => path === TOKEN).map(({ body }) => new URLSearchParams(body).get("code_verifier"));
    exchanged.filter(Boolean).forEach((verifier) => canaries.add({ verifier }));
    assert.ok(exchanged.length > 10 && said.length > 80, `${exchanged.length} exchanges and ${said.length} answers`);
  });

  // Threat model 23.
  it("no secret is in any answer, header or redirect of the worker", () => {
    for (const { what, answer } of said) assert.deepEqual(canaries.in(answer), [], `${what}:\n${answer.slice(0, 600)}`);
  });

  // Threat model 23.
  it("no secret is in the worker's log, and nothing sealed either", () => {
    const lines = worker.logs().map(({ message }) => message);
    assert.ok(lines.length > 40, `${lines.length} lines were logged`);
    for (const line of lines) {
      assert.deepEqual(canaries.in(line), [], line);
      assert.doesNotMatch(line, /[A-Za-z0-9+/]{16}\.[A-Za-z0-9+/]{22}==\./, line);
      assert.doesNotThrow(() => JSON.parse(line), `no line but JSON: a panic or a stack would not be: ${line}`);
    }
  });

  // Threat model 23.
  it("no secret is in a URL that the worker requests or sends the browser to", () => {
    const urls = [...server.requests, ...gateway.requests].map(({ path }) => path);
    const sentTo = urls.filter((path) => !path.startsWith("/v1/oauth/authorize") && !path.startsWith("/interaction"));
    for (const path of sentTo) assert.deepEqual(canaries.in(path), [], path);
    const authorizations = said.filter(({ answer }) => answer.includes("authorization_url"));
    assert.ok(authorizations.length > 5, "authorization URLs were seen");
    for (const { answer } of authorizations) assert.deepEqual(canaries.in(answer), []);
  });

  // Threat model 23.
  it("no secret is in the clear in any table", async () => {
    const tables = await sql`select table_schema as schema, table_name as name from information_schema.tables where table_schema in ('public', 'private') and table_type = 'BASE TABLE'`;
    assert.ok(tables.length >= 5, "the tables are there");
    for (const { schema, name } of tables) {
      const rows = await sql`select to_jsonb(t)::text as text from ${sql(schema)}.${sql(name)} t`;
      assert.deepEqual(canaries.in(rows.map((row) => row.text).join("\n")), [], `${schema}.${name}`);
    }
  });

  // Threat model 23.
  it("keytool opens what the worker wrote, and shows no key and no token where it fails", async (t) => {
    const visitor = await BrowserSession.signedUp(worker);
    await visitor.connect(`keytool-${randomUUID()}`);
    const [row] = await integrationsOf(sql, visitor.user.id);
    const plain = await opened(info, row);
    canaries.add({ access_token: plain.access_token, refresh_token: plain.refresh_token });
    const dir = await mkdtemp(path.join(tmpdir(), "data-keys-"));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const file = path.join(dir, "data-keys.json");
    await writeFile(file, JSON.stringify({ data_keys: await dataKeysOf(info, row.organization_id) }));
    const place = ["--organization", row.organization_id, "--integration", row.id, "--data-keys", file];
    const config = JSON.stringify(row.config);

    const right = await keytool(["open", ...place], config, { ENCRYPTION_KEY: info.encryption_key });
    assert.equal(right.status, 0, right.stderr);
    assert.equal(JSON.parse(right.stdout).access_token, plain.access_token);
    assert.deepEqual(canaries.in(right.stderr), [], right.stderr);

    const other = randomBytes(32).toString("base64");
    canaries.add({ "another key": other });
    const tampered = JSON.stringify({ ...row.config, access_token: plain.access_token });
    for (const [what, args, input, env, status] of [
      ["another key", ["open", ...place], config, { ENCRYPTION_KEY: other }, 4],
      ["another row", ["open", ...place.with(3, randomUUID())], config, { ENCRYPTION_KEY: info.encryption_key }, 3],
      ["another organization", ["open", ...place.with(1, randomUUID())], config, { ENCRYPTION_KEY: info.encryption_key }, 4],
      ["no data keys", ["open", ...place.slice(0, 4)], config, { ENCRYPTION_KEY: info.encryption_key }, 4],
      ["a token in the clear", ["open", ...place], tampered, { ENCRYPTION_KEY: info.encryption_key }, 3],
      ["half a config", ["open", ...place], tampered.slice(0, -20), { ENCRYPTION_KEY: info.encryption_key }],
      ["a key that is none", ["open", ...place], config, { ENCRYPTION_KEY: `${info.encryption_key}x` }, 2],
      ["a key as an argument", ["id", info.encryption_key], "", {}, 2],
      ["the key's id", ["id"], "", { ENCRYPTION_KEY: info.encryption_key }, 0],
      ["selftest", ["selftest"], "", { ENCRYPTION_KEY: info.encryption_key }, 0],
      ["seal", ["seal", ...place], JSON.stringify({ access_token: plain.access_token }), { ENCRYPTION_KEY: info.encryption_key }, 0],
    ]) {
      const ended = await keytool(args, input, env);
      if (status === undefined) assert.notEqual(ended.status, 0, what);
      else assert.equal(ended.status, status, `${what}: ${ended.stderr}`);
      assert.deepEqual(canaries.in(ended.stdout + ended.stderr), [], `${what}:\n${ended.stdout}${ended.stderr}`);
    }
  });
});

/** Runs keytool. Its keys come from this environment alone. */
async function keytool(args, input, env) {
  const { ENCRYPTION_KEY: _e, FALLBACK_ENCRYPTION_KEYS: _f, ...rest } = process.env;
  const child = spawn(PROGRAM, args, { env: { ...rest, ...env } });
  // A program that refuses its arguments may not wait for what it is told.
  child.stdin.on("error", () => {}).end(input);
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { status, stdout, stderr };
}
