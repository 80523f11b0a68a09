// What each scope of a service key allows, and what it does not (threat model 211 to 214).
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import { document } from "../support/openapi.mjs";
import { connection, expireBackoff, rowOf, tokensOf } from "../support/refresh.mjs";
import { addIntegration, result, scan } from "../support/scans.mjs";
import { operatorsProgram, program, programOf } from "../support/service-keys.mjs";
import { until } from "../support/wait.mjs";

const SCOPES = ["connections:read", "connections:credentials", "connections:write", "connections:import", "connect_sessions:write", "webhooks:manage", "findings:read"];
const LISTED = [
  "id", "organization_id", "integration_type", "name", "status", "created_at", "status_reason", "scan_schedule", "last_checked_at", "next_check_at", "token_expires_at", "external_user_id", "connected_by", "tags",
  "account_id", "granted_scopes", "missing_scopes", "oauth_app_id",
];
const URL_OF_RECEIVER = "https://receiver.example.com/hook";
const APP = { integration_type: "supabase", name: "Ours", client_id: "their-client", client_secret: "secret" };

/** The routes that programs have, with the scope of each. */
const routesOf = (id) => [
  ["connections:read", "get", "/api/integrations"],
  ["connections:read", "get", `/api/integrations/${id}`],
  ["connections:read", "get", `/api/integrations/${id}/events`],
  ["connections:read", "get", "/api/events"],
  ["connections:write", "patch", `/api/integrations/${id}`, { name: "n" }],
  ["connections:write", "post", `/api/integrations/${id}/check`],
  ["connections:write", "post", `/api/integrations/${id}/refresh`],
  ["connections:write", "delete", `/api/integrations/${id}`],
  ["connections:read", "get", "/api/oauth-apps"],
  ["connections:write", "post", "/api/oauth-apps", APP],
  ["connections:write", "patch", `/api/oauth-apps/${id}`, { client_secret: "other" }],
  ["connections:write", "delete", `/api/oauth-apps/${id}`],
  ["findings:read", "get", `/api/integrations/${id}/coverage`],
  ["findings:read", "get", "/api/assessments"],
  ["findings:read", "get", `/api/assessments/${id}`],
  ["findings:read", "get", "/api/findings"],
  ["findings:read", "get", `/api/findings/${id}`],
  ["findings:read", "get", `/api/findings/${id}/events`],
  ["findings:read", "get", "/api/mutes"],
  ["findings:read", "get", `/api/export?integration_id=${id}`],
  ["webhooks:manage", "get", "/api/webhooks"],
  ["webhooks:manage", "post", "/api/webhooks", { url: URL_OF_RECEIVER }],
  ["webhooks:manage", "patch", `/api/webhooks/${id}`, { enabled: false }],
  ["webhooks:manage", "post", `/api/webhooks/${id}/secret`],
  ["webhooks:manage", "get", `/api/webhooks/${id}/deliveries`],
  ["webhooks:manage", "post", `/api/webhooks/${id}/deliveries/${id}/replay`],
  ["webhooks:manage", "delete", `/api/webhooks/${id}`],
];
/** Routes that only users have. */
const ofUsers = (id) => [
  ["get", "/api/session"], ["post", "/api/auth/authorize", { integration_type: "supabase" }], ["post", "/api/integrations", { integration_type: "supabase", fields: {} }],
  ["post", `/api/integrations/${id}/reconnect`], ["post", `/api/integrations/${id}/assessments`], ["get", "/api/service-keys"],
  ["post", "/api/service-keys", { name: "n", scopes: SCOPES }], ["post", "/api/mutes", {}],
];

describe("the scopes of service keys", { concurrency: true }, () => {
  const fixture = oauthFixture();
  const ids = (answer) => answer.expect(200).json.integrations.map(({ id }) => id);
  const trailOf = async (id) =>
    (await fixture.sql`select actor, action, reason, user_id, details from public.credential_events where integration_id = ${id} order by id`).map((row) => ({ ...row }));

  // Threat model 211.
  it("a route answers 403 and names the scope to a key that has every other scope", async () => {
    const { browser, id } = await connection(fixture);
    for (const scope of ["connections:read", "connections:write", "findings:read", "webhooks:manage"]) {
      const { key, ...caller } = await programOf(browser, SCOPES.filter((other) => other !== scope));
      for (const [, method, path, body] of routesOf(id).filter(([needed]) => needed === scope)) {
        const { error } = (await caller[method](path, body)).expect(403, "missing_scope").json;
        assert.ok(error.message.endsWith(` ${scope}`), `${method} ${path}: ${error.message}`);
      }
    }
    assert.equal((await rowOf(fixture, id)).status, "active", "nothing was changed");
  });

  // Threat model 212.
  it("a key that is revoked, expired or of wrong form is answered 401 by every route, and a key never acts as a user", async () => {
    const { browser, id } = await connection(fixture);
    const [revoked, expired, whole] = [await programOf(browser, SCOPES), await programOf(browser, SCOPES), await programOf(browser, SCOPES)];
    (await browser.delete(`/api/service-keys/${revoked.made.id}`)).expect(200);
    await fixture.sql`update private.service_keys set expires_at = now() - interval '1 second' where id = ${expired.made.id}`;
    const malformed = program(fixture.worker, whole.key.slice(0, -1));
    for (const [, method, path, body] of routesOf(id)) {
      for (const caller of [revoked, expired, malformed]) (await caller[method](path, body)).expect(401, "unauthorized");
    }
    for (const [method, path, body] of ofUsers(id)) (await whole[method](path, body)).expect(401, "unauthorized");
    (await whole.get("/api/integrations")).expect(200);
    assert.ok(!JSON.stringify(fixture.worker.logs()).includes(whole.key));
  });

  // Threat model 213.
  it("what belongs to another organization is answered as what does not exist", async () => {
    const { browser, id } = await connection(fixture);
    const stranger = await programOf(await BrowserSession.signedIn(fixture.worker), SCOPES);
    const webhook = (await browser.post("/api/webhooks", { url: URL_OF_RECEIVER })).expect(201).json;
    const app = (await browser.post("/api/oauth-apps", APP)).expect(201).json;
    const integration = await rowOf(fixture, id);
    const run = await scan(fixture.sql, integration, browser.user.id, [result("supabase_ssl_enforced", "fail")]);
    const [finding] = (await browser.get("/api/findings")).expect(200).json.findings;
    const owned = { integrations: id, assessments: run, findings: finding.id, webhooks: webhook.id, "oauth-apps": app.id };
    const unknown = randomUUID();
    const bare = ({ status, text, headers }) => [status, text, headers.get("content-type")];
    for (const [, method, path, body] of routesOf(unknown)) {
      const [, kind] = path.match(/^\/api\/([\w-]+)\//) ?? [];
      const theirs = path.includes("integration_id=") ? path.replace(unknown, id) : kind && path.replace(unknown, owned[kind]);
      if (!theirs) continue;
      const answer = await stranger[method](theirs, body);
      answer.expect(404, "not_found");
      assert.deepEqual(bare(answer), bare(await stranger[method](path, body)), `${method} ${path}`);
    }
    for (const list of ["/api/integrations", "/api/findings", "/api/assessments", "/api/webhooks", "/api/mutes"]) {
      const query = `${list}?organization_id=${browser.user.id}`;
      const [rows] = Object.values((await stranger.get(query)).expect(200).json);
      assert.deepEqual(rows, [], list);
    }
    (await stranger.post("/api/webhooks", { url: URL_OF_RECEIVER, organization_id: browser.user.id })).expect(404, "not_found");
    assert.deepEqual((await rowOf(fixture, id)).config, integration.config);
    assert.equal((await browser.get("/api/webhooks")).expect(200).json.webhooks.length, 1);
  });

  it("connections:read lists, shows, and reads the trail", async () => {
    const { browser, id } = await connection(fixture);
    const caller = await programOf(browser, "connections:read");
    const { integrations, next_cursor } = (await caller.get("/api/integrations")).expect(200).json;
    assert.deepEqual([integrations.map((row) => row.id), next_cursor], [[id], null]);
    assert.deepEqual(Object.keys(integrations[0]).sort(), [...LISTED].sort());
    assert.equal(integrations[0].organization_id, browser.user.id);
    const shown = (await browser.get(`/api/integrations/${id}`)).expect(200);
    assert.equal((await caller.get(`/api/integrations/${id}`)).expect(200).text, shown.text);
    const { events } = (await caller.get(`/api/integrations/${id}/events`)).expect(200).json;
    assert.deepEqual(events, (await browser.get(`/api/integrations/${id}/events`)).expect(200).json.events);
    const { access_token, refresh_token } = await tokensOf(fixture, id);
    for (const secret of [access_token, refresh_token]) assert.ok(!JSON.stringify([integrations, shown, events]).includes(secret));
    for (const wrong of ["offset=1", "status=ended", "integration_type=a.b", "cursor=x", "limit=0", "limit=201", "organization_id=x", "select=config"]) {
      (await caller.get(`/api/integrations?${wrong}`)).expect(400, "invalid_request");
    }
  });

  it("the list goes over all organizations for an operator's key, page by page, and filters", async () => {
    const owners = [randomUUID(), randomUUID()];
    const type = `listed_${randomUUID().slice(0, 8)}`;
    const made = [];
    for (let i = 0; i < 5; i++) {
      // Two have the same moment, as rows of one transaction have.
      const created_at = new Date(Date.UTC(2026, 0, 1 + Math.floor(i / 2)));
      made.push(await addIntegration(fixture.sql, owners[i % 2], { integration_type: type, created_at, ...(i === 4 && { status: "revoked", status_reason: "token_revoked" }) }));
    }
    const caller = await operatorsProgram(fixture.sql, fixture.worker, "connections:read");
    const list = (query) => caller.get(`/api/integrations?integration_type=${type}&${query}`);
    const seen = [];
    let cursor;
    do {
      const page = (await list(`limit=2${cursor ? `&cursor=${cursor}` : ""}`)).expect(200).json;
      assert.ok(page.integrations.length <= 2);
      seen.push(...page.integrations.map(({ id }) => id));
      cursor = page.next_cursor;
    } while (cursor);
    const newest = made.toSorted((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1)).map(({ id }) => id);
    assert.deepEqual(seen, newest);
    assert.deepEqual(new Set(ids(await list(`organization_id=${owners[0]}`))), new Set([made[0].id, made[2].id, made[4].id]));
    assert.deepEqual(ids(await list("status=revoked")), [made[4].id]);
    assert.deepEqual(ids(await list("status=degraded")), []);
    const external_user_id = "a user, of (theirs) & é";
    await fixture.sql`update public.integrations set external_user_id = ${external_user_id} where id = ${made[3].id}`;
    assert.deepEqual(ids(await list(new URLSearchParams({ external_user_id }))), [made[3].id]);
    const tag = `a "tag", {of} \\ & é`;
    await fixture.sql`update public.integrations set tags = ${["other", tag]} where id = any (${[made[0].id, made[3].id]})`;
    assert.deepEqual(ids(await list(new URLSearchParams({ tag }))), [made[3].id, made[0].id]);
    assert.deepEqual(ids(await list(new URLSearchParams({ tag, organization_id: owners[0] }))), [made[0].id]);
    assert.deepEqual(ids(await list("tag=a")), []);
    (await caller.get(`/api/integrations/${made[1].id}`)).expect(200);
  });

  // Threat model 221.
  it("events are exported line by line, of one organization or of all, and a cursor continues after its line", async () => {
    const { browser, id } = await connection(fixture);
    const [own, all] = [await programOf(browser, "connections:read"), await operatorsProgram(fixture.sql, fixture.worker, "connections:read")];
    const lines = (answer) => answer.expect(200).text.split("\n").slice(0, -1).map((line) => JSON.parse(line));
    const read = async (caller, query, seen = []) => {
      for (let cursor; ; cursor = seen.at(-1).cursor) {
        const page = lines(await caller.get(`/api/events?limit=2&${query}${cursor ? `&cursor=${cursor}` : ""}`));
        seen.push(...page);
        if (page.length === 0) return seen;
      }
    };
    (await browser.patch(`/api/integrations/${id}`, { name: `exported ${randomUUID()}` })).expect(200);
    // An event waits while any older transaction of the cluster is still running.
    await until("the events are exported", async () => (await read(own, "")).some(({ action }) => action === "renamed"));
    const answer = await own.get("/api/events?limit=1");
    assert.equal(answer.headers.get("content-type"), "application/x-ndjson");
    assert.deepEqual(Object.keys(lines(answer)[0]).sort(), [...document.components.schemas.ExportedEvent.required].sort());
    const events = await read(own, "");
    assert.deepEqual(events.map(({ action, organization_id }) => [action, organization_id]).filter(([action]) => action !== "opened"), [
      ["connected", browser.user.id], ["renamed", browser.user.id],
    ]);
    for (const [caller, query] of [[browser, ""], [all, `organization_id=${browser.user.id}`]]) assert.deepEqual(await read(caller, query), events);
    assert.deepEqual(await read(own, `organization_id=${randomUUID()}`), []);
    const page = lines(await all.get(`/api/events?limit=200&cursor=${events[0].cursor.split(".")[0]}.0`));
    assert.ok(page.some((line) => line.id === events[0].id), "and of all organizations");
    for (const wrong of ["cursor=1", "cursor=1.-1", "cursor=x.1", "limit=201", "organization_id=x", "offset=1"]) {
      (await own.get(`/api/events?${wrong}`)).expect(400, "invalid_request");
    }
    (await own.get("/api/events?cursor=18446744073709551615.0")).expect(400, "cursor_unknown");
  });

  // Threat model 214.
  it("connections:write renames, checks, refreshes and disconnects, and each event names the key", async () => {
    const { browser, id } = await connection(fixture);
    const caller = await programOf(browser, "connections:write");
    const name = `renamed ${randomUUID()}`;
    assert.equal((await caller.patch(`/api/integrations/${id}`, { name, scan_schedule: "0 6 * * *" })).expect(200).json.name, name);
    assert.deepEqual((await caller.patch(`/api/integrations/${id}`, { tags: ["gold", "eu"] })).expect(200).json.tags, ["eu", "gold"]);
    (await caller.patch(`/api/integrations/${id}`, { tags: [""] })).expect(400, "invalid_request");
    assert.equal((await caller.post(`/api/integrations/${id}/check`)).expect(200).json.status, "active");
    const before = await tokensOf(fixture, id);
    await expireBackoff(fixture, id);
    assert.equal((await caller.post(`/api/integrations/${id}/refresh`)).expect(200).json.refreshed, true);
    assert.notEqual((await tokensOf(fixture, id)).access_token, before.access_token);
    const already = (await trailOf(id)).length;
    assert.deepEqual((await caller.delete(`/api/integrations/${id}`)).expect(200).json.revoked, true);
    const trail = await trailOf(id);
    const named = { actor: "service_key", user_id: null, details: { service_key: caller.made.id, name: caller.made.name } };
    const byKey = trail.filter(({ actor }) => actor === "service_key");
    assert.deepEqual(byKey.map(({ action, reason }) => [action, reason]), [
      ["renamed", null], ["rescheduled", null], ["tagged", null], ["opened", "check"], ["checked", null], ["opened", "refresh"], ["refreshed", null], ["opened", "disconnect"], ["disconnected", null],
    ]);
    for (const event of byKey) assert.partialDeepStrictEqual(event, named);
    assert.ok(trail.slice(already).some(({ action }) => action === "revoked"));
    (await caller.get("/api/integrations")).expect(403, "missing_scope");
  });

  it("findings:read reads coverage, runs, findings, their history, mutes and exports", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const integration = await addIntegration(fixture.sql, browser.user.id);
    const run = await scan(fixture.sql, integration, browser.user.id, [result("supabase_ssl_enforced", "fail"), result("supabase_auth_email_confirmed", "pass")]);
    const caller = await programOf(browser, "findings:read");
    const [finding] = (await browser.get("/api/findings")).expect(200).json.findings;
    (await browser.post("/api/mutes", { check_id: finding.check_id, reason: "wont_fix", note: "noted", expires_at: new Date(Date.now() + 86_400_000).toISOString() })).expect(201);
    for (const path of [
      `/api/integrations/${integration.id}/coverage`, "/api/assessments", `/api/assessments/${run}`, "/api/findings", `/api/findings/${finding.id}`,
      `/api/findings/${finding.id}/events`, "/api/mutes",
    ]) {
      assert.equal((await caller.get(path)).expect(200).text, (await browser.get(path)).expect(200).text, path);
    }
    for (const format of ["json", "csv", "sarif", "ocsf"]) {
      assert.ok((await caller.get(`/api/export?format=${format}`)).expect(200).text.includes("supabase_ssl_enforced"), format);
    }
    const operator = await operatorsProgram(fixture.sql, fixture.worker, "findings:read");
    (await operator.get("/api/export")).expect(400, "invalid_request");
    (await operator.get(`/api/export?organization_id=${browser.user.id}`)).expect(200);
    assert.deepEqual((await operator.get(`/api/findings?integration_id=${integration.id}`)).expect(200).json.findings.map(({ id }) => id), [finding.id]);
  });

  it("webhooks:manage adds, changes, lists, rotates, replays and deletes webhooks", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const caller = await programOf(browser, "webhooks:manage");
    const made = (await caller.post("/api/webhooks", { url: URL_OF_RECEIVER })).expect(201).json;
    assert.equal(made.organization_id, browser.user.id);
    const path = `/api/webhooks/${made.id}`;
    assert.deepEqual((await caller.get("/api/webhooks")).expect(200).json, (await browser.get("/api/webhooks")).expect(200).json);
    assert.deepEqual((await caller.patch(path, { events: ["connection.deleted"] })).expect(200).json.events, ["connection.deleted"]);
    assert.notEqual((await caller.post(`${path}/secret`)).expect(200).json.secret, made.secret);
    await addIntegration(fixture.sql, browser.user.id).then(({ id }) => fixture.sql`delete from public.integrations where id = ${id}`);
    const { deliveries: [delivery] } = (await caller.get(`${path}/deliveries`)).expect(200).json;
    assert.equal(delivery.type, "connection.deleted");
    (await caller.post(`${path}/deliveries/${delivery.event_id}/replay`)).expect(202);
    (await caller.delete(path)).expect(200);
    (await caller.delete(path)).expect(404, "not_found");
    const operator = await operatorsProgram(fixture.sql, fixture.worker, "webhooks:manage");
    (await operator.post("/api/webhooks", { url: URL_OF_RECEIVER })).expect(400, "invalid_request");
    const theirs = (await operator.post("/api/webhooks", { url: URL_OF_RECEIVER, organization_id: browser.user.id })).expect(201).json;
    assert.ok((await operator.get("/api/webhooks")).expect(200).json.webhooks.some(({ id }) => id === theirs.id));
  });
});
