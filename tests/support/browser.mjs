// A headless Chromium: npm's packaged one, or that which CHROME_BIN names.
import packaged from "@sparticuz/chromium";
import { chromium } from "playwright-core";

// The package's arguments are for machines without a GPU or a display. These of them take the web's security away, which is
// what is tested here: without it Chromium sends no Origin header, for one.
const INSECURE = /^--(disable-web-security|allow-running-insecure-content|disable-site-isolation-trials|disable-features=.*IsolateOrigins.*)$/;

/** Launches it; close it with `close()`. */
export async function launchBrowser(options = {}) {
  const executablePath = process.env.CHROME_BIN ?? (await packaged.executablePath());
  // Chromium refuses root unless unsandboxed.
  const own = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  const args = process.env.CHROME_BIN ? own : packaged.args.filter((argument) => !INSECURE.test(argument));
  return chromium.launch({ executablePath, args, ...options });
}
