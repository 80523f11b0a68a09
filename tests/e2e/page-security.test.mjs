// Scans and findings on the page: the last scan, what fails and how it is put right, what could not be checked, mutes, and the picture of
// runs. `SCREENSHOTS=<folder>` saves the views.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { answer } from "../support/faults.mjs";
import { keyboardOf } from "../support/keyboard.mjs";
import { signedInAt } from "../support/page.mjs";
import { assertSound, LOOKS, pageFixture } from "../support/page-fixture.mjs";
import { addIntegration, beginScan, claimScan, finishScan, result, scan } from "../support/scans.mjs";

const [TLS, MAIL, ADVISOR, BACKUPS] = ["supabase_ssl_enforced", "supabase_auth_email_confirmed", "supabase_advisor", "supabase_backups"];
const HOSTILE = "<img src=x onerror=alert(1)> =cmd|'/c calc'!A0 \u202egnp";

describe("security checks on the page", { concurrency: 2 }, () => {
  const fixture = pageFixture();
  const fails = (id, severity, over = {}) => result(TLS, "fail", { resource: { type: "project", id }, severity, ...over });
  const RESULTS = [
    fails("first", "critical", { resource_name: "Production" }), fails("second", "low"), result(MAIL, "pass"), result(MAIL, "pass", { resource: { type: "project", id: "2" } }),
    result(ADVISOR, "unknown", { reason: "forbidden", needs: ["database:read"] }), result(BACKUPS, "not_applicable", { reason: "plan" }),
  ];

  /** A user with an integration and these scans, at its security checks. */
  async function securityOf(t, scans = [RESULTS], options = {}, before = async () => {}) {
    const window = await fixture.open(t, options);
    const { page, user } = window;
    const integration = await addIntegration(fixture.sql, user.id, { name: "Shop" });
    for (const results of scans) await scan(fixture.sql, integration, user.id, results);
    await before(integration, user);
    await signedInAt(page, fixture.worker, user, `/?security=${integration.id}`);
    await page.getByRole("heading", { name: "Security checks", level: 1 }).waitFor();
    return { ...window, integration };
  }
  const finding = (page, where) => page.locator("#findings > li", { hasText: where });
  const titles = (page) => page.locator("#findings .severity").allTextContents();

  it("the page shows the last scan in counts, and the runs as a picture and in words", async (t) => {
    const { page, integration, errors } = await securityOf(t, [RESULTS, RESULTS], {}, (row) =>
      fixture.sql`select private.record_not_run(i, now(), 'not_checked') from public.integrations i where id = ${row.id}`);
    assert.deepEqual(await page.locator("#last-counts > div").allInnerTexts(), [
      "Passed\n2 of 6", "Failed\n2 of 6", "Could not be checked\n1 of 6", "Not applicable\n1 of 6",
    ]);
    assert.doesNotMatch(await page.locator("#view-security").innerText(), /\d\s*%/);
    await page.locator("#last-note").getByText("The latest scan did not run. The access was not checked").waitFor();
    const chart = page.getByRole("img", { name: /^The last 3 scans, the latest at the right\. Did not run\./ });
    assert.equal(await chart.locator("g").count(), 3);
    assert.equal(await chart.locator(".chart-cross").count(), 1);
    const [failed, unknown, passed] = await Promise.all(["failed", "unknown", "passed"].map((kind) => chart.locator(`g rect.chart-${kind}`).count()));
    assert.deepEqual([failed, unknown, passed], [2, 2, 2]);
    await page.getByText("The same in words").click();
    assert.deepEqual((await page.locator("#runs-list li").allTextContents()).map((text) => text.split(" · ")[1]), [
      "Did not run. The access was not checked at that time, so nothing was scanned.",
      ...Array(2).fill("2 of 6 passed, 2 failed, 1 could not be checked, 1 does not apply."),
    ]);
    await page.getByRole("link", { name: "Shop" }).click();
    await page.getByRole("heading", { name: "Shop", level: 1 }).waitFor();
    await page.locator("#details-security-text").getByText("2 of 6 passed").waitFor();
    await page.getByRole("link", { name: "Findings and scans" }).click();
    await page.getByRole("heading", { name: "Security checks", level: 1 }).waitFor();
    assert.equal(page.url(), `${fixture.worker.url}/?security=${integration.id}`);
    assert.equal(await page.evaluate(() => document.activeElement.id), "security-title", "a screen reader starts there");
    assert.deepEqual(errors(), []);
  });

  it("the page lists the most severe findings first, each with its remediation and history", async (t) => {
    const { page, errors } = await securityOf(t, [RESULTS, [fails("first", "critical"), result(TLS, "unknown", { resource: { type: "project", id: "second" }, reason: "limited" })]]);
    await finding(page, "Production").waitFor();
    assert.deepEqual(await titles(page), ["Critical", "Low"]);
    await finding(page, "second").getByText("It could not be checked since. The provider accepted no more requests.").waitFor();
    await finding(page, "Production").locator("summary").click();
    const { checks } = await (await fetch(`${fixture.worker.url}/api/checks?integration_type=supabase`)).json();
    const { remediation, why } = checks.find(({ id }) => id === TLS);
    await finding(page, "Production").getByText(remediation.text).waitFor();
    await finding(page, "Production").getByText(why).waitFor();
    const link = finding(page, "Production").getByRole("link", { name: "Read more" });
    assert.deepEqual([await link.getAttribute("href"), await link.getAttribute("rel")], [remediation.url, "noopener noreferrer"]);
    assert.deepEqual(await finding(page, "Production").locator(".evidence dt, .evidence dd").allTextContents(), ["/enabled", "false"]);
    await finding(page, "Production").locator(".trail").getByText("Found", { exact: true }).waitFor();

    await page.getByLabel("Severity").selectOption("low");
    await finding(page, "Production").waitFor({ state: "detached" });
    await finding(page, "second").waitFor();
    assert.deepEqual(await titles(page), ["Low"]);
    await page.getByLabel("Show").selectOption("resolved");
    await page.getByText("There are no resolved findings of this severity.").waitFor();
    await page.getByLabel("Severity").selectOption("");
    await page.getByText("There are no resolved findings.").waitFor();
    assert.deepEqual(errors(), []);
  });

  it("the page lists resolved findings by themselves, with more as long as there is more", async (t) => {
    const many = Array.from({ length: 13 }, (_, i) => fails(`r-${i}`, "high"));
    const { page } = await securityOf(t, [many, [...many.slice(1), result(TLS, "pass", { resource: { type: "project", id: "r-0" } })]]);
    await page.locator("#findings > li").nth(9).waitFor();
    assert.equal(await page.locator("#findings > li").count(), 10);
    await page.getByRole("button", { name: "Show more" }).click();
    await page.locator("#findings > li").nth(11).waitFor();
    await page.locator("#findings-more").waitFor({ state: "hidden" });
    assert.equal(await page.evaluate(() => document.activeElement.id), "findings-title");
    await page.getByLabel("Show").selectOption("resolved");
    await finding(page, "r-0").getByText("Resolved: the check passes.").waitFor();
    assert.equal(await page.locator("#findings > li").count(), 1);
  });

  it("the page says why something could not be checked, and what changes that", async (t) => {
    const { page, integration } = await securityOf(t);
    const card = page.locator("#unseen");
    await card.getByText(/^1 of \d+ checks could not be judged\. None of them counts as passed\.$/).waitFor();
    await card.getByText("Each check, and why").click();
    await card.getByText("The access may not see this. It needs database:read.").waitFor();
    await card.getByText("First the operator of this service must add database:read to the app at Supabase; then reconnect.").waitFor();
    await card.getByRole("button", { name: "Reconnect" }).click();
    await page.getByLabel("Login name").waitFor();
    assert.ok(integration.id);
  });

  it("the page starts a scan, and shows its progress and its result", async (t) => {
    const { page, integration, user, errors } = await securityOf(t, []);
    await page.getByText("This account has not been scanned yet.").waitFor();
    await page.getByText("Not yet").waitFor();
    await page.getByText("No scan has looked yet, so nothing is known.").waitFor();
    await page.getByRole("button", { name: "Scan now" }).click();
    await page.locator("#scan-progress").getByText("Waiting for the scanner…").waitFor();
    assert.equal(await page.getByRole("button", { name: "Scan now" }).isVisible(), false);
    const [{ id }] = await fixture.sql`select id from public.assessments where integration_id = ${integration.id}`;
    const claim = await claimScan(fixture.sql, id, "supabase");
    await page.locator("#scan-progress").getByText("Scanning…").waitFor();
    await page.getByRole("progressbar", { name: "Scan" }).waitFor();
    await finishScan(fixture.sql, claim, RESULTS);
    await page.getByRole("status").getByText("The scan has ended. 2 of 6 passed, 2 failed, 1 could not be checked, 1 does not apply.").waitFor();
    await finding(page, "Production").waitFor();
    assert.equal(await page.getByRole("button", { name: "Scan now" }).isVisible(), true);
    await page.locator("#scan-progress:empty").waitFor({ state: "attached" });
    const running = await beginScan(fixture.sql, integration, user.id);
    await page.reload();
    await page.locator("#scan-progress").getByText("Scanning…").waitFor();
    await finishScan(fixture.sql, running, [result(MAIL, "pass")]);
    await page.getByRole("status").getByText("The scan has ended.").waitFor();
    assert.deepEqual(errors(), []);
  });

  it("the page says why a scan was rejected", async (t) => {
    const { page, integration } = await securityOf(t);
    await fixture.sql`update public.integrations set status = 'reconnect_required', status_reason = 'invalid_grant' where id = ${integration.id}`;
    await page.getByRole("button", { name: "Scan now" }).click();
    await page.getByRole("alert").getByText("The access has ended. Reconnect the integration, then scan it.").waitFor();
  });

  it("the page mutes a finding with a reason, a note and an end, and ends the mute", async (t) => {
    const { page, user, errors } = await securityOf(t);
    await finding(page, "Production").locator("summary").click();
    await finding(page, "Production").getByRole("button", { name: "Mute…" }).click();
    const dialog = page.getByRole("dialog", { name: "Mute a finding" });
    await dialog.getByRole("button", { name: "Mute" }).click();
    await page.locator("#mute-note-error").getByText("Enter at least three characters.").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), "mute-note");
    await dialog.getByLabel("Something else protects us").check();
    await dialog.getByLabel("Note").fill(HOSTILE);
    await dialog.getByLabel("For how long").selectOption("A year");
    await dialog.getByRole("button", { name: "Mute" }).click();
    await dialog.waitFor({ state: "hidden" });
    await page.getByRole("status").getByText("The finding is muted.").waitFor();
    await finding(page, "Production").waitFor({ state: "detached" });
    const [mute] = await fixture.sql`select * from public.finding_mutes where organization_id = ${user.id}`;
    assert.partialDeepStrictEqual({ ...mute }, { check_id: TLS, resource_id: "first", reason: "compensating_control", note: HOSTILE, item: null });
    assert.ok(mute.expires_at - Date.now() > 363 * 86_400_000);
    await page.locator("#mutes").getByText(`Something else protects us: ${HOSTILE}`).waitFor();
    await page.getByLabel("Show").selectOption("muted");
    await finding(page, "Production").getByText(/^Muted; ends in/).waitFor();
    await page.locator("#mutes").getByRole("button", { name: /^End the mute/ }).click();
    await page.getByRole("dialog", { name: "End the mute?" }).getByRole("button", { name: "End the mute" }).click();
    await page.getByRole("status").getByText("The mute has ended.").waitFor();
    await page.locator("#mutes").waitFor({ state: "hidden" });
    assert.deepEqual(errors(), []);
  });

  it("the page marks a mute that matches nothing any more", async (t) => {
    const { page } = await securityOf(t, [RESULTS], {}, (_, user) => fixture.sql`
      insert into public.finding_mutes (organization_id, check_id, reason, note, created_by, expires_at)
      values (${user.id}, ${BACKUPS}, 'wont_fix', 'as agreed', ${user.id}, now() + interval '40 days')`);
    await page.locator("#mutes").getByText("We will not fix it: as agreed").waitFor();
    await page.locator("#mutes").getByText(/Mutes “The database can be restored to a recent moment” for the organization; ends .* It no longer matches any finding\./).waitFor();
  });

  it("the page shows a provider's text as text", async (t) => {
    const { page, errors } = await securityOf(t, [[fails("x", "high", { resource_name: HOSTILE, item: HOSTILE, evidence: { "/text": HOSTILE } })]]);
    const item = page.locator("#findings > li");
    await item.locator("summary").click();
    await item.locator(".evidence dd").getByText(HOSTILE).waitFor();
    assert.equal(await page.locator("#view-security img").count(), 0);
    assert.deepEqual(errors(), []);
  });

  it("the page downloads findings", async (t) => {
    const { page } = await securityOf(t);
    for (const name of ["CSV", "SARIF", "OCSF", "JSON"]) {
      const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name, exact: true }).click()]);
      assert.match(download.suggestedFilename(), /^findings\.(csv|sarif|ocsf\.json|json)$/);
      assert.equal(await download.failure(), null);
    }
  });

  it("a finding is opened and muted by keyboard alone, and the focus is never lost", async (t) => {
    const { page } = await securityOf(t);
    await finding(page, "Production").waitFor();
    const { press, tabTo } = keyboardOf(page);
    await tabTo("Show");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    const [{ title }] = (await (await fetch(`${fixture.worker.url}/api/checks?integration_type=supabase`)).json()).checks.filter(({ id }) => id === TLS);
    await finding(page, "Production").getByRole("button", { name: "Mute…" }).waitFor();
    await press(`Mute… ${title}`);
    await tabTo("Note");
    await page.keyboard.type("agreed");
    await page.keyboard.press("Enter");
    await page.getByRole("status").getByText("The finding is muted.").waitFor();
    assert.notEqual(await page.evaluate(() => document.activeElement.tagName), "BODY");
  });

  it("the page reports a list of findings that cannot be loaded, and loads it on another try", async (t) => {
    const { page, user } = await securityOf(t);
    await finding(page, "Production").waitFor();
    const { sub } = JSON.parse(Buffer.from(user.access_token.split(".")[1], "base64url"));
    const isOurs = ({ path, headers }) => path.startsWith("/rest/v1/finding_list") && JSON.parse(Buffer.from(headers.authorization.split(".")[1], "base64url")).sub === sub;
    const undo = fixture.gateway.fault(isOurs, answer(503, {}));
    await page.getByRole("button", { name: "Reload" }).click();
    const retry = page.locator("#findings-failed").getByRole("button", { name: "Try again" });
    await retry.waitFor();
    undo();
    await retry.click();
    await finding(page, "Production").waitFor();
  });

  for (const [look, options] of LOOKS) {
    it(`the security views are accessible and fit the screen (${look})`, async (t) => {
      const runs = Array.from({ length: 6 }, (_, i) => [...RESULTS, ...Array.from({ length: i * 2 }, (_, n) => result(MAIL, "pass", { resource: { type: "project", id: `p-${n}` } }))]);
      const window = await securityOf(t, runs, options, async (row, user) => {
        await fixture.sql`select private.record_not_run(i, now(), 'invalid_grant') from public.integrations i where id = ${row.id}`;
        await scan(fixture.sql, row, user.id, RESULTS);
        await fixture.sql`
          insert into public.finding_mutes (organization_id, check_id, reason, note, created_by, expires_at)
          values (${user.id}, ${BACKUPS}, 'wont_fix', 'as agreed', ${user.id}, now() + interval '40 days')`;
      });
      const { page } = window;
      await finding(page, "Production").locator("summary").click();
      await finding(page, "Production").locator(".trail").waitFor();
      await page.getByText("Each check, and why").click();
      await assertSound(window, `security-${look}`);
      await finding(page, "Production").getByRole("button", { name: "Mute…" }).click();
      await assertSound(window, `security-mute-${look}`);
      await page.keyboard.press("Escape");
      await page.getByRole("link", { name: "Shop" }).click();
      await page.locator("#details-security-text").waitFor();
      await assertSound(window, `security-details-${look}`);
    });
  }

  it("the page shows no security view for an integration without checks, and an unknown one leads to the list", async (t) => {
    const { page, user } = await fixture.open(t);
    const other = await addIntegration(fixture.sql, user.id, { integration_type: "notion", name: "Wiki" });
    await signedInAt(page, fixture.worker, user, `/?integration=${other.id}`);
    await page.getByRole("heading", { name: "Wiki", level: 1 }).waitFor();
    await page.locator("#trail-empty").waitFor();
    assert.equal(await page.locator("#details-security").isVisible(), false);
    await page.goto(`/?security=${other.id}`);
    await page.getByRole("status").getByText("There are no checks for this provider.").waitFor();
    await page.goto(`/?security=${randomUUID()}`);
    await page.getByRole("status").getByText("That integration no longer exists.").waitFor();
  });
});
