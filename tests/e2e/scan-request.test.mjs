// "Scan now", from the request of a user to what the API says: the worker, the scanner, the database and the provider, none of them played.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { scanFixture } from "../support/scanner.mjs";

/** What the user waits for, at the most, once the scanner's clock has begun. */
const WITHIN_MS = 5000;

describe("scans on request", () => {
  const fixture = scanFixture("scan-request");

  it("a scan that a user requests is in the API within five seconds, findings and all", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const id = await browser.connect(`scan-${randomUUID()}`);
    const begun = performance.now();
    const requested = (await browser.post(`/api/integrations/${id}/assessments`, {})).expect(202).json;
    assert.equal(requested.state, "queued");
    const again = (await browser.post(`/api/integrations/${id}/assessments`, {})).expect(200).json;
    assert.equal(again.id, requested.id);
    await fixture.scanner.scheduled();
    const run = (await browser.get(`/api/assessments/${requested.id}`)).expect(200).json;
    assert.ok(performance.now() - begun < WITHIN_MS, `${performance.now() - begun} ms`);
    assert.deepEqual([run.state, run.outcome, run.baseline], ["done", "complete", true]);
    const { passed, failed } = run.results;
    assert.ok(passed > 30 && failed > 5, `${passed} passed, ${failed} failed`);
    const { findings } = (await browser.get(`/api/findings?integration_id=${id}`)).expect(200).json;
    assert.equal(findings.length, Math.min(failed, 50));
    assert.ok(findings.every(({ state }) => state === "open"));
  });

  it("a scan with a grant that ended is incomplete, passes nothing and resolves nothing", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const id = await browser.connect(`scan-${randomUUID()}`);
    const scan = async () => {
      const { id: run } = (await browser.post(`/api/integrations/${id}/assessments`, {})).expect(202).json;
      await fixture.scanner.scheduled();
      return (await browser.get(`/api/assessments/${run}`)).expect(200).json;
    };
    const { results } = await scan();
    const restore = fixture.server.fault(({ headers }) => headers["user-agent"] === "sealed-integrations", ({ response }) => {
      response.writeHead(401, { "content-type": "application/json" }).end("{}");
    });
    const ended = await scan();
    restore();
    assert.deepEqual([ended.outcome, ended.reason, ended.results.passed, ended.findings.resolved], ["incomplete", "unauthorized", 0, 0]);
    assert.equal(ended.findings.unverified, results.failed);
  });
});
