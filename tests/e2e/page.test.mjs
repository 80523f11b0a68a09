// The main job as a person does it: in Chromium, on the page, through the authorization server's own pages.
//
// `SCREENSHOTS=<folder>` saves what there is to see on the way.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { projectsOf } from "../stack/projects.mjs";
import { answer } from "../support/faults.mjs";
import { isAlive } from "../support/grants.mjs";
import { integrationsOf, opened, SEALED } from "../support/integrations.mjs";
import { NOTHING_STORED, pageFixture } from "../support/page-fixture.mjs";
import { connectAt, consentAt, namesIn, signInAt, storageOf } from "../support/page.mjs";
import { SecretCanaries } from "../support/secret-canaries.mjs";

describe("the connect page", { concurrency: 2 }, () => {
  const fixture = pageFixture();
  const { info, open } = fixture;
  let sql, gateway, worker;
  before(() => void ({ sql, gateway, worker } = fixture));

  it("a user signs in, connects, sees the integration and disconnects on the page, and the row is sealed", async (t) => {
    const { user, page, errors, shoot } = await open(t);
    const login = `Page ${randomUUID()}`;
    await page.goto("/");
    await page.locator("#view-signed-out").waitFor();
    await shoot("signed-out");
    await signInAt(page, user);
    assert.equal(await page.locator("#account-email").textContent(), user.email);
    await page.getByRole("heading", { name: "Nothing is connected yet" }).waitFor();
    await shoot("nothing-connected");

    await page.getByRole("button", { name: "Connect Supabase" }).click();
    await page.getByLabel("Login name").waitFor();
    assert.equal(new URL(page.url()).origin, info.authorization_server_url, "the browser is at the authorization server");
    await consentAt(page, login);
    await page.getByRole("status").getByText(`${login} is connected.`).waitFor();
    assert.equal(page.url(), `${worker.url}/`, "nothing of the flow stays in the address");
    assert.deepEqual(await namesIn(page), [login]);
    await shoot("connected");

    const [row] = await integrationsOf(sql, user.id);
    for (const field of ["access_token", "refresh_token"]) assert.match(row.config[field], SEALED, field);
    const grant = await opened(info, row);
    const shown = page.locator(`tr[data-id="${row.id}"]`);
    await shown.getByText("Active").waitFor();
    await shown.getByText("just now").waitFor();

    await page.getByRole("button", { name: `Disconnect ${login}` }).click();
    const dialog = page.getByRole("dialog", { name: `Disconnect ${login}?` });
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await dialog.waitFor({ state: "hidden" });
    assert.equal((await integrationsOf(sql, user.id)).length, 1, "cancelled is cancelled");
    await page.getByRole("button", { name: `Disconnect ${login}` }).click();
    await shoot("disconnect");
    await dialog.getByRole("button", { name: "Disconnect", exact: true }).click();
    await page.getByRole("status").getByText(`${login} is disconnected. Supabase confirmed that access was revoked.`).waitFor();
    assert.equal(await shown.count(), 0);
    assert.deepEqual(await integrationsOf(sql, user.id), []);
    assert.equal(await isAlive(worker.info, grant), false, "the grant is revoked");

    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("status").getByText("You are signed out.").waitFor();
    await page.reload();
    await page.locator("#view-signed-out").waitFor();
    assert.deepEqual(errors(), []);
  });

  // Threat model 23.
  it("the page keeps no token in storage, in the document, in an address or in an answer it reads", async (t) => {
    const { user, page, context, errors } = await open(t);
    const canaries = new SecretCanaries();
    canaries.add({ password: user.password });
    const read = [];
    page.on("response", async (response) => {
      if (response.url().startsWith(worker.url)) read.push(response.url(), await response.text().catch(() => ""));
    });
    await signInAt(page, user);
    await connectAt(page, `storage-${randomUUID()}`);
    await page.getByRole("status").getByText("is connected.").waitFor();
    const [row] = await integrationsOf(sql, user.id);
    const { access_token, refresh_token } = await opened(info, row);
    canaries.add({ access_token, refresh_token, sealed: row.config.access_token });
    const cookies = await context.cookies(worker.url);
    const sessions = cookies.filter(({ name }) => name.startsWith("__Host-"));
    assert.deepEqual(sessions.map(({ name }) => name).sort(), ["__Host-session", "__Host-session-refresh"], "the flow's cookie is gone");
    for (const { name, httpOnly, secure, sameSite, value } of sessions) {
      assert.deepEqual({ httpOnly, secure, sameSite }, { httpOnly: true, secure: true, sameSite: "Lax" }, name);
      canaries.add({ [name]: value });
    }
    assert.deepEqual(await storageOf(page), NOTHING_STORED);
    assert.deepEqual(canaries.in(await page.content()), []);
    assert.ok(read.length > 10, "the answers were looked at");
    for (const text of read) assert.deepEqual(canaries.in(text), [], text.slice(0, 300));
    assert.deepEqual(canaries.in(JSON.stringify(await page.evaluate(() => [history.state, window.name, location.href]))), []);
    assert.deepEqual(errors(), []);
  });

  it("the page asks which of two projects, and connects that one", async (t) => {
    const { user, page, errors, shoot } = await open(t);
    const login = `two-${randomUUID()}`;
    const [, second] = projectsOf(login);
    await signInAt(page, user);
    await connectAt(page, login);
    await page.getByRole("heading", { name: "Choose a project" }).waitFor();
    await shoot("choose");
    await page.getByRole("radio", { name: `${second.name} ${second.ref}` }).check();
    await page.getByRole("button", { name: "Connect", exact: true }).click();
    await page.getByRole("status").getByText(`${second.name} is connected.`).waitFor();
    const rows = await integrationsOf(sql, user.id);
    assert.deepEqual(rows.map(({ external_account_id }) => external_account_id), [second.ref]);
    assert.deepEqual(await sql`select id from public.pending_connections where user_id = ${user.id}`.then((left) => [...left]), []);
    assert.deepEqual(errors(), []);
  });

  it("cancelling a choice on the page connects nothing and revokes the grant", async (t) => {
    const { user, page, errors } = await open(t);
    await signInAt(page, user);
    await connectAt(page, `two-${randomUUID()}`);
    await page.getByRole("heading", { name: "Choose a project" }).waitFor();
    const [waiting] = await sql`select id, organization_id, config from public.pending_connections where user_id = ${user.id}`;
    const grant = await opened(info, waiting);
    await page.getByRole("button", { name: "Cancel", exact: true }).click();
    await page.getByRole("status").getByText("Nothing was connected. Supabase confirmed that access was revoked.").waitFor();
    assert.deepEqual(await integrationsOf(sql, user.id), []);
    assert.equal(await isAlive(worker.info, grant), false);
    assert.deepEqual(errors(), []);
  });

  // Threat model 10.
  it("declining at the provider leads to a page that says so, with a way back", async (t) => {
    const { user, page, errors, shoot } = await open(t);
    await signInAt(page, user);
    await connectAt(page, `declined-${randomUUID()}`, "Cancel");
    await page.getByRole("heading", { name: "Nothing was connected" }).waitFor();
    assert.equal(await page.locator(".lead").textContent(), "Access was declined at the provider; nothing was connected.");
    await shoot("declined");
    const id = await page.locator("code").textContent();
    await worker.logged(new RegExp(id));
    await page.getByRole("link", { name: "Back to integrations" }).click();
    await page.getByRole("heading", { name: "Nothing is connected yet" }).waitFor();
    // The failure page is an answer of 400, which Chromium reports.
    assert.deepEqual(errors().filter((text) => !/status of 400/.test(text)), []);
  });

  it("a failed connection leads to a page in plain words with the request id that is in the log", async (t) => {
    const { user, page, errors, shoot } = await open(t);
    await signInAt(page, user);
    const restore = gateway.fault(({ path, body }) => path.endsWith("/complete_connection") && body.includes(user.id), answer(500, "planted"));
    await connectAt(page, `failed-${randomUUID()}`);
    await page.getByRole("heading", { name: "The connection failed" }).waitFor();
    assert.equal(await page.locator(".lead").textContent(), "Failed to save integration to database.");
    await shoot("failed");
    assert.match(await worker.logged(new RegExp(await page.locator("code").textContent())), /save_failed/);
    restore();
    await page.getByRole("link", { name: "Back to integrations" }).click();
    const login = `mended-${randomUUID()}`;
    await connectAt(page, login);
    await page.getByRole("status").getByText(`${login} is connected.`).waitFor();
    assert.deepEqual(errors().filter((text) => !/status of 503/.test(text)), []);
  });

  it("the page reports a wrong password and a list that cannot be loaded, and works on another try", async (t) => {
    const { user, page, shoot } = await open(t);
    await page.goto("/");
    await page.getByLabel("Email").fill(user.email);
    await page.getByLabel("Password").fill("wrong");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").getByText("The email or the password is wrong.").waitFor();
    await shoot("wrong-password");
    const restore = gateway.fault(({ path }) => path.startsWith("/rest/v1/integrations") && path.includes(user.id), answer(500, "down"));
    await page.getByLabel("Password").fill(user.password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").getByText("A service that this page depends on is unavailable").waitFor();
    await shoot("list-failed");
    restore();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("heading", { name: "Nothing is connected yet" }).waitFor();
  });

  it("the page renews an expired session unnoticed, and one that cannot be renewed leads to the sign-in", async (t) => {
    const { user, page, context } = await open(t);
    await signInAt(page, user);
    await context.clearCookies({ name: "__Host-session" });
    await connectAt(page, `renewed-${randomUUID()}`);
    await page.getByRole("status").getByText("is connected.").waitFor();
    await context.clearCookies({ name: "__Host-session" });
    await page.reload();
    await page.locator("#view-signed-in").waitFor();
    assert.ok((await context.cookies(worker.url)).some(({ name }) => name === "__Host-session"), "the session is there again");

    await context.clearCookies();
    await page.getByRole("button", { name: "Connect Supabase" }).click();
    await page.getByRole("status").getByText("Your session has ended. Sign in again.").waitFor();
    await page.locator("#view-signed-out").waitFor();
  });
});
