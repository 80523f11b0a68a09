// Takes the README's picture of the connect page, docs/connect-page.png, from a running stack.
//
//     cargo xtask dev                                   (in another terminal; it builds the worker, too)
//     STACK_JSON=.dev/stack.json npx node tests/e2e/screenshot.mjs [file]
//
// (`npx node` is the Node that package.json pins: the machine's may be too old.)
import { writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { launchBrowser } from "../support/browser.mjs";
import { connect } from "../support/database.mjs";
import { connectAt, openWindow, signInAt } from "../support/page.mjs";
import { stack } from "../support/stack.mjs";
import { signUp } from "../support/users.mjs";
import { startWorker } from "../support/worker.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FILE = process.argv[2] ?? path.join(ROOT, "docs/connect-page.png");
const WIDTH = 1280;
/** The oldest first, with how long ago each was connected. */
const ACCOUNTS = [["Analytics", "23 days"], ["Customer portal", "3 hours"], ["Production", null]];

const worker = await startWorker(stack());
const sql = connect(worker.info);
const browser = await launchBrowser();
try {
  const user = await signUp(worker.info);
  const { page } = await openWindow(browser, worker, { viewport: { width: WIDTH, height: 800 }, colorScheme: "light" });
  await signInAt(page, user);
  for (const [name, age] of ACCOUNTS) {
    await connectAt(page, name);
    await page.getByRole("status").getByText(`${name} is connected.`).waitFor();
    if (age) await sql`update public.integrations set created_at = now() - ${age}::interval where organization_id = ${user.id} and name = ${name}`;
  }
  // The address that stands in the picture; the user's own is a random one.
  await page.locator("#account-email").evaluate((shown) => (shown.textContent = "ada@example.com"));
  const { y, height } = await page.locator("main").boundingBox();
  const image = await page.screenshot({ clip: { x: 0, y: 0, width: WIDTH, height: Math.ceil(y + height) }, animations: "disabled" });
  writeFileSync(FILE, image);
  console.log(`${path.relative(ROOT, FILE)}: ${WIDTH} wide, ${Math.ceil(image.length / 1024)} KB`);
} finally {
  await browser.close();
  await sql.end();
  await worker.stop();
}
