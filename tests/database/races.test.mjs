// Callers at the same time, on connections of their own: exactly one of them wins, and nothing is written behind anybody's back.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import { abandonment, addMember, addPending, beginning, call, completion, config, disconnection, KID, lockWait, pending, startServer } from "./support.mjs";

const AT_ONCE = 50;

let server, project, owner, service, many;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
  many = project.connect("authenticator", { role: "service_role" }, AT_ONCE);
  // All connections are open before a race begins.
  await Promise.all(Array.from({ length: AT_ONCE }, () => many`select pg_sleep(0.2)`));
});
after(() => server?.stop());

const tally = (answers) => {
  const counts = {};
  for (const { outcome } of answers) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
};
const together = (count, run) => Promise.all(Array.from({ length: count }, (_, i) => run(i)));
const integrations = (organization) => owner`select * from public.integrations where organization_id = ${organization}`;

/** Runs `first` in a transaction, `second` beside it once that has stopped at a lock, and then commits the first. */
async function interleave(first, second) {
  const a = project.connect("authenticator", { role: "service_role" });
  const b = project.connect("authenticator", { role: "service_role" });
  let pending;
  const begun = await a.begin(async (sql) => {
    const answer = await first(sql);
    pending = second(b);
    pending.catch(() => {});
    await lockWait(owner);
    return answer;
  });
  return [begun, await pending];
}

test("one of 50 callers at once consumes a transaction", async () => {
  for (let round = 0; round < 5; round++) {
    const args = beginning();
    await call(service, "begin_connection", args);
    const { p_state_hash, p_binding_hash, p_user_id } = args;
    const answers = await together(AT_ONCE, () => call(many, "consume_transaction", { p_state_hash, p_binding_hash, p_user_id }));
    assert.deepEqual(tally(answers), { consumed: 1, unknown: AT_ONCE - 1 });
  }
});

test("30 of 50 connections that are started at once fit beside 20 open ones", async () => {
  const user = randomUUID();
  const begin = () => call(many, "begin_connection", beginning({ p_user_id: user }));
  await together(20, begin);
  assert.deepEqual(tally(await together(AT_ONCE, begin)), { begun: 30, too_many: 20 });
});

test("completing the same account 50 times at once makes one row", async () => {
  for (let round = 0; round < 5; round++) {
    const user = randomUUID();
    const answers = await together(AT_ONCE, () => call(many, "complete_connection", completion({ p_user_id: user })));
    assert.deepEqual(tally(answers), { created: 1, exists: AT_ONCE - 1 });
    const [row, ...others] = await integrations(user);
    assert.deepEqual(others, []);
    assert.deepEqual(new Set(answers.map(({ id }) => id)), new Set([row.id]));
  }
});

test("completing 50 accounts under one id at once makes one row, and the others are unknown", async () => {
  const user = randomUUID();
  const p_id = randomUUID();
  const complete = (i) => call(many, "complete_connection", completion({ p_id, p_user_id: user, p_external_account_id: `account ${i}` }));
  assert.deepEqual(tally(await together(AT_ONCE, complete)), { created: 1, unknown: AT_ONCE - 1 });
});

test("completing one pending grant for 50 accounts at once makes one row", async () => {
  const args = pending();
  await addPending(service, args);
  const answers = await together(AT_ONCE, (i) =>
    call(many, "complete_connection", completion({ p_user_id: args.p_user_id, p_external_account_id: `account ${i}`, p_pending_id: args.p_id })));
  assert.deepEqual(tally(answers), { created: 1, unknown: AT_ONCE - 1 });
  assert.equal((await integrations(args.p_user_id)).length, 1);
});

test("completing a pending grant that is being completed answers unknown", async () => {
  const args = pending();
  await addPending(service, args);
  const complete = (account) => (sql) =>
    call(sql, "complete_connection", completion({ p_user_id: args.p_user_id, p_external_account_id: account, p_pending_id: args.p_id }));
  const [first, second] = await interleave(complete("one"), complete("two"));
  assert.deepEqual([first.outcome, second], ["created", { outcome: "unknown" }]);
});

test("completing a pending grant that is being given up writes nothing", async () => {
  const args = pending();
  await addPending(service, args);
  const [discarded, completed] = await interleave(
    (sql) => call(sql, "abandon_connection", abandonment(args)),
    (sql) => call(sql, "complete_connection", completion({ p_user_id: args.p_user_id, p_pending_id: args.p_id })),
  );
  assert.deepEqual([discarded.outcome, completed], ["abandoned", { outcome: "unknown" }]);
  assert.equal((await integrations(args.p_user_id)).length, 0);
});

test("disconnecting 50 times at once disconnects once, with one event", async () => {
  const args = completion();
  await call(service, "complete_connection", args);
  const disconnect = () =>
    call(many, "disconnect_integration", disconnection(args));
  assert.deepEqual(tally(await together(AT_ONCE, disconnect)), { disconnected: 1, unknown: AT_ONCE - 1 });
  const events = await owner`select action from public.credential_events where integration_id = ${args.p_id} order by id`;
  assert.deepEqual(events.map((event) => event.action), ["connected", "opened", "disconnected"]);
});

test("reconnecting waits for a disconnection and then makes the row anew", async () => {
  const args = completion();
  await call(service, "complete_connection", args);
  const [disconnected, completed] = await interleave(
    (sql) => call(sql, "disconnect_integration", disconnection(args)),
    (sql) => call(sql, "complete_connection", { ...args, p_config: config(KID.b) }),
  );
  assert.deepEqual([disconnected.outcome, completed], ["disconnected", { outcome: "created", id: args.p_id }]);
  const [row] = await integrations(args.p_organization_id);
  assert.deepEqual(row.config, config(KID.b));
});

test("a disconnection waits for a reconnecting and removes what that wrote", async () => {
  const args = completion();
  await call(service, "complete_connection", args);
  const [completed, disconnected] = await interleave(
    (sql) => call(sql, "complete_connection", { ...args, p_config: config(KID.b) }),
    (sql) => call(sql, "disconnect_integration", disconnection(args)),
  );
  assert.deepEqual([completed.outcome, disconnected.outcome], ["updated", "disconnected"]);
  assert.equal((await integrations(args.p_organization_id)).length, 0);
});

test("a row that moves to another organization while a disconnection waits is left alone", async () => {
  const [user, organization, other] = [randomUUID(), randomUUID(), randomUUID()];
  await addMember(owner, organization, user);
  const args = completion({ p_user_id: user, p_organization_id: organization });
  await call(service, "complete_connection", args);
  const [, answer] = await interleave(
    async (sql) => {
      await sql`update public.organization_members set role = 'admin' where user_id = ${user}`;
      await sql`update public.integrations set organization_id = ${other} where id = ${args.p_id}`;
    },
    (sql) => call(sql, "disconnect_integration", disconnection(args)),
  );
  assert.deepEqual(answer, { outcome: "unknown" });
  assert.equal((await integrations(other)).length, 1);
});

test("disconnect_integration waits for a demotion to member and then rejects the member", async () => {
  const [user, organization] = [randomUUID(), randomUUID()];
  await addMember(owner, organization, user);
  const args = completion({ p_user_id: user, p_organization_id: organization });
  await call(service, "complete_connection", args);
  let answer;
  await interleave(
    (sql) => sql`update public.organization_members set role = 'member' where user_id = ${user}`,
    async (sql) => {
      answer = await call(sql, "disconnect_integration", disconnection(args)).catch((error) => error);
    },
  );
  assert.equal(answer.code, "IK002", JSON.stringify(answer));
  assert.equal((await integrations(organization)).length, 1);
});

test("connecting and disconnecting one account at random never makes two rows, and the events match the row", async () => {
  const user = randomUUID();
  const ids = new Set();
  await together(AT_ONCE * 4, async (i) => {
    if (i % 2) {
      const args = completion({ p_user_id: user });
      const first = await call(many, "complete_connection", args);
      ids.add(first.id);
      // As the worker does: sealed again for the row that exists.
      if (first.outcome === "exists") await call(many, "complete_connection", { ...args, p_id: first.id });
    } else {
      for (const p_id of ids) {
        await call(many, "disconnect_integration", disconnection({ p_id, p_user_id: user }));
      }
    }
  });
  const rows = await integrations(user);
  assert.ok(rows.length <= 1, `${rows.length} rows`);
  const [{ standing }] = await owner`
    select coalesce(sum(case action when 'connected' then 1 when 'disconnected' then -1 else 0 end), 0)::int as standing
    from public.credential_events where organization_id = ${user}`;
  assert.equal(standing, rows.length);
});

for (const name of ["complete_connection", "consume_transaction", "disconnect_integration", "begin_connection", "offer_accounts"]) {
  const fixture = async () => {
    const [user, organization] = [randomUUID(), randomUUID()];
    const who = { p_user_id: user, p_organization_id: organization };
    await addMember(owner, organization, user);
    const begun = beginning(who);
    const completed = completion(who);
    const grant = pending(who);
    await addPending(service, { ...grant, p_accounts: null });
    await call(service, "begin_connection", begun);
    await call(service, "complete_connection", completed);
    const { p_state_hash, p_binding_hash } = begun;
    const args = {
      complete_connection: completion({ ...who, p_external_account_id: "another" }),
      consume_transaction: { p_state_hash, p_binding_hash, p_user_id: user },
      disconnect_integration: disconnection(completed),
      begin_connection: beginning(who),
      offer_accounts: { p_id: grant.p_id, p_user_id: user, p_accounts: grant.p_accounts },
    }[name];
    const remove = (sql) => sql`delete from public.organization_members where organization_id = ${organization} and user_id = ${user}`;
    return { remove, args, organization };
  };
  const refused = name === "disconnect_integration" ? "unknown" : "not_a_member";

  test(`${name} waits for a member's removal and then rejects the member`, async () => {
    const { remove, args, organization } = await fixture();
    const rows = await integrations(organization);
    const [, answer] = await interleave(remove, (sql) => call(sql, name, args));
    assert.deepEqual(answer, { outcome: refused });
    assert.deepEqual([...(await integrations(organization))], [...rows]);
  });

  test(`a member's removal waits for ${name}`, async () => {
    const { remove, args } = await fixture();
    const [answer, removed] = await interleave((sql) => call(sql, name, args), remove);
    assert.notEqual(answer.outcome, refused);
    assert.equal(removed.count, 1);
  });

  test(`${name} continues when a member's removal is rolled back`, async () => {
    const { remove, args } = await fixture();
    const undone = new Error("undone");
    let pending;
    await assert.rejects(
      project.connect("authenticator", { role: "service_role" }).begin(async (sql) => {
        await remove(sql);
        pending = call(service, name, args);
        await lockWait(owner);
        throw undone;
      }),
      undone,
    );
    assert.notEqual((await pending).outcome, refused);
  });
}
