// The reconnection of exactly one integration: it comes back with its own account, or nothing changes.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { projectsOf } from "../stack/projects.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { held } from "../support/faults.mjs";
import { isAlive } from "../support/grants.mjs";
import { integrationsOf, opened } from "../support/integrations.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import { createOrganization } from "../support/users.mjs";

const of = (id) => `/api/integrations/${id}`;

describe("reconnecting one integration", { concurrency: true }, () => {
  const fixture = oauthFixture({ gateway: true });

  /** A new user with an integration for each login, the oldest first. */
  async function connected(...logins) {
    const browser = await BrowserSession.signedIn(fixture.worker);
    for (const login of logins) await browser.connect(login);
    return { browser, rows: await integrationsOf(fixture.sql, browser.user.id) };
  }
  const rowsOf = (browser) => integrationsOf(fixture.sql, browser.user.id);
  /** A row as the source's own writer left it: its account is in its config, if anywhere. */
  async function legacy(config) {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const row = { organization_id: browser.user.id, integration_type: "supabase", name: "Old", config: fixture.sql.json(config) };
    const [{ id }] = await fixture.sql`insert into public.integrations ${fixture.sql(row)} returning id`;
    return { browser, id };
  }

  it("reconnecting renews its row and no other, keeps the name that was given, and returns where it was asked to", async () => {
    const [login, other] = [`mine-${randomUUID()}`, `other-${randomUUID()}`];
    const { browser, rows: [row, neighbour] } = await connected(login, other);
    (await browser.patch(of(row.id), { name: "Production" })).expect(200);
    await fixture.sql`update public.integrations set status = 'reconnect_required' where id = ${row.id}`;

    const callback = await browser.reconsent(row.id, login, { return_to: "/settings?tab=1" });
    const { location } = (await browser.get(callback)).expect(303);
    assert.equal(location, `/settings?tab=1&connected=${row.id}`);

    const [renewed, same] = await rowsOf(browser);
    assert.deepEqual(same, neighbour);
    assert.deepEqual(
      [renewed.id, renewed.name, renewed.status, renewed.external_account_id],
      [row.id, "Production", "active", row.external_account_id],
    );
    assert.equal((await opened(fixture.info, renewed)).access_token, fixture.grant(callback).access_token);
    assert.equal(await isAlive(fixture.worker.info, fixture.grant(callback)), true);
    const { events } = (await browser.get(`${of(row.id)}/events`)).expect(200).json;
    assert.deepEqual(events.map(({ action, reason }) => [action, reason]), [
      ["reconnected", "requested"], ["renamed", null], ["connected", null],
    ]);
  });

  it("reconnecting with another account answers 409, changes nothing, and revokes the new grant", async () => {
    const [login, other] = [`mine-${randomUUID()}`, `other-${randomUUID()}`];
    const { browser, rows } = await connected(login, other);
    // One that is connected already, and one that nobody knows.
    for (const wrong of [other, `third-${randomUUID()}`]) {
      const callback = await browser.reconsent(rows[0].id, wrong);
      const refused = (await browser.get(callback)).expect(409, "account_mismatch");
      assert.deepEqual(await rowsOf(browser), rows);
      assert.equal(await isAlive(fixture.worker.info, fixture.grant(callback)), false);
      assert.ok(!refused.all.includes(projectsOf(wrong)[0].ref), "whose account it was is not said");
    }
    assert.equal(await isAlive(fixture.worker.info, await opened(fixture.info, rows[0])), true, "the old grant stands");
  });

  it("reconnecting with another account shows the browser a page that says so", async () => {
    const { browser, rows: [{ id }] } = await connected(`page-${randomUUID()}`);
    const callback = await browser.reconsent(id, `other-${randomUUID()}`);
    const page = (await browser.get(callback, { accept: "text/html" })).expect(409);
    assert.match(page.headers.get("content-type"), /^text\/html/);
    assert.match(page.text, /You authorized a different account/);
  });

  it("reconnecting takes its own account of several in the grant, without a choice", async () => {
    const login = `two-${randomUUID()}`;
    const browser = await BrowserSession.signedIn(fixture.worker);
    const { location } = (await browser.get(await browser.consent(login))).expect(303);
    const [, second] = projectsOf(login);
    const choice = location.replace("/?choose=", "/api/connections/");
    const { id } = (await browser.post(choice, { account_id: second.ref })).expect(200).json;

    const callback = await browser.reconsent(id, login);
    assert.equal((await browser.get(callback)).expect(303).location, `/?connected=${id}`);
    const [row, ...others] = await rowsOf(browser);
    assert.deepEqual(others, []);
    assert.deepEqual([row.external_account_id, row.name], [second.ref, second.name]);
    assert.equal((await opened(fixture.info, row)).access_token, fixture.grant(callback).access_token);
    const parked = await fixture.sql`select id from public.pending_connections where user_id = ${browser.user.id}`;
    assert.equal(parked.length, 0);
  });

  it("reconnecting gives a row whose account is only in its config that account, and rejects another account", async () => {
    const login = `legacy-${randomUUID()}`;
    const [{ ref }] = projectsOf(login);
    const { browser, id } = await legacy({ project_id: ref, access_token: "unsealed" });
    const before = await rowsOf(browser);
    (await browser.get(await browser.reconsent(id, `other-${randomUUID()}`))).expect(409, "account_mismatch");
    assert.deepEqual(await rowsOf(browser), before);

    const callback = await browser.reconsent(id, login);
    (await browser.get(callback)).expect(303);
    const [row, ...others] = await rowsOf(browser);
    assert.deepEqual([others, row.id, row.external_account_id, row.name], [[], id, ref, login]);
    assert.equal((await opened(fixture.info, row)).access_token, fixture.grant(callback).access_token);
  });

  it("reconnecting does not go to the provider for a row that names no account, or one that another row has", async () => {
    const login = `stands-${randomUUID()}`;
    const [{ ref }] = projectsOf(login);
    const nameless = await legacy({});
    const twin = await legacy({ project_id: ref });
    await twin.browser.connect(login);
    for (const { browser, id } of [nameless, twin]) {
      const before = await rowsOf(browser);
      (await browser.post(`${of(id)}/reconnect`, {})).expect(409, "account_unknown");
      const begun = await fixture.sql`select id from public.oauth_transactions where user_id = ${browser.user.id}`;
      assert.deepEqual([begun.length, await rowsOf(browser)], [0, before]);
    }
  });

  it("an integration that is disconnected before the callback is not created again, and no token is requested", async () => {
    const login = `gone-${randomUUID()}`;
    const { browser, rows: [{ id }] } = await connected(login);
    const callback = await browser.reconsent(id, login);
    (await browser.delete(of(id))).expect(200);
    (await browser.get(callback)).expect(404, "not_found");
    assert.deepEqual([fixture.exchanges(callback), await rowsOf(browser)], [0, []]);
    (await browser.post(`${of(id)}/reconnect`, {})).expect(404, "not_found");
  });

  it("an integration that is disconnected during the callback is not created again, and the grant is revoked", async () => {
    const login = `going-${randomUUID()}`;
    const { browser, rows: [{ id }] } = await connected(login);
    const callback = await browser.reconsent(id, login);
    const wait = held();
    fixture.server.fault(fixture.identityOf(callback), wait.behaviour);
    const answered = browser.get(callback);
    await wait.arrived;
    (await browser.delete(of(id))).expect(200);
    wait.release();
    (await answered).expect(404, "not_found");
    assert.deepEqual(await rowsOf(browser), []);
    assert.equal(await isAlive(fixture.worker.info, fixture.grant(callback)), false);
  });

  it("reconnecting is open to every member of the integration's organization", async () => {
    const [one, other] = [await BrowserSession.signedIn(fixture.worker), await BrowserSession.signedIn(fixture.worker)];
    const organization_id = await createOrganization(fixture.sql, [one.user, other.user]);
    const login = `shared-${randomUUID()}`;
    const id = await one.connect(login, { organization_id });
    (await other.get(await other.reconsent(id, login))).expect(303);
    assert.deepEqual((await integrationsOf(fixture.sql, organization_id)).map((row) => row.id), [id]);
    assert.deepEqual(await rowsOf(other), []);
  });

  // Threat model 3.
  it("reconnecting answers 403 if one user starts it and another opens the callback, and nothing is exchanged", async () => {
    const login = `theirs-${randomUUID()}`;
    const { browser, rows } = await connected(login);
    const stranger = await BrowserSession.signedIn(fixture.worker);
    const callback = await browser.reconsent(rows[0].id, login);
    (await stranger.get(callback)).expect(403, "flow_foreign");
    assert.deepEqual([fixture.exchanges(callback), await rowsOf(browser)], [0, rows]);
  });

  // Threat model 8.
  it("reconnecting rejects another site's return_to, before anything is started, and a type that is not offered", async () => {
    const { browser, rows: [{ id }] } = await connected(`refused-${randomUUID()}`);
    for (const return_to of ["//e.example", "/\\e.example", "https://e.example", "javascript:x", ""]) {
      (await browser.post(`${of(id)}/reconnect`, { return_to })).expect(400, "invalid_request");
    }
    const begun = await fixture.sql`select id from public.oauth_transactions where user_id = ${browser.user.id}`;
    assert.equal(begun.length, 0);
    await fixture.sql`update public.integrations set integration_type = 'gitlab' where id = ${id}`;
    (await browser.post(`${of(id)}/reconnect`, {})).expect(400, "provider_unknown");
  });

  it("reconnecting takes four round trips to start and four to finish, as a connection does", async () => {
    const login = `trips-${randomUUID()}`;
    const { browser, rows: [{ id }] } = await connected(login);
    // Each names the integration in its path, or the user in its body.
    const asked = () => fixture.gateway.count(({ path, body }) => path.includes(id) || body.includes(browser.user.id));
    const before = asked();
    const callback = await browser.reconsent(id, login);
    assert.equal(asked() - before, 4, "the count of writes, whose it is, the data keys, and begin");
    (await browser.get(callback)).expect(303);
    assert.equal(asked() - before, 8, "consume, the data keys, write the grant down, complete");
    assert.deepEqual([fixture.exchanges(callback), fixture.server.count(fixture.identityOf(callback))], [1, 1]);
  });
});
