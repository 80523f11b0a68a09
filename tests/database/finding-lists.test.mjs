// What members read of the scanner, by their own token: only their organizations', by indexes however many there are; and how long it is kept.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { beginScan, claimRuns, finishScan, findingsOf, makeDue, requestScan, result, scan, scannable } from "./scans.mjs";
import { addMember, call, startServer } from "./support.mjs";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());

const TABLES = ["assessments", "assessment_checks", "findings", "finding_events", "finding_mutes", "finding_list", "muted_finding_list",
  "assessment_findings", "mute_list"];
const cleanUp = (p_event_days = 400) => call(service, "clean_up", { p_event_days });

/** Findings as many runs would leave them. */
const insertFindings = (organization, integration, count, ago = "0 seconds") => owner`
  insert into public.findings (
    organization_id, integration_id, integration_type, identity, check_id, check_version, resource_type, resource_id, item, severity, opened_at
  )
  select ${organization}::uuid, ${integration}::uuid, 'supabase', sha256(gen_random_uuid()::text::bytea), 't_' || n % 50, 1, 'project',
    'resource ' || n, '', (array['critical', 'high', 'medium', 'low', 'info'])[1 + n % 5], now() - ${ago}::interval - n * interval '1 second'
  from generate_series(1, ${count}) n`;

describe("a member", () => {
  test("a member reads the organization's runs and findings; a stranger, a visitor and a token without a user read nothing", async () => {
    const [member, organization] = [randomUUID(), randomUUID()];
    await addMember(owner, organization, member);
    const integration = await scannable(service, { p_user_id: member, p_organization_id: organization });
    await scan(service, integration, [result("fail")]);
    const mute = { check_id: "t_tls", reason: "wont_fix", note: "note", expires_at: new Date(Date.now() + 86_400_000).toISOString() };
    await call(service, "mute_findings", { p_user_id: member, p_organization_id: organization, p_mute: service.json(mute) });

    const count = async (sql, table) => (await sql`select organization_id from ${sql(`public.${table}`)}`).length;
    const [mine, stranger] = [project.user(member), project.user(randomUUID())];
    const nobody = project.connect("authenticator", { role: "authenticated", "request.jwt.claims": '{"role":"authenticated"}' });
    for (const table of TABLES) {
      assert.deepEqual([await count(mine, table), await count(stranger, table), await count(nobody, table)], [1, 0, 0], table);
      await assert.rejects(count(project.user(null), table), { code: "42501" }, table);
    }
    const [finding] = await mine`select muted, evidence from public.finding_list`;
    assert.deepEqual({ ...finding }, { muted: true, evidence: { "/enabled": false } });
    for (const column of ["findings.identity", "assessments.ended_by", "finding_events.announced"]) {
      const [table, name] = column.split(".");
      await assert.rejects(mine`select ${mine(name)} from ${mine(`public.${table}`)}`, { code: "42501" }, column);
    }
    await owner`delete from public.organization_members where user_id = ${member}`;
    for (const table of TABLES) assert.equal(await count(mine, table), 0, table);
  });
});

describe("a list of findings", () => {
  let organization, integration, user;
  before(async () => {
    [organization, integration] = [randomUUID(), randomUUID()];
    await insertFindings(organization, integration, 20_000);
    for (let i = 0; i < 4; i++) await insertFindings(randomUUID(), randomUUID(), 5_000);
    await owner.unsafe("vacuum (analyze) public.findings, public.finding_mutes");
    user = project.user(organization);
  });

  const explain = async (query, reader = user) => {
    const rows = await reader.unsafe(`explain (analyze, buffers off, timing off, summary off) select id, sort_key, muted from public.finding_list where ${query}`);
    return rows.map((row) => row["QUERY PLAN"]).join("\n");
  };

  test("a list of findings is read by its index, in its order, no further than its page", async () => {
    const [{ cursor }] = await owner`
      select sort_key as cursor from public.findings where organization_id = ${organization} and state = 'open' order by sort_key offset 15000 limit 1`;
    for (const [index, where] of [
      ["findings_organization", `organization_id = '${organization}' and state = 'open'`],
      ["findings_organization", `organization_id = '${organization}' and state = 'open' and sort_key > '${cursor}'`],
      ["findings_organization", `organization_id = '${organization}' and state = 'open' and sort_key >= '4' and sort_key < '5'`],
      ["findings_integration", `integration_id = '${integration}' and state = 'open'`],
      ["findings_check", `organization_id = '${organization}' and check_id = 't_7' and state = 'open'`],
      ["findings_organization", `organization_id = '${organization}' and state = 'open' and not muted`],
      // As the API asks (worker/src/findings/filter.rs).
      ["findings_organization", `organization_id = '${organization}' and state = 'open' and muted is false and sort_key > '${cursor}'`],
      ["findings_integration", `integration_id = '${integration}' and state = 'open' and sort_key >= '2' and sort_key < '3' and muted is false`],
      ["findings_organization", `organization_id = '${organization}' and state = 'open' and integration_type = 'supabase'`],
    ]) {
      const plan = await explain(`${where} order by sort_key limit 50`);
      assert.match(plan, new RegExp(`Index Scan using ${index} on findings f`), plan);
      assert.doesNotMatch(plan, /Sort Key: .*sort_key|Seq Scan on findings/, plan);
      const [, read] = /Index Scan using \w+ on findings f .*\(actual rows=([\d.]+)/.exec(plan);
      assert.ok(Number(read) <= 51, `${read} rows\n${plan}`);
    }
  });

  test("a list of findings that have ended is read by its index too, among as many that are open", async () => {
    const [organization, integration] = [randomUUID(), randomUUID()];
    await insertFindings(organization, integration, 20_000);
    await owner`
      update public.findings set state = 'resolved', ended_as = 'passed', ended_at = now()
      where organization_id = ${organization} and substr(resource_id, 10)::int % 2 = 0`;
    await owner.unsafe("vacuum (analyze) public.findings");
    const reader = project.user(organization);
    for (const [index, where] of [
      ["findings_organization_ended", `organization_id = '${organization}' and state = 'resolved'`],
      ["findings_integration_ended", `integration_id = '${integration}' and state = 'resolved'`],
      ["findings_check", `organization_id = '${organization}' and check_id = 't_8' and state = 'resolved'`],
      ["findings_organization", `organization_id = '${organization}' and state = 'open'`],
    ]) {
      const plan = await explain(`${where} order by sort_key limit 50`, reader);
      const [, read] = new RegExp(`Index Scan using ${index} on findings f .*\\(actual rows=([\\d.]+)`).exec(plan) ?? assert.fail(plan);
      assert.ok(Number(read) <= 51, `${read} rows\n${plan}`);
      assert.doesNotMatch(plan, /Sort Key: .*sort_key/, plan);
    }
  });

  test("a list of muted findings reads the findings of checks that have an active mute, and no others", async () => {
    const where = `organization_id = '${organization}' and state = 'open'`;
    const muted = async (table) => (await user.unsafe(`
      select id, sort_key from public.${table} where ${where} ${table === "finding_list" ? "and muted" : ""} order by sort_key limit 51`)).map(({ id }) => id);
    const plan = async () => {
      const query = `explain (analyze, buffers off, timing off, summary off) select id from public.muted_finding_list where ${where} order by sort_key limit 51`;
      return (await user.unsafe(query)).map((row) => row["QUERY PLAN"]).join("\n");
    };
    const none = await plan();
    assert.match(none, /on findings f .*(never executed|actual rows=0)/, none);
    const mute = (columns) => owner`
      insert into public.finding_mutes ${owner({ organization_id: organization, reason: "wont_fix", note: "note", created_by: organization,
        expires_at: new Date(Date.now() + 86_400_000), ...columns })}`;
    await mute({ check_id: "t_3" });
    await mute({ check_id: "t_9", integration_id: integration, resource_id: "resource 59" });
    await mute({ check_id: "t_11", created_at: new Date(Date.now() - 2000), expires_at: new Date(Date.now() - 1000) });
    await owner.unsafe("analyze public.finding_mutes");
    assert.deepEqual(await muted("muted_finding_list"), await muted("finding_list"));
    const some = await plan();
    assert.match(some, /Index Scan (on|using) findings_check /, some);
    const [, each, loops] = /findings f .*\(actual rows=([\d.]+) loops=(\d+)\)/.exec(some);
    assert.ok(each * loops <= 800, `${each} rows ${loops} times\n${some}`);
    await owner`delete from public.finding_mutes where organization_id = ${organization}`;
  });

  test("a list of findings has the most severe first, of those the youngest, and is the same page by page", async () => {
    const select = (after, limit) => user`
      select id, severity, opened_at, sort_key from public.finding_list
      where organization_id = ${organization} and state = 'open' and sort_key > ${after} order by sort_key limit ${limit}`;
    const whole = await select("", 9_000);
    const rank = (severity) => ["critical", "high", "medium", "low", "info"].indexOf(severity);
    for (const [i, row] of whole.entries()) {
      if (i === 0) continue;
      const before = whole[i - 1];
      assert.equal(row.sort_key[0], String(1 + rank(row.severity)));
      assert.ok(rank(before.severity) < rank(row.severity) || (before.severity === row.severity && before.opened_at >= row.opened_at), `${i}`);
    }
    const pages = [];
    for (let cursor = ""; pages.length < 9_000; cursor = pages.at(-1).sort_key) pages.push(...(await select(cursor, 3_000)));
    assert.deepEqual(pages.map(({ id }) => id), whole.map(({ id }) => id));
  });

  test("a list of findings without a filter reads the user's organizations by an index", async () => {
    const plan = (await user`explain select id from public.findings`).map((row) => row["QUERY PLAN"]).join("\n");
    assert.match(plan, /Index Cond: .*private\.my_organizations\(\)/, plan);
  });
});

describe("a list of runs, mutes or events", () => {
  test("a list of findings is read by its index, in its order, no further than its page", async () => {
    // A project of its own: the other tests look at how much is deleted.
    const lists = await server.createProject();
    const { owner } = lists;
    const [organization, integration, finding] = [randomUUID(), randomUUID(), randomUUID()];
    for (const [of, count] of [[organization, 3_000], [randomUUID(), 3_000]]) {
      await owner`
        insert into public.assessments (organization_id, integration_id, integration_type, trigger, queued_at, state, outcome, finished_at)
        select ${of}::uuid, case n % 3 when 0 then ${integration}::uuid else gen_random_uuid() end, 'supabase', 'schedule',
          now() - n * interval '1 minute', 'done', 'complete', now()
        from generate_series(1, ${count}) n`;
      await owner`
        insert into public.finding_mutes (organization_id, check_id, reason, note, created_by, created_at, expires_at, ended_at)
        select ${of}::uuid, 't_' || n, 'wont_fix', 'note', ${of}::uuid, now() - n * interval '1 minute', now() + interval '1 day', now()
        from generate_series(1, ${count}) n`;
    }
    await owner`
      insert into public.finding_events (finding_id, organization_id, action)
      select case n % 20 when 0 then ${finding}::uuid else gen_random_uuid() end, ${organization}::uuid, 'opened' from generate_series(1, 5000) n`;
    await owner.unsafe("vacuum (analyze) public.assessments, public.finding_mutes, public.finding_events");
    const user = lists.user(organization);
    const from = (column) => `${column} <= now() - interval '500 minutes' and (${column} < now() - interval '500 minutes' or id > '${randomUUID()}')`;
    for (const [index, query] of [
      ["assessments_integration", `assessments where integration_id = '${integration}' and ${from("queued_at")} order by queued_at desc, id`],
      ["assessments_organization", `assessments where organization_id = '${organization}' and ${from("queued_at")} order by queued_at desc, id`],
      ["finding_mutes_organization", `mute_list where organization_id = '${organization}' and ${from("created_at")} order by created_at desc, id`],
      ["finding_events_finding", `finding_events where finding_id = '${finding}' and id < 4000 order by id desc`],
    ]) {
      const rows = await user.unsafe(`explain (analyze, buffers off, timing off, summary off) select id from public.${query} limit 51`);
      const plan = rows.map((row) => row["QUERY PLAN"]).join("\n");
      assert.match(plan, new RegExp(`Index (Only )?Scan (Backward )?using ${index} on`), plan);
      assert.doesNotMatch(plan, /Sort Key|Seq Scan on (assessments|finding_)/, plan);
      const [, read] = new RegExp(`using ${index} on .*\\(actual rows=([\\d.]+)`).exec(plan);
      assert.ok(Number(read) <= 51, `${read} rows\n${plan}`);
    }
  });
});

describe("a claim of runs", () => {
  test("a claim of runs takes organizations in turns, and finds one behind the backlog of another", async () => {
    const type = `type-${randomUUID()}`;
    const [large, small] = [randomUUID(), randomUUID()];
    const queue = async (organization, count, ago) => owner`
      with i as (
        insert into public.integrations (organization_id, integration_type, name, config)
        select ${organization}::uuid, ${type}, 'n', '{}' from generate_series(1, ${count}) returning id
      ), a as (
        insert into public.assessments (organization_id, integration_id, integration_type, trigger)
        select ${organization}::uuid, i.id, ${type}, 'schedule' from i returning id, integration_id
      )
      insert into private.scan_claims (assessment_id, organization_id, integration_id, integration_type, due_at)
      select a.id, ${organization}::uuid, a.integration_id, ${type}, now() - ${ago}::interval from a`;
    await queue(large, 500, "2 hours");
    await queue(small, 1, "1 minute");
    const claims = await claimRuns(service, type, 10);
    assert.equal(claims.length, 10);
    assert.deepEqual(claims.slice(0, 2).map(({ organization_id }) => organization_id), [large, small]);
    assert.equal(claims.filter(({ organization_id }) => organization_id === small).length, 1);
  });

  test("a claim of runs hands out no more than about eight megabytes of configs and positions", async () => {
    const type = `type-${randomUUID()}`;
    for (let i = 0; i < 4; i++) await requestScan(service, await scannable(service, { p_integration_type: type }));
    await owner`update private.scan_claims set position = repeat('x', 5000000) where integration_type = ${type}`;
    assert.equal((await claimRuns(service, type, 4)).length, 2);
    assert.equal((await claimRuns(service, type, 4)).length, 2);
  });
});

describe("what is kept", () => {
  test("clean_up deletes runs, ended findings, ended mutes and findings' events once they are older than the operator keeps them; open findings stay", async () => {
    const integration = await scannable(service);
    await scan(service, integration, [result("fail", "one"), result("fail", "two")]);
    await scan(service, integration, [result("pass", "one"), result("fail", "two")]);
    const { mute } = await call(service, "mute_findings", {
      p_user_id: integration.user, p_organization_id: integration.organization,
      p_mute: service.json({ check_id: "t_tls", reason: "wont_fix", note: "note", expires_at: new Date(Date.now() + 86_400_000).toISOString() }),
    });
    await call(service, "end_mute", { p_id: mute.id, p_user_id: integration.user });
    const left = async () => {
      const [row] = await owner`
        select (select count(*)::int from public.assessments where integration_id = ${integration.id}) as runs,
          (select count(*)::int from public.assessment_checks where organization_id = ${integration.organization}) as checks,
          (select count(*)::int from public.findings where integration_id = ${integration.id}) as findings,
          (select count(*)::int from public.finding_mutes where organization_id = ${integration.organization}) as mutes,
          (select count(*)::int from public.finding_events where organization_id = ${integration.organization}) as events`;
      return { ...row };
    };
    const [old, young] = ["401 days", "399 days"].map((days) => async () => {
      await owner`update public.assessments set queued_at = now() - ${days}::interval where integration_id = ${integration.id}`;
      await owner`update public.findings set ended_at = now() - ${days}::interval where integration_id = ${integration.id} and state <> 'open'`;
      await owner`update public.finding_mutes set ended_at = now() - ${days}::interval where id = ${mute.id}`;
      await owner.unsafe("alter table public.finding_events disable trigger append_only");
      await owner`update public.finding_events set occurred_at = now() - ${days}::interval where organization_id = ${integration.organization}`;
      await owner.unsafe("alter table public.finding_events enable trigger append_only");
    });
    await young();
    await cleanUp();
    assert.deepEqual(await left(), { runs: 2, checks: 2, findings: 2, mutes: 1, events: 3 });
    await old();
    await cleanUp();
    assert.deepEqual(await left(), { runs: 0, checks: 0, findings: 1, mutes: 0, events: 0 });
    assert.deepEqual((await findingsOf(owner, integration)).map(({ resource_id }) => resource_id), ["two"]);
  });

  test("a run that has not ended is not deleted, however old", async () => {
    const claim = await beginScan(service, await scannable(service));
    await owner`update public.assessments set queued_at = now() - interval '2 years' where id = ${claim.id}`;
    // As while a scanner is at it: clean_up passes by what is locked.
    await service.begin(async (sql) => {
      await sql`select from public.integrations where id = ${claim.integration_id} for no key update`;
      const { outcome } = await call(project.connect("authenticator", { role: "service_role" }), "clean_up", { p_event_days: 30 });
      assert.equal(outcome, "cleaned");
    });
    assert.equal((await finishScan(service, claim)).outcome, "finished");
  });

  test("clean_up keeps the newest ten thousand runs of an integration", async () => {
    const integration = await scannable(service);
    await owner`
      insert into public.assessments (organization_id, integration_id, integration_type, trigger, state, outcome, reason, queued_at, finished_at)
      select ${integration.organization}::uuid, ${integration.id}::uuid, 't', 'schedule', 'done', 'not_run', 'not_checked', now() - n * interval '1 minute', now()
      from generate_series(1, 10003) n`;
    await requestScan(service, integration);
    const [{ count, oldest }] = await owner`
      select count(*)::int as count, extract(epoch from now() - min(queued_at))::int / 60 as oldest
      from public.assessments where integration_id = ${integration.id}`;
    assert.deepEqual([count, oldest], [10_000, 9_999]);
  });

  test("clean_up deletes a backlog in bounded calls that say that there is more", async () => {
    await insertFindings(randomUUID(), randomUUID(), 1500);
    await owner`
      update public.findings set state = 'resolved', ended_as = 'gone', ended_at = now() - interval '500 days'
      where resource_id like 'resource %' and integration_id = (select integration_id from public.findings order by first_seen_at desc limit 1)`;
    const old = async () => (await owner`select count(*)::int as n from public.findings where ended_at < now() - interval '400 days'`)[0].n;
    assert.equal(await old(), 1500);
    assert.deepEqual([(await cleanUp()).more, await old()], [true, 500]);
    assert.deepEqual([(await cleanUp()).more, await old()], [false, 0]);
  });
});

test("a lease that a scanner keeps by saving is not given to another scanner", async () => {
  const integration = await scannable(service);
  const claim = await beginScan(service, integration);
  await makeDue(owner, claim.id);
  const held = { p_id: claim.id, p_owner: claim.owner, p_generation: claim.generation };
  const saved = await call(service, "save_scan_position", {
    ...held, p_catalogue: "c", p_position: "p", p_results: service.json([]), p_requests: 0,
  });
  assert.deepEqual(saved, { outcome: "saved" });
  assert.deepEqual(await claimRuns(service, integration.type), []);
});
