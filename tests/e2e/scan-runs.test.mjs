// Runs of the scanner: what it finds, again and again, and what it keeps of it.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";

import { answer } from "../support/faults.mjs";
import { checksOf, findingsOf, insertScannable, runOf, scan, scanFixture, queueRun, tls } from "../support/scanner.mjs";
import { until } from "../support/wait.mjs";

const ENTRIES = new URL("../../checks/entries/", import.meta.url);
const SSL = "supabase_ssl_enforced";

describe("runs of the scanner", () => {
  const fixture = scanFixture("scan-runs");
  const sslOf = ({ account }) => `/v1/projects/${account}/ssl-enforcement`;
  const historyOf = async ({ id }, check) => {
    const events = await fixture.sql`
      select e.action, e.cause, e.reason, e.announced from public.finding_events e join public.findings f on f.id = e.finding_id
      where f.integration_id = ${id} and f.check_id = ${check} order by e.id`;
    return events.map(({ action, cause, reason, announced }) => [action, cause, reason, announced]);
  };

  for (const file of readdirSync(ENTRIES)) {
    const type = file.replace(".json", "");
    it(`scans of ${type} judge every check over recorded answers`, async () => {
      const { checks } = JSON.parse(readFileSync(new URL(file, ENTRIES), "utf8"));
      const integration = await insertScannable(fixture, { type });
      const run = await scan(fixture, integration);
      assert.equal(run.state, "done");
      const seen = await checksOf(fixture, run);
      assert.deepEqual(Object.keys(seen).sort(), checks.map(({ id }) => id).sort());
      for (const check of Object.values(seen)) {
        assert.ok(check.status === "manual" || check.passed + check.failed > 0, `${check.check_id}: ${check.status} ${check.reason}`);
      }
      const failed = Object.values(seen).reduce((sum, check) => sum + check.failed, 0);
      const findings = Object.values(await findingsOf(fixture, integration)).flat();
      assert.deepEqual([run.failed, run.opened, findings.length], [failed, failed, failed]);
    });
  }

  it("scans begin with a baseline that alarms nobody, and open the credential with an event", async () => {
    const integration = await insertScannable(fixture);
    fixture.server.fault(sslOf(integration), tls(false));
    const run = await scan(fixture, integration);
    assert.deepEqual([run.baseline, run.outcome, run.trigger], [true, "complete", "user"]);
    assert.ok(run.requests > 20 && run.requests < 60, `${run.requests} requests`);
    const [finding] = (await findingsOf(fixture, integration))[SSL];
    assert.deepEqual([finding.state, finding.resource_id, finding.evidence], ["open", integration.account, { "/currentConfig/database": false, "/appliedSuccessfully": true }]);
    assert.deepEqual(await historyOf(integration, SSL), [["opened", null, null, false]]);
    const events = await fixture.sql`select actor, action, reason, outcome from public.credential_events where integration_id = ${integration.id}`;
    assert.deepEqual([...events].map((event) => ({ ...event })), [{ actor: "scanner", action: "opened", reason: "scan", outcome: "succeeded" }]);
  });

  it("scans open, resolve, leave unverified, and reopen findings", async () => {
    const integration = await insertScannable(fixture);
    const state = async () => (await findingsOf(fixture, integration))[SSL]?.map(({ state, unverified_reason }) => [state, unverified_reason]);
    let restore = fixture.server.fault(sslOf(integration), tls(true));
    const answers = async (behaviour) => {
      restore();
      restore = fixture.server.fault(sslOf(integration), behaviour);
      return scan(fixture, integration);
    };
    await scan(fixture, integration);
    assert.equal(await state(), undefined);
    assert.equal((await answers(tls(false))).opened, 1);
    assert.deepEqual(await state(), [["open", null]]);
    const hidden = await answers(answer(403, { message: "Forbidden" }));
    assert.deepEqual([hidden.outcome, hidden.reason, hidden.resolved, hidden.unverified], ["incomplete", "forbidden", 0, 1]);
    assert.deepEqual(await state(), [["open", "forbidden"]]);
    assert.equal((await answers(tls(true))).resolved, 1);
    assert.deepEqual(await state(), [["resolved", null]]);
    assert.equal((await answers(tls(false))).reopened, 1);
    assert.deepEqual(await state(), [["open", null]]);
    assert.deepEqual((await historyOf(integration, SSL)).map(([action, cause]) => [action, cause]), [
      ["opened", "configuration"], ["unverified", "permission"], ["resolved", "permission"], ["reopened", "configuration"],
    ]);
  });

  it("scans judge what a list holds, and that what it no longer holds is gone", async () => {
    const integration = await insertScannable(fixture);
    const path = `/v1/projects/${integration.account}/advisors/security`;
    const lint = (name) => ({ name, level: "ERROR", cache_key: name, metadata: { type: "table", name: "t", schema: "public" } });
    const ids = async () => ((await findingsOf(fixture, integration)).supabase_advisor ?? []).map(({ item, state, ended_as }) => [item, state, ended_as]);
    let restore = fixture.server.fault(path, answer(200, { lints: [lint("rls_disabled_in_public"), lint("auth_users_exposed")] }));
    await scan(fixture, integration);
    const before = await ids();
    assert.equal(before.length, 2);
    restore();
    restore = fixture.server.fault(path, answer(200, { lints: [lint("auth_users_exposed")] }));
    await scan(fixture, integration);
    assert.deepEqual((await ids()).map(([, state, ended]) => [state, ended]).sort(), [["open", null], ["resolved", "gone"]]);
    restore();
  });

  it("scheduled scans follow a check that ends active, and record a gap if it does not", async () => {
    const schedule = { scan_schedule: "0 3 * * *", next_check_at: new Date(Date.now() - 60_000) };
    const [good, gone] = [await insertScannable(fixture, schedule), await insertScannable(fixture, schedule)];
    const list = (refs) => answer(200, refs.map((ref) => ({ ref, name: ref })));
    const project = ({ request, response, ...rest }) => {
      const ref = request.path.split("/")[3];
      if (ref === gone.account || !ref) return answer(404, { message: "Project not found" })({ request, response });
      return answer(200, { ref, name: ref, status: "ACTIVE_HEALTHY", organization_slug: "acme" })({ request, response, ...rest });
    };
    const restore = fixture.server.fault(/^GET \/v1\/projects\/[a-z]{20}$/, project);
    const mendList = fixture.server.fault(/^GET \/v1\/projects$/, list([good.account]));
    await fixture.worker.scheduled();
    restore();
    mendList();
    const runs = async ({ id }) => fixture.sql`select trigger, state, outcome, reason, slot from public.assessments where integration_id = ${id}`;
    const [queued] = await runs(good);
    assert.deepEqual([queued.trigger, queued.state, queued.slot.getTime()], ["schedule", "queued", schedule.next_check_at.getTime()]);
    const [gap] = await runs(gone);
    assert.deepEqual([gap.state, gap.outcome, gap.reason], ["done", "not_run", "account_gone"]);
    await fixture.scanner.scheduled();
    const [done] = await runs(good);
    assert.deepEqual([done.state, done.outcome], ["done", "complete"]);
  });

  it("runs are claimed by one of two scanners, and each scans what the other does not", async () => {
    const other = await fixture.startScanner();
    const integrations = await Promise.all(Array.from({ length: 12 }, () => insertScannable(fixture)));
    const runs = await Promise.all(integrations.map((integration) => queueRun(fixture, integration)));
    await Promise.all([fixture.scanner.scheduled(), other.scheduled()]);
    const ended = await Promise.all(runs.map((run) => runOf(fixture, run)));
    assert.deepEqual(ended.map(({ outcome }) => outcome), runs.map(() => "complete"));
    for (const { account } of integrations) assert.equal(fixture.server.count(sslOf({ account })), 1);
    const opened = await fixture.sql`select from public.credential_events where action = 'opened' and integration_id = any (${integrations.map(({ id }) => id)})`;
    assert.equal(opened.length, integrations.length, "each credential was opened once");
  });

  it("a message of the queue is a run of the schedule of its own", async () => {
    const scanner = await fixture.startScanner({}, { queue: true });
    const run = await queueRun(fixture, await insertScannable(fixture));
    await scanner.queued("scan");
    await until("the end of the run", async () => (await runOf(fixture, run)).state === "done");
    assert.equal((await runOf(fixture, run)).outcome, "complete");
  });
});
