// The virtual environment of the servers in this folder.
import { readFileSync } from "node:fs";
import path from "node:path";

import { pythonEnvironment } from "../support/python-environment.mjs";

/** `{ program }`, or `{ missing }`: why there is no such environment. */
export async function python() {
  const lines = readFileSync(new URL("requirements.txt", import.meta.url), "utf8").split("\n");
  const { folder, missing } = await pythonEnvironment("python", lines.filter((line) => line && !line.startsWith("#")));
  return missing ? { missing } : { program: path.join(folder, "python") };
}
