// The page for everybody: by keyboard alone, on a phone, in the dark; and for nobody else's page.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { before, describe, it } from "node:test";

import { listen } from "../stack/listen.mjs";
import { integrationsOf } from "../support/integrations.mjs";
import { keyboardOf } from "../support/keyboard.mjs";
import { pageFixture, PHONE } from "../support/page-fixture.mjs";
import { connectAt, signInAt } from "../support/page.mjs";
import { createOrganization } from "../support/users.mjs";
import { until } from "../support/wait.mjs";

describe("the connect page is for everybody", { concurrency: 2 }, () => {
  const fixture = pageFixture();
  const { open } = fixture;
  let sql, worker;
  before(() => void ({ sql, worker } = fixture));

  it("the page is used by keyboard alone, and the focus is always visible", async (t) => {
    const { user, page, errors } = await open(t);
    const login = `keyboard-${randomUUID()}`;
    const { focused, tabTo, press } = keyboardOf(page);
    await page.goto("/");
    await page.locator("#view-signed-out").waitFor();
    await tabTo("Email");
    await page.keyboard.type(user.email);
    await tabTo("Password");
    await page.keyboard.type(user.password);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Nothing is connected yet" }).waitFor();
    await press("Connect Supabase");
    await page.getByLabel("Login name").waitFor();
    await page.getByLabel("Login name").focus();
    await page.keyboard.press("ControlOrMeta+a");
    await page.keyboard.type(login);
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Authorize", exact: true }).waitFor();
    await page.getByRole("button", { name: "Authorize", exact: true }).press("Enter");
    await page.getByRole("status").getByText(`${login} is connected.`).waitFor();

    await press(`Disconnect ${login}`);
    const dialog = page.getByRole("dialog", { name: `Disconnect ${login}?` });
    await dialog.waitFor();
    assert.equal((await focused()).name, "Cancel", "the dialog begins at what does no harm");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    assert.equal((await focused()).name, `Disconnect ${login}`, "the focus comes back to where it was");
    await page.keyboard.press("Enter");
    await dialog.waitFor();
    await press("Disconnect");
    await page.getByRole("status").getByText(`${login} is disconnected.`).waitFor();
    await until("the focus is somewhere although its row is gone", async () => (await focused()).tag !== "BODY");
    await press("Sign out");
    await page.locator("#view-signed-out").waitFor();
    assert.deepEqual(await integrationsOf(sql, user.id), []);
    assert.deepEqual(errors(), []);
  });

  for (const colorScheme of ["light", "dark"]) {
    it(`no view of the page is wider than a screen of 360 px (${colorScheme}), whatever the name`, async (t) => {
      const { user, page, errors, shoot } = await open(t, { ...PHONE, colorScheme });
      const assertFits = async (view) => {
        // A page's words may be there before its stylesheet is.
        await page.waitForLoadState("load");
        const { wide, ground } = await page.evaluate(() => ({
          wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
          ground: getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).map(Number),
        }));
        assert.ok(wide <= 0, `${view} is ${wide} px too wide`);
        const isDark = Math.max(...ground) < 128;
        assert.equal(isDark, colorScheme === "dark", `${view}: the ground is rgb(${ground})`);
        await shoot(`phone-${colorScheme}-${view}`);
      };
      await page.goto("/");
      await page.locator("#view-signed-out").waitFor();
      await assertFits("signed-out");
      await signInAt(page, user);
      await page.getByRole("heading", { name: "Nothing is connected yet" }).waitFor();
      await assertFits("empty");
      const login = `${"W".repeat(40)}-${randomUUID().slice(0, 8)}`;
      await connectAt(page, login);
      await page.getByRole("status").getByText("is connected.").waitFor();
      await assertFits("connected");
      await page.getByRole("button", { name: `Disconnect ${login}` }).click();
      await page.getByRole("dialog").waitFor();
      await assertFits("dialog");
      await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
      await connectAt(page, `two-${randomUUID()}`);
      await page.getByRole("heading", { name: "Choose a project" }).waitFor();
      await assertFits("choose");
      await page.getByRole("button", { name: "Cancel", exact: true }).click();
      await page.getByRole("status").getByText("Nothing was connected.").waitFor();
      await connectAt(page, `declined-${randomUUID()}`, "Cancel");
      await page.getByRole("heading", { name: "Nothing was connected" }).waitFor();
      await assertFits("declined");
      assert.deepEqual(errors().filter((text) => !/status of 400/.test(text)), []);
    });
  }

  // Threat model 220.
  it("the page offers a member whose role may only see nothing that changes anything, and says why", async (t) => {
    const { user, page, errors, shoot } = await open(t);
    const organization_id = await createOrganization(sql, [user], "member");
    await sql`insert into public.integrations ${sql({ organization_id, integration_type: "supabase", name: "Seen" })}`;
    await signInAt(page, user);
    await page.getByRole("button", { name: "Connect Supabase" }).waitFor();
    await page.getByLabel("Organization").selectOption(organization_id);
    await page.getByText("Ask an owner to make you an admin").waitFor();
    await page.getByRole("link", { name: "Seen" }).waitFor();
    const buttons = () => page.locator("main").getByRole("button").allTextContents();
    assert.deepEqual(await buttons(), []);
    await shoot("member-list");
    await page.getByRole("link", { name: "Seen" }).click();
    await page.getByRole("heading", { name: "Seen", level: 1 }).waitFor();
    assert.deepEqual(await buttons(), []);
    await shoot("member-details");
    assert.deepEqual(errors(), []);
  });

  // Threat model 28.
  it("a page on another port of this host changes nothing and reads nothing", async (t) => {
    const { user, page, context } = await open(t);
    await signInAt(page, user);
    await connectAt(page, `attacked-${randomUUID()}`);
    await page.getByRole("status").getByText("is connected.").waitFor();
    const [row] = await integrationsOf(sql, user.id);

    const evil = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html><title>evil</title>"));
    const { port } = new URL(await listen(evil));
    t.after(() => evil.close());
    const attacker = await context.newPage();
    // The same site for a browser, so that SameSite cookies go along: only the Origin tells it apart.
    await attacker.goto(`http://localhost:${port}/`);
    const results = await attacker.evaluate(
      async ({ app, id }) => {
        const attempt = (path, init) =>
          fetch(app + path, { credentials: "include", ...init }).then((response) => response.type, (error) => error.name);
        const opaque = { method: "POST", mode: "no-cors", headers: { "content-type": "text/plain" } };
        return {
          read: await attempt("/api/session"),
          list: await attempt("/api/integrations"),
          "authorize, as text": await attempt("/api/auth/authorize", { ...opaque, body: '{"integration_type":"supabase"}' }),
          "renew, as text": await attempt("/api/session", { ...opaque, body: '{"refresh":true}' }),
          "authorize, as JSON": await attempt("/api/auth/authorize", { method: "POST", headers: { "content-type": "application/json" }, body: "{}" }),
          "disconnect": await attempt(`/api/integrations/${id}`, { method: "DELETE" }),
          "sign out": await attempt("/api/session", { method: "DELETE" }),
        };
      },
      { app: worker.url, id: row.id },
    );
    for (const [what, result] of Object.entries(results)) assert.equal(result, "TypeError", `${what}: the page may not even see an answer`);
    // They arrived, and with the cookies: without, the first one would have been refused as nobody's (401).
    for (const route of ["POST /api/auth/authorize", "POST /api/session"]) await worker.logged(new RegExp(`"forbidden".*"route":"${route}"`));
    assert.deepEqual(await sql`select id from public.oauth_transactions where user_id = ${user.id}`.then((begun) => [...begun]), []);

    // A form as well, whose answer the browser shows.
    await attacker.evaluate((app) => {
      const form = document.createElement("form");
      Object.assign(form, { method: "post", action: `${app}/api/auth/authorize`, enctype: "text/plain" });
      const field = document.createElement("input");
      Object.assign(field, { name: '{"integration_type":"supabase","return_to":"', value: '"}' });
      form.append(field);
      document.body.append(form);
      form.submit();
    }, worker.url);
    await attacker.getByText('"code":"forbidden"').waitFor();
    await attacker.close();

    await page.reload();
    await page.locator(`tr[data-id="${row.id}"]`).waitFor();
    assert.equal((await integrationsOf(sql, user.id)).length, 1, "the integration stands, and the session too");
  });

  // Threat model 29.
  it("the page is shown in no frame, and runs no script but its own", async (t) => {
    const { page, errors } = await open(t);
    const framing = createServer((_, response) =>
      response.setHeader("content-type", "text/html").end(`<!doctype html><iframe name="inner" src="${worker.url}/"></iframe>`));
    const { port } = new URL(await listen(framing));
    t.after(() => framing.close());
    await page.goto(`http://localhost:${port}/`);
    await page.waitForLoadState("load");
    assert.equal(await page.frame("inner").locator("#view-signed-out, #view-loading").count(), 0, "nothing of the page is in the frame");

    await page.goto("/");
    await page.locator("#view-signed-out").waitFor();
    assert.deepEqual(errors().filter((text) => text.startsWith("violation")), []);
    await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "globalThis.injected = true";
      document.body.append(script);
      document.body.insertAdjacentHTML("beforeend", '<img src="x" onerror="globalThis.injected = true">');
    });
    await page.waitForFunction(() => document.images.length > 0);
    assert.equal(await page.evaluate(() => globalThis.injected), undefined, "an injected script must not run");
    assert.ok(errors().some((text) => /violation: script-src/.test(text)), "and this test sees violations");
  });
});
