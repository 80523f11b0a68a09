// The trail of an integration's credentials: complete, in pages, for its organisation's members and nobody else.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { isAlive } from "../support/grants.mjs";
import { integrationsOf, opened } from "../support/integrations.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import { createOrganization } from "../support/users.mjs";

const KEYS = ["id", "occurred_at", "actor", "user_id", "action", "outcome", "reason", "request_id", "details"];
const of = (id) => `/api/integrations/${id}`;
const eventsOf = (id, query = "") => `${of(id)}/events${query}`;

describe("the trail", { concurrency: true }, () => {
  const fixture = oauthFixture({ gateway: true });
  const read = async (visitor, id, query) => (await visitor.get(eventsOf(id, query))).expect(200).json;
  const told = ({ events }) => events.map(({ action, outcome, reason }) => [action, outcome, reason].join(" "));

  it("the trail shows all that was done, by whom and when, the newest first, also after the integration is gone", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const login = `trail-${randomUUID()}`;
    const began = Date.now();
    const id = await browser.connect(login);
    const [row] = await integrationsOf(fixture.sql, browser.user.id);
    (await browser.patch(of(id), { name: "Renamed" })).expect(200);
    await browser.connect(login);
    (await browser.get(await browser.reconsent(id, login))).expect(303);
    (await browser.delete(of(id))).expect(200);

    const answered = (await browser.get(eventsOf(id))).expect(200);
    assert.deepEqual(Object.keys(answered.json), ["events", "next_cursor"]);
    assert.equal(answered.json.next_cursor, null);
    assert.deepEqual(told(answered.json), [
      "revoked succeeded disconnected", "disconnected succeeded ", "opened succeeded disconnect", "reconnected succeeded requested",
      "reconnected succeeded ", "renamed succeeded ", "connected succeeded ",
    ]);
    const { events } = answered.json;
    for (const event of events) {
      assert.deepEqual(Object.keys(event), KEYS);
      const who = event.action === "revoked" ? ["service", null] : ["user", browser.user.id];
      assert.deepEqual([event.actor, event.user_id], who);
      assert.match(event.request_id, /^[0-9a-f]{16}$/);
      const moment = Date.parse(event.occurred_at);
      assert.ok(moment >= began - 1000 && moment <= Date.now() + 1000, event.occurred_at);
    }
    const [revoked, deleted, openedFor, ...others] = events.map(({ request_id }) => request_id);
    assert.deepEqual([deleted, revoked], [openedFor, openedFor], "one request opened, deleted and revoked");
    assert.equal(new Set([deleted, ...others]).size, 5, "each other request has its own id");
    const { access_token, refresh_token } = await opened(fixture.info, row);
    for (const secret of [access_token, refresh_token, row.config.access_token, row.config.refresh_token]) {
      assert.ok(!answered.text.includes(secret), answered.text);
    }
  });

  it("the trail is shown to every member, names who acted, and is closed to a removed member", async () => {
    const [one, other] = [await BrowserSession.signedIn(fixture.worker), await BrowserSession.signedIn(fixture.worker)];
    const organization_id = await createOrganization(fixture.sql, [one.user, other.user]);
    const id = await one.connect(`shared-${randomUUID()}`, { organization_id });
    (await other.delete(of(id))).expect(200);
    const { events } = await read(one, id);
    assert.deepEqual(events.map(({ action, user_id }) => [action, user_id]), [
      ["revoked", null], ["disconnected", other.user.id], ["opened", other.user.id], ["connected", one.user.id],
    ]);
    assert.deepEqual((await read(other, id)).events, events);
    await fixture.sql`delete from public.organization_members where user_id = ${other.user.id}`;
    (await other.get(eventsOf(id))).expect(404, "not_found");
  });

  // Threat model 16.
  it("the trail of another organization's integration, existing or deleted, is answered byte for byte like an unknown id", async () => {
    const [owner, stranger] = [await BrowserSession.signedIn(fixture.worker), await BrowserSession.signedIn(fixture.worker)];
    const [stands, gone] = [await owner.connect(`stands-${randomUUID()}`), await owner.connect(`gone-${randomUUID()}`)];
    (await owner.delete(of(gone))).expect(200);
    const bare = ({ status, text, headers }) => ({
      status, text, headers: [...headers].filter(([name]) => !["x-request-id", "date"].includes(name)),
    });
    for (const query of ["", "?cursor=1", "?limit=1&cursor=999999999"]) {
      const unknown = (await stranger.get(eventsOf(randomUUID(), query))).expect(404, "not_found");
      for (const id of [stands, gone]) assert.deepEqual(bare(await stranger.get(eventsOf(id, query))), bare(unknown), query);
    }
  });

  it("the trail of a row that nobody has opened yet is empty", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const row = { organization_id: browser.user.id, integration_type: "supabase", name: "Old" };
    const [{ id }] = await fixture.sql`insert into public.integrations ${fixture.sql(row)} returning id`;
    assert.deepEqual(await read(browser, id), { events: [], next_cursor: null });
  });

  it("the trail's pages neither repeat nor leave out events while more come", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const id = await browser.connect(`pages-${randomUUID()}`);
    const write = (count) => fixture.sql`
      insert into public.credential_events (actor, organization_id, integration_id, integration_type, action, outcome, reason)
      select 'service', ${browser.user.id}, ${id}, 'supabase', 'opened', 'succeeded', 'n' || n from generate_series(1, ${count}::int) n`;
    await write(119);
    const all = (await fixture.sql`select id from public.credential_events where integration_id = ${id} order by id desc`).map((row) => Number(row.id));
    assert.equal(all.length, 120);

    const seen = [];
    let cursor = "";
    for (const expected of [50, 50, 20]) {
      const page = await read(browser, id, cursor);
      assert.equal(page.events.length, expected);
      seen.push(...page.events.map((event) => event.id));
      assert.equal(page.next_cursor === null, expected === 20);
      cursor = `?cursor=${page.next_cursor}`;
      await write(3);
    }
    assert.deepEqual(seen, all);
    const wide = await read(browser, id, "?limit=200");
    assert.deepEqual([wide.events.length, wide.next_cursor], [129, null]);
    const one = await read(browser, id, "?limit=1");
    assert.deepEqual([one.events.length, one.next_cursor], [1, String(wide.events[0].id)]);
    const exact = await read(browser, id, "?limit=129");
    assert.deepEqual([exact.events.length, exact.next_cursor], [129, null], "a page that ends the trail names no next one");
  });

  // Threat model 24.
  it("an invalid cursor or limit of the trail is answered 400 before any upstream request", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const id = randomUUID();
    for (const query of [
      "cursor=", "cursor=x", "cursor=0", "cursor=-1", "cursor=1.5", "cursor=1&cursor=2", "cursor=9223372036854775808", "cursor=1)", "limit=",
      "limit=0", "limit=201", "limit=1e2", "limit=1&limit=2", "offset=1", "select=*", "order=id.asc", `cursor=${"9".repeat(10_000)}`,
      `cursor=${encodeURIComponent("1&or=(id.gt.0)")}`,
    ]) {
      (await browser.get(eventsOf(id, `?${query}`))).expect(400, "invalid_request");
    }
    assert.equal(fixture.gateway.count(({ path }) => path.includes(id)), 0);
  });

  it("credentials are not opened if the event cannot be recorded", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const login = `closed-${randomUUID()}`;
    const id = await browser.connect(login);
    const [row] = await integrationsOf(fixture.sql, browser.user.id);
    const { refresh_token } = await opened(fixture.info, row);
    const revocations = () => fixture.server.count(({ path, body }) => path.includes("revoke") && body.includes(refresh_token));
    const broken = `broken_${randomUUID().replaceAll("-", "")}`;
    await fixture.sql.unsafe(`alter table public.credential_events add constraint ${broken} check (integration_id <> '${id}') not valid`);
    try {
      const failed = await browser.delete(of(id));
      assert.ok(failed.status >= 500, failed.text);
      assert.deepEqual([await integrationsOf(fixture.sql, browser.user.id), revocations()], [[row], 0]);
    } finally {
      await fixture.sql.unsafe(`alter table public.credential_events drop constraint ${broken}`);
    }
    assert.equal(await isAlive(fixture.worker.info, await opened(fixture.info, row)), true);
    assert.deepEqual(told(await read(browser, id)), ["connected succeeded "]);
  });

  it("a pending grant is opened when an account is chosen, and not when it is shown", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const { location } = (await browser.get(await browser.consent(`two-${randomUUID()}`))).expect(303);
    const id = new URL(location, fixture.worker.url).searchParams.get("choose");
    const path = `/api/connections/${id}`;
    const trail = async () => (await fixture.sql`select action, reason from public.credential_events where integration_id = ${id}`).map((row) => ({ ...row }));
    const { accounts } = (await browser.get(path)).expect(200).json;
    assert.deepEqual(await trail(), []);
    (await browser.post(path, { account_id: accounts[0].id })).expect(200);
    assert.deepEqual(await trail(), [{ action: "opened", reason: "choose" }]);
  });
});
