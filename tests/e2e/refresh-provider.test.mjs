// What a provider may do with a refresh token, and what a refresh makes of it. It is sent once for each refresh, whatever comes back.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { answer, cut, drop, first, flood, never, redirect } from "../support/faults.mjs";
import { exchangeOf, rewritten } from "../support/grants.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import {
  assertAlive, connection, expireBackoff, leaseOf, redemptionOf, refresh, refreshesOf, rowOf, setTokenExpiry, tokensOf,
} from "../support/refresh.mjs";

const PLANTED = "planted-by-the-provider";

describe("a refresh at a provider", { concurrency: true }, () => {
  const fixture = oauthFixture();
  const redemptions = ({ tokens }) => fixture.server.count(redemptionOf(tokens.refresh_token));
  const fault = ({ tokens }, behaviour) => fixture.server.fault(redemptionOf(tokens.refresh_token), behaviour);
  const changed = (made, change) => fault(made, rewritten(fixture.info.authorization_server_url, change));

  it("a provider that rotates: the new refresh token is stored, and the old one is not used again", async () => {
    const made = await connection(fixture);
    (await refresh(made)).expect(200);
    await expireBackoff(fixture, made.id);
    (await refresh(made)).expect(200);
    assert.equal(redemptions(made), 1);
    await assertAlive(fixture, made.id);
  });

  for (const [what, change] of [
    ["answers the old refresh token again", (made) => (grant) => ({ ...grant, refresh_token: made.tokens.refresh_token })],
    ["omits the refresh token", () => ({ refresh_token: _, ...grant }) => grant],
  ]) {
    it(`a provider that ${what}: the old refresh token is kept`, async () => {
      const made = await connection(fixture);
      changed(made, change(made));
      (await refresh(made)).expect(200);
      const tokens = await tokensOf(fixture, made.id);
      assert.equal(tokens.refresh_token, made.tokens.refresh_token);
      assert.notEqual(tokens.access_token, made.tokens.access_token);
    });
  }

  it("a provider with reusable refresh tokens: each refresh brings another access token", async () => {
    const made = await connection(fixture);
    let count = 0;
    fault(made, (exchange) => answer(200, { access_token: `access-${++count}`, token_type: "Bearer", expires_in: 3600 })(exchange));
    for (const expected of ["access-1", "access-2", "access-3"]) {
      (await refresh(made)).expect(200);
      assert.equal((await tokensOf(fixture, made.id)).access_token, expected);
      await expireBackoff(fixture, made.id);
    }
  });

  it("a provider that names no expiry: the row has none either", async () => {
    const made = await connection(fixture);
    changed(made, ({ expires_in: _, ...grant }) => grant);
    const { json } = (await refresh(made)).expect(200);
    assert.deepEqual([json.refreshed, json.expires_at], [true, null]);
    assert.equal((await tokensOf(fixture, made.id)).expires_at, undefined);
    assert.equal((await rowOf(fixture, made.id)).token_expires_at, null);
  });

  it("a provider that answers 500 twice is asked once each time, with a growing pause, and the third refresh succeeds", async () => {
    const made = await connection(fixture);
    fault(made, first(2, answer(500, { error: PLANTED })));
    const pauses = [];
    for (let round = 1; round <= 2; round++) {
      (await refresh(made)).expect(502, "provider_failed");
      assert.equal(redemptions(made), round, "one request, not repeated");
      (await refresh(made)).expect(502, "provider_failed");
      assert.equal(redemptions(made), round, "a moment later the provider is left alone");
      const { retry_at, failed_at, unknown_outcomes } = await leaseOf(fixture, made.id);
      assert.equal(unknown_outcomes, round);
      pauses.push(Math.round((retry_at - failed_at) / 1000));
      await expireBackoff(fixture, made.id);
    }
    assert.deepEqual(pauses, [30, 60]);
    assert.equal((await refresh(made)).expect(200).json.refreshed, true);
    assert.deepEqual(await refreshesOf(fixture, made.id), [
      ["refresh_failed", "failed", "outcome_unknown"],
      ["refresh_failed", "failed", "outcome_unknown"],
      ["refreshed", "succeeded", null],
    ]);
    assert.equal((await leaseOf(fixture, made.id)).unknown_outcomes, 0);
    await assertAlive(fixture, made.id);
  });

  it("invalid_grant leads to reconnect_required, and the provider is not asked again", async () => {
    const made = await connection(fixture);
    fault(made, answer(400, { error: "invalid_grant", error_description: PLANTED }));
    for (let round = 0; round < 3; round++) {
      const { json } = (await refresh(made)).expect(200);
      assert.deepEqual([json.refreshed, json.status], [false, "reconnect_required"]);
      await expireBackoff(fixture, made.id);
    }
    assert.equal(redemptions(made), 1);
    assert.deepEqual(await refreshesOf(fixture, made.id), [["refresh_failed", "reconnect_required", "invalid_grant"]]);
    const { status, status_reason, token_expires_at } = await rowOf(fixture, made.id);
    assert.deepEqual([status, status_reason], ["reconnect_required", "invalid_grant"]);
    assert.ok(token_expires_at, "the access token may still be good");
    assert.ok(!JSON.stringify(fixture.worker.logs()).includes(PLANTED));
  });

  it("a refresh after the user revoked the app leads to reconnect_required, and connecting again restores it", async () => {
    const made = await connection(fixture);
    const { client_id, client_secret } = fixture.worker.info;
    const { status } = await fetch(`${fixture.info.authorization_server_url}/v1/oauth/revoke`, {
      method: "POST",
      body: JSON.stringify({ client_id, client_secret, refresh_token: made.tokens.refresh_token }),
    });
    assert.equal(status, 204);
    assert.equal((await refresh(made)).expect(200).json.status, "reconnect_required");
    const [{ login }] = await fixture.sql`select name as login from public.integrations where id = ${made.id}`;
    assert.equal(await made.browser.connect(login), made.id);
    assert.equal((await rowOf(fixture, made.id)).status, "active");
    assert.equal((await refresh(made)).expect(200).json.refreshed, true);
    await assertAlive(fixture, made.id);
  });

  for (const [what, change] of [
    ["expires_in 1e300", (grant) => JSON.stringify(grant).replace(/"expires_in":\d+/, '"expires_in":1e300')],
    ["a lone surrogate", (grant) => JSON.stringify(grant).replace("{", '{"note":"\\ud800",')],
    ["a token type that says nothing", (grant) => ({ ...grant, token_type: null })],
  ]) {
    // Threat model 123.
    it(`fresh tokens are stored although the provider answers ${what} beside them`, async () => {
      const made = await connection(fixture);
      fault(made, rewritten(fixture.info.authorization_server_url, change));
      assert.equal((await refresh(made)).expect(200).json.refreshed, true);
      assert.notDeepEqual(await tokensOf(fixture, made.id), made.tokens);
      await assertAlive(fixture, made.id);
    });
  }

  for (const [what, behaviour, reason] of [
    ["429", () => answer(429, { error: PLANTED }), "refused"],
    ["503", () => answer(503, PLANTED), "refused"],
    ["401 invalid_client", () => answer(401, { error: "invalid_client", error_description: PLANTED }), "refused"],
    ["400 without a code", () => answer(400, { message: PLANTED }), "refused"],
    ["502", () => answer(502, PLANTED), "outcome_unknown"],
    ["HTML", () => answer(200, PLANTED, { "content-type": "text/html" }), "outcome_unknown"],
    ["10 MB", () => flood(), "outcome_unknown"],
    ["no access token", () => answer(200, { refresh_token: PLANTED }), "outcome_unknown"],
    ["half an answer", () => cut(), "outcome_unknown"],
    ["a closed connection", () => drop(), "outcome_unknown"],
    ["nothing, ever", () => never(), "outcome_unknown"],
    ["a redirect", () => redirect("http://127.0.0.1:9/"), "refused"],
  ]) {
    it(`a provider that answers ${what} is asked once; 502, the row as it was, and a later retry`, async () => {
      const made = await connection(fixture);
      fault(made, behaviour());
      const failure = (await refresh(made)).expect(502, "provider_failed");
      assert.equal(redemptions(made), 1);
      assert.deepEqual(await tokensOf(fixture, made.id), made.tokens);
      assert.equal((await rowOf(fixture, made.id)).status, "active");
      assert.deepEqual(await refreshesOf(fixture, made.id), [["refresh_failed", "failed", reason]]);
      const { owner, retry_at } = await leaseOf(fixture, made.id);
      assert.equal(owner, null);
      assert.ok(retry_at > new Date());
      assert.ok(!failure.all.includes(PLANTED) && !JSON.stringify(fixture.worker.logs()).includes(PLANTED));
    });
  }

  // Threat model 122.
  for (const [what, behaviour] of [
    ["403 invalid_grant", () => answer(403, { error: "invalid_grant" })],
    ["the bare text invalid_grant", () => answer(400, "invalid_grant", { "content-type": "text/plain" })],
  ]) {
    it(`a provider that says ${what} leads to reconnect_required`, async () => {
      const made = await connection(fixture);
      fault(made, behaviour());
      assert.equal((await refresh(made)).expect(200).json.status, "reconnect_required");
      assert.deepEqual(await refreshesOf(fixture, made.id), [["refresh_failed", "reconnect_required", "invalid_grant"]]);
    });
  }

  /** Forgets the back-off, and lets a day go by since the first refusal. */
  const dayLater = ({ id }) => fixture.sql`
    update public.credential_leases
    set failed_at = null, retry_at = null, refused_since = refused_since - interval '25 hours' where integration_id = ${id}`;
  const standing = async ({ id }) => {
    const { status, status_reason } = await rowOf(fixture, id);
    return [status, status_reason];
  };

  it("a rejection that repeats past the token's end is degraded, and reconnect_required after eight tries and a day", async () => {
    const made = await connection(fixture);
    await setTokenExpiry(fixture, made.id, -60);
    const restore = fault(made, answer(400, { error: "invalid_request", error_description: PLANTED }));
    for (let tries = 1; tries <= 7; tries++) {
      (await refresh(made)).expect(502, "provider_failed");
      assert.deepEqual(await standing(made), ["degraded", "refresh_failed"]);
      if (tries === 1) await dayLater(made);
      else await expireBackoff(fixture, made.id);
    }
    restore();
    fault(made, answer(429, { error: "invalid_request" }));
    (await refresh(made)).expect(502, "provider_failed");
    assert.equal((await leaseOf(fixture, made.id)).refusals, 7, "too many requests are no refusal");
    await expireBackoff(fixture, made.id);
    fault(made, answer(400, { error: "invalid_request" }));
    assert.equal((await refresh(made)).expect(200).json.status, "reconnect_required");
    assert.deepEqual(await standing(made), ["reconnect_required", "refresh_refused"]);
    assert.ok(!JSON.stringify(fixture.worker.logs()).includes(PLANTED));
  });

  it("a provider that rejects our client secret degrades every connection and ends none", async () => {
    const all = await Promise.all(Array.from({ length: 3 }, () => connection(fixture)));
    for (const made of all) {
      await setTokenExpiry(fixture, made.id, -60);
      fault(made, answer(401, { error: "invalid_client" }));
      for (let tries = 1; tries <= 9; tries++) {
        (await refresh(made)).expect(502, "provider_failed");
        await expireBackoff(fixture, made.id);
      }
      assert.equal((await leaseOf(fixture, made.id)).refusals, 9);
      assert.deepEqual(await standing(made), ["degraded", "refresh_failed"]);
    }
  });

  it("a lost answer of a provider that rotates ends the grant, and the trail says why", async () => {
    const made = await connection(fixture);
    const restore = fault(made, cut());
    (await refresh(made)).expect(502, "provider_failed");
    restore();
    await expireBackoff(fixture, made.id);
    assert.equal((await refresh(made)).expect(200).json.status, "reconnect_required");
    assert.equal(redemptions(made), 2);
    assert.deepEqual(await refreshesOf(fixture, made.id), [
      ["refresh_failed", "failed", "outcome_unknown"],
      ["refresh_failed", "reconnect_required", "refresh_lost"],
    ]);
  });

  it("a refresh of a row that does not open is answered 500, asks nobody, and the log names the row", async () => {
    const made = await connection(fixture);
    await fixture.sql`update public.integrations set config = config || '{"access_token": "a.b.c"}' where id = ${made.id}`;
    (await refresh(made)).expect(500, "internal");
    assert.equal(redemptions(made), 0);
    await fixture.worker.logged(new RegExp(`integrations ${made.id}: its credentials do not open`));
    assert.deepEqual(await refreshesOf(fixture, made.id), [["refresh_failed", "failed", "unreadable"]]);
  });

  it("a refresh without a refresh token is answered 409, and the provider is not asked", async () => {
    const browser = (await connection(fixture)).browser;
    const callback = await browser.consent("refresh-without-token");
    fixture.server.fault(exchangeOf(callback), rewritten(fixture.info.authorization_server_url, ({ refresh_token: _, ...grant }) => grant));
    const { location } = (await browser.get(callback)).expect(303);
    const id = new URL(location, fixture.worker.url).searchParams.get("connected");
    for (let round = 0; round < 2; round++) (await refresh({ browser, id })).expect(409, "not_refreshable");
    assert.equal((await rowOf(fixture, id)).status, "active");
  });
});
