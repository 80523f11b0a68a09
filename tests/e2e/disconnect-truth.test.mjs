// Disconnecting: the answer says what happened at the provider, and nothing of the credential is left anywhere.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { answer, held, never } from "../support/faults.mjs";
import { isAlive, rewritten } from "../support/grants.mjs";
import { integrationsOf, opened } from "../support/integrations.mjs";
import { oauthFixture } from "../support/oauth.mjs";

const MESSAGE = "Integration deleted successfully";
/** Of the catalogue: has no endpoint that revokes. */
const WITHOUT_REVOCATION = "heroku";
const of = (id) => `/api/integrations/${id}`;

describe("disconnecting", { concurrency: true }, () => {
  const fixture = oauthFixture({ settings: { HEROKU_CLIENT_ID: "client", HEROKU_CLIENT_SECRET: "secret" } });

  /** Where any of these texts stands in the database: in which column of which table, whatever the column's type. */
  async function foundIn(texts) {
    const columns = await fixture.sql`
      select n.nspname as schema, c.relname as table, a.attname as column
      from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
      where c.relkind in ('r', 'p', 'm') and n.nspname in ('public', 'private') and a.attnum > 0 and not a.attisdropped`;
    assert.ok(columns.length > 40);
    const places = [];
    for (const { schema, table, column } of columns) {
      const [{ count }] = await fixture.sql`
        select count(*)::int from ${fixture.sql(schema)}.${fixture.sql(table)} t
        where exists (select from unnest(${texts}::text[]) planted where strpos(t.${fixture.sql(column)}::text, planted) > 0)`;
      if (count > 0) places.push(`${schema}.${table}.${column}`);
    }
    return places;
  }
  /** What a credential may be recognised by: itself, its sealed values whole, and their ciphertexts. */
  const tracesOf = async (row) => {
    const sealed = [row.config.access_token, row.config.refresh_token];
    const { access_token, refresh_token } = await opened(fixture.info, row);
    return [access_token, refresh_token, ...sealed, ...sealed.map((value) => value.split(".")[2])];
  };
  const onlyRow = async ({ user }) => {
    const rows = await integrationsOf(fixture.sql, user.id);
    assert.equal(rows.length, 1);
    return rows[0];
  };

  it("disconnecting leaves nothing of the credential in any table: not what was renewed, not what waited for a choice", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const login = `two-${randomUUID()}`;
    const waiting = async () => {
      const { location } = (await browser.get(await browser.consent(login))).expect(303);
      const id = new URL(location, fixture.worker.url).searchParams.get("choose");
      const [grant] = await fixture.sql`select organization_id, id, config from public.pending_connections where id = ${id}`;
      return { path: `/api/connections/${id}`, grant };
    };
    const first = await waiting();
    const { accounts } = (await browser.get(first.path)).expect(200).json;
    const { id } = (await browser.post(first.path, { account_id: accounts[0].id })).expect(200).json;
    const created = await onlyRow(browser);
    (await browser.get(await browser.reconsent(id, login))).expect(303);
    const reconnected = await onlyRow(browser);
    (await browser.post(`${of(id)}/refresh`, {})).expect(200);
    const refreshed = await onlyRow(browser);
    const abandoned = await waiting();

    const states = await Promise.all([first.grant, created, reconnected, refreshed].map(tracesOf));
    assert.equal(new Set(states.flat()).size, states.flat().length - 2, "each state has texts of its own, the first choice's tokens apart");
    assert.deepEqual(await foundIn(states.flat()), ["public.integrations.config"], "as long as it stands it is found, and there alone");
    assert.deepEqual(await foundIn(await tracesOf(abandoned.grant)), ["public.pending_connections.config"]);

    (await browser.delete(abandoned.path)).expect(200);
    const deleted = (await browser.delete(of(id))).expect(200);
    // Nobody documents what a second grant does to the first at Supabase, so nobody knows of the first one.
    assert.deepEqual(deleted.json, { success: true, message: MESSAGE, revoked: "unknown" });
    assert.deepEqual(await foundIn([...states, await tracesOf(abandoned.grant)].flat()), []);
    assert.equal(await isAlive(fixture.worker.info, await opened(fixture.info, refreshed)), false);
  });

  it("disconnecting says false if the provider fails, is not asked, or the credential does not open; the row goes, and what may be revoked later stays queued", async () => {
    const refuse = (grant, behaviour) =>
      fixture.server.fault(({ path, body }) => path === "/v1/oauth/revoke" && body.includes(grant.refresh_token), behaviour);
    const ways = {
      "an error": (row, grant) => refuse(grant, answer(500, "planted")),
      "a refusal": (row, grant) => refuse(grant, answer(403, { message: "planted" })),
      "no answer": (row, grant) => refuse(grant, never()),
      "a provider that is not configured": (row) =>
        fixture.sql`update public.integrations set integration_type = 'gitlab' where id = ${row.id}`,
      "a config that does not open": (row) =>
        fixture.sql`update public.integrations set config = jsonb_set(config, '{access_token}', '"AAAA.AAAA.AAAA"') where id = ${row.id}`,
      "a config that is none": (row) => fixture.sql`update public.integrations set config = '"text"' where id = ${row.id}`,
    };
    await Promise.all(
      Object.entries(ways).map(async ([way, spoil]) => {
        const browser = await BrowserSession.signedIn(fixture.worker);
        await browser.connect(`false-${randomUUID()}`);
        const row = await onlyRow(browser);
        await spoil(row, await opened(fixture.info, row));
        const deleted = (await browser.delete(of(row.id))).expect(200);
        assert.deepEqual(deleted.json, { success: true, message: MESSAGE, revoked: false }, way);
        assert.ok(!deleted.all.includes("planted"));
        assert.deepEqual(await integrationsOf(fixture.sql, browser.user.id), [], way);
        const isOver = way.startsWith("a config");
        assert.deepEqual(await foundIn(await tracesOf(row)), isOver ? [] : ["private.pending_revocations.config"], way);
        const { events } = (await browser.get(`${of(row.id)}/events`)).expect(200).json;
        const ended = events.filter(({ action }) => ["disconnected", "revoked"].includes(action));
        assert.deepEqual(
          ended.map(({ action, outcome }) => [action, outcome]),
          [...(isOver ? [["revoked", "failed"]] : []), ["disconnected", "succeeded"]],
          way,
        );
      }),
    );
  });

  it("disconnecting says unsupported where the provider revokes nothing, in the answer and in the trail", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const id = await browser.connect(`unsupported-${randomUUID()}`);
    const row = await onlyRow(browser);
    await fixture.sql`update public.integrations set integration_type = ${WITHOUT_REVOCATION} where id = ${id}`;
    const deleted = (await browser.delete(of(id))).expect(200);
    assert.deepEqual(deleted.json, { success: true, message: MESSAGE, revoked: "unsupported" });
    assert.deepEqual(await foundIn(await tracesOf(row)), []);
    const { events } = (await browser.get(`${of(id)}/events`)).expect(200).json;
    assert.deepEqual([events[0].action, events[0].outcome], ["revoked", "unsupported"]);
  });

  it("the tokens of a refresh that returns after the deletion are queued for revocation", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const id = await browser.connect(`between-${randomUUID()}`);
    const before = await opened(fixture.info, await onlyRow(browser));
    const wait = held();
    const fresh = {};
    const redemption = ({ path, body }) => path === "/v1/oauth/token" && body.includes(before.refresh_token);
    fixture.server.fault(redemption, async (exchange) => {
      await wait.behaviour({ ...exchange, pass: () => {} });
      await rewritten(fixture.info.authorization_server_url, (grant) => Object.assign(fresh, grant))(exchange);
    });
    const refreshed = browser.post(`${of(id)}/refresh`, {});
    await wait.arrived;
    const deleted = browser.delete(of(id));
    (await deleted).expect(200);
    wait.release();
    (await refreshed).expect(404, "not_found");
    const [row] = await fixture.sql`
      select organization_id, sealed_for as id, config from private.pending_revocations where sealed_for = ${id} and reason = 'late'`;
    // The deletion revoked the grant, so the provider may have refused the redemption: then there is nothing to revoke.
    if (fresh.access_token) assert.equal((await opened(fixture.info, row)).access_token, fresh.access_token);
    else assert.equal(row, undefined);
  });

  it("disconnecting revokes what a refresh brought and could not write yet", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const id = await browser.connect(`journal-${randomUUID()}`);
    const row = await onlyRow(browser);
    // The newer credential is a real one of the same place: the account connected once more, and its row set back.
    await browser.connect(row.name);
    const newer = await onlyRow(browser);
    await fixture.sql`update public.integrations set config = ${fixture.sql.json(row.config)} where id = ${id}`;
    await fixture.sql`insert into public.credential_leases (integration_id, journal) values (${id}, ${fixture.sql.json(newer.config)})`;
    assert.equal((await browser.delete(of(id))).expect(200).json.revoked, "unknown");
    assert.equal(await isAlive(fixture.worker.info, await opened(fixture.info, newer)), false);
    assert.deepEqual(await foundIn([...(await tracesOf(row)), ...(await tracesOf(newer))]), []);
  });

  it("of twenty disconnections at once one says that it did it, and the others that there is nothing", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const id = await browser.connect(`once-${randomUUID()}`);
    const answers = await Promise.all(Array.from({ length: 20 }, () => browser.delete(of(id))));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(19).fill(404)]);
    const { events } = (await browser.get(`${of(id)}/events?limit=200`)).expect(200).json;
    assert.equal(events.filter(({ action }) => action === "disconnected").length, 1);
  });
});
