// The schedule's refreshes: what ends soon, in batches, within the time that a run has. On a stack of its own: its run takes whatever is
// due, and a fence holds for every writer.
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { afterEach, before, describe, it } from "node:test";

import { keyId } from "../format/format.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { registerClient } from "../support/clients.mjs";
import { answer, held, late } from "../support/faults.mjs";
import { takesAccessToken } from "../support/grants.mjs";
import { dataKeysOf, opened } from "../support/integrations.mjs";
import { insertRows, ownStackFixture } from "../support/own-stack.mjs";
import {
  assertAlive, connection, dueLeft, expireBackoff, leaseOf, redemptionOf, refresh, refreshesOf, rowOf, setTokenExpiry, tokensOf,
} from "../support/refresh.mjs";
import { until } from "../support/wait.mjs";

const TOKEN_PATH = "/v1/oauth/token";
/** How many redemptions run side by side (jobs/scheduled_refreshes.rs). */
const LANES = 5;

describe("the schedule", () => {
  const fixture = ownStackFixture("refresh-schedule");
  const { start } = fixture;
  const redemptions = ({ tokens }) => fixture.server.count(redemptionOf(tokens.refresh_token));

  it("the schedule refreshes what ends within ten minutes, and nothing else", async () => {
    const [soon, over, fresh, lost] = await Promise.all(Array.from({ length: 4 }, () => connection(fixture)));
    await Promise.all([setTokenExpiry(fixture, soon.id, 500), setTokenExpiry(fixture, over.id, -3600), setTokenExpiry(fixture, fresh.id, 700), setTokenExpiry(fixture, lost.id, 60)]);
    await fixture.sql`update public.integrations set status = 'reconnect_required' where id = ${lost.id}`;
    await fixture.worker.scheduled();
    assert.deepEqual([soon, over, fresh, lost].map(redemptions), [1, 1, 0, 0]);
    for (const { id } of [soon, over]) {
      await assertAlive(fixture, id);
      assert.deepEqual(await refreshesOf(fixture, id), [["refreshed", "succeeded", null]]);
      const [{ actor, user_id }] = await fixture.sql`select actor, user_id from public.credential_events where integration_id = ${id} and action = 'refreshed'`;
      assert.deepEqual([actor, user_id], ["service", null]);
    }
    await fixture.worker.scheduled();
    assert.deepEqual([soon, over, fresh, lost].map(redemptions), [1, 1, 0, 0], "a second run finds nothing to do");
  });

  // Threat model 231.
  it("the schedule refreshes and revokes the grants of organizations' own apps, also where the deployment has no client", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const client = await registerClient(fixture.info, [`${fixture.worker.url}/api/auth/callback/supabase`]);
    const { client_id, client_secret } = client;
    const app = { integration_type: "supabase", name: "Ours", client_id, client_secret };
    const { id: oauth_app_id } = (await browser.post("/api/oauth-apps", app)).expect(201).json;
    const login = `own-${randomUUID()}`;
    const id = await browser.connect(login, { oauth_app_id });
    const { refresh_token } = await tokensOf(fixture, id);
    await setTokenExpiry(fixture, id, 60);
    const bare = await start({ SUPABASE_CLIENT_ID: undefined, SUPABASE_CLIENT_SECRET: undefined, CREDENTIAL_TYPES: "stripe" });
    await bare.scheduled();
    const [redemption, ...more] = fixture.server.requests.filter(redemptionOf(refresh_token));
    assert.deepEqual([redemption.headers.authorization, more.length], [`Basic ${Buffer.from(`${client_id}:${client_secret}`).toString("base64")}`, 0]);
    await assertAlive(fixture, id);
    // The grant that another app's replaces is revoked with its own.
    const replaced = await tokensOf(fixture, id);
    (await browser.get(await browser.reconsent(id, login, { oauth_app_id: null }))).expect(303);
    await bare.scheduled();
    const revocations = fixture.server.requests.filter(({ path, body }) => path === "/v1/oauth/revoke" && body.includes(replaced.refresh_token));
    assert.deepEqual(revocations.map(({ body }) => JSON.parse(body).client_id), [client_id]);
    assert.equal((await fixture.sql`select from private.pending_revocations where sealed_for = ${id}`).length, 0);
    await assertAlive(fixture, id);
  });

  it("the schedule and callers at the same time make one redemption", async () => {
    const made = await connection(fixture);
    await setTokenExpiry(fixture, made.id, 60);
    fixture.server.fault(redemptionOf(made.tokens.refresh_token), late(1000));
    const [answers] = await Promise.all([
      Promise.all(Array.from({ length: 10 }, () => refresh(made))),
      fixture.worker.scheduled(),
      fixture.worker.scheduled(),
    ]);
    for (const one of answers) assert.equal(one.expect(200).json.refreshed, true);
    assert.equal(redemptions(made), 1);
    await assertAlive(fixture, made.id);
  });

  it("the schedule leaves a failing provider alone for a while", async () => {
    const made = await connection(fixture);
    await setTokenExpiry(fixture, made.id, 60);
    const restore = fixture.server.fault(redemptionOf(made.tokens.refresh_token), answer(500));
    await fixture.worker.scheduled();
    await fixture.worker.scheduled();
    assert.equal(redemptions(made), 1);
    restore();
    await expireBackoff(fixture, made.id);
    await fixture.worker.scheduled();
    await assertAlive(fixture, made.id);
  });

  it("the schedule asks a provider nothing during its pause, once several organizations were told to wait", async () => {
    const ids = await insertRows(fixture, 60, { seconds: 60 });
    const restore = fixture.server.fault(TOKEN_PATH, answer(429, {}, { "retry-after": "60" }));
    const before = fixture.server.requests.length;
    await fixture.worker.scheduled();
    const asked = fixture.server.requests.length - before;
    assert.ok(asked >= 3 && asked < 3 * LANES, `${asked} requests`);
    restore();
    const granted = fixture.server.fault(TOKEN_PATH, granting());
    await fixture.worker.scheduled();
    assert.equal(fixture.server.requests.length - before, asked, "not by the next run either");
    await fixture.sql`update private.provider_pauses set until = now()`;
    await fixture.worker.scheduled();
    granted();
    const [{ refreshed }] = await fixture.sql`
      select count(*)::int as refreshed from public.credential_events where action = 'refreshed' and integration_id = any (${ids})`;
    assert.equal(refreshed, ids.length - asked, "those that were not asked for are not held back");
  });

  it("the schedule asks for all others if one organization is told to wait, however many connections it has", async () => {
    const organization_id = randomUUID();
    const limited = await insertRows(fixture, 20, { seconds: 30, organization_id });
    const others = await insertRows(fixture, 40, { seconds: 60 });
    const isLimited = ({ path, body }) => path === TOKEN_PATH && limited.some((id) => body.includes(`old-${id}`));
    const granted = fixture.server.fault(TOKEN_PATH, granting());
    const restore = fixture.server.fault(isLimited, answer(429, {}, { "retry-after": "600" }));
    await fixture.worker.scheduled();
    granted();
    restore();
    const [{ refreshed }] = await fixture.sql`
      select count(*)::int as refreshed from public.credential_events where action = 'refreshed' and integration_id = any (${others})`;
    assert.equal(refreshed, others.length);
    assert.equal((await fixture.sql`select from private.provider_pauses where until > now()`).length, 0);
    const [{ waiting }] = await fixture.sql`
      select count(*)::int as waiting from private.integration_pauses where integration_id = any (${limited}) and until > now()`;
    assert.equal(waiting, limited.length);
  });

  it("the schedule does not wait for a failed provider once for each customer", async () => {
    const ids = await insertRows(fixture, 60, { seconds: 60 });
    const restore = fixture.server.fault(TOKEN_PATH, answer(500));
    const before = fixture.server.requests.length;
    await fixture.worker.scheduled();
    const asked = fixture.server.requests.length - before;
    assert.ok(asked >= LANES && asked < 3 * LANES, `${asked} requests`);
    restore();
    const granted = fixture.server.fault(TOKEN_PATH, granting());
    await fixture.worker.scheduled();
    granted();
    assert.equal(fixture.server.requests.length - before, ids.length, "the others are asked for in the next run");
  });

  it("a token that cannot be refreshed is reconnect_required once it has ended", async () => {
    const [id] = await insertRows(fixture, 1, { refresh_token: null, seconds: 60 });
    await fixture.worker.scheduled();
    assert.equal((await rowOf(fixture, id)).status, "active");
    await fixture.sql`update public.credential_leases set retry_at = now()`;
    await setTokenExpiry(fixture, id, -1);
    await fixture.worker.scheduled();
    const { status, status_reason } = await rowOf(fixture, id);
    assert.deepEqual([status, status_reason], ["reconnect_required", "not_refreshable"]);
  });

  it("the schedule skips a row that does not open, names it, and does the rest", async () => {
    const [broken, good] = await insertRows(fixture, 2, { seconds: 60 });
    await fixture.sql`update public.integrations set config = config || '{"access_token": "a.b.c"}' where id = ${broken}`;
    const restore = fixture.server.fault(TOKEN_PATH, granting());
    await fixture.worker.scheduled();
    restore();
    await fixture.worker.logged(new RegExp(`${broken}.*not refreshed`));
    assert.deepEqual(await refreshesOf(fixture, broken), [["refresh_failed", "failed", "unreadable"]]);
    assert.deepEqual(await refreshesOf(fixture, good), [["refreshed", "succeeded", null]]);
  });

  it("the schedule refreshes each of a thousand due rows once, in one run", async () => {
    const ids = await insertRows(fixture, 1000, { seconds: 60 });
    const restore = fixture.server.fault(TOKEN_PATH, granting());
    const before = fixture.server.requests.length;
    await fixture.worker.scheduled();
    restore();
    assert.equal(await dueLeft(fixture.sql), 0);
    const redeemed = fixture.server.requests.slice(before).map(({ body }) => new URLSearchParams(body).get("refresh_token"));
    assert.deepEqual([redeemed.length, new Set(redeemed).size], [ids.length, ids.length]);
    const [row] = await fixture.sql`select * from public.integrations where id = ${ids[500]}`;
    assert.match((await opened(fixture.info, row)).refresh_token, /^fresh-/);
  });

  // Threat model 120.
  it("a schedule that has used up its time shares out the rest over a queue, or says that the queue did not take it; each row once", async () => {
    // Each run claims a hundred at once, and another hundred before its time is over.
    const ids = await insertRows(fixture, 600, { seconds: 60 });
    const [sharing, alone] = await Promise.all([start({}, { queue: true }), start({ WORK_QUEUE: { sendBatch: null } })]);
    let slow = true;
    const restore = fixture.server.fault(TOKEN_PATH, async (exchange) => {
      if (slow) await exchange.delay(2000);
      granting()(exchange);
    });
    const before = fixture.server.requests.length;
    // One after the other: at once, the messages of the one would leave nothing to the other.
    await alone.scheduled();
    await alone.logged(/refresh has more to do .* the queue did not take it/);
    await sharing.scheduled();
    assert.ok(await dueLeft(fixture.sql) > 0, "the two runs have left something");
    slow = false;
    await until("the queue's messages have done the rest", async () => (await dueLeft(fixture.sql)) === 0, 60_000);
    restore();
    const redeemed = fixture.server.requests.slice(before).map(({ body }) => new URLSearchParams(body).get("refresh_token"));
    assert.deepEqual([redeemed.length, new Set(redeemed).size], [ids.length, ids.length]);
    // Its messages that are left would take other tests' rows.
    await sharing.stop();
    assert.deepEqual(sharing.logs().map(({ message }) => message), [], "nothing is worth a line");
  });

  it("the schedules of two workers at once redeem each row once", async () => {
    const ids = await insertRows(fixture, 200, { seconds: 60 });
    const second = await start();
    const restore = fixture.server.fault(TOKEN_PATH, granting());
    const before = fixture.server.requests.length;
    await Promise.all([fixture.worker.scheduled(), second.scheduled(), fixture.worker.scheduled()]);
    restore();
    assert.equal(fixture.server.requests.length - before, ids.length);
    const [{ count }] = await fixture.sql`select count(*)::int from public.credential_events where action = 'refreshed' and integration_id = any (${ids})`;
    assert.equal(count, ids.length);
  });

  describe("behind a fence that rejects the worker's key", () => {
    let newer;
    before(async () => {
      const key = randomBytes(32);
      newer = await start({ ENCRYPTION_KEY: key.toString("base64"), FALLBACK_ENCRYPTION_KEYS: fixture.info.encryption_key });
      newer.kid = keyId(key);
      newer.info.encryption_key = key.toString("base64");
    });
    afterEach(() => fixture.sql`select public.lift_fence()`);

    it("behind a fence an organization with a data key is refreshed, and without one no token is redeemed until a worker may make it", async () => {
      const made = await connection(fixture);
      const before = await rowOf(fixture, made.id);
      const [id] = await insertRows(fixture, 1, { seconds: 60 });
      const restore = fixture.server.fault(redemptionOf(`old-${id}`), granting());
      await fixture.sql`select public.declare_fence(array[${newer.kid}])`;
      (await refresh(made)).expect(200);
      assert.deepEqual((await rowOf(fixture, made.id)).config._enc, before.config._enc);
      await assertAlive(fixture, made.id);
      await fixture.worker.scheduled();
      assert.deepEqual(await refreshesOf(fixture, id), [["refresh_failed", "failed", "refused"]]);
      assert.equal(fixture.server.count(redemptionOf(`old-${id}`)), 0);
      const newcomer = await BrowserSession.signedIn(fixture.worker);
      (await newcomer.post("/api/auth/authorize", { integration_type: "supabase" })).expect(503, "upstream_unavailable");
      await expireBackoff(fixture, id);
      await newer.scheduled();
      restore();
      const row = await rowOf(fixture, id);
      const [{ kid, wrapping_kid }] = await dataKeysOf(fixture.info, row.organization_id);
      assert.deepEqual([row.config._enc, wrapping_kid], [{ v: 3, kid }, newer.kid]);
      assert.match((await opened(newer.info, row)).refresh_token, /^fresh-/);
    });
  });

  describe("while the row cannot be written", () => {
    /** Refreshes while another program holds the lock of the row, from before the result is written. */
    async function refreshLocked(made) {
      const { behaviour, arrived, release } = held();
      const restore = fixture.gateway.fault(({ path, body }) => path.endsWith("/rpc/settle_refreshes") && body.includes(made.id), behaviour);
      const refreshed = refresh(made);
      await arrived;
      restore();
      await fixture.sql.begin(async (sql) => {
        await sql`select from public.integrations where id = ${made.id} for update`;
        release();
        (await refreshed).expect(503, "save_failed");
      });
    }

    /** A connection whose refresh could not be written: `{ ...connection, kept }`, the tokens that are kept for it. */
    async function unwritten() {
      const made = await connection(fixture);
      await refreshLocked(made);
      assert.equal(redemptions(made), 1);
      const { journal } = await leaseOf(fixture, made.id);
      const row = await rowOf(fixture, made.id);
      return { ...made, kept: await opened(fixture.info, { ...row, config: journal }), journal };
    }

    it("the answer is kept sealed, and a worker that may write writes it, without the provider", async () => {
      const made = await unwritten();
      assert.ok(!JSON.stringify(made.journal).includes(made.kept.refresh_token));
      assert.deepEqual(await tokensOf(fixture, made.id), made.tokens, "the row is as it was");
      await fixture.sql`update public.credential_leases set retry_at = now()`;
      await fixture.worker.scheduled();
      assert.equal(redemptions(made), 1);
      assert.equal(redemptions({ tokens: made.kept }), 0);
      assert.deepEqual(await tokensOf(fixture, made.id), made.kept);
      assert.equal((await leaseOf(fixture, made.id)).journal, null);
      assert.equal(await takesAccessToken(fixture.info, made.kept.access_token), true);
    });

    it("the worker keeps what it has, and redeems nothing again", async () => {
      const made = await unwritten();
      await refreshLocked(made);
      assert.equal(redemptions(made), 1);
      assert.equal(redemptions({ tokens: made.kept }), 0);
      assert.ok((await leaseOf(fixture, made.id)).journal);
    });

    it("a disconnection revokes what is kept, and leaves nothing", async () => {
      const made = await unwritten();
      assert.equal((await made.browser.delete(`/api/integrations/${made.id}`)).expect(200).json.revoked, true);
      assert.equal(fixture.server.count(({ path: to, body }) => to === "/v1/oauth/revoke" && body.includes(made.kept.refresh_token)), 1);
      assert.equal(await takesAccessToken(fixture.info, made.kept.access_token), false);
      assert.equal(await leaseOf(fixture, made.id), undefined);
    });
  });

  /** A provider that takes every refresh token, and answers at once. */
  function granting() {
    return answer(201, { access_token: `fresh-${randomUUID()}`, refresh_token: `fresh-${randomUUID()}`, token_type: "Bearer", expires_in: 3600 });
  }
});
