// A scanner that is stopped at any step: another one goes on, and the result is that of a run which nobody disturbed.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { answer } from "../support/faults.mjs";
import { findingsOf, insertScannable, queueRun, runOf, scanFixture, tls } from "../support/scanner.mjs";
import { until } from "../support/wait.mjs";

describe("stopped scanners", () => {
  const fixture = scanFixture("scan-stopped");

  /** Stops the scanner when this request arrives, before or after the target has taken it. */
  const stopAt = async (proxy, matcher, pass) => {
    const scanner = await fixture.startScanner();
    const stopped = Promise.withResolvers();
    const restore = proxy.fault(matcher, async (exchange) => {
      restore();
      // Through to the target: what it did stays done, and nobody hears of it.
      if (pass) await exchange.pass({ truncate: true }).catch(() => {});
      exchange.response.destroy();
      await scanner.stop();
      stopped.resolve();
    });
    scanner.scheduled().catch(() => {});
    await stopped.promise;
  };

  const undisturbed = async () => {
    const integration = await insertScannable(fixture);
    const restore = fixture.server.fault(`/v1/projects/${integration.account}/ssl-enforcement`, tls(false));
    const run = await queueRun(fixture, integration);
    return { integration, run, restore };
  };
  const resultOf = async ({ integration, run }) => {
    const { outcome, passed, failed, unknown, opened, resolved } = await runOf(fixture, run);
    const findings = Object.values(await findingsOf(fixture, integration)).flat();
    const shown = findings.map(({ check_id, state, item, evidence }) => [check_id, state, item, JSON.stringify(evidence).replaceAll(integration.account, "…")]);
    return { outcome, passed, failed, unknown, opened, resolved, findings: shown.sort((a, b) => (String(a) < String(b) ? -1 : 1)) };
  };

  for (const [name, place, matcher, pass] of [
    ["before it has claimed", "gateway", "/rest/v1/rpc/claim_scan_runs", false],
    ["after it has claimed", "gateway", "/rest/v1/rpc/claim_scan_runs", true],
    ["at its first read", "server", /^GET \/v1\/projects\/[a-z]{20}$/, false],
    ["at a read in the middle", "server", /ssl-enforcement$/, false],
    ["before it has saved", "gateway", "/rest/v1/rpc/save_scan_position", false],
    ["after it has saved", "gateway", "/rest/v1/rpc/save_scan_position", true],
    ["before it has finished", "gateway", "/rest/v1/rpc/finish_scan_run", false],
    ["after it has finished", "gateway", "/rest/v1/rpc/finish_scan_run", true],
  ]) {
    // threat model 304
    it(`a run ends as if undisturbed when its scanner is stopped ${name}`, async () => {
      const whole = await undisturbed();
      await fixture.scanner.scheduled();
      const expected = await resultOf(whole);
      assert.ok(expected.opened > 0 && expected.outcome === "complete");
      whole.restore();

      const broken = await undisturbed();
      // A pause in the middle, where there has to be something to save.
      if (String(matcher).includes("save")) fixture.once(/postgrest$/, answer(429, {}, { "retry-after": "1" }));
      await stopAt(fixture[place], matcher, pass);
      await until("the end of the run", async () => {
        // A stopped scanner's lease is over. A pause that it saved is not.
        await fixture.sql`update private.scan_claims set due_at = now() where assessment_id = ${broken.run} and owner is not null`;
        await fixture.scanner.scheduled();
        return (await runOf(fixture, broken.run)).state === "done";
      }, 60_000);
      broken.restore();
      assert.deepEqual(await resultOf(broken), expected);
      const left = await fixture.sql`select from private.scan_claims where assessment_id = ${broken.run}`;
      assert.equal(left.length, 0);
    });
  }
});
