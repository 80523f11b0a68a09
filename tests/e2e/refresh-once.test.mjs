// However many ask at once, a refresh token is redeemed once. The authorization server rotates always, and ends a grant whose
// refresh token it sees twice: a second redemption would show.
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { held, late } from "../support/faults.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import {
  assertAlive, connection, expireBackoff, leaseOf, redemptionOf, refresh, refreshesOf, rowOf, setTokenExpiry, tokensOf,
} from "../support/refresh.mjs";
import { until } from "../support/wait.mjs";
import { startWorker } from "../support/worker.mjs";

const AT_ONCE = 50;

describe("a refresh", { concurrency: true }, () => {
  const fixture = oauthFixture({ gateway: true });
  const others = [];
  after(() => Promise.all(others.map((worker) => worker.stop())));

  /** Another instance with the same settings, as another isolate has. */
  async function secondWorker() {
    const { client_id, client_secret } = fixture.worker.info;
    const worker = await startWorker({ ...fixture.info, supabase_url: fixture.gateway.url }, {
      SUPABASE_BASE_URL: fixture.server.url,
      SUPABASE_CLIENT_ID: client_id,
      SUPABASE_CLIENT_SECRET: client_secret,
    });
    others.push(worker);
    return worker;
  }

  it("a refresh stores fresh tokens, records the event, and leaves the rest of the row", async () => {
    const made = await connection(fixture);
    const before = await rowOf(fixture, made.id);
    const { json } = (await refresh(made)).expect(200);
    const row = await rowOf(fixture, made.id);
    assert.deepEqual(json, { refreshed: true, expires_at: json.expires_at, status: "active" });
    assert.equal(new Date(json.expires_at).getTime(), row.token_expires_at.getTime());

    const { access_token, refresh_token, expires_at, ...rest } = await tokensOf(fixture, made.id);
    const { access_token: oldAccess, refresh_token: oldRefresh, expires_at: _, ...oldRest } = made.tokens;
    assert.notEqual(access_token, oldAccess);
    assert.notEqual(refresh_token, oldRefresh);
    assert.deepEqual(rest, oldRest);
    assert.equal(row.token_expires_at.toISOString(), new Date(expires_at).toISOString());
    assert.deepEqual([row.name, row.external_account_id, row.created_at], [before.name, before.external_account_id, before.created_at]);
    assert.deepEqual(await refreshesOf(fixture, made.id), [["refreshed", "succeeded", null]]);
    await assertAlive(fixture, made.id);
    for (const secret of [access_token, refresh_token, oldAccess, oldRefresh]) {
      assert.ok(!JSON.stringify([json, fixture.worker.logs()]).includes(secret));
    }
  });

  it("each refresh uses the newest refresh token", async () => {
    const made = await connection(fixture);
    for (let round = 0; round < 4; round++) {
      const { refresh_token } = await tokensOf(fixture, made.id);
      assert.equal((await refresh(made)).expect(200).json.refreshed, true);
      assert.equal(fixture.server.count(redemptionOf(refresh_token)), 1);
      await expireBackoff(fixture, made.id);
    }
    await assertAlive(fixture, made.id);
  });

  it(`${AT_ONCE} callers at once make one redemption, and get the same answer`, async () => {
    const made = await connection(fixture);
    const answers = await Promise.all(Array.from({ length: AT_ONCE }, () => refresh(made)));
    const { token_expires_at } = await rowOf(fixture, made.id);
    for (const answer of answers) {
      const { refreshed, expires_at, status } = answer.expect(200).json;
      assert.deepEqual([refreshed, status, new Date(expires_at).getTime()], [true, "active", token_expires_at.getTime()]);
    }
    assert.equal(fixture.server.count(redemptionOf(made.tokens.refresh_token)), 1);
    assert.equal(fixture.server.count(redemptionOf((await tokensOf(fixture, made.id)).refresh_token)), 0, "nor a second one right after");
    assert.deepEqual(await refreshesOf(fixture, made.id), [["refreshed", "succeeded", null]]);
    await assertAlive(fixture, made.id);
  });

  it(`${AT_ONCE} callers at each of two workers make one redemption`, async () => {
    const made = await connection(fixture);
    const second = new BrowserSession(await secondWorker());
    await second.signIn(made.browser.user);
    const callers = [made, { browser: second, id: made.id }];
    const answers = await Promise.all(Array.from({ length: 2 * AT_ONCE }, (_, i) => refresh(callers[i % 2])));
    for (const answer of answers) assert.equal(answer.expect(200).json.refreshed, true);
    assert.equal(fixture.server.count(redemptionOf(made.tokens.refresh_token)), 1);
    assert.equal((await refreshesOf(fixture, made.id)).length, 1);
    await assertAlive(fixture, made.id);
  });

  for (const seconds of [11, 15]) {
    it(`callers wait for one redemption at a provider that takes ${seconds} s`, async () => {
      const made = await connection(fixture);
      fixture.server.fault(redemptionOf(made.tokens.refresh_token), late(seconds * 1000));
      const answers = await Promise.all(Array.from({ length: 5 }, () => refresh(made)));
      for (const answer of answers) assert.equal(answer.expect(200).json.refreshed, true);
      assert.equal(fixture.server.count(redemptionOf(made.tokens.refresh_token)), 1);
      await assertAlive(fixture, made.id);
    });
  }

  it("a refresh ends although its caller goes away", async () => {
    const made = await connection(fixture);
    const { behaviour, arrived, release } = held();
    fixture.server.fault(redemptionOf(made.tokens.refresh_token), behaviour);
    const abort = new AbortController();
    const call = made.browser.jar.fetch(`${fixture.worker.url}/api/integrations/${made.id}/refresh`, {
      method: "POST",
      body: "{}",
      headers: { "content-type": "application/json", origin: fixture.worker.url },
      signal: abort.signal,
    });
    await arrived;
    abort.abort();
    await assert.rejects(call);
    release();
    await until("the refresh is written", async () => (await refreshesOf(fixture, made.id)).length === 1);
    await assertAlive(fixture, made.id);
  });

  it("a refresh whose worker died is taken over when its lease has ended", async () => {
    const made = await connection(fixture);
    // As a worker leaves it that was stopped before it asked the provider.
    await fixture.sql`
      insert into public.credential_leases (integration_id, owner, expires_at, attempted_at)
      values (${made.id}, gen_random_uuid(), now() + interval '3 seconds', now() - interval '87 seconds')`;
    const begun = performance.now();
    assert.equal((await refresh(made)).expect(200).json.refreshed, true);
    assert.ok(performance.now() - begun > 2000, "the lease was waited for");
    assert.equal(fixture.server.count(redemptionOf(made.tokens.refresh_token)), 1);
    assert.equal((await leaseOf(fixture, made.id)).unknown_outcomes, 0);
  });

  it("a refresh of a foreign or unknown integration, or without a session, is rejected as everywhere and does not reach the provider", async () => {
    const made = await connection(fixture);
    const stranger = await BrowserSession.signedIn(fixture.worker);
    const foreign = (await refresh({ browser: stranger, id: made.id })).expect(404, "not_found");
    const none = (await refresh({ browser: stranger, id: "67e55044-10b1-426f-9247-bb680e5fe0c8" })).expect(404, "not_found");
    assert.equal(foreign.text, none.text);
    (await refresh({ browser: stranger, id: "x&organization_id=neq.0" })).expect(400, "invalid_request");
    (await refresh({ browser: new BrowserSession(fixture.worker), id: made.id })).expect(401, "unauthorized");
    (await made.browser.get(`/api/integrations/${made.id}/refresh`)).expect(405, "method_not_allowed");
    assert.equal(fixture.server.count(redemptionOf(made.tokens.refresh_token)), 0);
    assert.equal(await leaseOf(fixture, made.id), undefined);
  });

  it("a refresh is shown in the integration's details", async () => {
    const made = await connection(fixture);
    await setTokenExpiry(fixture, made.id, 3600);
    await refresh(made);
    const { json } = (await made.browser.get(`/api/integrations/${made.id}`)).expect(200);
    assert.equal(new Date(json.token_expires_at).getTime(), (await rowOf(fixture, made.id)).token_expires_at.getTime());
  });
});
