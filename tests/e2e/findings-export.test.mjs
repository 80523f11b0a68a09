// Exports: each format by its published schema, with passes and unknowns, whatever text is in them. `ajv` reads the schemas, which are the
// ones that the crate's own tests use.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { before, describe, it } from "node:test";

import Ajv from "ajv";
import Ajv2020 from "ajv/dist/2020.js";

import { BrowserSession } from "../support/browser-session.mjs";
import { call } from "../support/caller.mjs";
import { addIntegration, result, scan } from "../support/scans.mjs";
import { createOrganization } from "../support/users.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const EXPORT = "/api/export";
const [TLS, MAIL, ADVISOR, BACKUPS] = ["supabase_ssl_enforced", "supabase_auth_email_confirmed", "supabase_advisor", "supabase_backups"];
const HOSTILE = ["=cmd|'/c calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r\n=1", "say \"hi\", you", "<script>", "＝1", "\u202egnp.exe"];

const schema = (name) => readFileSync(new URL(`../../checks/tests/schemas/${name}.json`, import.meta.url), "utf8");
const compile = (Validator, text) => new Validator({ strict: false, validateFormats: false, allErrors: true }).compile(JSON.parse(text));
// One pattern of the published schema, of a language that we do not name, has a bracket too many for a strict reader.
const isSarif = compile(Ajv, schema("sarif-2.1.0").replaceAll("[a-zA-Z]{2}]?$", () => "[a-zA-Z]{2}$"));
const isOcsf = compile(Ajv2020, schema("ocsf-1.8.0-compliance_finding"));
const assertValid = (validate, value) => assert.ok(validate(value), JSON.stringify(validate.errors?.slice(0, 3)));

/** The rows of a CSV file (RFC 4180), by the names of its head. */
function rowsOf(text) {
  const rows = [[]];
  let at = 0;
  for (const [whole, quoted, end] of text.matchAll(/"((?:[^"]|"")*)"(,|\r\n)/gy)) {
    rows.at(-1).push(quoted.replaceAll('""', '"'));
    if (end === "\r\n") rows.push([]);
    at += whole.length;
  }
  assert.equal(at, text.length, "every cell is quoted, and every line ends");
  const [head, ...lines] = rows.slice(0, -1);
  return lines.map((line) => Object.fromEntries(head.map((name, i) => [name, line[i]])));
}

describe("exports", { concurrency: true }, () => {
  const fixture = workerFixture();
  let sql, worker;
  before(() => void ({ sql, worker } = fixture));

  const RESULTS = [
    ...HOSTILE.map((text, i) => result(TLS, "fail", { resource: { type: "project", id: `${text} ${i}` }, resource_name: text, item: text, evidence: { "/text": text } })),
    ...["a", "b", "c"].map((id) => result(TLS, "pass", { resource: { type: "project", id } })),
    result(MAIL, "unknown", { reason: "forbidden", needs: ["auth:read"] }),
    result(BACKUPS, "not_applicable", { reason: "plan" }),
  ];
  async function scanned(results = RESULTS) {
    const browser = await BrowserSession.signedIn(worker);
    const integration = await addIntegration(sql, browser.user.id);
    await scan(sql, integration, browser.user.id, results, { checks: { [ADVISOR]: { incomplete: "truncated" } } });
    return { browser, integration };
  }
  const download = async (browser, query) => (await browser.get(`${EXPORT}?${query}`)).expect(200);

  it("exports of each format are files of their own type", async () => {
    const { browser } = await scanned();
    for (const [format, type, name] of [
      ["json", "application/json", "findings.json"], ["csv", "text/csv; charset=utf-8", "findings.csv"], ["sarif", "application/json", "findings.sarif"],
      ["ocsf", "application/json", "findings.ocsf.json"],
    ]) {
      const { headers } = await download(browser, `format=${format}`);
      const of = (header) => headers.get(header);
      assert.deepEqual([of("content-type"), of("content-disposition"), of("link")], [type, `attachment; filename="${name}"`, null]);
      assert.deepEqual([of("x-content-type-options"), of("cache-control")], ["nosniff", "no-store"]);
    }
    assert.equal((await browser.get(EXPORT)).headers.get("content-disposition"), 'attachment; filename="findings.json"');
  });

  it("JSON has every finding, and how many resources passed or could not be seen", async () => {
    const { browser, integration } = await scanned();
    await sql`
      insert into public.finding_mutes (organization_id, check_id, reason, note, created_by, expires_at, integration_id, resource_id)
      values (${browser.user.id}, ${TLS}, 'wont_fix', 'the note', ${browser.user.id}, now() + interval '1 day', ${integration.id}, '+1 1')`;
    const { accounts: [account], ...more } = (await download(browser, `integration_id=${integration.id}`)).json;
    assert.deepEqual(more, {});
    assert.partialDeepStrictEqual(account, { type: "supabase", account: integration.external_account_id, integration_id: integration.id, ended: "forbidden" });
    const told = account.results.map(({ check_id, status, count = 1, reason = null, needs = [] }) => [check_id, status, count, reason, needs]);
    assert.deepEqual(told.filter(([, status]) => status !== "fail"), [
      [ADVISOR, "unknown", 1, "truncated", []], [MAIL, "unknown", 1, "forbidden", ["auth:read"]], [BACKUPS, "not_applicable", 1, "plan", []],
      [TLS, "pass", 3, null, []],
    ]);
    const failed = account.results.filter(({ status }) => status === "fail");
    assert.deepEqual(failed.map(({ item }) => item).sort(), HOSTILE.toSorted());
    assert.deepEqual(failed.filter(({ mute }) => mute).map(({ item, mute }) => [item, mute]), [["+1", "the note"]]);
    assert.equal(failed[0].evidence["/text"], failed[0].item);
    assert.equal(new Set(account.results.map(({ fingerprint }) => fingerprint)).size, account.results.length);
  });

  it("SARIF is valid by its schema; what is unknown is open", async () => {
    const { browser, integration } = await scanned();
    const sarif = (await download(browser, "format=sarif")).json;
    assertValid(isSarif, sarif);
    const { results, automationDetails, invocations } = sarif.runs[0];
    assert.equal(automationDetails.id, `supabase/${integration.id}/`);
    const count = (kind) => results.filter((one) => one.kind === kind).length;
    assert.deepEqual(["fail", "pass", "open", "notApplicable"].map(count), [HOSTILE.length, 1, 2, 1]);
    assert.equal(results.find(({ kind }) => kind === "pass").occurrenceCount, 3);
    assert.equal(invocations[0].executionSuccessful, false);
    assert.ok(!isSarif({ ...sarif, runs: [{ ...sarif.runs[0], results: [{ ...results[0], kind: "unknown" }] }] }), "the schema refuses what is wrong");
  });

  it("each OCSF finding is valid by its schema; what is unknown is a warning", async () => {
    const { browser } = await scanned();
    const findings = (await download(browser, "format=ocsf")).json;
    for (const finding of findings) assertValid(isOcsf, finding);
    const count = (status) => findings.filter(({ compliance }) => compliance.status === status).length;
    assert.deepEqual(["Fail", "Pass", "Warning", "Not Applicable"].map(count), [HOSTILE.length, 1, 2, 1]);
    assert.ok(!isOcsf({ ...findings[0], compliance: { ...findings[0].compliance, status_id: 17 } }), "the schema refuses what is wrong");
  });

  it("no cell of the CSV is a formula, and none is lost", async () => {
    const { browser, integration } = await scanned();
    const rows = rowsOf((await download(browser, "format=csv")).text);
    assert.equal(rows.length, HOSTILE.length + 4);
    const formula = /^[\s\u00a0]*[=+\-@|%＝＋－＠]|^[\t\r\n]/;
    for (const row of rows) for (const cell of Object.values(row)) assert.doesNotMatch(cell, formula);
    assert.deepEqual(rows.filter(({ status }) => status === "fail").map(({ item }) => item.replace(/^'/, "")).sort(), HOSTILE.toSorted());
    assert.partialDeepStrictEqual(rows.find(({ status }) => status === "pass"), {
      check_id: TLS, count: "3", type: "supabase", account: integration.external_account_id, integration_id: integration.id,
    });
  });

  it("exports say unknown for what was never scanned, and since when something could not be seen", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const integration = await addIntegration(sql, browser.user.id);
    const results = async () => (await download(browser, "")).json.accounts[0].results;
    const before = await results();
    assert.ok(before.length > 50 && before.every(({ status, reason }) => status === "unknown" && reason === "not_scanned"));
    assertValid(isSarif, (await download(browser, "format=sarif")).json);
    for (const finding of (await download(browser, "format=ocsf")).json) assertValid(isOcsf, finding);
    await scan(sql, integration, browser.user.id, [result(TLS, "fail")]);
    await scan(sql, integration, browser.user.id, [result(TLS, "unknown", { reason: "forbidden", needs: ["database:read"] })]);
    const [unknown, failed] = await results();
    assert.deepEqual([unknown.status, unknown.needs, failed.status, failed.reason], ["unknown", ["database:read"], "fail", "forbidden"]);
    assert.ok(Date.parse(failed.unverified_since) > Date.now() - 600_000);
  });

  it("an export of a past run has the findings that were open when it ended, also after the connection is gone", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const integration = await addIntegration(sql, browser.user.id);
    const at = (id, status) => result(TLS, status, { resource: { type: "project", id } });
    const runs = [];
    for (const [one, two] of [["fail", "pass"], ["pass", "fail"], ["fail", "pass"]]) {
      runs.push(await scan(sql, integration, browser.user.id, [at("one", one), at("two", two), result(MAIL, "unknown", { reason: "forbidden" })]));
    }
    const { id: open } = (await browser.post(`/api/integrations/${integration.id}/assessments`, {})).expect(202).json;
    (await browser.get(`${EXPORT}?assessment_id=${open}`)).expect(404, "not_found");
    await sql`delete from public.integrations where id = ${integration.id}`;
    const failed = [];
    for (const id of runs) {
      const { accounts: [account] } = (await download(browser, `assessment_id=${id}`)).json;
      const of = (status) => account.results.filter((result) => result.status === status);
      failed.push(of("fail").map(({ resource }) => resource.id));
      assert.deepEqual([of("pass").length, of("unknown")[0].reason], [1, "forbidden"]);
      assertValid(isSarif, (await download(browser, `assessment_id=${id}&format=sarif`)).json);
      for (const finding of (await download(browser, `assessment_id=${id}&format=ocsf`)).json) assertValid(isOcsf, finding);
    }
    assert.deepEqual(failed, [["one"], ["two"], ["one"]]);
    // The run that the deletion ended has looked at nothing.
    const { accounts: [account] } = (await download(browser, `assessment_id=${open}`)).json;
    assert.ok(account.results.length > 50 && account.results.some(({ status }) => status === "unknown"));
    assert.ok(!account.results.some(({ status }) => status === "pass"));
    const stranger = await BrowserSession.signedIn(worker);
    for (const id of [runs[0], randomUUID()]) (await stranger.get(`${EXPORT}?assessment_id=${id}`)).expect(404, "not_found");
    (await browser.get(`${EXPORT}?assessment_id=${runs[0]}&organization_id=${browser.user.id}`)).expect(400, "invalid_request");
  });

  it("an organization's integrations come ten at a time, and a link names the rest", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const organization_id = await createOrganization(sql, [browser.user]);
    const rows = [];
    for (let i = 0; i < 12; i++) rows.push(await addIntegration(sql, organization_id));
    await addIntegration(sql, organization_id, { integration_type: "notion" });
    for (const row of rows.slice(0, 3)) await scan(sql, row, browser.user.id, [result(TLS, "fail")]);
    const seen = [];
    let path = `${EXPORT}?organization_id=${organization_id}&format=sarif`;
    for (const size of [10, 2]) {
      const answer = (await browser.get(path)).expect(200);
      assertValid(isSarif, answer.json);
      assert.equal(answer.json.runs.length, size);
      seen.push(...answer.json.runs.map((run) => run.automationDetails.id.split("/")[1]));
      path = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get("link"))?.[1];
      assert.equal(path === undefined, size === 2);
    }
    assert.deepEqual(seen, rows.map(({ id }) => id).sort());
    const csv = rowsOf((await browser.get(`${EXPORT}?organization_id=${organization_id}&format=csv`)).text);
    assert.equal(new Set(csv.map(({ integration_id }) => integration_id)).size, 10);
  });

  it("an export of more findings than fit continues where it ended, and repeats none", async () => {
    const { browser, integration } = await scanned([result(MAIL, "pass")]);
    await sql`
      insert into public.findings (organization_id, integration_id, integration_type, identity, check_id, check_version, resource_type, resource_id, item, severity)
      select ${browser.user.id}, ${integration.id}, 'supabase', sha256(gen_random_uuid()::text::bytea), ${TLS}, 1, 'project', 'r ' || n, '',
        (array['critical', 'high', 'low'])[1 + n % 3] from generate_series(1, 2100) n`;
    const seen = [];
    let path = `${EXPORT}?integration_id=${integration.id}`;
    let passes = 0;
    for (const size of [2000, 100]) {
      const answer = (await browser.get(path)).expect(200);
      const { results } = answer.json.accounts[0];
      passes += results.filter(({ status }) => status === "pass").length;
      const failed = results.filter(({ status }) => status === "fail");
      assert.equal(failed.length, size);
      seen.push(...failed.map(({ resource }) => resource.id));
      path = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get("link"))?.[1];
    }
    assert.equal(path, undefined);
    assert.deepEqual([new Set(seen).size, passes], [2100, 1]);
  });

  // Threat model 16.
  it("exports hold nothing of another organization, and reject an invalid query", async () => {
    const [{ integration }, stranger] = [await scanned(), await BrowserSession.signedIn(worker)];
    for (const id of [integration.id, randomUUID()]) (await stranger.get(`${EXPORT}?integration_id=${id}`)).expect(404, "not_found");
    for (const format of ["json", "sarif", "ocsf", "csv"]) {
      const { text } = await download(stranger, `organization_id=${integration.organization_id}&format=${format}`);
      assert.ok(!text.includes(TLS) && text.length < 700, text);
    }
    for (const query of [
      "format=xml", "format=", "format=csv&format=csv", "cursor=x", `cursor=${randomUUID()}.x`, "integration_id=x", "organization_id=x", "assessment_id=x", "limit=1", "select=*",
    ]) {
      (await stranger.get(`${EXPORT}?${query}`)).expect(400, "invalid_request");
    }
    (await stranger.post(EXPORT, {})).expect(405, "method_not_allowed");
    (await call(worker, "GET", EXPORT)).expect(401, "unauthorized");
  });
});
