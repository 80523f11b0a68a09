// The connect page in a browser: what a person does there, and whatever the browser complains about meanwhile.
import { mkdirSync } from "node:fs";
import path from "node:path";

import { fromElsewhere } from "./addresses.mjs";

/** Chromium says this of each 401; the page asks twice before it shows the sign-in. */
const SIGNED_OUT = /^Failed to load resource: .* 401 /;

/**
 * Opens a window with cookies of its own. `options` are Playwright's (viewport, colorScheme …). Returns the page, and
 *
 * - `context`
 * - `errors()`: violations of the content security policy, uncaught errors, and console errors that were not expected
 * - `shoot(name)`: saves a screenshot for people, where SCREENSHOTS names a folder
 */
export async function openWindow(browser, worker, options = {}) {
  // Motion is drawn in software here: a fifth of what the browser computes.
  const settings = { locale: "en-US", timezoneId: "UTC", reducedMotion: "reduce" };
  const context = await browser.newContext({ baseURL: worker.url, extraHTTPHeaders: fromElsewhere(), ...settings, ...options });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  const errors = [];
  // Before any script of a page: the event comes on the document whose policy was violated.
  await page.exposeFunction("reportViolation", (text) => void errors.push(`violation: ${text}`));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sample }) =>
      globalThis.reportViolation(`${violatedDirective} ${blockedURI} ${sample}`));
  });
  page.on("pageerror", (error) => errors.push(`uncaught: ${error.stack}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !SIGNED_OUT.test(message.text())) errors.push(`console: ${message.text()} ${message.location().url}`);
  });
  const shoot = async (name) => {
    const folder = process.env.SCREENSHOTS;
    if (!folder) return;
    mkdirSync(folder, { recursive: true });
    await page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: true, animations: "disabled" });
  };
  return { context, page, errors: () => errors, shoot };
}

/** Opens the page and signs in. */
export async function signInAt(page, { email, password }) {
  await page.goto("/");
  await page.getByLabel("Email").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("#view-signed-in").waitFor();
}

/** Opens the page as a user who has signed in before. Signing in on the page is the subject of page.test.mjs and page-sign-in.test.mjs. */
export async function signedInAt(page, worker, { access_token, refresh_token }, path = "/") {
  const tokens = { access_token, refresh_token };
  const response = await page.context().request.post("/api/session", { data: tokens, headers: { origin: worker.url } });
  if (!response.ok()) throw new Error(`the session was answered with ${response.status()}: ${await response.text()}`);
  await page.goto(path);
  await page.locator("#view-loading").waitFor({ state: "hidden" });
}

/** At the authorization server: signs in as `login`, and answers the question for consent. */
export async function consentAt(page, login, button = "Authorize") {
  await page.getByLabel("Login name").fill(login);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: button, exact: true }).click();
}

/** Connects an account from the page. */
export async function connectAt(page, login, button) {
  await page.getByRole("button", { name: "Connect Supabase" }).click();
  await consentAt(page, login, button);
}

/** The names in the table of integrations, from the top. */
export function namesIn(page) {
  return page.getByRole("table", { name: "Integrations" }).getByRole("rowheader").allTextContents();
}

/** Whatever a script of this page can find of what the browser keeps. */
export function storageOf(page) {
  return page.evaluate(async () => ({
    cookies: document.cookie,
    local: { ...localStorage },
    session: { ...sessionStorage },
    databases: (await indexedDB.databases()).map(({ name }) => name),
    caches: await caches.keys(),
    workers: (await navigator.serviceWorker.getRegistrations()).length,
  }));
}
