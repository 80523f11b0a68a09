// A trap in the scanner's wasm costs the run that it happens in: the next one begins with the wasm anew (scanner/src/entry.js).
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { startScanner } from "../support/scanner.mjs";

const BUILD = fileURLToPath(new URL("../../scanner/build", import.meta.url));
const NOWHERE = "http://127.0.0.1:1";
/** Of the instances of the wasm, the first one's schedule traps. */
const INSTRUMENT = `
const { Instance } = WebAssembly;
let instances = 0;
WebAssembly.Instance = function (module, imports) {
  const { exports } = new Instance(module, imports);
  instances += 1;
  const scheduled = instances > 1 ? exports.scheduled : () => { throw new WebAssembly.RuntimeError("unreachable"); };
  return { exports: { ...exports, scheduled } };
};
`;
const ENTRY = 'import "./instrument.js";\nexport { default } from "./scanner.js";\n';

test("a run of the scanner's schedule that traps fails, and the next one works in a new instance", async (t) => {
  const build = mkdtempSync(path.join(tmpdir(), "trapping-scanner-"));
  t.after(() => rmSync(build, { recursive: true, force: true }));
  cpSync(BUILD, build, { recursive: true });
  renameSync(path.join(build, "index.js"), path.join(build, "scanner.js"));
  writeFileSync(path.join(build, "instrument.js"), INSTRUMENT);
  writeFileSync(path.join(build, "index.js"), ENTRY);
  const settings = { supabase_url: NOWHERE, authorization_server_url: NOWHERE, secret_key: "sb_secret_x", encryption_key: randomBytes(32).toString("base64") };
  const scanner = await startScanner(settings, {}, { build });
  t.after(() => scanner.stop());

  await assert.rejects(scanner.scheduled(), /ended with exception/);
  await scanner.scheduled();
  // It got as far as the database, which is not there.
  await scanner.logged(/claim_scan_runs: Supabase could not be reached/);
});
