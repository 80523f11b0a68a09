// The providers on offer: a few have a button each, many are found in a list. `SCREENSHOTS=<folder>` saves the views.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { catalogue, credentialCatalogue } from "../support/catalogue.mjs";
import { keyboardOf } from "../support/keyboard.mjs";
import { assertSound, LOOKS, pageFixture } from "../support/page-fixture.mjs";
import { consentAt, signedInAt } from "../support/page.mjs";

/** Settings with which every entry of the catalogue is offered. */
function everyProvider() {
  const settings = { VERCEL_SLUG: "page", CREDENTIAL_TYPES: credentialCatalogue().map(({ type }) => type).join(",") };
  for (const { type } of catalogue().filter((entry) => entry.type !== "supabase")) {
    const name = type.toUpperCase();
    Object.assign(settings, { [`${name}_CLIENT_ID`]: "id", [`${name}_CLIENT_SECRET`]: "secret" });
  }
  return settings;
}

describe("many providers on the page", { concurrency: 2 }, () => {
  const fixture = pageFixture(everyProvider());

  async function chooserOf(t, options) {
    const window = await fixture.open(t, options);
    await signedInAt(window.page, fixture.worker, window.user);
    await window.page.getByRole("button", { name: "Connect an account" }).click();
    const dialog = window.page.getByRole("dialog", { name: "Connect an account" });
    await dialog.waitFor();
    return { ...window, dialog };
  }
  const namesIn = (dialog) => dialog.locator(".provider-name").allTextContents();

  it("the chooser has all providers, and finds them by typing", async (t) => {
    const { page, dialog, errors } = await chooserOf(t);
    const names = [...catalogue(), ...credentialCatalogue()].map(({ name }) => name);
    assert.deepEqual((await namesIn(dialog)).sort(), names.sort());
    await dialog.getByRole("status").getByText(`${names.length} providers`).waitFor();
    const search = dialog.getByLabel("Search providers");
    await search.fill("git");
    assert.deepEqual(await namesIn(dialog), ["GitHub", "GitLab", "DigitalOcean"]);
    await search.fill("nobody's");
    await dialog.getByRole("status").getByText("No providers").waitFor();
    await search.fill("supa");
    await dialog.getByRole("button", { name: "Supabase" }).click();
    const login = `chosen ${randomUUID()}`;
    await consentAt(page, login);
    await page.getByRole("status").getByText(`${login} is connected.`).waitFor();
    assert.deepEqual(errors(), []);
  });

  it("the chooser marks a provider with credentials, and opens its form in the list's place", async (t) => {
    const { page, dialog, errors } = await chooserOf(t);
    const { focused } = keyboardOf(page);
    await dialog.getByRole("button", { name: "Twilio Credentials" }).waitFor();
    await dialog.getByLabel("Search providers").fill("stripe");
    await dialog.getByRole("button", { name: "Stripe API key" }).waitFor();
    await page.keyboard.press("Enter");
    const form = page.getByRole("dialog", { name: "Connect Stripe" });
    await form.waitFor();
    await dialog.waitFor({ state: "hidden" });
    assert.equal((await focused()).name, "Secret or restricted key");
    await page.keyboard.press("Escape");
    await form.waitFor({ state: "hidden" });
    assert.equal((await focused()).name, "Connect an account", "the focus comes back to where it all began");
    assert.deepEqual(errors(), []);
  });

  it("the chooser is used by keyboard alone, and Escape closes it", async (t) => {
    const { page, dialog } = await chooserOf(t);
    const { focused, press } = keyboardOf(page);
    assert.equal((await focused()).name, "Search providers");
    await page.keyboard.type("git");
    await page.keyboard.press("Enter");
    assert.equal((await focused()).name, "GGitHub", "of several, the first is at hand");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    assert.equal((await focused()).name, "Connect an account");
    await press("Connect an account");
    await page.keyboard.type("supabase");
    await page.keyboard.press("Enter");
    await page.getByLabel("Login name").waitFor();
  });

  for (const [look, options] of LOOKS) {
    it(`the chooser is accessible and fits the screen (${look})`, async (t) => {
      const { dialog, ...window } = await chooserOf(t, options);
      await assertSound(window, `${look}-chooser`);
      await dialog.getByLabel("Search providers").fill("zz");
      await assertSound(window, `${look}-chooser-none`);
    });
  }
});
