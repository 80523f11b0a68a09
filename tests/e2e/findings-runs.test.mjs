// What is checked, what a grant allows of it, and the runs of the scanner, as the API shows them.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { bearer, call, cookiesOf } from "../support/caller.mjs";
import { addIntegration, beginScan, claimScan, finishScan, result, scan } from "../support/scans.mjs";
import { createOrganization } from "../support/users.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const RUNS = "/api/assessments";
const scansOf = (id) => `/api/integrations/${id}/assessments`;
const coverageOf = (id) => `/api/integrations/${id}/coverage`;
const bare = ({ status, text, headers }) => ({
  status, text, headers: [...headers].filter(([name]) => !["x-request-id", "date"].includes(name)),
});

describe("checks, coverage and runs", { concurrency: true }, () => {
  const fixture = workerFixture();
  const { info } = fixture;
  let sql, worker;
  before(() => void ({ sql, worker } = fixture));

  const owner = async (over) => {
    const browser = await BrowserSession.signedIn(worker);
    return { browser, integration: await addIntegration(sql, browser.user.id, over) };
  };
  const get = async (browser, path) => (await browser.get(path)).expect(200).json;

  it("the catalogue of checks is shown to anyone, and by type", async () => {
    const all = (await call(worker, "GET", "/api/checks")).expect(200).json;
    assert.match(all.catalogue, /^[0-9a-f]{64}$/);
    assert.ok(all.checks.length >= 90);
    const types = new Set(all.checks.map(({ integration_type }) => integration_type));
    assert.deepEqual([...types].sort(), ["auth0", "discord", "github", "gitlab", "heroku", "supabase", "vercel"]);
    const ids = all.checks.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    for (const check of all.checks) {
      assert.deepEqual(Object.keys(check), [
        "id", "version", "integration_type", "title", "why", "severity", "state", "manual", "needs", "remediation", "basis", "maps",
      ]);
      assert.ok(check.remediation.text.length > 10, check.id);
    }
    const some = (await call(worker, "GET", "/api/checks?integration_type=supabase")).expect(200).json;
    assert.deepEqual(some.checks, all.checks.filter(({ integration_type }) => integration_type === "supabase"));
    assert.deepEqual((await call(worker, "GET", "/api/checks?integration_type=none")).expect(200).json.checks, []);
    for (const query of ["integration_type=A", "integration_type=", "integration_type=a&integration_type=a", "type=a"]) {
      (await call(worker, "GET", `/api/checks?${query}`)).expect(400, "invalid_request");
    }
  });

  it("coverage says what a scan can see, and after one what it was denied", async () => {
    const { browser, integration } = await owner();
    const first = await get(browser, coverageOf(integration.id));
    assert.deepEqual([first.requested_scopes, first.assessment_id, first.missing, first.remedy], [null, null, 0, null]);
    assert.equal(first.total, first.checks.length);
    assert.equal(first.runnable + first.missing + first.manual, first.total);

    const refused = { reason: "forbidden", needs: ["database:read"] };
    const id = await scan(sql, integration, browser.user.id, [
      result("supabase_ssl_enforced", "unknown", refused), result("supabase_auth_email_confirmed", "pass"),
    ]);
    const second = await get(browser, coverageOf(integration.id));
    assert.deepEqual([second.assessment_id, second.missing, second.missing_scopes], [id, 1, ["database:read"]]);
    const of = (check) => second.checks.find((one) => one.id === check);
    assert.partialDeepStrictEqual(of("supabase_ssl_enforced"), {
      status: "missing", missing: ["database:read"], last: { status: "unknown", reason: "forbidden" },
    });
    assert.partialDeepStrictEqual(of("supabase_auth_email_confirmed"), { status: "runnable", missing: [], last: { status: "pass", reason: null } });
    assert.deepEqual(second.remedy, {
      action: "reconnect", method: "POST", path: `/api/integrations/${integration.id}/reconnect`, add_scopes_first: true,
    });
    (await browser.post(second.remedy.path, {})).expect(200);
  });

  it("coverage is rejected for a type without checks, another organization and an unknown id", async () => {
    const { browser, integration } = await owner({ integration_type: "notion" });
    (await browser.get(coverageOf(integration.id))).expect(409, "not_assessable");
    const { integration: foreign } = await owner();
    const [one, none] = [await browser.get(coverageOf(foreign.id)), await browser.get(coverageOf(randomUUID()))];
    one.expect(404, "not_found");
    assert.deepEqual(bare(one), bare(none));
    (await browser.get(coverageOf("x"))).expect(400, "invalid_request");
    (await call(worker, "GET", coverageOf(integration.id))).expect(401, "unauthorized");
  });

  it("a scan is queued once, and its end has counts with their denominator", async () => {
    const { browser, integration } = await owner();
    const queued = (await browser.post(scansOf(integration.id), {})).expect(202).json;
    assert.equal(queued.state, "queued");
    assert.deepEqual((await browser.post(scansOf(integration.id), {})).expect(200).json, queued);
    const waiting = await get(browser, `${RUNS}/${queued.id}`);
    assert.partialDeepStrictEqual(waiting, { state: "queued", outcome: null, results: null, findings: null, requested_by: browser.user.id, checks: [] });

    const claim = await claimScan(sql, queued.id, "supabase");
    assert.equal((await browser.post(scansOf(integration.id), {})).expect(200).json.state, "running");
    await finishScan(sql, claim, [
      result("supabase_ssl_enforced", "fail"), result("supabase_auth_email_confirmed", "pass"),
      result("supabase_advisor", "unknown", { reason: "limited", needs: [] }), result("supabase_backups", "not_applicable", { reason: "plan" }),
    ], { checks: { supabase_few: { incomplete: "truncated" } } });
    const done = await get(browser, `${RUNS}/${queued.id}`);
    assert.partialDeepStrictEqual(done, {
      trigger: "user", state: "done", outcome: "incomplete", reason: "limited", baseline: true, requests: 27,
      results: { total: 4, passed: 1, failed: 1, unknown: 1, not_applicable: 1 },
      findings: { opened: 1, reopened: 0, resolved: 0, unverified: 0, muted: 0 },
    });
    assert.deepEqual(done.checks.map(({ check_id, status, reason }) => [check_id, status, reason]), [
      ["supabase_advisor", "unknown", "limited"], ["supabase_auth_email_confirmed", "pass", null], ["supabase_backups", "not_applicable", "plan"],
      ["supabase_few", "unknown", "truncated"], ["supabase_ssl_enforced", "fail", null],
    ]);
    assert.ok(!JSON.stringify(done).includes(integration.external_account_id));
    (await browser.post(scansOf(integration.id), {})).expect(202);
  });

  it("a scan of what cannot be scanned is rejected", async () => {
    const { browser, integration } = await owner({ integration_type: "notion" });
    (await browser.post(scansOf(integration.id), {})).expect(409, "not_assessable");
    const dead = await addIntegration(sql, browser.user.id, { status: "reconnect_required", status_reason: "invalid_grant" });
    (await browser.post(scansOf(dead.id), {})).expect(409, "reconnect_required");
    const { integration: foreign } = await owner();
    const [one, none] = [await browser.post(scansOf(foreign.id), {}), await browser.post(scansOf(randomUUID()), {})];
    one.expect(404, "not_found");
    assert.deepEqual(bare(one), bare(none));
    for (const body of [[], null, { force: true }, "x"]) (await browser.post(scansOf(integration.id), body)).expect(400, "invalid_request");
    (await browser.post(scansOf("x"), {})).expect(400, "invalid_request");
    (await browser.get(scansOf(foreign.id))).expect(405, "method_not_allowed");
    const elsewhere = { cookie: cookiesOf(browser), origin: "https://evil.example", "content-type": "application/json" };
    (await call(worker, "POST", scansOf(integration.id), { headers: elsewhere, body: "{}" })).expect(403, "forbidden");
    const { length } = await sql`select from public.assessments where organization_id in ${sql([browser.user.id, foreign.organization_id])}`;
    assert.equal(length, 0);
  });

  it("a user starts at most twenty scans in an hour", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const rows = await Promise.all(Array.from({ length: 21 }, () => addIntegration(sql, browser.user.id)));
    for (const { id } of rows.slice(0, 20)) (await browser.post(scansOf(id), {})).expect(202);
    const refused = (await browser.post(scansOf(rows[20].id), {})).expect(429, "too_many_scans");
    const seconds = Number(refused.headers.get("retry-after"));
    assert.ok(seconds > 0 && seconds <= 3600, `${seconds}`);
    assert.equal((await browser.post(scansOf(rows[0].id), {})).status, 200, "the one that has not ended is named all the same");
  });

  it("a scan that did not run is recorded with the reason", async () => {
    const { browser, integration } = await owner();
    await sql`select private.record_not_run(i, now(), 'invalid_grant') from public.integrations i where id = ${integration.id}`;
    const { assessments: [gap] } = await get(browser, `${RUNS}?integration_id=${integration.id}`);
    assert.partialDeepStrictEqual(gap, {
      trigger: "schedule", state: "done", outcome: "not_run", reason: "invalid_grant", results: null, started_at: null, requested_by: null,
    });
    assert.ok(gap.slot);
  });

  it("runs come in pages, the newest first, of the organization or of one integration, and stay after it is gone", async () => {
    const { browser, integration } = await owner();
    const other = await addIntegration(sql, browser.user.id);
    const ids = [];
    for (let i = 0; i < 5; i++) ids.unshift(await scan(sql, i === 2 ? other : integration, browser.user.id, [result("supabase_ssl_enforced", "pass")]));
    const seen = [];
    let cursor = "";
    for (const expected of [2, 2, 1]) {
      const page = await get(browser, `${RUNS}?limit=2${cursor}`);
      assert.equal(page.assessments.length, expected);
      assert.equal(page.next_cursor === null, expected === 1);
      seen.push(...page.assessments.map(({ id }) => id));
      cursor = `&cursor=${page.next_cursor}`;
    }
    assert.deepEqual(seen, ids);
    const exact = await get(browser, `${RUNS}?limit=5`);
    assert.deepEqual([exact.assessments.length, exact.next_cursor], [5, null]);
    const one = async () => (await get(browser, `${RUNS}?integration_id=${integration.id}`)).assessments.map(({ id }) => id);
    const own = ids.filter((_, i) => i !== 2);
    assert.deepEqual(await one(), own);
    (await browser.delete(`/api/integrations/${integration.id}`)).expect(200);
    assert.deepEqual(await one(), own);
    assert.equal((await get(browser, `${RUNS}/${own[0]}`)).id, own[0]);
  });

  it("runs are every member's, and no stranger's", async () => {
    const [one, other, stranger] = await Promise.all([1, 2, 3].map(() => BrowserSession.signedIn(worker)));
    const organization = await createOrganization(sql, [one.user, other.user]);
    const integration = await addIntegration(sql, organization);
    const id = await scan(sql, integration, one.user.id, [result("supabase_ssl_enforced", "pass")]);
    for (const query of [`organization_id=${organization}`, `integration_id=${integration.id}`]) {
      assert.equal((await get(other, `${RUNS}?${query}`)).assessments.length, 1);
      assert.deepEqual(await get(stranger, `${RUNS}?${query}`), { assessments: [], next_cursor: null });
    }
    assert.deepEqual((await get(other, RUNS)).assessments, [], "the personal organization's");
    const [foreign, none] = [await stranger.get(`${RUNS}/${id}`), await stranger.get(`${RUNS}/${randomUUID()}`)];
    foreign.expect(404, "not_found");
    assert.deepEqual(bare(foreign), bare(none));
    (await call(worker, "GET", RUNS)).expect(401, "unauthorized");
    (await call(worker, "GET", RUNS, { headers: bearer(info.publishable_key) })).expect(401, "unauthorized");
  });

  // Threat model 24.
  it("invalid queries of runs are answered 400", async () => {
    const { browser, integration } = await owner();
    for (const query of [
      "limit=0", "limit=201", "limit=1e2", "limit=1&limit=1", "cursor=x", "cursor=1", `cursor=1.${randomUUID()}x`, "cursor=1.2.3", "offset=1", "select=*",
      "organization_id=x", "integration_id=", `integration_id=${integration.id}%26or=(id.gt.0)`, "order=id", `cursor=${"9".repeat(10_000)}`,
    ]) {
      (await browser.get(`${RUNS}?${query}`)).expect(400, "invalid_request");
    }
    (await browser.get(`${RUNS}/x`)).expect(400, "invalid_request");
    (await browser.post(RUNS, {})).expect(405, "method_not_allowed");
  });
});
