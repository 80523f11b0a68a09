// The ways to sign in on the page, in Chromium.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { assertSound, LOOKS, pageFixture } from "../support/page-fixture.mjs";
import { codesSentTo, linkTokensSentTo } from "../support/sign-in.mjs";

describe("signing in on the page", { concurrency: 2 }, () => {
  const fixture = pageFixture();
  const { info, open } = fixture;
  let worker;
  before(() => void ({ worker } = fixture));

  it("a user signs in with a code by e-mail, after a wrong one", async (t) => {
    const { user, page, errors } = await open(t);
    await page.goto("/");
    await page.getByLabel("Email").fill(user.email);
    await page.getByRole("button", { name: "Email me a code instead" }).click();
    await page.getByText(`If ${user.email} has an account, a code is on its way there.`).waitFor();
    const [code] = codesSentTo(info, user.email);
    await page.getByLabel("Code").fill(code === "000000" ? "000001" : "000000");
    await page.getByRole("button", { name: "Continue", exact: true }).click();
    await page.getByRole("alert").getByText("The code is wrong, or no longer valid.").waitFor();
    await page.getByLabel("Code").fill(code);
    await page.keyboard.press("Enter");
    await page.locator("#view-signed-in").waitFor();
    assert.equal(await page.locator("#account-email").textContent(), user.email);
    assert.deepEqual(errors(), []);
  });

  // Threat model 132.
  it("a link signs in after a click, and a used one says so", async (t) => {
    const { user, page, errors } = await open(t);
    await page.goto("/");
    await page.getByLabel("Email").fill(user.email);
    await page.getByRole("button", { name: "Email me a code instead" }).click();
    await page.getByText(`If ${user.email} has an account, a code is on its way there.`).waitFor();
    const link = `/#token_hash=${linkTokensSentTo(info, user.email)[0]}&email=${user.email}`;
    await page.goto(link);
    await page.getByText(`A link has brought you here to sign in as ${user.email}.`).waitFor();
    assert.equal(page.url(), `${worker.url}/`, "the token has left the address");
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.locator("#view-signed-in").waitFor();
    assert.equal(await page.locator("#account-email").textContent(), user.email);
    await page.goto(link);
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.getByRole("alert").getByText("The link is no longer valid. Sign in another way.").waitFor();
    await page.getByRole("button", { name: "Sign in another way" }).click();
    await page.locator("#view-signed-in").waitFor();
    assert.deepEqual(errors(), []);
  });

  it("a user signs in at the project's provider, and comes back to where they were", async (t) => {
    const { page, errors } = await open(t);
    const email = `${randomUUID()}@example.com`;
    await page.goto("/?webhooks=all");
    await page.getByRole("button", { name: "Continue with GitHub" }).click();
    await page.getByLabel("Email address").fill(email);
    await page.getByRole("button", { name: "Continue" }).click();
    await page.locator("#view-webhooks").waitFor();
    assert.equal(page.url(), `${worker.url}/?webhooks=all`, "nothing of the sign-in stays in the address");
    assert.equal(await page.locator("#account-email").textContent(), email);
    assert.deepEqual(errors(), []);
  });

  it("a sign-in that is cancelled at the provider says so, and can be tried again", async (t) => {
    const { page } = await open(t);
    await page.goto("/");
    await page.getByRole("button", { name: "Continue with GitHub" }).click();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("alert").getByText("Signing in there did not work. Try again.").waitFor();
    assert.equal(page.url(), `${worker.url}/`);
    await page.getByRole("button", { name: "Continue with GitHub" }).click();
    await page.getByLabel("Email address").waitFor();
  });

  it("with a project whose ways cannot be read, a password remains", async (t) => {
    const { page } = await open(t);
    await page.route("**/api/session/methods", (route) => route.fulfill({ status: 502, body: "{}" }));
    await page.goto("/");
    await page.getByLabel("Password").waitFor();
    assert.equal(await page.getByRole("button", { name: "Email me a code instead" }).isVisible(), false);
  });

  for (const [look, options] of LOOKS) {
    it(`the ways to sign in are accessible and fit the screen (${look})`, async (t) => {
      const window = await open(t, options);
      const { page, user } = window;
      await page.goto("/");
      await page.getByRole("button", { name: "Continue with GitHub" }).waitFor();
      await assertSound(window, `sign-in-${look}`);
      await page.getByLabel("Email").fill(user.email);
      await page.getByRole("button", { name: "Email me a code instead" }).click();
      await page.getByLabel("Code").waitFor();
      await assertSound(window, `sign-in-code-${look}`);
      await page.goto(`/#token_hash=unused&email=${user.email}`);
      await page.getByRole("button", { name: "Sign in another way" }).waitFor();
      await assertSound(window, `sign-in-link-${look}`);
    });
  }
});
