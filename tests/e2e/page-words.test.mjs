// Whatever the API and the database can say in a code, the page says in words.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { Failure } from "../../worker/public/script/requests.js";
import {
  CAUSES, CHANGES, ENDED, GAPS, INAPPLICABLE, MUTE_REASONS, OUTCOMES, REMEDIES, RUN_STATES, runText, SEVERITIES, UNSEEN,
} from "../../worker/public/script/security-words.js";
import { deliveryText, ENDINGS, eventNames, EVENTS, FAULTS, STATES } from "../../worker/public/script/webhook-words.js";
import { actorName, eventText, ACTIONS, MESSAGES, PURPOSES, REASONS, statusName } from "../../worker/public/script/words.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const text = (pattern) => globSync(pattern, { cwd: ROOT }).map((file) => readFileSync(`${ROOT}/${file}`, "utf8")).join("\n");
const found = (source, pattern) => [...new Set([...source.matchAll(pattern)].map(([, code]) => code))];

/** These are several things: the API's own sentence says which. */
const OWN_WORDS = ["not_found", "invalid_request", "bad_schedule", "oauth_app_in_use"];
/** The variants of an enum of the worker, as they are written in JSON. */
function variantsOf(file, name) {
  const [, body] = text(file).match(new RegExp(`enum ${name} \\{\n([^}]+)\n\\}`));
  return found(body, /^ {4}([A-Z]\w*),$/gm).map((variant) => variant.replace(/\B[A-Z]/g, (letter) => `_${letter}`).toLowerCase());
}
/** What a list of the last migration that has it, of these, allows. */
function allowed(pattern, files = "migrations/*.sql") {
  return found([...text(files).matchAll(pattern)].at(-1)[1], /'([a-z_]+)'/g);
}
/** The page calls no route that answers these. */
const FOR_PROGRAMS = [
  "missing_scope", "needs_reauthorization", "not_the_owner", "plaintext_disabled", "several_integrations", "too_many_service_keys",
  "wrong_organization", "too_many_connect_sessions", "return_url_not_allowed", "scopes_not_allowed", "connect_session_not_ready",
  "connect_session_completed", "wrong_completion", "not_importable", "several_accounts", "already_connected", "refresh_in_progress", "revocation_pending",
  "own_oauth_app", "cursor_unknown",
];
/** These end the way through a provider, and the worker's page of that says them. */
const ON_THE_FAILURE_PAGE = ["declined", "flow_unknown", "no_accounts"];

describe("the page's words", () => {
  it("the page has a message for each of the API's error codes", () => {
    const codes = found(text("worker/src/error.rs"), /\(\s*\d{3},\s*"([a-z_]+)"/g);
    assert.ok(codes.length > 20, `found ${codes}`);
    const untold = codes.filter((code) => !(code in MESSAGES) && ![...OWN_WORDS, ...ON_THE_FAILURE_PAGE, ...FOR_PROGRAMS].includes(code));
    assert.deepEqual(untold, []);
  });

  it("the page says how long to wait if the answer does", () => {
    const waiting = Object.keys(MESSAGES).filter((code) => MESSAGES[code].includes("{wait}"));
    assert.deepEqual(waiting.toSorted(), ["provider_paused", "provider_rate_limited", "too_many_attempts", "too_many_requests", "too_many_scans", "too_many_sign_ins"]);
    const said = (wait) => new Failure("provider_paused", { status: 429, wait }).message;
    assert.equal(said(61), "The provider limits the number of requests. Try again in 2 minutes.");
    assert.equal(said(1), "The provider limits the number of requests. Try again in 1 minute.");
    assert.equal(said(0), "The provider limits the number of requests. Try again later.");
    for (const code of waiting) assert.doesNotMatch(new Failure(code, { status: 429 }).message, /[{}]/);
  });

  it("the page has a sentence for each reason of a refresh or a check", () => {
    const faults = allowed(/v_result\.fault not in \(([^)]+)\)/g).filter((fault) => fault !== "released");
    assert.deepEqual(faults.toSorted(), variantsOf("worker/src/db/refreshes.rs", "Fault").filter((fault) => fault !== "released").sort());
    const verdicts = variantsOf("worker/src/health/verdict.rs", "Reason");
    assert.ok(faults.length > 3 && verdicts.length > 10, `found ${faults} and ${verdicts}`);
    for (const reason of [...faults, ...verdicts, "refresh_lost", "refresh_refused"]) assert.match(REASONS[reason] ?? "", /^[A-Z].+\.$/, reason);
  });

  it("the page has words for each action of an event with each of its outcomes", () => {
    const actions = allowed(/credential_events_action check \(action in \(([^)]+)\)/g);
    assert.ok(actions.length >= 10, `found ${actions}`);
    // Events of the organization, never of one integration.
    assert.deepEqual(actions.filter((action) => !(action in ACTIONS)), ["rotated", "data_keys_deleted"]);
    for (const action of Object.keys(ACTIONS)) {
      const { what, why } = eventText({ action, outcome: "succeeded", reason: null });
      assert.match(what, /^[A-Z][a-z ]+$/, action);
      assert.equal(why, "", action);
    }
    const told = (action, outcomes) => new Set(outcomes.map((outcome) => eventText({ action, outcome, reason: null }).what)).size;
    const statuses = variantsOf("worker/src/health/verdict.rs", "Status");
    assert.equal(told("checked", [...statuses, "none"]), statuses.length + 1, "each verdict in its own words");
    assert.equal(statuses.length, 4, `found ${statuses}`);
    assert.equal(told("revoked", ["succeeded", "failed", "unsupported", "kept"]), 4);
    const reasons = allowed(/reason in \(('abandoned'[^)]+)\)/g);
    assert.ok(reasons.length > 5, `found ${reasons}`);
    for (const reason of reasons) assert.match(REASONS[reason] ?? "", /^[A-Z].+\.$/, reason);
    assert.notEqual(told("refresh_failed", ["failed", "reconnect_required"]), 1);
    // What no action's words tell apart is told by the words alone.
    const outcomes = allowed(/credential_events_outcome check \(outcome in \(([^)]+)\)/g);
    const known = ["succeeded", "failed", "unsupported", "kept", ...statuses];
    assert.deepEqual(outcomes.filter((outcome) => !known.includes(outcome)), [], "an outcome that these tests do not know");
    for (const status of statuses) assert.match(statusName(status), /^[A-Z][a-z ]+$/);
  });

  it("the page names who acted: the user, a service key, and the end user of a connect session", () => {
    const details = { name: "backend", external_user_id: "user_42" };
    assert.equal(actorName({ actor: "service_key", details }), "Service key backend for user_42");
    assert.equal(actorName({ actor: "service_key", details: { name: "backend" } }), "Service key backend");
    assert.equal(actorName({ actor: "user", user_id: "a", details: null }, "a"), "You");
    assert.equal(actorName({ actor: "keytool", details: null }), "Operator");
  });

  it("the page has words for each of a webhook's events, states, faults and endings", () => {
    const types = found(text("worker/src/db/webhooks.rs"), /rename = "([a-z]+\.[a-z_]+)"/g);
    assert.ok(types.length >= 13, `found ${types}`);
    assert.deepEqual(Object.keys(EVENTS).toSorted(), types.toSorted());
    assert.equal(new Set(types.map((type) => eventNames([type]))).size, types.length);
    assert.equal(eventNames(null), "All events");

    const sql = text("migrations/*webhook*.sql");
    assert.deepEqual(STATES.toSorted(), allowed(/check \(state in \(('pending'[^)]+)\)/g, "migrations/*webhook*.sql").sort());
    assert.deepEqual(Object.keys(ENDINGS), found(sql, /disabled_reason = '([a-z_]+)'/g));
    const faults = new Set([
      ...found(text("worker/src/webhooks/message.rs"), /Some\("([a-z_]+)"\)/g),
      ...found(text("worker/src/jobs/webhook_deliveries.rs"), /WebhookResult::of\([^)]*Some\("([a-z_]+)"\)/g),
      ...found(sql, /coalesce\(d\.last_error, '([a-z_]+)'\)/g),
    ]);
    faults.delete("released");
    assert.ok(faults.size >= 7, `found ${[...faults]}`);
    for (const fault of faults) assert.match(FAULTS[fault] ?? "", /^[A-Z].+\.$/, fault);
    const delivery = { type: "connection.created", state: "pending", attempts: 2, next_attempt_at: new Date().toISOString(), last_error: "status", last_status: 503 };
    assert.deepEqual(deliveryText(delivery), { what: "Connected", how: "Tried 2 times, again any moment now.", why: "The server answered 503." });
    assert.deepEqual(deliveryText({ ...delivery, attempts: 0, last_error: null }).how, "Waiting to be sent.");
  });

  it("each code of a scan and of a finding is told", () => {
    const sql = text("migrations/*_assessments.sql");
    const list = (pattern) => found(pattern.exec(sql)[1], /'([a-z_]+)'/g);
    assert.deepEqual(Object.keys(SEVERITIES), list(/severity in \(([^)]+)\)/));
    assert.deepEqual(Object.keys(OUTCOMES), list(/outcome in \(([^)]+)\)/));
    assert.deepEqual([...Object.keys(RUN_STATES), "done"], list(/state in \(('queued'[^)]+)\)/));
    assert.deepEqual(Object.keys(ENDED).toSorted(), list(/ended_as in \(('passed'[^)]+)\)\)/).sort());
    assert.deepEqual(Object.keys(CHANGES).toSorted(), list(/action in \(('opened'[^)]+)\)/).sort());
    assert.deepEqual(Object.keys(CAUSES).toSorted(), list(/cause in \(([^)]+)\)/).sort());
    assert.deepEqual(Object.keys(MUTE_REASONS).toSorted(), list(/reason in \(('accepted_risk'[^)]+)\)/).sort());
    const [, variants] = /pub enum Reason \{([^}]+)\}/.exec(text("checks/src/outcome.rs"));
    const reasons = found(variants, /^ {4}([A-Z]\w*),$/gm).map((name) => name.replace(/\B[A-Z]/g, (letter) => `_${letter}`).toLowerCase());
    assert.deepEqual([...Object.keys(UNSEEN), ...Object.keys(INAPPLICABLE)].toSorted(), reasons.sort());
    for (const reason of Object.keys(REMEDIES)) assert.ok(reason in UNSEEN, reason);
    const gaps = [...found(sql, /(?:end_run|archive_findings|record_not_run)\([^;]*'([a-z_]+)'\)/g)].filter((reason) => !(reason in REASONS));
    assert.ok(gaps.length >= 3, `found ${gaps}`);
    for (const reason of [...gaps, "not_checked", "timed_out"]) assert.match(GAPS[reason] ?? "", /^[A-Z].+\.$/, reason);
    for (const sentence of [UNSEEN, INAPPLICABLE, GAPS, REMEDIES, ENDED, CAUSES].flatMap(Object.values)) assert.match(sentence, /^[A-Z].+\.$/);
  });

  it("a run is told with its denominator", () => {
    const results = { total: 61, passed: 48, failed: 4, unknown: 6, not_applicable: 3 };
    assert.equal(runText({ state: "done", outcome: "incomplete", results }), "48 of 61 passed, 4 failed, 6 could not be checked, 3 do not apply.");
    assert.equal(runText({ state: "done", outcome: "not_run", reason: "not_checked", results: null }), `Did not run. ${GAPS.not_checked}`);
    assert.equal(runText({ state: "done", outcome: "not_run", reason: "invalid_grant", results: null }), `Did not run. ${REASONS.invalid_grant}`);
    assert.equal(runText({ state: "queued" }), "Waiting for the scanner…");
  });

  it("the page has words for each purpose of an opening", () => {
    const flows = text("worker/src/*/*.rs");
    const sql = text("migrations/*.sql");
    const purposes = new Set([
      ...found(flows, /\breason: "([a-z_]+)"/g),
      ...found(flows, /const REASON: &str = "([a-z_]+)"/g),
      ...found(flows, /&user, Some\("([a-z_]+)"\)/g),
      ...found(sql, /'opened',\s+p_reason => '([a-z_]+)'/g),
      ...found(sql, /p_reason text default '([a-z_]+)'/g),
    ]);
    assert.ok(purposes.size >= 5, `found ${[...purposes]}`);
    assert.deepEqual([...purposes].filter((purpose) => !(purpose in PURPOSES)), []);
  });
});
