// One integration on the page: how it fares, its name, its trail, renewing and reconnecting it. `SCREENSHOTS=<folder>` saves the views.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { answer, held } from "../support/faults.mjs";
import { withdraw } from "../support/grants.mjs";
import { integrationsOf, opened } from "../support/integrations.mjs";
import { keyboardOf } from "../support/keyboard.mjs";
import { assertSound, detailsOf, LOOKS, pageFixture } from "../support/page-fixture.mjs";
import { connectAt, consentAt, namesIn, signedInAt } from "../support/page.mjs";
import { expireBackoff } from "../support/refresh.mjs";

describe("an integration's details on the page", { concurrency: 2 }, () => {
  const fixture = pageFixture();

  /** Waits for the trail to begin with this. */
  const newest = (page, what) => page.locator("#trail li:first-child .event-what").getByText(what, { exact: true }).waitFor();

  it("details show the health and what happened; the address leads there again, and Back leads to the list", async (t) => {
    const name = `Details ${randomUUID()}`;
    const { page, row, errors } = await detailsOf(fixture, t, name);
    assert.equal(page.url(), `${fixture.worker.url}/?integration=${row.id}`);
    assert.equal(await page.title(), `${name} · Connect`);
    assert.equal(await page.evaluate(() => document.activeElement.id), "details-title", "a screen reader starts there");
    await page.locator("#details-badge").getByText("Active").waitFor();
    await page.locator("#details-health").getByText("The access works, as far as is known.").waitFor();
    await page.getByText(/^in (59 minutes|1 hour)$/).waitFor();
    await page.locator("#trail").getByText("Connected", { exact: true }).waitFor();
    await page.locator("#trail li", { hasText: "Connected" }).getByText(/^You · just now/).waitFor();

    await page.reload();
    await page.getByRole("heading", { name, level: 1 }).waitFor();
    await page.getByRole("link", { name: "Integrations" }).click();
    await page.getByRole("link", { name }).waitFor();
    assert.deepEqual(await namesIn(page), [name]);
    await page.goBack();
    await page.getByRole("heading", { name, level: 1 }).waitFor();
    await page.goBack();
    await page.getByRole("table", { name: "Integrations" }).waitFor();
    assert.equal(page.url(), `${fixture.worker.url}/`);
    assert.deepEqual(errors(), []);
  });

  it("details rename it, and show at the field that a name is taken or missing", async (t) => {
    const [name, other] = ["First", "Second"].map((word) => `${word} ${randomUUID()}`);
    const { page, user, errors } = await detailsOf(fixture, t, name);
    await page.getByRole("link", { name: "Integrations" }).click();
    await connectAt(page, other);
    await page.getByRole("link", { name: other }).click();
    await page.getByRole("heading", { name: other, level: 1 }).waitFor();
    const field = page.getByLabel("Name", { exact: true });
    const save = page.getByRole("button", { name: "Save name" });
    assert.equal(await field.inputValue(), other);
    for (const [wrong, said] of [[" ", "Enter a name."], [name, "Another integration of this provider has that name."]]) {
      await field.fill(wrong);
      await save.click();
      await page.locator("#rename-name-error").getByText(said).waitFor();
      assert.equal(await field.getAttribute("aria-invalid"), "true");
      assert.equal(await page.evaluate(() => document.activeElement.id), "rename-name");
    }
    await field.fill("  Customer portal ");
    await save.click();
    await page.getByRole("status").getByText("The name is now Customer portal.").waitFor();
    await page.getByRole("heading", { name: "Customer portal", level: 1 }).waitFor();
    assert.equal(await field.getAttribute("aria-invalid"), null);
    await newest(page, "Renamed");
    assert.deepEqual((await integrationsOf(fixture.sql, user.id)).map((row) => row.name), [name, "Customer portal"]);
    assert.deepEqual(errors().filter((text) => !/status of 409/.test(text)), []);
  });

  it("details refresh the access, and say when the provider has ended it", async (t) => {
    const { page, row, user } = await detailsOf(fixture, t, `Renewed ${randomUUID()}`);
    await expireBackoff(fixture, row.id);
    const renew = page.getByRole("button", { name: "Refresh now" });
    await renew.click();
    await page.getByRole("status").getByText("The access was refreshed.").waitFor();
    await newest(page, "Access refreshed");

    const [{ config }] = await integrationsOf(fixture.sql, user.id);
    await withdraw(fixture.worker.info, await opened(fixture.info, { ...row, config }));
    await expireBackoff(fixture, row.id);
    await renew.click();
    await page.getByRole("status").getByText("The provider did not refresh the access. Reconnect the integration.").waitFor();
    await page.locator("#details-badge").getByText("Reconnect required").waitFor();
    await page.locator("#details-reason").getByText("The provider says that the access was revoked or has expired.").waitFor();
    await newest(page, "Access could not be refreshed and has ended");
    assert.equal(await renew.isVisible(), false);
  });

  it("reconnecting from the details and from the list returns to where it was started", async (t) => {
    const name = `Reconnected ${randomUUID()}`;
    const { page, row, errors } = await detailsOf(fixture, t, name);
    const end = () => fixture.sql`
      update public.integrations set status = 'reconnect_required', status_reason = 'invalid_grant' where id = ${row.id}`;
    await end();
    await page.reload();
    await page.getByRole("button", { name: "Reconnect" }).click();
    await consentAt(page, name);
    await page.getByRole("status").getByText(`${name} is connected.`).waitFor();
    assert.equal(page.url(), `${fixture.worker.url}/?integration=${row.id}`);
    await page.locator("#details-badge").getByText("Active").waitFor();
    await newest(page, "Reconnected");

    await end();
    await page.getByRole("link", { name: "Integrations" }).click();
    await page.getByRole("button", { name: `Reconnect ${name}` }).click();
    await consentAt(page, name);
    await page.getByRole("status").getByText(`${name} is connected.`).waitFor();
    assert.equal(page.url(), `${fixture.worker.url}/`);
    assert.equal(await page.getByRole("button", { name: `Reconnect ${name}` }).count(), 0);
    assert.deepEqual(errors(), []);
  });

  it("the trail on the page comes in pages, and its end takes no focus away", async (t) => {
    const { page, row, user } = await detailsOf(fixture, t, `Trail ${randomUUID()}`);
    await fixture.sql`
      insert into public.credential_events (actor, user_id, organization_id, integration_id, integration_type, action, outcome, reason)
      select 'service', null, ${user.id}, ${row.id}, 'supabase', 'refresh_failed', 'failed', 'outcome_unknown' from generate_series(1, 20)`;
    await page.reload();
    const items = page.locator("#trail li");
    await items.nth(9).waitFor();
    assert.equal(await items.count(), 10);
    await items.first().getByText("The provider gave no usable response.").waitFor();
    await items.first().getByText(/^Automatic · just now/).waitFor();
    const more = page.getByRole("button", { name: "Show more" });
    await more.click();
    await items.nth(19).waitFor();
    await more.click();
    await page.locator("#trail").getByText("Connected", { exact: true }).waitFor();
    assert.equal(await more.isVisible(), false);
    assert.equal(await page.evaluate(() => document.activeElement.id), "activity-title");
  });

  it("a slow trail takes no focus away, and shows nothing of another integration's", async (t) => {
    const [name, other] = ["Slow", "Other"].map((word) => `${word} ${randomUUID()}`);
    const { page, row } = await detailsOf(fixture, t, name);
    await newest(page, "Connected");
    await page.getByRole("link", { name: "Integrations" }).click();
    await connectAt(page, other);
    await page.getByRole("link", { name: other }).click();
    await newest(page, "Connected");
    await page.getByRole("link", { name: "Integrations" }).click();
    const { behaviour, arrived, release } = held();
    fixture.gateway.fault(({ path }) => path.startsWith("/rest/v1/credential_events") && path.includes(row.id), behaviour);
    await page.getByRole("link", { name }).click();
    await arrived;
    assert.equal(await page.evaluate(() => document.activeElement.id), "details-title");
    assert.equal(await page.locator("#trail li").count(), 0);
    await page.getByLabel("Name", { exact: true }).focus();
    release();
    await newest(page, "Connected");
    assert.equal(await page.evaluate(() => document.activeElement.id), "rename-name");
  });

  it("a trail or an integration that cannot be loaded is reported, and loads on another try", async (t) => {
    const name = `Faults ${randomUUID()}`;
    const { page, row } = await detailsOf(fixture, t, name);
    const mendTrail = fixture.gateway.fault(({ path }) => path.startsWith("/rest/v1/credential_events") && path.includes(row.id), answer(500, "down"));
    await page.reload();
    await page.locator("#trail-failed").getByText("A service that this page depends on is unavailable").waitFor();
    mendTrail();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator("#trail").getByText("Connected", { exact: true }).waitFor();
    const restore = fixture.gateway.fault(({ path }) => path.startsWith("/rest/v1/integrations") && path.includes(row.id), answer(500, "down"));
    await page.reload();
    await page.getByRole("heading", { name: "The page could not be loaded" }).waitFor();
    restore();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("heading", { name, level: 1 }).waitFor();
  });

  it("an unknown or foreign integration leads to the list with a message", async (t) => {
    const { page, user } = await fixture.open(t);
    await signedInAt(page, fixture.worker, user);
    for (const id of [randomUUID(), "no-id-at-all"]) {
      await page.goto(`/?integration=${id}`);
      await page.getByRole("heading", { name: "Nothing is connected yet" }).waitFor();
      await page.getByRole("status").getByText("That integration no longer exists.").waitFor();
      assert.equal(page.url(), `${fixture.worker.url}/`);
    }
  });

  for (const [look, options] of LOOKS) {
    it(`details are accessible and fit the screen in every state (${look}), whatever the name`, async (t) => {
      const name = `${"W".repeat(40)} ${randomUUID().slice(0, 8)}`;
      const { page, row, ...window } = await detailsOf(fixture, t, name, options);
      const sound = (state) => assertSound({ page, ...window }, `${look}-details-${state}`);
      await page.locator("#trail li").first().waitFor();
      await sound("active");
      await fixture.sql`update public.integrations set status = 'reconnect_required', status_reason = 'refresh_lost' where id = ${row.id}`;
      await page.reload();
      await page.locator("#details-badge").getByText("Reconnect required").waitFor();
      await page.locator("#trail li").first().waitFor();
      await page.getByLabel("Name", { exact: true }).fill("");
      await page.getByRole("button", { name: "Save name" }).click();
      await sound("ended");
      await page.getByRole("button", { name: "Disconnect…" }).click();
      await sound("disconnect");
      await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
      await page.getByRole("link", { name: "Integrations" }).click();
      await page.getByRole("table", { name: "Integrations" }).waitFor();
      await sound("list");
    });
  }

  it("details are opened, renamed and disconnected by keyboard alone", async (t) => {
    const { page, user, errors } = await fixture.open(t);
    const { focused, press, tabTo } = keyboardOf(page);
    const name = `Keys ${randomUUID()}`;
    await signedInAt(page, fixture.worker, user);
    await connectAt(page, name);
    await page.getByRole("status").getByText(`${name} is connected.`).waitFor();
    await press(name);
    await page.getByRole("heading", { name, level: 1 }).waitFor();
    await tabTo("Name");
    await page.keyboard.press("ControlOrMeta+a");
    await page.keyboard.type("By keyboard");
    await page.keyboard.press("Enter");
    await page.getByRole("status").getByText("The name is now By keyboard.").waitFor();
    assert.equal((await focused()).name, "Name", "the focus stays");
    await press("Disconnect…");
    await page.getByRole("dialog", { name: "Disconnect By keyboard?" }).waitFor();
    await page.keyboard.press("Escape");
    assert.equal((await focused()).name, "Disconnect…", "the focus comes back to where it was");
    await page.keyboard.press("Enter");
    await press("Disconnect");
    await page.getByRole("status").getByText("By keyboard is disconnected. Supabase confirmed that access was revoked.").waitFor();
    assert.deepEqual(await integrationsOf(fixture.sql, user.id), []);
    assert.notEqual((await focused()).tag, "BODY");
    assert.deepEqual(errors(), []);
  });
});
