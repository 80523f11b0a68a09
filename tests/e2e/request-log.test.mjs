// REQUEST_LOG: one line for each request, with what an operator asks first and nothing that a client has sent.
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { call } from "../support/caller.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

describe("the request log", () => {
  const fixture = workerFixture({ gateway: true, server: true, settings: { REQUEST_LOG: "true" } });
  let worker, browser;
  before(async () => {
    ({ worker } = fixture);
    browser = await BrowserSession.signedIn(worker);
  });

  /** The lines of an answer's request, the last of them once it has come. */
  async function linesOf(route) {
    await worker.logged(new RegExp(`"route":"${route}"`));
    return lines().filter((line) => line.route === route);
  }
  const lines = () => worker.logs().map(({ message }) => JSON.parse(message));

  it("says of a request how it ended, how long it took, and how many requests it sent", async () => {
    (await browser.get("/api/integrations")).expect(200);
    const [line, ...others] = await linesOf("GET /api/integrations");
    assert.deepEqual(others, []);
    const { request_id, milliseconds, upstream_calls, ...rest } = line;
    assert.deepEqual(rest, { level: "info", route: "GET /api/integrations", status: 200, outcome: "succeeded" });
    assert.match(request_id, /^[0-9a-f]{16}$/);
    assert.ok(milliseconds >= 0 && milliseconds < 10_000, `${milliseconds} ms`);
    // The list, and at most once the keys of the users' tokens.
    assert.ok([1, 2].includes(upstream_calls), `${upstream_calls} calls`);
  });

  it("says the same of a request that was refused, in the line that is there anyway", async () => {
    const refused = (await call(worker, "GET", "/api/webhooks")).expect(401);
    const [line, ...others] = await linesOf("GET /api/webhooks");
    assert.deepEqual(others, []);
    const { milliseconds, ...rest } = line;
    assert.equal(typeof milliseconds, "number");
    assert.deepEqual(rest, {
      level: "info", request_id: refused.headers.get("x-request-id"), route: "GET /api/webhooks", status: 401,
      code: "unauthorized", detail: null, outcome: "refused", upstream_calls: 0,
    });
  });

  // Threat model 116 and 129.
  it("holds no code, no state, no id and no other part of a URL", async () => {
    const id = await browser.connect("request-log");
    (await browser.get(`/api/integrations/${id}?planted=planted-query`)).expect(200);
    (await browser.get("/planted-path")).expect(404);
    const [callback] = await linesOf("GET /api/auth/callback/:type");
    assert.deepEqual([callback.status, callback.outcome], [303, "succeeded"]);
    // The exchange and what stores the connection, at least.
    assert.ok(callback.upstream_calls >= 4, `${callback.upstream_calls} calls`);
    await linesOf("GET /api/integrations/:id");
    const text = worker.logs().map(({ message }) => message).join("\n");
    for (const planted of ["planted", "code=", "state=", id, worker.url]) assert.ok(!text.includes(planted), planted);
  });

  it("leaves out /health that succeeds", async () => {
    (await call(worker, "GET", "/health")).expect(200);
    (await call(worker, "POST", "/health")).expect(405);
    await linesOf("");
    assert.ok(!worker.logs().some(({ message }) => message.includes('"GET /health"')));
  });

  it("is off unless it is switched on: then only failures leave a line", async () => {
    const quiet = await fixture.start();
    const other = await BrowserSession.signedIn(quiet);
    (await other.get("/api/integrations")).expect(200);
    (await call(quiet, "GET", "/api/integrations")).expect(401);
    await quiet.logged(/unauthorized/);
    assert.equal(quiet.logs().filter(({ message }) => message.includes('"route"')).length, 1);
  });
});
