// Findings across runs: opened by a failure, resolved only by proof, unverified where nobody could look, and why each changed.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { beginScan, check, claimRuns, findingsOf, finishScan, historyOf, requestScan, result, runOf, savePosition, scan, scannable } from "./scans.mjs";
import { call, startServer } from "./support.mjs";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());

const statesOf = async (integration) =>
  (await findingsOf(owner, integration)).map(({ resource_id, state, ended_as }) => [resource_id, state, ended_as]);
/** An integration whose baseline found these. */
async function withBaseline(results, options) {
  const integration = await scannable(service);
  const done = await scan(service, integration, results, options);
  assert.deepEqual([done.outcome, done.baseline], ["finished", true]);
  return integration;
}
const lastEvent = async (integration) => (await historyOf(owner, integration)).at(-1);
const unknown = (reason, id = "one", over = {}) => result("unknown", id, { reason, ...over });

describe("a failure", () => {
  test("a failure opens a finding, with what it is about and its evidence", async () => {
    const integration = await withBaseline([result("fail", "one", { item: "5432" }), result("pass", "two")]);
    const [finding, ...others] = await findingsOf(owner, integration);
    assert.equal(others.length, 0);
    const { check_id, check_version, resource_type, resource_id, resource_name, item, severity, state, evidence, reopened } = finding;
    assert.deepEqual(
      { check_id, check_version, resource_type, resource_id, resource_name, item, severity, state, evidence, reopened },
      {
        check_id: "t_tls", check_version: 1, resource_type: "project", resource_id: "one", resource_name: "Name of one", item: "5432",
        severity: "high", state: "open", evidence: { "/enabled": false }, reopened: 0,
      },
    );
    assert.deepEqual(
      [finding.organization_id, finding.integration_type, finding.account_id],
      [integration.organization, integration.type, "abcdefghijklmnopqrst"],
    );
  });

  test("a failure that is seen again is the same finding without a new event, and its name, evidence and severity follow", async () => {
    const integration = await withBaseline([result("fail")]);
    const [before] = await findingsOf(owner, integration);
    const done = await scan(service, integration, [result("fail")]);
    assert.deepEqual([done.opened, done.reopened, done.resolved, done.failed], [0, 0, 0, 1]);
    assert.deepEqual(await findingsOf(owner, integration), [before]);
    await scan(service, integration, [result("fail", "one", { resource_name: "Other name", evidence: { "/enabled": "off" } })]);
    const [other] = await findingsOf(owner, integration);
    assert.deepEqual([other.id, other.resource_name, other.evidence], [before.id, "Other name", { "/enabled": "off" }]);
    await scan(service, integration, [result("fail", "one", { resource_name: "New name", severity: "low", evidence: { "/enabled": null } })]);
    const [after] = await findingsOf(owner, integration);
    assert.deepEqual([after.id, after.resource_name, after.severity, after.evidence], [before.id, "New name", "low", { "/enabled": null }]);
    assert.deepEqual(await historyOf(owner, integration), [["one", "opened", null, null], ["one", "severity_changed", "configuration", null]]);
  });

  test("a failure of a renamed resource is the same finding; another item, resource or check is another finding", async () => {
    const integration = await withBaseline([
      result("fail"), result("fail", "one", { item: "a" }), result("fail", "two"), result("fail", "one", { check_id: "t_other" }),
      result("fail", "one", { resource: { type: "bucket", id: "one" } }),
    ], { checks: [check(), check({ check_id: "t_other" })] });
    assert.equal((await findingsOf(owner, integration)).length, 5);
  });

  test("a failure after a resolution reopens the finding, with its history", async () => {
    const integration = await withBaseline([result("fail")]);
    await scan(service, integration, [result("pass")]);
    const done = await scan(service, integration, [result("fail")]);
    assert.deepEqual([done.opened, done.reopened], [0, 1]);
    const [finding, ...others] = await findingsOf(owner, integration);
    assert.deepEqual([finding.state, finding.reopened, finding.ended_at, others.length], ["open", 1, null, 0]);
    assert.ok(finding.opened_at > finding.first_seen_at);
    assert.deepEqual(await historyOf(owner, integration), [
      ["one", "opened", null, null], ["one", "resolved", "configuration", "passed"], ["one", "reopened", "configuration", null],
    ]);
  });
});

describe("a finding is resolved", () => {
  test("a finding is resolved by a pass of the same resource", async () => {
    const integration = await withBaseline([result("fail", "one"), result("fail", "two")]);
    const done = await scan(service, integration, [result("pass", "one"), result("fail", "two")]);
    assert.deepEqual([done.passed, done.failed, done.resolved], [1, 1, 1]);
    assert.deepEqual(await statesOf(integration), [["one", "resolved", "passed"], ["two", "open", null]]);
  });

  test("a finding is resolved by absence from a list that was read to its end", async () => {
    const integration = await withBaseline([result("fail", "one"), result("fail", "two")]);
    await scan(service, integration, [result("fail", "two"), result("pass", "three")]);
    assert.deepEqual(await statesOf(integration), [["one", "resolved", "gone"], ["two", "open", null]]);
    await scan(service, integration, []);
    assert.deepEqual(await statesOf(integration), [["one", "resolved", "gone"], ["two", "resolved", "gone"]]);
  });

  test("a finding is not resolved by absence from a list that was not read to its end", async () => {
    for (const incomplete of [
      "truncated", "forbidden", "hidden", "no_scope", "unauthorized", "limited", "too_large", "provider_failed", "bad_answer", "unavailable",
      "plan", "off", "paused",
    ]) {
      const integration = await withBaseline([result("fail", "one"), result("fail", "two")]);
      const done = await scan(service, integration, [result("pass", "two")], { checks: [check({ incomplete })] });
      assert.equal(done.resolved, 1);
      assert.deepEqual(await statesOf(integration), [["one", "open", null], ["two", "resolved", "passed"]], incomplete);
      const [{ unverified_since, unverified_reason }] = await findingsOf(owner, integration);
      assert.deepEqual([unverified_since !== null, unverified_reason], [true, incomplete]);
    }
  });

  test("a finding is not resolved by absence where an unknown result may be the missing one", async () => {
    const integration = await withBaseline([result("fail", "one")]);
    // An item without its id is judged about the account.
    await scan(service, integration, [unknown("absent", "account", { resource: { type: "account", id: "a" } })]);
    assert.deepEqual(await statesOf(integration), [["one", "open", null]]);
  });

  test("a finding is never resolved by unknown, not applicable or manual", async () => {
    for (const [status, reason] of [
      ["unknown", "absent"], ["unknown", "forbidden"], ["not_applicable", "off"], ["not_applicable", "paused"], ["manual", null],
    ]) {
      const integration = await withBaseline([result("fail")]);
      const done = await scan(service, integration, [result(status, "one", { reason })]);
      assert.deepEqual([done.resolved, done.unverified], [0, 1]);
      const [finding] = await findingsOf(owner, integration);
      assert.deepEqual([finding.state, finding.unverified_reason], ["open", reason ?? status], status);
      assert.deepEqual(finding.evidence, { "/enabled": false }, "what was seen stays");
    }
  });

  test("a finding is resolved by what a run saw, also one that ended early", async () => {
    const integration = await withBaseline([result("fail", "one"), result("fail", "two")]);
    const done = await scan(service, integration, [result("pass", "one")], {
      checks: [check({ incomplete: "unauthorized" })], p_reason: "unauthorized",
    });
    assert.deepEqual([done.result, done.reason], ["incomplete", "unauthorized"]);
    assert.deepEqual(await statesOf(integration), [["one", "resolved", "passed"], ["two", "open", null]]);
  });
});

describe("an open finding that could not be looked at", () => {
  test("an open finding that could not be seen is unverified since the first such run, until one sees it", async () => {
    const integration = await withBaseline([result("fail")]);
    await scan(service, integration, [unknown("forbidden")]);
    const [{ unverified_since: since }] = await findingsOf(owner, integration);
    await scan(service, integration, [unknown("provider_failed")]);
    const [later] = await findingsOf(owner, integration);
    assert.deepEqual([later.unverified_since, later.unverified_reason], [since, "provider_failed"]);
    await scan(service, integration, [result("fail")]);
    const [seen] = await findingsOf(owner, integration);
    assert.deepEqual([seen.unverified_since, seen.unverified_reason], [null, null]);
    assert.deepEqual(await historyOf(owner, integration), [
      ["one", "opened", null, null], ["one", "unverified", "permission", "forbidden"], ["one", "verified", "configuration", null],
    ]);
  });

  test("an open finding that an outage hides has no cause at the account", async () => {
    const integration = await withBaseline([result("fail")]);
    await scan(service, integration, [unknown("provider_failed")]);
    assert.deepEqual(await lastEvent(integration), ["one", "unverified", null, "provider_failed"]);
  });
});

describe("the cause of a change", () => {
  test("the cause of a change is the configuration if the same check could see the same before", async () => {
    const integration = await withBaseline([result("pass")]);
    await scan(service, integration, [result("fail")]);
    assert.deepEqual(await lastEvent(integration), ["one", "opened", "configuration", null]);
  });

  test("the cause of a change is the permission if the last run was not allowed to look", async () => {
    const integration = await withBaseline([result("pass")]);
    await scan(service, integration, [unknown("forbidden")]);
    await scan(service, integration, [result("fail")]);
    assert.deepEqual(await lastEvent(integration), ["one", "opened", "permission", null]);
  });

  test("the cause of a change is the check if it is new or another version", async () => {
    const integration = await withBaseline([result("pass"), result("fail", "two")]);
    await scan(service, integration, [result("fail", "one", { check_version: 2 }), result("pass", "two")], { checks: [check({ check_version: 2 })] });
    assert.deepEqual((await historyOf(owner, integration)).slice(1).sort(), [["one", "opened", "check", null], ["two", "resolved", "check", "passed"]]);
    const checks = [check({ check_version: 2 }), check({ check_id: "t_new" })];
    await scan(service, integration, [result("fail", "one", { check_version: 2 }), result("fail", "one", { check_id: "t_new" })], { checks });
    assert.deepEqual(await lastEvent(integration), ["one", "opened", "check", null]);
  });

  test("the cause of a change is the time if the check compares with it", async () => {
    const integration = await withBaseline([result("pass")]);
    await scan(service, integration, [result("fail")], { checks: [check({ clock: true })] });
    assert.deepEqual(await lastEvent(integration), ["one", "opened", "time", null]);
  });

  test("the cause of a change is the user if the integration was removed", async () => {
    const integration = await withBaseline([result("fail")]);
    await owner`delete from public.integrations where id = ${integration.id}`;
    assert.deepEqual(await lastEvent(integration), ["one", "archived", "user", "disconnected"]);
  });

  test("a change has no cause in the first run", async () => {
    const integration = await withBaseline([result("fail")]);
    assert.deepEqual(await historyOf(owner, integration), [["one", "opened", null, null]]);
    assert.equal((await scan(service, integration, [result("fail")])).baseline, false);
  });
});

describe("from one version of the checks to the next", () => {
  test("removing a check archives its findings, and does not resolve them", async () => {
    const both = [check(), check({ check_id: "t_old" })];
    const integration = await withBaseline([result("fail"), result("fail", "two", { check_id: "t_old" })], { checks: both });
    const done = await scan(service, integration, [result("fail")], { p_catalogue: "catalogue 2" });
    assert.equal(done.resolved, 0);
    assert.deepEqual((await statesOf(integration)).sort(), [["one", "open", null], ["two", "archived", "check_removed"]]);
    assert.deepEqual(await lastEvent(integration), ["two", "archived", "check", "check_removed"]);
    await scan(service, integration, [result("fail"), result("fail", "two", { check_id: "t_old" })], { checks: both });
    assert.deepEqual(await lastEvent(integration), ["two", "reopened", "check", null], "if it comes back");
  });

  test("renaming a check keeps its findings, their mutes and what was known, in all integrations", async () => {
    const integration = await withBaseline([result("fail"), result("fail", "two")]);
    const other = await scannable(service, {
      p_user_id: integration.user, p_organization_id: integration.organization, p_integration_type: integration.type, p_external_account_id: "other",
    });
    await scan(service, other, [result("fail")]);
    const mute = { check_id: "t_tls", reason: "accepted_risk", note: "known", expires_at: new Date(Date.now() + 86_400_000).toISOString() };
    const args = { p_user_id: integration.user, p_organization_id: integration.organization, p_mute: service.json(mute) };
    assert.equal((await call(service, "mute_findings", args)).outcome, "muted");
    const before = await findingsOf(owner, integration);

    const renamed = { checks: [check({ check_id: "t_ssl", was: ["t_tls"] })] };
    const done = await scan(service, integration, [result("fail", "one", { check_id: "t_ssl" }), result("pass", "two", { check_id: "t_ssl" })], renamed);
    assert.deepEqual([done.opened, done.resolved, done.muted], [0, 1, 1]);
    const after = await findingsOf(owner, integration);
    assert.deepEqual(after.map(({ id, check_id, state }) => [id, check_id, state]), [[before[0].id, "t_ssl", "open"], [before[1].id, "t_ssl", "resolved"]]);
    assert.deepEqual(await lastEvent(integration), ["two", "resolved", "configuration", "passed"]);

    const muted = await owner`select check_id, muted from public.finding_list where organization_id = ${integration.organization} and state = 'open'`;
    assert.deepEqual(muted.map((row) => ({ ...row })), Array(2).fill({ check_id: "t_ssl", muted: true }));
    assert.equal((await scan(service, other, [result("fail", "one", { check_id: "t_ssl" })], renamed)).opened, 0);
  });

  test("merging two checks that had the same finding does not stop a run", async () => {
    const checks = [check({ check_id: "t_a" }), check({ check_id: "t_b" })];
    const integration = await withBaseline(["t_a", "t_b"].map((check_id) => result("fail", "one", { check_id })), { checks });
    const done = await scan(service, integration, [result("fail", "one", { check_id: "t_c" })], { checks: [check({ check_id: "t_c", was: ["t_a", "t_b"] })] });
    assert.deepEqual([done.outcome, done.opened], ["finished", 0]);
    assert.deepEqual((await findingsOf(owner, integration)).map(({ check_id, state }) => [check_id, state]), [["t_b", "archived"], ["t_c", "open"]]);
  });
});

describe("what a check saw", () => {
  const coverage = async (results, given) => {
    const integration = await scannable(service);
    const claim = await beginScan(service, integration);
    const done = await finishScan(service, claim, results, { checks: [check(given)] });
    const [row] = await owner`select * from public.assessment_checks where assessment_id = ${claim.id}`;
    return [row.status, row.reason, row.complete, done.result];
  };

  test("a check's result is fail before unknown before manual before not applicable before pass", async () => {
    for (const [results, given, expected] of [
      [[], {}, ["pass", null, true, "complete"]],
      [[result("pass")], {}, ["pass", null, true, "complete"]],
      [[result("pass"), result("not_applicable", "two", { reason: "off" })], {}, ["pass", null, true, "complete"]],
      [[result("not_applicable", "two", { reason: "off" })], {}, ["not_applicable", "off", true, "complete"]],
      [[result("not_applicable", "two", { reason: "plan" })], { incomplete: "plan" }, ["not_applicable", "plan", false, "complete"]],
      [[], { incomplete: "paused" }, ["not_applicable", "paused", false, "complete"]],
      [[result("manual"), result("pass", "two")], {}, ["manual", null, true, "complete"]],
      [[result("pass")], { incomplete: "truncated" }, ["unknown", "truncated", false, "incomplete"]],
      [[], { incomplete: "forbidden" }, ["unknown", "forbidden", false, "incomplete"]],
      [[unknown("absent"), result("pass", "two")], {}, ["unknown", "absent", false, "incomplete"]],
      [[result("fail"), result("pass", "two")], {}, ["fail", null, true, "complete"]],
      [[result("fail"), unknown("absent", "two")], {}, ["fail", "absent", false, "incomplete"]],
      [[result("fail")], { incomplete: "limited" }, ["fail", "limited", false, "incomplete"]],
    ]) {
      assert.deepEqual(await coverage(results, given), expected, JSON.stringify([results, given]));
    }
  });

  test("a check's result names each missing scope once", async () => {
    const integration = await scannable(service);
    const claim = await beginScan(service, integration);
    await finishScan(service, claim, [
      unknown("forbidden", "one", { needs: ["b:read", "a:read"] }), unknown("no_scope", "two", { needs: ["a:read"] }), result("pass", "three"),
    ]);
    const [row] = await owner`select * from public.assessment_checks where assessment_id = ${claim.id}`;
    assert.deepEqual(row.needs, ["a:read", "b:read"]);
    assert.deepEqual([row.passed, row.failed, row.unknown, row.not_applicable], [1, 0, 2, 0]);
  });

  test("a result is written for every check of a run, and the run has the sums and the version of the checks", async () => {
    const integration = await scannable(service);
    const { id } = await requestScan(service, integration);
    const [claim] = await claimRuns(service, integration.type);
    const done = await finishScan(service, claim, [
      result("pass"), result("fail", "two"), unknown("absent", "three"), result("not_applicable", "four", { reason: "off" }),
    ], { checks: [check(), check({ check_id: "t_empty" }), check({ check_id: "t_cut", incomplete: "limited" })] });
    assert.deepEqual([done.passed, done.failed, done.unknown, done.not_applicable, done.requests], [1, 1, 1, 1, 1]);
    const run = await runOf(owner, id);
    assert.deepEqual([run.state, run.outcome, run.catalogue, run.account_id], ["done", "incomplete", "catalogue 1", "abcdefghijklmnopqrst"]);
    assert.ok(run.started_at <= run.finished_at);
    const rows = await owner`select check_id, status from public.assessment_checks where assessment_id = ${id} order by check_id`;
    assert.deepEqual(rows.map((row) => [row.check_id, row.status]), [["t_cut", "unknown"], ["t_empty", "pass"], ["t_tls", "fail"]]);
  });
});

describe("a finish", () => {
  test("finishing a run takes the saved results and the others", async () => {
    const integration = await scannable(service);
    const claim = await beginScan(service, integration);
    await savePosition(service, claim, { p_results: [result("fail", "one"), result("pass", "two")] });
    const done = await finishScan(service, claim, [result("fail", "two"), result("fail", "three")]);
    assert.deepEqual([done.failed, done.opened], [3, 3]);
    const [{ left }] = await owner`
      select (select count(*) from private.scan_results where assessment_id = ${claim.id})::int
        + (select count(*) from private.scan_claims where assessment_id = ${claim.id})::int as left`;
    assert.equal(left, 0);
  });

  test("finishing a run is rejected without checks, with too many, or with a result of a check that it does not name", async () => {
    const claim = await beginScan(service, await scannable(service));
    for (const [results, checks] of [
      [[], []],
      [[], {}],
      [[], Array.from({ length: 501 }, (_, i) => check({ check_id: `t_${i}` }))],
      [[result("pass", "one", { check_id: "t_other" })], [check()]],
    ]) {
      await assert.rejects(finishScan(service, claim, results, { checks }), { code: "22023" });
    }
    await assert.rejects(finishScan(service, claim, [], { checks: [check(), check()] }), { code: "23505" });
    assert.equal((await finishScan(service, claim)).outcome, "finished", "and changed nothing");
  });

  test("the findings of a past run are those that were open when it ended, whatever came after", async () => {
    const integration = await withBaseline([result("fail", "one"), result("fail", "two"), result("pass", "three")]);
    const runs = [];
    for (const [one, two, three] of [["fail", "pass", "fail"], ["pass", "fail", "fail"], ["fail", "unknown", "pass"]]) {
      await scan(service, integration, [result(one, "one"), result(two, "two"), result(three, "three")]);
    }
    await owner`delete from public.integrations where id = ${integration.id}`;
    const user = project.user(integration.organization);
    for (const { id } of await owner`select id from public.assessments where integration_id = ${integration.id} order by queued_at`) {
      const open = await user`select resource_id from public.assessment_findings where assessment_id = ${id}`;
      runs.push(open.map((finding) => finding.resource_id).sort());
    }
    assert.deepEqual(runs, [["one", "two"], ["one", "three"], ["three", "two"], ["one", "two"]]);
    assert.equal((await project.user(integration.id)`select from public.assessment_findings`).length, 0, "nothing for a stranger");
  });

  test("events of findings cannot be changed or deleted, not even by the owner", async () => {
    await withBaseline([result("fail")]);
    for (const sql of ["delete from public.finding_events", "update public.finding_events set action = 'resolved'", "truncate public.finding_events"]) {
      await assert.rejects(owner.unsafe(sql), { code: "42501" }, sql);
    }
  });
});
