// schemathesis over the running worker: requests that docs/openapi.yaml allows, and ones that it forbids, as a user and as a program. What the
// worker answers must be as described, and never a 5xx. Without Python, or without the registry, it is skipped.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";

import { BrowserSession } from "../support/browser-session.mjs";
import { document } from "../support/openapi.mjs";
import { pythonEnvironment } from "../support/python-environment.mjs";
import { addIntegration } from "../support/scans.mjs";
import { programOf } from "../support/service-keys.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const run = promisify(execFile);
const SCOPES = document.components.schemas.Scope.enum;
/** Both callers at the same time: some 30 seconds, however slow the machine is. */
const [SECONDS, EXAMPLES] = [28, 5];
/**
 * Not judged: a well-formed request can name what does not exist, or what excludes each other (positive_data_acceptance); and a key and a
 * user have routes of their own, which another route's credential does not open (ignored_auth compares with no credential at all).
 */
const LEFT_OUT = "positive_data_acceptance,ignored_auth";

const environment = await pythonEnvironment("python-schemathesis", ["schemathesis==4.32.5"]);

describe("schemathesis", { skip: environment.missing ?? false }, () => {
  const fixture = workerFixture();
  const home = mkdtempSync(path.join(tmpdir(), "schemathesis-"));
  after(() => rmSync(home, { recursive: true, force: true }));
  let browser, integration, webhook;

  before(async () => {
    browser = await BrowserSession.signedIn(fixture.worker);
    integration = await addIntegration(fixture.sql, browser.user.id);
    webhook = (await browser.post("/api/webhooks", { url: "https://hooks.example.com/" })).expect(201).json;
  });

  /** The document with an example that exists for what its requests name, so that they find something. */
  function withExamples() {
    const copy = structuredClone(document);
    const existing = { "/api/integrations/{id}": integration.id, "/api/webhooks/{id}": webhook.id };
    for (const [template, item] of Object.entries(copy.paths)) {
      const [, id] = Object.entries(existing).find(([prefix]) => template.startsWith(prefix)) ?? [];
      if (id) item.parameters = item.parameters.map((parameter) =>
        parameter.$ref?.endsWith("/Id") ? { ...copy.components.parameters.Id, example: id } : parameter);
    }
    Object.assign(copy.components.parameters.OrganizationId, { example: browser.user.id });
    Object.assign(copy.components.parameters.IntegrationId, { example: integration.id });
    return copy;
  }

  /** `id`: the caller, by whom requests are counted. */
  async function judge(name, token, id) {
    const file = path.join(home, `${name}.json`);
    writeFileSync(file, JSON.stringify(withExamples()));
    // The counts of requests would otherwise hide what the requests would be answered.
    const forget = () => fixture.sql`delete from private.rate_limits where subject like ${`${id}%`}`;
    const uncounted = setInterval(() => void forget().catch(() => {}), 300);
    const options = [
      "run", file, "--url", fixture.worker.url, "--header", `Authorization: Bearer ${token}`, "--phases", "examples,coverage,fuzzing",
      "--max-examples", EXAMPLES, "--max-time", SECONDS, "--seed", 1, "--no-shrink", "--continue-on-failure", "--request-timeout", 10,
      "--checks", "all", "--exclude-checks", LEFT_OUT, "--warnings", "off", "--no-color",
      // They would delete what the other requests are about.
      ...["disconnectIntegration", "deleteWebhook"].flatMap((id) => ["--exclude-operation-id", id]),
    ];
    try {
      const { stdout } = await run(path.join(environment.folder, "schemathesis"), options.map(String), { cwd: home, timeout: 60_000, maxBuffer: 2 ** 24 });
      return stdout;
    } catch (error) {
      return assert.fail(`${name}: ${error.stdout}${error.stderr}`);
    } finally {
      clearInterval(uncounted);
    }
  }

  it("schemathesis finds nothing as a user and as a program that docs/openapi.yaml does not describe", { timeout: 120_000 }, async (t) => {
    const program = await programOf(browser, SCOPES);
    const outputs = await Promise.all([judge("user", browser.user.access_token, browser.user.id), judge("program", program.key, program.made.id)]);
    for (const output of outputs) {
      const [, cases] = output.match(/(\d+) generated/) ?? [];
      t.diagnostic(`${cases} requests`);
      assert.ok(Number(cases) > 100, output);
    }
    const [row] = await fixture.sql`select id from public.integrations where id = ${integration.id}`;
    assert.ok(row, "what the requests were about is still there");
  });
});
