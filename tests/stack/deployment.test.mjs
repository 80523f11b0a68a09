// What both wrangler.toml say of the deployment, as wrangler itself reads them.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import Ajv from "ajv";
import { experimental_readRawConfig, unstable_getMiniflareWorkerOptions } from "wrangler";

import { ASSETS } from "../support/worker.mjs";

const CONFIG = fileURLToPath(new URL("../../wrangler.toml", import.meta.url));
const SCANNER = fileURLToPath(new URL("../../scanner/wrangler.toml", import.meta.url));

// Threat model 116.
test("Cloudflare's logs get no query string, so no code and no state", () => {
  const { rawConfig } = experimental_readRawConfig({ config: CONFIG });
  assert.equal(rawConfig.observability.redact_query_string, true);
});

test("wrangler.toml serves the page's files as the tests' worker does", () => {
  const { assets } = unstable_getMiniflareWorkerOptions(CONFIG).workerOptions;
  const { compatibility_date, compatibility_flags, ...assetConfig } = assets.assetConfig;
  // What is undefined there is absent here.
  assert.deepEqual(JSON.parse(JSON.stringify({ ...assets, assetConfig })), ASSETS);
});

test("wrangler.toml publishes the page's files and nothing else", () => {
  const files = readdirSync(ASSETS.directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map(({ name }) => name);
  const others = files.filter((name) => !/^([a-z-]+\.(html|js)|style\.css|_headers)$/.test(name));
  assert.deepEqual(others, []);
  assert.ok(files.includes("_headers"), "the security headers of what is published");
});

// threat model 306
test("the scanner has no address, and the worker's clock and runtime", () => {
  const [{ rawConfig: worker }, { rawConfig: scanner }] = [CONFIG, SCANNER].map((config) => experimental_readRawConfig({ config }));
  assert.equal(scanner.workers_dev, false);
  assert.equal(scanner.preview_urls, false);
  for (const name of ["route", "routes", "assets"]) assert.equal(scanner[name], undefined, name);
  assert.deepEqual(scanner.triggers, worker.triggers);
  assert.equal(scanner.compatibility_date, worker.compatibility_date);
  assert.notEqual(scanner.name, worker.name);
});

test("what the wrangler.toml offer as comments is configuration that wrangler takes", () => {
  const schema = JSON.parse(readFileSync(fileURLToPath(new URL("../../node_modules/wrangler/config-schema.json", import.meta.url)), "utf8"));
  const validate = new Ajv({ strict: false, allowUnionTypes: true }).compile(schema);
  for (const config of [CONFIG, SCANNER]) {
    const text = readFileSync(config, "utf8");
    const offered = text.replaceAll(/^# (\[.*\]|[a-z_]+ = .*)$/gm, "$1");
    assert.notEqual(offered, text);
    const file = path.join(mkdtempSync(path.join(tmpdir(), "wrangler-")), "wrangler.toml");
    writeFileSync(file, offered);
    const { rawConfig } = experimental_readRawConfig({ config: file });
    rmSync(path.dirname(file), { recursive: true });
    assert.ok(validate(rawConfig), JSON.stringify(validate.errors));
    assert.ok(rawConfig.queues.consumers.length > 0 && rawConfig.queues.producers.length > 0);
  }
});
