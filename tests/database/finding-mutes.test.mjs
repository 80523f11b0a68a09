// Mutes: who may, for how long, what they cover; and what webhooks hear of findings and runs.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { beginScan, check, finishScan, findingsOf, requestScan, result, runOf, scan, scannable } from "./scans.mjs";
import { addMember, call, lockWait, startServer } from "./support.mjs";
import { deliveriesOf, endpointOf } from "./webhooks.mjs";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());

const inDays = (days) => new Date(Date.now() + days * 86_400_000).toISOString();
const muteOf = (over = {}) => ({ check_id: "t_tls", reason: "accepted_risk", note: "we know of it", expires_at: inDays(30), ...over });
const mute = (sql, { user, organization }, over = {}) =>
  call(sql, "mute_findings", { p_user_id: user, p_organization_id: organization, p_mute: sql.json(muteOf(over)) });
const mutedOf = async ({ id }) => {
  const rows = await owner`select resource_id, muted from public.finding_list where integration_id = ${id} and state = 'open' order by 1`;
  return rows.filter(({ muted }) => muted).map(({ resource_id }) => resource_id);
};
const THREE = [result("fail", "one", { item: "a" }), result("fail", "one", { item: "b" }), result("fail", "two")];

/** An integration with an endpoint, whose baseline is over. */
async function watched(baseline = [], over = {}) {
  const integration = await scannable(service);
  integration.endpoint = await endpointOf(service, integration.organization, over);
  await scan(service, integration, baseline);
  return integration;
}
/** What webhooks hear of an integration after its baseline: `[[type, resource or outcome, cause]]`. */
const told = async ({ id }) =>
  (await deliveriesOf(owner, id))
    .filter(({ type, data }) => !type.startsWith("connection.") && !data.baseline)
    .map(({ type, data }) => [type, data.resource?.id ?? data.result, data.cause ?? data.reason ?? null]);

describe("a mute", () => {
  test("a mute covers a check of the organization, of an integration, a resource or an item, at once and without a scan", async () => {
    const first = await scannable(service);
    const second = await scannable(service, {
      p_user_id: first.user, p_organization_id: first.organization, p_integration_type: first.type, p_external_account_id: "other",
    });
    for (const integration of [first, second]) await scan(service, integration, THREE);
    for (const [over, muted] of [
      [{}, [["one", "one", "two"], ["one", "one", "two"]]],
      [{ integration_id: first.id }, [["one", "one", "two"], []]],
      [{ integration_id: first.id, resource_id: "one" }, [["one", "one"], []]],
      [{ integration_id: first.id, resource_id: "one", item: "b" }, [["one"], []]],
      [{ check_id: "t_another" }, [[], []]],
    ]) {
      const { mute: { id } } = await mute(service, first, over);
      assert.deepEqual([await mutedOf(first), await mutedOf(second)], muted, JSON.stringify(over));
      assert.deepEqual(await call(service, "end_mute", { p_id: id, p_user_id: first.user }), { outcome: "ended" });
      assert.deepEqual([await mutedOf(first), await mutedOf(second)], [[], []]);
    }
    const stranger = await scannable(service);
    await scan(service, stranger, THREE);
    await mute(service, first);
    assert.deepEqual(await mutedOf(stranger), [], "another organization's findings are its own");
  });

  test("a mute changes no finding: it is joined where they are read, and counted by the run", async () => {
    const integration = await scannable(service);
    await scan(service, integration, THREE);
    const before = await findingsOf(owner, integration);
    await mute(service, integration, { integration_id: integration.id, resource_id: "one" });
    assert.deepEqual(await findingsOf(owner, integration), before);
    assert.equal((await scan(service, integration, THREE)).muted, 2);
  });

  test("a mute ends by itself when its time is over", async () => {
    const integration = await scannable(service);
    await scan(service, integration, THREE);
    const { mute: { id } } = await mute(service, integration);
    await owner`update public.finding_mutes set created_at = now() - interval '2 days', expires_at = now() where id = ${id}`;
    assert.deepEqual(await mutedOf(integration), []);
  });

  test("a mute has a reason, a note, and an end within a year", async () => {
    const integration = await scannable(service);
    for (const over of [
      { reason: "planted" }, { note: "no" }, { note: "x".repeat(501) },
      { resource_id: "one" }, { integration_id: integration.id, item: "a" }, { check_id: "" }, { check_id: "x".repeat(101) },
    ]) {
      await assert.rejects(mute(service, integration, over), { code: "23514" }, JSON.stringify(over));
    }
    for (const days of [367, -1]) assert.deepEqual(await mute(service, integration, { expires_at: inDays(days) }), { outcome: "bad_end" });
    for (const over of [{ reason: null }, { note: null }, { expires_at: null }, { check_id: null }]) {
      await assert.rejects(mute(service, integration, over), { code: "23502" }, JSON.stringify(over));
    }
    await assert.rejects(mute(service, integration, { created_by: randomUUID() }), { code: "22023" });
    assert.equal((await mute(service, integration, { expires_at: inDays(364) })).outcome, "muted");
  });

  test("a mute is made and ended by members alone, of integrations of their organization", async () => {
    const integration = await scannable(service);
    const stranger = await scannable(service);
    assert.equal((await mute(service, { ...integration, user: stranger.user })).outcome, "not_a_member");
    assert.equal((await mute(service, integration, { integration_id: stranger.id })).outcome, "unknown");
    const { mute: { id } } = await mute(service, integration);
    assert.equal((await call(service, "end_mute", { p_id: id, p_user_id: stranger.user })).outcome, "unknown");
    const member = randomUUID();
    await addMember(owner, integration.organization, member);
    assert.equal((await call(service, "end_mute", { p_id: id, p_user_id: member })).outcome, "ended");
    const [{ ended_by, created_by }] = await owner`select ended_by, created_by from public.finding_mutes where id = ${id}`;
    assert.deepEqual([created_by, ended_by], [integration.user, member]);
  });

  test("an organization has a thousand mutes at most", async () => {
    const integration = await scannable(service);
    await owner`
      insert into public.finding_mutes (organization_id, check_id, reason, note, created_by, expires_at)
      select ${integration.organization}::uuid, 't', 'wont_fix', 'note', gen_random_uuid(), now() + interval '1 day' from generate_series(1, 999)`;
    const both = await Promise.all([1, 2].map(() => mute(project.connect("authenticator", { role: "service_role" }), integration)));
    assert.deepEqual(both.map(({ outcome }) => outcome).sort(), ["muted", "too_many"]);
  });

  test("a mute says whether it matches an open finding", async () => {
    const integration = await scannable(service);
    await scan(service, integration, [result("fail", "one")]);
    const ids = {};
    for (const [name, over] of Object.entries({
      all: {}, resource: { integration_id: integration.id, resource_id: "one" }, other: { integration_id: integration.id, resource_id: "two" },
      unknown: { check_id: "t_nobody_knows" }, item: { integration_id: integration.id, resource_id: "one", item: "a" },
    })) ids[name] = (await mute(service, integration, over)).mute.id;
    const matching = async () => {
      const rows = await project.user(integration.user)`select id, matches from public.mute_list where active`;
      return Object.keys(ids).filter((name) => rows.find(({ id }) => id === ids[name]).matches);
    };
    assert.deepEqual(await matching(), ["all", "resource"]);
    await scan(service, integration, [result("pass", "one")]);
    assert.deepEqual(await matching(), []);
  });

  test("a mute that is made while a run finishes does not wait, and nothing is lost", async () => {
    const integration = await scannable(service);
    const claim = await beginScan(service, integration);
    const other = project.connect("authenticator", { role: "service_role" });
    await service.begin(async (sql) => {
      await finishScan(sql, claim, THREE);
      assert.equal((await mute(other, integration)).outcome, "muted");
      assert.deepEqual(await mutedOf(integration), [], "there is nothing to mute yet");
    });
    assert.deepEqual(await mutedOf(integration), ["one", "one", "two"]);
    assert.equal((await runOf(owner, claim.id)).state, "done");
  });
});

describe("webhooks", () => {
  test("webhooks report what opened, reopened and was resolved since the baseline, and how the run ended", async () => {
    const integration = await watched([result("fail", "old")]);
    await scan(service, integration, [result("fail", "old"), result("fail", "new")]);
    await scan(service, integration, [result("pass", "old"), result("fail", "new")]);
    await scan(service, integration, [result("fail", "old"), result("fail", "new")], { checks: [check({ incomplete: "limited" })] });
    assert.deepEqual(await told(integration), [
      ["finding.opened", "new", "configuration"], ["assessment.completed", "complete", null],
      ["finding.resolved", "old", "configuration"], ["assessment.completed", "complete", null],
      ["finding.reopened", "old", "configuration"], ["assessment.incomplete", "incomplete", "limited"],
    ]);
  });

  test("webhooks report the end of the first run, and none of its findings", async () => {
    const integration = await watched(THREE);
    const events = (await deliveriesOf(owner, integration.id)).filter(({ type }) => !type.startsWith("connection."));
    assert.deepEqual(events.map(({ type, data }) => [type, data.baseline, data.opened]), [["assessment.completed", true, 3]]);
  });

  test("webhooks report nothing that is found by another version of a check, by one that saw nothing before, or by a removed one", async () => {
    const integration = await watched([result("pass")]);
    const two = check({ check_version: 2 });
    await scan(service, integration, [result("fail", "one", { check_version: 2 })], { checks: [two, check({ check_id: "t_new", incomplete: "forbidden" })] });
    const both = [two, check({ check_id: "t_new" })];
    await scan(service, integration, [result("fail", "one", { check_version: 2 }), result("fail", "one", { check_id: "t_new" })], { checks: both });
    await scan(service, integration, [result("fail", "one", { check_id: "t_new" })], { checks: [check({ check_id: "t_new" })] });
    assert.deepEqual((await told(integration)).filter(([type]) => type.startsWith("finding.")), []);
  });

  test("webhooks report what is seen again after the permission was missing, with the cause", async () => {
    const integration = await watched([result("pass")]);
    await scan(service, integration, [result("unknown", "one", { reason: "forbidden" })]);
    await scan(service, integration, [result("fail")]);
    assert.deepEqual((await told(integration)).filter(([type]) => type.startsWith("finding.")), [["finding.opened", "one", "permission"]]);
  });

  test("webhooks report nothing that is muted, and what a mute covered when it ends", async () => {
    const integration = await watched([]);
    const { mute: { id } } = await mute(service, integration, { integration_id: integration.id, resource_id: "one" });
    await mute(service, integration, { integration_id: integration.id, resource_id: "one", item: "b" });
    await scan(service, integration, THREE);
    assert.deepEqual((await told(integration)).filter(([type]) => type.startsWith("finding.")), [["finding.opened", "two", "configuration"]]);
    await owner`update public.finding_mutes set created_at = now() - interval '2 days', expires_at = now() - interval '1 hour' where id = ${id}`;
    for (let i = 0; i < 2; i++) await call(service, "clean_up", { p_event_days: 400 });
    const ended = (await deliveriesOf(owner, integration.id)).filter(({ type }) => type === "finding.mute_ended");
    assert.deepEqual(ended.map(({ data }) => [data.resource.id, data.item, data.cause]), [["one", "a", "time"]], "the other one covers b still");
    const [{ late }] = await owner`select ended_at = expires_at as late from public.finding_mutes where id = ${id}`;
    assert.equal(late, true, "it ended when it said");
  });

  test("webhooks report once that a user has ended a mute", async () => {
    const integration = await watched([result("fail")]);
    const { mute: { id } } = await mute(service, integration);
    for (let i = 0; i < 2; i++) await call(service, "end_mute", { p_id: id, p_user_id: integration.user });
    assert.deepEqual(await told(integration), [["finding.mute_ended", "one", "user"]]);
  });

  test("webhooks report findings from their chosen severity on, and every run", async () => {
    const integration = await watched([], { p_min_severity: "high" });
    const all = await endpointOf(service, integration.organization);
    const failing = ["critical", "high", "medium", "low", "info"].map((severity) => result("fail", severity, { severity }));
    await scan(service, integration, failing);
    const of = async ({ id }) => {
      const rows = await owner`
        select w.type, w.data from public.webhook_deliveries d join private.webhook_events w on w.id = d.event_id
        where d.endpoint_id = ${id} and not coalesce((w.data->>'baseline')::boolean, false) order by d.position`;
      return rows.map(({ type, data }) => data.severity ?? type);
    };
    assert.deepEqual(await of(integration.endpoint), ["critical", "high", "assessment.completed"]);
    assert.deepEqual(await of(all), ["critical", "high", "medium", "low", "info", "assessment.completed"]);

    const changed = { p_id: integration.endpoint.id, p_user_id: integration.user, p_changes: service.json({ min_severity: null }) };
    const { endpoint } = await call(service, "change_webhook_endpoint", changed);
    assert.equal(endpoint.min_severity, null);
    await scan(service, integration, failing.map((failure) => ({ ...failure, status: "pass" })));
    assert.equal((await of(integration.endpoint)).length, 3 + 6);
    for (const min_severity of ["planted", 3]) {
      const wrong = { ...changed, p_changes: service.json({ min_severity }) };
      await assert.rejects(call(service, "change_webhook_endpoint", wrong), /violates check constraint|p_changes holds something else/);
    }
  });

  test("webhooks report the hundred most severe findings of a run, and the counts of the rest", async () => {
    const integration = await watched([]);
    const many = Array.from({ length: 150 }, (_, i) => result("fail", `r${i}`, { severity: i < 120 ? "low" : "critical" }));
    await scan(service, integration, many);
    const events = await deliveriesOf(owner, integration.id);
    const opened = events.filter(({ type }) => type === "finding.opened");
    assert.deepEqual([opened.length, opened.filter(({ data }) => data.severity === "critical").length], [100, 30]);
    assert.equal(events.at(-1).data.opened, 150);
  });

  test("webhooks hold ids and names within bounds, and no evidence", async () => {
    const integration = await watched([]);
    const planted = "\u0001".repeat(300);
    const hostile = result("fail", planted + "x".repeat(600), { resource_name: planted, item: planted, evidence: { "/planted": "planted" } });
    await scan(service, integration, [hostile]);
    const event = (await deliveriesOf(owner, integration.id)).find(({ type }) => type === "finding.opened");
    assert.deepEqual(Object.keys(event.data).sort(), [
      "assessment_id", "cause", "check_id", "finding_id", "integration_id", "integration_type", "item", "name", "organization_id", "resource",
      "severity", "state",
    ]);
    assert.ok(!JSON.stringify(event.data).includes("planted"));
  });

  test("webhooks report a run that ended without its scanner, and nothing of one that did not run", async () => {
    const integration = await watched([result("fail")]);
    const claim = await beginScan(service, integration);
    await owner`update public.assessments set queued_at = now() - interval '2 days' where id = ${claim.id}`;
    await call(service, "clean_up", { p_event_days: 400 });
    const { id } = await requestScan(service, integration);
    await owner`update public.assessments set queued_at = now() - interval '2 days' where id = ${id}`;
    await call(service, "clean_up", { p_event_days: 400 });
    assert.equal((await runOf(owner, id)).outcome, "not_run");
    assert.deepEqual(await told(integration), [["assessment.incomplete", "incomplete", "timed_out"]]);
  });

  test("webhooks of findings are written in the transaction of what happened, or not at all", async () => {
    const integration = await watched([result("pass")]);
    const claim = await beginScan(service, integration);
    await assert.rejects(
      service.begin(async (sql) => {
        await finishScan(sql, claim, [result("fail")]);
        throw new Error("undone");
      }),
      /undone/,
    );
    assert.deepEqual([await told(integration), await findingsOf(owner, integration)], [[], []]);
    assert.equal((await finishScan(service, claim, [result("fail")])).opened, 1);
  });

  test("finishing a run waits for the deletion of an endpoint, and then succeeds", async () => {
    const integration = await watched([result("pass")]);
    const claim = await beginScan(service, integration);
    let finishing;
    await owner.begin(async (sql) => {
      await sql`delete from public.webhook_endpoints where id = ${integration.endpoint.id}`;
      finishing = finishScan(service, claim, [result("fail")]).then((end) => end);
      await lockWait(sql);
    });
    assert.equal((await finishing).outcome, "finished");
  });
});
