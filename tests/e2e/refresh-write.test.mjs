// Between the provider's answer and the row: the write is repeated, the redemption never; and whoever else writes the row wins.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { answer, cut, drop, first, held } from "../support/faults.mjs";
import { rewritten, takesAccessToken } from "../support/grants.mjs";
import { opened } from "../support/integrations.mjs";
import { oauthScene } from "../support/oauth.mjs";
import {
  assertAlive, connection, later, leaseOf, redemptionOf, refresh, refreshesOf, rowOf, tokensOf,
} from "../support/refresh.mjs";
import { until } from "../support/wait.mjs";

const CLAIM = "/rest/v1/rpc/claim_refresh";
const SETTLE = "/rest/v1/rpc/settle_refreshes";

describe("the write of a refresh", { concurrency: true }, () => {
  const scene = oauthScene({ gateway: true });
  const redemptions = ({ tokens }) => scene.server.count(redemptionOf(tokens.refresh_token));
  const requestOf = (path, { id }) => (request) => request.path === path && request.body.includes(id);
  const fault = (path, made, behaviour) => scene.gateway.fault(requestOf(path, made), behaviour);
  /** What the provider gives out for the refresh token of this connection, once it has. */
  const freshOf = ({ tokens }) => {
    const fresh = {};
    scene.server.fault(redemptionOf(tokens.refresh_token), rewritten(scene.info.authorization_server_url, (grant) => Object.assign(fresh, grant)));
    return fresh;
  };

  for (const [what, behaviour] of [
    ["does not arrive", drop],
    ["arrives, and its answer is cut off", cut],
    ["is answered 503", () => answer(503, { code: "PGRST001" })],
    ["is answered with HTML", () => answer(200, "<html>")],
  ]) {
    it(`that ${what}, twice: is repeated, and the provider is asked once`, async () => {
      const made = await connection(scene);
      fault(SETTLE, made, first(2, behaviour()));
      assert.equal((await refresh(made)).expect(200).json.refreshed, true);
      assert.equal(redemptions(made), 1);
      assert.equal(scene.gateway.count(requestOf(SETTLE, made)), 3);
      assert.deepEqual(await refreshesOf(scene, made.id), [["refreshed", "succeeded", null]]);
      await assertAlive(scene, made.id);
    });
  }

  it("that never succeeds: 503, the provider is asked once, and the next refresh knows what was lost", async () => {
    const made = await connection(scene);
    const mend = fault(SETTLE, made, drop());
    const failure = (await refresh(made)).expect(503, "save_failed");
    assert.equal(redemptions(made), 1);
    const { attempted_at, owner } = await leaseOf(scene, made.id);
    assert.ok(attempted_at && owner, "the attempt stands recorded");
    assert.deepEqual(await tokensOf(scene, made.id), made.tokens);
    assert.ok(!failure.all.includes(made.tokens.refresh_token));

    mend();
    await scene.sql`update public.credential_leases set expires_at = now() where integration_id = ${made.id}`;
    assert.equal((await refresh(made)).expect(200).json.status, "reconnect_required", "the provider has seen the token twice");
    assert.deepEqual(await refreshesOf(scene, made.id), [["refresh_failed", "reconnect_required", "refresh_lost"]]);
  });

  it("leaves every number in the config as it stands", async () => {
    const made = await connection(scene);
    const numbers = '{"big": 123456789012345678901234567890.10, "tiny": -0.00000000000000000000000000000001, "list": [18446744073709551616, 1.0]}';
    const kept = () => scene.sql`select config -> 'numbers' #>> '{}' as text from public.integrations where id = ${made.id}`;
    await scene.sql`
      update public.integrations set config = jsonb_set(config, '{numbers}', (${numbers}::text)::jsonb) where id = ${made.id}`;
    const before = await kept();
    assert.match(before[0].text, /123456789012345678901234567890\.10,/);
    assert.equal((await refresh(made)).expect(200).json.refreshed, true);
    assert.deepEqual(await kept(), before);
  });

  it("without a claim nothing is redeemed", async () => {
    const made = await connection(scene);
    const mend = fault(CLAIM, made, cut());
    (await refresh(made)).expect(503, "upstream_unavailable");
    assert.equal(redemptions(made), 0);
    mend();
    // The claim was taken, and nobody has it: it ends by itself.
    await scene.sql`update public.credential_leases set expires_at = now() where integration_id = ${made.id}`;
    assert.equal((await refresh(made)).expect(200).json.refreshed, true);
    await assertAlive(scene, made.id);
  });

  it("keeps the plaintext that another writer changed meanwhile", async () => {
    const made = await connection(scene);
    const { behaviour, arrived, release } = held();
    fault(SETTLE, made, behaviour);
    const pending = refresh(made);
    await arrived;
    await scene.sql`update public.integrations set config = config || '{"note": "theirs"}' where id = ${made.id}`;
    release();
    assert.equal((await pending).expect(200).json.refreshed, true);
    assert.equal((await rowOf(scene, made.id)).config.note, "theirs");
    await later(scene, made.id);
    assert.equal((await refresh(made)).expect(200).json.refreshed, true, "the token that was stored is the provider's newest");
    await assertAlive(scene, made.id);
  });

  it("leaves a reconnection that came meanwhile alone", async () => {
    const made = await connection(scene);
    const { behaviour, arrived, release } = held();
    fault(SETTLE, made, behaviour);
    const pending = refresh(made);
    await arrived;
    const { name } = await rowOf(scene, made.id);
    assert.equal(await made.browser.connect(name), made.id);
    const reconnected = await tokensOf(scene, made.id);
    release();
    const { json } = (await pending).expect(200);
    assert.deepEqual([json.refreshed, json.status], [false, "active"]);
    assert.deepEqual(await tokensOf(scene, made.id), reconnected);
    assert.deepEqual(await refreshesOf(scene, made.id), []);
    await assertAlive(scene, made.id);
    await later(scene, made.id);
    assert.equal((await refresh(made)).expect(200).json.refreshed, true, "the new grant is refreshed as any");
  });

  it("of a refusal leaves a reconnection that came meanwhile alone", async () => {
    const made = await connection(scene);
    const { behaviour, arrived, release } = held();
    scene.server.fault(redemptionOf(made.tokens.refresh_token), async (exchange) => {
      await behaviour({ ...exchange, pass: () => answer(400, { error: "invalid_grant" })(exchange) });
    });
    const pending = refresh(made);
    await arrived;
    assert.equal(await made.browser.connect((await rowOf(scene, made.id)).name), made.id);
    release();
    assert.equal((await pending).expect(200).json.status, "active");
    assert.equal((await rowOf(scene, made.id)).status, "active");
    await assertAlive(scene, made.id);
  });

  it("after a disconnection: what was given out is queued for revocation, and nothing else is left", async () => {
    const made = await connection(scene);
    const fresh = freshOf(made);
    const { behaviour, arrived, release } = held();
    fault(SETTLE, made, behaviour);
    const pending = refresh(made);
    await arrived;
    (await made.browser.delete(`/api/integrations/${made.id}`)).expect(200);
    release();
    (await pending).expect(404, "not_found");
    const [late] = await scene.sql`
      select organization_id, sealed_for as id, config from private.pending_revocations where sealed_for = ${made.id} and reason = 'late'`;
    assert.equal(opened(scene.info, late).refresh_token, fresh.refresh_token);
    assert.equal(await rowOf(scene, made.id), undefined);
    assert.equal(await leaseOf(scene, made.id), undefined);
  });

  it("before a disconnection: what was written is what is revoked", async () => {
    const made = await connection(scene);
    const fresh = freshOf(made);
    (await refresh(made)).expect(200);
    assert.equal((await made.browser.delete(`/api/integrations/${made.id}`)).expect(200).json.revoked, true);
    await until("the grant is dead", async () => !(await takesAccessToken(scene.info, fresh.access_token)));
    assert.equal(await leaseOf(scene, made.id), undefined);
  });
});
