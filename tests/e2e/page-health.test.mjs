// Health on the page: an integration checked now, and when it is checked by itself. `SCREENSHOTS=<folder>` saves the views.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { expireCheck, questionOf } from "../support/checks.mjs";
import { answer } from "../support/faults.mjs";
import { opened } from "../support/integrations.mjs";
import { keyboardOf } from "../support/keyboard.mjs";
import { assertSound, detailsOf, LOOKS, pageFixture } from "../support/page-fixture.mjs";
import { startProxy } from "../support/proxy.mjs";

describe("an integration's health on the page", { concurrency: 2 }, () => {
  let provider;
  const fixture = pageFixture(async ({ info, stops }) => {
    provider = await startProxy(info.authorization_server_url);
    stops.push(provider.stop);
    return { SUPABASE_BASE_URL: provider.url };
  });
  const reason = (page) => page.locator("#details-reason");
  const newest = (page, what) => page.locator("#trail li:first-child .event-what").getByText(what, { exact: true }).waitFor();
  const scheduleOf = async (id) => {
    const [row] = await fixture.sql`select scan_schedule, next_check_at from public.integrations where id = ${id}`;
    return row;
  };

  it("the page checks an integration, and shows the verdict, the reason and the time", async (t) => {
    const name = `Checked ${randomUUID()}`;
    const { page, row, errors } = await detailsOf(fixture, t, name);
    const facts = page.locator("#details-health dl");
    assert.match(await facts.innerText(), /Last check\s+Not yet\s+Next check\s+None scheduled/);
    const check = page.getByRole("button", { name: "Check now" });
    await check.click();
    await page.getByRole("status").getByText("Checked: the access works.").waitFor();
    assert.match(await facts.innerText(), /Last check\s+just now/);
    await newest(page, "Checked: the access works");
    await page.locator("#trail").getByText("Credentials opened to check the access").waitFor();

    const restore = provider.fault(questionOf((await opened(fixture.info, row)).access_token), answer(500, { error: "planted" }));
    await expireCheck(fixture, row.id);
    await check.click();
    await page.getByRole("status").getByText("Checked. The provider reported an error of its own.").waitFor();
    await page.locator("#details-badge").getByText("Degraded").waitFor();
    await reason(page).getByText("The provider reported an error of its own.").waitFor();
    await newest(page, "Checked: the access may not work");
    restore();
    await expireCheck(fixture, row.id);
    await check.click();
    await page.locator("#details-badge").getByText("Active").waitFor();
    assert.deepEqual(errors(), []);
  });

  it("the page says why a check was not possible: a pause, nothing to check, or a database that is down", async (t) => {
    const { page, row } = await detailsOf(fixture, t, `Unchecked ${randomUUID()}`);
    const check = page.getByRole("button", { name: "Check now" });
    // A type of its own, so that nobody else's checks wait as well.
    const type = `paused_${randomUUID().slice(0, 8)}`;
    await fixture.sql`update public.integrations set integration_type = ${type} where id = ${row.id}`;
    await fixture.sql`insert into private.provider_pauses select ${type}, unnest(array['token', 'api']), now() + interval '90 seconds'`;
    await check.click();
    await page.getByRole("status").getByText("The provider limits the number of requests. Try again in 2 minutes.").waitFor();
    await page.getByRole("button", { name: "Refresh now" }).click();
    await page.getByRole("status").getByText("The provider limits the number of requests. Try again in 2 minutes.").waitFor();
    await fixture.sql`delete from private.provider_pauses where client = ${type}`;
    await fixture.sql`update public.integrations set integration_type = 'supabase', config = config - 'access_token' where id = ${row.id}`;
    await check.click();
    await page.getByRole("alert").getByText("This provider offers no way to check this access.").waitFor();
    const restore = fixture.gateway.fault(({ path, body }) => path.endsWith("/rpc/claim_check") && body.includes(row.id), answer(500, "down"));
    await check.click();
    await page.getByRole("alert").getByText(/^A service that this page depends on/).waitFor();
    restore();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("alert").getByText("This provider offers no way to check this access").waitFor();
  });

  it("the page sets the schedule of checks, and shows at the field that one is invalid", async (t) => {
    const { page, row, errors } = await detailsOf(fixture, t, `Scheduled ${randomUUID()}`);
    const choice = page.getByLabel("Automatic checks");
    const save = page.getByRole("button", { name: "Save schedule" });
    const next = page.locator("#details-next");
    assert.equal(await choice.inputValue(), "never");
    for (const [option, expression, when] of [
      ["hourly", /^\d+ \* \* \* \*$/, /^(in \d+ minutes?|any moment now)$/],
      ["daily", /^\d+ \d+ \* \* \*$/, /^in \d+ (hours?|minutes?)$/],
      ["weekly", /^\d+ \d+ \* \* [0-6]$/, /^in \d+ (days?|hours?)$/],
    ]) {
      await choice.selectOption(option);
      assert.equal(await page.getByLabel("Cron expression").isVisible(), false);
      await save.click();
      await newest(page, "Automatic checks changed");
      await next.getByText(when).waitFor();
      await page.getByRole("status").getByText("Automatic checks are on.").waitFor();
      assert.match((await scheduleOf(row.id)).scan_schedule, expression);
      await page.reload();
      await page.locator("#trail li").first().waitFor();
      assert.equal(await choice.inputValue(), option, "it is known again");
    }

    await choice.selectOption("own");
    const field = page.getByLabel("Cron expression");
    assert.match(await field.inputValue(), /^\d+ \d+ \* \* [0-6]$/, "one begins with what stood");
    const before = await scheduleOf(row.id);
    for (const [wrong, said] of [
      ["", "Must be a cron expression of five fields"],
      ["* * * * *", "The minute (first field) puts two checks less than 15 minutes apart."],
      ["0 24 * * *", "The hour (second field) must be made of *, 0 to 23"],
      ["0 0 30 2 *", "The day of the month (third field) never occurs"],
    ]) {
      await field.fill(wrong);
      await save.click();
      await page.locator("#schedule-expression-error").getByText(said).waitFor();
      assert.equal(await field.getAttribute("aria-invalid"), "true");
      assert.equal(await page.evaluate(() => document.activeElement.id), "schedule-expression");
      assert.deepEqual(await scheduleOf(row.id), before);
    }
    await field.fill(" 5  4 * * mon-fri");
    await save.click();
    await page.getByRole("status").getByText("Automatic checks are on.").waitFor();
    assert.equal(await field.inputValue(), "5 4 * * mon-fri");
    assert.equal(await field.getAttribute("aria-invalid"), null);
    assert.equal((await scheduleOf(row.id)).scan_schedule, "5 4 * * mon-fri");

    await choice.selectOption("never");
    await save.click();
    await page.getByRole("status").getByText("Automatic checks are off.").waitFor();
    await next.getByText("None scheduled").waitFor();
    assert.deepEqual({ ...(await scheduleOf(row.id)) }, { scan_schedule: null, next_check_at: null });
    assert.deepEqual(errors().filter((text) => !/status of 400/.test(text)), []);
  });

  it("an integration is checked and scheduled by keyboard alone", async (t) => {
    const { page, row, errors } = await detailsOf(fixture, t, `Keys ${randomUUID()}`);
    const { press, tabTo } = keyboardOf(page);
    const focus = () => page.evaluate(() => document.activeElement.id);
    await press("Check now");
    await page.getByRole("status").getByText("Checked: the access works.").waitFor();
    assert.equal(await focus(), "check", "the focus stays");
    await tabTo("Automatic checks");
    for (let i = 0; i < 4; i++) await page.keyboard.press("ArrowDown");
    await tabTo("Cron expression");
    await page.keyboard.type("0 6 * * *");
    await page.keyboard.press("Enter");
    await page.getByRole("status").getByText("Automatic checks are on.").waitFor();
    assert.equal(await focus(), "schedule-expression", "the focus stays");
    assert.equal((await scheduleOf(row.id)).scan_schedule, "0 6 * * *");
    assert.deepEqual(errors(), []);
  });

  for (const [look, options] of LOOKS) {
    it(`the health view is accessible and fits the screen (${look})`, async (t) => {
      const { page, row, ...window } = await detailsOf(fixture, t, `Health ${randomUUID().slice(0, 8)}`, options);
      await fixture.sql`
        update public.integrations set status = 'degraded', status_reason = 'rate_limited', last_checked_at = now(), next_check_at = now() + interval '5 hours',
          scan_schedule = '0 6 * * mon-fri' where id = ${row.id}`;
      await page.reload();
      await page.locator("#trail li").first().waitFor();
      await page.getByLabel("Cron expression").fill("0 25 * * *");
      await page.getByRole("button", { name: "Save schedule" }).click();
      await page.locator("#schedule-expression-error").getByText("The hour").waitFor();
      await assertSound({ page, ...window }, `${look}-health`);
    });
  }
});
