// What stands around every answer: the security headers, and cookies of which there is one of each.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { BrowserSession } from "../support/browser-session.mjs";
import { bearer, call, cookiesOf, flowCookies, ofPage } from "../support/caller.mjs";
import { answer as faulty } from "../support/faults.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const SECURITY = {
  "strict-transport-security": "max-age=63072000; includeSubDomains",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
};
const DATA_POLICY = { "default-src": "'none'", "frame-ancestors": "'none'" };
const PAGE_POLICY = {
  "default-src": "'none'",
  "script-src": "'self'",
  "style-src": "'self'",
  "img-src": "'self' data:",
  "connect-src": "'self'",
  "form-action": "'self'",
  "base-uri": "'none'",
  "frame-ancestors": "'none'",
};
const NO_ID = "0b5f8a86-5d0c-4c8e-9d39-6b1d8f0f2f11";

describe("every answer", { concurrency: true }, () => {
  const fixture = workerFixture({ gateway: true });
  let gateway, worker, visitor;
  before(async () => {
    ({ gateway, worker } = fixture);
    visitor = await BrowserSession.signedUp(worker);
  });

  // Threat model 29.
  it("every answer has the security headers: pages, data, redirects, and every kind of error", async () => {
    const troubled = await BrowserSession.signedUp(worker);
    gateway.fault(({ path }) => path.includes(troubled.user.id), faulty(500, "down"));
    const json = { "content-type": "application/json" };
    const html = { accept: "text/html" };
    const own = { ...json, ...bearer(visitor.user.access_token) };
    const callback = await visitor.consent(`headers-${randomUUID()}`);
    const etag = (await call(worker, "GET", "/style.css")).headers.get("etag");
    const answers = {
      "200 page": await call(worker, "GET", "/"),
      "200 page of a connect session": await call(worker, "GET", "/connect"),
      "200 style": await call(worker, "GET", "/style.css"),
      "200 script": await call(worker, "GET", "/script/main.js"),
      "304 style": await call(worker, "GET", "/style.css", { headers: { "if-none-match": etag } }),
      "200 health": await call(worker, "GET", "/health"),
      "200 HEAD": await call(worker, "HEAD", "/"),
      "200 providers": await call(worker, "GET", "/api/providers"),
      "200 list": await call(worker, "GET", "/api/integrations", { headers: own }),
      "200 session": await visitor.get("/api/session"),
      "200 begun": await visitor.post("/api/auth/authorize", { integration_type: "supabase" }),
      "303 callback": await visitor.get(callback),
      "403 callback again": await visitor.get(callback),
      "400 failure page": await visitor.get("/api/auth/callback/supabase?code=x", html),
      "403 failure page": await call(worker, "GET", callback, { headers: html }),
      "307 path": await call(worker, "GET", "/index.html"),
      "405 page": await call(worker, "POST", "/"),
      "405 script": await call(worker, "PUT", "/script/main.js"),
      "400 body": await call(worker, "POST", "/api/auth/authorize", { headers: own, body: "{" }),
      "401 list": await call(worker, "GET", "/api/integrations"),
      "403 foreign": await call(worker, "DELETE", "/api/session", { headers: { cookie: cookiesOf(visitor) } }),
      "404 path": await call(worker, "GET", "/nowhere"),
      "404 integration": await visitor.delete(`/api/integrations/${NO_ID}`),
      "405 method": await call(worker, "PUT", "/api/integrations"),
      "413 body": await call(worker, "POST", "/api/auth/authorize", { headers: own, body: "x".repeat(20_000) }),
      "415 body": await call(worker, "POST", "/api/session", { headers: { "content-type": "text/plain" }, body: "{}" }),
      "503 list": await troubled.get("/api/integrations"),
      "200 sign-out": await troubled.delete("/api/session"),
    };
    for (const [name, answer] of Object.entries(answers)) {
      assert.equal(answer.status, Number(name.slice(0, 3)), `${name}: ${answer.text.slice(0, 300)}`);
      for (const [header, value] of Object.entries(SECURITY)) assert.equal(answer.headers.get(header), value, `${name}: ${header}`);
      assert.equal(answer.headers.get("cache-control"), isRevalidated(name) ? "no-cache" : "no-store", `${name}: cache-control`);
      const isPage = /page|HEAD/.test(name);
      assert.deepEqual(policy(answer), isPage ? PAGE_POLICY : DATA_POLICY, `${name}: content-security-policy`);
      if (hasBody(name)) assert.match(answer.headers.get("content-type"), typeOf(name), name);
      for (const header of ["server", "x-powered-by"]) assert.equal(answer.headers.get(header), null, `${name}: ${header}`);
      if (answer.status >= 400 && hasBody(name)) assert.match(answer.headers.get("x-request-id"), /^[0-9a-f]{16}$/, `${name}: x-request-id`);
    }
  });

  // Threat model 29.
  it("every file of the page has the security headers, and nothing else is a file", async () => {
    const folder = fileURLToPath(new URL("../../worker/public", import.meta.url));
    const files = globSync("**/*.*", { cwd: folder }).filter((file) => !file.endsWith(".html"));
    assert.ok(files.length > 20, `${files.length} files`);
    for (const file of files) {
      const answer = (await call(worker, "GET", `/${file}`)).expect(200);
      assert.equal(answer.text, readFileSync(path.join(folder, file), "utf8"), file);
      for (const [header, value] of Object.entries(SECURITY)) assert.equal(answer.headers.get(header), value, `${file}: ${header}`);
      assert.deepEqual(policy(answer), DATA_POLICY, file);
      assert.equal(answer.headers.get("cache-control"), "no-cache", file);
    }
    (await call(worker, "GET", "/_headers")).expect(404, "not_found");
  });

  // Threat model 29.
  it("every error has one request id in the answer and in the log", async () => {
    const refused = (await call(worker, "GET", "/api/integrations")).expect(401);
    const id = refused.headers.get("x-request-id");
    const line = JSON.parse(await worker.logged(new RegExp(id)));
    assert.deepEqual(line, { level: "info", request_id: id, route: "GET /api/integrations", status: 401, code: "unauthorized", detail: null });
  });

  // Threat model 29.
  it("a duplicate session cookie is answered 400, whichever is the right one", async () => {
    const token = visitor.jar.get("__Host-session");
    for (const cookie of [
      `__Host-session=${token}; __Host-session=${token}`,
      `__Host-session=x; __Host-session=${token}`,
      `__Host-session=${token}; __host-session=x`,
      `__HOST-SESSION=${token}; a=b; __Host-session=x`,
      `__Host-session=; __Host-session=${token}`,
    ]) {
      for (const [method, path] of [["GET", "/api/session"], ["GET", "/api/integrations"], ["DELETE", `/api/integrations/${NO_ID}`], ["DELETE", "/api/session"]]) {
        const answer = await call(worker, method, path, { headers: { ...ofPage(worker, cookie) } });
        assert.equal(answer.status, 400, `${method} ${path} with ${cookie.replaceAll(token, "<token>")}: ${answer.text}`);
      }
    }
    // A name that only looks alike is another cookie.
    for (const cookie of [`__Host-session=${token}; session=x; __Host-session2=x`, `x=y;__Host-session=${token}`]) {
      (await call(worker, "GET", "/api/session", { headers: { cookie } })).expect(200);
    }
  });

  // Threat model 29.
  it("a duplicate refresh cookie is answered 400, and the token is not used", async () => {
    const own = await BrowserSession.signedUp(worker);
    const token = own.jar.get("__Host-session-refresh");
    const headers = ofPage(worker, `__Host-session-refresh=x; __Host-session-refresh=${token}`);
    (await call(worker, "POST", "/api/session", { headers, body: JSON.stringify({ refresh: true }) })).expect(400, "invalid_request");
    (await own.post("/api/session", { refresh: true })).expect(200);
  });

  // Threat model 29.
  it("a duplicate flow cookie is answered 400, no code is exchanged, and its owner can still finish", async () => {
    const own = await BrowserSession.signedUp(worker);
    const callback = await own.consent(`doubled-${randomUUID()}`);
    const cookie = cookiesOf(own);
    const [flow] = flowCookies(cookie);
    for (const tossed of [`${flow}=x; ${cookie}`, `${cookie}; ${flow}=x`, `${cookie}; ${flow.toLowerCase()}=x`]) {
      (await call(worker, "GET", callback, { headers: { cookie: tossed } })).expect(400, "invalid_request");
    }
    (await own.get(callback)).expect(303);
  });

  // Threat model 29.
  it("a huge Cookie header is rejected, with the security headers", async () => {
    const cookie = `a=${"x".repeat(40_000)}`;
    const answer = await call(worker, "GET", "/api/session", { headers: { cookie } }).catch(() => undefined);
    // The runtime may refuse it before the worker sees it.
    if (answer) assert.ok([400, 413, 431].includes(answer.status), `got ${answer.status}`);
  });
});

function policy(answer) {
  const directives = (answer.headers.get("content-security-policy") ?? "").split(";").map((directive) => directive.trim());
  return Object.fromEntries(directives.filter(Boolean).map((directive) => directive.split(/\s+(.*)/, 2)));
}

/** Files that hold nothing of anybody's: a browser may keep them, and asks again each time. */
function isRevalidated(name) {
  return /style|script|^307/.test(name);
}

/** What is served as a file says with its status alone that a request was wrong. */
function hasBody(name) {
  return !/^30[347]|405 (page|script)/.test(name);
}

function typeOf(name) {
  if (/page|HEAD/.test(name)) return /^text\/html; charset=utf-8$/;
  if (name.includes("style")) return /^text\/css; charset=utf-8$/;
  if (name.includes("script")) return /^text\/javascript; charset=utf-8$/;
  return /^application\/json$/;
}
