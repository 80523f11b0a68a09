// "Scan now" from the page to the provider and back: the worker queues the run, the scanner makes it, the page shows what it found.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { launchBrowser } from "../support/browser.mjs";
import { openWindow, signedInAt } from "../support/page.mjs";
import { insertScannable, scanFixture, tls } from "../support/scanner.mjs";
import { signUp } from "../support/users.mjs";

describe("a scan from the page", () => {
  const fixture = scanFixture("page-scan");
  let browser;
  before(async () => {
    browser = await launchBrowser();
    fixture.stops.push(() => browser.close());
  });

  it("the page shows what the scanner finds and resolves, and exports it", async (t) => {
    const user = await signUp(fixture.worker.info);
    const integration = await insertScannable(fixture, { organization_id: user.id, name: `Shop ${randomUUID()}` });
    const ssl = `/v1/projects/${integration.account}/ssl-enforcement`;
    let restore = fixture.server.fault(ssl, tls(false));
    const { page, context, errors } = await openWindow(browser, fixture.worker);
    t.after(() => context.close());
    await signedInAt(page, fixture.worker, user, `/?security=${integration.id}`);
    const scanNow = async () => {
      await page.getByRole("button", { name: "Scan now" }).click();
      await page.getByRole("progressbar", { name: "Scan" }).waitFor();
      await fixture.scanner.scheduled();
      await page.getByRole("status").getByText("The scan has ended.").waitFor();
    };
    await scanNow();
    const [run] = await fixture.sql`select * from public.assessments where integration_id = ${integration.id}`;
    const total = run.passed + run.failed + run.unknown + run.not_applicable;
    assert.ok(run.failed > 0 && run.passed > 20, JSON.stringify(run));
    assert.deepEqual(await page.locator("#last-counts dd").allInnerTexts(), [run.passed, run.failed, run.unknown, run.not_applicable].map((count) => `${count} of ${total}`));
    const finding = page.locator("#findings > li", { hasText: "The database refuses connections without TLS" });
    await finding.locator("summary").click();
    await finding.locator(".evidence").getByText("/currentConfig/database").waitFor();

    restore();
    restore = fixture.server.fault(ssl, tls(true));
    await scanNow();
    await finding.waitFor({ state: "detached" });
    await page.getByLabel("Show").selectOption("resolved");
    await finding.getByText("the check passes").waitFor();
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "JSON", exact: true }).click()]);
    const chunks = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk);
    const { accounts: [account] } = JSON.parse(Buffer.concat(chunks));
    const passed = account.results.find(({ check_id, status }) => check_id === "supabase_ssl_enforced" && status === "pass");
    assert.ok(passed, "what passed is exported");
    assert.equal(account.account, integration.account);
    restore();
    assert.deepEqual(errors(), []);
  });
});
