// Requests that other sites' pages make a browser send: refused, whatever cookies go along, and never told to another origin.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { bearer, call, cookiesOf } from "../support/caller.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const JSON_TYPE = "application/json";
const CORS = /^access-control-/;

describe("another site's page", { concurrency: true }, () => {
  const fixture = workerFixture({ gateway: true });
  let gateway, worker, visitor, id, choice;
  before(async () => {
    ({ gateway, worker } = fixture);
    visitor = await BrowserSession.signedUp(worker);
    id = await visitor.connect(`web-${randomUUID()}`);
    const { location } = (await visitor.get(await visitor.consent(`two-${randomUUID()}`))).expect(303);
    choice = new URL(location, worker.url).searchParams.get("choose");
  });

  /** Every request that changes something on a cookie's word. */
  const changing = () => [
    ["POST", "/api/session", { refresh: true }],
    ["POST", "/api/auth/authorize", { integration_type: "supabase" }],
    ["POST", `/api/connections/${choice}`, { account_id: "any" }],
    ["DELETE", `/api/connections/${choice}`],
    ["DELETE", `/api/integrations/${id}`],
    ["DELETE", "/api/session"],
  ];

  /** What a page elsewhere can make a browser send, and how it differs from our own page's requests. */
  const foreign = () => [
    ["no Origin", { "content-type": JSON_TYPE }],
    ["Origin: null", { origin: "null", "content-type": JSON_TYPE }],
    ["another site", { origin: "https://app.example.evil", "sec-fetch-site": "cross-site", "content-type": JSON_TYPE }],
    ["an origin that begins as ours", { origin: `${worker.url}.evil.example`, "content-type": JSON_TYPE }],
    ["an origin that ends as ours", { origin: `http://evil.example/${worker.url}`, "content-type": JSON_TYPE }],
    ["another scheme", { origin: worker.url.replace("http:", "https:"), "content-type": JSON_TYPE }],
    ["another port", { origin: "http://localhost:1", "sec-fetch-site": "same-site", "content-type": JSON_TYPE }],
    ["our origin in capitals", { origin: worker.url.toUpperCase(), "content-type": JSON_TYPE }],
    ["two origins", { origin: `${worker.url} https://evil.example`, "content-type": JSON_TYPE }],
    ["our origin, but the browser says cross-site", { origin: worker.url, "sec-fetch-site": "cross-site", "content-type": JSON_TYPE }],
  ];

  // Threat model 28.
  it("cross-site POST and DELETE, and a wrong or absent Origin with a cookie, are answered 403, and nothing is done", async () => {
    const cookie = cookiesOf(visitor);
    const heard = () => gateway.count(({ path, body }) => body.includes(visitor.user.id) || /^\/auth\/v1\/(token|logout)/.test(path));
    const before = heard();
    for (const [method, path, body] of changing()) {
      for (const [name, headers] of foreign()) {
        const answer = await call(worker, method, path, { headers: { ...headers, cookie }, body: body && JSON.stringify(body) });
        assert.equal(answer.status, 403, `${method} ${path}, ${name}: ${answer.text}`);
        assert.equal(answer.json.error.code, "forbidden");
        assertNoCors(answer);
      }
    }
    assert.equal(heard(), before, "Supabase may not hear of any of them");
    assert.equal((await visitor.get("/api/integrations")).expect(200).json.count, 1, "the integration stands");
    (await visitor.get(`/api/connections/${choice}`)).expect(200);
  });

  // Threat model 28.
  it("what a form can send is rejected with a cookie, from our own origin too", async () => {
    const cookie = cookiesOf(visitor);
    for (const [method, path, body] of changing().filter(([method]) => method === "POST")) {
      for (const type of ["text/plain", "text/plain; application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", ""]) {
        const headers = { cookie, origin: worker.url, "content-type": type };
        const answer = await call(worker, method, path, { headers, body: JSON.stringify(body) });
        assert.equal(answer.status, 403, `${method} ${path} as ${type || "nothing"}: ${answer.text}`);
      }
    }
  });

  // Threat model 28.
  it("another site cannot sign its visitor in as somebody else", async () => {
    const { access_token } = visitor.user;
    for (const [name, headers] of foreign().filter(([name]) => name !== "no Origin")) {
      const answer = await call(worker, "POST", "/api/session", { headers, body: JSON.stringify({ access_token }) });
      assert.equal(answer.status, 403, `${name}: ${answer.text}`);
      assert.deepEqual(answer.headers.getSetCookie(), [], name);
    }
    // A program that is no browser says nothing of where it comes from, and has no cookie that could be used.
    (await call(worker, "POST", "/api/session", { body: { access_token } })).expect(200);
    const form = await call(worker, "POST", "/api/session", { headers: { "content-type": "text/plain" }, body: JSON.stringify({ access_token }) });
    form.expect(415, "unsupported_media_type");
  });

  // Threat model 28.
  it("no origin is ever let in by CORS, preflights included", async () => {
    const cookie = cookiesOf(visitor);
    const paths = ["/", "/script/main.js", "/health", "/api/providers", "/api/session", "/api/integrations", `/api/integrations/${id}`, "/api/auth/authorize", "/api/auth/callback", "/nowhere"];
    for (const path of paths) {
      for (const origin of ["null", "https://app.example.evil", "https://evil.example", worker.url]) {
        const preflight = { origin, "access-control-request-method": "DELETE", "access-control-request-headers": "content-type" };
        assertNoCors(await call(worker, "OPTIONS", path, { headers: preflight }));
        assertNoCors(await call(worker, "GET", path, { headers: { origin, cookie } }));
      }
    }
  });

  // Threat model 28.
  it("a program with its own token needs no Origin; a cookie beside it changes nothing", async () => {
    const program = await BrowserSession.signedUp(worker);
    const body = { integration_type: "supabase" };
    (await call(worker, "POST", "/api/auth/authorize", { headers: bearer(program.user.access_token), body })).expect(200);
    const beside = { ...bearer("wrong"), cookie: cookiesOf(program) };
    (await call(worker, "POST", "/api/auth/authorize", { headers: beside, body })).expect(401, "unauthorized");
  });
});

function assertNoCors(answer) {
  assert.deepEqual([...answer.headers.keys()].filter((name) => CORS.test(name)), []);
}
