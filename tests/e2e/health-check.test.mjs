// A health check on demand: what the provider answers, and what is made of it.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { bearer, call, cookiesOf, ofPage } from "../support/caller.mjs";
import { check, expireCheck, HEALTH_KEYS, questionOf, verdictsOf } from "../support/checks.mjs";
import { answer, cut, drop, flood, held, late, never, redirect } from "../support/faults.mjs";
import { rewritten } from "../support/grants.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import { connection, expireBackoff, redemptionOf, refreshesOf, rowOf, setTokenExpiry, tokensOf } from "../support/refresh.mjs";

const PLANTED = "planted-by-the-provider";

describe("a health check", { concurrency: true }, () => {
  const fixture = oauthFixture({ gateway: true });
  /** How often it was asked with the token that was stored first, the connection itself not counted. */
  const questions = ({ tokens }) => fixture.server.count(questionOf(tokens.access_token)) - 1;
  const redemptions = ({ tokens }) => fixture.server.count(redemptionOf(tokens.refresh_token));
  const fault = ({ tokens }, behaviour) => fixture.server.fault(questionOf(tokens.access_token), behaviour);
  const found = (answered) => {
    const { json } = answered.expect(200);
    return [json.status, json.status_reason];
  };
  /** The fault is at whatever token is asked with: also at the fresh one. */
  const refused = async (made, behaviour) => {
    const [{ name: login }] = await fixture.sql`select name from public.integrations where id = ${made.id}`;
    fault(made, behaviour);
    fixture.server.fault(redemptionOf(made.tokens.refresh_token), rewritten(fixture.info.authorization_server_url, (grant) => {
      fixture.server.fault(questionOf(grant.access_token), behaviour);
      return grant;
    }));
    return login;
  };

  it("a check of a good credential is active, asks once, and answers what the integration shows", async () => {
    const made = await connection(fixture);
    const before = Date.now();
    const { json } = (await check(made)).expect(200);
    assert.deepEqual(Object.keys(json).sort(), [...HEALTH_KEYS].sort());
    assert.deepEqual([json.status, json.status_reason, json.next_check_at], ["active", null, null]);
    assert.ok(Date.parse(json.last_checked_at) >= before - 2000 && Date.parse(json.last_checked_at) <= Date.now() + 2000);
    const shown = (await made.browser.get(`/api/integrations/${made.id}`)).expect(200).json;
    for (const key of HEALTH_KEYS) assert.equal(shown[key], json[key], key);
    assert.deepEqual([questions(made), redemptions(made)], [1, 0]);
    const trail = (await made.browser.get(`/api/integrations/${made.id}/events`)).expect(200).json.events;
    assert.deepEqual(trail.slice(0, 2).map(({ action, outcome, reason, actor, user_id }) => [action, outcome, reason, actor, user_id]), [
      ["checked", "active", null, "user", made.browser.user.id],
      ["opened", "succeeded", "check", "user", made.browser.user.id],
    ]);
  });

  it("a check takes three requests to Supabase and the provider in all", async () => {
    const made = await connection(fixture);
    const before = fixture.gateway.requests.length;
    const mine = ({ body }) => body.includes(made.id);
    (await check(made)).expect(200);
    assert.equal(fixture.gateway.requests.slice(before).filter(mine).length, 2);
    assert.equal(questions(made), 1);
  });

  for (const [what, behaviour, reason, asked = 1] of [
    ["500", () => answer(500, { error: PLANTED }), "provider_failed"],
    ["503", () => answer(503, PLANTED), "provider_failed"],
    ["429 without a word on how long", () => answer(429, { message: PLANTED }), "rate_limited"],
    ["HTML", () => answer(200, PLANTED, { "content-type": "text/html" }), "bad_answer"],
    ["no project", () => answer(200, { message: PLANTED }), "bad_answer"],
    ["404", () => answer(404, { message: PLANTED }), "bad_answer", 2],
    ["10 MB", () => flood(), "bad_answer"],
    ["half an answer", () => cut(), "unreachable"],
    ["a closed connection", () => drop(), "unreachable"],
    ["nothing, ever", () => never(), "timeout"],
    ["a redirect", () => redirect("http://127.0.0.1:9/"), "bad_answer"],
    ["a gatekeeper's 403", () => answer(403, `<html>${PLANTED}`, { "content-type": "text/html" }), "forbidden", 2],
  ]) {
    it(`a check is degraded (${reason}) while the provider answers ${what}, and active again afterwards`, async () => {
      const made = await connection(fixture);
      const restore = fault(made, behaviour());
      const failed = await check(made);
      assert.deepEqual(found(failed), ["degraded", reason]);
      assert.ok(!failed.all.includes(PLANTED) && !JSON.stringify(fixture.worker.logs()).includes(PLANTED));
      assert.deepEqual([questions(made), redemptions(made)], [asked, 0], "an outage is no reason to refresh");
      assert.deepEqual(await tokensOf(fixture, made.id), made.tokens);
      restore();
      await expireCheck(fixture, made.id);
      assert.deepEqual(found(await check(made)), ["active", null]);
      assert.deepEqual(await verdictsOf(fixture, made.id), [["degraded", reason], ["active", null]]);
    });
  }

  // Threat model 117: as Authlib answers for a token that it has revoked.
  it("a bare 403 that stays is reconnect_required after seven days", async () => {
    const made = await connection(fixture);
    fault(made, answer(403, "invalid_token", { "content-type": "text/plain" }));
    const age = (days) => fixture.sql`
      update private.forbidden_checks set since = since - make_interval(days => ${days}) where integration_id = ${made.id}`;
    assert.deepEqual(found(await check(made)), ["degraded", "forbidden"]);
    for (const [days, status] of [[6, "degraded"], [1, "reconnect_required"]]) {
      await age(days);
      await expireCheck(fixture, made.id);
      assert.deepEqual(found(await check(made)), [status, "forbidden"]);
    }
    assert.deepEqual(redemptions(made), 0);
  });

  it("a check of a rejected access token refreshes once, asks again, and is active", async () => {
    const made = await connection(fixture);
    fault(made, answer(401, { message: PLANTED }));
    assert.deepEqual(found(await check(made)), ["active", null]);
    assert.deepEqual([questions(made), redemptions(made)], [1, 1]);
    const fresh = await tokensOf(fixture, made.id);
    assert.equal(fixture.server.count(questionOf(fresh.access_token)), 1);
    assert.deepEqual(await refreshesOf(fixture, made.id), [["refreshed", "succeeded", null]]);
    assert.deepEqual(await verdictsOf(fixture, made.id), [["active", null]]);
  });

  for (const [what, behaviour, reason] of [
    ["401", () => answer(401, { message: PLANTED }), "unauthorized"],
    ["the API's 403", () => answer(403, { message: PLANTED }), "forbidden"],
    ["400 invalid_token", () => answer(400, { error: "invalid_token", error_description: PLANTED }), "unauthorized"],
  ]) {
    it(`a check whose fresh token is answered ${what} is reconnect_required, and connecting again restores it`, async () => {
      const made = await connection(fixture);
      const login = await refused(made, behaviour());
      const failed = await check(made);
      assert.deepEqual(found(failed), ["reconnect_required", reason]);
      assert.equal(redemptions(made), 1, "one refresh");
      await expireCheck(fixture, made.id);
      assert.deepEqual(found(await check(made)), ["reconnect_required", reason]);
      assert.equal(fixture.server.count(redemptionOf((await tokensOf(fixture, made.id)).refresh_token)), 0, "and no second one");
      assert.equal(await made.browser.connect(login), made.id);
      await expireCheck(fixture, made.id);
      assert.deepEqual(found(await check(made)), ["active", null]);
      assert.ok(!failed.all.includes(PLANTED) && !JSON.stringify(fixture.worker.logs()).includes(PLANTED));
    });
  }

  it("a check after the user revoked the app is reconnect_required by the refresh's verdict", async () => {
    const made = await connection(fixture);
    const { client_id, client_secret } = fixture.worker.info;
    await fetch(`${fixture.info.authorization_server_url}/v1/oauth/revoke`, {
      method: "POST", body: JSON.stringify({ client_id, client_secret, refresh_token: made.tokens.refresh_token }),
    });
    assert.deepEqual(found(await check(made)), ["reconnect_required", "invalid_grant"]);
    assert.deepEqual([questions(made), redemptions(made)], [1, 1]);
    assert.deepEqual(await refreshesOf(fixture, made.id), [["refresh_failed", "reconnect_required", "invalid_grant"]]);
    assert.deepEqual(await verdictsOf(fixture, made.id), [["reconnect_required", "invalid_grant"]]);
  });

  it("a check of a rejected token whose refresh fails is degraded", async () => {
    const made = await connection(fixture);
    fault(made, answer(401, {}));
    fixture.server.fault(redemptionOf(made.tokens.refresh_token), answer(500, {}));
    assert.deepEqual(found(await check(made)), ["degraded", "refresh_failed"]);
    assert.deepEqual([questions(made), redemptions(made)], [1, 1]);
  });

  // Threat model 119.
  it("a check asks for its own project, and for no list", async () => {
    const made = await connection(fixture);
    (await check(made)).expect(200);
    const { external_account_id: ref } = await rowOf(fixture, made.id);
    const asked = fixture.server.requests.filter(questionOf(made.tokens.access_token)).map(({ path }) => path);
    assert.deepEqual(asked, ["/v1/projects", `/v1/projects/${ref}`], "the connection lists, the check does not");
  });

  it("a check of a grant that no longer covers the account is revoked", async () => {
    const made = await connection(fixture);
    const ofList = (request) => questionOf(made.tokens.access_token)(request) && request.path === "/v1/projects";
    const gone = fault(made, answer(404, { message: "Project not found" }));
    const other = fixture.server.fault(ofList, rewritten(fixture.info.authorization_server_url, ([project]) => [{ ...project, ref: "zyxwvutsrqponmlkjihg" }]));
    assert.deepEqual(found(await check(made)), ["revoked", "account_gone"]);
    other();
    const none = fixture.server.fault(ofList, answer(200, []));
    await expireCheck(fixture, made.id);
    assert.deepEqual(found(await check(made)), ["revoked", "account_gone"]);
    none();
    const listed = fixture.server.fault(ofList, rewritten(fixture.info.authorization_server_url, (projects) => projects));
    await expireCheck(fixture, made.id);
    assert.deepEqual(found(await check(made)), ["active", null], "a project that the list still has is not gone");
    listed();
    gone();
    await expireCheck(fixture, made.id);
    assert.deepEqual(found(await check(made)), ["active", null]);
    assert.equal(redemptions(made), 0);
  });

  it("a check refreshes a token that ends soon first", async () => {
    const made = await connection(fixture);
    await setTokenExpiry(fixture, made.id, 60);
    assert.deepEqual(found(await check(made)), ["active", null]);
    assert.deepEqual([questions(made), redemptions(made)], [0, 1]);
    assert.equal(fixture.server.count(questionOf((await tokensOf(fixture, made.id)).access_token)), 1);
  });

  it("a check of a row that does not open is degraded, asks nobody, and the log names the row", async () => {
    const made = await connection(fixture);
    await fixture.sql`update public.integrations set config = config || '{"access_token": "a.b.c"}' where id = ${made.id}`;
    assert.deepEqual(found(await check(made)), ["degraded", "unreadable"]);
    assert.equal(questions(made), 0);
    await fixture.worker.logged(new RegExp(`not checked: integrations ${made.id}`));
  });

  it("a check of a row without a credential answers 409 not_checkable, and the row is as it was", async () => {
    const made = await connection(fixture);
    await fixture.sql`update public.integrations set config = config - 'access_token' where id = ${made.id}`;
    (await check(made)).expect(409, "not_checkable");
    const { status, last_checked_at } = await rowOf(fixture, made.id);
    assert.deepEqual([status, last_checked_at], ["active", null]);
    (await check(made)).expect(409, "not_checkable");
  });

  it("a check of a type that is no longer offered answers 400, and the row is as it was", async () => {
    const made = await connection(fixture);
    await fixture.sql`update public.integrations set integration_type = 'gitlab' where id = ${made.id}`;
    (await check(made)).expect(400, "provider_unknown");
    assert.equal((await rowOf(fixture, made.id)).last_checked_at, null);
  });

  it("20 checks at once ask the provider once, and all get the same answer", async () => {
    const made = await connection(fixture);
    fault(made, late(500));
    const answers = await Promise.all(Array.from({ length: 20 }, () => check(made)));
    const texts = new Set(answers.map((one) => JSON.stringify(Object.entries(one.expect(200).json).sort())));
    assert.equal(texts.size, 1);
    assert.equal(questions(made), 1);
  });

  it("a check's verdict is not written if a reconnection came in between", async () => {
    const made = await connection(fixture);
    const [{ name: login }] = await fixture.sql`select name from public.integrations where id = ${made.id}`;
    const { behaviour, arrived, release } = held();
    fault(made, async (exchange) => {
      await behaviour({ ...exchange, pass: () => answer(401, {})(exchange) });
    });
    const checking = check(made);
    await arrived;
    assert.equal(await made.browser.connect(login), made.id);
    const fresh = await tokensOf(fixture, made.id);
    release();
    assert.deepEqual(found(await checking), ["active", null]);
    assert.deepEqual(await verdictsOf(fixture, made.id), [["active", null]], "of the new one");
    assert.equal((await rowOf(fixture, made.id)).status, "active");
    assert.ok((await tokensOf(fixture, made.id)).access_token === fresh.access_token || redemptions({ tokens: fresh }) === 1);
  });

  it("a check answers 404 if the integration was deleted meanwhile, and nothing comes back", async () => {
    const made = await connection(fixture);
    const { behaviour, arrived, release } = held();
    fault(made, behaviour);
    const checking = check(made);
    await arrived;
    (await made.browser.delete(`/api/integrations/${made.id}`)).expect(200);
    release();
    (await checking).expect(404, "not_found");
    assert.equal(await rowOf(fixture, made.id), undefined);
    assert.deepEqual(await verdictsOf(fixture, made.id), []);
  });

  // Threat model 16.
  it("a check of another organization's row is answered byte for byte like an unknown id, and asks nobody", async () => {
    const made = await connection(fixture);
    const stranger = await BrowserSession.signedIn(fixture.worker);
    const [foreign, unknown] = [await check({ browser: stranger, id: made.id }), await check({ browser: stranger, id: randomUUID() })];
    foreign.expect(404, "not_found");
    const bare = ({ status, text, headers }) => ({
      status, text, headers: [...headers].filter(([name]) => !["x-request-id", "date"].includes(name)),
    });
    assert.deepEqual(bare(foreign), bare(unknown));
    assert.equal(questions(made), 0);
    const trail = await fixture.sql`select from public.credential_events where integration_id = ${made.id} and user_id = ${stranger.user.id}`;
    assert.equal(trail.length, 0);
  });

  // Threat model 24, 28, 30.
  it("a check is rejected without a session, from another site, with another method, and with an invalid id", async () => {
    const made = await connection(fixture);
    const path = `/api/integrations/${made.id}/check`;
    (await call(fixture.worker, "POST", path, { body: {} })).expect(401, "unauthorized");
    const ours = ofPage(fixture.worker, cookiesOf(made.browser));
    for (const over of [{ origin: "https://evil.example" }, { origin: "null" }, { "sec-fetch-site": "cross-site" }, { "content-type": "text/plain" }]) {
      (await call(fixture.worker, "POST", path, { headers: { ...ours, ...over }, body: "{}" })).expect(403, "forbidden");
    }
    const token = bearer(made.browser.user.access_token);
    assert.equal((await call(fixture.worker, "GET", path, { headers: token })).expect(405).headers.get("allow"), "POST");
    const before = fixture.gateway.requests.length;
    for (const id of ["x", "1,or(...)", "x".repeat(10_000)]) {
      (await call(fixture.worker, "POST", `/api/integrations/${encodeURIComponent(id)}/check`, { headers: token, body: {} })).expect(400, "invalid_request");
    }
    assert.equal(fixture.gateway.requests.slice(before).filter(({ body }) => body.includes("1,or")).length, 0);
    assert.equal(questions(made), 0);
  });

  // Threat model 31.
  it("a failing database is no verdict, and the next check finds it", async () => {
    const made = await connection(fixture);
    const settles = ({ path, body }) => path.endsWith("/rpc/settle_checks") && body.includes(made.id);
    for (const [behaviour, status] of [[answer(500, PLANTED), 503], [answer(200, "<html>", { "content-type": "text/html" }), 502]]) {
      const restore = fixture.gateway.fault(settles, behaviour);
      const failed = await check(made);
      assert.equal(failed.status, status, failed.text);
      assert.ok(!failed.all.includes(PLANTED));
      restore();
      await expireCheck(fixture, made.id);
    }
    assert.deepEqual(await verdictsOf(fixture, made.id), []);
    assert.deepEqual(found(await check(made)), ["active", null]);
  });

  // Threat model 23.
  it("a check shows no token in any answer or line of the log", async () => {
    const made = await connection(fixture);
    await refused(made, answer(401, {}));
    await expireBackoff(fixture, made.id);
    const answered = await check(made);
    const after = await tokensOf(fixture, made.id);
    const logged = JSON.stringify(fixture.worker.logs());
    for (const secret of [made.tokens, after].flatMap(({ access_token, refresh_token }) => [access_token, refresh_token])) {
      assert.ok(!answered.all.includes(secret) && !logged.includes(secret));
    }
  });
});
