// One integration among several of its type: looked at, told apart by name, renamed.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { projectsOf } from "../stack/projects.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { bearer, call, cookiesOf, ofPage } from "../support/caller.mjs";
import { answer } from "../support/faults.mjs";
import { integrationsOf } from "../support/integrations.mjs";
import { createOrganization } from "../support/users.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const KEYS = [
  "id", "integration_type", "name", "status", "created_at", "status_reason", "scan_schedule", "last_checked_at", "next_check_at",
  "token_expires_at", "external_user_id", "organization_id", "account_id", "granted_scopes", "oauth_app_id", "missing_scopes", "connected_by", "tags",
];
const of = (id) => `/api/integrations/${id}`;

describe("one integration of several", { concurrency: true }, () => {
  const fixture = workerFixture({ gateway: true });
  let sql, gateway, worker;
  before(() => void ({ sql, gateway, worker } = fixture));

  const nameOf = async (id) => (await sql`select name from public.integrations where id = ${id}`)[0].name;
  /** Connects the first of the two projects of a login, all of which are called the same. */
  async function connectFirst(browser, login) {
    const { location } = (await browser.get(await browser.consent(login))).expect(303);
    const id = new URL(location, worker.url).searchParams.get("choose");
    const [{ ref }] = projectsOf(login);
    return { ref, id: (await browser.post(`/api/connections/${id}`, { account_id: ref })).expect(200).json.id };
  }

  it("an integration is shown with its documented keys and nothing of its credentials", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const login = `shown-${randomUUID()}`;
    const id = await browser.connect(login);
    const shown = (await browser.get(of(id))).expect(200);
    assert.deepEqual(Object.keys(shown.json), KEYS);
    const [row] = await integrationsOf(sql, browser.user.id);
    assert.partialDeepStrictEqual(shown.json, { id, integration_type: "supabase", name: login, status: "active", scan_schedule: null });
    assert.equal(Date.parse(shown.json.token_expires_at), Date.parse(row.config.expires_at));
    assert.ok(!shown.text.includes(row.config.access_token) && !shown.text.includes("config"));
  });

  // Threat model 16.
  it("every route of one integration answers another organization's id byte for byte like one that does not exist", async () => {
    const [owner, stranger] = [await BrowserSession.signedUp(worker), await BrowserSession.signedUp(worker)];
    const id = await owner.connect(`foreign-${randomUUID()}`);
    for (const ask of [
      (other) => stranger.get(of(other)),
      (other) => stranger.patch(of(other), { name: "Mine now" }),
      (other) => stranger.post(`${of(other)}/reconnect`, {}),
      (other) => stranger.get(`${of(other)}/events`),
    ]) {
      const [foreign, unknown] = [await ask(id), await ask(randomUUID())];
      foreign.expect(404, "not_found");
      const bare = ({ status, text, headers }) => ({
        status, text, headers: [...headers].filter(([name]) => !["x-request-id", "date"].includes(name)),
      });
      assert.deepEqual(bare(foreign), bare(unknown));
    }
    assert.notEqual(await nameOf(id), "Mine now");
  });

  it("two accounts of one name differ by the account's id in their names", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const one = await connectFirst(browser, `two-${randomUUID()}`);
    const two = await connectFirst(browser, `two-${randomUUID()}`);
    assert.notEqual(one.id, two.id);
    const { integrations } = (await browser.get("/api/integrations")).expect(200).json;
    assert.deepEqual(integrations.map(({ name }) => name), [`First Project (${two.ref})`, "First Project"]);
  });

  it("renaming answers what GET shows, the list follows, and connecting again keeps the name", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const login = `renamed-${randomUUID()}`;
    const id = await browser.connect(login);
    const renamed = (await browser.patch(of(id), { name: "  Büro 東京 " })).expect(200);
    assert.equal(renamed.json.name, "Büro 東京");
    assert.equal(renamed.text, (await browser.get(of(id))).expect(200).text);
    assert.equal(await browser.connect(login), id);
    const { integrations } = (await browser.get("/api/integrations")).expect(200).json;
    assert.deepEqual(integrations.map(({ name }) => name), ["Büro 東京"]);
  });

  it("an integration is renamed by any member of its organization, and by none who was removed", async () => {
    const [one, other] = [await BrowserSession.signedUp(worker), await BrowserSession.signedUp(worker)];
    const organization_id = await createOrganization(sql, [one.user, other.user]);
    const id = await one.connect(`shared-${randomUUID()}`, { organization_id });
    (await other.patch(of(id), { name: "Ours" })).expect(200);
    assert.equal((await one.get(of(id))).expect(200).json.name, "Ours");
    await sql`delete from public.organization_members where user_id = ${other.user.id}`;
    (await other.patch(of(id), { name: "Mine" })).expect(404, "not_found");
    assert.equal(await nameOf(id), "Ours");
  });

  it("a name that another integration of the type has is rejected", async () => {
    const browser = await BrowserSession.signedUp(worker);
    await browser.connect(`taken-${randomUUID()}`);
    const id = await browser.connect(`free-${randomUUID()}`);
    const [{ name: taken }, { name: free }] = await integrationsOf(sql, browser.user.id);
    (await browser.patch(of(id), { name: taken })).expect(409, "name_taken");
    assert.equal(await nameOf(id), free);
  });

  // Threat model 30.
  it("renaming answers 400 to anything but a name of 1 to 200 characters on one line, and nothing changes", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const login = `wrong-${randomUUID()}`;
    const id = await browser.connect(login);
    for (const body of [
      {}, [], null, "name", { name: "" }, { name: " \t" }, { name: "x".repeat(201) }, { name: "a\nb" }, { name: "a\u0000b" },
      { name: "a\u202eb" }, { name: null }, { name: 7 }, { name: ["x"] }, { name: "x", config: {} }, { name: "x", status: "active" },
      { names: "x" }, { organization_id: randomUUID() },
    ]) {
      (await browser.patch(of(id), body)).expect(400, "invalid_request");
    }
    const headers = { ...bearer(browser.user.access_token), "content-type": "application/json" };
    (await call(worker, "PATCH", of(id), { headers, body: '{"name":"x"' })).expect(400, "invalid_request");
    (await call(worker, "PATCH", of(id), { headers, body: " ".repeat(16 * 1024 + 1) })).expect(413, "payload_too_large");
    assert.equal(await nameOf(id), login);
    (await browser.patch(of(id), { name: "x".repeat(200) })).expect(200);
  });

  // Threat model 28.
  it("renaming is rejected from another site's page, a form, and without a session", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const login = `cross-${randomUUID()}`;
    const id = await browser.connect(login);
    const ours = ofPage(worker, cookiesOf(browser));
    for (const [method, path, body] of [["PATCH", of(id), '{"name":"Theirs"}'], ["POST", `${of(id)}/reconnect`, "{}"]]) {
      for (const over of [
        { origin: "https://evil.example" }, { origin: "null" }, { origin: "" }, { origin: `${worker.url}.evil.example` },
        { "sec-fetch-site": "cross-site" }, { "sec-fetch-site": "same-site" }, { "content-type": "text/plain" },
        { "content-type": "application/x-www-form-urlencoded" },
      ]) {
        const refused = (await call(worker, method, path, { headers: { ...ours, ...over }, body })).expect(403, "forbidden");
        assert.equal(refused.headers.get("access-control-allow-origin"), null);
      }
      (await call(worker, method, path, { headers: { "content-type": "application/json" }, body })).expect(401, "unauthorized");
      const token = bearer(browser.user.access_token);
      (await call(worker, method, path, { headers: { ...token, "content-type": "text/plain" }, body })).expect(415);
    }
    for (const path of [of(id), `${of(id)}/events`]) (await call(worker, "GET", path)).expect(401, "unauthorized");
    assert.equal(await nameOf(id), login);
  });

  // Threat model 31.
  it("a failing database is answered neither as success nor as an unknown integration", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const id = await browser.connect(`down-${randomUUID()}`);
    const mine = (request) => request.path.includes(id) || request.body.includes(id);
    for (const [behaviour, status] of [
      [answer(500, "planted"), 503], [answer(200, "<html>planted", { "content-type": "text/html" }), 502], [answer(401, { message: "planted" }), 502],
    ]) {
      const restore = gateway.fault(mine, behaviour);
      for (const asked of [
        await browser.get(of(id)), await browser.patch(of(id), { name: "x" }), await browser.post(`${of(id)}/reconnect`, {}),
        await browser.get(`${of(id)}/events`),
      ]) {
        assert.equal(asked.status, status, asked.text);
        assert.ok(!asked.all.includes("planted"));
      }
      restore();
    }
    (await browser.patch(of(id), { name: "Up again" })).expect(200);
  });
});
