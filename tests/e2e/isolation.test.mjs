// What goes wrong in one request costs nobody else anything, and no grant is lost or orphaned by it (threat model 101, 113).
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { bearer, call } from "../support/caller.mjs";
import { Backend, ORIGIN, SessionBrowser } from "../support/connect-sessions.mjs";
import { faultyBuild } from "../support/faulty-build.mjs";
import { rewritten, takesAccessToken } from "../support/grants.mjs";
import { opened } from "../support/integrations.mjs";
import { insertRows, ownStackFixture } from "../support/own-stack.mjs";
import { connection, setTokenExpiry } from "../support/refresh.mjs";
import { signES256, signHS256, userClaims } from "../support/tokens.mjs";
import { startWorker } from "../support/worker.mjs";

const LIST = "/api/integrations";
/** How many faults are injected, and how many calls of one import are sampled; ISOLATION_ROUNDS=1000 tries them all. */
const ROUNDS = Number(process.env.ISOLATION_ROUNDS ?? 32);

describe("one bad request", () => {
  const fixture = ownStackFixture("isolation");
  const stops = [];
  after(() => Promise.all(stops.map((stop) => stop())));
  /** Another worker, with a client of its own. */
  const start = async (bindings, options) => {
    const settings = { SUPABASE_BASE_URL: fixture.server.url, ...bindings };
    const worker = await startWorker({ ...fixture.info, supabase_url: fixture.gateway.url }, settings, options);
    stops.push(worker.stop);
    return worker;
  };

  /** Every grant that the provider gave out, by a name of its own: what came with the code, and each refresh of it. */
  let grants;
  beforeEach(() => {
    grants = new Map();
    fixture.server.fault(
      "/v1/oauth/token",
      rewritten(fixture.info.authorization_server_url, (answer, { body }) => {
        if (answer.refresh_token === undefined) return answer;
        const form = new URLSearchParams(body);
        const old = form.get("refresh_token");
        const [name = form.get("code")] = [...grants].find(([, grant]) => grant.refresh_token === old) ?? [];
        grants.set(name, answer);
        return answer;
      }),
    );
  });

  /** As after all waits: leases have ended, what is pending has expired, and the schedule has seen to it. */
  async function settled(worker) {
    for (let turn = 0; turn < 3; turn++) {
      await fixture.sql`update public.pending_connections set expires_at = now()`;
      await fixture.sql`update private.pending_revocations set next_attempt_at = now(), owner = null, leased_until = null`;
      await fixture.sql`update public.credential_leases set expires_at = now() where owner is not null`;
      await fixture.sql`update public.credential_leases set retry_at = now()`;
      await worker.scheduled();
    }
  }

  /** What is wrong: rows whose tokens are dead or that nobody refreshes any more, and grants that are neither stored nor revoked. */
  async function wrongs() {
    const rows = await fixture.sql`select id, organization_id, config, status, status_reason from public.integrations`;
    const stored = new Set();
    const found = [];
    for (const row of rows) {
      const { access_token, refresh_token } = await opened(fixture.info, row);
      stored.add(refresh_token);
      if (row.status !== "active") found.push(`${row.id} is ${row.status} (${row.status_reason})`);
      else if (!(await takesAccessToken(fixture.info, access_token))) found.push(`${row.id} has dead tokens`);
    }
    for (const [name, { access_token, refresh_token }] of grants) {
      if (!stored.has(refresh_token) && (await takesAccessToken(fixture.info, access_token))) found.push(`the grant of ${name.slice(0, 8)} is an orphan`);
    }
    return found;
  }

  /** Tokens whose signature is none, which nothing but their form gives away. */
  async function badTokens(worker) {
    const claims = userClaims(worker.info, { id: crypto.randomUUID() });
    const signed = await Promise.all([signES256(worker.info, claims), signHS256(worker.info, claims)]);
    return signed.flatMap((token) => {
      const unsigned = token.slice(0, token.lastIndexOf(".") + 1);
      return ["*", "A", "sig=", "a b", "AAAA,Bearer x", `${"A".repeat(86)}==`].map((signature) => unsigned + signature);
    });
  }

  for (const [setting, bindings] of [["with a JWT secret", {}], ["without one", { SUPABASE_JWT_SECRET: undefined }]]) {
    // Threat model 101.
    it(`tokens with unreadable signatures (${setting}) cost 30 requests, 12 callbacks and a schedule of 40 nothing`, async () => {
      const worker = await start(bindings);
      const tokens = await badTokens(worker);
      const browsers = await Promise.all(Array.from({ length: 12 }, () => BrowserSession.signedIn(worker)));
      const callbacks = await Promise.all(browsers.map((browser, i) => browser.consent(`isolated-${setting}-${i}`)));
      const due = await Promise.all(Array.from({ length: 4 }, () => connection(fixture, worker)));
      for (const { id } of due) await setTokenExpiry(fixture, id, 60);
      const failing = await insertRows(fixture, 36, { seconds: 60 });

      let hostile = true;
      const attack = (async () => {
        for (let i = 0; hostile && i < 500; i++) {
          const answer = await call(worker, "GET", LIST, { headers: bearer(tokens[i % tokens.length]) });
          assert.equal(answer.status, 401, answer.text);
        }
      })();
      const answers = await Promise.all([
        ...callbacks.map((callback, i) => browsers[i].get(callback)),
        ...Array.from({ length: 30 }, (_, i) => browsers[i % browsers.length].get(LIST)),
        worker.scheduled(),
      ]);
      hostile = false;
      await attack;
      assert.deepEqual(answers.slice(0, 12).map(({ status }) => status), Array(12).fill(303));
      assert.deepEqual(answers.slice(12, 42).map(({ status }) => status), Array(30).fill(200));
      // These were never granted: the provider says so of each, which no lost answer would.
      const ends = await fixture.sql`select status, status_reason from public.integrations where id = any (${failing})`;
      assert.deepEqual(new Set(ends.map(({ status_reason }) => status_reason)), new Set(["invalid_grant"]));
      await fixture.sql`delete from public.integrations where id = any (${failing})`;
      await settled(worker);
      assert.deepEqual(await wrongs(), []);
    });
  }

  describe("that traps", () => {
    let faulty;
    let worker;
    before(async () => {
      faulty = faultyBuild();
      worker = await start({ RETURN_ORIGINS: ORIGIN }, { build: faulty.build });
    });
    after(() => faulty.stop());

    /** Callbacks, a run of the schedule and other people's requests at once, with a fault somewhere in it; what these others were answered. */
    async function busy(at) {
      const others = await Promise.all([BrowserSession.signedIn(worker), BrowserSession.signedIn(worker)]);
      const callbacks = await Promise.all(others.map((browser) => browser.consent(`trap-${crypto.randomUUID()}`)));
      const due = await Promise.all([connection(fixture, worker), connection(fixture, worker)]);
      for (const { id } of due) await setTokenExpiry(fixture, id, 60);
      await faulty.arm(worker, at);
      const [lists] = await Promise.all([
        Promise.all(due.map(({ browser }) => browser.get(LIST))),
        ...callbacks.map((callback, i) => others[i].get(callback)),
        worker.scheduled(),
      ]);
      const counted = await faulty.arm(worker);
      return { ...counted, failed: lists.filter(({ status }) => status !== 200).length };
    }

    // Threat model 101.
    it(`a trap at any import or poll costs no other request, connection or grant anything (${ROUNDS} faults)`, async (context) => {
      const { counts } = await busy();
      // Each import's first, second, middle and last call.
      const points = Object.entries(counts).flatMap(([name, count]) =>
        [...new Set([1, 2, Math.ceil(count / 2), count])].filter((nth) => nth <= count).map((nth) => ({ name, nth })),
      );
      assert.ok(points.length > 60, `${points.length} points in ${Object.keys(counts).length} imports`);
      const step = Math.max(1, points.length / ROUNDS);
      const chosen = Array.from({ length: Math.min(ROUNDS, points.length) }, (_, i) => points[Math.floor(i * step)]);
      const found = [];
      let hits = 0;
      for (const at of chosen) {
        const round = await busy(at);
        hits += round.hits;
        // The fault is in one of the requests: at most that one fails.
        if (round.failed > round.hits) found.push(`${at.name} ${at.nth}: ${round.failed} of the others failed`);
      }
      await settled(worker);
      for (const wrong of await wrongs()) found.push(wrong);
      context.diagnostic(`${hits} of ${chosen.length} faults were hit, ${grants.size} grants`);
      assert.ok(hits > chosen.length / 2, `${hits} of ${chosen.length} faults were hit`);
      assert.deepEqual(found, []);
    });

    // Threat model 207.
    it("a trap at any poll of a connect session's callback leaves no grant that nobody can complete", async () => {
      const backend = await Backend.of(await BrowserSession.signedIn(worker));
      let hits = 0;
      for (let nth = 1; nth <= 14; nth++) {
        const browser = new SessionBrowser(worker);
        const callback = await browser.consentTo(await backend.start(), `trap-${crypto.randomUUID()}`);
        await faulty.arm(worker, { name: "poll", nth });
        await browser.get(callback);
        hits += (await faulty.arm(worker)).hits;
      }
      assert.ok(hits > 4 && grants.size > 4, `${hits} faults were hit, ${grants.size} grants`);
      await settled(worker);
      assert.deepEqual(await wrongs(), []);
      assert.equal((await fixture.sql`select from public.pending_connections`).length, 0);
    });

    // Threat model 101.
    it("an instance survives two hundred traps", async () => {
      const browser = await BrowserSession.signedIn(worker);
      for (let i = 0; i < 200; i++) {
        await faulty.arm(worker, { name: "poll", nth: 1 });
        (await browser.get(LIST)).expect(500, "internal");
      }
      await faulty.arm(worker);
      const answer = await browser.get(LIST);
      assert.equal(answer.expect(200).json.count, 0);
      await connection(fixture, worker);
    });
  });
});
