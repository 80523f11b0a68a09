// Connect sessions in the database: who starts and completes one, each step once, and how many there are (threat model 204 to 208).
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { call, startServer } from "./support.mjs";
import { deliveriesOf, endpointOf } from "./webhooks.mjs";

let server, owner, service;
before(async () => {
  server = await startServer();
  ({ owner, service } = await server.createProject());
});
after(() => server?.stop());

const hash = (text) => createHash("sha256").update(text).digest("hex");
const CHALLENGE = "A".repeat(43);
const ACCOUNT = { id: "acct", name: "Account" };

async function keyOf(organization, scopes = ["connect_sessions:write"]) {
  const { service_key } = await call(service, "create_service_key", {
    p_user_id: null, p_organization_id: organization, p_name: "backend", p_prefix: "sik_abcd", p_hash: hash(randomUUID()), p_scopes: scopes,
  });
  return service_key.id;
}
async function backend() {
  const organization = randomUUID();
  return { organization, key: await keyOf(organization) };
}
const creation = ({ organization, key }, over = {}) => ({
  p_service_key: key, p_id: randomUUID(), p_token_hash: hash(randomUUID()), p_organization_id: organization, p_external_user_id: "u1",
  p_external_user_name: null, p_integration_types: ["supabase"], p_reconnects: null, p_return_url: "https://app.example/", p_return_state: null,
  p_code_challenge: CHALLENGE, p_scopes: {}, p_metadata: {}, ...over,
});
/** A session in the state opened: `{ id, key, organization }`. */
async function openedSession(of, over) {
  const args = creation(of, over);
  assert.equal((await call(service, "create_connect_session", args)).outcome, "created");
  const { outcome } = await call(service, "open_connect_session", { p_token_hash: args.p_token_hash, p_binding_hash: hash("browser") });
  assert.equal(outcome, "opened");
  return { id: args.p_id, ...of };
}
async function pendingOf({ id, organization }) {
  const p_id = randomUUID();
  const config = { access_token: "a.b.c", _enc: { v: 2, kid: "0".repeat(16) } };
  const added = await call(service, "add_pending_connection", {
    p_id, p_user_id: null, p_organization_id: organization, p_integration_type: "supabase", p_config: config, p_return_to: "/", p_connect_session_id: id,
  });
  assert.equal(added.outcome, "pending");
  return p_id;
}
const park = ({ id }, pending, code = "code") =>
  call(service, "park_connection", { p_connect_session_id: id, p_pending_id: pending, p_account: ACCOUNT, p_code_hash: hash(code) });
const admit = ({ id, key }, code = "code", challenge = CHALLENGE) =>
  call(service, "admit_completion", { p_service_key: key, p_id: id, p_code_hash: hash(code), p_code_challenge: challenge, p_request_id: "r" });
const complete = ({ id, organization }, pending, over = {}) =>
  call(service, "complete_connection", {
    p_id: randomUUID(), p_user_id: null, p_organization_id: organization, p_integration_type: "supabase", p_external_account_id: ACCOUNT.id,
    p_name: ACCOUNT.name, p_config: { access_token: "d.e.f" }, p_request_id: "r", p_pending_id: pending, p_connect_session_id: id, ...over,
  });
const stateOf = async ({ id, key }) => (await call(service, "find_connect_session", { p_service_key: key, p_id: id })).connect_session.state;

describe("connect sessions", () => {
  test("a session is parked once, admitted by code and challenge, and completed in one transaction", async () => {
    const session = await openedSession(await backend(), { p_tags: ["gold", "eu"] });
    await endpointOf(service, session.organization);
    const pending = await pendingOf(session);
    assert.deepEqual(await admit(session), { outcome: "not_ready" });
    assert.deepEqual(await park(session, pending), { outcome: "parked" });
    assert.deepEqual(await park(session, pending), { outcome: "parked" }, "a repeated call");
    assert.deepEqual(await park(session, await pendingOf(session), "other"), { outcome: "over" });
    const admitted = await admit(session);
    assert.deepEqual([admitted.outcome, admitted.pending_id, admitted.account], ["admitted", pending, ACCOUNT]);
    const args = { p_id: randomUUID() };
    assert.deepEqual(await complete(session, pending, args), { outcome: "created", id: args.p_id });
    assert.deepEqual(await complete(session, pending, args), { outcome: "updated", id: args.p_id }, "a repeated call");
    assert.equal(await stateOf(session), "completed");
    assert.deepEqual(await admit(session), { outcome: "completed" });
    const [row] = await owner`select external_user_id, connected_by, tags from public.integrations where id = ${args.p_id}`;
    const connected_by = { actor: "service_key", service_key: session.key, name: "backend", connect_session: session.id, external_user_id: "u1" };
    assert.deepEqual({ ...row }, { external_user_id: "u1", connected_by, tags: ["eu", "gold"] });
    const deliveries = await deliveriesOf(owner, args.p_id);
    assert.deepEqual(deliveries.map(({ type, data }) => [type, data.external_user_id]), [["connection.created", "u1"]]);
    const again = await openedSession({ organization: session.organization, key: session.key });
    const next = await pendingOf(again);
    await park(again, next);
    await admit(again);
    assert.equal((await complete(again, next, args)).outcome, "updated");
    const [kept] = await owner`select connected_by->>'connect_session' as session, tags from public.integrations where id = ${args.p_id}`;
    assert.deepEqual({ ...kept }, { session: again.id, tags: ["eu", "gold"] }, "a session without tags leaves those of the row");
  });

  // Threat model 207.
  test("nothing is completed that was not admitted", async () => {
    const session = await openedSession(await backend());
    const pending = await pendingOf(session);
    await assert.rejects(complete(session, pending), { code: "55000" });
    await park(session, pending);
    await assert.rejects(complete(session, pending), { code: "55000" });
    assert.deepEqual(await admit(session, "wrong"), { outcome: "wrong" });
    await assert.rejects(complete(session, pending), { code: "55000" });
    assert.deepEqual(await complete({ ...session, organization: randomUUID() }, pending), { outcome: "not_a_member" });
    assert.deepEqual(await complete({ ...session, id: randomUUID() }, pending), { outcome: "not_a_member" });
    const [{ count }] = await owner`select count(*)::int from public.integrations where organization_id = ${session.organization}`;
    assert.equal(count, 0);
  });

  // Threat model 207.
  test("of many concurrent wrong completions five are looked at, and then the right one is too late", async () => {
    const session = await openedSession(await backend());
    const pending = await pendingOf(session);
    await park(session, pending);
    const answers = await Promise.all(Array.from({ length: 20 }, () => admit(session, "wrong")));
    assert.deepEqual([answers.filter(({ outcome }) => outcome === "wrong").length, answers.filter(({ outcome }) => outcome === "failed").length], [5, 15]);
    assert.deepEqual(await admit(session), { outcome: "failed" });
    const [{ due }] = await owner`select expires_at <= now() as due from public.pending_connections where id = ${pending}`;
    assert.equal(due, true);
  });

  test("a pending connection is its own session's, and no user's", async () => {
    const of = await backend();
    const [one, other] = [await openedSession(of), await openedSession(of)];
    const pending = await pendingOf(one);
    assert.deepEqual(await park(other, pending), { outcome: "over" });
    for (const args of [{ p_user_id: randomUUID() }, { p_user_id: null, p_connect_session_id: other.id }, { p_user_id: null }]) {
      assert.equal((await call(service, "offer_accounts", { p_id: pending, p_accounts: [ACCOUNT], ...args })).outcome, "unknown");
      const abandon = { p_id: pending, p_owner: randomUUID(), p_reason: "abandoned", p_external_account_id: null, p_wide: false, p_request_id: "r", ...args };
      assert.deepEqual(await call(service, "abandon_connection", abandon), { outcome: "unknown" });
    }
    const [{ count }] = await owner`select count(*)::int from public.pending_connections where id = ${pending}`;
    assert.equal(count, 1);
  });

  test("a grant is kept if another integration of the same end user may use it, and is revoked otherwise", async () => {
    const of = await backend();
    const first = await openedSession(of);
    const pending = await pendingOf(first);
    await park(first, pending);
    await admit(first);
    await complete(first, pending);
    const abandoned = async (over) => {
      const args = creation(of, over);
      await call(service, "create_connect_session", args);
      await call(service, "open_connect_session", { p_token_hash: args.p_token_hash, p_binding_hash: hash("browser") });
      const abandon = {
        p_id: await pendingOf({ id: args.p_id, ...of }), p_user_id: null, p_owner: randomUUID(), p_reason: "abandoned", p_external_account_id: null,
        p_wide: true, p_request_id: "r", p_connect_session_id: args.p_id,
      };
      return (await call(service, "abandon_connection", abandon)).outcome;
    };
    assert.equal(await abandoned({}), "kept");
    assert.equal(await abandoned({ p_external_user_id: "u2" }), "abandoned");
  });

  test("a key starts sessions of its own organization alone, and reads those", async () => {
    const [of, stranger] = [await backend(), await backend()];
    const session = await openedSession(of);
    assert.deepEqual(await call(service, "create_connect_session", creation({ ...of, key: stranger.key })), { outcome: "foreign_organization" });
    const lacking = await keyOf(of.organization, ["connections:credentials"]);
    assert.deepEqual(await call(service, "create_connect_session", creation({ ...of, key: lacking })), { outcome: "foreign_organization" });
    for (const key of [stranger.key, lacking, randomUUID()]) {
      assert.deepEqual(await call(service, "find_connect_session", { p_service_key: key, p_id: session.id }), { outcome: "unknown" });
      assert.deepEqual(await admit({ ...session, key }), { outcome: "unknown" });
    }
    assert.deepEqual(await call(service, "create_connect_session", creation(of, { p_scopes: { github: [] } })), { outcome: "foreign_scopes" });
    assert.deepEqual(await call(service, "create_connect_session", creation(of, { p_reconnects: randomUUID() })), { outcome: "unknown_integration" });
  });

  test("an organization has at most 1,000 unfinished sessions, also at once", async () => {
    const of = await backend();
    await owner`
      insert into private.connect_sessions (id, token_hash, created_by, organization_id, external_user_id, integration_types, return_url, code_challenge)
      select gen_random_uuid(), encode(sha256(convert_to(gen_random_uuid()::text, 'UTF8')), 'hex'), ${of.key}, ${of.organization}, 'u', '{supabase}',
        'https://app.example/', ${CHALLENGE} from generate_series(1, 990)`;
    const answers = await Promise.all(Array.from({ length: 20 }, () => call(service, "create_connect_session", creation(of))));
    assert.equal(answers.filter(({ outcome }) => outcome === "created").length, 10);
    await owner`update private.connect_sessions set expires_at = now() where organization_id = ${of.organization}`;
    assert.equal((await call(service, "create_connect_session", creation(of))).outcome, "created");
  });

  // Threat model 215.
  test("an end user has at most 50 unfinished sessions in an organization, also at once, and leaves room for the others", async () => {
    const of = await backend();
    const answers = await Promise.all(Array.from({ length: 60 }, () => call(service, "create_connect_session", creation(of))));
    assert.deepEqual(answers.map(({ outcome }) => outcome).sort(), [...Array(50).fill("created"), ...Array(10).fill("too_many")]);
    assert.equal((await call(service, "create_connect_session", creation(of, { p_external_user_id: "u2" }))).outcome, "created");
    assert.equal((await call(service, "create_connect_session", creation(await backend()))).outcome, "created");
    await owner`update private.connect_sessions set expires_at = now() where organization_id = ${of.organization}`;
    assert.equal((await call(service, "create_connect_session", creation(of))).outcome, "created");
  });

  // Threat model 215.
  test("an end user tries sixty credentials in ten minutes, however many sessions are started, and other end users go on", async () => {
    const of = await backend();
    const attempts = async (session, count) => {
      const outcomes = [];
      for (let n = 0; n < count; n++) {
        const args = { p_user_id: null, p_organization_id: of.organization, p_connect_session_id: session.id };
        outcomes.push((await call(service, "check_credential_attempts", args)).outcome);
      }
      return outcomes;
    };
    for (let n = 0; n < 6; n++) {
      assert.deepEqual(await attempts(await openedSession(of), 11), [...Array(10).fill("admitted"), "too_many"]);
    }
    assert.deepEqual(await attempts(await openedSession(of), 1), ["too_many"]);
    assert.deepEqual(await attempts(await openedSession(of, { p_external_user_id: "u2" }), 1), ["admitted"]);
  });

  test("a session that is opened late, or that lasts, ends within an hour, and is deleted a day later", async () => {
    const session = await openedSession(await backend());
    await owner`update private.connect_sessions set created_at = now() - interval '55 minutes' where id = ${session.id}`;
    await owner`select private.extend_connect_session(${session.id})`;
    const [{ left }] = await owner`select extract(epoch from expires_at - now())::int as left from private.connect_sessions where id = ${session.id}`;
    assert.ok(left > 200 && left <= 300, `${left} seconds`);
    await owner`update private.connect_sessions set expires_at = now() - interval '23 hours' where id = ${session.id}`;
    await call(service, "clean_up", { p_event_days: 400 });
    assert.equal(await stateOf(session), "expired");
    await owner`update private.connect_sessions set expires_at = now() - interval '25 hours' where id = ${session.id}`;
    await call(service, "clean_up", { p_event_days: 400 });
    assert.deepEqual(await call(service, "find_connect_session", { p_service_key: session.key, p_id: session.id }), { outcome: "unknown" });
  });
});
