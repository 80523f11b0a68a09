// docs/openapi.yaml: its error codes are those of docs/api.md, and as a judge of answers it bites.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { complaint, document } from "../support/openapi.mjs";

const API = readFileSync(new URL("../../docs/api.md", import.meta.url), "utf8");
const ID = "67e55044-10b1-426f-9247-bb680e5fe0c8";

test("the error codes of docs/openapi.yaml are those of docs/api.md", () => {
  const listed = new Set([...API.matchAll(/^\| \d{3} \| `([a-z_]+)` \|/gm)].map(([, code]) => code));
  assert.ok(listed.size > 50);
  assert.deepEqual([...document.components.schemas.ErrorCode.enum].sort(), [...listed].sort());
});

test("every reference of docs/openapi.yaml leads somewhere, and every operation has an id of its own", () => {
  const ids = [];
  const walk = (node) => {
    if (node === null || typeof node !== "object") return;
    if (node.$ref) assert.ok(node.$ref.slice(2).split("/").reduce((at, name) => at?.[name], document), node.$ref);
    if (node.operationId) ids.push(node.operationId);
    Object.values(node).forEach(walk);
  };
  walk(document);
  assert.equal(new Set(ids).size, ids.length);
});

test("programs may call what the scopes of docs/api.md say", () => {
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, { security = [] }] of Object.entries(item).filter(([name]) => name !== "parameters")) {
      const scope = security.map(({ service_key }) => service_key?.[0]).find(Boolean);
      const heading = `### \`${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ":$1")}\``;
      const section = API.slice(API.indexOf(`${heading}\n`)).split("\n### ")[0];
      assert.ok(section.startsWith(heading), heading);
      if (scope && scope !== "connect_sessions:write") assert.ok(section.includes(`\`${scope}\``), `${heading} names ${scope}`);
    }
  }
});

test("answers that are not described are told apart", () => {
  const json = (over) => ({ method: "GET", path: "/api/webhooks", status: 200, type: "application/json", ...over });
  const webhook = {
    id: ID, organization_id: ID, url: "https://r.example", events: null, min_severity: null, enabled: true, disabled_reason: null,
    previous_secret_ends_at: null, created_at: "t",
  };
  const list = (row) => JSON.stringify({ webhooks: [row], has_more: false });
  assert.equal(complaint(json({ text: list(webhook) })), undefined);
  const error = (code) => JSON.stringify({ error: { code, message: "m" } });
  assert.equal(complaint(json({ status: 404, text: error("not_found") })), undefined);
  assert.equal(complaint(json({ method: "PUT", status: 405, text: error("method_not_allowed") })), undefined);
  assert.equal(complaint(json({ path: "/", text: "<html>", type: "text/html" })), undefined, "a page is not the API's");
  assert.equal(complaint(json({ path: `/api/auth/callback/gitlab`, status: 303, type: null, text: "" })), undefined);
  const { created_at: _, ...lacking } = webhook;
  for (const [why, answer] of Object.entries({
    "a member too many": json({ text: list({ ...webhook, secret: "planted" }) }),
    "a member is missing": json({ text: list(lacking) }),
    "a wrong type": json({ text: list({ ...webhook, enabled: "yes" }) }),
    "another status": json({ status: 201, text: list(webhook) }),
    "an unknown code": json({ status: 404, text: error("planted") }),
    "an error with more": json({ status: 404, text: JSON.stringify({ error: { code: "not_found", message: "m", detail: "d" } }) }),
    "another content type": json({ type: "text/plain", text: list(webhook) }),
    "both pages of a list": json({ path: "/api/integrations", text: JSON.stringify({ integrations: [], count: 0, next_cursor: null }) }),
  })) {
    assert.ok(complaint(answer), why);
  }
});
