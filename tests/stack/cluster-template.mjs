// A new cluster is a copy of one that was made before: making it takes seconds, copying it a tenth of one.
import { createHash, randomBytes } from "node:crypto";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** Not where `cargo xtask dev` has its own cluster, .dev/postgres: each empties its folder. */
export const TEMPLATES = fileURLToPath(new URL("../../.dev/cluster-template", import.meta.url));

/**
 * Fills the empty directory `data` with a cluster and returns the password of its roles. The first time, and whenever one of the
 * texts `madeFrom` has changed, `make(password)` creates the cluster there and shuts it down.
 */
export async function fillCluster({ data, madeFrom, make }) {
  const template = path.join(TEMPLATES, createHash("sha256").update(JSON.stringify(madeFrom)).digest("hex").slice(0, 16));
  if (existsSync(template)) {
    cpSync(path.join(template, "data"), data, { recursive: true });
    // PostgreSQL wants it closed to everybody else.
    chmodSync(data, 0o700);
    return readFileSync(path.join(template, "password"), "utf8");
  }
  const password = randomBytes(24).toString("hex");
  await make(password);
  keep({ data, password, template });
  return password;
}

/** Keeps a copy as the template. Of several processes that do so at the same time, the first wins. */
function keep({ data, password, template }) {
  mkdirSync(TEMPLATES, { recursive: true, mode: 0o700 });
  const older = readdirSync(TEMPLATES).filter((name) => !name.startsWith("partial-") && name !== path.basename(template));
  for (const name of older) rmSync(path.join(TEMPLATES, name), { recursive: true, force: true });
  const partial = mkdtempSync(path.join(TEMPLATES, "partial-"));
  cpSync(data, path.join(partial, "data"), { recursive: true });
  writeFileSync(path.join(partial, "password"), password, { mode: 0o600 });
  try {
    renameSync(partial, template);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    if (!existsSync(template)) throw error;
  }
}
