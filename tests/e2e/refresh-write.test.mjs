// Between the provider's answer and the row: the write is repeated, the redemption never; and whoever else writes the row wins.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { answer, cut, drop, first, held } from "../support/faults.mjs";
import { rewritten, takesAccessToken } from "../support/grants.mjs";
import { opened } from "../support/integrations.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import {
  assertAlive, connection, expireBackoff, leaseOf, redemptionOf, refresh, refreshesOf, rowOf, tokensOf,
} from "../support/refresh.mjs";
import { until } from "../support/wait.mjs";

const CLAIM = "/rest/v1/rpc/claim_refresh";
const SETTLE = "/rest/v1/rpc/settle_refreshes";

describe("the write of a refresh", { concurrency: true }, () => {
  const fixture = oauthFixture({ gateway: true });
  const redemptions = ({ tokens }) => fixture.server.count(redemptionOf(tokens.refresh_token));
  const requestOf = (path, { id }) => (request) => request.path === path && request.body.includes(id);
  const fault = (path, made, behaviour) => fixture.gateway.fault(requestOf(path, made), behaviour);
  /** What the provider gives out for the refresh token of this connection, once it has. */
  const freshOf = ({ tokens }) => {
    const fresh = {};
    fixture.server.fault(redemptionOf(tokens.refresh_token), rewritten(fixture.info.authorization_server_url, (grant) => Object.assign(fresh, grant)));
    return fresh;
  };

  for (const [what, behaviour] of [
    ["does not arrive", drop],
    ["arrives, and its answer is cut off", cut],
    ["is answered 503", () => answer(503, { code: "PGRST001" })],
    ["is answered with HTML", () => answer(200, "<html>")],
  ]) {
    it(`a write that ${what}, twice, is repeated, and the provider is asked once`, async () => {
      const made = await connection(fixture);
      fault(SETTLE, made, first(2, behaviour()));
      assert.equal((await refresh(made)).expect(200).json.refreshed, true);
      assert.equal(redemptions(made), 1);
      assert.equal(fixture.gateway.count(requestOf(SETTLE, made)), 3);
      assert.deepEqual(await refreshesOf(fixture, made.id), [["refreshed", "succeeded", null]]);
      await assertAlive(fixture, made.id);
    });
  }

  it("a write that never succeeds is answered 503, the provider is asked once, and the next refresh knows what was lost", async () => {
    const made = await connection(fixture);
    const restore = fault(SETTLE, made, drop());
    const failure = (await refresh(made)).expect(503, "save_failed");
    assert.equal(redemptions(made), 1);
    const { attempted_at, owner } = await leaseOf(fixture, made.id);
    assert.ok(attempted_at && owner, "the attempt stands recorded");
    assert.deepEqual(await tokensOf(fixture, made.id), made.tokens);
    assert.ok(!failure.all.includes(made.tokens.refresh_token));

    restore();
    await fixture.sql`update public.credential_leases set expires_at = now() where integration_id = ${made.id}`;
    assert.equal((await refresh(made)).expect(200).json.status, "reconnect_required", "the provider has seen the token twice");
    assert.deepEqual(await refreshesOf(fixture, made.id), [["refresh_failed", "reconnect_required", "refresh_lost"]]);
  });

  it("a refresh leaves every number in the config as it is", async () => {
    const made = await connection(fixture);
    const numbers = '{"big": 123456789012345678901234567890.10, "tiny": -0.00000000000000000000000000000001, "list": [18446744073709551616, 1.0]}';
    const kept = () => fixture.sql`select config -> 'numbers' #>> '{}' as text from public.integrations where id = ${made.id}`;
    await fixture.sql`
      update public.integrations set config = jsonb_set(config, '{numbers}', (${numbers}::text)::jsonb) where id = ${made.id}`;
    const before = await kept();
    assert.match(before[0].text, /123456789012345678901234567890\.10,/);
    assert.equal((await refresh(made)).expect(200).json.refreshed, true);
    assert.deepEqual(await kept(), before);
  });

  it("nothing is redeemed without a claim", async () => {
    const made = await connection(fixture);
    const restore = fault(CLAIM, made, cut());
    (await refresh(made)).expect(503, "upstream_unavailable");
    assert.equal(redemptions(made), 0);
    restore();
    // The claim was taken, and nobody has it: it ends by itself.
    await fixture.sql`update public.credential_leases set expires_at = now() where integration_id = ${made.id}`;
    assert.equal((await refresh(made)).expect(200).json.refreshed, true);
    await assertAlive(fixture, made.id);
  });

  it("a refresh keeps the plaintext that another writer changed meanwhile", async () => {
    const made = await connection(fixture);
    const { behaviour, arrived, release } = held();
    fault(SETTLE, made, behaviour);
    const pending = refresh(made);
    await arrived;
    await fixture.sql`update public.integrations set config = config || '{"note": "theirs"}' where id = ${made.id}`;
    release();
    assert.equal((await pending).expect(200).json.refreshed, true);
    assert.equal((await rowOf(fixture, made.id)).config.note, "theirs");
    await expireBackoff(fixture, made.id);
    assert.equal((await refresh(made)).expect(200).json.refreshed, true, "the token that was stored is the provider's newest");
    await assertAlive(fixture, made.id);
  });

  it("a refresh leaves a reconnection that came meanwhile alone", async () => {
    const made = await connection(fixture);
    const { behaviour, arrived, release } = held();
    fault(SETTLE, made, behaviour);
    const pending = refresh(made);
    await arrived;
    const { name } = await rowOf(fixture, made.id);
    assert.equal(await made.browser.connect(name), made.id);
    const reconnected = await tokensOf(fixture, made.id);
    release();
    const { json } = (await pending).expect(200);
    assert.deepEqual([json.refreshed, json.status], [false, "active"]);
    assert.deepEqual(await tokensOf(fixture, made.id), reconnected);
    assert.deepEqual(await refreshesOf(fixture, made.id), []);
    await assertAlive(fixture, made.id);
    await expireBackoff(fixture, made.id);
    assert.equal((await refresh(made)).expect(200).json.refreshed, true, "the new grant is refreshed as any");
  });

  it("a rejected refresh leaves a reconnection that came meanwhile alone", async () => {
    const made = await connection(fixture);
    const { behaviour, arrived, release } = held();
    fixture.server.fault(redemptionOf(made.tokens.refresh_token), async (exchange) => {
      await behaviour({ ...exchange, pass: () => answer(400, { error: "invalid_grant" })(exchange) });
    });
    const pending = refresh(made);
    await arrived;
    assert.equal(await made.browser.connect((await rowOf(fixture, made.id)).name), made.id);
    release();
    assert.equal((await pending).expect(200).json.status, "active");
    assert.equal((await rowOf(fixture, made.id)).status, "active");
    await assertAlive(fixture, made.id);
  });

  it("a refresh after a disconnection queues its tokens for revocation, and leaves nothing else", async () => {
    const made = await connection(fixture);
    const fresh = freshOf(made);
    const { behaviour, arrived, release } = held();
    fault(SETTLE, made, behaviour);
    const pending = refresh(made);
    await arrived;
    (await made.browser.delete(`/api/integrations/${made.id}`)).expect(200);
    release();
    (await pending).expect(404, "not_found");
    const [late] = await fixture.sql`
      select organization_id, sealed_for as id, config from private.pending_revocations where sealed_for = ${made.id} and reason = 'late'`;
    assert.equal((await opened(fixture.info, late)).refresh_token, fresh.refresh_token);
    assert.equal(await rowOf(fixture, made.id), undefined);
    assert.equal(await leaseOf(fixture, made.id), undefined);
  });

  it("a disconnection revokes what a refresh wrote before it", async () => {
    const made = await connection(fixture);
    const fresh = freshOf(made);
    (await refresh(made)).expect(200);
    assert.equal((await made.browser.delete(`/api/integrations/${made.id}`)).expect(200).json.revoked, true);
    await until("the grant is dead", async () => !(await takesAccessToken(fixture.info, fresh.access_token)));
    assert.equal(await leaseOf(fixture, made.id), undefined);
  });
});
