// What the tests of the connect page share: a worker, a browser, and windows that are looked at from all sides.
import assert from "node:assert/strict";
import { before } from "node:test";

import { audit } from "./audit.mjs";
import { BrowserSession } from "./browser-session.mjs";
import { launchBrowser } from "./browser.mjs";
import { integrationsOf } from "./integrations.mjs";
import { openWindow, signedInAt, storageOf } from "./page.mjs";
import { signUp } from "./users.mjs";
import { workerFixture } from "./worker-fixture.mjs";

/** What a script of the page may find in the browser. */
export const NOTHING_STORED = { cookies: "", local: {}, session: {}, databases: [], caches: [], workers: 0 };
export const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
/** How the page is looked at, `[name, options of the window]`: each width and each scheme once, for no style depends on both. */
export const LOOKS = [
  ["light", { colorScheme: "light" }],
  ["phone-dark", { ...PHONE, colorScheme: "dark" }],
];

/**
 * `workerFixture` behind a proxy of Supabase, with a `browser`, and `open(t, options)`: a window of a new user, as `openWindow` returns it.
 * `settings` are further ones of the worker, or a function that makes them of the fixture.
 */
export function pageFixture(settings) {
  // The browser starts beside the worker.
  let launching;
  before(() => {
    launching = launchBrowser();
  });
  const fixture = workerFixture({ gateway: true, settings });
  fixture.stops.push(async () => (await launching)?.close());
  before(async () => {
    fixture.browser = await launching;
  });

  fixture.open = async (t, options) => {
    const user = await signUp(fixture.worker.info);
    const opened = await openWindow(fixture.browser, fixture.worker, options);
    t.after(() => opened.context.close());
    return { user, ...opened };
  };
  return fixture;
}

/** A user with an integration of this name, and its details on the screen: the window, `user` and the `row`. */
export async function detailsOf(fixture, t, name, options) {
  const window = await fixture.open(t, options);
  const { page, user } = window;
  const browser = new BrowserSession(fixture.worker);
  await browser.signIn(user);
  await browser.connect(name);
  await signedInAt(page, fixture.worker, user);
  const [row] = await integrationsOf(fixture.sql, user.id);
  await page.getByRole("link", { name }).click();
  await page.getByRole("heading", { name, level: 1 }).waitFor();
  return { ...window, row };
}

/** Nothing sticks out of the screen, nothing is kept, and axe finds nothing; saves a picture of it. */
export async function assertSound({ page, shoot }, name) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wide <= 0, `${name} is ${wide} px too wide`);
  assert.deepEqual(await storageOf(page), NOTHING_STORED, name);
  await shoot(name);
  assert.deepEqual(await audit(page), [], name);
}
