// The schedule's checks, and the pauses that providers ask for. On a stack of its own: a run takes whatever is due, and a pause holds for
// everybody.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { check, expireCheck, isQuestion, questionOf, verdictsOf } from "../support/checks.mjs";
import { answer } from "../support/faults.mjs";
import { insertRows, ownStackFixture } from "../support/own-stack.mjs";
import { connection, leaseOf, redemptionOf, refresh, refreshesOf, rowOf, setTokenExpiry } from "../support/refresh.mjs";

/** How many checks run side by side (jobs/scheduled_checks.rs). */
const LANES = 5;
const DAILY = "0 3 * * *";

describe("the schedule's checks", () => {
  const fixture = ownStackFixture("health-schedule");
  const questions = ({ tokens }) => fixture.server.count(questionOf(tokens.access_token)) - 1;
  const due = (seconds = 3600) => ({ seconds, scan_schedule: DAILY, next_check_at: new Date(Date.now() - 60_000) });
  /** The project that a row of insertRows has is named after the row, whose id its token ends in; `over` are others that its grant covers. */
  const answering = (over = {}) => ({ request, response }) => {
    const id = request.headers.authorization.slice(-36);
    const project = { ref: over[id] ?? id, name: "n" };
    const asked = request.path.split("/")[3];
    const found = asked === undefined ? [project] : asked === project.ref && project;
    answer(found ? 200 : 404, found || { message: "Project not found" })({ request, response });
  };
  const statuses = async (ids) => {
    const rows = await fixture.sql`select id, status, status_reason from public.integrations where id = any (${ids})`;
    const of = new Map(rows.map(({ id, status, status_reason }) => [id, [status, status_reason]]));
    return ids.map((id) => of.get(id));
  };
  const paused = async () => (await fixture.sql`select from private.provider_pauses where until > now()`).length > 0;
  const pausesOf = (ids) => fixture.sql`
    select endpoint, extract(epoch from until - now())::int as left from private.integration_pauses
    where integration_id = any (${ids}) and until > now()`;

  it("scheduled checks ask for what is due, and plan the next", async () => {
    const [mine, other] = [await connection(fixture), await connection(fixture)];
    for (const { browser, id } of [mine, other]) (await browser.patch(`/api/integrations/${id}`, { scan_schedule: DAILY })).expect(200);
    await fixture.worker.scheduled();
    assert.deepEqual([mine, other].map(questions), [0, 0], "none is due");
    await fixture.sql`update public.integrations set next_check_at = now() where id = ${mine.id}`;
    await fixture.worker.scheduled();
    await fixture.worker.scheduled();
    assert.deepEqual([mine, other].map(questions), [1, 0]);
    const shown = (await mine.browser.get(`/api/integrations/${mine.id}`)).expect(200).json;
    assert.equal(shown.status, "active");
    assert.ok(Date.now() - Date.parse(shown.last_checked_at) < 60_000);
    const next = Date.parse(shown.next_check_at);
    assert.ok(next > Date.now() && new Date(next).toISOString().endsWith("T03:00:00.000Z"));
    const { events } = (await mine.browser.get(`/api/integrations/${mine.id}/events`)).expect(200).json;
    assert.deepEqual(events.slice(0, 2).map(({ action, outcome, reason, actor, user_id }) => [action, outcome, reason, actor, user_id]), [
      ["checked", "active", null, "service", null],
      ["opened", "succeeded", "check", "service", null],
    ]);
  });

  it("scheduled checks find the state of each integration, whatever happens to the others", async () => {
    const ids = await insertRows(fixture, 4, due());
    const [good, gone, broken, garbled] = ids;
    await fixture.sql`update public.integrations set config = config || '{"access_token": "a.b.c"}' where id = ${broken}`;
    await fixture.sql`update public.integrations set scan_schedule = 'every now and then' where id = ${garbled}`;
    const restore = fixture.server.fault(isQuestion, answering({ [gone]: "zyxwvutsrqponmlkjihg" }));
    await fixture.worker.scheduled();
    restore();
    assert.deepEqual(await statuses(ids), [["active", null], ["revoked", "account_gone"], ["degraded", "unreadable"], ["active", null]]);
    const next = await Promise.all(ids.map(async (id) => (await rowOf(fixture, id)).next_check_at));
    assert.deepEqual(next.map((moment) => moment !== null), [true, false, true, false], "no schedule, no next check");
    await fixture.worker.logged(new RegExp(`not checked: integrations ${broken}`));
  });

  it("scheduled checks refresh an expiring or rejected token first", async () => {
    const [ending, refused] = [await connection(fixture), await connection(fixture)];
    await setTokenExpiry(fixture, ending.id, 60);
    await fixture.sql`update public.integrations set scan_schedule = ${DAILY}, next_check_at = now()`;
    const restore = fixture.server.fault(questionOf(refused.tokens.access_token), answer(401, {}));
    await fixture.worker.scheduled();
    restore();
    assert.deepEqual(await statuses([ending.id, refused.id]), [["active", null], ["active", null]]);
    for (const { id } of [ending, refused]) {
      assert.deepEqual(await refreshesOf(fixture, id), [["refreshed", "succeeded", null]]);
      assert.deepEqual(await verdictsOf(fixture, id), [["active", null]]);
    }
  });

  it("scheduled checks skip reconnect_required until it is reconnected", async () => {
    const made = await connection(fixture);
    const [{ name: login }] = await fixture.sql`select name from public.integrations where id = ${made.id}`;
    await fixture.sql`update public.integrations set scan_schedule = ${DAILY}, next_check_at = now()`;
    const restore = fixture.server.fault(isQuestion, answer(401, {}));
    const spent = fixture.server.fault(redemptionOf(made.tokens.refresh_token), answer(400, { error: "invalid_grant" }));
    await fixture.worker.scheduled();
    assert.deepEqual(await statuses([made.id]), [["reconnect_required", "invalid_grant"]]);
    const before = fixture.server.requests.length;
    await fixture.worker.scheduled();
    assert.equal(fixture.server.requests.length, before);
    restore();
    spent();
    assert.equal(await made.browser.connect(login), made.id);
    await expireCheck(fixture, made.id);
    await fixture.worker.scheduled();
    assert.deepEqual(await verdictsOf(fixture, made.id), [["reconnect_required", "invalid_grant"], ["active", null]]);
  });

  it("scheduled checks check each of five hundred due rows once, in one run", async () => {
    const ids = await insertRows(fixture, 500, due());
    const restore = fixture.server.fault(isQuestion, answering());
    const before = fixture.server.requests.length;
    await fixture.worker.scheduled();
    restore();
    const asked = fixture.server.requests.slice(before).map(({ headers }) => headers.authorization);
    assert.deepEqual([asked.length, new Set(asked).size], [ids.length, ids.length]);
    assert.deepEqual(new Set((await statuses(ids)).map(([status]) => status)), new Set(["active"]));
  });

  it("scheduled checks of two workers at once check each row once", async () => {
    const ids = await insertRows(fixture, 100, due());
    const second = await fixture.start();
    const restore = fixture.server.fault(isQuestion, async (exchange) => {
      await exchange.delay(20);
      answering()(exchange);
    });
    const before = fixture.server.requests.length;
    await Promise.all([fixture.worker.scheduled(), second.scheduled(), fixture.worker.scheduled()]);
    restore();
    assert.equal(fixture.server.requests.length - before, ids.length);
    const [{ count }] = await fixture.sql`select count(*)::int from public.credential_events where action = 'checked' and integration_id = any (${ids})`;
    assert.equal(count, ids.length);
  });

  it("scheduled checks do not wait for a failed provider once for each customer, and declare no live grant dead", async () => {
    const ids = await insertRows(fixture, 60, due());
    const restore = fixture.server.fault(isQuestion, answer(502, "<html>"));
    const before = fixture.server.requests.length;
    await fixture.worker.scheduled();
    const asked = fixture.server.requests.length - before;
    assert.ok(asked >= LANES && asked < 3 * LANES, `${asked} requests`);
    restore();
    assert.deepEqual(
      (await statuses(ids)).filter(([status]) => status === "degraded"),
      Array.from({ length: asked }, () => ["degraded", "provider_failed"]),
    );
    assert.equal(await paused(), false);
    const well = fixture.server.fault(isQuestion, answering());
    await fixture.worker.scheduled();
    well();
    assert.equal(fixture.server.requests.length - before, ids.length, "the others are asked for in the next run");
    assert.equal((await statuses(ids)).filter(([status]) => status === "degraded").length, asked);
  });

  it("scheduled checks of a slow provider run side by side", async () => {
    await insertRows(fixture, 10, due());
    const restore = fixture.server.fault(isQuestion, async (exchange) => {
      await exchange.delay(500);
      answering()(exchange);
    });
    const begun = Date.now();
    await fixture.worker.scheduled();
    restore();
    const took = Date.now() - begun;
    assert.ok(took < 10 * 500, `${took} ms`);
  });

  describe("a provider that wants no more requests", () => {
    for (const [what, status, headers, seconds] of [
      ["429 with Retry-After", 429, { "retry-after": "120" }, 120],
      ["429 with a limit that is used up", 429, { "x-ratelimit-limit": "120", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "45" }, 45],
      ["403 with a limit that is used up until a moment", 403, () => ({ "x-ratelimit-remaining": "0", "x-ratelimit-reset": `${Math.floor(Date.now() / 1000) + 1800}` }), 1800],
      ["429 with RateLimit-Reset", 429, { "ratelimit-remaining": "0", "ratelimit-reset": "30" }, 30],
      ["429 for a day", 429, { "retry-after": "86400" }, 3600],
    ]) {
      it(`a provider that answers ${what} is left alone for ${seconds} s by those that were told so, and by nobody else`, async (t) => {
        const limited = await insertRows(fixture, 20, due());
        const others = await insertRows(fixture, 20, due());
        const well = fixture.server.fault(isQuestion, answering());
        const restore = fixture.server.fault(
          ({ path, headers }) => isQuestion({ path }) && limited.includes(headers.authorization.slice(-36)),
          answer(status, { message: "API rate limit exceeded" }, typeof headers === "function" ? headers() : headers),
        );
        // Also where this test fails: the next ones connect.
        t.after(well);
        t.after(restore);
        await fixture.worker.scheduled();
        assert.deepEqual(await statuses(limited), limited.map(() => ["degraded", "rate_limited"]));
        assert.deepEqual(await statuses(others), others.map(() => ["active", null]));
        const pauses = await pausesOf(limited);
        assert.equal(pauses.length, limited.length);
        for (const { endpoint, left } of pauses) assert.ok(endpoint === "api" && left <= seconds && left > seconds - 60, `${endpoint} ${left} s`);
        assert.equal(await paused(), false, "the entry says that the limit is a user's");
        restore();

        const before = fixture.server.requests.length;
        await fixture.sql`update public.integrations set next_check_at = now()`;
        await fixture.sql`delete from private.check_claims`;
        await fixture.worker.scheduled();
        assert.equal(fixture.server.requests.length - before, others.length, "also in the next run, those that have to wait do");
      });
    }

    it("a check on demand that meets a rate limit is degraded, and the next has to wait", async () => {
      const made = await connection(fixture);
      const restore = fixture.server.fault(questionOf(made.tokens.access_token), answer(429, {}, { "retry-after": "60" }));
      const { json } = (await check(made)).expect(200);
      assert.deepEqual([json.status, json.status_reason], ["degraded", "rate_limited"]);
      restore();
      await expireCheck(fixture, made.id);
      const refused = (await check(made)).expect(429, "provider_paused");
      assert.ok(Number(refused.headers.get("retry-after")) <= 60 && Number(refused.headers.get("retry-after")) > 0);
      assert.equal((await refresh(made)).expect(200).json.refreshed, true, "its token endpoint has not asked for a pause");
      await fixture.sql`update private.integration_pauses set until = now()`;
      assert.equal((await check(made)).expect(200).json.status, "active");
    });

    it("a check whose refresh meets a rate limit is degraded", async () => {
      const made = await connection(fixture);
      fixture.server.fault(questionOf(made.tokens.access_token), answer(401, {}));
      fixture.server.fault(redemptionOf(made.tokens.refresh_token), answer(429, {}, { "retry-after": "60" }));
      const { json } = (await check(made)).expect(200);
      assert.deepEqual([json.status, json.status_reason], ["degraded", "refresh_failed"]);
      assert.deepEqual((await pausesOf([made.id])).map(({ endpoint }) => endpoint), ["token"]);
    });

    it("a rate limit does not delay a connection, which somebody is waiting for", async () => {
      await fixture.sql`insert into private.provider_pauses select 'supabase', unnest(array['token', 'api']), now() + interval '1 minute'`;
      const made = await connection(fixture);
      assert.equal((await rowOf(fixture, made.id)).status, "active");
    });

    it("a 429 without Retry-After pauses nobody else", async () => {
      const [one, other] = [await connection(fixture), await connection(fixture)];
      fixture.server.fault(questionOf(one.tokens.access_token), answer(429, {}));
      assert.equal((await check(one)).expect(200).json.status_reason, "rate_limited");
      assert.equal(await paused(), false);
      assert.equal((await check(other)).expect(200).json.status, "active");
    });

    for (const [what, header, seconds] of [
      ["in 500 s", () => "500", 500],
      ["on a date in an hour", () => new Date(Date.now() + 3_600_000).toUTCString(), 3600],
      ["in 1 s", () => "1", 30],
      ["soon", () => "soon", 30],
    ]) {
      it(`a refresh that gets Retry-After ${what} leaves the row alone for as long, and half a minute at the least`, async () => {
        const made = await connection(fixture);
        fixture.server.fault(redemptionOf(made.tokens.refresh_token), answer(429, {}, { "retry-after": header() }));
        (await refresh(made)).expect(502, "provider_failed");
        const { retry_at, failed_at } = await leaseOf(fixture, made.id);
        const waits = (retry_at - failed_at) / 1000;
        assert.ok(waits <= seconds + 1 && waits > seconds - 60, `${waits} s`);
        assert.equal((await pausesOf([made.id])).length, what === "soon" ? 0 : 1);
        assert.equal(await paused(), false, "one organisation does not speak for all");
      });
    }

    it("a pause that cannot be stored does not end the run, and the log says so", async () => {
      await insertRows(fixture, 2, due());
      const restore = fixture.server.fault(isQuestion, answer(429, {}, { "retry-after": "60" }));
      const lost = fixture.gateway.fault("/rest/v1/rpc/pause_provider", answer(500, "planted"));
      await fixture.worker.scheduled();
      restore();
      lost();
      await fixture.worker.logged(/the pause that supabase wants could not be written/);
      assert.equal(await paused(), false);
    });
  });

  it("scheduled checks leave nothing claimed if the database fails, and check again what was not written", async () => {
    const [id] = await insertRows(fixture, 1, due());
    const well = fixture.server.fault(isQuestion, answering());
    const restore = fixture.gateway.fault("/rest/v1/rpc/settle_checks", answer(503, ""));
    await fixture.worker.scheduled();
    restore();
    assert.deepEqual(await verdictsOf(fixture, id), []);
    await fixture.sql`update private.check_claims set until = now()`;
    await fixture.worker.scheduled();
    well();
    assert.deepEqual(await verdictsOf(fixture, id), [["active", null]]);
  });

  // Threat model 23.
  it("scheduled checks show no token in any line of the log", async () => {
    const ids = await insertRows(fixture, 3, due());
    const restore = fixture.server.fault(isQuestion, answer(401, { message: randomUUID() }));
    await fixture.worker.scheduled();
    restore();
    const logged = JSON.stringify(fixture.worker.logs());
    for (const id of ids) assert.ok(!logged.includes(`old-0-${id}`) && !logged.includes(`old-${id}`));
  });
});
