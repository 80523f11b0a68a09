// The audit log: every credential that is handed out leaves an event, or is not handed out; members read their organisation's.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { addMember, addPending, call, completion, disconnection, KID, pending, startServer } from "./support.mjs";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());

const trail = async (id, sql = owner) => [
  ...(await sql`
    select action, actor, user_id, outcome, reason, request_id from public.credential_events where integration_id = ${id} order by id`),
];
const connected = async (over = {}) => {
  const args = completion(over);
  assert.equal((await call(service, "complete_connection", args)).outcome, "created");
  return args;
};

describe("opened", () => {
  const openings = async (id) => (await trail(id)).filter(({ action }) => action === "opened");

  test("claim_revocations leaves an opened event of the worker, with the purpose revoke", async () => {
    const args = pending();
    await addPending(service, args);
    await owner`update public.pending_connections set expires_at = now() where id = ${args.p_id}`;
    const claim = { p_owner: randomUUID(), p_limit: 100, p_types: ["supabase"], p_wide_types: [], p_request_id: "r1" };
    const { claims } = await call(service, "claim_revocations", claim);
    assert.deepEqual(JSON.parse(claims.find(({ id }) => id === args.p_id).config), args.p_config);
    assert.deepEqual(await openings(args.p_id), [
      { action: "opened", actor: "service", user_id: null, outcome: "succeeded", reason: "revoke", request_id: "r1" },
    ]);
  });

  test("pending_connection leaves an opened event with a reason, and hands out no credentials without one", async () => {
    const args = pending();
    await addPending(service, args);
    const asked = { p_id: args.p_id, p_user_id: args.p_user_id };
    const looked = await call(service, "pending_connection", { ...asked, p_reason: null });
    assert.deepEqual([looked.outcome, looked.config, looked.accounts], ["waiting", {}, args.p_accounts]);
    assert.deepEqual(await openings(args.p_id), []);
    assert.deepEqual((await call(service, "pending_connection", { ...asked, p_reason: "discard" })).config, args.p_config);
    assert.deepEqual((await openings(args.p_id)).map(({ reason }) => reason), ["discard"]);
  });

  test("a caller who is handed nothing leaves no opened event", async () => {
    const waiting = pending();
    await addPending(service, waiting);
    assert.deepEqual(await call(service, "pending_connection", { p_id: waiting.p_id, p_user_id: randomUUID() }), { outcome: "unknown" });
    assert.deepEqual(await openings(waiting.p_id), []);
  });

  test("nothing is handed out if its opened event cannot be written", async () => {
    const waiting = pending();
    await addPending(service, waiting);
    // The bound of request_id: any fault of the insert does.
    const over = { p_request_id: "x".repeat(201) };
    const asked = ({ p_id, p_user_id }) => ({ p_id, p_user_id, ...over });
    await assert.rejects(call(service, "pending_connection", asked(waiting)), { code: "23514" });
  });
});

describe("what an event may say", () => {
  const write = (over) => {
    const event = {
      actor: "user", user_id: randomUUID(), organization_id: randomUUID(), integration_id: randomUUID(), integration_type: "supabase",
      action: "opened", outcome: "succeeded", reason: "test", ...over,
    };
    return owner`insert into public.credential_events ${owner(event)}`;
  };

  test("an event needs a known actor, action and outcome, a short reason, and a named user", async () => {
    await write({});
    await write({ actor: "service", user_id: null });
    await write({ actor: "keytool", user_id: null, integration_id: null, integration_type: null, details: owner.json({ rows: 1 }) });
    for (const over of [
      { actor: "root" }, { integration_id: null }, { integration_id: null, integration_type: null }, { details: owner.json({ text: "x".repeat(5000) }) }, { action: "borrowed" }, { outcome: "perhaps" }, { reason: "" }, { reason: "x".repeat(65) }, { user_id: null },
    ]) {
      await assert.rejects(write(over), { code: "23514" }, JSON.stringify(over));
    }
  });

  test("an event without the new columns is a user's", async () => {
    const id = randomUUID();
    await owner`
      insert into public.credential_events (user_id, organization_id, integration_id, integration_type, action, outcome)
      values (${randomUUID()}, ${randomUUID()}, ${id}, 'supabase', 'connected', 'succeeded')`;
    assert.equal((await trail(id))[0].actor, "user");
  });
});

describe("who reads", () => {
  test("members read their organization's events, also of a deleted integration", async () => {
    const [member, stranger, organization] = [randomUUID(), randomUUID(), randomUUID()];
    await addMember(owner, organization, member);
    const args = await connected({ p_user_id: member, p_organization_id: organization });
    await call(service, "disconnect_integration", disconnection(args));
    const seen = await trail(args.p_id, project.user(member));
    assert.deepEqual(seen.map(({ action, outcome }) => [action, outcome]), [
      ["connected", "succeeded"], ["opened", "succeeded"], ["disconnected", "succeeded"],
    ]);
    assert.deepEqual(await trail(args.p_id, project.user(stranger)), []);
    await owner`delete from public.organization_members where user_id = ${member}`;
    assert.deepEqual(await trail(args.p_id, project.user(member)), []);
  });

  test("nobody reads the provider's account in an event, and a visitor reads no event", async () => {
    const args = await connected();
    await assert.rejects(project.user(args.p_user_id)`select external_account_id from public.credential_events`, { code: "42501" });
    await assert.rejects(trail(args.p_id, project.user(null)), { code: "42501" });
  });

  test("events are read by an index, newest first", async () => {
    const args = await connected();
    await owner`
      insert into public.credential_events (user_id, organization_id, integration_id, integration_type, action, outcome)
      select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'supabase', 'opened', 'succeeded' from generate_series(1, 5000)`;
    await owner`analyze public.credential_events`;
    const plan = await project.user(args.p_user_id)`
      explain select id from public.credential_events where integration_id = ${args.p_id} order by id desc limit 51`;
    assert.match(plan.map((row) => row["QUERY PLAN"]).join("\n"), /Index Scan Backward using credential_events_integration/);
  });
});
