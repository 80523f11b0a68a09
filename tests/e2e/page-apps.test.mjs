// The organization's own OAuth apps on the page: added, connected with, given another secret, and deleted.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { registerClient } from "../support/clients.mjs";
import { assertSound, PHONE, pageFixture } from "../support/page-fixture.mjs";
import { consentAt, signedInAt } from "../support/page.mjs";

describe("OAuth apps on the page", () => {
  const fixture = pageFixture();

  it("an app is added, connected with, given another secret and not deleted while it is used", async (t) => {
    const { user, page, errors, ...window } = await fixture.open(t, { ...PHONE, colorScheme: "dark" });
    const { client_id, client_secret } = await registerClient(fixture.info, [`${fixture.worker.url}/api/auth/callback/supabase`]);
    await signedInAt(page, fixture.worker, user);
    await page.getByRole("link", { name: "OAuth apps" }).click();
    await page.getByRole("heading", { name: "No OAuth apps yet" }).waitFor();
    await page.getByRole("button", { name: "Add an OAuth app" }).click();
    const dialog = page.getByRole("dialog", { name: "Add an OAuth app" });
    await dialog.getByLabel("Provider").selectOption("Supabase");
    await dialog.getByText(`${fixture.worker.url}/api/auth/callback/supabase`).waitFor();
    await dialog.getByRole("button", { name: "Add" }).click();
    await dialog.getByText("This field is required.").first().waitFor();
    await assertSound({ ...window, page }, "phone-dark-app-dialog");
    await dialog.getByLabel("Name of the app").fill("Ours");
    await dialog.getByLabel("Client ID").fill(client_id);
    await dialog.getByLabel("Client secret").fill(client_secret);
    await dialog.getByRole("button", { name: "Add" }).click();
    await page.getByRole("status").getByText("The OAuth app was added.").waitFor();
    assert.equal(await page.locator("#app-secret").inputValue(), "", "the field is emptied");
    await assertSound({ ...window, page }, "phone-dark-apps");

    await page.getByRole("link", { name: "Integrations" }).click();
    await page.getByRole("button", { name: "Connect Supabase (Ours)" }).click();
    const login = `own ${randomUUID()}`;
    await consentAt(page, login);
    await page.getByRole("status").getByText(`${login} is connected.`).waitFor();
    const [row] = await fixture.sql`select oauth_app_id from public.integrations where organization_id = ${user.id}`;
    assert.ok(row.oauth_app_id);

    await page.getByRole("link", { name: "OAuth apps" }).click();
    await page.getByText("1 connection").waitFor();
    await page.getByRole("button", { name: "New secret… Ours" }).click();
    await page.getByRole("dialog", { name: "New secret for Ours" }).getByLabel("Client secret").fill("another");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("status").getByText("The secret was changed.").waitFor();
    await page.getByRole("button", { name: "Drop former secret… Ours" }).waitFor();
    assert.deepEqual(errors(), []);
    await page.getByRole("button", { name: "Delete… Ours" }).click();
    const confirm = page.getByRole("dialog", { name: "Delete Ours?" });
    await confirm.getByRole("button", { name: "Delete" }).click();
    await confirm.getByText("this OAuth app is in use (connections: 1;").waitFor();
  });
});
