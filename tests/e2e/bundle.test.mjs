// The archive of both workers, as a release has it: what it takes to deploy without a compiler, and no secret.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { call } from "../support/caller.mjs";
import { SecretCanaries } from "../support/secret-canaries.mjs";
import { stack } from "../support/stack.mjs";
import { startWorker } from "../support/worker.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

describe("the archive of the workers", () => {
  const info = stack();
  let folder, unpacked;
  const pack = (out) => execFileSync(process.execPath, ["worker/package.mjs", "--built", "--out", out], { cwd: ROOT, encoding: "utf8" }).trim();
  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), "workers-"));
    execFileSync("tar", ["-xzf", pack(folder), "-C", folder]);
    unpacked = path.join(folder, "sealed-oauth-workers");
  });
  after(() => rmSync(folder, { recursive: true }));
  const files = () => globSync("**/*", { cwd: unpacked, withFileTypes: true, exclude: ["node_modules"] }).filter((entry) => entry.isFile()).map(({ parentPath, name }) => path.join(parentPath, name));

  it("is the same bytes whenever it is packed, and its checksum is beside it", () => {
    const again = path.join(folder, "again");
    const bytes = readFileSync(pack(again));
    assert.ok(bytes.equals(readFileSync(path.join(folder, "sealed-oauth-workers.tar.gz"))));
    execFileSync("sha256sum", ["--check", "--status", "sealed-oauth-workers.tar.gz.sha256"], { cwd: again });
  });

  it("holds the workers, the page, the migrations and their settings, and no secret", () => {
    const names = files().map((file) => path.relative(unpacked, file));
    const others = names.filter((name) => !/^((worker|scanner)\/build\/.*\.(m?js|wasm)|worker\/public\/.*|(supabase\/)?migrations\/\d{14}_\w+\.sql|docs\/\w+\.md|(scanner\/)?wrangler\.toml|supabase\/config\.toml|package\.json|LICENSE-\w+|[A-Z-]+\.md)$/.test(name));
    assert.deepEqual(others, []);
    for (const name of ["wrangler.toml", "scanner/wrangler.toml", "worker/build/index.js", "scanner/build/index.js", "worker/public/_headers", "docs/deploy.md"]) {
      assert.ok(names.includes(name), name);
    }
    const canaries = new SecretCanaries();
    canaries.add({ encryption_key: info.encryption_key, secret_key: info.secret_key, jwt_secret: info.jwt_secret, service_role_key: info.service_role_key ?? info.secret_key });
    for (const file of files()) {
      const text = readFileSync(file, "latin1");
      assert.deepEqual(canaries.in(text), [], file);
      assert.ok(!text.includes(ROOT), `${file} names a folder of this machine`);
    }
  });

  for (const config of ["wrangler.toml", "scanner/wrangler.toml"]) {
    it(`wrangler takes its ${config} and builds nothing`, () => {
      const wrangler = path.join(ROOT, "node_modules/wrangler/bin/wrangler.js");
      const env = { PATH: path.dirname(process.execPath), HOME: folder, WRANGLER_SEND_METRICS: "false" };
      const said = execFileSync(process.execPath, [wrangler, "deploy", "--dry-run", "--config", config], { cwd: unpacked, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
      assert.match(said, /Total Upload: .* gzip/);
      assert.match(said, /--dry-run: exiting now/);
      assert.doesNotMatch(said, /Custom build|cargo/i);
    });
  }

  it("its worker answers", async () => {
    const worker = await startWorker(info, {}, { build: path.join(unpacked, "worker/build") });
    try {
      assert.deepEqual((await call(worker, "GET", "/health")).expect(200).json, { status: "ok" });
    } finally {
      await worker.stop();
    }
  });
});
