// A virtual environment with packages of PyPI, under .dev/: made at the first run, and again when what is asked for changes.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const DEV = fileURLToPath(new URL("../../.dev", import.meta.url));
/** Pip waits for a registry that does not answer, and tries again. */
const INSTALL_TIMEOUT_MS = 120_000;

/** `{ folder }` of the environment's programs, or `{ missing }`: why there is none. `packages` have exact versions. */
export async function pythonEnvironment(name, packages) {
  const home = path.join(DEV, name);
  const [folder, stamp] = [path.join(home, "bin"), path.join(home, "packages")];
  const wanted = packages.join("\n");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return { folder };
  try {
    await run("python3", ["-c", "import sys; sys.exit(sys.version_info < (3, 10))"]);
  } catch {
    return { missing: "there is no python3 of version 3.10 or later" };
  }
  try {
    rmSync(home, { recursive: true, force: true });
    mkdirSync(DEV, { recursive: true });
    await run("python3", ["-m", "venv", home]);
    const quiet = ["--disable-pip-version-check", "--no-input", "--quiet"];
    await run(path.join(folder, "python"), ["-m", "pip", "install", ...quiet, ...packages], { timeout: INSTALL_TIMEOUT_MS });
  } catch (error) {
    const [first] = String(error.stderr || error.message).trim().split("\n");
    return { missing: `the Python packages cannot be installed: ${first}` };
  }
  writeFileSync(stamp, wanted);
  return { folder };
}
