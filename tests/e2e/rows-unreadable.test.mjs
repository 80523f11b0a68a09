// One row that cannot be read costs nobody else anything (threat model 104). On a stack of its own: the schedule takes whatever is due.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { check, expireCheck, isQuestion } from "../support/checks.mjs";
import { answer } from "../support/faults.mjs";
import { insertRows, ownStackFixture } from "../support/own-stack.mjs";
import { connection, expireBackoff, refresh, refreshesOf, rowOf, setTokenExpiry } from "../support/refresh.mjs";

const HEALTHY = 40;
const DEEP = `{"deep": ${"[".repeat(130)}${"]".repeat(130)}}`;
/** What serde_json would take for a number, and write as one. */
const ALIAS = '{"alias": {"$serde_json::private::Number": "7"}}';
const BROKEN_ALIAS = '{"alias": {"$serde_json::private::Number": "planted"}}';
const UNREADABLE = [DEEP, ALIAS, BROKEN_ALIAS];
const HUGE = '{"huge": 1e400, "exact": 123456789012345678901234567890.10}';

describe("a row that cannot be read", () => {
  const fixture = ownStackFixture("rows-unreadable");
  const plant = async (id, text) => {
    await fixture.sql`update public.integrations set config = config || (${text}::text)::jsonb where id = ${id}`;
  };
  const planted = async (columns) => {
    const ids = await insertRows(fixture, UNREADABLE.length, columns);
    for (const [i, id] of ids.entries()) await plant(id, UNREADABLE[i]);
    return ids;
  };
  const statuses = async (ids) => {
    const rows = await fixture.sql`select status, status_reason from public.integrations where id = any (${ids})`;
    return rows.map(({ status, status_reason }) => [status, status_reason]);
  };
  const each = (count, status) => Array.from({ length: count }, () => status);

  it("a row that cannot be read is backed off and named, and all others are refreshed", async () => {
    const unreadable = await planted({ seconds: 30 });
    const huge = await insertRows(fixture, 1, { seconds: 30 });
    await plant(huge[0], HUGE);
    const healthy = await insertRows(fixture, HEALTHY, { seconds: 60 });
    const kept = () => fixture.sql`select (config -> 'huge')::text as huge, (config -> 'exact')::text as exact from public.integrations where id = ${huge[0]}`;
    const before = await kept();
    const granted = fixture.server.fault("/v1/oauth/token", ({ request, response }) => {
      answer(200, { access_token: "new", refresh_token: "next", token_type: "bearer", expires_in: 3600 })({ request, response });
    });
    await fixture.worker.scheduled();
    granted();
    for (const id of [...healthy, ...huge]) assert.deepEqual(await refreshesOf(fixture, id), [["refreshed", "succeeded", null]]);
    assert.deepEqual(await kept(), before, "no number was changed");
    assert.deepEqual(await statuses(unreadable), each(UNREADABLE.length, ["degraded", "unreadable"]));
    for (const id of unreadable) {
      assert.deepEqual(await refreshesOf(fixture, id), [["refresh_failed", "failed", "unreadable"]]);
      await fixture.worker.logged(new RegExp(`integrations ${id}: not refreshed`));
    }
    await fixture.worker.logged(/refresh: 3 of the claimed integrations could not be read/);
    await fixture.worker.scheduled();
    assert.equal((await refreshesOf(fixture, unreadable[0])).length, 1, "it is not tried again at once");
  });

  it("a row that cannot be read is degraded by its check, and all others are checked", async () => {
    const due = { seconds: 3600, scan_schedule: "0 3 * * *", next_check_at: new Date(Date.now() - 60_000) };
    const unreadable = await planted({ ...due, next_check_at: new Date(Date.now() - 120_000) });
    const healthy = await insertRows(fixture, HEALTHY, due);
    const restore = fixture.server.fault(isQuestion, ({ request, response }) => {
      answer(200, { ref: request.headers.authorization.slice(-36), name: "n" })({ request, response });
    });
    await fixture.worker.scheduled();
    restore();
    assert.deepEqual(await statuses(unreadable), each(UNREADABLE.length, ["degraded", "unreadable"]));
    const checked = await fixture.sql`select last_checked_at from public.integrations where id = any (${healthy})`;
    assert.equal(checked.filter(({ last_checked_at }) => last_checked_at).length, HEALTHY);
    await fixture.worker.logged(/check: \d of the claimed integrations could not be read/);
  });

  for (const [i, text] of UNREADABLE.entries()) {
    it(`a row that cannot be read can be checked, shown and disconnected by its user (${i + 1})`, async () => {
      const made = await connection(fixture);
      await plant(made.id, text);
      const { json } = (await check(made)).expect(200);
      assert.deepEqual([json.status, json.status_reason], ["degraded", "unreadable"]);
      await setTokenExpiry(fixture, made.id, 30);
      await expireCheck(fixture, made.id);
      await expireBackoff(fixture, made.id);
      assert.equal((await check(made)).expect(200).json.status_reason, "unreadable", "also where a refresh comes first");
      await expireBackoff(fixture, made.id);
      (await refresh(made)).expect(500);
      const shown = (await made.browser.get(`/api/integrations/${made.id}`)).expect(200).json;
      assert.deepEqual([shown.status, shown.status_reason], ["degraded", "unreadable"]);
      const { revoked } = (await made.browser.delete(`/api/integrations/${made.id}`)).expect(200).json;
      assert.equal(revoked, text === ALIAS, "what can be parsed is revoked, as nothing is written back");
      assert.equal(await rowOf(fixture, made.id), undefined);
    });
  }
});
