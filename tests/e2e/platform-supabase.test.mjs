// Supabase in trouble: whatever it does, the worker says so within a bound, claims nothing that is not so, and works again as
// soon as Supabase does.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { call, ofPage } from "../support/caller.mjs";
import { answer, cut, drop, late } from "../support/faults.mjs";
import { takesAccessToken } from "../support/grants.mjs";
import { integrationsOf, opened } from "../support/integrations.mjs";
import { startProxy } from "../support/proxy.mjs";
import { signES256, userClaims } from "../support/tokens.mjs";
import { signUp } from "../support/users.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";
import { startWorker } from "../support/worker.mjs";

const SLOW_MS = 10_000;
/** Supabase is waited for 8 s; saving is tried twice, and the grant taken back. The rest is room for a busy machine. */
const BOUND_MS = 20_000;
const SAVING_BOUND_MS = 35_000;
const CODES = ["upstream_unavailable", "upstream_timeout", "upstream_failed", "save_failed"];

const FAULTS = {
  "is down": drop(),
  "is slow (10 s)": late(SLOW_MS),
  "answers 401": answer(401, { message: "Invalid API key" }),
  "answers 403": answer(403, { code: "42501", message: "permission denied" }),
  "answers 409": answer(409, { code: "40001", message: "could not serialize" }),
  "answers 500": answer(500, { code: "XX000", message: "internal" }),
  "answers 503 as a gateway does": answer(503, "no healthy upstream"),
  "answers HTML": answer(200, "<html>maintenance</html>", { "content-type": "text/html" }),
  "answers JSON of another shape": answer(200, { unexpected: true }),
  "breaks off in the middle": cut(),
};
/** What happens at Supabase although the answer does not arrive. */
const DONE_ALL_THE_SAME = new Set(["is slow (10 s)", "breaks off in the middle"]);

// Threat model 31.
describe("Supabase", { concurrency: true }, () => {
  const fixture = workerFixture({ gateway: true });
  const { info } = fixture;
  let sql, gateway, worker;
  before(() => void ({ sql, gateway, worker } = fixture));

  const rpc = (name) => (browser) => ({ path, body }) => path === `/rest/v1/rpc/${name}` && body.includes(browser.user.id);
  const table = (name) => (browser) => ({ path }) => path.startsWith(`/rest/v1/${name}?`) && path.includes(browser.user.id);

  /**
   * Each operation: `prepare` brings the browser to where it is done, `of` matches its request, `act` does it, and `again`
   * is what the user does once Supabase is back; it must succeed. `still` is what holds although the operation failed, and
   * `gone` says that it cannot be done twice.
   */
  const OPERATIONS = {
    "the list": {
      of: table("integrations"),
      act: (browser) => browser.get("/api/integrations"),
    },
    "the session": {
      of: table("organization_members"),
      act: (browser) => browser.get("/api/session"),
    },
    "the sign-in": {
      user: () => BrowserSession.signedUp(worker),
      of: ({ user }) => ({ path, body }) => path.startsWith("/auth/v1/token") && body.includes(user.email),
      act: ({ user: { email, password } }) => call(worker, "POST", "/api/session", { body: { email, password } }),
    },
    "the start of a connection": {
      of: rpc("begin_connection"),
      act: (browser) => browser.post("/api/auth/authorize", { integration_type: "supabase" }),
    },
    "the callback's consume": {
      of: rpc("consume_transaction"),
      prepare: (browser) => browser.consent(`consume-${randomUUID()}`),
      act: (browser, callback) => browser.get(callback),
      again: connectAnew,
      still: assertNoRow,
    },
    "the callback's complete": {
      of: rpc("complete_connection"),
      prepare: (browser) => browser.consent(`complete-${randomUUID()}`),
      act: (browser, callback) => browser.get(callback),
      again: connectAnew,
      still: assertWholeOrAbsent,
      bound: SAVING_BOUND_MS,
    },
    "the callback's writing down of the grant": {
      of: rpc("add_pending_connection"),
      prepare: (browser) => browser.consent(`write-${randomUUID()}`),
      act: (browser, callback) => browser.get(callback),
      again: connectAnew,
      still: assertNoRow,
      bound: SAVING_BOUND_MS,
    },
    "the callback's wait for a choice": {
      of: rpc("offer_accounts"),
      prepare: (browser) => browser.consent(`two-${randomUUID()}`),
      act: (browser, callback) => browser.get(callback),
      again: connectAnew,
      still: assertNoRow,
      bound: SAVING_BOUND_MS,
    },
    "a choice that is looked at": {
      of: rpc("pending_connection"),
      prepare: park,
      act: (browser, choice) => browser.get(choice),
    },
    "a choice that is given up": {
      of: rpc("abandon_connection"),
      prepare: park,
      act: (browser, choice) => browser.delete(choice),
      gone: true,
    },
    "a disconnection": {
      of: rpc("disconnect_integration"),
      prepare: async (browser) => `/api/integrations/${await browser.connect(`disconnect-${randomUUID()}`)}`,
      act: (browser, path) => browser.delete(path),
      still: async (browser) => (await integrationsOf(sql, browser.user.id)).length > 0 && assertStands(browser),
      gone: true,
    },
  };

  async function park(browser) {
    const { location } = (await browser.get(await browser.consent(`two-${randomUUID()}`))).expect(303);
    return `/api/connections/${new URL(location, worker.url).searchParams.get("choose")}`;
  }

  /** The user begins anew, and ends with exactly one row for the account, whose grant stands. */
  async function connectAnew(browser) {
    const id = await browser.connect(`anew-${browser.user.id}`);
    const row = (await integrationsOf(sql, browser.user.id)).find((candidate) => candidate.id === id);
    assert.equal(await takesAccessToken(info, (await opened(info, row)).access_token), true, "the grant stands");
  }

  async function assertNoRow({ user }) {
    assert.deepEqual(await integrationsOf(sql, user.id), [], "nothing may be stored");
  }

  async function assertWholeOrAbsent({ user }) {
    for (const row of await integrationsOf(sql, user.id)) {
      const { access_token, refresh_token } = await opened(info, row);
      assert.ok(access_token && refresh_token && row.name && row.external_account_id, "a row is whole or absent");
    }
  }

  async function assertStands({ user }) {
    const [row] = await integrationsOf(sql, user.id);
    assert.equal(await takesAccessToken(info, (await opened(info, row)).access_token), true, "nothing is revoked");
  }

  /** A new user with a token signed as Supabase Auth does: to sign so many up takes longer than all of their tests. */
  async function someone() {
    const user = { id: randomUUID(), email: `${randomUUID()}@example.com` };
    const browser = new BrowserSession(worker);
    await browser.signIn({ ...user, access_token: await signES256(worker.info, userClaims(worker.info, user)) });
    return browser;
  }

  for (const [operation, { of, prepare, act, again = act, still = () => {}, gone = false, bound = BOUND_MS, user = someone }] of Object.entries(OPERATIONS)) {
    for (const [fault, behaviour] of Object.entries(FAULTS)) {
      // Threat model 31.
      it(`if Supabase ${fault} at ${operation}, the worker answers 502 or 503 in time, claims no success, and works again afterwards`, async () => {
        const browser = await user();
        const prepared = await prepare?.(browser);
        const restore = gateway.fault(of(browser), behaviour);
        const begun = Date.now();
        const failed = await act(browser, prepared);
        const took = Date.now() - begun;
        assert.ok([502, 503].includes(failed.status), `expected 502 or 503, got ${failed.status} ${failed.text}`);
        assert.ok(CODES.includes(failed.json.error.code), failed.text);
        assert.ok(took < bound, `it took ${took} ms, the bound is ${bound} ms`);
        assert.deepEqual(failed.headers.getSetCookie().filter((line) => !line.includes("Max-Age=0")), [], "no cookie of a success");
        await still(browser, prepared);

        restore();
        const repeated = await again(browser, prepared);
        // What was done although nobody heard of it is not there to be done again.
        if (repeated && gone && DONE_ALL_THE_SAME.has(fault)) assert.ok([200, 404].includes(repeated.status), repeated.text);
        else if (repeated) assert.ok([200, 303].includes(repeated.status), `again: got ${repeated.status} ${repeated.text}`);
      });
    }
  }

  // Threat model 31.
  it("a save at which Supabase fails once is retried, and connects", async () => {
    for (const behaviour of [FAULTS["is down"], FAULTS["answers 500"], FAULTS["breaks off in the middle"]]) {
      const browser = await someone();
      const callback = await browser.consent(`once-${randomUUID()}`);
      let left = 1;
      gateway.fault((request) => OPERATIONS["the callback's complete"].of(browser)(request) && left-- > 0, behaviour);
      (await browser.get(callback)).expect(303);
      const rows = await integrationsOf(sql, browser.user.id);
      assert.equal(rows.length, 1);
      assert.equal(await takesAccessToken(info, (await opened(info, rows[0])).access_token), true);
    }
  });

  // Threat model 31.
  it("renewing a session while Supabase is down is answered 503, and the session can still be renewed", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const token = browser.jar.get("__Host-session-refresh");
    const restore = gateway.fault(({ path, body }) => path.startsWith("/auth/v1/token") && body.includes(token), FAULTS["is down"]);
    const failed = await browser.post("/api/session", { refresh: true });
    failed.expect(503, "upstream_unavailable");
    restore();
    (await browser.post("/api/session", { refresh: true })).expect(200);
  });

  // Threat model 31.
  it("without a server at SUPABASE_URL the API is answered 503 at once, and pages and health work", async (t) => {
    const unreachable = await startProxy(info.supabase_url);
    await unreachable.stop();
    const own = await startWorker({ ...info, supabase_url: unreachable.url });
    t.after(() => own.stop());
    const { access_token } = await signUp(info);
    const begun = Date.now();
    for (const [method, path, body] of [
      ["GET", "/api/integrations"],
      ["GET", "/api/session"],
      ["POST", "/api/auth/authorize", '{"integration_type":"supabase"}'],
    ]) {
      (await call(own, method, path, { headers: ofPage(own, `__Host-session=${access_token}`), body })).expect(503, "upstream_unavailable");
    }
    assert.ok(Date.now() - begun < BOUND_MS, `it took ${Date.now() - begun} ms`);
    (await call(own, "GET", "/health")).expect(200);
    (await call(own, "GET", "/")).expect(200);
  });
});
