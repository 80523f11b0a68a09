// Requests that are wrong in form: each gets the status that says how, and reaches nobody else.
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";

import { BrowserSession } from "../support/browser-session.mjs";
import { bearer, call, cookiesOf, ofPage } from "../support/caller.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const ID = "0b5f8a86-5d0c-4c8e-9d39-6b1d8f0f2f11";
const ROUTES = {
  "/": "GET, HEAD",
  "/style.css": "GET, HEAD",
  "/script/main.js": "GET, HEAD",
  "/health": "GET, HEAD",
  "/api/providers": "GET, HEAD",
  "/api/session": "GET, HEAD, POST, DELETE",
  "/api/auth/authorize": "POST",
  "/api/auth/callback": "GET, HEAD",
  "/api/auth/callback/supabase": "GET, HEAD",
  "/api/integrations": "GET, HEAD, POST",
  [`/api/integrations/${ID}`]: "GET, HEAD, PATCH, DELETE",
  [`/api/integrations/${ID}/reconnect`]: "POST",
  [`/api/integrations/${ID}/events`]: "GET, HEAD",
  [`/api/integrations/${ID}/credentials`]: "PUT",
  [`/api/connections/${ID}`]: "GET, HEAD, POST, DELETE",
};
/** PROPFIND stands for methods that HTTP itself does not define. */
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"];
const UNKNOWN = [
  "/nowhere", "/api", "/api/", "/API/integrations", "/api/integrations/", `/api/integrations/${ID}/x`, `/api/integrations/${ID}/`,
  "/api/auth", "/api/auth/callback/", "/api/auth/callback/supabase/x", "/api/connections", "/_headers", "/.env", "/.dev.vars",
  "//nowhere.example/", "/script", "/script/", "/app.js", "/health/", "/api/integrations%2f", "/style.css%00",
];
/** Other spellings of a file's path, with where they lead. Never to another host. */
const REDIRECTS = { "/index.html?a=b": "/?a=b", "/index": "/", "//": "/", "//index.html": "/", "/style%2ecss": "/style.css", "//nowhere.example/..": "/" };
/** Files, which the worker does not serve: their 405 has no body. */
const FILES = ["/", "/style.css", "/script/main.js"];
const LIMIT = 16 * 1024;
/** Every route that takes a body, with what it says that it expects. */
const BODIES = [
  ["/api/session", 'expected {"email", "password"}, {"email", "code"}, {"email", "token_hash"}, {"access_token", "refresh_token"?} or {"refresh": true}'],
  ["/api/auth/authorize", 'expected {"integration_type", "organization_id"?, "return_to"?, "oauth_app_id"?}'],
  [`/api/connections/${ID}`, 'expected {"account_id"}'],
  ["/api/integrations", 'expected {"integration_type", "organization_id"?, "name"?, "fields"}'],
  [`/api/integrations/${ID}/reconnect`, `expected {"return_to"?,"oauth_app_id"?}; null is the deployment's app`],
];

describe("a request that is wrong in form", { concurrency: true }, () => {
  const fixture = workerFixture({ gateway: true });
  let gateway, worker, browser, headers;
  before(async () => {
    ({ gateway, worker } = fixture);
    browser = await BrowserSession.signedUp(worker);
    headers = { ...bearer(browser.user.access_token), "content-type": "application/json" };
  });

  const post = (path, body, more) => call(worker, "POST", path, { headers: { ...headers, ...more }, body });

  // Threat model 30.
  it("a wrong method is answered 405 with Allow, at every path", async () => {
    for (const [path, allow] of Object.entries(ROUTES)) {
      for (const method of METHODS.filter((method) => !allow.split(", ").includes(method))) {
        const answer = await call(worker, method, path, { headers: { cookie: cookiesOf(browser) } });
        assert.equal(answer.status, 405, `${method} ${path}`);
        assert.equal(answer.headers.get("allow"), allow, `${method} ${path}`);
        if (FILES.includes(path)) assert.equal(answer.text, "");
        else if (method !== "HEAD") assert.equal(answer.json.error.code, "method_not_allowed");
      }
    }
  });

  // Threat model 30.
  it("HEAD is GET without a body", async () => {
    for (const path of ["/", "/health", "/api/providers"]) {
      const [head, get] = [await call(worker, "HEAD", path), await call(worker, "GET", path)];
      assert.deepEqual({ status: head.status, type: head.headers.get("content-type"), text: head.text }, { status: 200, type: get.headers.get("content-type"), text: "" }, path);
    }
  });

  // Threat model 30.
  it("an unknown path is answered 404, signed in or not", async () => {
    for (const path of UNKNOWN) {
      for (const method of ["GET", "POST", "DELETE"]) {
        const answer = await call(worker, method, worker.url + path, { headers: ofPage(worker, cookiesOf(browser)) });
        assert.equal(`${answer.status} ${answer.text}`, '404 {"error":{"code":"not_found","message":"no such path"}}', `${method} ${path}`);
      }
    }
  });

  // Threat model 30.
  it("another spelling of a file's path is redirected to the path itself, on this host", async () => {
    for (const [path, location] of Object.entries(REDIRECTS)) {
      const answer = await call(worker, "GET", worker.url + path);
      assert.equal(`${answer.status} ${answer.headers.get("location")}`, `307 ${location}`, path);
    }
  });

  // Threat model 30.
  it("a body over the limit is answered 413, declared or not; at the limit it is read", async () => {
    for (const [path] of BODIES) {
      (await post(path, "x".repeat(LIMIT + 1))).expect(413, "payload_too_large");
      (await post(path, chunks(8, LIMIT / 4))).expect(413, "payload_too_large");
      (await post(path, " ".repeat(LIMIT))).expect(400, "invalid_request");
      (await post(path, chunks(4, LIMIT / 4))).expect(400, "invalid_request");
    }
  });

  // Threat model 30.
  it("a body of 16 MB without a declared length is abandoned as soon as it is too long", async () => {
    const pieces = 4096;
    const { stream, taken } = counted(pieces, 4096);
    const answer = await post("/api/auth/authorize", stream).catch(() => undefined);
    // A client that is still sending may see the connection close instead of the answer.
    answer?.expect(413, "payload_too_large");
    assert.ok(taken() < pieces, "all of it was taken");
    (await call(worker, "GET", "/health")).expect(200);
  });

  // Threat model 30.
  it("malformed JSON is answered 400 with what was expected", async () => {
    const wrong = [
      "", " ", "{", "null", "[]", "7", '"text"', "{}x", "{'a':1}", '{"a":1,}', "\u0000", '{"integration_type":"supabase"', "[".repeat(5000),
      '{"a":'.repeat(2000), '{"integration_type":{}}', '{"account_id":null}', '{"email":1,"password":2}',
    ];
    for (const [path, expected] of BODIES) {
      for (const body of wrong) {
        const answer = await post(path, body);
        assert.equal(`${answer.status} ${answer.json.error.message}`, `400 ${expected}`, `${path}: ${body.slice(0, 40)}`);
      }
    }
  });

  // Threat model 30.
  it("an unknown or duplicate field is answered 400", async () => {
    for (const [path, body] of [
      ["/api/auth/authorize", '{"integration_type":"supabase","organisation_id":"x"}'],
      ["/api/auth/authorize", '{"integration_type":"supabase","integration_type":"gitlab"}'],
      ["/api/session", '{"email":"a@example.com","password":"x","access_token":"y"}'],
      ["/api/session", '{"refresh":true,"email":"a@example.com"}'],
      [`/api/connections/${ID}`, '{"account_id":"a","accountId":"b"}'],
      [`/api/integrations/${ID}/reconnect`, '{"returnTo":"/"}'],
      ...["refresh", "check"].map((act) => [`/api/integrations/${ID}/${act}`, '{"force":true}']),
      ...["secret", `deliveries/${ID}/replay`].map((act) => [`/api/webhooks/${ID}/${act}`, "x"]),
    ]) {
      (await post(path, body)).expect(400, "invalid_request");
    }
  });

  // Threat model 30.
  it("a body that is not UTF-8 is answered 400", async () => {
    const body = Buffer.concat([Buffer.from('{"integration_type":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);
    const stream = new ReadableStream({ start: (controller) => (controller.enqueue(body), controller.close()) });
    // Read with replacement characters it would be a type that nobody knows.
    (await post("/api/auth/authorize", stream)).expect(400, "invalid_request");
  });

  // Threat model 114.
  it("a duplicate name at any depth of a body is rejected", async () => {
    const of = (fields) => `{"integration_type":"stripe","name":"x","fields":${fields}}`;
    const told = async (fields) => {
      const { json } = (await post("/api/integrations", of(fields))).expect(400);
      return json.error.message;
    };
    for (const fields of ['{"api_key":"a","api_key":"b"}', '{"api_key":"a","\\u0061pi_key":"b"}', '{"a":{"b":1,"b":2}}', '{"a":[[{"b":1,"b":2}]]}']) {
      assert.equal(await told(fields), BODIES.find(([path]) => path === "/api/integrations")[1], fields);
    }
  });

  // Threat model 125.
  it("U+0000 in anything that a user sends is rejected", async () => {
    const before = gateway.requests.length;
    for (const [path, body] of [
      ["/api/session", { email: "a\0@example.com", password: "password" }],
      ["/api/session", { email: "a@example.com", password: "pass\0word" }],
      ["/api/session", { access_token: "x", refresh_token: "\0" }],
      ["/api/auth/authorize", { integration_type: "supabase\0" }],
      ["/api/auth/authorize", { integration_type: "supabase", return_to: "/\0" }],
      [`/api/connections/${ID}`, { account_id: "\0" }],
      ["/api/integrations", { integration_type: "stripe", name: "a\0b", fields: {} }],
      ["/api/integrations", { integration_type: "stripe", fields: { api_key: "sk\0" } }],
      ["/api/integrations", { integration_type: "stripe", fields: { "\0": "x" } }],
      [`/api/integrations/${ID}/reconnect`, { return_to: "\0" }],
      ["/api/webhooks", { url: "https://receiver.example.com/\0" }],
    ]) {
      (await post(path, JSON.stringify(body))).expect(400);
    }
    (await call(worker, "PATCH", `/api/integrations/${ID}`, { headers, body: { name: "a\0b" } })).expect(400);
    const asked = gateway.requests.slice(before).filter(({ body }) => body.includes("\\u0000"));
    assert.deepEqual(asked.map(({ path }) => path), [], "none of it was sent on");
  });

  // Threat model 30.
  it("an unknown, duplicate or invalid parameter is answered 400", async () => {
    for (const query of ["x=1", "select=config", "offset=-1", "offset=x", "offset=", "offset=1e3", "offset=1000001", `organization_id=${ID}&organization_id=${ID}`, "organization_id=", "organization_id[]=x"]) {
      (await call(worker, "GET", `/api/integrations?${query}`, { headers })).expect(400, "invalid_request");
    }
    (await call(worker, "GET", "/api/integrations?offset=0", { headers })).expect(200);
  });

  // Threat model 30.
  it("an unknown provider is answered 400, at the start and at the callback", async () => {
    for (const type of ["gitlab", "Supabase", "", "../supabase", "x".repeat(1000)]) {
      (await post("/api/auth/authorize", JSON.stringify({ integration_type: type }))).expect(400, "provider_unknown");
    }
  });
});

/** A body whose length is not declared: `count` pieces of `size` spaces. */
function chunks(count, size) {
  return counted(count, size).stream;
}

/** The same, which also tells how many pieces were taken. */
function counted(count, size) {
  const piece = new TextEncoder().encode(" ".repeat(size));
  let taken = 0;
  const stream = new ReadableStream({
    async pull(controller) {
      // Others must get their turn, or nobody would notice that the receiver has gone.
      await setImmediate();
      if (taken === count) return controller.close();
      taken += 1;
      controller.enqueue(piece);
    },
  });
  return { stream, taken: () => taken };
}
