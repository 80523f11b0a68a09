// Threat model 9, the other side: tokens are there, but cannot be stored. Then the grant is revoked at the provider, so that none lives there
// which nobody knows of; and what was stored after all is never revoked (threat model 102, 103).
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { answer, cut, drop, first, held } from "../support/faults.mjs";
import { isAlive, takesAccessToken } from "../support/grants.mjs";
import { eventsOf, integrationsOf, opened } from "../support/integrations.mjs";
import { oauthFixture } from "../support/oauth.mjs";

const NOT_SAVED = "Failed to save integration to database";
const PLANTED = "planted-by-the-database";

describe("a grant that cannot be saved", { concurrency: true }, () => {
  const fixture = oauthFixture({ gateway: true });

  /** Calls of a database function for this user, at the gateway. */
  const callsOf = (name, { user }) => ({ path, body }) => path === `/rest/v1/rpc/${name}` && body.includes(user.id);

  const queued = async ({ user }) =>
    (await fixture.sql`select reason from private.pending_revocations where user_id = ${user.id}`).map(({ reason }) => reason);

  async function begun(login) {
    const browser = await BrowserSession.signedIn(fixture.worker);
    return { browser, callback: await browser.consent(`${login}-${randomUUID()}`) };
  }

  async function assertNotSaved(browser, callback, failure) {
    failure.expect(503, "save_failed");
    assert.equal(failure.json.error.message, NOT_SAVED);
    assert.ok(!failure.all.includes(PLANTED), failure.all);
    assert.deepEqual(await integrationsOf(fixture.sql, browser.user.id), []);
    assert.deepEqual([...(await fixture.sql`select id from public.pending_connections where user_id = ${browser.user.id}`)], []);
    assert.equal(await isAlive(fixture.worker.info, fixture.grant(callback)), false, "the grant must be dead at the authorization server");
  }

  const FAULTS = [
    ["500", () => answer(500, { message: PLANTED })],
    ["503 in HTML", () => answer(503, `<html>${PLANTED}</html>`, { "content-type": "text/html" })],
    ["401", () => answer(401, { message: PLANTED })],
    ["403", () => answer(403, { code: "42501", message: PLANTED })],
    ["409", () => answer(409, { code: "23505", message: PLANTED })],
    ["an outcome that there is none of", () => answer(200, { outcome: PLANTED })],
    ["a closed connection", () => drop()],
  ];
  for (const [what, fault] of FAULTS) {
    for (const [name, login] of [["complete_connection", "save"], ["add_pending_connection", "write"], ["offer_accounts", "two"]]) {
      // Threat model 9.
      it(`a grant is revoked and no row written if ${name} answers ${what}`, async () => {
        const { browser, callback } = await begun(login);
        fixture.gateway.fault(callsOf(name, browser), fault());
        await assertNotSaved(browser, callback, await browser.get(callback));
      });
    }
  }

  for (const [what, fault] of [["a closed connection", drop], ["500", () => answer(500)], ["half an answer, after it was saved", cut]]) {
    // Threat model 9.
    it(`saving is retried after ${what}, makes one row, and the grant stays valid`, async () => {
      const { browser, callback } = await begun("retry");
      fixture.gateway.fault(callsOf("complete_connection", browser), first(1, fault()));
      (await browser.get(callback)).expect(303);
      const [row, ...others] = await integrationsOf(fixture.sql, browser.user.id);
      assert.deepEqual(others, []);
      assert.equal((await opened(fixture.info, row)).access_token, fixture.grant(callback).access_token);
      assert.equal(await isAlive(fixture.worker.info, fixture.grant(callback)), true);
    });
  }

  // Threat model 9.
  it("if saving and revocation fail, the user is told of the first and the log of both", async () => {
    const { browser, callback } = await begun("both");
    fixture.gateway.fault(callsOf("complete_connection", browser), answer(500));
    fixture.server.fault(({ path, body }) => path === "/v1/oauth/revoke" && body.includes(fixture.grant(callback)?.refresh_token), answer(500));
    const failure = (await browser.get(callback)).expect(503, "save_failed");
    const request = failure.headers.get("x-request-id");
    const line = JSON.parse(await fixture.worker.logged(new RegExp(`"level":"warning".*${request}`)));
    assert.match(line.detail, /could not be revoked at the provider/);
    assert.match(await fixture.worker.logged(new RegExp(`save_failed.*${request}`)), /complete_connection/);
    assert.equal(await takesAccessToken(fixture.info, fixture.grant(callback).access_token), true);
    assert.deepEqual(await queued(browser), ["abandoned"], "the schedule goes on");
  });

  // Threat model 102.
  it("a save that arrives after its grant was given up writes nothing", async () => {
    const { browser, callback } = await begun("late");
    const { behaviour, arrived, release } = held();
    fixture.gateway.fault(callsOf("complete_connection", browser), behaviour);
    const answered = browser.get(callback);
    await arrived;
    // As when PostgREST stands still until the grant has expired.
    const [{ id }] = await fixture.sql`select id from public.pending_connections where user_id = ${browser.user.id}`;
    await fixture.sql`select public.abandon_connection(${id}, ${browser.user.id}, gen_random_uuid(), 'abandoned', null, false, 'r')`;
    release();
    (await answered).expect(404, "not_found");
    assert.deepEqual(await integrationsOf(fixture.sql, browser.user.id), []);
    assert.deepEqual(await queued(browser), ["abandoned"]);
  });

  // Threat model 102.
  it("a grant's first write that arrives after its repetition and the save writes nothing that the schedule would revoke", async () => {
    const { browser, callback } = await begun("early");
    let late;
    fixture.gateway.fault(callsOf("add_pending_connection", browser), first(1, ({ request, response }) => {
      late = request;
      response.destroy();
    }));
    (await browser.get(callback)).expect(303);
    const { authorization, apikey, "content-type": type } = late.headers;
    const headers = { apikey, "content-type": type, ...(authorization && { authorization }) };
    assert.equal((await fetch(fixture.info.supabase_url + late.path, { method: "POST", headers, body: late.body })).status, 200);
    assert.deepEqual([...(await fixture.sql`select id from public.pending_connections where user_id = ${browser.user.id}`)], []);
    assert.equal(await isAlive(fixture.worker.info, fixture.grant(callback)), true);
  });

  // Threat model 102.
  it("nothing is revoked if the database cannot be asked, and the grant is stored after all", async () => {
    const { browser, callback } = await begun("stalled");
    const undo = ["complete_connection", "abandon_connection"].map((name) => fixture.gateway.fault(callsOf(name, browser), cut()));
    (await browser.get(callback)).expect(503, "save_failed");
    for (const back of undo) back();
    const [row, ...others] = await integrationsOf(fixture.sql, browser.user.id);
    assert.deepEqual(others, []);
    assert.equal(row.status, "active");
    assert.equal((await opened(fixture.info, row)).access_token, fixture.grant(callback).access_token);
    assert.equal(await isAlive(fixture.worker.info, fixture.grant(callback)), true);
  });

  // Threat model 9.
  it("a failed save can be tried again, and leaves what stood before as it was", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const login = `again-${randomUUID()}`;
    const id = await browser.connect(login);
    const [before] = await integrationsOf(fixture.sql, browser.user.id);

    const undo = fixture.gateway.fault(callsOf("complete_connection", browser), answer(500));
    const callback = await browser.consent(login);
    (await browser.get(callback)).expect(503, "save_failed");
    assert.deepEqual(await integrationsOf(fixture.sql, browser.user.id), [before]);
    assert.equal(await isAlive(fixture.worker.info, await opened(fixture.info, before)), true, "the grant in the row is another one");

    undo();
    assert.equal(await browser.connect(login), id);
    assert.deepEqual((await eventsOf(fixture.sql, browser.user.id)).map(({ action }) => action), ["connected", "reconnected"]);
  });

  // Threat model 9.
  it("a save whose answer breaks off is answered 503, and trying again renews the row", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const login = `lost-${randomUUID()}`;
    const undo = fixture.gateway.fault(callsOf("complete_connection", browser), cut());
    (await browser.get(await browser.consent(login))).expect(503, "save_failed");
    undo();
    const id = await browser.connect(login);
    const [row, ...others] = await integrationsOf(fixture.sql, browser.user.id);
    assert.deepEqual([row.id, others], [id, []]);
    assert.equal(await isAlive(fixture.worker.info, await opened(fixture.info, row)), true);
  });

  // Threat model 9.
  it("a grant whose saving fails at the choice keeps waiting and can be chosen again", async () => {
    const { browser, callback } = await begun("two");
    const { location } = (await browser.get(callback)).expect(303);
    const path = `/api/connections/${new URL(location, fixture.worker.url).searchParams.get("choose")}`;
    const [account] = (await browser.get(path)).expect(200).json.accounts;
    const undo = fixture.gateway.fault(callsOf("complete_connection", browser), answer(500));
    (await browser.post(path, { account_id: account.id })).expect(503, "save_failed");
    assert.deepEqual(await integrationsOf(fixture.sql, browser.user.id), []);
    undo();
    (await browser.post(path, { account_id: account.id })).expect(200);
    assert.equal((await integrationsOf(fixture.sql, browser.user.id)).length, 1);
    assert.equal(await isAlive(fixture.worker.info, fixture.grant(callback)), true);
  });

  // Threat model 9.
  it("disconnecting deletes the row although the revocation fails, and the answer says so", async () => {
    const { browser, callback } = await begun("disconnect");
    const { location } = (await browser.get(callback)).expect(303);
    const id = new URL(location, fixture.worker.url).searchParams.get("connected");
    fixture.server.fault(({ path, body }) => path === "/v1/oauth/revoke" && body.includes(fixture.grant(callback).refresh_token), answer(500, PLANTED));
    const deleted = (await browser.delete(`/api/integrations/${id}`)).expect(200);
    assert.deepEqual(deleted.json, { success: true, message: "Integration deleted successfully", revoked: false });
    assert.deepEqual(await integrationsOf(fixture.sql, browser.user.id), []);
    assert.deepEqual((await eventsOf(fixture.sql, browser.user.id)).map(({ outcome }) => outcome), ["succeeded", "succeeded"]);
    assert.deepEqual(await queued(browser), ["disconnected"], "the schedule goes on");
  });
});
