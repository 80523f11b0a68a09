// The virtual environment of the servers in this folder, made at the first run and again when requirements.txt changes.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);

const HERE = fileURLToPath(new URL(".", import.meta.url));
const REQUIREMENTS = path.join(HERE, "requirements.txt");
const ENVIRONMENT = path.join(HERE, "../../.dev/python");
const STAMP = path.join(ENVIRONMENT, "requirements");
const PROGRAM = path.join(ENVIRONMENT, "bin/python");
/** Pip waits for a registry that does not answer, and tries again. */
const INSTALL_TIMEOUT_MS = 180_000;

/** `{ program }`, or `{ missing }`: why there is no such environment. */
export async function python() {
  const wanted = createHash("sha256").update(readFileSync(REQUIREMENTS)).digest("hex");
  if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === wanted) return { program: PROGRAM };
  try {
    await run("python3", ["-c", "import sys; sys.exit(sys.version_info < (3, 10))"]);
  } catch {
    return { missing: "there is no python3 of version 3.10 or later" };
  }
  try {
    rmSync(ENVIRONMENT, { recursive: true, force: true });
    mkdirSync(path.dirname(ENVIRONMENT), { recursive: true });
    await run("python3", ["-m", "venv", ENVIRONMENT]);
    const quiet = ["--disable-pip-version-check", "--no-input", "--quiet"];
    await run(PROGRAM, ["-m", "pip", "install", ...quiet, "--requirement", REQUIREMENTS], { timeout: INSTALL_TIMEOUT_MS });
  } catch (error) {
    const [first] = String(error.stderr || error.message).trim().split("\n");
    return { missing: `the Python packages cannot be installed: ${first}` };
  }
  writeFileSync(STAMP, wanted);
  return { program: PROGRAM };
}
