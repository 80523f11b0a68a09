// examples/nuxt, built and running: rows of every form, opened with packages/sealed-config. Skipped, with the reason, where npm cannot
// install Nuxt.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { seal, wrap } from "../format/format.mjs";
import { startChild } from "../stack/child.mjs";
import { freePort, LOOPBACK } from "../stack/listen.mjs";
import { connect } from "../support/database.mjs";
import { sealOld } from "../support/integrations.mjs";
import { insertRows } from "../support/own-stack.mjs";
import { stack } from "../support/stack.mjs";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** As deep as the example, so that the path to packages/sealed-config in its package.json holds. */
const APP = path.join(ROOT, ".dev/nuxt");
const INSTALL_TIMEOUT_MS = 180_000;
const BUILD_TIMEOUT_MS = 240_000;

/** Copies the example and installs its packages, once for each package.json. Returns why that is not possible, if so. */
async function install() {
  mkdirSync(APP, { recursive: true });
  const own = (file) => !/node_modules|\.nuxt|\.output/.test(path.relative(path.join(ROOT, "examples/nuxt"), file));
  cpSync(path.join(ROOT, "examples/nuxt"), APP, { recursive: true, filter: own });
  const wanted = createHash("sha256").update(readFileSync(path.join(APP, "package.json"))).digest("hex");
  const stamp = path.join(APP, "node_modules/.installed");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return undefined;
  try {
    await run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"], { cwd: APP, timeout: INSTALL_TIMEOUT_MS });
  } catch (error) {
    const [first] = String(error.stderr || error.message).trim().split("\n");
    return `npm cannot install Nuxt: ${first}`;
  }
  writeFileSync(stamp, wanted);
  return undefined;
}

describe("the Nuxt example", { timeout: INSTALL_TIMEOUT_MS + 2 * BUILD_TIMEOUT_MS }, () => {
  const info = stack();
  const sql = connect(info);
  let missing, server, url;
  before(async () => {
    missing = await install();
    if (missing) return;
    const env = { ...process.env, NUXT_TELEMETRY_DISABLED: "1", NODE_ENV: "production" };
    await run(process.execPath, ["node_modules/nuxt/bin/nuxt.mjs", "build"], { cwd: APP, env, timeout: BUILD_TIMEOUT_MS });
    const port = await freePort();
    url = `http://${LOOPBACK}:${port}`;
    server = await startChild({
      name: "nuxt",
      command: process.execPath,
      args: [path.join(APP, ".output/server/index.mjs")],
      env: {
        ...env, HOST: LOOPBACK, PORT: String(port), ENCRYPTION_KEY: info.encryption_key,
        NUXT_SUPABASE_URL: info.supabase_url, NUXT_SUPABASE_SERVICE_ROLE_KEY: info.secret_key,
      },
      ready: /Listening on/,
      logs: info.logs,
    });
  }, { timeout: INSTALL_TIMEOUT_MS + BUILD_TIMEOUT_MS });
  after(async () => {
    await server?.stop();
    await sql.end();
  });
  const ask = async (id) => {
    const response = await fetch(`${url}/api/integrations/${id}`);
    return { status: response.status, text: await response.text() };
  };
  const test = (name, work) => it(name, async (t) => (missing ? t.skip(missing) : work(t)));

  test("a server route opens rows of every form", async () => {
    const key = Buffer.from(info.encryption_key, "base64");
    const place = { organization_id: randomUUID(), integration_id: randomUUID() };
    const dataKey = randomBytes(32);
    await sql`select add_data_keys(${sql.json([wrap(key, place.organization_id, dataKey, randomBytes(12))])})`;
    const [withDataKey] = await sql`insert into public.integrations ${sql({
      id: place.integration_id, organization_id: place.organization_id, integration_type: "supabase", name: "With a data key",
      config: seal(key, place, { access_token: "planted-token", refresh_token: "x" }, () => randomBytes(12), [dataKey]),
    })} returning id`;
    const [current] = await insertRows({ info, sql }, 1, { seconds: 3600 });
    const [old] = await sql`insert into public.integrations ${sql({
      organization_id: randomUUID(), integration_type: "supabase", name: "Old",
      config: { access_token: sealOld(key, "planted-old-token"), refresh_token: sealOld(key, "x"), project_id: "p" },
    })} returning id`;
    for (const [id, length] of [[current, `old-0-${current}`.length], [old.id, "planted-old-token".length], [withDataKey.id, "planted-token".length]]) {
      const { status, text } = await ask(id);
      assert.equal(status, 200, text);
      const { opened, tokenLength } = JSON.parse(text);
      assert.deepEqual([opened.includes("access_token"), opened.includes("refresh_token"), tokenLength], [true, true, length]);
      assert.ok(!text.includes("planted") && !text.includes("old-0"), text);
    }
  });

  test("a server route answers one error for a config that does not open", async () => {
    const [id] = await insertRows({ info, sql }, 1, { seconds: 3600 });
    await sql`update public.integrations set config = jsonb_set(config, '{access_token}', config->'refresh_token') where id = ${id}`;
    const { status, text } = await ask(id);
    assert.equal(status, 500);
    assert.match(text, /the credentials cannot be opened/);
    assert.deepEqual([(await ask(randomUUID())).status, (await ask("x")).status], [404, 400]);
  });
});
