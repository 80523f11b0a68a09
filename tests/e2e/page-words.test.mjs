// Whatever the API and the database can say in a code, the page says in words.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { eventText, MESSAGES, REASONS } from "../../worker/page/script/words.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const text = (pattern) => globSync(pattern, { cwd: ROOT }).map((file) => readFileSync(`${ROOT}/${file}`, "utf8")).join("\n");
const found = (source, pattern) => [...new Set([...source.matchAll(pattern)].map(([, code]) => code))];

/** These are several things: the API's own sentence says which. */
const OWN_WORDS = ["not_found", "invalid_request", "bad_schedule"];
/** These end the way through a provider, and the worker's page of that says them. */
const ON_THE_FAILURE_PAGE = ["declined", "flow_unknown", "flow_foreign", "no_accounts"];

describe("the page's words", () => {
  it("each of the API's error codes has a message", () => {
    const codes = found(text("worker/src/error.rs"), /\(\s*\d{3},\s*"([a-z_]+)"/g);
    assert.ok(codes.length > 20, `found ${codes}`);
    const untold = codes.filter((code) => !(code in MESSAGES) && ![...OWN_WORDS, ...ON_THE_FAILURE_PAGE].includes(code));
    assert.deepEqual(untold, []);
  });

  it("each reason that a refresh or a check can leave is a sentence", () => {
    const sql = text("migrations/*.sql");
    const faults = found(sql.match(/v_result\.fault not in \(([^)]+)\)/)[1], /'([a-z_]+)'/g).filter((fault) => fault !== "released");
    assert.ok(faults.length > 3, `found ${faults}`);
    for (const reason of [...faults, "refresh_lost"]) assert.match(REASONS[reason] ?? "", /^[A-Z].+\.$/, reason);
  });

  it("each action of an event is told", () => {
    const lists = [...text("migrations/*.sql").matchAll(/credential_events_action check \(action in \(([^)]+)\)/g)];
    const actions = found(lists.at(-1)[1], /'([a-z_]+)'/g);
    assert.ok(actions.length >= 10, `found ${actions}`);
    for (const action of actions) {
      const { what, why } = eventText({ action, outcome: "succeeded", reason: null });
      assert.match(what, /^[A-Z][a-z ]+$/, action);
      assert.equal(why, "", action);
    }
  });
});
