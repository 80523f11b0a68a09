// What is asked of Supabase, and what is answered of it: by ids that are ids, of one organisation, and never a config.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { bearer, call, ofPage } from "../support/caller.mjs";
import { integrationsOf } from "../support/integrations.mjs";
import { startProxy } from "../support/proxy.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";
import { startWorker } from "../support/worker.mjs";

const LIST = "/api/integrations";
const PAGE = 1000;
const UUID = "0b5f8a86-5d0c-4c8e-9d39-6b1d8f0f2f11";
/** What an id must not be. */
const WRONG_IDS = [
  "x&organization_id=neq.0", "1,or(id.neq.0)", "1,or(...)", "x", "0", "*", "eq.1", `${UUID},${UUID}`, `${UUID}&select=config`,
  `{${UUID}}`, `urn:uuid:${UUID}`, UUID.replaceAll("-", ""), `${UUID} `, ` ${UUID}`, `${UUID.slice(0, -1)}g`, `${UUID}0`,
  "..", "null", "true", "%", "%00", "'; drop table integrations; --", "x".repeat(10_000), "é".repeat(36),
];

describe("lists and ids", { concurrency: true }, () => {
  const fixture = workerFixture({ gateway: true });
  const { info } = fixture;
  let sql, gateway, worker;
  before(() => void ({ sql, gateway, worker } = fixture));

  // Threat model 24.
  it("an invalid id is answered 400 before any upstream request, wherever an id is taken", async (t) => {
    // A worker of its own that has fetched nothing yet: not even the public keys may be asked for.
    const silent = await startProxy(info.supabase_url);
    t.after(() => silent.stop());
    const own = await startWorker({ ...info, supabase_url: silent.url });
    t.after(() => own.stop());
    const headers = ofPage(own, "__Host-session=whoever");
    const inPath = (id) => encodeURIComponent(id).replaceAll(".", "%2e");
    const ways = {
      "DELETE /api/integrations/:id": (id) => call(own, "DELETE", `${LIST}/${inPath(id)}`, { headers }),
      "GET /api/integrations/:id": (id) => call(own, "GET", `${LIST}/${inPath(id)}`, { headers }),
      "PATCH /api/integrations/:id": (id) => call(own, "PATCH", `${LIST}/${inPath(id)}`, { headers, body: '{"name":"x"}' }),
      "POST /api/integrations/:id/reconnect": (id) => call(own, "POST", `${LIST}/${inPath(id)}/reconnect`, { headers, body: "{}" }),
      "GET /api/integrations/:id/events": (id) => call(own, "GET", `${LIST}/${inPath(id)}/events`, { headers }),
      "GET /api/connections/:id": (id) => call(own, "GET", `/api/connections/${inPath(id)}`, { headers }),
      "POST /api/connections/:id": (id) => call(own, "POST", `/api/connections/${inPath(id)}`, { headers, body: '{"account_id":"x"}' }),
      "DELETE /api/connections/:id": (id) => call(own, "DELETE", `/api/connections/${inPath(id)}`, { headers }),
      "GET /api/integrations?organization_id=": (id) => call(own, "GET", `${LIST}?organization_id=${encodeURIComponent(id)}`, { headers }),
    };
    for (const [way, send] of Object.entries(ways)) {
      for (const id of WRONG_IDS) {
        // The client itself takes a segment of two dots away.
        if (id === ".." && way.includes("/:id")) continue;
        const answer = await send(id);
        assert.equal(answer.status, 400, `${way} with ${id.slice(0, 40)}: ${answer.status} ${answer.text}`);
        assert.ok(!answer.text.includes(id.slice(0, 40)) || id.length < 5, `${way}: the answer may not repeat the id`);
      }
    }
    assert.deepEqual(silent.requests, [], "Supabase may not hear of any of them");
  });

  // Threat model 24.
  it("an invalid organization_id is answered 400 at the start of a connection, before anything is stored", async () => {
    const browser = await BrowserSession.signedUp(worker);
    for (const organization_id of WRONG_IDS) {
      (await browser.post("/api/auth/authorize", { integration_type: "supabase", organization_id })).expect(400, "invalid_request");
    }
    assert.equal(gateway.count(({ path, body }) => /^\/rest\/v1\/rpc\/(?!admit_write)/.test(path) && body.includes(browser.user.id)), 0);
  });

  // Threat model 25.
  it("the list's keys are exactly the documented ones, also where a row holds more", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const id = await browser.connect(`list-${randomUUID()}`);
    await sql`update public.integrations set scan_schedule = 'daily', last_checked_at = now(), next_check_at = now() where id = ${id}`;
    const { text, json } = (await browser.get(LIST)).expect(200);
    assert.deepEqual(Object.keys(json), ["integrations", "count"]);
    assert.deepEqual(Object.keys(json.integrations[0]).sort(), ["created_at", "id", "integration_type", "name", "status"]);
    const [{ config }] = await integrationsOf(sql, browser.user.id);
    for (const value of [config.access_token, config.refresh_token, config.project_id, config._enc.kid]) {
      assert.ok(!text.includes(value), "nothing of the config may be in the list");
    }
  });

  // Threat model 25.
  it("no upstream `select` names config, and no upstream request lacks its filter", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const { id: user, email, password } = browser.user;
    (await browser.post("/api/session", { email, password })).expect(200);
    (await browser.get("/api/session")).expect(200);
    const id = await browser.connect(`asked-${randomUUID()}`);
    (await browser.get(await browser.decline(`asked-${randomUUID()}`))).expect(400, "declined");
    const { location } = (await browser.get(await browser.consent(`two-${randomUUID()}`))).expect(303);
    const choice = `/api/connections/${new URL(location, worker.url).searchParams.get("choose")}`;
    (await browser.get(choice)).expect(200);
    (await browser.delete(choice)).expect(200);
    (await browser.get(LIST)).expect(200);
    (await browser.get(`${LIST}?organization_id=${user}&offset=1`)).expect(200);
    (await browser.delete(`${LIST}/${id}`)).expect(200);
    (await browser.post("/api/session", { refresh: true })).expect(200);
    (await browser.delete("/api/session")).expect(200);

    const rest = gateway.requests.filter(({ path }) => path.startsWith("/rest/v1/"));
    const tables = rest.filter(({ path }) => !path.startsWith("/rest/v1/rpc/"));
    assert.ok(tables.length > 0 && rest.length > tables.length, "the worker has asked");
    for (const { method, path, headers } of tables) {
      const { pathname, searchParams } = new URL(path, gateway.url);
      const columns = { "/rest/v1/integrations": "id,integration_type,name,status,created_at", "/rest/v1/organization_members": "organization_id,role" };
      const filters = { "/rest/v1/integrations": "organization_id", "/rest/v1/organization_members": "user_id" };
      assert.equal(method, "GET", path);
      assert.equal(searchParams.get("select"), columns[pathname], path);
      assert.match(searchParams.get(filters[pathname]) ?? "", /^eq\.[0-9a-f-]{36}$/, path);
      assert.ok(Number(searchParams.get("limit")) <= PAGE, path);
      assert.ok(!path.includes("config"), path);
      // With the user's own token: row level security decides.
      assert.match(headers.authorization, /^Bearer eyJ/, path);
      assert.notEqual(headers.authorization, `Bearer ${info.service_role_key}`, path);
    }
    for (const { method, path, body } of rest.filter((request) => !tables.includes(request))) {
      assert.equal(method, "POST", path);
      assert.match(path, /^\/rest\/v1\/rpc\/[a-z_]+$/);
      // Before a password is right there is no user.
      if (/\/(admit_sign_in|admit_renewal|forgive_sign_ins)$/.test(path)) continue;
      const { p_user_id, p_owner, ...keys } = JSON.parse(body);
      // Of one organization; the other tests of this file ask at this gateway too.
      const ids = path.endsWith("/data_keys") ? keys.p_organization_ids : keys.p_data_keys?.map(({ organization_id }) => organization_id);
      if (ids) {
        assert.match(ids.join(), /^[0-9a-f-]{36}$/, path);
        continue;
      }
      // The lease of a revocation is whoever's who has its random owner.
      const caller = path.endsWith("/settle_revocation") ? p_owner : p_user_id;
      assert.match(caller, /^[0-9a-f-]{36}$/, `${path} names the user`);
    }
  });

  // Threat model 25.
  it("a list of more rows than a page is read page by page, each row once", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const rows = Array.from({ length: PAGE + 5 }, (_, index) => ({
      organization_id: browser.user.id, integration_type: "supabase", name: `Row ${index}`, external_account_id: `row-${index}`,
    }));
    await sql`insert into public.integrations ${sql(rows)}`;
    const first = (await browser.get(LIST)).expect(200).json;
    const second = (await browser.get(`${LIST}?offset=${first.integrations.length}`)).expect(200).json;
    assert.deepEqual([first.integrations.length, first.count, second.integrations.length, second.count], [PAGE, PAGE + 5, 5, PAGE + 5]);
    const ids = [...first.integrations, ...second.integrations].map(({ id }) => id);
    assert.equal(new Set(ids).size, PAGE + 5);
  });

  // Threat model 25.
  it("beyond the last row the list is empty and the count is right: rows may have gone meanwhile", async () => {
    const browser = await BrowserSession.signedUp(worker);
    await browser.connect(`beyond-${randomUUID()}`);
    assert.deepEqual((await browser.get(`${LIST}?offset=1`)).expect(200).json, { integrations: [], count: 1 });
    assert.deepEqual((await browser.get(`${LIST}?offset=50`)).expect(200).json, { integrations: [], count: 1 });
  });

  // Threat model 25.
  it("an answer that comes in pieces is read to its end, whatever its length, and one that is cut short is rejected", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const ofUser = ({ path }) => path.startsWith("/rest/v1/integrations") && path.includes(browser.user.id);
    const row = { id: randomUUID(), integration_type: "supabase", name: "ж".repeat(100), status: "active", created_at: "2026-11-27T00:00:00Z" };
    const rows = (length) => `[${" ".repeat(length - 2 - Buffer.byteLength(JSON.stringify(row)))}${JSON.stringify(row)}]`;
    const inPieces = (body, pieces, headers) => async ({ response, delay }) => {
      response.writeHead(200, { "content-type": "application/json", "content-range": "0-0/1", ...headers });
      for (let i = 0; i < pieces; i++) {
        response.write(body.subarray(Math.floor((body.length * i) / pieces), Math.floor((body.length * (i + 1)) / pieces)));
        await delay(5);
      }
    };
    for (const length of [400, 8191, 8192, 8193, 16_384, 65_537, 200_000]) {
      const body = Buffer.from(rows(length));
      assert.equal(body.length, length);
      for (const headers of [{}, { "content-length": length }]) {
        const restore = gateway.fault(ofUser, async (given) => {
          await inPieces(body, 4, headers)(given);
          given.response.end();
        });
        assert.equal((await browser.get(LIST)).expect(200).text, `{"integrations":${body},"count":1}`);
        restore();
      }
    }
    const restore = gateway.fault(ofUser, async (given) => {
      await inPieces(Buffer.from(rows(1000)), 2, { "content-length": 1001 })(given);
      given.response.destroy();
    });
    (await browser.get(LIST)).expect(503, "upstream_unavailable");
    restore();
  });

  it("a name with quotes, angle brackets and other scripts comes through the list as it is", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const login = `"><script>alert(1)</script>' ☃ ${randomUUID()}`.slice(0, 64);
    await browser.connect(login);
    const list = await call(worker, "GET", LIST, { headers: bearer(browser.user.access_token) });
    assert.equal(list.expect(200).json.integrations[0].name, login);
    assert.equal(list.headers.get("content-type"), "application/json");
  });
});
