// What must hold of findings and runs, judged by what the provider has really answered.

const CHECKS = { ssl: "supabase_ssl_enforced", buckets: "supabase_bucket_private" };
/** Between the clocks of the database and of this process; both are this machine's. */
const CLOCK_MS = 50;

export async function judge(fixture) {
  const { sql, report, provider } = fixture;
  const runs = new Map((await sql`select * from public.assessments`).map((run) => [run.id, run]));
  const findings = await sql`select * from public.findings where check_id = any (${Object.values(CHECKS)})`;
  const events = await sql`
    select e.*, f.check_id, f.resource_id, f.account_id from public.finding_events e join public.findings f on f.id = e.finding_id
    where f.check_id = any (${Object.values(CHECKS)}) order by e.id`;
  const checks = await sql`select * from public.assessment_checks where check_id = any (${Object.values(CHECKS)})`;
  report.count("runs that ended", runs.size);
  report.count("changes of findings", events.length);

  const answers = (run, read) =>
    provider.answered.filter(
      ({ account, read: other, at }) =>
        account === run.account_id && other === read && at >= run.started_at.getTime() - CLOCK_MS && at <= run.finished_at.getTime() + CLOCK_MS,
    );
  const passes = ({ check_id, resource_id }, value) => (check_id === CHECKS.ssl ? value === true : value[resource_id] === false);
  const isGone = ({ resource_id }, value) => typeof value === "object" && !(resource_id in value);
  const readOf = ({ check_id }) => (check_id === CHECKS.ssl ? "ssl" : "buckets");

  for (const event of events) {
    if (event.action !== "resolved") continue;
    const seen = answers(runs.get(event.assessment_id), readOf(event)).map(({ value }) => value);
    const isProven = seen.some((value) => (event.reason === "passed" ? passes(event, value) : isGone(event, value)));
    report.require(isProven, "a finding is resolved by proof alone", `an answer that shows it ${event.reason}`, { event, seen });
    report.count("findings resolved");
  }

  for (const check of checks) {
    const seen = answers(runs.get(check.assessment_id), readOf(check)).map(({ value }) => value);
    const told = { check, seen };
    if (check.status === "pass") {
      const isSeen = check.check_id === CHECKS.ssl ? seen.includes(true) : seen.some((list) => Object.values(list).every((isPublic) => !isPublic));
      report.require(isSeen, "nothing passes that was not seen", "an answer that passes", told);
    }
    if (check.passed > 0 || check.complete) report.require(seen.length > 0, "nothing is counted that was not answered", "an answer", told);
    report.count(`checks that ended ${check.status}`);
  }

  judgeHistories(report, findings, events);
  await judgeCounts(sql, report, runs);
  judgeTruth(fixture, findings);
  const doubled = await sql`select integration_id, check_id, resource_id, item from public.findings group by 1, 2, 3, 4 having count(*) > 1`;
  report.require(doubled.length === 0, "a finding is there once", "none twice", doubled);
  const claims = await sql`select from private.scan_claims`;
  const results = await sql`select from private.scan_results limit 1`;
  report.require(claims.length + results.length === 0, "nothing is left of a run that has ended", "no claim, no result", `${claims.length} claims`);
}

/** A finding opens once, and from then on ends and reopens in turns. */
function judgeHistories(report, findings, events) {
  for (const finding of findings) {
    let state;
    for (const { finding_id, action, assessment_id } of events) {
      if (finding_id !== finding.id) continue;
      const isLegal = { opened: state === undefined, reopened: state === "ended", resolved: state === "open", archived: state === "open" }[action] ?? state === "open";
      report.require(isLegal, "a finding opens and ends in turns", `no ${action} when ${state}`, { finding, assessment_id });
      if (["opened", "reopened"].includes(action)) state = "open";
      if (["resolved", "archived"].includes(action)) state = "ended";
    }
    report.require((state === "open") === (finding.state === "open"), "the state is what the history says", state, finding);
  }
}

/** What a run counts is what its checks count, and what its events say. */
async function judgeCounts(sql, report, runs) {
  const sums = await sql`
    select c.assessment_id, sum(c.passed)::int as passed, sum(c.failed)::int as failed, sum(c.unknown)::int as unknown from public.assessment_checks c group by 1`;
  for (const { assessment_id, ...sum } of sums) {
    const { passed, failed, unknown } = runs.get(assessment_id);
    report.require(
      passed === sum.passed && failed === sum.failed && unknown === sum.unknown, "a run counts each result once", sum, { passed, failed, unknown },
    );
  }
  const told = await sql`
    select e.assessment_id, count(*) filter (where e.action = 'opened')::int as opened, count(*) filter (where e.action = 'resolved')::int as resolved
    from public.finding_events e group by 1`;
  for (const { assessment_id, opened, resolved } of told) {
    const run = runs.get(assessment_id);
    // An event of a disconnection has no run.
    if (!run || run.opened === null) continue;
    report.require(run.opened === opened && run.resolved === resolved, "a run counts each change once", { opened, resolved }, { opened: run.opened, resolved: run.resolved });
  }
}

/** After a run that nothing disturbed, what is open is what is wrong. */
function judgeTruth({ provider, report, integrations }, findings) {
  for (const { id, account } of integrations) {
    const { ssl, buckets } = provider.truthOf(account);
    const wrong = [...(ssl ? [] : [account]), ...Object.keys(buckets).filter((bucket) => buckets[bucket])].sort();
    const open = findings.filter(({ integration_id, state, unverified_since }) => integration_id === id && state === "open" && !unverified_since);
    const found = open.map(({ resource_id }) => resource_id).sort();
    report.require(JSON.stringify(found) === JSON.stringify(wrong), "in the end the findings are the truth", wrong, found);
    report.count("accounts compared with the truth");
  }
}
