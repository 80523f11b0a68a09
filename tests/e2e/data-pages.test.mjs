// A project whose API answers at most 100 rows ("Max rows"): every list says whether there is more, and what is fetched whole is whole.
// Threat model 127.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const MAX_ROWS = 100;

describe(`with at most ${MAX_ROWS} rows an answer`, () => {
  const fixture = workerFixture({ ownStack: { name: "data-pages", maxRows: MAX_ROWS } });
  let sql, worker;
  before(() => void ({ sql, worker } = fixture));

  /** Inserts so many integrations of an organization; returns their ids. */
  async function insert(organization_id, count) {
    const rows = Array.from({ length: count }, (_, n) => ({ organization_id, integration_type: "supabase", name: `Row ${n}`, external_account_id: `row-${n}` }));
    return (await sql`insert into public.integrations ${sql(rows)} returning id`).map(({ id }) => id);
  }

  /** Follows a list's cursor to its end: all of its rows. */
  async function follow(browser, url, name) {
    const rows = [];
    let cursor = null;
    do {
      const { [name]: page, next_cursor } = (await browser.get(`${url}${cursor ? `&cursor=${cursor}` : ""}`)).expect(200).json;
      assert.ok(page.length > 0, "no cursor leads to an empty page");
      rows.push(...page);
      cursor = next_cursor;
    } while (cursor !== null);
    return rows;
  }

  it("with 100 rows an answer the list of integrations says how many there are, and continues after what came", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const ids = await insert(browser.user.id, 251);
    const seen = [];
    const lengths = [];
    for (;;) {
      const { integrations, count } = (await browser.get(`/api/integrations?offset=${seen.length}`)).expect(200).json;
      assert.equal(count, 251);
      seen.push(...integrations.map(({ id }) => id));
      lengths.push(integrations.length);
      if (seen.length >= count) break;
    }
    assert.deepEqual(lengths, [100, 100, 51]);
    assert.deepEqual(seen.sort(), ids.sort());
  });

  it("with 100 rows an answer all of 151 organizations are the user's", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const rows = Array.from({ length: 151 }, () => ({ organization_id: randomUUID(), user_id: browser.user.id, role: "member" }));
    await sql`insert into public.organization_members ${sql(rows)}`;
    const { organizations, has_more } = (await browser.get("/api/session")).expect(200).json;
    assert.equal(organizations.length, 152);
    assert.equal(has_more, false);
    assert.deepEqual(organizations.slice(1).map(({ id }) => id).sort(), rows.map(({ organization_id }) => organization_id).sort());
  });

  it("with 100 rows an answer a trail of 251 events is read to its end, whatever the page", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const [id] = await insert(browser.user.id, 1);
    await sql`
      insert into public.credential_events (user_id, organization_id, integration_id, integration_type, action, outcome)
      select ${browser.user.id}::uuid, ${browser.user.id}::uuid, ${id}::uuid, 'supabase', 'renamed', 'succeeded' from generate_series(1, 251)`;
    for (const limit of [50, 99, 100, 200]) {
      const events = await follow(browser, `/api/integrations/${id}/events?limit=${limit}`, "events");
      assert.equal(new Set(events.map((event) => event.id)).size, 251, `${limit} a page`);
    }
  });

  it("with 100 rows an answer 251 deliveries are read to their end, whatever the page", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const { id } = (await browser.post("/api/webhooks", { url: "https://receiver.example.com" })).expect(201).json;
    await sql`
      select private.enqueue_event(${browser.user.id}, gen_random_uuid(), 'connection.refreshed', '{}') from generate_series(1, 251)`;
    for (const limit of [50, 100, 200]) {
      const deliveries = await follow(browser, `/api/webhooks/${id}/deliveries?limit=${limit}`, "deliveries");
      assert.equal(new Set(deliveries.map(({ event_id }) => event_id)).size, 251, `${limit} a page`);
    }
  });

  it("with 100 rows an answer the list of webhooks is whole, and says so", async () => {
    const browser = await BrowserSession.signedIn(worker);
    for (let n = 0; n < 10; n++) (await browser.post("/api/webhooks", { url: `https://receiver.example.com/${n}` })).expect(201);
    const { webhooks, has_more } = (await browser.get("/api/webhooks")).expect(200).json;
    assert.deepEqual([webhooks.length, has_more], [10, false]);
  });
});
