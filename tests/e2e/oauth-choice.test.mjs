// A grant over several projects: it waits, sealed, until its user has said which one is meant.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { projectsOf } from "../stack/projects.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { isAlive, takesAccessToken } from "../support/grants.mjs";
import { eventsOf, integrationsOf, opened, SEALED } from "../support/integrations.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import { createOrganization } from "../support/users.mjs";

describe("a grant over several projects", { concurrency: true }, () => {
  const fixture = oauthFixture();
  const pendingOf = async ({ user }) => [...(await fixture.sql`select * from public.pending_connections where user_id = ${user.id}`)];

  /** Consents to two projects. `path` is the choice's. */
  async function waiting({ browser, login = `two-${randomUUID()}`, ...options } = {}) {
    browser ??= await BrowserSession.signedIn(fixture.worker);
    const callback = await browser.consent(login, options);
    const { location } = (await browser.get(callback)).expect(303);
    const [, id] = location.match(/^\/\?choose=([0-9a-f-]{36})$/) ?? assert.fail(`expected a choice, got ${location}`);
    return { browser, login, path: `/api/connections/${id}`, grant: fixture.grant(callback), accounts: projectsOf(login).map(({ ref, name }) => ({ id: ref, name })) };
  }

  it("a grant over several projects waits sealed, is shown without a credential, and becomes the one row that is chosen", async () => {
    const { browser, path, grant, accounts } = await waiting({ return_to: "/settings?tab=1" });
    assert.deepEqual(await integrationsOf(fixture.sql, browser.user.id), []);
    const [pending] = await pendingOf(browser);
    for (const token of ["access_token", "refresh_token"]) assert.match(pending.config[token], SEALED);

    const choice = (await browser.get(path)).expect(200);
    assert.deepEqual(Object.keys(choice.json).sort(), ["accounts", "expires_at", "integration_type"]);
    assert.deepEqual([choice.json.integration_type, choice.json.accounts], ["supabase", accounts]);
    const minutes = (Date.parse(choice.json.expires_at) - Date.now()) / 60_000;
    assert.ok(minutes > 9 && minutes <= 10, `expires in ${minutes} minutes`);

    const [, second] = accounts;
    const chosen = (await browser.post(path, { account_id: second.id })).expect(200);
    const [row, ...others] = await integrationsOf(fixture.sql, browser.user.id);
    assert.deepEqual(others, []);
    assert.deepEqual(chosen.json, { id: row.id, return_to: `/settings?tab=1&connected=${row.id}` });
    assert.deepEqual([row.name, row.external_account_id, row.status], [second.name, second.id, "active"]);
    const { access_token, refresh_token, project_id, project_name } = await opened(fixture.info, row);
    assert.deepEqual(
      { access_token, refresh_token, project_id, project_name },
      { access_token: grant.access_token, refresh_token: grant.refresh_token, project_id: second.id, project_name: second.name },
    );
    assert.match(row.config.expires_at, /Z$/);
    assert.notEqual(row.config.access_token, pending.config.access_token, "sealed anew for its place");
    assert.deepEqual(await pendingOf(browser), []);
    assert.equal(await isAlive(fixture.worker.info, grant), true);
    for (const text of [choice.all, chosen.all, JSON.stringify(pending)]) {
      assert.ok(!text.includes(grant.access_token) && !text.includes(grant.refresh_token), text);
    }
  });

  // Threat model 107.
  it("a wrong choice opens nothing, however often", async () => {
    const { browser, path } = await waiting();
    const [pending] = await pendingOf(browser);
    for (let n = 0; n < 40; n++) (await browser.post(path, { account_id: `wrong-${n}` })).expect(400, "invalid_request");
    const events = await fixture.sql`select action from public.credential_events where integration_id = ${pending.id} and action = 'opened'`;
    assert.deepEqual([...events], []);
  });

  it("a second choice is answered 404, and one row exists", async () => {
    const { browser, path, accounts } = await waiting();
    const [first, second] = accounts;
    (await browser.post(path, { account_id: first.id })).expect(200);
    for (const { id } of [first, second]) (await browser.post(path, { account_id: id })).expect(404, "not_found");
    (await browser.get(path)).expect(404, "not_found");
    (await browser.delete(path)).expect(404, "not_found");
    assert.deepEqual((await integrationsOf(fixture.sql, browser.user.id)).map(({ name }) => name), [first.name]);
  });

  it("twenty choices at once, for either project, make one row, and the grant stays valid", async () => {
    const { browser, path, grant, accounts } = await waiting();
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => browser.post(path, { account_id: accounts[i % 2].id })));
    const outcomes = answers.map(({ status }) => status).sort();
    assert.deepEqual(outcomes, [200, ...Array(19).fill(404)]);
    const rows = await integrationsOf(fixture.sql, browser.user.id);
    assert.deepEqual(rows.map(({ id }) => id), [answers.find(({ status }) => status === 200).json.id]);
    assert.equal(await isAlive(fixture.worker.info, grant), true);
  });

  it("choosing a project that is connected already renews its row", async () => {
    const { browser, login, path, accounts } = await waiting();
    const [account] = accounts;
    const { id } = (await browser.post(path, { account_id: account.id })).expect(200).json;
    const again = await waiting({ browser, login });
    assert.equal((await browser.post(again.path, { account_id: account.id })).expect(200).json.id, id);
    const [row, ...others] = await integrationsOf(fixture.sql, browser.user.id);
    assert.deepEqual(others, []);
    assert.equal((await opened(fixture.info, row)).access_token, again.grant.access_token);
    assert.deepEqual((await eventsOf(fixture.sql, browser.user.id)).map(({ action }) => action), ["connected", "reconnected"]);
  });

  it("choosing an account that was not offered is rejected, and the grant keeps waiting", async () => {
    const { browser, path, accounts } = await waiting();
    const [foreign] = projectsOf(`two-${randomUUID()}`);
    for (const body of [{ account_id: foreign.ref }, { account_id: "" }, { account_id: accounts[0].name }, { account_id: 7 }, {}, [], null]) {
      (await browser.post(path, body)).expect(400, "invalid_request");
    }
    assert.deepEqual(await integrationsOf(fixture.sql, browser.user.id), []);
    (await browser.post(path, { account_id: accounts[0].id })).expect(200);
  });

  it("discarding a choice revokes the grant and leaves nothing", async () => {
    const { browser, path, grant, accounts } = await waiting();
    assert.equal(await takesAccessToken(fixture.info, grant.access_token), true);
    const discarded = (await browser.delete(path)).expect(200);
    assert.deepEqual(discarded.json, { success: true, revoked: true });
    assert.equal(await isAlive(fixture.worker.info, grant), false);
    assert.deepEqual([await integrationsOf(fixture.sql, browser.user.id), await pendingOf(browser)], [[], []]);
    (await browser.post(path, { account_id: accounts[0].id })).expect(404, "not_found");
    (await browser.delete(path)).expect(404, "not_found");
  });

  it("another user's choice is answered byte for byte like the 404 of an unknown id", async () => {
    const { browser, path, grant, accounts } = await waiting();
    const stranger = await BrowserSession.signedIn(fixture.worker);
    const nowhere = `/api/connections/${randomUUID()}`;
    const body = { account_id: accounts[0].id };
    for (const ask of [(at) => stranger.get(at), (at) => stranger.post(at, body), (at) => stranger.delete(at)]) {
      const [theirs, none] = [(await ask(path)).expect(404, "not_found"), (await ask(nowhere)).expect(404, "not_found")];
      assert.equal(theirs.text, none.text);
    }
    for (const answer of [await new BrowserSession(fixture.worker).get(path), await new BrowserSession(fixture.worker).post(path, body)]) answer.expect(401);
    assert.deepEqual(await integrationsOf(fixture.sql, stranger.user.id), []);
    assert.equal(await takesAccessToken(fixture.info, grant.access_token), true);
    (await browser.post(path, body)).expect(200);
  });

  it("a choice expires after ten minutes", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const { path, accounts } = await waiting({ browser });
    await fixture.sql`update public.pending_connections set expires_at = now() where user_id = ${browser.user.id}`;
    (await browser.get(path)).expect(404, "not_found");
    (await browser.post(path, { account_id: accounts[0].id })).expect(404, "not_found");
    (await browser.delete(path)).expect(404, "not_found");
    assert.deepEqual(await integrationsOf(fixture.sql, browser.user.id), []);
  });

  // Threat model 6.
  it("a choice is out of reach for a member who was removed meanwhile", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const organization_id = await createOrganization(fixture.sql, [browser.user]);
    const { path, accounts } = await waiting({ browser, organization_id });
    await fixture.sql`delete from public.organization_members where organization_id = ${organization_id}`;
    (await browser.get(path)).expect(404, "not_found");
    (await browser.post(path, { account_id: accounts[0].id })).expect(404, "not_found");
    assert.deepEqual(await integrationsOf(fixture.sql, organization_id), []);
    assert.deepEqual(await integrationsOf(fixture.sql, browser.user.id), []);
  });

  it("a grant over no project is answered 422 without a row, and is revoked", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const callback = await browser.consent(`none-${randomUUID()}`);
    (await browser.get(callback)).expect(422, "no_accounts");
    assert.deepEqual([await integrationsOf(fixture.sql, browser.user.id), await pendingOf(browser)], [[], []]);
    assert.equal(await isAlive(fixture.worker.info, fixture.grant(callback)), false);
  });
});
