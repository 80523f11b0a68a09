// Connecting with credentials on the page, and giving others in their place. `SCREENSHOTS=<folder>` saves the views.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { credentialCatalogue } from "../support/catalogue.mjs";
import { simulateCredentialProviders } from "../support/credential-simulator.mjs";
import { held } from "../support/faults.mjs";
import { integrationsOf, opened } from "../support/integrations.mjs";
import { keyboardOf } from "../support/keyboard.mjs";
import { assertSound, LOOKS, NOTHING_STORED, pageFixture } from "../support/page-fixture.mjs";
import { namesIn, signedInAt, storageOf } from "../support/page.mjs";
import { json } from "../support/simulator-http.mjs";

const TYPES = ["auth0", "stripe", "zendesk"];

describe("credentials on the page", { concurrency: 2 }, () => {
  const entries = credentialCatalogue().filter(({ type }) => TYPES.includes(type));
  const entry = (type) => entries.find((one) => one.type === type);
  let providers;
  const fixture = pageFixture(async ({ info, stops }) => {
    const simulators = await simulateCredentialProviders(entries, info);
    stops.push(simulators.stop);
    providers = simulators.providers;
    return simulators.settings;
  });

  /** A new user's list; `connect(type)` opens the form, and `fill(fields)` fills it in. */
  async function listOf(t, options) {
    const window = await fixture.open(t, options);
    const { page, user } = window;
    await signedInAt(page, fixture.worker, user);
    const dialog = page.locator("dialog#credentials");
    const connect = async (type) => {
      await page.getByRole("button", { name: `Connect ${entry(type).name}` }).click();
      await dialog.waitFor();
    };
    const labelled = (type, name) => dialog.getByLabel(entry(type).fields.find((field) => field.name === name).label, { exact: true });
    const fill = async (type, fields) => {
      for (const [name, value] of Object.entries(fields)) await labelled(type, name).fill(value);
    };
    const submit = (name = "Connect") => dialog.getByRole("button", { name, exact: true }).click();
    return { ...window, dialog, connect, labelled, fill, submit };
  }
  /** Connects an account from the list, and opens its details. */
  async function connected(t, type, options) {
    const window = await listOf(t, options);
    const account = await providers[type].account();
    await window.connect(type);
    await window.fill(type, account.fields);
    await window.submit();
    await window.page.getByRole("status").getByText(`${account.name} is connected.`).waitFor();
    const [row] = await integrationsOf(fixture.sql, window.user.id);
    return { ...window, account, row };
  }
  const secretsOf = ({ fields }, type) => entry(type).fields.filter(({ secret }) => secret).map(({ name }) => fields[name]);
  /** No secret is left in the document, in what the browser keeps, or in an address. */
  async function assertForgotten({ page, context }, secrets) {
    assert.deepEqual(await storageOf(page), NOTHING_STORED);
    const found = await page.evaluate(() => [
      document.documentElement.outerHTML, location.href, JSON.stringify(history.state), ...[...document.querySelectorAll("input")].map(({ value }) => value),
    ].join("\n"));
    for (const secret of secrets) {
      assert.ok(!found.includes(secret), "a secret is left in the page");
      assert.ok(!JSON.stringify(await context.storageState()).includes(secret), "a secret is kept by the browser");
    }
  }

  it("the form connects, seals and shows an account, and keeps nothing of its secret", async (t) => {
    for (const type of TYPES) {
      const window = await listOf(t);
      const { page, user, dialog, errors } = window;
      const addresses = [];
      page.on("request", (request) => addresses.push(request.url()));
      const account = await providers[type].account();
      await window.connect(type);
      for (const { name, secret } of entry(type).fields) {
        const field = window.labelled(type, name);
        assert.equal(await field.getAttribute("type"), secret ? "password" : "text");
        assert.equal(await field.getAttribute("autocomplete"), "off");
      }
      await window.fill(type, account.fields);
      await window.submit();
      await page.getByRole("status").getByText(`${account.name} is connected.`).waitFor();
      await dialog.waitFor({ state: "hidden" });
      assert.deepEqual(await namesIn(page), [account.name]);
      await page.locator("tr.is-new").getByText(entry(type).name).waitFor();
      assert.equal(page.url(), `${fixture.worker.url}/`);
      const secrets = secretsOf(account, type);
      await assertForgotten(window, secrets);
      assert.ok(secrets.length > 0 && !addresses.some((url) => secrets.some((secret) => url.includes(secret) || url.includes(encodeURIComponent(secret)))));
      const [row] = await integrationsOf(fixture.sql, user.id);
      for (const [name, value] of Object.entries(account.fields)) assert.equal((await opened(fixture.info, row))[name], value, name);
      assert.deepEqual(providers[type].errors, []);
      assert.deepEqual(errors(), []);
    }
  });

  it("the form gives a connected account the new credentials, and keeps the user's name for it", async (t) => {
    const window = await connected(t, "stripe");
    const { page, account, user } = window;
    const again = await providers.stripe.account(account);
    await window.connect("stripe");
    await window.fill("stripe", again.fields);
    await page.getByLabel("Name (optional)").fill("Billing");
    await window.submit();
    await page.getByRole("status").getByText("Billing was already connected. It now uses these credentials.").waitFor();
    assert.deepEqual(await namesIn(page), ["Billing"]);
    const rows = await integrationsOf(fixture.sql, user.id);
    const configs = await Promise.all(rows.map((row) => opened(fixture.info, row)));
    assert.deepEqual(configs.map(({ api_key }) => api_key), [again.fields.api_key]);
  });

  it("the form shows a wrong value at its field and a rejection in the form, and can be corrected", async (t) => {
    const window = await connected(t, "zendesk");
    const { page, dialog, user } = window;
    const [taken] = await integrationsOf(fixture.sql, user.id);
    const account = await providers.zendesk.account();
    const wrong = async (name, said) => {
      const id = name === "name" ? "credentials-name" : `credential-${name}`;
      await page.locator(`#${id}-error`).getByText(said).waitFor();
      assert.equal(await page.locator(`#${id}`).getAttribute("aria-invalid"), "true");
      assert.equal(await page.evaluate(() => document.activeElement.id), id, "the focus is at what is to be mended");
      assert.equal(await dialog.locator("[aria-invalid]").count(), 1);
    };
    await window.connect("zendesk");
    assert.equal(await page.evaluate(() => document.activeElement.id), "credential-subdomain", "one begins at the first field");
    await window.fill("zendesk", { ...account.fields, api_token: " " });
    await window.submit();
    await wrong("api_token", "This field is required.");
    await window.fill("zendesk", { ...account.fields, subdomain: "evil.example/" });
    await window.submit();
    await wrong("subdomain", "This must be letters, digits and hyphens, such as acme in acme.example.com.");
    await window.fill("zendesk", { ...account.fields, api_token: "wrong" });
    await window.submit();
    const said = dialog.locator("#credentials-error");
    await said.getByText("The provider rejects these credentials").waitFor();
    await window.fill("zendesk", account.fields);
    await page.getByLabel("Name (optional)").fill(taken.name);
    await window.submit();
    await wrong("name", "Another integration of this provider has that name.");
    assert.equal(await said.textContent(), "", "what was said before is gone");
    await page.getByLabel("Name (optional)").fill("Support");
    providers.zendesk.behaviour = ({ headers }) => {
      const sent = Buffer.from(headers.authorization.slice(6), "base64").toString();
      return sent.includes(account.fields.api_token) ? json(500, { error: account.fields.api_token }) : undefined;
    };
    await window.submit();
    await said.getByText("The provider did not respond as expected.").waitFor();
    providers.zendesk.behaviour = undefined;
    await window.submit();
    await page.getByRole("status").getByText("Support is connected.").waitFor();
    assert.deepEqual((await namesIn(page)).toSorted(), ["Support", taken.name].sort());
    await assertForgotten(window, secretsOf(account, "zendesk"));
  });

  it("closing the form removes what was typed, and a late result is shown on the page", async (t) => {
    const window = await listOf(t);
    const { page, dialog, user } = window;
    const { focused } = keyboardOf(page);
    const account = await providers.stripe.account();
    for (const close of [() => page.keyboard.press("Escape"), () => dialog.getByRole("button", { name: "Cancel" }).click()]) {
      await window.connect("stripe");
      await window.fill("stripe", account.fields);
      await page.getByLabel("Name (optional)").fill(account.fields.api_key);
      await close();
      await dialog.waitFor({ state: "hidden" });
      await page.locator("#credentials-fields:empty").waitFor({ state: "attached" });
      await assertForgotten(window, secretsOf(account, "stripe"));
      assert.equal((await focused()).name, "Connect Stripe", "the focus comes back to where it was");
    }
    await window.connect("stripe");
    assert.equal(await page.getByLabel("Name (optional)").inputValue(), "");
    await window.fill("stripe", account.fields);
    const { behaviour, arrived, release } = held();
    fixture.gateway.fault(({ path, body }) => path.endsWith("/rpc/complete_connection") && body.includes(user.id), behaviour);
    await window.submit();
    await arrived;
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    release();
    await page.getByRole("status").getByText(`${account.name} is connected.`).waitFor();
    await assertForgotten(window, secretsOf(account, "stripe"));
  });

  it("credentials are replaced on the integration's page, by those of the same account alone", async (t) => {
    const window = await connected(t, "auth0");
    const { page, account, row, dialog, errors } = window;
    await page.getByRole("link", { name: account.name }).click();
    await page.getByRole("heading", { name: account.name, level: 1 }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Reconnect" }).count(), 0);
    assert.ok(await page.getByRole("button", { name: "Refresh now" }).isVisible(), "a client of one's own gets tokens");
    const other = await providers.auth0.account();
    await page.getByRole("button", { name: "Replace credentials" }).click();
    await page.getByRole("dialog", { name: `Replace the credentials of ${account.name}` }).waitFor();
    assert.equal(await page.getByLabel("Name (optional)").isVisible(), false);
    await window.fill("auth0", other.fields);
    await window.submit("Replace");
    await dialog.locator("#credentials-error").getByText("You authorized a different account than the one this integration uses. Nothing was changed.").waitFor();
    const fresh = await providers.auth0.account(account);
    await window.fill("auth0", fresh.fields);
    await window.submit("Replace");
    await page.getByRole("status").getByText(`${account.name} now uses these credentials.`).waitFor();
    await page.locator("#trail li:first-child").getByText("Reconnected", { exact: true }).waitFor();
    await assertForgotten(window, [...secretsOf(other, "auth0"), ...secretsOf(fresh, "auth0")]);
    const [{ config }] = await integrationsOf(fixture.sql, window.user.id);
    assert.equal((await opened(fixture.info, { ...row, config })).client_secret, fresh.fields.client_secret);
    assert.deepEqual(errors().filter((text) => !/status of 409/.test(text)), []);
  });

  it("a check shows rejected credentials, and they are replaced from the list", async (t) => {
    const window = await connected(t, "stripe");
    const { page, account, row } = window;
    await page.getByRole("link", { name: account.name }).click();
    await page.getByRole("heading", { name: account.name, level: 1 }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Refresh now" }).isVisible(), false, "a key is not renewed");
    providers.stripe.forget(account);
    await page.getByRole("button", { name: "Check now" }).click();
    await page.getByRole("status").getByText("Checked. The provider rejects the access.").waitFor();
    await page.getByRole("link", { name: "Integrations" }).click();
    const fresh = await providers.stripe.account(account);
    await page.getByRole("button", { name: `Replace credentials ${account.name}` }).click();
    await window.fill("stripe", fresh.fields);
    await window.submit("Replace");
    await page.getByRole("status").getByText(`${account.name} now uses these credentials.`).waitFor();
    await page.locator(`tr[data-id="${row.id}"]`).getByText("Active").waitFor();
    assert.equal(await page.getByRole("button", { name: `Replace credentials ${account.name}` }).count(), 0);

    await page.getByRole("button", { name: `Disconnect ${account.name}` }).click();
    await page.getByRole("dialog").getByText("They stay valid at Stripe: revoke them there.").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Disconnect" }).click();
    await page.getByRole("status").getByText("Stripe offers no way to revoke access from here.").waitFor();
  });

  it("the credentials form is used by keyboard alone", async (t) => {
    const { page, errors } = await listOf(t);
    const { focused, press, tabTo } = keyboardOf(page);
    const account = await providers.zendesk.account();
    await press("Connect Zendesk");
    await page.getByRole("dialog", { name: "Connect Zendesk" }).waitFor();
    for (const { name, label } of entry("zendesk").fields) {
      await tabTo(label);
      await page.keyboard.type(account.fields[name]);
    }
    await page.keyboard.press("Enter");
    await page.getByRole("status").getByText(`${account.name} is connected.`).waitFor();
    assert.equal((await focused()).name, "Integrations", "a screen reader goes on at the title");
    assert.deepEqual(errors(), []);
  });

  it("an ended session removes the form and all that was typed", async (t) => {
    const window = await listOf(t);
    const { page, context } = window;
    const account = await providers.stripe.account();
    await window.connect("stripe");
    await window.fill("stripe", account.fields);
    await context.clearCookies();
    await window.submit();
    await page.getByRole("status").getByText("Your session has ended. Sign in again.").waitFor();
    await page.locator("#credentials-fields:empty").waitFor({ state: "attached" });
    await assertForgotten(window, secretsOf(account, "stripe"));
  });

  for (const [look, options] of LOOKS) {
    it(`the credentials form is accessible and fits the screen (${look})`, async (t) => {
      const window = await listOf(t, options);
      await assertSound(window, `${look}-credentials-list`);
      await window.connect("auth0");
      await assertSound(window, `${look}-credentials`);
      await window.fill("auth0", { tenant: "evil.example/", client_id: randomUUID(), client_secret: "x" });
      await window.submit();
      await window.page.locator("#credential-tenant-error").getByText("This must be").waitFor();
      await assertSound(window, `${look}-credentials-wrong`);
    });
  }
});
