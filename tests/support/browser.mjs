// A headless Chromium: npm's packaged one, or that which CHROME_BIN names.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import packaged, { inflate } from "@sparticuz/chromium";
import { chromium } from "playwright-core";

const MODULES = fileURLToPath(new URL("../../node_modules", import.meta.url));
// Not the arguments that the package recommends: they take the web's security away, which is what is tested here (without
// it Chromium sends no Origin header, for one). Its sandbox needs what containers seldom have, and refuses root.
const ARGUMENTS = ["--no-sandbox", "--disable-gpu"];

/** Launches it; close it with `close()`. */
export async function launchBrowser(options = {}) {
  const executablePath = process.env.CHROME_BIN ?? (await unpack());
  const env = process.env.CHROME_BIN ? process.env : environment(executablePath);
  return chromium.launch({ executablePath, env, args: ARGUMENTS, ...options });
}

/** A machine without a desktop may lack libraries (NSS) and fonts; the package has some of both. */
function environment(program) {
  const home = path.dirname(program);
  const env = { ...process.env };
  if (!existsSync("/etc/fonts")) env.FONTCONFIG_PATH = path.join(home, "fonts");
  if (spawnSync(program, ["--version"]).status !== 0) env.LD_LIBRARY_PATH = path.join(home, "al2023/lib");
  return env;
}

/**
 * Where the packaged Chromium is, after unpacking it if need be. The package itself unpacks into the temporary directory
 * and takes whatever lies there for a whole one, even if another test is just writing it.
 */
async function unpack() {
  const source = path.join(MODULES, "@sparticuz/chromium");
  const { version } = JSON.parse(readFileSync(path.join(source, "package.json"), "utf8"));
  const home = path.join(MODULES, ".cache", `chromium-${version}`);
  const program = path.join(home, "chromium");
  if (existsSync(program)) return program;

  const draft = `${home}.${process.pid}`;
  mkdirSync(draft, { recursive: true });
  await withTemporaryDirectory(draft, () =>
    Promise.all([packaged.executablePath(), inflate(path.join(source, "bin/al2023.tar.br"))]),
  );
  try {
    renameSync(draft, home);
  } catch (error) {
    // Another test was faster.
    if (!existsSync(program)) throw error;
    rmSync(draft, { recursive: true });
  }
  return program;
}

/** The package asks for the temporary directory before its first await, so it is changed for that long only. */
function withTemporaryDirectory(directory, work) {
  const before = process.env.TMPDIR;
  process.env.TMPDIR = directory;
  try {
    return work();
  } finally {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  }
}
