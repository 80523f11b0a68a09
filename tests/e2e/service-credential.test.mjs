// A program reads a live credential with a service key: sealed, or in plain where the operator allows it (threat model 201 to 203).
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";

import { open, unwrap } from "../format/format.mjs";
import { Answer, BrowserSession } from "../support/browser-session.mjs";
import { answer } from "../support/faults.mjs";
import { opened } from "../support/integrations.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import { assertAlive, connection, expireBackoff, redemptionOf, rowOf, setTokenExpiry, tokensOf } from "../support/refresh.mjs";
import { createOrganization } from "../support/users.mjs";
import { startWorker } from "../support/worker.mjs";

const KEYS = "/api/service-keys";
const CREDENTIALS = "connections:credentials";

describe("a service key", { concurrency: true }, () => {
  const fixture = oauthFixture();
  let plain;
  before(async () => {
    const { client_id, client_secret } = fixture.worker.info;
    plain = await startWorker(fixture.info, {
      SUPABASE_BASE_URL: fixture.server.url,
      SUPABASE_CLIENT_ID: client_id,
      SUPABASE_CLIENT_SECRET: client_secret,
      PLAINTEXT_CREDENTIALS: "true",
    });
  });
  after(() => plain?.stop());

  /** A key of the browser's user. */
  const keyOf = async (browser, over = {}) => {
    const body = { name: `key ${randomUUID()}`, scopes: [CREDENTIALS], ...over };
    return (await browser.post(KEYS, body)).expect(201).json;
  };
  const ask = async (key, path, body = {}, worker = fixture.worker) => {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const response = await fetch(new URL(path, worker.url), { method: "POST", headers, body: JSON.stringify(body) });
    return new Answer(`POST ${path}`, response, await response.text());
  };
  const read = (key, id, body, worker) => ask(key, `/api/integrations/${id}/credential`, body, worker);
  const openings = async (id) =>
    (await fixture.sql`
      select actor, reason, user_id, details from public.credential_events
      where integration_id = ${id} and action = 'opened' and reason = 'credential' order by id`).map((event) => ({ ...event }));

  it("a service key reads the sealed credential, which the key ring opens, and leaves an event that names it", async () => {
    const { browser, id, tokens } = await connection(fixture);
    const made = await keyOf(browser);
    const { json, text } = (await read(made.key, id)).expect(200);
    const row = await rowOf(fixture, id);
    assert.deepEqual(Object.keys(json).sort(), ["config", "data_keys", "expires_at", "granted_scopes", "id", "integration_type", "organization_id"]);
    assert.deepEqual(json.config, row.config);
    const keys = [Buffer.from(fixture.info.encryption_key, "base64")];
    const place = { organization_id: json.organization_id, integration_id: id };
    assert.deepEqual(open(keys, place, json.config, json.data_keys.map((key) => unwrap(keys, key))), tokens, "the answer holds what opens it");
    assert.deepEqual(await opened(fixture.info, { ...row, config: json.config }), tokens);
    assert.equal(new Date(json.expires_at).getTime(), row.token_expires_at.getTime());
    for (const secret of [tokens.access_token, tokens.refresh_token]) assert.ok(!text.includes(secret));
    assert.deepEqual(await openings(id), [
      { actor: "service_key", reason: "credential", user_id: null, details: { service_key: made.id, name: made.name } },
    ]);
    const { events } = (await browser.get(`/api/integrations/${id}/events`)).expect(200).json;
    assert.deepEqual([events[0].actor, events[0].details], ["service_key", { service_key: made.id, name: made.name }]);
    const [listed] = (await browser.get(KEYS)).expect(200).json.service_keys;
    assert.ok(listed.last_used_at, "the list says when it was used");
  });

  it("a service key reads the access token in plain where the operator allows it, never the refresh token", async () => {
    const { browser, id, tokens } = await connection(fixture);
    const { key } = await keyOf(browser);
    (await read(key, id, { form: "plain" })).expect(403, "plaintext_disabled");
    const { json, text } = (await read(key, id, { form: "plain" }, plain)).expect(200);
    assert.deepEqual(json.credential, { access_token: tokens.access_token });
    assert.ok(!text.includes(tokens.refresh_token));
    assert.equal((await openings(id)).length, 1, "what was refused was not opened");
    assert.ok(!JSON.stringify([plain.logs(), fixture.worker.logs()]).includes(key));
  });

  it("a service key refreshes a token that ends soon, once for 200 readers", async () => {
    const { browser, id, tokens } = await connection(fixture);
    const { key } = await keyOf(browser);
    await setTokenExpiry(fixture, id, 60);
    const answers = await Promise.all(Array.from({ length: 200 }, () => read(key, id, { form: "plain" }, plain)));
    const read_ = new Set(answers.map((one) => one.expect(200).json.credential.access_token));
    assert.deepEqual([...read_], [(await tokensOf(fixture, id)).access_token]);
    assert.notEqual([...read_][0], tokens.access_token);
    assert.equal(fixture.server.count(redemptionOf(tokens.refresh_token)), 1);
    await assertAlive(fixture, id);
    // An hour ahead the token ends soon for whoever says so.
    await expireBackoff(fixture, id);
    await setTokenExpiry(fixture, id, 1800);
    const before = await tokensOf(fixture, id);
    (await read(key, id)).expect(200);
    assert.deepEqual(await tokensOf(fixture, id), before);
    (await read(key, id, { valid_for: 3600 })).expect(200);
    assert.notEqual((await tokensOf(fixture, id)).access_token, before.access_token);
  });

  it("a service key finds the integration of a type, and says where there are several", async () => {
    const { browser, id } = await connection(fixture);
    const { key } = await keyOf(browser);
    const path = (organization, type = "supabase") => `/api/organizations/${organization}/integrations/${type}/credential`;
    assert.equal((await ask(key, path(browser.user.id))).expect(200).json.id, id);
    (await ask(key, path(browser.user.id, "github"))).expect(404);
    (await ask(key, path(randomUUID()))).expect(404);
    (await ask(key, path("x"))).expect(400);
    await browser.connect(`second-${randomUUID()}`);
    (await ask(key, path(browser.user.id))).expect(409, "several_integrations");
  });

  it("a service key's caller learns what to do about a credential that is over, paused, or not refreshed", async () => {
    const { browser, id, tokens } = await connection(fixture);
    const { key } = await keyOf(browser);
    await setTokenExpiry(fixture, id, -60);
    fixture.server.fault(redemptionOf(tokens.refresh_token), answer(500, {}));
    (await read(key, id)).expect(502, "provider_failed");
    await expireBackoff(fixture, id);
    await fixture.sql`
      insert into private.integration_pauses (integration_id, endpoint, organization_id, client, until)
      values (${id}, 'token', ${browser.user.id}, 'supabase', now() + interval '90 seconds')`;
    const paused = (await read(key, id)).expect(429, "provider_paused");
    const seconds = Number(paused.headers.get("retry-after"));
    assert.ok(seconds > 60 && seconds <= 90, `retry-after is ${seconds}`);
    await fixture.sql`update public.integrations set status = 'reconnect_required', status_reason = 'refresh_refused' where id = ${id}`;
    (await read(key, id)).expect(409, "needs_reauthorization");
  });

  it("a service key is rejected without the scope, revoked, expired, of another organization, or of wrong form", async () => {
    const { browser, id } = await connection(fixture);
    const stranger = await BrowserSession.signedIn(fixture.worker);
    const other = await keyOf(browser, { scopes: ["connections:read", "findings:read"] });
    const lacking = (await read(other.key, id)).expect(403, "missing_scope");
    assert.match(lacking.json.error.message, /connections:credentials/);
    (await read((await keyOf(stranger)).key, id)).expect(404, "not_found");
    (await read((await keyOf(browser)).key, randomUUID())).expect(404, "not_found");

    const soon = await keyOf(browser, { expires_at: new Date(Date.now() + 3_600_000).toISOString() });
    (await read(soon.key, id)).expect(200);
    await fixture.sql`update private.service_keys set expires_at = now() - interval '1 second' where id = ${soon.id}`;
    (await read(soon.key, id)).expect(401, "unauthorized");

    const revoked = await keyOf(browser);
    (await stranger.delete(`${KEYS}/${revoked.id}`)).expect(404);
    assert.ok((await browser.delete(`${KEYS}/${revoked.id}`)).expect(200).json.revoked_at);
    (await browser.delete(`${KEYS}/${revoked.id}`)).expect(200);
    (await read(revoked.key, id)).expect(401, "unauthorized");

    const fine = (await keyOf(browser)).key;
    for (const wrong of ["", "x", fine.slice(0, -1), `${fine}x`, fine.toUpperCase(), fine.slice(4), browser.user.access_token, `${fine} ${fine}`]) {
      (await read(wrong, id)).expect(401, "unauthorized");
    }
    for (const body of [{ form: "clear" }, { valid_for: 3601 }, { valid_for: -1 }, { valid_for: "1" }, { unknown: 1 }, []]) {
      (await read(fine, id, body)).expect(400, "invalid_request");
    }
    // A key is no user.
    const asUser = await fetch(new URL("/api/session", fixture.worker.url), { headers: { authorization: `Bearer ${fine}` } });
    assert.equal(asUser.status, 401);
    (await browser.post(`/api/integrations/${id}/credential`, {})).expect(401, "unauthorized");
    assert.ok(!JSON.stringify(fixture.worker.logs()).includes(fine));
  });

  it("a service key is made, listed and revoked by an owner of the organization only", async () => {
    const [owner, member] = [await BrowserSession.signedIn(fixture.worker), await BrowserSession.signedIn(fixture.worker)];
    const organization = await createOrganization(fixture.sql, [owner.user], "owner");
    await fixture.sql`insert into public.organization_members ${fixture.sql({ organization_id: organization, user_id: member.user.id, role: "member" })}`;
    const made = await keyOf(owner, { organization_id: organization });
    assert.equal(made.prefix, made.key.slice(0, 8));
    const query = `${KEYS}?organization_id=${organization}`;
    const { service_keys } = (await owner.get(query)).expect(200).json;
    assert.deepEqual(service_keys.map(({ id, organization_id, created_by }) => [id, organization_id, created_by]), [[made.id, organization, owner.user.id]]);
    assert.ok(!JSON.stringify(service_keys).includes(made.key.slice(8)));
    const body = { organization_id: organization, name: "mine", scopes: [CREDENTIALS] };
    (await member.get(query)).expect(403, "not_the_owner");
    (await member.post(KEYS, body)).expect(403, "not_the_owner");
    (await member.delete(`${KEYS}/${made.id}`)).expect(404);
    const stranger = await BrowserSession.signedIn(fixture.worker);
    (await stranger.get(query)).expect(403, "not_a_member");
    (await stranger.post(KEYS, body)).expect(403, "not_a_member");
    for (const wrong of [{ scopes: [] }, { scopes: ["all"] }, { name: "" }, { expires_at: "soon" }, { expires_at: "2020-01-01T00:00:00Z" }, { expires_at: "0000-01-01T00:00:00Z" }, { expires_at: "9999-12-31T23:59:59-23:59" }, { extra: 1 }]) {
      (await owner.post(KEYS, { ...body, ...wrong })).expect(400, "invalid_request");
    }
  });
});
