// Findings as the API lists and shows them, their history, and their mutes.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { call, cookiesOf } from "../support/caller.mjs";
import { addIntegration, result, scan } from "../support/scans.mjs";
import { createOrganization } from "../support/users.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const FINDINGS = "/api/findings";
const MUTES = "/api/mutes";
const [TLS, MAIL] = ["supabase_ssl_enforced", "supabase_auth_email_confirmed"];
const HOSTILE = ["=cmd|'/c calc'!A0", "<script>alert(1)</script>", "\u202egnp.exe", "a\r\nb: c", "'; drop table findings --", "&select=*", "日本語", "{}"];
const inDays = (days) => new Date(Date.now() + days * 86_400_000).toISOString();
const bare = ({ status, text, headers }) => ({
  status, text, headers: [...headers].filter(([name]) => !["x-request-id", "date"].includes(name)),
});

describe("findings and mutes", { concurrency: true }, () => {
  const fixture = workerFixture();
  let sql, worker;
  before(() => void ({ sql, worker } = fixture));

  const get = async (browser, path) => (await browser.get(path)).expect(200).json;
  const listed = (browser, query = "") => get(browser, `${FINDINGS}?${query}`);
  const about = (finding) => [finding.check_id, finding.resource.id];
  /** A user with a scan of these results. */
  async function found(results, options) {
    const browser = await BrowserSession.signedIn(worker);
    const integration = await addIntegration(sql, browser.user.id);
    const again = (next) => scan(sql, integration, browser.user.id, next, options);
    await again(results);
    return { browser, integration, again };
  }
  const at = (id, severity = "high") => ({ resource: { type: "project", id }, severity });
  const muteOf = (over = {}) => ({ check_id: TLS, reason: "accepted_risk", note: "we know of it", expires_at: inDays(30), ...over });

  it("the list of findings has the most severe first, and what each is about", async () => {
    const { browser, integration } = await found([
      result(TLS, "fail", at("low", "low")), result(MAIL, "fail", at("worst", "critical")), result(TLS, "fail", { ...at("high"), resource_name: "Name", item: "i" }),
      result(TLS, "pass", at("fine")), result(MAIL, "unknown", { ...at("unseen"), reason: "absent" }),
    ]);
    const { findings, next_cursor } = await listed(browser);
    assert.deepEqual([findings.map(about), next_cursor], [[[MAIL, "worst"], [TLS, "high"], [TLS, "low"]], null]);
    assert.deepEqual(Object.keys(findings[0]), [
      "id", "organization_id", "integration_id", "integration_type", "check_id", "check_version", "title", "severity", "state", "ended_as", "resource",
      "item", "muted_until", "unverified_since", "unverified_reason", "reopened", "first_seen_at", "opened_at", "ended_at",
    ]);
    assert.partialDeepStrictEqual(findings[1], {
      organization_id: browser.user.id, integration_id: integration.id, integration_type: "supabase", severity: "high", state: "open", reopened: 0,
      resource: { type: "project", id: "high", name: "Name" }, item: "i", muted_until: null, unverified_since: null,
    });
    assert.match(findings[1].title, /TLS/);
  });

  it("each filter of findings lets through what it says, and filters combine", async () => {
    const { browser, integration, again } = await found([
      result(TLS, "fail", at("a", "critical")), result(TLS, "fail", at("b", "low")), result(MAIL, "fail", at("c", "low")), result(TLS, "fail", at("d", "medium")),
    ]);
    await again([result(TLS, "fail", at("a", "critical")), result(TLS, "fail", at("b", "low")), result(MAIL, "fail", at("c", "low")), result(TLS, "pass", at("d"))]);
    const gitlab = await addIntegration(sql, browser.user.id, { integration_type: "gitlab" });
    await scan(sql, gitlab, browser.user.id, [result("gitlab_group_forks", "fail", at("g", "info"))]);
    (await browser.post(MUTES, muteOf({ integration_id: integration.id, resource_id: "b" }))).expect(201);
    for (const [query, expected] of [
      ["", ["a", "b", "c", "g"]], ["severity=low", ["b", "c"]], ["severity=high", []], ["severity=critical", ["a"]], ["severity=info", ["g"]],
      [`check_id=${TLS}`, ["a", "b"]], ["integration_type=gitlab", ["g"]], [`integration_id=${integration.id}`, ["a", "b", "c"]],
      [`organization_id=${browser.user.id}&integration_id=${gitlab.id}`, ["g"]], ["muted=true", ["b"]], ["muted=true&severity=low", ["b"]],
      ["muted=true&severity=critical", []], [`muted=true&integration_id=${integration.id}`, ["b"]], [`muted=true&check_id=${MAIL}`, []], ["muted=true&state=resolved", []],
      ["muted=false", ["a", "c", "g"]],
      ["state=resolved", ["d"]], ["state=archived", []], [`muted=false&severity=low&check_id=${MAIL}&integration_type=supabase`, ["c"]],
      [`organization_id=${randomUUID()}`, []], [`integration_id=${randomUUID()}`, []],
    ]) {
      assert.deepEqual((await listed(browser, query)).findings.map(({ resource }) => resource.id).sort(), expected, query);
    }
    (await browser.delete(`/api/integrations/${gitlab.id}`)).expect(200);
    const { findings: [gone] } = await listed(browser, "state=archived");
    assert.partialDeepStrictEqual(gone, { resource: { id: "g" }, ended_as: "disconnected" });
  });

  it("pages of findings neither repeat nor leave out, within a severity too", async () => {
    const severities = ["critical", "high", "medium", "low", "info"];
    const { browser } = await found(Array.from({ length: 120 }, (_, i) => result(TLS, "fail", at(`r-${i}`, severities[i % 5]))));
    for (const [filter, sizes] of [["", [50, 50, 20]], ["&severity=medium&limit=10", [10, 10, 4]], ["&limit=120", [120]]]) {
      const ids = [];
      let cursor = "";
      for (const size of sizes) {
        const page = await listed(browser, `muted=false${filter}${cursor}`);
        assert.equal(page.findings.length, size);
        ids.push(...page.findings.map(({ id }) => id));
        cursor = `&cursor=${page.next_cursor}`;
      }
      assert.equal(cursor, "&cursor=null");
      assert.equal(new Set(ids).size, ids.length);
    }
  });

  it("a finding has its evidence, its remediation, its history, and the mutes that cover it", async () => {
    const { browser, integration, again } = await found([result(TLS, "fail")]);
    await again([result(TLS, "unknown", { reason: "forbidden", needs: ["database:read"] })]);
    const unverified = (await listed(browser)).findings[0];
    assert.ok(unverified.unverified_since);
    assert.equal(unverified.unverified_reason, "forbidden");
    await again([result(TLS, "fail", { evidence: { "/enabled": false, "/count": 12345678901234567890n.toString() } })]);
    await again([result(TLS, "pass")]);
    await again([result(TLS, "fail")]);
    const { mutes: none, ...first } = await get(browser, `${FINDINGS}/${unverified.id}`);
    assert.deepEqual(none, []);
    assert.partialDeepStrictEqual(first, { state: "open", reopened: 1, evidence: { "/enabled": false }, check_id: TLS });
    const { checks } = (await call(worker, "GET", "/api/checks?integration_type=supabase")).json;
    const { why, remediation, maps } = checks.find(({ id }) => id === TLS);
    assert.deepEqual({ why: first.why, remediation: first.remediation, maps: first.maps }, { why, remediation, maps });

    const mute = (await browser.post(MUTES, muteOf({ integration_id: integration.id }))).expect(201).json;
    await browser.post(MUTES, muteOf({ integration_id: integration.id, resource_id: "another" }));
    await browser.post(MUTES, muteOf({ check_id: MAIL }));
    const muted = await get(browser, `${FINDINGS}/${unverified.id}`);
    assert.deepEqual(muted.mutes.map(({ id }) => id), [mute.id]);
    assert.equal(Date.parse(muted.muted_until), Date.parse(mute.expires_at));

    const { events, next_cursor } = await get(browser, `${FINDINGS}/${unverified.id}/events`);
    assert.deepEqual([events.map(({ action, cause }) => [action, cause]), next_cursor], [[
      ["reopened", "configuration"], ["resolved", "configuration"], ["verified", "permission"], ["unverified", "permission"], ["opened", null],
    ], null]);
    const page = await get(browser, `${FINDINGS}/${unverified.id}/events?limit=2`);
    const rest = await get(browser, `${FINDINGS}/${unverified.id}/events?cursor=${page.next_cursor}`);
    assert.deepEqual([...page.events, ...rest.events], events);
  });

  it("a finding passes on a provider's text as it is, as JSON", async () => {
    const { browser } = await found(HOSTILE.map((text, i) => result(TLS, "fail", { ...at(`${text} ${i}`), resource_name: text, item: text, evidence: { "/text": text } })));
    const answer = (await browser.get(FINDINGS)).expect(200);
    assert.match(answer.headers.get("content-type"), /^application\/json/);
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
    assert.deepEqual(answer.json.findings.map(({ item }) => item).sort(), HOSTILE.toSorted());
    for (const { id, item } of answer.json.findings) {
      assert.equal((await get(browser, `${FINDINGS}/${id}`)).evidence["/text"], item);
      const body = muteOf({ integration_id: answer.json.findings[0].integration_id, resource_id: item, item, note: `${item} note` });
      const mute = (await browser.post(MUTES, body)).expect(201).json;
      assert.deepEqual([mute.resource_id, mute.item, mute.note], [item, item, `${item} note`.trim()]);
    }
  });

  it("a finding of a check that is not in the catalogue is shown without texts", async () => {
    const { browser } = await found([result("supabase_of_tomorrow", "fail")]);
    const { findings: [finding] } = await listed(browser);
    assert.equal(finding.title, null);
    assert.partialDeepStrictEqual(await get(browser, `${FINDINGS}/${finding.id}`), { why: null, remediation: null, maps: null });
  });

  it("a mute holds at once and ends at once; the list says which match nothing", async () => {
    const { browser, integration } = await found([result(TLS, "fail", at("a")), result(TLS, "fail", at("b"))]);
    const open = async (query) => (await listed(browser, query)).findings.map(({ resource }) => resource.id).sort();
    const one = (await browser.post(MUTES, muteOf({ integration_id: integration.id, resource_id: "a" }))).expect(201).json;
    assert.partialDeepStrictEqual(one, {
      organization_id: browser.user.id, check_id: TLS, resource_id: "a", item: null, reason: "accepted_risk", note: "we know of it",
      created_by: browser.user.id, ended_at: null,
    });
    assert.deepEqual([await open("muted=true"), await open("muted=false")], [["a"], ["b"]]);
    const useless = (await browser.post(MUTES, muteOf({ check_id: MAIL, expires_at: "2027-03-01T12:00:00+02:00" }))).expect(201).json;
    assert.equal(Date.parse(useless.expires_at), Date.parse("2027-03-01T10:00:00Z"));
    const mutes = async (query = "") => (await get(browser, `${MUTES}?${query}`)).mutes.map(({ id, active, matches }) => [id, active, matches]);
    assert.deepEqual(await mutes(), [[useless.id, true, false], [one.id, true, true]]);

    assert.deepEqual((await browser.delete(`${MUTES}/${one.id}`)).expect(200).json, { success: true });
    assert.deepEqual(await open("muted=true"), []);
    (await browser.delete(`${MUTES}/${one.id}`)).expect(200);
    assert.deepEqual([await mutes("active=true"), await mutes("active=false")], [[[useless.id, true, false]], [[one.id, false, true]]]);
    const { mutes: [, ended] } = await get(browser, MUTES);
    assert.equal(ended.ended_by, browser.user.id);
    assert.match(ended.title, /TLS/);
    const first = await get(browser, `${MUTES}?limit=1`);
    const second = await get(browser, `${MUTES}?limit=1&cursor=${first.next_cursor}`);
    assert.deepEqual([first.mutes[0].id, second.mutes[0].id, second.next_cursor], [useless.id, one.id, null]);
  });

  // Threat model 30.
  it("an invalid mute is answered 400, and nothing is muted", async () => {
    const { browser, integration } = await found([result(TLS, "fail")]);
    const { expires_at, ...endless } = muteOf();
    for (const body of [
      {}, [], null, endless, muteOf({ check_id: "supabase_planted" }), muteOf({ check_id: "" }), muteOf({ reason: "planted" }), muteOf({ reason: null }),
      muteOf({ note: "no" }), muteOf({ note: "   a   " }), muteOf({ note: "x".repeat(501) }), muteOf({ expires_at: inDays(-1) }), muteOf({ expires_at: inDays(367) }),
      muteOf({ expires_at: "tomorrow" }), muteOf({ expires_at: "0000-01-01T00:00:00Z" }), muteOf({ expires_at: "9999-12-31T23:59:59-23:59" }), muteOf({ expires_at: "2027-02-30T00:00:00Z" }), muteOf({ expires_at: 5 }), muteOf({ resource_id: "a" }),
      muteOf({ integration_id: integration.id, item: "a" }), muteOf({ integration_id: integration.id, resource_id: "" }),
      muteOf({ integration_id: integration.id, resource_id: "x".repeat(1001) }), muteOf({ integration_id: "x" }), muteOf({ organization_id: "x" }),
      muteOf({ created_by: browser.user.id }), muteOf({ note: "a\u0000b" }), muteOf({ integration_id: integration.id, resource_id: "a", item: "x".repeat(301) }),
    ]) {
      (await browser.post(MUTES, body)).expect(400, "invalid_request");
    }
    for (const query of ["active=yes", "limit=0", "cursor=x", "organization_id=x", "check_id=a", "active=true&active=true"]) {
      (await browser.get(`${MUTES}?${query}`)).expect(400, "invalid_request");
    }
    (await browser.delete(`${MUTES}/x`)).expect(400, "invalid_request");
    assert.deepEqual((await get(browser, MUTES)).mutes, []);
    const elsewhere = { cookie: cookiesOf(browser), origin: "https://evil.example", "content-type": "application/json" };
    (await call(worker, "POST", MUTES, { headers: elsewhere, body: JSON.stringify(muteOf()) })).expect(403, "forbidden");
    assert.equal((await listed(browser, "muted=true")).findings.length, 0);
  });

  it("an organization has a thousand mutes at a time", async () => {
    const browser = await BrowserSession.signedIn(worker);
    await sql`
      insert into public.finding_mutes (organization_id, check_id, reason, note, created_by, expires_at)
      select ${browser.user.id}, ${TLS}, 'wont_fix', 'note', ${browser.user.id}, now() + interval '1 day' from generate_series(1, 1000)`;
    (await browser.post(MUTES, muteOf())).expect(429, "too_many_mutes");
  });

  // Threat model 16.
  it("findings and mutes are every member's, and no stranger's", async () => {
    const [one, other, stranger] = await Promise.all([1, 2, 3].map(() => BrowserSession.signedIn(worker)));
    const organization_id = await createOrganization(sql, [one.user, other.user]);
    const integration = await addIntegration(sql, organization_id);
    await scan(sql, integration, one.user.id, [result(TLS, "fail")]);
    const { findings: [finding] } = await listed(other, `organization_id=${organization_id}`);
    const mute = (await other.post(MUTES, muteOf({ organization_id }))).expect(201).json;
    for (const query of [`organization_id=${organization_id}`, `integration_id=${integration.id}`]) {
      assert.deepEqual(await listed(stranger, query), { findings: [], next_cursor: null });
    }
    assert.deepEqual(await get(stranger, `${MUTES}?organization_id=${organization_id}`), { mutes: [], next_cursor: null });
    (await stranger.post(MUTES, muteOf({ organization_id }))).expect(403, "not_a_member");
    for (const ask of [
      (id) => stranger.get(`${FINDINGS}/${id}`), (id) => stranger.get(`${FINDINGS}/${id}/events`), (id) => stranger.delete(`${MUTES}/${id}`),
      (id) => stranger.post(MUTES, muteOf({ integration_id: id })),
    ]) {
      const none = (await ask(randomUUID())).expect(404, "not_found");
      for (const id of [finding.id, mute.id, integration.id]) assert.deepEqual(bare(await ask(id)), bare(none));
    }
    assert.equal((await get(one, `${MUTES}?organization_id=${organization_id}`)).mutes[0].active, true);
    await sql`delete from public.organization_members where user_id = ${other.user.id}`;
    (await other.get(`${FINDINGS}/${finding.id}`)).expect(404, "not_found");
    (await other.delete(`${MUTES}/${mute.id}`)).expect(404, "not_found");
    (await call(worker, "GET", FINDINGS)).expect(401, "unauthorized");
  });

  // Threat model 24.
  it("invalid queries of findings are answered 400", async () => {
    const browser = await BrowserSession.signedIn(worker);
    for (const query of [
      "state=all", "state=", "severity=1", "severity=HIGH", "muted=maybe", "check_id=a.b", "check_id=", `check_id=${"a".repeat(101)}`, "integration_type=a,b",
      "limit=0", "limit=201", "cursor=1", "cursor=", `cursor=${encodeURIComponent("1)&or=(id.gt.0")}`, "select=*", "order=id", "offset=1", "state=open&state=open",
      "organization_id=x", "integration_id=x", "unverified=true",
    ]) {
      (await browser.get(`${FINDINGS}?${query}`)).expect(400, "invalid_request");
    }
    const id = randomUUID();
    for (const path of [`${FINDINGS}/x`, `${FINDINGS}/x/events`, `${FINDINGS}/${id}/events?cursor=x`, `${FINDINGS}/${id}/events?limit=0`]) {
      (await browser.get(path)).expect(400, "invalid_request");
    }
    (await browser.post(FINDINGS, {})).expect(405, "method_not_allowed");
  });
});
