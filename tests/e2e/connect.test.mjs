// The main job: an account is connected, its credentials rest sealed, and nobody is ever shown one.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { projectsOf } from "../stack/projects.mjs";
import { authorize } from "../support/authorization.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { isAlive, takesAccessToken } from "../support/grants.mjs";
import { eventsOf, integrationsOf, opened, SEALED } from "../support/integrations.mjs";
import { startProxy } from "../support/proxy.mjs";
import { createOrganization, signUp } from "../support/users.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";
import { startWorker } from "../support/worker.mjs";

const HOUR_MS = 3_600_000;
const LIST_KEYS = ["created_at", "id", "integration_type", "name", "status"];
const LEGACY_COOKIES = ["integration", "access_token", "refresh_token", "kid"].map((name) => `__Host-supabase-${name}`);

describe("connect", { concurrency: true }, () => {
  const fixture = workerFixture();
  const { info } = fixture;
  let sql, worker;
  before(() => void ({ sql, worker } = fixture));

  it("a user signs in, connects, sees the integration, and disconnects", async () => {
    const user = await signUp(worker.info);
    const { email, password } = user;
    const browser = new BrowserSession(worker);
    const login = `Zoë & Söhne <b> ${randomUUID()}`;
    const [project] = projectsOf(login);

    const session = (await browser.post("/api/session", { email, password })).expect(200);
    assert.deepEqual(session.json.user, { id: user.id, email });
    const authorizationUrl = await browser.begin();
    const callback = await authorize(authorizationUrl, { login });
    const connected = (await browser.get(callback)).expect(303);

    const rows = await integrationsOf(sql, user.id);
    assert.equal(rows.length, 1);
    const [row] = rows;
    assert.equal(connected.location, `/?connected=${row.id}`);
    const { integration_type, name, status, external_account_id } = row;
    assert.deepEqual(
      { integration_type, name, status, external_account_id },
      { integration_type: "supabase", name: login, status: "active", external_account_id: project.ref },
    );
    assertSealed(row.config, project);

    const grant = await opened(info, row);
    assert.equal(await takesAccessToken(info, grant.access_token), true);

    const list = (await browser.get("/api/integrations")).expect(200);
    const { id, created_at } = row;
    assert.deepEqual(Object.keys(list.json).sort(), ["count", "integrations"]);
    assert.equal(list.json.count, 1);
    const [shown, ...others] = list.json.integrations;
    assert.deepEqual(others, []);
    assert.deepEqual(Object.keys(shown).sort(), LIST_KEYS);
    assert.deepEqual({ ...shown, created_at: new Date(shown.created_at) }, { id, integration_type, name, status, created_at });

    const deleted = (await browser.delete(`/api/integrations/${id}`)).expect(200);
    assert.deepEqual(deleted.json, { success: true, message: "Integration deleted successfully", revoked: true });
    assert.deepEqual(await integrationsOf(sql, user.id), []);
    assert.equal(await isAlive(worker.info, grant), false);
    assert.deepEqual((await browser.get("/api/integrations")).json, { integrations: [], count: 0 });
    (await browser.delete(`/api/integrations/${id}`)).expect(404, "not_found");

    const about = { user_id: user.id, organization_id: user.id, integration_id: id, integration_type, external_account_id };
    assertTrail(await eventsOf(sql, user.id), [
      { ...about, action: "connected", outcome: "succeeded" },
      { ...about, action: "disconnected", outcome: "succeeded" },
    ]);
    const said = [session, connected, list, deleted].map(({ all }) => all).join("\n") + JSON.stringify(worker.logs());
    for (const [kind, token] of Object.entries(grant).filter(([kind]) => kind.endsWith("_token"))) {
      assert.ok(!said.includes(token), `the ${kind} must stand in no answer and no log line`);
      assert.ok(!JSON.stringify(row).includes(token), `the ${kind} must not stand in the row in the clear`);
    }
  });

  it("connecting the same account again renews its row", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const { user } = browser;
    const login = `again-${randomUUID()}`;
    const first = await browser.connect(login);
    const [before] = await integrationsOf(sql, user.id);
    // As after a rename at the provider and a failed check of the scanner's.
    await sql`update public.integrations set name = 'Old name', status = 'error', scan_schedule = 'daily' where id = ${first}`;

    assert.equal(await browser.connect(login), first);
    const rows = await integrationsOf(sql, user.id);
    assert.equal(rows.length, 1);
    const { id, created_at, name, status, scan_schedule } = rows[0];
    assert.deepEqual(
      { id, created_at, name, status, scan_schedule },
      { id: first, created_at: before.created_at, name: login, status: "active", scan_schedule: "daily" },
    );
    const [old, renewed] = [await opened(info, before), await opened(info, rows[0])];
    assert.notEqual(renewed.access_token, old.access_token);
    assert.notEqual(renewed.refresh_token, old.refresh_token);
    assert.equal(await isAlive(worker.info, renewed), true);
    assert.deepEqual((await eventsOf(sql, user.id)).map(({ action }) => action), ["connected", "reconnected"]);
  });

  it("two accounts are two integrations, the newest first", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const older = await browser.connect(`one-${randomUUID()}`);
    const newer = await browser.connect(`other-${randomUUID()}`);
    const { integrations, count } = (await browser.get("/api/integrations")).expect(200).json;
    assert.deepEqual({ count, ids: integrations.map(({ id }) => id) }, { count: 2, ids: [newer, older] });
  });

  it("an account is connected for an organization by its member, and every member sees it", async () => {
    const [member, colleague, stranger] = await Promise.all([1, 2, 3].map(() => BrowserSession.signedUp(worker)));
    const organization_id = await createOrganization(sql, [member.user, colleague.user]);
    const login = `organisation-${randomUUID()}`;
    const path = `/api/integrations?organization_id=${organization_id}`;

    const id = await member.connect(login, { organization_id });
    const [row] = await integrationsOf(sql, organization_id);
    assert.equal(row.id, id);
    assert.equal(await takesAccessToken(info, (await opened(info, row)).access_token), true);
    assert.deepEqual((await member.get("/api/integrations")).json, { integrations: [], count: 0 });
    for (const visitor of [member, colleague]) {
      const { integrations, count } = (await visitor.get(path)).expect(200).json;
      assert.deepEqual({ count, ids: integrations.map((shown) => shown.id) }, { count: 1, ids: [id] });
    }

    // The same account for oneself is another row.
    assert.notEqual(await member.connect(login), id);
    assert.equal((await integrationsOf(sql, member.user.id)).length, 1);

    assert.deepEqual((await stranger.get(path)).expect(200).json, { integrations: [], count: 0 });
    (await stranger.delete(`/api/integrations/${id}`)).expect(404, "not_found");
    const refused = await stranger.post("/api/auth/authorize", { integration_type: "supabase", organization_id });
    refused.expect(403, "not_a_member");

    (await colleague.delete(`/api/integrations/${id}`)).expect(200);
    assert.deepEqual(await integrationsOf(sql, organization_id), []);
    assert.deepEqual(
      (await eventsOf(sql, organization_id)).map(({ action, user_id }) => [action, user_id]),
      [["connected", member.user.id], ["disconnected", colleague.user.id]],
    );
  });

  for (const [kind, anon, service] of [
    ["old JWT keys", "anon_key", "service_role_key"],
    ["sb_ keys", "publishable_key", "secret_key"],
  ]) {
    it(`the whole flow works with ${kind} through the gateway, each sent where it belongs`, async (t) => {
      const gateway = await startProxy(info.supabase_url);
      t.after(() => gateway.stop());
      const keys = { SUPABASE_ANON_KEY: info[anon], SUPABASE_SERVICE_ROLE_KEY: info[service] };
      const own = await startWorker({ ...info, supabase_url: gateway.url }, keys);
      t.after(() => own.stop());

      const browser = await BrowserSession.signedUp(own);
      gateway.requests.length = 0;
      const id = await browser.connect(`keys-${randomUUID()}`);
      assert.equal((await browser.get("/api/integrations")).expect(200).json.count, 1);
      (await browser.delete(`/api/integrations/${id}`)).expect(200);

      const calls = gateway.requests.filter(({ path }) => path.startsWith("/rest/v1/rpc/"));
      const names = [
        "admit_write", "data_keys", "add_data_keys", "begin_connection", "consume_transaction", "data_keys", "add_pending_connection",
        "complete_connection", "admit_write", "disconnect_integration", "data_keys", "settle_revocation",
      ];
      assert.deepEqual(calls.map(({ path }) => path.replace("/rest/v1/rpc/", "")), names);
      const bearer = service === "service_role_key" ? `Bearer ${info[service]}` : undefined;
      for (const { headers } of calls) {
        assert.deepEqual({ apikey: headers.apikey, authorization: headers.authorization }, { apikey: info[service], authorization: bearer });
      }
      const [list] = gateway.requests.filter(({ path }) => path.startsWith("/rest/v1/integrations"));
      const { apikey, authorization } = list.headers;
      assert.deepEqual({ apikey, authorization }, { apikey: info[anon], authorization: `Bearer ${browser.user.access_token}` });
    });
  }

  it("without LEGACY_CREDENTIAL_COOKIES no credential is in any cookie", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const answer = (await browser.get(await browser.consent(`cookies-${randomUUID()}`))).expect(303);
    const cookies = answer.headers.getSetCookie();
    assert.equal(cookies.length, 1, cookies.join("\n"));
    assert.match(cookies[0], /^__Host-flow-[0-9a-f]{16}=; .*Max-Age=0/);
  });

  it("with LEGACY_CREDENTIAL_COOKIES the sealed credentials are HttpOnly cookies that open with the key alone", async (t) => {
    const own = await startWorker(info, { LEGACY_CREDENTIAL_COOKIES: "true" });
    t.after(() => own.stop());
    const browser = await BrowserSession.signedUp(own);

    const direct = (await browser.get(await browser.consent(`cookies-${randomUUID()}`))).expect(303);
    const [row] = await integrationsOf(sql, browser.user.id);
    await assertLegacyCookies(direct, row);

    const { location } = (await browser.get(await browser.consent(`two-${randomUUID()}`))).expect(303);
    const choice = `/api/connections/${new URL(location, own.url).searchParams.get("choose")}`;
    const [account] = (await browser.get(choice)).expect(200).json.accounts;
    const chosen = (await browser.post(choice, { account_id: account.id })).expect(200);
    await assertLegacyCookies(chosen, (await integrationsOf(sql, browser.user.id))[1]);
  });

  async function assertLegacyCookies(answer, row) {
    const lines = answer.headers.getSetCookie().filter((line) => line.startsWith("__Host-supabase-"));
    assert.deepEqual(lines.map((line) => line.split("=")[0]).sort(), [...LEGACY_COOKIES].sort());
    for (const line of lines) assert.match(line, /; Path=\/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax$/);
    const [place, access_token, refresh_token, kid] = LEGACY_COOKIES.map((name) => {
      const line = lines.find((candidate) => candidate.startsWith(`${name}=`));
      return line.slice(name.length + 1, line.indexOf(";"));
    });
    const { organization_id, id, config } = row;
    assert.equal(place, `${organization_id}.${id}`);
    assert.deepEqual({ access_token, refresh_token, kid }, { access_token: config.access_token, refresh_token: config.refresh_token, kid: config._enc.kid });
    const fromCookies = { organization_id, id, config: { access_token, refresh_token, _enc: { v: 3, kid } } };
    const { access_token: token, refresh_token: refresh } = await opened(info, fromCookies);
    assert.deepEqual({ token, refresh }, { token: (await opened(info, row)).access_token, refresh: (await opened(info, row)).refresh_token });
    assert.ok(!answer.all.includes(token) && !answer.all.includes(refresh), "no credential may stand in the clear");
  }
});

/** The config as the source document shows it: secrets sealed, the rest in plain text. */
function assertSealed(config, project) {
  assert.deepEqual(Object.keys(config).sort(), ["_enc", "access_token", "expires_at", "project_id", "project_name", "refresh_token"]);
  assert.match(config.access_token, SEALED);
  assert.match(config.refresh_token, SEALED);
  assert.deepEqual(Object.keys(config._enc).sort(), ["kid", "v"]);
  assert.equal(config.project_id, project.ref);
  assert.equal(config.project_name, project.name);
  assert.match(config.expires_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  // The authorization server's access tokens live an hour.
  const left = Date.parse(config.expires_at) - Date.now();
  assert.ok(left > HOUR_MS - 60_000 && left <= HOUR_MS, `expires_at ${config.expires_at} is ${left} ms away`);
}

function assertTrail(events, expected) {
  assert.equal(events.length, expected.length);
  assert.partialDeepStrictEqual(events, expected);
  for (const { request_id } of events) assert.match(request_id, /^[0-9a-f]{16}$/);
}
