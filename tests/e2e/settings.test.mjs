// A worker that is set up wrongly answers nothing but that, and tells its operator which setting it is.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";

import { call } from "../support/caller.mjs";
import { stack } from "../support/stack.mjs";
import { startWorker } from "../support/worker.mjs";

const INTERNAL = '{"error":{"code":"internal","message":"internal error; give the request ID to the operator"}}';
const REQUIRED = [
  "APP_URL", "SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY", "ENCRYPTION_KEY", "SUPABASE_CLIENT_ID", "SUPABASE_CLIENT_SECRET",
];
const ROUTES = [
  ["GET", "/health"], ["GET", "/api/providers"], ["GET", "/api/session"], ["POST", "/api/session"],
  ["POST", "/api/auth/authorize"], ["GET", "/api/auth/callback?code=x&state=y"], ["GET", "/api/integrations"],
  ["DELETE", "/api/integrations/0b5f8a86-5d0c-4c8e-9d39-6b1d8f0f2f11"],
];
/** Workers that start at once; more of them only wait for each other. */
const AT_ONCE = 4;

describe("settings", { concurrency: AT_ONCE }, () => {
  const info = stack();
  const key = () => randomBytes(32).toString("base64");

  /** Starts a worker with these settings and checks that all it says is which one is wrong. */
  async function assertRefused(t, bindings, expected, values = []) {
    const worker = await startWorker(info, bindings);
    t.after(() => worker.stop());
    for (const [method, path] of ROUTES) {
      const answer = await call(worker, method, path);
      assert.equal(`${answer.status} ${answer.text}`, `500 ${INTERNAL}`, `${method} ${path}`);
      const id = answer.headers.get("x-request-id");
      await worker.logged(new RegExp(id));
      const lines = worker.logs().map(({ message }) => message).filter((message) => message.includes(id));
      assert.equal(lines.length, 1, `one line a request, got:\n${lines.join("\n")}`);
      const { level, status, code, detail } = JSON.parse(lines[0]);
      assert.deepEqual({ level, status, code, detail }, { level: "error", status: 500, code: "internal", detail: expected });
    }
    const logs = worker.logs().map(({ message }) => message).join("\n");
    for (const value of values) assert.ok(!logs.includes(value), `the value ${value} stands in the log`);
    for (const secret of [info.encryption_key, info.secret_key, info.jwt_secret, worker.info.client_secret]) {
      assert.ok(!logs.includes(secret), "a secret stands in the log");
    }
    // What needs no setting is answered as ever.
    (await call(worker, "GET", "/")).expect(200);
    (await call(worker, "GET", "/nowhere")).expect(404, "not_found");
  }

  for (const name of REQUIRED) {
    it(`a missing ${name} is answered 500, and the log says so in the source document's words`, async (t) => {
      await assertRefused(t, { [name]: undefined }, `${name} environment variable is not set`);
    });
  }

  it("an empty or blank ENCRYPTION_KEY counts as missing", async (t) => {
    await assertRefused(t, { ENCRYPTION_KEY: "" }, "ENCRYPTION_KEY environment variable is not set");
    await assertRefused(t, { ENCRYPTION_KEY: " \n" }, "ENCRYPTION_KEY environment variable is not set");
  });

  it("settings without a provider are answered 500", async (t) => {
    const none = { SUPABASE_CLIENT_ID: undefined, SUPABASE_CLIENT_SECRET: undefined };
    await assertRefused(t, none, "SUPABASE_CLIENT_ID environment variable is not set");
  });

  it("half of another provider's settings is answered 500, though the first is complete", async (t) => {
    await assertRefused(t, { GITLAB_CLIENT_SECRET: "planted-secret" }, "GITLAB_CLIENT_ID environment variable is not set", ["planted-secret"]);
  });

  const origin = "an https origin such as https://your-project.supabase.co";
  const key32 = "32 bytes of base64 (openssl rand -base64 32)";
  for (const [name, what, value, expected] of [
    ["APP_URL", "http on another machine", "http://planted.example", origin],
    ["APP_URL", "more than an origin", "https://planted.example/path", origin],
    ["SUPABASE_URL", "without a scheme", "planted.supabase.co", origin],
    ["SUPABASE_URL", "http on another machine", "http://planted.supabase.co", origin],
    ["SUPABASE_URL", "with a password", "https://user:planted@localhost", origin],
    ["SUPABASE_ANON_KEY", "a secret key", "sb_secret_planted", "an anon or publishable key"],
    ["SUPABASE_ANON_KEY", "no key", "planted", "an anon or publishable key"],
    ["SUPABASE_SERVICE_ROLE_KEY", "a publishable key", "sb_publishable_planted", "a service_role or secret key"],
    ["SUPABASE_SERVICE_ROLE_KEY", "no key", "planted.planted.planted", "a service_role or secret key"],
    ["ENCRYPTION_KEY", "no base64", "planted key", key32],
    ["ENCRYPTION_KEY", "16 bytes", randomBytes(16).toString("base64"), key32],
    ["ENCRYPTION_KEY", "hex", randomBytes(32).toString("hex"), key32],
    ["FALLBACK_ENCRYPTION_KEYS", "one of two wrong", `${key()},planted`, key32],
    ["FALLBACK_ENCRYPTION_KEYS", "the primary key again", info.encryption_key, "a list of other keys than ENCRYPTION_KEY, each once"],
    ["SUPABASE_JWT_SECRET", "too short", "planted-too-short", "at least 32 bytes long"],
    ["SUPABASE_BASE_URL", "http on another machine", "http://planted.example", origin],
    ["LEGACY_CREDENTIAL_COOKIES", "neither true nor false", "planted", "true or false"],
    ["REQUEST_LOG", "neither true nor false", "planted", "true or false"],
    ["WEBHOOK_LOOPBACK", "neither true nor false", "planted", "true or false"],
  ]) {
    it(`a malformed ${name} (${what}) is answered 500, and the log names it without its value`, async (t) => {
      await assertRefused(t, { [name]: value }, `${name} environment variable is not ${expected}`, [value]);
    });
  }

  it("exchanged service and anon keys are answered 500, old keys and new ones", async (t) => {
    const expected = "SUPABASE_ANON_KEY environment variable is not an anon or publishable key";
    await assertRefused(t, { SUPABASE_ANON_KEY: info.service_role_key, SUPABASE_SERVICE_ROLE_KEY: info.anon_key }, expected, [info.service_role_key]);
  });

  // Threat model 126.
  it("an APP_URL in capitals and with its default port matches the Origin that browsers send", async (t) => {
    const worker = await startWorker(info, { APP_URL: "HTTP://LocalHost:80/", SUPABASE_URL: info.supabase_url.replace("http://127.0.0.1", "HTTP://127.1") });
    t.after(() => worker.stop());
    const signIn = (origin) => call(worker, "POST", "/api/session", {
      headers: { origin, "sec-fetch-site": "same-origin" },
      body: { email: info.user.email, password: info.user.password },
    });
    const signedIn = (await signIn("http://localhost")).expect(200);
    const cookie = signedIn.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
    const started = await call(worker, "POST", "/api/auth/authorize", {
      headers: { cookie, origin: "http://localhost", "sec-fetch-site": "same-origin" },
      body: { integration_type: "supabase" },
    });
    const { authorization_url } = started.expect(200).json;
    assert.equal(new URL(authorization_url).searchParams.get("redirect_uri"), "http://localhost/api/auth/callback/supabase");
    (await signIn("http://localhost:80")).expect(403);
    (await signIn("http://localhost.example")).expect(403);
  });

  const canonical = "a URL in canonical form (https://login.example/tenant): its host in lower case, without a default port, a query and a fragment";
  for (const [name, value] of [["SUPABASE_JWT_ISSUER", "https://Planted.example/auth/v1"], ["SUPABASE_ISSUER", "https://planted.example:443/"]]) {
    // Threat model 126.
    it(`a ${name} that is not canonical is answered 500, as no token or callback could ever name it`, async (t) => {
      await assertRefused(t, { [name]: value }, `${name} environment variable is not ${canonical}`, [value]);
    });
  }

  it("complete settings, with every optional one and blanks around them, are accepted", async (t) => {
    const worker = await startWorker(info, {
      ENCRYPTION_KEY: ` ${info.encryption_key}\n`,
      FALLBACK_ENCRYPTION_KEYS: ` ${key()} , ${key()},`,
      SUPABASE_URL: `${info.supabase_url}/`,
      LEGACY_CREDENTIAL_COOKIES: "false",
      GITLAB_CLIENT_ID: "id",
      GITLAB_CLIENT_SECRET: "secret",
    });
    t.after(() => worker.stop());
    assert.deepEqual((await call(worker, "GET", "/health")).expect(200).json, { status: "ok" });
    const { providers } = (await call(worker, "GET", "/api/providers")).expect(200).json;
    assert.deepEqual(providers, [
      { integration_type: "supabase", name: "Supabase", auth: "oauth" },
      { integration_type: "gitlab", name: "GitLab", auth: "oauth" },
    ]);
  });
});
