// The browser at the other end: it may go away at any moment, and what it says of itself is nobody else's business.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { call, cookiesOf } from "../support/caller.mjs";
import { held } from "../support/faults.mjs";
import { exchangeOf, isAlive, keepGrants, takesAccessToken } from "../support/grants.mjs";
import { integrationsOf, opened } from "../support/integrations.mjs";
import { until } from "../support/wait.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/153.0.0.0 Safari/537.36";
/** What a browser and what is in front of the worker send along. */
const ALONG = {
  "user-agent": BROWSER,
  "accept-language": "de-AT,de;q=0.9",
  referer: "https://referer.example/secret-path",
  "x-forwarded-for": "203.0.113.7",
  "x-real-ip": "203.0.113.7",
  "cf-connecting-ip": "203.0.113.7",
  "x-client-info": "planted",
  "accept-profile": "private",
  prefer: "tx=rollback",
  range: "0-0",
};

/** All that the worker's own requests consist of; cf-worker is the runtime's. */
const SENT = new Set([
  "host", "connection", "user-agent", "accept", "accept-encoding", "content-type", "content-length", "apikey", "authorization", "prefer",
  "cf-worker",
]);

describe("the browser", { concurrency: true }, () => {
  const fixture = workerFixture({ gateway: true, server: true });
  const { info } = fixture;
  let sql, gateway, server, worker, grantOf;
  before(() => {
    ({ sql, gateway, server, worker } = fixture);
    grantOf = keepGrants(server, info.authorization_server_url);
  });

  const rpc = (name, { user }) => ({ path, body }) => path === `/rest/v1/rpc/${name}` && body.includes(user.id);

  /** Opens the URL as the visitor's browser and goes away as soon as `waiting` is held up; then lets it go on. */
  async function leave(visitor, url, waiting, options = {}) {
    const leaving = new AbortController();
    const { pathname, search } = new URL(url, worker.url);
    const headers = { cookie: cookiesOf(visitor), origin: worker.url };
    const left = fetch(worker.url + pathname + search, { headers, redirect: "manual", signal: leaving.signal, ...options });
    await waiting.arrived;
    leaving.abort();
    await assert.rejects(left, { name: "AbortError" });
    waiting.release();
  }

  for (const [point, at] of Object.entries({
    "while the transaction is taken": (visitor) => [gateway, rpc("consume_transaction", visitor)],
    "while the code is exchanged": (_, callback) => [server, exchangeOf(callback)],
    "while the row is written": (visitor) => [gateway, rpc("complete_connection", visitor)],
  })) {
    // Threat model 32.
    it(`a browser that goes away ${point} leaves a whole row and a valid grant`, async () => {
      const visitor = await BrowserSession.signedUp(worker);
      const callback = await visitor.consent(`away-${randomUUID()}`);
      const waiting = held();
      const [proxy, matcher] = at(visitor, callback);
      proxy.fault(matcher, waiting.behaviour);
      await leave(visitor, callback, waiting);
      const [row] = await until("the row is written", async () => {
        const rows = await integrationsOf(sql, visitor.user.id);
        return rows.length && rows;
      });
      assert.equal(await isAlive(worker.info, await opened(info, row)), true, "the grant stands");
      const { integrations } = (await visitor.get("/api/integrations")).expect(200).json;
      assert.deepEqual(integrations.map(({ id }) => id), [row.id], "the user finds it");
    });
  }

  // Threat model 32.
  it("a browser that goes away before the account request fails leaves no row, and the grant is revoked", async () => {
    const visitor = await BrowserSession.signedUp(worker);
    const callback = await visitor.consent(`away-${randomUUID()}`);
    const waiting = held();
    const ofAccount = ({ path, headers }) => path === "/v1/projects" && headers.authorization === `Bearer ${grantOf(callback)?.access_token}`;
    server.fault(ofAccount, async (exchange) => {
      await waiting.behaviour({ ...exchange, pass: () => exchange.response.destroy() });
    });
    await leave(visitor, callback, waiting);
    const { refresh_token } = grantOf(callback);
    await until("the grant is taken back", () => server.count(({ path, body }) => path === "/v1/oauth/revoke" && body.includes(refresh_token)));
    await worker.logged(/provider_failed/);
    assert.deepEqual(await integrationsOf(sql, visitor.user.id), []);
  });

  // Threat model 32.
  it("a browser that goes away during a disconnection leaves no row, and the grant is revoked", async () => {
    const visitor = await BrowserSession.signedUp(worker);
    const id = await visitor.connect(`away-${randomUUID()}`);
    const [row] = await integrationsOf(sql, visitor.user.id);
    const grant = await opened(info, row);
    const waiting = held();
    server.fault(({ path, body }) => path === "/v1/oauth/revoke" && body.includes(grant.refresh_token), waiting.behaviour);
    await leave(visitor, `/api/integrations/${id}`, waiting, { method: "DELETE" });
    await until("the row is gone", async () => (await integrationsOf(sql, visitor.user.id)).length === 0);
    await until("the grant is revoked", async () => !(await takesAccessToken(info, grant.access_token)));
    assert.equal(await isAlive(worker.info, grant), false);
  });

  // Threat model 33.
  it("nothing that a browser says of itself is passed on to Supabase or the provider, not even its user agent", async () => {
    const visitor = await BrowserSession.signedUp(worker);
    const { email, password } = visitor.user;
    const send = async (method, path, body) => {
      const headers = { ...ALONG, cookie: cookiesOf(visitor), origin: worker.url, ...(body && { "content-type": "application/json" }) };
      const answer = await call(worker, method, path, { headers, body: body && JSON.stringify(body) });
      visitor.jar.take(worker.url, answer);
      return answer;
    };
    const [fromGateway, fromServer] = [gateway.requests.length, server.requests.length];
    (await send("POST", "/api/session", { email, password })).expect(200);
    (await send("GET", "/api/session")).expect(200);
    const callback = await visitor.consent(`agent-${randomUUID()}`);
    const { location } = (await send("GET", callback)).expect(303);
    (await send("GET", "/api/integrations")).expect(200);
    (await send("DELETE", `/api/integrations/${new URL(location, worker.url).searchParams.get("connected")}`)).expect(200);
    (await send("POST", "/api/session", { refresh: true })).expect(200);
    (await send("DELETE", "/api/session")).expect(200);

    // Others' requests pass here as well meanwhile, all of them the worker's but the tests' own sign-ups and authorizations.
    const sent = [...gateway.requests.slice(fromGateway), ...server.requests.slice(fromServer)]
      .filter(({ path }) => !/^\/(auth\/v1\/signup|v1\/oauth\/authorize|interaction)/.test(path));
    assert.ok(sent.length >= 9, `${sent.length} requests were seen`);
    for (const { method, path, headers } of sent) {
      assert.equal(headers["user-agent"], "sealed-integrations", `${method} ${path}`);
      // The client's address is Cloudflare's word, not the browser's; Supabase Auth alone is told it, with a sign-in.
      const sentOn = new Set([...SENT, ...(path.startsWith("/auth/v1/token") ? ["sb-forwarded-for"] : [])]);
      assert.deepEqual(Object.keys(headers).filter((name) => !sentOn.has(name)), [], `${method} ${path}`);
      assert.ok([undefined, "count=exact"].includes(headers.prefer), `${method} ${path}: prefer ${headers.prefer}`);
    }
  });
});
