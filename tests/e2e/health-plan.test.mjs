// When an integration is checked: the cron expression that its organisation gives it.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { check, expireCheck } from "../support/checks.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const DAY_MS = 86_400_000;
const of = (id) => `/api/integrations/${id}`;

describe("a schedule", { concurrency: true }, () => {
  const fixture = workerFixture();

  const made = async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    return { browser, id: await browser.connect(`plan-${randomUUID()}`) };
  };
  const rescheduled = async (id) => {
    const events = await fixture.sql`select actor, user_id, outcome from public.credential_events where integration_id = ${id} and action = 'rescheduled'`;
    return [...events];
  };

  it("setting a schedule answers what GET shows, plans the next check at its next moment, and the trail says who", async () => {
    const { browser, id } = await made();
    const set = (await browser.patch(of(id), { scan_schedule: " 0  3\t* * * " })).expect(200);
    assert.equal(set.json.scan_schedule, "0 3 * * *");
    const next = Date.parse(set.json.next_check_at);
    assert.ok(next > Date.now() && next <= Date.now() + DAY_MS && new Date(next).toISOString().endsWith("T03:00:00.000Z"));
    assert.equal(set.text, (await browser.get(of(id))).expect(200).text);
    assert.deepEqual(await rescheduled(id), [{ actor: "user", user_id: browser.user.id, outcome: "succeeded" }]);
    (await browser.patch(of(id), { scan_schedule: "0 3 * * *" })).expect(200);
    assert.equal((await rescheduled(id)).length, 1, "what is as it was is no event");
  });

  it("a schedule and a name are set together, or either alone", async () => {
    const { browser, id } = await made();
    const both = (await browser.patch(of(id), { name: "Both", scan_schedule: "30 6 * * mon-fri" })).expect(200).json;
    assert.deepEqual([both.name, both.scan_schedule], ["Both", "30 6 * * mon-fri"]);
    const named = (await browser.patch(of(id), { name: "One" })).expect(200).json;
    assert.deepEqual([named.name, named.scan_schedule, named.next_check_at], ["One", both.scan_schedule, both.next_check_at]);
  });

  it("a schedule of null removes it", async () => {
    const { browser, id } = await made();
    (await browser.patch(of(id), { scan_schedule: "*/15 * * * *" })).expect(200);
    const ended = (await browser.patch(of(id), { scan_schedule: null })).expect(200).json;
    assert.deepEqual([ended.scan_schedule, ended.next_check_at], [null, null]);
    assert.equal((await rescheduled(id)).length, 2);
  });

  it("a check on demand plans the next check by the schedule", async () => {
    const { browser, id } = await made();
    (await browser.patch(of(id), { scan_schedule: "0 3 * * *" })).expect(200);
    await fixture.sql`update public.integrations set next_check_at = now() - interval '1 hour' where id = ${id}`;
    await expireCheck(fixture, id);
    const { next_check_at } = (await check({ browser, id })).expect(200).json;
    assert.ok(Date.parse(next_check_at) > Date.now());
  });

  it("an invalid schedule is rejected with the field that is wrong, and nothing changes", async () => {
    const { browser, id } = await made();
    const before = (await browser.patch(of(id), { scan_schedule: "0 3 * * *" })).expect(200).text;
    for (const [scan_schedule, field] of [
      ["", "five fields"], ["0 3 * *", "five fields"], ["0 3 * * * *", "five fields"], ["@daily", "five fields"], ["x".repeat(201), "five fields"],
      ["60 3 * * *", "minute"], ["* * * * *", "minute"], ["*/5 * * * *", "minute"], ["0 24 * * *", "hour"], ["0 3 0 * *", "day of the month"],
      ["0 0 31 2 *", "day of the month"], ["0 3 * 13 *", "month (fourth field)"], ["0 3 * * 8", "day of the week"], ["0 3 * * fri#1", "day of the week"],
    ]) {
      const { message } = (await browser.patch(of(id), { scan_schedule })).expect(400, "bad_schedule").json.error;
      assert.ok(message.includes(field), `${scan_schedule}: ${message}`);
      (await browser.patch(of(id), { name: "Other", scan_schedule })).expect(400, "bad_schedule");
    }
    for (const body of [{ scan_schedule: 7 }, { scan_schedule: ["0 3 * * *"] }, { scan_schedule: "0 3 * * *", next_check_at: "2030-01-01T00:00:00Z" }, {}]) {
      (await browser.patch(of(id), body)).expect(400, "invalid_request");
    }
    assert.equal((await browser.get(of(id))).expect(200).text, before);
  });

  // Threat model 16.
  it("setting the schedule of another organization's integration is answered like an unknown id", async () => {
    const { id } = await made();
    const stranger = await BrowserSession.signedIn(fixture.worker);
    const answers = await Promise.all([id, randomUUID()].map((one) => stranger.patch(of(one), { scan_schedule: "0 3 * * *" })));
    assert.equal(new Set(answers.map((one) => one.expect(404, "not_found").text)).size, 1);
    const [row] = await fixture.sql`select scan_schedule from public.integrations where id = ${id}`;
    assert.equal(row.scan_schedule, null);
  });
});
