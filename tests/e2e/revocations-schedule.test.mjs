// Every grant that was received ends stored or revoked: what could not be revoked at once is the schedule's (threat model 102, 103, 104).
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { beforeEach, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { answer, first, never } from "../support/faults.mjs";
import { codeOf, isAlive, keepGrants } from "../support/grants.mjs";
import { integrationsOf, opened } from "../support/integrations.mjs";
import { ownStackFixture } from "../support/own-stack.mjs";

const isRevocation = ({ path }) => path === "/v1/oauth/revoke";
const isIdentity = ({ path }) => path === "/v1/projects";

describe("the schedule", () => {
  const fixture = ownStackFixture("revocations-schedule");
  let grantOf;
  beforeEach(async () => {
    grantOf = keepGrants(fixture.server, fixture.info.authorization_server_url);
    await fixture.sql`delete from private.pending_revocations`;
    await fixture.sql`delete from public.pending_connections`;
  });
  const queued = async () => [...(await fixture.sql`select reason, attempts from private.pending_revocations order by created_at`)];
  const pending = async () => (await fixture.sql`select from public.pending_connections`).length;
  /** As after the wait: nothing is leased and everything is due. */
  const expireBackoff = async () => {
    await fixture.sql`update public.pending_connections set expires_at = now()`;
    await fixture.sql`update private.pending_revocations set next_attempt_at = now(), owner = null, leased_until = null`;
  };
  const begun = async (login) => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    return { browser, callback: await browser.consent(`${login}-${randomUUID()}`) };
  };
  const trail = async () =>
    (await fixture.sql`select action, outcome, reason from public.credential_events where action = 'revoked' order by id desc limit 1`)[0];

  it("the schedule revokes the grant of a user who never came back to the choice", async () => {
    const { browser, callback } = await begun("two");
    (await browser.get(callback)).expect(303);
    await fixture.worker.scheduled();
    assert.equal(await pending(), 1, "not before it expires");
    await expireBackoff();
    await fixture.worker.scheduled();
    assert.deepEqual([await pending(), await queued()], [0, []]);
    assert.equal(await isAlive(fixture.worker.info, grantOf(callback)), false);
    assert.deepEqual({ ...(await trail()) }, { action: "revoked", outcome: "succeeded", reason: "expired" });
  });

  it("the schedule keeps revoking a grant whose identity request failed while its revocation did not answer", async () => {
    const { browser, callback } = await begun("identity");
    const undo = [fixture.server.fault(isIdentity, answer(500)), fixture.server.fault(isRevocation, never())];
    (await browser.get(callback)).expect(502, "provider_failed");
    assert.deepEqual(await integrationsOf(fixture.sql, browser.user.id), []);
    assert.deepEqual(await queued(), [{ reason: "abandoned", attempts: 1 }]);
    for (const back of undo) back();
    await fixture.worker.scheduled();
    assert.deepEqual(await queued(), [{ reason: "abandoned", attempts: 1 }], "not before its pause has passed");
    await expireBackoff();
    await fixture.worker.scheduled();
    assert.deepEqual(await queued(), []);
    assert.equal(await isAlive(fixture.worker.info, grantOf(callback)), false);
  });

  it("the schedule revokes what a worker that died had stored", async () => {
    const { browser, callback } = await begun("died");
    // The worker hears nothing any more of its database or of the provider: as good as dead.
    const undo = ["complete_connection", "abandon_connection"].map((name) => fixture.gateway.fault(`/rest/v1/rpc/${name}`, answer(503)));
    (await browser.get(callback)).expect(503, "save_failed");
    for (const back of undo) back();
    assert.equal(await pending(), 1);
    assert.equal(fixture.server.count(({ path, body }) => isRevocation({ path }) && body.includes(grantOf(callback).refresh_token)), 0);
    await expireBackoff();
    await fixture.worker.scheduled();
    assert.deepEqual([await pending(), await queued()], [0, []]);
    assert.equal(await isAlive(fixture.worker.info, grantOf(callback)), false);
  });

  it("the schedule retries the failed revocation of a disconnection, and the trail says so", async () => {
    const { browser, callback } = await begun("disconnect");
    const { location } = (await browser.get(callback)).expect(303);
    const id = new URL(location, fixture.worker.url).searchParams.get("connected");
    fixture.server.fault(isRevocation, first(2, answer(503)));
    assert.equal((await browser.delete(`/api/integrations/${id}`)).expect(200).json.revoked, false);
    await expireBackoff();
    await fixture.worker.scheduled();
    assert.deepEqual(await queued(), [{ reason: "disconnected", attempts: 2 }]);
    await expireBackoff();
    await fixture.worker.scheduled();
    assert.deepEqual(await queued(), []);
    assert.equal(await isAlive(fixture.worker.info, grantOf(callback)), false);
    const { events } = (await browser.get(`/api/integrations/${id}/events`)).expect(200).json;
    assert.deepEqual([events[0].action, events[0].outcome, events[0].reason], ["revoked", "succeeded", "disconnected"]);
  });

  // Threat model 104.
  it("a row that does not open is deleted through the API", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    for (const config of ['{"x": 1e400}', "[".repeat(130) + "]".repeat(130), `{"access_token": ${"[".repeat(130)}${"]".repeat(130)}}`]) {
      const [{ id }] = await fixture.sql.unsafe(
        `insert into public.integrations (organization_id, integration_type, name, config)
         values ('${browser.user.id}', 'supabase', 'odd', '${config}') returning id`,
      );
      assert.equal((await browser.delete(`/api/integrations/${id}`)).expect(200).json.revoked, false, config.slice(0, 20));
      assert.deepEqual(await queued(), [], "nothing in it can ever be revoked");
    }
  });

  // Threat model 102.
  it("the schedule a reconnection whose save is lost leaves the row with live tokens", async () => {
    const { browser, callback } = await begun("healthy");
    (await browser.get(callback)).expect(303);
    const [before] = await integrationsOf(fixture.sql, browser.user.id);
    const again = await browser.consent(before.name);
    assert.ok(codeOf(again));
    const undo = ["complete_connection", "abandon_connection"].map((name) => fixture.gateway.fault(`/rest/v1/rpc/${name}`, answer(503)));
    (await browser.get(again)).expect(503, "save_failed");
    for (const back of undo) back();
    await expireBackoff();
    await fixture.worker.scheduled();
    const [row] = await integrationsOf(fixture.sql, browser.user.id);
    assert.deepEqual(await opened(fixture.info, row), await opened(fixture.info, before));
    assert.equal(await isAlive(fixture.worker.info, await opened(fixture.info, row)), true);
    assert.equal(await isAlive(fixture.worker.info, grantOf(again)), false);
  });
});
