// One row that cannot be read costs nobody else anything (threat model 104). On a stack of its own: the schedule takes whatever is due.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { check, isQuestion, laterChecked } from "../support/checks.mjs";
import { answer } from "../support/faults.mjs";
import { insertRows, ownScene } from "../support/own-stack.mjs";
import { connection, endsIn, later, refresh, refreshesOf, rowOf } from "../support/refresh.mjs";

const HEALTHY = 40;
const DEEP = `{"deep": ${"[".repeat(130)}${"]".repeat(130)}}`;
/** What serde_json would take for a number, and write as one. */
const ALIAS = '{"alias": {"$serde_json::private::Number": "7"}}';
const BROKEN_ALIAS = '{"alias": {"$serde_json::private::Number": "planted"}}';
const UNREADABLE = [DEEP, ALIAS, BROKEN_ALIAS];
const HUGE = '{"huge": 1e400, "exact": 123456789012345678901234567890.10}';

describe("a row that cannot be read", () => {
  const scene = ownScene("rows-unreadable");
  const plant = async (id, text) => {
    await scene.sql`update public.integrations set config = config || (${text}::text)::jsonb where id = ${id}`;
  };
  const planted = async (columns) => {
    const ids = await insertRows(scene, UNREADABLE.length, columns);
    for (const [i, id] of ids.entries()) await plant(id, UNREADABLE[i]);
    return ids;
  };
  const statuses = async (ids) => {
    const rows = await scene.sql`select status, status_reason from public.integrations where id = any (${ids})`;
    return rows.map(({ status, status_reason }) => [status, status_reason]);
  };
  const each = (count, status) => Array.from({ length: count }, () => status);

  it("is backed off and named, and all others are refreshed", async () => {
    const unreadable = await planted({ seconds: 30 });
    const huge = await insertRows(scene, 1, { seconds: 30 });
    await plant(huge[0], HUGE);
    const healthy = await insertRows(scene, HEALTHY, { seconds: 60 });
    const kept = () => scene.sql`select (config -> 'huge')::text as huge, (config -> 'exact')::text as exact from public.integrations where id = ${huge[0]}`;
    const before = await kept();
    const granted = scene.server.fault("/v1/oauth/token", ({ request, response }) => {
      answer(200, { access_token: "new", refresh_token: "next", token_type: "bearer", expires_in: 3600 })({ request, response });
    });
    await scene.worker.scheduled();
    granted();
    for (const id of [...healthy, ...huge]) assert.deepEqual(await refreshesOf(scene, id), [["refreshed", "succeeded", null]]);
    assert.deepEqual(await kept(), before, "no number was changed");
    assert.deepEqual(await statuses(unreadable), each(UNREADABLE.length, ["degraded", "unreadable"]));
    for (const id of unreadable) {
      assert.deepEqual(await refreshesOf(scene, id), [["refresh_failed", "failed", "unreadable"]]);
      await scene.worker.logged(new RegExp(`integrations ${id}: not refreshed`));
    }
    await scene.worker.logged(/refresh: 3 of the claimed integrations could not be read/);
    await scene.worker.scheduled();
    assert.equal((await refreshesOf(scene, unreadable[0])).length, 1, "it is not tried again at once");
  });

  it("is degraded by its check, and all others are checked", async () => {
    const due = { seconds: 3600, scan_schedule: "0 3 * * *", next_check_at: new Date(Date.now() - 60_000) };
    const unreadable = await planted({ ...due, next_check_at: new Date(Date.now() - 120_000) });
    const healthy = await insertRows(scene, HEALTHY, due);
    const mend = scene.server.fault(isQuestion, ({ request, response }) => {
      answer(200, { ref: request.headers.authorization.slice(-36), name: "n" })({ request, response });
    });
    await scene.worker.scheduled();
    mend();
    assert.deepEqual(await statuses(unreadable), each(UNREADABLE.length, ["degraded", "unreadable"]));
    const checked = await scene.sql`select last_checked_at from public.integrations where id = any (${healthy})`;
    assert.equal(checked.filter(({ last_checked_at }) => last_checked_at).length, HEALTHY);
    await scene.worker.logged(/check: \d of the claimed integrations could not be read/);
  });

  for (const [i, text] of UNREADABLE.entries()) {
    it(`can be checked, shown and disconnected by its user (${i + 1})`, async () => {
      const made = await connection(scene);
      await plant(made.id, text);
      const { json } = (await check(made)).expect(200);
      assert.deepEqual([json.status, json.status_reason], ["degraded", "unreadable"]);
      await endsIn(scene, made.id, 30);
      await laterChecked(scene, made.id);
      await later(scene, made.id);
      assert.equal((await check(made)).expect(200).json.status_reason, "unreadable", "also where a refresh comes first");
      await later(scene, made.id);
      (await refresh(made)).expect(500);
      const shown = (await made.browser.get(`/api/integrations/${made.id}`)).expect(200).json;
      assert.deepEqual([shown.status, shown.status_reason], ["degraded", "unreadable"]);
      const { revoked } = (await made.browser.delete(`/api/integrations/${made.id}`)).expect(200).json;
      assert.equal(revoked, text === ALIAS, "what can be parsed is revoked, as nothing is written back");
      assert.equal(await rowOf(scene, made.id), undefined);
    });
  }
});
