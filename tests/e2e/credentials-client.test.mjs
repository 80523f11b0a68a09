// A client of the user's own: it gets its tokens for itself, anew each time, by the same lease as any other refresh; and where the
// provider refuses it, the user must give another.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { expireCheck } from "../support/checks.mjs";
import { connected, credentialFixture } from "../support/credentials.mjs";
import { expireBackoff, leaseOf, refreshesOf, rowOf, setTokenExpiry, tokensOf } from "../support/refresh.mjs";
import { json } from "../support/simulator-http.mjs";

const TYPE = "auth0";
const TOKEN_PATH = "/oauth/token";

// The schedule of this worker takes what is due of its own types, and these are no other test's.
describe("a client of the user's own", () => {
  const fixture = credentialFixture({ SUPABASE_CLIENT_ID: undefined, SUPABASE_CLIENT_SECRET: undefined, CREDENTIAL_TYPES: TYPE });
  const provider = () => fixture.providers[TYPE];
  const given = (account) => provider().given.filter((one) => one.account === account);
  const begin = async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const account = await provider().account();
    const { id } = await connected(browser, TYPE, account);
    return { browser, account, id };
  };
  const refresh = ({ browser, id }) => browser.post(`/api/integrations/${id}/refresh`, {});

  it("a client of the user's own stores the token that it gets, and when that ends", async () => {
    const { account, id } = await begin();
    const config = await tokensOf(fixture, id);
    assert.equal(config.access_token, given(account).at(-1).access_token);
    const { token_expires_at } = await rowOf(fixture, id);
    assert.ok(Math.abs(token_expires_at - Date.now() - 3_600_000) < 60_000);
    assert.equal(config.refresh_token, undefined);
  });

  it("a client of the user's own gets one token however many ask at once", async () => {
    const made = await begin();
    const answers = await Promise.all(Array.from({ length: 20 }, () => refresh(made)));
    for (const one of answers) assert.equal(one.expect(200).json.refreshed, true);
    assert.equal(given(made.account).length, 2, "one to connect, one for all of them");
    const config = await tokensOf(fixture, made.id);
    assert.equal(config.access_token, given(made.account).at(-1).access_token);
    for (const [name, value] of Object.entries(made.account.fields)) assert.equal(config[name], value, "the credentials stay");
    assert.deepEqual(await refreshesOf(fixture, made.id), [["refreshed", "succeeded", null]]);
  });

  it("a client of the user's own is refreshed by the schedule before its token ends, and not earlier", async () => {
    const [soon, fresh] = [await begin(), await begin()];
    await setTokenExpiry(fixture, soon.id, 300);
    await fixture.worker.scheduled();
    assert.deepEqual([given(soon.account).length, given(fresh.account).length], [2, 1]);
    assert.deepEqual(await refreshesOf(fixture, soon.id), [["refreshed", "succeeded", null]]);
    assert.equal((await tokensOf(fixture, soon.id)).access_token, given(soon.account).at(-1).access_token);
  });

  it("a client that is rejected is not tried again until there are other credentials", async () => {
    const made = await begin();
    await made.account.machine.remove();
    const refused = (await refresh(made)).expect(200).json;
    assert.deepEqual([refused.refreshed, refused.status], [false, "reconnect_required"]);
    const shown = (await made.browser.get(`/api/integrations/${made.id}`)).expect(200).json;
    assert.deepEqual([shown.status, shown.status_reason], ["reconnect_required", "invalid_client"]);
    assert.deepEqual(await refreshesOf(fixture, made.id), [["refresh_failed", "reconnect_required", "invalid_client"]]);

    const asked = provider().requests.length;
    await expireBackoff(fixture, made.id);
    assert.equal((await refresh(made)).expect(200).json.refreshed, false);
    await fixture.worker.scheduled();
    assert.equal(provider().requests.length, asked);

    // Nor does the token that is still good help.
    await expireCheck(fixture, made.id);
    const checked = (await made.browser.post(`/api/integrations/${made.id}/check`, {})).expect(200).json;
    assert.equal(checked.status, "reconnect_required");

    const path = `/api/integrations/${made.id}/credentials`;
    (await made.browser.put(path, { fields: made.account.fields })).expect(422, "credentials_refused");
    const fresh = await provider().account(made.account);
    const mended = (await made.browser.put(path, { fields: fresh.fields })).expect(200).json;
    assert.deepEqual([mended.status, mended.status_reason], ["active", null]);
    assert.equal((await tokensOf(fixture, made.id)).access_token, given(fresh).at(-1).access_token);
    assert.equal((await refresh(made)).expect(200).json.refreshed, true);
  });

  it("a client that is rejected in the provider's own words ends too, and one that failed is tried again", async () => {
    const made = await begin();
    const ofThis = ({ path, body }) => path === TOKEN_PATH && new URLSearchParams(body).get("client_id") === made.account.fields.client_id;
    for (const [answer, reason] of [[json(500, {}), "outcome_unknown"], [json(429, {}), "refused"], [json(400, { error: "invalid_scope" }), "refused"]]) {
      provider().behaviour = (request) => (ofThis(request) ? answer : undefined);
      (await refresh(made)).expect(502, "provider_failed");
      assert.deepEqual((await refreshesOf(fixture, made.id)).at(-1), ["refresh_failed", "failed", reason]);
      assert.equal((await rowOf(fixture, made.id)).status, "active");
      await expireBackoff(fixture, made.id);
    }
    provider().behaviour = (request) => (ofThis(request) ? json(401, { error: "access_denied", error_description: "Unauthorized" }) : undefined);
    assert.equal((await refresh(made)).expect(200).json.status, "reconnect_required");
    provider().behaviour = undefined;
    assert.deepEqual((await refreshesOf(fixture, made.id)).at(-1), ["refresh_failed", "reconnect_required", "invalid_client"]);
  });

  it("a client whose token is said to end at once, or never, is connected without an expiry", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    for (const lifetime of [0, -1, 1e300]) {
      const { fields } = await provider().account();
      provider().lifetime = lifetime;
      const { json } = (await browser.post("/api/integrations", { integration_type: TYPE, fields })).expect(201);
      assert.equal(json.token_expires_at, null, lifetime);
    }
    provider().lifetime = undefined;
  });

  it("a client that is replaced while its token is fetched keeps the new credentials", async () => {
    const made = await begin();
    const fresh = await provider().account(made.account);
    const held = Promise.withResolvers();
    const arrived = Promise.withResolvers();
    provider().behaviour = (request) => {
      if (request.path !== TOKEN_PATH || new URLSearchParams(request.body).get("client_id") !== made.account.fields.client_id) return undefined;
      arrived.resolve();
      return held.promise;
    };
    const refreshing = refresh(made);
    await arrived.promise;
    (await made.browser.put(`/api/integrations/${made.id}/credentials`, { fields: fresh.fields })).expect(200);
    held.resolve(json(401, { error: "invalid_client" }));
    (await refreshing).expect(200);
    provider().behaviour = undefined;
    const row = await rowOf(fixture, made.id);
    assert.deepEqual([row.status, row.status_reason], ["active", null], "what was refused are not the credentials that stand");
    assert.equal((await tokensOf(fixture, made.id)).client_id, fresh.fields.client_id);
    assert.equal((await leaseOf(fixture, made.id))?.owner ?? null, null);
  });
});
