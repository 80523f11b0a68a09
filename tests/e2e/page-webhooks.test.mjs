// Webhooks on the page: added, shown their secret once, changed, disabled, deleted, and what was delivered to them. `SCREENSHOTS=<folder>`
// saves the views.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { Webhook } from "standardwebhooks";

import { answer, held } from "../support/faults.mjs";
import { opened } from "../support/integrations.mjs";
import { keyboardOf } from "../support/keyboard.mjs";
import { assertSound, LOOKS, NOTHING_STORED, pageFixture } from "../support/page-fixture.mjs";
import { signedInAt, storageOf } from "../support/page.mjs";
import { createOrganization } from "../support/users.mjs";

const ADDRESS = "https://hooks.example.com/connections";

describe("webhooks on the page", { concurrency: 2 }, () => {
  const fixture = pageFixture();
  const rowsOf = (organization) => fixture.sql`
    select * from public.webhook_endpoints where organization_id = ${organization} and deleted_at is null order by created_at`;
  const errorAt = (page, field) => page.locator(`#webhook-${field}-error`);

  /** A new user at the webhooks. */
  async function webhooksOf(t, options) {
    const window = await fixture.open(t, options);
    const { page, user } = window;
    await signedInAt(page, fixture.worker, user);
    await page.getByRole("link", { name: "Webhooks" }).click();
    await page.getByRole("heading", { name: "No webhooks yet" }).waitFor();
    const form = page.locator("dialog#webhook-dialog");
    const add = async (url, ...events) => {
      await page.getByRole("button", { name: "Add a webhook" }).click();
      await form.getByLabel("Address").fill(url);
      if (events.length) await form.getByLabel("Only these events").check();
      for (const event of events) await form.getByLabel(event, { exact: true }).check();
      await form.getByRole("button", { name: "Add" }).click();
    };
    return { ...window, form, add, secret: page.getByRole("dialog", { name: "The webhook’s secret" }) };
  }
  /** One with a webhook of the user's, on the screen. */
  async function webhookOf(t, options) {
    const window = await webhooksOf(t, options);
    const { page, user, add, secret } = window;
    await add(ADDRESS);
    const first = await secret.getByLabel("Secret").inputValue();
    await secret.getByRole("button", { name: "Done" }).click();
    const [row] = await rowsOf(user.id);
    await page.getByRole("heading", { name: ADDRESS, level: 1 }).waitFor();
    return { ...window, row, first };
  }
  /** Deliveries of this webhook, each as `change` has it; the last one is the newest. */
  async function happened({ id, organization_id: organization }, ...changes) {
    for (const [type, change] of changes) {
      await fixture.sql`select private.enqueue_event(${organization}, ${randomUUID()}, ${`connection.${type}`}, '{}')`;
      if (!change) continue;
      await fixture.sql`
        update public.webhook_deliveries set ${fixture.sql({ last_attempt_at: new Date(), ...change })}
        where position = (select max(position) from public.webhook_deliveries where endpoint_id = ${id})`;
    }
  }
  /** The secret is nowhere in the document, in what the browser keeps, or in an address. */
  async function assertForgotten({ page, context }, secret) {
    assert.match(secret, /^whsec_/);
    assert.deepEqual(await storageOf(page), NOTHING_STORED);
    const found = await page.evaluate(() => [
      document.documentElement.outerHTML, location.href, JSON.stringify(history.state), ...[...document.querySelectorAll("input")].map(({ value }) => value),
    ].join("\n"));
    assert.ok(!found.includes(secret.slice(6)) && !JSON.stringify(await context.storageState()).includes(secret.slice(6)));
  }

  it("the page adds a webhook with its address and events, and shows its secret once, to copy", async (t) => {
    const window = await webhooksOf(t);
    const { page, user, form, add, secret, errors, context } = window;
    assert.equal(page.url(), `${fixture.worker.url}/?webhooks=all`);
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: fixture.worker.url });
    await add(ADDRESS, "Needs to be reconnected", "Disconnected");
    await secret.waitFor();
    await form.waitFor({ state: "hidden" });
    const shown = await secret.getByLabel("Secret").inputValue();
    const [row] = await rowsOf(user.id);
    assert.deepEqual([row.url, row.events], [ADDRESS, ["connection.reconnect_required", "connection.deleted"]]);
    assert.equal((await opened(fixture.info, row)).secret, shown);
    new Webhook(shown);
    await secret.getByRole("button", { name: "Copy" }).click();
    await secret.getByRole("status").getByText("Copied.").waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), shown);
    await secret.getByRole("button", { name: "Done" }).click();
    await secret.waitFor({ state: "hidden" });
    await page.locator("#secret-copied:empty").waitFor({ state: "attached" });
    await assertForgotten(window, shown);
    assert.equal(page.url(), `${fixture.worker.url}/?webhook=${row.id}`);
    await page.locator("#webhook-badge").getByText("Enabled").waitFor();
    await page.getByText("Needs to be reconnected, Disconnected").waitFor();
    await page.getByText("There were no events since the webhook was added").waitFor();
    await page.getByRole("link", { name: "Webhooks" }).click();
    await page.getByRole("link", { name: ADDRESS }).click();
    await page.getByRole("heading", { name: ADDRESS, level: 1 }).waitFor();
    await page.goBack();
    await page.getByRole("heading", { name: "Webhooks", level: 1 }).waitFor();
    await page.getByRole("link", { name: "Integrations" }).click();
    await page.getByRole("heading", { name: "Nothing is connected yet" }).waitFor();
    assert.deepEqual(errors(), []);
  });

  it("the page selects the secret where the browser does not let it copy", async (t) => {
    const { page, add, secret } = await webhooksOf(t);
    await page.evaluate(() => { navigator.clipboard.writeText = () => Promise.reject(new DOMException("", "NotAllowedError")); });
    await add(ADDRESS);
    await secret.getByRole("button", { name: "Copy" }).click();
    await secret.getByText("The secret is selected: copy it yourself.").waitFor();
    assert.equal(await page.evaluate(() => getSelection().toString()), await secret.getByLabel("Secret").inputValue());
  });

  it("the page shows what is wrong with a webhook at its field", async (t) => {
    const { page, user, form, add, secret } = await webhooksOf(t);
    await page.getByRole("button", { name: "Add a webhook" }).click();
    const focus = () => page.evaluate(() => document.activeElement.id);
    assert.equal(await focus(), "webhook-url");
    const submit = () => form.getByRole("button", { name: "Add" }).click();
    await submit();
    await errorAt(page, "url").getByText("Enter an address.").waitFor();
    assert.equal(await focus(), "webhook-url");
    for (const url of ["http://hooks.example.com", "https://10.0.0.1", "https://intranet", "nonsense"]) {
      await form.getByLabel("Address").fill(url);
      await submit();
      await errorAt(page, "url").getByText("Only public https URLs can receive webhooks").waitFor();
      assert.equal(await form.getByLabel("Address").getAttribute("aria-invalid"), "true");
      assert.equal(await focus(), "webhook-url");
    }
    await form.getByLabel("Address").fill(ADDRESS);
    await form.getByLabel("Only these events").check();
    await submit();
    await errorAt(page, "kinds").getByText("Choose at least one.").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.value), "connection.created");
    assert.equal((await rowsOf(user.id)).length, 0);

    await fixture.sql`
      insert into public.webhook_endpoints (id, organization_id, url, config)
      select gen_random_uuid(), ${user.id}, ${ADDRESS}, '{}' from generate_series(1, 10)`;
    await form.getByLabel("All events, including future ones").check();
    assert.equal(await form.getByLabel("Disconnected", { exact: true }).isVisible(), false);
    await submit();
    await form.locator("#webhook-error").getByText("An organization can have at most ten webhooks. Delete one first.").waitFor();
    await fixture.sql`delete from public.webhook_endpoints where organization_id = ${user.id}`;
    const restore = fixture.gateway.fault(({ path, body }) => path.endsWith("/rpc/create_webhook_endpoint") && body.includes(user.id), answer(500, "down"));
    await submit();
    await form.locator("#webhook-error").getByText("A service that this page depends on is unavailable").waitFor();
    restore();
    await submit();
    await secret.waitFor();
    assert.deepEqual((await rowsOf(user.id)).map(({ events }) => events), [null]);
    await page.keyboard.press("Escape");
    await page.getByRole("link", { name: "Webhooks" }).click();
    await add(ADDRESS, "Connected");
    await secret.waitFor();
  });

  it("the page asks from which severity on a webhook is told of findings", async (t) => {
    const { page, user, form, secret, errors } = await webhooksOf(t);
    await page.getByRole("button", { name: "Add a webhook" }).click();
    await form.getByLabel("Address").fill(ADDRESS);
    const severity = form.getByLabel("Findings of a scan");
    assert.ok(await severity.isVisible());
    await form.getByLabel("Only these events").check();
    await severity.waitFor({ state: "hidden" });
    await form.getByLabel("A finding was opened", { exact: true }).check();
    await severity.selectOption("High and above");
    await form.getByRole("button", { name: "Add" }).click();
    await secret.getByRole("button", { name: "Done" }).click();
    await page.locator("#webhook-severity").getByText("High and above").waitFor();
    const stored = async () => (await rowsOf(user.id)).map(({ events, min_severity: least }) => [events, least]);
    assert.deepEqual(await stored(), [[["finding.opened"], "high"]]);
    await page.getByRole("button", { name: "Change…" }).click();
    assert.equal(await severity.inputValue(), "high");
    await severity.selectOption("Any");
    await form.getByRole("button", { name: "Save" }).click();
    await page.getByRole("status").getByText("The webhook was saved.").waitFor();
    assert.deepEqual(await stored(), [[["finding.opened"], null]]);
    assert.equal(await page.locator("#webhook-severity").isVisible(), false);
    assert.deepEqual(errors(), []);
  });

  it("the page changes, disables and enables a webhook, and says why it was disabled", async (t) => {
    const { page, user, row, form, errors } = await webhookOf(t);
    await page.getByRole("button", { name: "Change…" }).click();
    assert.equal(await form.getByLabel("Address").inputValue(), ADDRESS);
    assert.ok(await form.getByLabel("All events, including future ones").isChecked());
    await form.getByLabel("Address").fill(`${ADDRESS}/2`);
    await form.getByLabel("Only these events").check();
    await form.getByLabel("Disconnected", { exact: true }).check();
    await form.getByRole("button", { name: "Save" }).click();
    await page.getByRole("heading", { name: `${ADDRESS}/2`, level: 1 }).waitFor();
    await page.getByRole("status").getByText("The webhook was saved.").waitFor();
    const stored = async () => {
      const [{ url, events, enabled }] = await rowsOf(user.id);
      return [url, events, enabled];
    };
    assert.deepEqual(await stored(), [`${ADDRESS}/2`, ["connection.deleted"], true]);

    const focus = () => page.evaluate(() => document.activeElement.id);
    await page.getByRole("button", { name: "Disable" }).click();
    await page.locator("#webhook-badge").getByText("Disabled").waitFor();
    await page.getByRole("status").getByText("The webhook is disabled.").waitFor();
    assert.equal(await focus(), "webhook-enable", "the focus goes to what has taken its place");
    assert.equal((await stored())[2], false);
    await fixture.sql`update public.webhook_endpoints set disabled_reason = 'gone' where id = ${row.id}`;
    await page.reload();
    await page.getByText("The server responded that it is permanently gone (410).").waitFor();
    await page.getByRole("button", { name: "Enable" }).click();
    await page.locator("#webhook-badge").getByText("Enabled").waitFor();
    assert.equal(await focus(), "webhook-disable");
    assert.equal(await page.locator("#webhook-ending").isVisible(), false);
    assert.deepEqual(errors(), []);
  });

  it("the page replaces a webhook's secret, and says how long the earlier one signs too", async (t) => {
    const window = await webhookOf(t);
    const { page, user, first, secret, errors } = window;
    await assertForgotten(window, first);
    const ask = page.getByRole("dialog", { name: "Create a new secret?" });
    await page.getByRole("button", { name: "New secret…" }).click();
    await ask.getByText("For 24 hours, events are signed with both secrets").waitFor();
    await page.keyboard.press("Escape");
    await ask.waitFor({ state: "hidden" });
    assert.equal((await opened(fixture.info, (await rowsOf(user.id))[0])).secret, first, "nothing has changed");
    await page.getByRole("button", { name: "New secret…" }).click();
    await ask.getByRole("button", { name: "Create secret" }).click();
    await secret.getByText(/The previous secret also signs until .+; switch to this one before then\./).waitFor();
    const second = await secret.getByLabel("Secret").inputValue();
    assert.notEqual(second, first);
    assert.deepEqual(await opened(fixture.info, (await rowsOf(user.id))[0]), { secret: second, previous_secret: first });
    await page.keyboard.press("Escape");
    await page.locator("#secret-text").waitFor({ state: "hidden" });
    await page.waitForFunction(() => document.activeElement.id === "webhook-secret");
    await assertForgotten(window, second);
    await page.getByText(/^The previous secret also signs until /).waitFor();
    await page.getByRole("button", { name: "New secret…" }).click();
    await ask.getByText("the previous secret, which still signs, expires at once").waitFor();
    assert.deepEqual(errors(), []);
  });

  it("the page shows a webhook's deliveries in pages, and replays them", async (t) => {
    const { page, row } = await webhookOf(t);
    const soon = new Date(Date.now() + 5.5 * 60_000);
    await happened(row, ...Array.from({ length: 8 }, () => ["refreshed", { state: "delivered", attempts: 1, last_status: 204 }]),
      ["deleted", { state: "failed", attempts: 9, last_error: "timeout" }],
      ["reconnect_required", { attempts: 2, last_status: 503, last_error: "status", next_attempt_at: soon }],
      ["created"]);
    await page.getByRole("button", { name: "Reload" }).click();
    const items = page.locator("#deliveries li");
    await items.nth(9).waitFor();
    assert.deepEqual((await items.locator(".event-what").allTextContents()).slice(0, 4), ["Connected", "Needs to be reconnected", "Disconnected", "Access refreshed"]);
    assert.deepEqual((await items.locator(".event-why").allTextContents()).slice(0, 4), [
      "Waiting to be sent.", "Tried 2 times, again in 5 minutes. The server answered 503.", "Gave up after 9 attempts. The server did not answer within ten seconds.", "Delivered.",
    ]);
    assert.equal(await items.nth(0).getByRole("button").count(), 0, "what waits is sent anyway");
    assert.equal(await items.nth(2).getByRole("link").count(), 0, "what is gone is linked nowhere");
    await page.getByRole("button", { name: "Show more" }).click();
    await items.nth(10).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), "deliveries-title");

    await items.nth(2).getByRole("button", { name: "Send again" }).click();
    await page.getByRole("status").getByText("The event is sent again within a minute.").waitFor();
    assert.deepEqual(await items.first().locator(".event-what, .event-why").allTextContents(), [
      "Disconnected", "Waiting to be sent. The server did not answer within ten seconds.",
    ]);
    assert.equal(await page.evaluate(() => document.activeElement.id), "deliveries-title");
    await page.getByRole("button", { name: "Disable" }).click();
    await page.locator("#webhook-badge").getByText("Disabled").waitFor();
    await items.nth(3).getByRole("button", { name: "Send again" }).click();
    await page.getByRole("alert").getByText("The webhook is disabled. Enable it first.").waitFor();

    const restore = fixture.gateway.fault(({ path }) => path.startsWith("/rest/v1/webhook_deliveries") && path.includes(row.id), answer(500, "down"));
    await page.getByRole("button", { name: "Reload" }).click();
    await page.locator("#deliveries-failed").getByText("A service that this page depends on is unavailable").waitFor();
    restore();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator("#deliveries-failed:empty").waitFor({ state: "attached" });
  });

  it("the page deletes a webhook after a question, and a deleted one leads to the list", async (t) => {
    const { page, user, row, errors } = await webhookOf(t);
    const ask = page.getByRole("dialog", { name: "Delete the webhook?" });
    await page.getByRole("button", { name: "Delete…" }).click();
    await ask.getByRole("button", { name: "Cancel" }).click();
    assert.equal((await rowsOf(user.id)).length, 1);
    const { behaviour, arrived, release } = held();
    const restore = fixture.gateway.fault(({ path, body }) => path.endsWith("/rpc/delete_webhook_endpoint") && body.includes(row.id), behaviour);
    await page.getByRole("button", { name: "Delete…" }).click();
    await ask.getByRole("button", { name: "Delete" }).click();
    await arrived;
    await page.keyboard.press("Escape");
    await ask.waitFor({ state: "hidden" });
    release();
    restore();
    await page.getByRole("status").getByText("The webhook was deleted.").waitFor();
    await page.getByRole("heading", { name: "No webhooks yet" }).waitFor();
    assert.equal(page.url(), `${fixture.worker.url}/?webhooks=all`);
    assert.equal((await rowsOf(user.id)).length, 0);
    await page.goto(`/?webhook=${row.id}`);
    await page.getByRole("status").getByText("That webhook no longer exists.").waitFor();
    await page.getByRole("heading", { name: "No webhooks yet" }).waitFor();
    assert.deepEqual(errors(), []);
  });

  it("the page shows each organization its own webhooks", async (t) => {
    const { page, user } = await fixture.open(t);
    const organization = await createOrganization(fixture.sql, [user]);
    await signedInAt(page, fixture.worker, user);
    await page.getByRole("link", { name: "Webhooks" }).click();
    await page.getByLabel("Organization").selectOption(organization);
    await page.getByRole("button", { name: "Add a webhook" }).click();
    await page.getByLabel("Address").fill(ADDRESS);
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByRole("button", { name: "Done" }).click();
    assert.deepEqual([(await rowsOf(organization)).length, (await rowsOf(user.id)).length], [1, 0]);
    await page.getByRole("link", { name: "Webhooks" }).click();
    await page.getByRole("link", { name: ADDRESS }).waitFor();
    await page.getByRole("link", { name: "Integrations" }).click();
    await page.getByRole("heading", { name: "Nothing is connected yet" }).waitFor();
    assert.equal(await page.getByLabel("Organization").inputValue(), organization, "the organisation stays");
    await page.getByRole("link", { name: "Webhooks" }).click();
    await page.getByLabel("Organization").selectOption("Personal");
    await page.getByRole("heading", { name: "No webhooks yet" }).waitFor();
  });

  it("a webhook is added, its secret copied, and deleted by keyboard alone", async (t) => {
    const { page, user, errors, context } = await webhooksOf(t);
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: fixture.worker.url });
    const { focused, press, tabTo } = keyboardOf(page);
    await press("Add a webhook");
    await tabTo("Address");
    await page.keyboard.type(ADDRESS);
    // Around the choice that has the focus there is a line, not at its button.
    await page.keyboard.press("Tab");
    assert.equal((await focused()).name, "All events, including future ones");
    await page.keyboard.press("ArrowDown");
    await press("Needs to be reconnected", "Space");
    await press("Add");
    await page.getByRole("dialog", { name: "The webhook’s secret" }).waitFor();
    assert.equal((await focused()).name, "Copy");
    await page.keyboard.press("Enter");
    await page.getByText("Copied.").waitFor();
    await press("Done");
    await page.getByRole("heading", { name: ADDRESS, level: 1 }).waitFor();
    assert.notEqual((await focused()).tag, "BODY");
    assert.deepEqual((await rowsOf(user.id)).map(({ events }) => events), [["connection.reconnect_required"]]);
    await press("Delete…");
    assert.equal((await focused()).name, "Cancel", "the dialog begins at what does no harm");
    await press("Delete");
    await page.getByRole("status").getByText("The webhook was deleted.").waitFor();
    assert.equal((await focused()).name, "Webhooks");
    assert.deepEqual(errors(), []);
  });

  for (const [look, options] of LOOKS) {
    it(`the webhook views are accessible and fit the screen in every state (${look})`, async (t) => {
      const { page, row, form, secret, add, ...window } = await webhookOf(t, options);
      const sound = (state) => assertSound({ page, ...window }, `${look}-webhook-${state}`);
      await happened(row,
        ["created", { state: "delivered", attempts: 1, last_status: 204 }],
        ["deleted", { state: "failed", attempts: 9, last_error: "timeout" }],
        ["reconnect_required", { attempts: 2, last_status: 503, last_error: "status", next_attempt_at: new Date(Date.now() + 300_000) }],
        ["refreshed"]);
      await fixture.sql`update public.webhook_endpoints set enabled = false, disabled_reason = 'gone', url = ${`${ADDRESS}/${"w".repeat(80)}`} where id = ${row.id}`;
      await page.reload();
      await page.locator("#deliveries li").first().waitFor();
      await sound("one");
      await page.getByRole("button", { name: "New secret…" }).click();
      await sound("ask");
      await page.getByRole("button", { name: "Create secret" }).click();
      await secret.waitFor();
      await sound("secret");
      await page.keyboard.press("Escape");
      await page.getByRole("link", { name: "Webhooks" }).click();
      await page.getByRole("listitem").first().waitFor();
      await sound("list");
      await add("https://10.0.0.1", "Connected");
      await errorAt(page, "url").getByText("Only public https").waitFor();
      await sound("form");
    });
  }
});
