// Runs of the scanner: queued with the schedule or by a user, claimed by lease and generation, continued by another, ended once.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import {
  beginScan, claimRuns, finishScan, findingsOf, makeDue, reopenCredential, requestScan, result, runOf, savePosition, scan, scannable, sealed,
} from "./scans.mjs";
import { call, completion, disconnection, lockWait, startServer } from "./support.mjs";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());

const HOURLY = "0 * * * *";
const runsOf = async ({ id }) => [...(await owner`select * from public.assessments where integration_id = ${id} order by queued_at`)];
const eventsOf = async ({ id }) => [...(await owner`
  select actor, action, reason from public.credential_events where integration_id = ${id} and actor = 'scanner' order by id`)];

/** Makes the schedule due, and returns the slot. */
async function schedule({ id }, ago = "1 minute") {
  const [{ slot }] = await owner`
    update public.integrations set scan_schedule = ${HOURLY}, next_check_at = date_trunc('second', now() - ${ago}::interval) where id = ${id}
    returning next_check_at as slot`;
  return slot;
}

/** What the worker does at a slot: claims the check and settles it. */
async function checkSlot(integration, verdict, { types = [integration.type], p_user_id = null } = {}) {
  const { claims } = await call(service, "claim_due_checks", { p_limit: 10, p_types: [integration.type], p_soon: 60 });
  const [{ id, version }] = claims;
  const next = { schedule: HOURLY, next_check_at: new Date(Date.now() + 3_600_000).toISOString() };
  const p_results = service.json([{ id, version, ...next, ...verdict }]);
  const { ends } = await call(service, "settle_checks", { p_results, p_user_id, p_scan_types: types });
  return ends[id].end;
}

describe("a slot of the schedule", () => {
  test("a slot whose check ends active queues a run, in the same transaction", async () => {
    const integration = await scannable(service);
    const slot = await schedule(integration);
    assert.equal(await checkSlot(integration, { status: "active" }), "checked");
    const [run, ...others] = await runsOf(integration);
    assert.deepEqual([run.state, run.trigger, run.slot, others.length], ["queued", "schedule", slot, 0]);
    assert.equal((await claimRuns(service, integration.type)).length, 1);
  });

  test("a slot whose check ends otherwise is a run that did not run, with the reason", async () => {
    for (const [verdict, reason] of [
      [{ status: "degraded", reason: "timeout" }, "timeout"],
      [{ status: "revoked", reason: "account_gone" }, "account_gone"],
      [{ status: null }, "not_checked"],
    ]) {
      const integration = await scannable(service);
      const slot = await schedule(integration);
      await checkSlot(integration, verdict);
      const runs = await runsOf(integration);
      assert.deepEqual(runs.map((run) => [run.state, run.outcome, run.reason, run.slot]), [["done", "not_run", reason, slot]]);
      assert.ok(runs[0].finished_at);
    }
  });

  test("a slot of the schedule is recorded once, however often the check is settled", async () => {
    const integration = await scannable(service);
    await schedule(integration);
    const { claims: [{ id, version }] } = await call(service, "claim_due_checks", { p_limit: 1, p_types: [integration.type], p_soon: 60 });
    const settled = { id, version, status: "active", schedule: HOURLY, next_check_at: new Date(Date.now() + 3_600_000).toISOString() };
    const args = { p_results: service.json([settled]), p_scan_types: [integration.type] };
    for (let i = 0; i < 2; i++) await call(service, "settle_checks", args);
    assert.equal((await runsOf(integration)).length, 1);
  });

  test("a slot that passes at a user's check counts as well; a check between slots does not", async () => {
    const integration = await scannable(service);
    await schedule(integration);
    await checkSlot(integration, { status: "active" }, { p_user_id: integration.user });
    assert.equal((await runsOf(integration)).length, 1);

    const between = await scannable(service);
    await schedule(between, "-30 minutes");
    const { version } = await call(service, "claim_check", { p_id: between.id, p_user_id: between.user, p_soon: 60 });
    const settled = { id: between.id, version, status: "active", schedule: HOURLY, next_check_at: new Date(Date.now() + 3_600_000).toISOString() };
    await call(service, "settle_checks", { p_results: service.json([settled]), p_scan_types: [between.type] });
    assert.deepEqual(await runsOf(between), []);
  });

  test("a slot is not recorded while the check is still due, or after another config was stored", async () => {
    const integration = await scannable(service);
    await schedule(integration);
    assert.equal(await checkSlot(integration, { status: null, schedule: null, next_check_at: null }), "released");
    assert.equal(await checkSlot(integration, { version: "another", status: "active" }), "changed");
    assert.deepEqual(await runsOf(integration), []);
  });

  test("a slot of a type without checks leaves nothing", async () => {
    const integration = await scannable(service);
    await schedule(integration);
    await checkSlot(integration, { status: "active" }, { types: ["another"] });
    assert.deepEqual(await runsOf(integration), []);
  });

  test("a slot that comes while a run is open is recorded as a gap", async () => {
    const integration = await scannable(service);
    await requestScan(service, integration);
    await schedule(integration);
    await checkSlot(integration, { status: "active" });
    const runs = await runsOf(integration);
    assert.deepEqual(runs.map((run) => [run.trigger, run.state, run.reason]), [["user", "queued", null], ["schedule", "done", "still_running"]]);
  });

  test("a slot that did not run leaves open findings open, and unverified since then", async () => {
    const integration = await scannable(service);
    await scan(service, integration, [result("fail")]);
    await schedule(integration);
    await checkSlot(integration, { status: "degraded", reason: "timeout" });
    const [finding] = await findingsOf(owner, integration);
    assert.deepEqual([finding.state, finding.unverified_reason], ["open", "timeout"]);
    assert.ok(finding.unverified_since);
  });
});

describe("scan now", () => {
  test("scan now queues a run for a member, one at a time", async () => {
    const integration = await scannable(service);
    const first = await requestScan(service, integration);
    assert.equal(first.outcome, "queued");
    assert.deepEqual(await requestScan(service, integration), { outcome: "already_open", id: first.id, state: "queued" });
    const run = await runOf(owner, first.id);
    assert.deepEqual([run.trigger, run.requested_by], ["user", integration.user]);
    const both = await Promise.all([1, 2, 3].map(() => requestScan(project.connect("authenticator", { role: "service_role" }), integration)));
    assert.ok(both.every(({ outcome }) => outcome === "already_open"));
  });

  test("scan now is rejected to strangers, for a type without checks, and where only a reconnection helps", async () => {
    const integration = await scannable(service);
    assert.equal((await requestScan(service, integration, { p_user_id: randomUUID() })).outcome, "unknown");
    assert.equal((await requestScan(service, integration, { p_id: randomUUID() })).outcome, "unknown");
    assert.equal((await requestScan(service, integration, { p_types: ["another"] })).outcome, "not_assessable");
    await owner`update public.integrations set status = 'revoked' where id = ${integration.id}`;
    assert.equal((await requestScan(service, integration)).outcome, "reconnect_required");
    assert.deepEqual(await runsOf(integration), []);
  });

  test("scan now is limited for each user", async () => {
    const user = randomUUID();
    const outcomes = [];
    for (let i = 0; i < 21; i++) {
      const integration = await scannable(service, { p_user_id: user, p_organization_id: user, p_external_account_id: `account ${i}` });
      outcomes.push(await requestScan(service, integration));
    }
    assert.ok(outcomes.slice(0, 20).every(({ outcome }) => outcome === "queued"));
    assert.equal(outcomes[20].outcome, "too_many");
    assert.ok(outcomes[20].seconds > 0 && outcomes[20].seconds <= 3600);
    assert.equal((await requestScan(service, await scannable(service))).outcome, "queued", "another user is another count");
  });
});

describe("a claim", () => {
  test("a claim of a run hands out the sealed config with an event of the scanner, and nothing without one", async () => {
    const integration = await scannable(service);
    const claim = await beginScan(service, integration);
    assert.deepEqual(
      [claim.organization_id, claim.integration_id, claim.integration_type, claim.account_id, claim.position],
      [integration.organization, integration.id, integration.type, "abcdefghijklmnopqrst", null],
    );
    assert.deepEqual(JSON.parse(claim.config), sealed());
    assert.deepEqual((await eventsOf(integration)).map((row) => ({ ...row })), [{ actor: "scanner", action: "opened", reason: "scan" }]);
    assert.deepEqual(await claimRuns(service, integration.type), [], "a lease is another's");

    const other = await scannable(service);
    await requestScan(service, other);
    await owner.unsafe("alter table public.credential_events add constraint none_here check (actor <> 'scanner') not valid");
    try {
      await assert.rejects(claimRuns(service, other.type), { code: "23514" });
    } finally {
      await owner.unsafe("alter table public.credential_events drop constraint none_here");
    }
    assert.equal((await claimRuns(service, other.type)).length, 1, "the claim was undone with its event");
  });

  test("a run whose lease is over is claimed by another with a higher generation, and what the first writes is rejected", async () => {
    const integration = await scannable(service);
    const first = await beginScan(service, integration);
    await savePosition(service, first, { p_position: "page 2", p_results: [result("fail", "one")] });
    await makeDue(owner, first.id);
    const [second] = await claimRuns(service, integration.type);
    assert.equal(second.id, first.id);
    assert.ok(BigInt(second.generation) > BigInt(first.generation));
    assert.equal(second.position, "page 2");

    assert.deepEqual(await savePosition(service, first, { p_position: "page 9" }), { outcome: "changed" });
    assert.deepEqual(await finishScan(service, first, [result("pass", "one")]), { outcome: "changed" });
    assert.deepEqual(await reopenCredential(service, first), { outcome: "changed" });
    // The same scanner again, with the number of its earlier claim.
    assert.deepEqual(await finishScan(service, { ...second, generation: first.generation }), { outcome: "changed" });
    assert.equal((await finishScan(service, second)).outcome, "finished");
    assert.equal((await findingsOf(owner, integration)).length, 1, "the first one's results were kept");
  });

  test("a run whose lease is over and that nobody else claimed may still finish", async () => {
    const integration = await scannable(service);
    const claim = await beginScan(service, integration);
    await makeDue(owner, claim.id);
    assert.equal((await finishScan(service, claim, [result("pass")])).result, "complete");
  });

  test("one of many scanners at once claims a run", async () => {
    const type = `type-${randomUUID()}`;
    for (let i = 0; i < 8; i++) await requestScan(service, await scannable(service, { p_integration_type: type }));
    const scanners = Array.from({ length: 4 }, () => project.connect("authenticator", { role: "service_role" }));
    const claimed = (await Promise.all(scanners.map((sql) => claimRuns(sql, type, 4)))).flat();
    const rest = await claimRuns(service, type, 10);
    const ids = [...claimed, ...rest].map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length, "no run twice");
    assert.equal(ids.length, 8);
  });

  test("a claim puts off a run whose token is too old by a minute, and opens nothing", async () => {
    const integration = await scannable(service, { p_config: sealed({ expires_at: new Date(Date.now() + 60_000).toISOString() }) });
    const { id } = await requestScan(service, integration);
    assert.deepEqual(await claimRuns(service, integration.type), []);
    assert.deepEqual(await eventsOf(integration), []);
    const [{ seconds }] = await owner`
      select extract(epoch from due_at - now())::float as seconds from private.scan_claims where assessment_id = ${id}`;
    assert.ok(seconds > 50 && seconds <= 60, `${seconds} s`);

    const fresh = sealed({ expires_at: new Date(Date.now() + 3_600_000).toISOString() });
    await owner`update public.integrations set config = ${owner.json(fresh)} where id = ${integration.id}`;
    assert.deepEqual(await claimRuns(service, integration.type), [], "not before the minute is over");
    await makeDue(owner, id);
    assert.equal((await claimRuns(service, integration.type)).length, 1);
  });

  test("a claim waits for a refreshed token that is not stored yet, and for a paused provider", async () => {
    const integration = await scannable(service);
    const { id } = await requestScan(service, integration);
    await owner`insert into public.credential_leases (integration_id, journal) values (${integration.id}, ${owner.json(sealed())})`;
    assert.deepEqual(await claimRuns(service, integration.type), []);
    await owner`delete from public.credential_leases where integration_id = ${integration.id}`;
    await makeDue(owner, id);
    await call(service, "pause_provider", { p_id: integration.id, p_endpoint: "api", p_seconds: 60, p_organizations: null });
    assert.deepEqual(await claimRuns(service, integration.type), []);
    await owner`delete from private.integration_pauses where integration_id = ${integration.id}`;
    assert.equal((await claimRuns(service, integration.type)).length, 1);
  });

  test("a rate limit in a scan pauses the integration, and its type only after so many organizations as the entry says", async () => {
    const begin = async (type) => {
      const integration = await scannable(service, { p_integration_type: type });
      return { integration, claim: await beginScan(service, integration) };
    };
    const p_not_before = new Date(Date.now() + 300_000).toISOString();
    const limited = (claim, p_organizations) => savePosition(service, claim, { p_not_before, p_limited: true, p_organizations });
    const pauses = async (type) => {
      const [row] = await owner`
        select (select count(*)::int from private.integration_pauses p where p.client = ${type} and p.endpoint = 'api') as integrations,
          (select count(*)::int from private.provider_pauses p where p.client = ${type} and p.endpoint = 'api') as types`;
      return { ...row };
    };
    const ofUsers = `type-${randomUUID()}`;
    for (let i = 0; i < 3; i++) await limited((await begin(ofUsers)).claim, null);
    assert.deepEqual(await pauses(ofUsers), { integrations: 3, types: 0 });

    const ofApp = `type-${randomUUID()}`;
    await limited((await begin(ofApp)).claim, 2);
    assert.deepEqual(await pauses(ofApp), { integrations: 1, types: 0 });
    const [second, third] = [await begin(ofApp), await begin(ofApp)];
    // A run that is let go for another reason pauses nothing.
    await savePosition(service, third.claim, { p_not_before });
    assert.deepEqual(await pauses(ofApp), { integrations: 1, types: 0 });
    await limited(second.claim, 2);
    assert.deepEqual(await pauses(ofApp), { integrations: 2, types: 1 });
    await makeDue(owner, third.claim.id);
    assert.deepEqual(await claimRuns(service, ofApp), []);
    const [{ until }] = await owner`select until from private.provider_pauses where client = ${ofApp}`;
    assert.equal(until.toISOString(), p_not_before);
  });

  test("a run that a scanner without the key releases waits, changes no finding, and is not given up", async () => {
    const integration = await scannable(service);
    await scan(service, integration, [result("fail")]);
    const { id } = await requestScan(service, integration);
    let claim;
    for (let i = 0; i < 7; i++) {
      [claim] = await claimRuns(service, integration.type);
      const held = { p_id: id, p_owner: claim.owner, p_generation: claim.generation };
      assert.deepEqual(await call(service, "release_scan_run", { ...held, p_seconds: 600 }), { outcome: "released" });
      assert.deepEqual(await claimRuns(service, integration.type), [], "it waits");
      assert.deepEqual(await call(service, "release_scan_run", { ...held, p_seconds: 600 }), { outcome: "changed" });
      await makeDue(owner, id);
    }
    const [finding] = await findingsOf(owner, integration);
    assert.deepEqual([finding.state, finding.unverified_since], ["open", null]);
    [claim] = await claimRuns(service, integration.type);
    assert.equal((await finishScan(service, claim, [result("pass")])).resolved, 1);
    for (const p_seconds of [null, 0, 86_401]) {
      const held = { p_id: id, p_owner: claim.owner, p_generation: claim.generation };
      await assert.rejects(call(service, "release_scan_run", { ...held, p_seconds }), { code: "22023" });
    }
  });

  test("a claim ends a run whose integration needs a reconnection by now", async () => {
    const [untouched, begun] = [await scannable(service), await scannable(service)];
    const { id } = await requestScan(service, untouched);
    const claim = await beginScan(service, begun);
    await makeDue(owner, claim.id);
    for (const { id: integration, type } of [untouched, begun]) {
      await owner`update public.integrations set status = 'reconnect_required', status_reason = 'invalid_grant' where id = ${integration}`;
      assert.deepEqual(await claimRuns(service, type), []);
    }
    const ends = [await runOf(owner, id), await runOf(owner, claim.id)].map((run) => [run.outcome, run.reason]);
    assert.deepEqual(ends, [["not_run", "invalid_grant"], ["incomplete", "invalid_grant"]]);
  });

  test("a run that five scanners could not advance is given up", async () => {
    const integration = await scannable(service);
    await scan(service, integration, [result("fail")]);
    const { id } = await requestScan(service, integration);
    for (let i = 0; i < 5; i++) {
      const [claim] = await claimRuns(service, integration.type);
      assert.equal(claim.id, id);
      await makeDue(owner, id);
    }
    assert.deepEqual(await claimRuns(service, integration.type), []);
    const run = await runOf(owner, id);
    assert.deepEqual([run.outcome, run.reason], ["incomplete", "scanner_failed"]);
    const [finding] = await findingsOf(owner, integration);
    assert.deepEqual([finding.state, finding.unverified_reason], ["open", "scanner_failed"]);
  });

  test("a run that advances is not given up", async () => {
    const integration = await scannable(service);
    const { id } = await requestScan(service, integration);
    for (let i = 0; i < 12; i++) {
      const [claim] = await claimRuns(service, integration.type);
      assert.equal((await savePosition(service, claim, { p_position: `page ${i}` })).outcome, "saved");
      await makeDue(owner, id);
    }
  });

  test("a claim of a run rejects wrong arguments", async () => {
    for (const over of [{ p_limit: 0 }, { p_limit: 51 }, { p_types: null }, { p_soon: null }, { p_owner: null }]) {
      await assert.rejects(call(service, "claim_scan_runs", { p_owner: randomUUID(), p_limit: 1, p_types: [], p_soon: 1, ...over }), { code: "22023" });
    }
  });
});

describe("a position", () => {
  test("a position is kept with the results since and the time before which nothing is asked", async () => {
    const integration = await scannable(service);
    const claim = await beginScan(service, integration);
    const later = new Date(Date.now() + 600_000);
    const saved = await savePosition(service, claim, { p_position: "page 3", p_results: [result("fail")], p_requests: 7, p_not_before: later });
    assert.deepEqual(saved, { outcome: "saved" });
    assert.deepEqual(await claimRuns(service, integration.type), []);
    const [row] = await owner`select due_at, owner from private.scan_claims where assessment_id = ${claim.id}`;
    assert.deepEqual([row.due_at.getTime(), row.owner], [later.getTime(), null]);
    assert.deepEqual(await savePosition(service, claim), { outcome: "changed" }, "it was let go");
    await makeDue(owner, claim.id);
    const [next] = await claimRuns(service, integration.type);
    assert.deepEqual([next.position, next.catalogue], ["page 3", "catalogue 1"]);
    await finishScan(service, next, [], { p_requests: 5 });
    assert.equal((await runOf(owner, claim.id)).requests, 12);
  });

  test("a position that is saved again counts its requests once", async () => {
    const claim = await beginScan(service, await scannable(service));
    for (let i = 0; i < 2; i++) await savePosition(service, claim, { p_position: "page 3", p_results: [result("fail")], p_requests: 7 });
    await savePosition(service, claim, { p_position: "page 4", p_requests: 2 });
    assert.equal((await runOf(owner, claim.id)).requests, 9);
  });

  test("a position waits a day at most", async () => {
    const claim = await beginScan(service, await scannable(service));
    await savePosition(service, claim, { p_not_before: new Date(Date.now() + 1e10) });
    const [{ hours }] = await owner`
      select extract(epoch from due_at - now())::float / 3600 as hours from private.scan_claims where assessment_id = ${claim.id}`;
    assert.ok(hours > 23 && hours <= 24, `${hours} h`);
  });

  test("a slice that is saved twice has each result once, and of two about the same the worse", async () => {
    const claim = await beginScan(service, await scannable(service));
    const slice = [result("pass", "one"), result("fail", "two"), result("unknown", "three"), result("pass", "two")];
    for (let i = 0; i < 2; i++) await savePosition(service, claim, { p_results: slice });
    await savePosition(service, claim, { p_results: [result("pass", "three"), result("fail", "one")] });
    const staged = await owner`select resource_id, status from private.scan_results where assessment_id = ${claim.id} order by resource_id`;
    assert.deepEqual(staged.map(({ resource_id, status }) => [resource_id, status]), [["one", "fail"], ["three", "unknown"], ["two", "fail"]]);
    const [{ results }] = await owner`select results from private.scan_claims where assessment_id = ${claim.id}`;
    assert.equal(results, 3);
  });

  test("a position of another catalogue starts anew, and what other checks judged is dropped", async () => {
    const integration = await scannable(service);
    const claim = await beginScan(service, integration);
    await savePosition(service, claim, { p_results: [result("fail", "one")] });
    await savePosition(service, claim, { p_results: [result("pass", "two")], p_catalogue: "catalogue 2" });
    const done = await finishScan(service, claim, [], { p_catalogue: "catalogue 2" });
    assert.deepEqual([done.passed, done.failed], [1, 0]);
  });

  test("a position is bounded, as are the results, their evidence and their number", async () => {
    const claim = await beginScan(service, await scannable(service));
    const refused = async (over, code) => assert.rejects(savePosition(service, claim, over), { code });
    await refused({ p_position: null }, "22023");
    await refused({ p_catalogue: "" }, "22023");
    await refused({ p_results: Array.from({ length: 5001 }, (_, i) => result("pass", `r${i}`)) }, "22023");
    await refused({ p_results: [result("fail", "one", { evidence: { "/a": "x".repeat(17_000) } })] }, "23514");
    await refused({ p_results: [result("fail", "one", { evidence: { "/a": { body: 1 } } })] }, "23514");
    await refused({ p_results: [result("fail", "one", { evidence: { "/a": [1] } })] }, "23514");
    await refused({ p_results: [result("fail", "one", { evidence: "text" })] }, "23514");
    await refused({ p_results: [result("planted", "one")] }, "23514");
    await refused({ p_results: [result("pass", "x".repeat(1001))] }, "23514");
    await refused({ p_results: [result("pass", "one", { needs: Array(21).fill("scope") })] }, "23514");
    await refused({ p_results: [result("pass", "one", { check_id: null })] }, "23502");
    assert.equal((await savePosition(service, claim, { p_results: [result("pass", "é".repeat(1000), { resource_name: null })] })).outcome, "saved");
  });

  test("a position that is too large or has too many results says so, and then no absence resolves a finding", async () => {
    const integration = await scannable(service);
    await scan(service, integration, [result("fail", "one")]);
    const claim = await beginScan(service, integration);
    assert.deepEqual(await savePosition(service, claim, { p_position: "x".repeat(8_388_609) }), { outcome: "full" });
    const done = await finishScan(service, claim, []);
    assert.deepEqual([done.result, done.reason, done.resolved], ["incomplete", "truncated", 0]);

    const next = await beginScan(service, integration);
    await owner`update private.scan_claims set catalogue = 'catalogue 1', results = 49999 where assessment_id = ${next.id}`;
    assert.deepEqual(await savePosition(service, next, { p_results: [result("pass", "two"), result("pass", "three")] }), { outcome: "full" });
    assert.equal((await finishScan(service, next, [])).resolved, 0);
    const [finding] = await findingsOf(owner, integration);
    assert.deepEqual([finding.state, finding.unverified_reason], ["open", "truncated"]);
  });
});

describe("the credential of a claimed run", () => {
  test("the credential of a claimed run is handed out again with its event, as it is stored now", async () => {
    const integration = await scannable(service);
    const claim = await beginScan(service, integration);
    const fresh = sealed({ access_token: "bmV3.bmV3.bmV3" });
    await owner`update public.integrations set config = ${owner.json(fresh)} where id = ${integration.id}`;
    const opened = await reopenCredential(service, claim);
    assert.deepEqual([opened.outcome, JSON.parse(opened.config)], ["opened", fresh]);
    assert.notEqual(opened.version, claim.version);
    assert.equal((await eventsOf(integration)).length, 2);
  });

  test("the credential of a claimed run is not handed out if it is too old, of another account, over, or gone", async () => {
    const integration = await scannable(service);
    const claim = await beginScan(service, integration);
    const old = sealed({ expires_at: new Date(Date.now() + 30_000).toISOString() });
    await owner`update public.integrations set config = ${owner.json(old)} where id = ${integration.id}`;
    assert.equal((await reopenCredential(service, claim)).outcome, "not_usable");
    await owner`update public.integrations set config = ${owner.json(sealed())}, external_account_id = 'other' where id = ${integration.id}`;
    assert.equal((await reopenCredential(service, claim)).outcome, "changed");
    await owner`delete from public.integrations where id = ${integration.id}`;
    assert.equal((await reopenCredential(service, claim)).outcome, "gone");
    assert.equal((await eventsOf(integration)).length, 1);
  });
});

describe("in the middle of a run", () => {
  test("deleting the integration ends the run, archives the findings, and the scanner learns it", async () => {
    const integration = await scannable(service);
    await scan(service, integration, [result("fail")]);
    const claim = await beginScan(service, integration);
    await savePosition(service, claim, { p_results: [result("fail", "two")] });
    const deleted = await call(service, "disconnect_integration", disconnection({ p_id: integration.id, p_user_id: integration.user }));
    assert.equal(deleted.outcome, "disconnected");
    assert.deepEqual(await savePosition(service, claim), { outcome: "gone" });
    assert.deepEqual(await finishScan(service, claim, [result("pass")]), { outcome: "gone" });
    const run = await runOf(owner, claim.id);
    assert.deepEqual([run.state, run.outcome, run.reason], ["done", "incomplete", "disconnected"]);
    const findings = await findingsOf(owner, integration);
    assert.deepEqual(findings.map(({ state, ended_as }) => [state, ended_as]), [["archived", "disconnected"]]);
    const [{ left }] = await owner`select count(*)::int as left from private.scan_results where assessment_id = ${claim.id}`;
    assert.equal(left, 0);
  });

  test("a deletion and the finish of a run wait for each other in either order", async () => {
    for (const first of ["finish", "delete"]) {
      const integration = await scannable(service);
      const claim = await beginScan(service, integration);
      const acts = {
        finish: (sql) => finishScan(sql, claim, [result("fail")]),
        delete: (sql) => sql`delete from public.integrations where id = ${integration.id}`,
      };
      const second = first === "finish" ? "delete" : "finish";
      let waiting;
      await owner.begin(async (sql) => {
        await acts[first](sql);
        waiting = acts[second](service).then((end) => end);
        await lockWait(sql);
      });
      const end = await waiting;
      if (second === "finish") assert.deepEqual(end, { outcome: "gone" });
      const states = (await findingsOf(owner, integration)).map(({ state }) => state);
      assert.deepEqual(states, first === "finish" ? ["archived"] : []);
      assert.equal((await runOf(owner, claim.id)).state, "done");
    }
  });

  test("nothing that was seen counts after the account was replaced", async () => {
    const integration = await scannable(service);
    await scan(service, integration, [result("fail")]);
    const claim = await beginScan(service, integration);
    await savePosition(service, claim, { p_results: [result("pass")] });
    await owner`update public.integrations set external_account_id = 'another' where id = ${integration.id}`;
    assert.deepEqual(await finishScan(service, claim), { outcome: "changed" });
    const run = await runOf(owner, claim.id);
    assert.deepEqual([run.outcome, run.reason], ["incomplete", "account_replaced"]);
    assert.deepEqual((await findingsOf(owner, integration)).map(({ state }) => state), ["open"]);

    // The next run is the other account's first: a baseline. What was known of the earlier account nobody looks at any more.
    const done = await scan(service, integration, [result("fail")]);
    assert.deepEqual([done.baseline, done.opened, done.resolved], [true, 1, 0]);
    const findings = await findingsOf(owner, integration);
    assert.deepEqual(
      findings.map(({ account_id, state, ended_as }) => [account_id, state, ended_as]).sort(),
      [["abcdefghijklmnopqrst", "archived", "account_replaced"], ["another", "open", null]],
    );
  });

  test("a run whose account is replaced between two slices ends before the other credential is opened", async () => {
    const integration = await scannable(service);
    const claim = await beginScan(service, integration);
    await savePosition(service, claim, { p_not_before: new Date() });
    await owner`update public.integrations set external_account_id = 'another' where id = ${integration.id}`;
    await makeDue(owner, claim.id);
    assert.deepEqual(await claimRuns(service, integration.type), []);
    assert.equal((await runOf(owner, claim.id)).reason, "account_replaced");
    assert.equal((await eventsOf(integration)).length, 1);
  });

  test("one of two scanners finishes a run, and the other learns that it changed", async () => {
    const integration = await scannable(service);
    const first = await beginScan(service, integration);
    await makeDue(owner, first.id);
    const [second] = await claimRuns(service, integration.type);
    const [one, two] = [0, 1].map(() => project.connect("authenticator", { role: "service_role" }));
    const ends = await Promise.all([finishScan(one, first, [result("pass")]), finishScan(two, second, [result("fail")])]);
    assert.deepEqual(ends.map(({ outcome }) => outcome), ["changed", "finished"]);
    assert.equal((await findingsOf(owner, integration)).length, 1);
  });

  test("a repeated finish answers the same and changes nothing", async () => {
    const integration = await scannable(service);
    const claim = await beginScan(service, integration);
    const once = await finishScan(service, claim, [result("fail"), result("pass", "two")]);
    const before = [await findingsOf(owner, integration), await runOf(owner, claim.id)];
    assert.deepEqual(await finishScan(service, claim, [result("fail"), result("pass", "two")]), once);
    assert.deepEqual([await findingsOf(owner, integration), await runOf(owner, claim.id)], before);
    assert.deepEqual(await finishScan(service, { ...claim, owner: randomUUID() }), { outcome: "changed" });
  });
});

test("clean_up ends a run that has not ended within a day, wherever it is", async () => {
  const integrations = [await scannable(service), await scannable(service), await scannable(service)];
  const [queued, begun, young] = integrations;
  const { id } = await requestScan(service, queued);
  const claim = await beginScan(service, begun);
  await requestScan(service, young);
  await owner`
    update public.assessments set queued_at = now() - interval '25 hours' where integration_id in ${owner([queued.id, begun.id])}`;
  await call(service, "clean_up", { p_event_days: 400 });
  const ends = [await runOf(owner, id), await runOf(owner, claim.id)].map((run) => [run.outcome, run.reason]);
  assert.deepEqual(ends, [["not_run", "timed_out"], ["incomplete", "timed_out"]]);
  assert.deepEqual(await finishScan(service, claim), { outcome: "changed" });
  assert.deepEqual((await runsOf(young)).map(({ state }) => state), ["queued"]);
  assert.equal((await requestScan(service, queued)).outcome, "queued");
});

test("a connection that the source document's writer made is scanned by the project that its config names", async () => {
  const organization = randomUUID();
  const type = `type-${randomUUID()}`;
  const [{ id }] = await service`
    insert into public.integrations (organization_id, integration_type, name, config)
    values (${organization}, ${type}, 'n', ${service.json({ ...completion().p_config, project_id: "proj_456" })}) returning id`;
  const claim = await beginScan(service, { id, user: organization, type });
  assert.equal(claim.account_id, "proj_456");
});
