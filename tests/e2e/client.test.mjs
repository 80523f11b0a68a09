// packages/client over the running worker.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { ApiError, createClient } from "../../packages/client/src/index.js";
import { BrowserSession } from "../support/browser-session.mjs";
import { addIntegration } from "../support/scans.mjs";
import { programOf } from "../support/service-keys.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

describe("the client", { concurrency: true }, () => {
  const fixture = workerFixture();

  it("the client lists, changes and deletes, and throws what the API answers as an error", async () => {
    const browser = await BrowserSession.signedIn(fixture.worker);
    const { id } = await addIntegration(fixture.sql, browser.user.id);
    const { key } = await programOf(browser, ["connections:read", "connections:write"]);
    const client = createClient({ url: fixture.worker.url, token: key });
    const path = { id };
    const { integrations } = await client.request("GET", "/api/integrations", { params: { query: { status: "active", cursor: undefined } } });
    assert.deepEqual(integrations.map((row) => row.id), [id]);
    const name = `renamed ${randomUUID()} é`;
    const changed = await client.request("PATCH", "/api/integrations/{id}", { params: { path }, body: { name } });
    assert.equal(changed.name, name);
    const rejected = async (...request) => client.request(...request).then(() => assert.fail("it was not rejected"), (error) => error);
    const missing = await rejected("GET", "/api/webhooks");
    assert.ok(missing instanceof ApiError);
    assert.deepEqual([missing.status, missing.code], [403, "missing_scope"]);
    assert.match(missing.message, /webhooks:manage/);
    assert.match(missing.requestId, /^[0-9a-f]{16}$/);
    assert.equal((await client.request("DELETE", "/api/integrations/{id}", { params: { path } })).success, true);
    assert.equal((await rejected("GET", "/api/integrations/{id}", { params: { path } })).code, "not_found");
    assert.equal((await rejected("GET", "/api/integrations/{id}", { params: { path: { id: "../session" } } })).code, "invalid_request");
  });
});
