// What one user gets to see and do, and nobody else.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { bearer, call } from "../support/caller.mjs";
import { held } from "../support/faults.mjs";
import { isAlive } from "../support/grants.mjs";
import { integrationsOf, opened } from "../support/integrations.mjs";
import { createOrganization, signUp } from "../support/users.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const LIST = "/api/integrations";

describe("users", { concurrency: true }, () => {
  const fixture = workerFixture({ gateway: true });
  const { info } = fixture;
  let sql, gateway, worker;
  before(() => void ({ sql, gateway, worker } = fixture));

  /** All that a caller can compare: what differs from one request to the next by nature is left out. */
  function comparable({ status, headers, text }) {
    return { status, headers: [...headers].filter(([name]) => name !== "x-request-id" && name !== "date"), text };
  }

  // Threat model 16.
  it("DELETE answers another organization's id byte for byte like one that does not exist", async () => {
    const [owner, stranger] = await Promise.all([BrowserSession.signedUp(worker), BrowserSession.signedUp(worker)]);
    const id = await owner.connect(`owner-${randomUUID()}`);
    const asked = (identifier) => gateway.requests.filter(({ body }) => body.includes(identifier)).map(({ path }) => path);
    const missing = randomUUID();
    for (const send of [
      (identifier) => stranger.delete(`${LIST}/${identifier}`),
      (identifier) => call(worker, "DELETE", `${LIST}/${identifier}`, { headers: bearer(stranger.user.access_token) }),
    ]) {
      const [foreign, unknown] = [await send(id), await send(missing)];
      foreign.expect(404, "not_found");
      assert.deepEqual(comparable(foreign), comparable(unknown));
    }
    const upper = await stranger.delete(`${LIST}/${id.toUpperCase()}`);
    assert.deepEqual(comparable(upper), comparable(await stranger.delete(`${LIST}/${randomUUID().toUpperCase()}`)));
    // No more is done for the one than for the other, or the time that it takes would tell them apart.
    const [forForeign, forUnknown] = [asked(id), asked(missing)];
    assert.deepEqual([...new Set(forForeign)].sort(), [...new Set([...forUnknown, "/rest/v1/rpc/complete_connection"])].sort());

    const [row] = await integrationsOf(sql, owner.user.id);
    assert.equal(row.id, id, "the row must stand");
    assert.equal(await isAlive(worker.info, await opened(info, row)), true, "the grant must stand");
  });

  // Threat model 16.
  it("another user's choice cannot be seen, taken or given up", async () => {
    const [owner, stranger] = await Promise.all([BrowserSession.signedUp(worker), BrowserSession.signedUp(worker)]);
    const { location } = (await owner.get(await owner.consent(`two-${randomUUID()}`))).expect(303);
    const id = new URL(location, worker.url).searchParams.get("choose");
    const { accounts } = (await owner.get(`/api/connections/${id}`)).expect(200).json;
    const body = { account_id: accounts[0].id };
    for (const send of [
      (identifier) => stranger.get(`/api/connections/${identifier}`),
      (identifier) => stranger.post(`/api/connections/${identifier}`, body),
      (identifier) => stranger.delete(`/api/connections/${identifier}`),
    ]) {
      const [foreign, unknown] = [await send(id), await send(randomUUID())];
      foreign.expect(404, "not_found");
      assert.deepEqual(comparable(foreign), comparable(unknown));
    }
    (await owner.post(`/api/connections/${id}`, body)).expect(200);
  });

  // Threat model 16.
  it("a user who has left an organization neither sees nor deletes its integrations", async () => {
    const [member, leaver] = await Promise.all([BrowserSession.signedUp(worker), BrowserSession.signedUp(worker)]);
    const organization_id = await createOrganization(sql, [member.user, leaver.user]);
    const id = await leaver.connect(`left-${randomUUID()}`, { organization_id });
    const path = `${LIST}?organization_id=${organization_id}`;
    assert.equal((await leaver.get(path)).expect(200).json.count, 1);

    await sql`delete from public.organization_members where organization_id = ${organization_id} and user_id = ${leaver.user.id}`;
    assert.deepEqual((await leaver.get(path)).expect(200).json, { integrations: [], count: 0 });
    (await leaver.delete(`${LIST}/${id}`)).expect(404, "not_found");
    assert.equal((await member.get(path)).expect(200).json.count, 1);
  });

  // Threat model 220.
  it("a user whose role may only see is answered what there is, and 403 to every change", async () => {
    const [admin, member] = await Promise.all([BrowserSession.signedUp(worker), BrowserSession.signedUp(worker)]);
    const organization_id = await createOrganization(sql, [admin.user]);
    await sql`insert into public.organization_members ${sql({ organization_id, user_id: member.user.id, role: "member" })}`;
    const id = await admin.connect(`seen-${randomUUID()}`, { organization_id });
    for (const path of [`${LIST}/${id}`, `${LIST}/${id}/events`, `${LIST}?organization_id=${organization_id}`, `/api/webhooks?organization_id=${organization_id}`]) {
      (await member.get(path)).expect(200);
    }
    const before = await integrationsOf(sql, organization_id);
    for (const send of [
      () => member.post("/api/auth/authorize", { integration_type: "supabase", organization_id }),
      () => member.post(`${LIST}/${id}/reconnect`, {}),
      () => member.post(`${LIST}/${id}/refresh`, {}),
      () => member.post(`${LIST}/${id}/check`, {}),
      () => member.post(`${LIST}/${id}/assessments`, {}),
      () => member.patch(`${LIST}/${id}`, { name: "Mine" }),
      () => member.post("/api/webhooks", { url: "https://hooks.example.com/", organization_id }),
      () => member.delete(`${LIST}/${id}`),
    ]) {
      (await send()).expect(403, "not_an_admin");
    }
    assert.deepEqual(await integrationsOf(sql, organization_id), before);
  });

  // Threat model 17.
  it("organization and role in user_metadata, which a user can edit, count for nothing", async () => {
    const [victim, member] = await Promise.all([BrowserSession.signedUp(worker), signUp(worker.info)]);
    const organization_id = await createOrganization(sql, [member], "admin");
    await victim.connect(`victim-${randomUUID()}`);
    const claimed = {
      organization: organization_id,
      organization_id,
      organizations: [organization_id, victim.user.id],
      role: "service_role",
      is_admin: true,
      sub: victim.user.id,
    };
    const attacker = await signUp(worker.info);
    await edit(attacker, claimed);
    const { access_token } = await refreshed(attacker);
    assert.equal(claimsOf(access_token).user_metadata.organization_id, organization_id, "the token carries what the user wrote");

    const headers = bearer(access_token);
    const session = (await call(worker, "GET", "/api/session", { headers })).expect(200).json;
    assert.deepEqual({ id: session.user.id, organizations: session.organizations }, { id: attacker.id, organizations: [{ id: attacker.id, role: "owner" }] });
    for (const id of [organization_id, victim.user.id]) {
      const list = await call(worker, "GET", `${LIST}?organization_id=${id}`, { headers });
      assert.deepEqual(list.expect(200).json, { integrations: [], count: 0 });
      const begun = await call(worker, "POST", "/api/auth/authorize", { headers, body: { integration_type: "supabase", organization_id: id } });
      begun.expect(403, "not_a_member");
    }
  });

  // Threat model 18.
  it("interleaved requests of two users in one isolate get their own answers, whichever order Supabase answers in", async () => {
    const visitors = await Promise.all([BrowserSession.signedUp(worker), BrowserSession.signedUp(worker)]);
    const logins = visitors.map(() => `interleaved-${randomUUID()}`);
    await Promise.all(visitors.map((browser, index) => browser.connect(logins[index])));
    const [first, second] = visitors;

    // The first one's requests wait at Supabase until all of the second one's are answered.
    const waiting = [held(), held()];
    const ofFirst = (table) => ({ path, headers }) =>
      path.startsWith(`/rest/v1/${table}?`) && headers.authorization === `Bearer ${first.user.access_token}`;
    const restore = ["integrations", "organization_members"].map((table, index) => gateway.fault(ofFirst(table), waiting[index].behaviour));
    const firsts = [first.get(LIST), first.get("/api/session")];
    await Promise.all(waiting.map(({ arrived }) => arrived));
    assertOwn(second, logins[1], await Promise.all([second.get(LIST), second.get("/api/session")]));
    waiting.forEach(({ release }) => release());
    assertOwn(first, logins[0], await Promise.all(firsts));
    restore.forEach((undo) => undo());

    const rounds = Array.from({ length: 40 }, (_, round) => visitors[round % 2]);
    const answers = await Promise.all(rounds.map((browser) => Promise.all([browser.get(LIST), browser.get("/api/session")])));
    answers.forEach((pair, round) => assertOwn(rounds[round], logins[round % 2], pair));

    const flows = await Promise.all(rounds.map((browser) => browser.begin()));
    assert.equal(new Set(flows.map((url) => new URL(url).searchParams.get("state"))).size, flows.length, "no two flows share a state");
  });

  function assertOwn(browser, login, [list, session]) {
    const { integrations, count } = list.expect(200).json;
    assert.deepEqual({ count, names: integrations.map(({ name }) => name) }, { count: 1, names: [login] });
    const { user, organizations } = session.expect(200).json;
    assert.deepEqual({ user, organizations }, { user: { id: browser.user.id, email: browser.user.email }, organizations: [{ id: browser.user.id, role: "owner" }] });
  }

  async function edit(user, data) {
    await auth("PUT", "user", { data }, bearer(user.access_token));
  }

  function refreshed({ refresh_token }) {
    return auth("POST", "token?grant_type=refresh_token", { refresh_token });
  }

  /** As any user can, with what the connect page's address and network log show. */
  async function auth(method, path, body, headers = {}) {
    const response = await fetch(`${worker.info.supabase_url}/auth/v1/${path}`, {
      method,
      headers: { apikey: info.publishable_key, "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
    assert.equal(response.status, 200, `${method} ${path} at Supabase Auth`);
    return response.json();
  }
});

function claimsOf(token) {
  return JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
}
