// What the scanner makes of answers that are none, of credentials that are no longer good, and of integrations that change under it. In no case
// is anything passed or resolved that was not seen.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { describe, it } from "node:test";

import { seal } from "../format/format.mjs";
import { answer, drop, first, flood, held, never, redirect } from "../support/faults.mjs";
import { checksOf, findingsOf, insertScannable, makeDue, queueRun, runOf, scan, scanFixture, tls } from "../support/scanner.mjs";

const SSL = "supabase_ssl_enforced";
/** A provider that fails is asked five times (checks/src/run.rs). */
const TRIES = 5;

describe("the scanner", () => {
  const fixture = scanFixture("scan-faults");
  const sslOf = ({ account }) => `/v1/projects/${account}/ssl-enforcement`;
  const claimOf = async (run) => (await fixture.sql`select * from private.scan_claims where assessment_id = ${run}`)[0];
  /** An integration with an open finding, and how that stands later. */
  const withFinding = async (options) => {
    const integration = await insertScannable(fixture, options);
    const restore = fixture.server.fault(sslOf(integration), tls(false));
    await scan(fixture, integration);
    restore();
    return integration;
  };
  const standing = async (integration) => {
    const [{ state, unverified_reason }] = (await findingsOf(fixture, integration))[SSL];
    return [state, unverified_reason];
  };

  for (const [name, behaviour, reason] of [
    ["403", answer(403, { message: "Forbidden resource" }), "forbidden"],
    ["404", answer(404, { message: "Not found" }), "hidden"],
    ["HTML", answer(200, "<html>welcome</html>", { "content-type": "text/html" }), "bad_answer"],
    ["half a JSON text", answer(200, '{"currentConfig": {"database": tr', { "content-type": "application/json" }), "bad_answer"],
    ["another shape", answer(200, { currentConfig: "yes" }), "absent"],
    ["an error with status 200", answer(200, { error: "internal" }), "absent"],
    ["more than the bound", flood(6 * 1024 * 1024), "too_large"],
    ["a redirect elsewhere", (exchange) => redirect(`${fixture.server.url}/elsewhere`)(exchange), "bad_answer"],
  ]) {
    // threat model 301
    it(`the scanner leaves a finding unverified when the answer is ${name}`, async () => {
      const integration = await withFinding();
      const restore = fixture.server.fault(sslOf(integration), behaviour);
      const run = await scan(fixture, integration);
      restore();
      assert.deepEqual(await standing(integration), ["open", reason]);
      const check = (await checksOf(fixture, run))[SSL];
      assert.deepEqual([run.outcome, check.status, check.reason, check.complete], ["incomplete", "unknown", reason, false]);
      assert.equal(run.resolved, 0);
      assert.equal(fixture.server.count(/elsewhere/), 0);
    });
  }

  it("the scanner asks a provider that fails or breaks off again, later, and not for ever", async () => {
    const failing = [];
    for (const behaviour of [answer(500, "planted failure"), drop()]) {
      const integration = await withFinding();
      const restore = fixture.server.fault(sslOf(integration), behaviour);
      failing.push({ integration, restore, asked: fixture.server.count(sslOf(integration)) });
    }
    for (const each of failing) each.run = await queueRun(fixture, each.integration);
    const asked = () => failing.map(({ integration, asked }) => fixture.server.count(sslOf(integration)) - asked);
    for (let tries = 1; tries < TRIES; tries++) {
      await fixture.scanner.scheduled();
      const claims = await Promise.all(failing.map(({ run }) => claimOf(run)));
      for (const { owner, due_at } of claims) assert.ok(owner === null && due_at > Date.now(), "nobody waits in an invocation");
      assert.deepEqual(asked(), [tries, tries]);
      await fixture.scanner.scheduled();
      assert.deepEqual(asked(), [tries, tries], "not before its time");
      await delay(Math.max(...claims.map(({ due_at }) => due_at - Date.now())) + 10);
    }
    await fixture.scanner.scheduled();
    for (const { integration, restore, run } of failing) {
      restore();
      assert.deepEqual(await standing(integration), ["open", "provider_failed"]);
      assert.equal((await runOf(fixture, run)).outcome, "incomplete");
    }
  });

  it("the scanner gives a slow answer its time and no more", async () => {
    const integration = await withFinding();
    const restore = fixture.server.fault(sslOf(integration), never());
    const begun = Date.now();
    const run = await queueRun(fixture, integration);
    await fixture.scanner.scheduled();
    restore();
    assert.ok(Date.now() - begun < 30_000);
    const claim = await claimOf(run);
    assert.equal(claim.owner, null);
    await delay(Math.max(0, claim.due_at - Date.now()));
    await fixture.scanner.scheduled();
    assert.equal((await runOf(fixture, run)).outcome, "complete");
  });

  it("the scanner keeps where it was when the provider asks to wait in the middle of a list, and goes on from there", async () => {
    const integration = await insertScannable(fixture, { type: "gitlab" });
    const page = (number, next) => answer(200, [{ id: 7, name: `page ${number}` }].slice(number - 1), next && {
      link: `<https://gitlab.com/api/v4/groups?owned=true&top_level_only=true&per_page=100&page=${number + 1}>; rel="next"`,
    });
    const GROUPS = /^GET \/api\/v4\/groups\?/;
    let limited = true;
    const asked = [];
    const restore = fixture.server.fault(GROUPS, (exchange) => {
      const number = Number(new URL(exchange.request.path, "http://x").searchParams.get("page") ?? 1);
      asked.push(number);
      if (number === 2 && limited) return answer(429, { message: "slow down" }, { "retry-after": "3" })(exchange);
      return page(number, number < 3)(exchange);
    });
    const run = await queueRun(fixture, integration);
    const begun = Date.now();
    await fixture.scanner.scheduled();
    assert.ok(Date.now() - begun < 3000, "it did not wait");
    const claim = await claimOf(run);
    assert.ok(claim.due_at - begun > 2000 && claim.due_at - begun < 6000, `not before ${claim.due_at - begun} ms`);
    const [pause] = await fixture.sql`select until from private.integration_pauses where integration_id = ${integration.id} and endpoint = 'api'`;
    assert.deepEqual(pause.until, claim.due_at, "the worker's checks of this account wait as well");
    await fixture.scanner.scheduled();
    assert.deepEqual(asked, [1, 2]);
    limited = false;
    await delay(Math.max(0, claim.due_at - Date.now() + 50));
    await fixture.scanner.scheduled();
    restore();
    assert.deepEqual(asked, [1, 2, 2, 3], "page 1 was not asked again");
    assert.equal((await runOf(fixture, run)).outcome, "complete");
  });

  it("the scanner keeps each result once when a list changes between two pages", async () => {
    const integration = await insertScannable(fixture, { type: "gitlab" });
    const hook = (id) => ({ id, url: "http://plain.example", enable_ssl_verification: false });
    const path = /^GET \/api\/v4\/projects\/70\/hooks/;
    const restore = fixture.server.fault(path, (exchange) => {
      const second = exchange.request.path.includes("page=2");
      const link = `<https://gitlab.com/api/v4/projects/70/hooks?per_page=100&page=2>; rel="next"`;
      return answer(200, second ? [hook(2), hook(3)] : [hook(1), hook(2)], second ? {} : { link })(exchange);
    });
    const run = await scan(fixture, integration);
    restore();
    const hooks = Object.entries(await findingsOf(fixture, integration)).filter(([check]) => check.includes("hook"));
    assert.ok(hooks.length > 0);
    for (const [check, findings] of hooks) {
      assert.equal(new Set(findings.map(({ resource_id, item }) => resource_id + item)).size, findings.length, check);
      assert.ok(findings.length === 3, `${check}: ${findings.length}`);
    }
    assert.equal(run.state, "done");
  });

  it("the scanner reads the credential once more after a 401, and goes on with the one that was stored meanwhile", async () => {
    const integration = await withFinding();
    const { account, id, organization_id } = integration;
    // What the worker stores when it refreshes: the same account, another token, sealed for the same row.
    const key = Buffer.from(fixture.info.encryption_key, "base64");
    const plain = { access_token: "token-fresh", project_id: account };
    const fresh = seal(key, { organization_id, integration_id: id }, plain, () => randomBytes(12));
    let stored = false;
    const restore = fixture.server.fault(sslOf(integration), async (exchange) => {
      if (exchange.request.headers.authorization === "Bearer token-fresh") return tls(true)(exchange);
      if (!stored) await fixture.sql`update public.integrations set config = ${fixture.sql.json(fresh)} where id = ${id}`;
      stored = true;
      return answer(401, { message: "Unauthorized" })(exchange);
    });
    const run = await scan(fixture, integration);
    restore();
    assert.deepEqual([run.outcome, run.resolved], ["complete", 1]);
    const opened = await fixture.sql`select from public.credential_events where integration_id = ${id} and action = 'opened' and reason = 'scan'`;
    assert.equal(opened.length, 3, "the first run's, this one's, and once more");
  });

  it("the scanner ends incomplete when the credential is rejected twice, and leaves the verdict to the worker", async () => {
    const integration = await withFinding();
    const restore = fixture.server.fault(sslOf(integration), answer(401, { message: "Unauthorized" }));
    const asked = fixture.server.count(sslOf(integration));
    const run = await scan(fixture, integration);
    restore();
    assert.deepEqual([run.outcome, run.reason, run.resolved], ["incomplete", "unauthorized", 0]);
    assert.equal(fixture.server.count(sslOf(integration)), asked + 2);
    assert.deepEqual(await standing(integration), ["open", "unauthorized"]);
    const [{ status }] = await fixture.sql`select status from public.integrations where id = ${integration.id}`;
    assert.equal(status, "active");
  });

  it("the scanner postpones a run whose token ends soon", async () => {
    const integration = await insertScannable(fixture, { plain: { expires_at: new Date(Date.now() + 60_000).toISOString() } });
    const run = await queueRun(fixture, integration);
    await fixture.scanner.scheduled();
    const claim = await claimOf(run);
    assert.ok(claim.due_at - Date.now() > 40_000 && claim.owner === null);
    assert.equal(fixture.server.count((request) => request.path.includes(integration.account)), 0);
  });

  it("the scanner says of a project that is gone that nothing can be seen, and of a paused one that nothing applies", async () => {
    const integration = await withFinding();
    let restore = fixture.server.fault(({ path }) => path.includes(integration.account), answer(404, { message: "Project not found" }));
    const gone = await scan(fixture, integration);
    restore();
    assert.deepEqual([gone.outcome, gone.passed, gone.resolved], ["incomplete", 0, 0]);
    assert.deepEqual(await standing(integration), ["open", "hidden"]);
    restore = fixture.server.fault(new RegExp(`^GET /v1/projects/${integration.account}$`), answer(200, {
      id: integration.account, ref: integration.account, name: "n", status: "INACTIVE", organization_slug: "acme",
    }));
    const paused = await scan(fixture, integration);
    restore();
    assert.deepEqual([paused.resolved, paused.opened], [0, 0]);
    assert.equal((await checksOf(fixture, paused))[SSL].reason, "paused");
    assert.equal((await standing(integration))[0], "open");
  });

  it("the scanner ends a run whose credential does not open, and says which in the log", async () => {
    const integration = await withFinding();
    await fixture.sql`update public.integrations set config = config || '{"access_token": "a.b.c"}' where id = ${integration.id}`;
    const run = await scan(fixture, integration);
    assert.deepEqual([run.outcome, run.reason, run.requests, run.resolved], ["incomplete", "unreadable", 0, 0]);
    assert.deepEqual(await standing(integration), ["open", "unreadable"]);
    await fixture.scanner.logged(new RegExp(`not scanned: integrations ${integration.id} /access_token`));
  });

  it("the scanner leaves a run to another scanner while it lacks the key, changes no finding, and says so in the log", async () => {
    const integration = await withFinding();
    const { account, id, organization_id } = integration;
    const key = Buffer.from(fixture.info.encryption_key, "base64");
    const sealedWith = (key) => seal(key, { organization_id, integration_id: id }, { access_token: "token-again", project_id: account }, () => randomBytes(12));
    const store = (config) => fixture.sql`update public.integrations set config = ${fixture.sql.json(config)} where id = ${id}`;
    await store(sealedWith(randomBytes(32)));
    const run = await queueRun(fixture, integration);
    await fixture.scanner.scheduled();
    const claim = await claimOf(run);
    assert.ok(claim.owner === null && claim.due_at - Date.now() > 500_000, "it waits");
    assert.deepEqual(await standing(integration), ["open", null]);
    assert.equal(fixture.server.count(sslOf(integration)), 1, "only the first run has asked");
    await fixture.scanner.logged(new RegExp(`the key is missing: integrations ${id} .*unknown-key`));
    await store(sealedWith(key));
    await makeDue(fixture, run);
    const restore = fixture.server.fault(sslOf(integration), tls(true));
    await fixture.scanner.scheduled();
    restore();
    assert.deepEqual([(await runOf(fixture, run)).outcome, (await runOf(fixture, run)).resolved], ["complete", 1]);
  });

  it("the scanner stops when the integration is deleted under it", async () => {
    const integration = await withFinding();
    const hold = held();
    const restore = fixture.server.fault(sslOf(integration), hold.behaviour);
    const run = await queueRun(fixture, integration);
    const scanning = fixture.scanner.scheduled();
    await hold.arrived;
    await fixture.sql`delete from public.integrations where id = ${integration.id}`;
    hold.release();
    await scanning;
    restore();
    const ended = await runOf(fixture, run);
    assert.deepEqual([ended.outcome, ended.reason, ended.resolved], ["incomplete", "disconnected", null]);
    const [{ state, ended_as }] = (await findingsOf(fixture, integration))[SSL];
    assert.deepEqual([state, ended_as], ["archived", "disconnected"]);
  });

  // threat model 302
  it("the scanner sends a credential to no other host than the entry's", async () => {
    const integration = await insertScannable(fixture, { type: "gitlab" });
    const link = (url) => answer(200, [{ id: 7, name: "g" }], { link: `<${url}>; rel="next"` });
    for (const url of ["https://evil.example/api/v4/groups", "http://gitlab.com/api/v4/groups", "https://gitlab.com.evil.example/"]) {
      const restore = fixture.server.fault(/^GET \/api\/v4\/groups\?owned/, link(url));
      const run = await scan(fixture, integration);
      restore();
      assert.equal(run.outcome, "incomplete", url);
      assert.equal(run.reason, "truncated", url);
    }
  });

  it("the scanner repeats what the database did not answer, and counts it once", async () => {
    const integration = await insertScannable(fixture);
    const restore = fixture.server.fault(sslOf(integration), tls(false));
    fixture.once(/readonly$/, answer(429, {}, { "retry-after": "1" }));
    for (const call of ["save_scan_position", "finish_scan_run"]) {
      fixture.gateway.fault(`/rest/v1/rpc/${call}`, first(1, async ({ pass }) => pass({ truncate: true })));
    }
    const run = await queueRun(fixture, integration);
    await fixture.scanner.scheduled();
    await delay(1100);
    await makeDue(fixture, run);
    await fixture.scanner.scheduled();
    restore();
    const ended = await runOf(fixture, run);
    assert.equal(ended.outcome, "complete");
    const reads = fixture.server.requests.filter(({ path }) => path.includes(integration.account) || path.includes("/organizations/acme/members")).length;
    assert.ok(ended.requests <= reads, `${ended.requests} counted, ${reads} made`);
    assert.equal((await findingsOf(fixture, integration))[SSL].length, 1);
    const events = await fixture.sql`select from public.finding_events e join public.findings f on f.id = e.finding_id where f.integration_id = ${integration.id} and f.check_id = ${SSL}`;
    assert.equal(events.length, 1);
  });
});
