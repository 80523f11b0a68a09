// Two authorization servers that nobody here has written, besides the stack's: a connection's whole life through each, judged by the
// server's own database. No token works there that is not stored here.
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";

import { freePort } from "../stack/listen.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { expireCheck } from "../support/checks.mjs";
import { drop } from "../support/faults.mjs";
import { opened } from "../support/integrations.mjs";
import { ownStackFixture } from "../support/own-stack.mjs";
import { expireBackoff } from "../support/refresh.mjs";
import { python } from "./python.mjs";
import { SERVERS, startServer } from "./servers.mjs";

/** Of the catalogue: authenticates in the body, and a second grant leaves the first alone, as at both servers. */
const POST = "gitlab";
/** Of the catalogue: authenticates with HTTP Basic. */
const BASIC = "airtable";
const ROUNDS = 10;

const { program, missing } = await python();

for (const name of Object.keys(SERVERS)) {
  describe(name, { skip: missing }, () => {
    if (missing) return;
    const fixture = ownStackFixture("peers");
    const stops = [];
    let dir;

    before(() => void (dir = mkdtempSync(path.join(tmpdir(), "peers-"))));
    after(async () => {
      for (const stop of stops.reverse()) await stop();
      rmSync(dir, { recursive: true, force: true });
    });

    /** A server of its own for a test, and a worker that is its client: `{ server, worker, browser }`. */
    async function meet(type, client_secret = randomBytes(24).toString("hex")) {
      const port = await freePort();
      const client_id = randomUUID();
      const setting = (suffix) => `${type.toUpperCase()}_${suffix}`;
      const worker = await fixture.start({
        [setting("CLIENT_ID")]: client_id,
        [setting("CLIENT_SECRET")]: client_secret,
        [setting("BASE_URL")]: `http://127.0.0.1:${port}`,
      });
      const redirectUris = [`${worker.url}/api/auth/callback/${type}`];
      const server = await startServer(name, { program, port, dir, client_id, client_secret, redirectUris });
      stops.push(server.stop);
      return { server, worker, browser: await BrowserSession.signedIn(worker) };
    }

    async function stored() {
      const rows = await fixture.sql`select * from public.integrations`;
      return Promise.all(rows.map(async (row) => ({ row, tokens: await opened(fixture.info, row) })));
    }

    const sorted = (all, kind) => all.map(({ tokens }) => tokens[kind]).sort();

    /** What works at the server is what is stored, and nothing waits to be revoked. */
    async function assertOnlyStoredTokensLive(server) {
      const all = await stored();
      assert.deepEqual(server.liveTokens(), { access: sorted(all, "access_token"), refresh: sorted(all, "refresh_token") });
    }

    /** Runs the schedule until no revocation waits. */
    async function settle(worker) {
      for (let round = 0; round < ROUNDS; round++) {
        await worker.scheduled();
        const [{ left }] = await fixture.sql`select count(*)::int as left from private.pending_revocations`;
        if (left === 0) return;
        await fixture.sql`update private.pending_revocations set next_attempt_at = now(), leased_until = now()`;
      }
      assert.fail(`revocations still wait after ${ROUNDS} runs of the schedule`);
    }

    it(`${name}: connects, refreshes, checks, reconnects and disconnects, and leaves no token that works and is not stored`, async () => {
      const { server, worker, browser } = await meet(POST);
      const login = `peer-${randomUUID()}`;
      const id = await browser.connect(login, { integration_type: POST });
      const [{ row, tokens: first }] = await stored();
      assert.deepEqual([row.id, row.status, row.name], [id, "active", login]);
      await assertOnlyStoredTokensLive(server);

      (await browser.post(`/api/integrations/${id}/refresh`, {})).expect(200);
      const [{ tokens: refreshed }] = await stored();
      assert.notEqual(refreshed.refresh_token, first.refresh_token);
      await assertOnlyStoredTokensLive(server);

      await expireCheck(fixture, id);
      const checked = (await browser.post(`/api/integrations/${id}/check`, {})).expect(200).json;
      assert.equal(checked.status, "active");

      const callback = await browser.reconsent(id, login);
      (await browser.get(callback)).expect(303);
      await settle(worker);
      const [{ row: again, tokens: second }] = await stored();
      assert.equal(again.id, id);
      assert.notEqual(second.refresh_token, refreshed.refresh_token);
      await assertOnlyStoredTokensLive(server);

      const deleted = (await browser.delete(`/api/integrations/${id}`)).expect(200).json;
      assert.equal(deleted.revoked, true);
      assert.deepEqual(server.liveTokens(), { access: [], refresh: [] });
    });

    it(`${name}: disconnecting one of two users leaves the other's grant alone`, async () => {
      const { server, worker, browser } = await meet(POST);
      const other = await BrowserSession.signedIn(worker);
      const login = `shared-${randomUUID()}`;
      const id = await browser.connect(login, { integration_type: POST });
      const others = await other.connect(login, { integration_type: POST });
      await assertOnlyStoredTokensLive(server);
      assert.equal((await browser.delete(`/api/integrations/${id}`)).expect(200).json.revoked, true);
      await assertOnlyStoredTokensLive(server);
      (await other.post(`/api/integrations/${others}/refresh`, {})).expect(200);
      await assertOnlyStoredTokensLive(server);
    });

    it(`${name}: a grant that the database rejects is revoked`, async () => {
      const { server, worker, browser } = await meet(POST);
      const callback = await browser.consent(`refused-${randomUUID()}`, { integration_type: POST });
      const restore = fixture.gateway.fault(/rpc\/complete_connection/, drop());
      assert.equal((await browser.get(callback)).status, 503);
      restore();
      await settle(worker);
      await assertOnlyStoredTokensLive(server);
      assert.deepEqual(await stored(), []);
    });

    it(`${name}: a grant that the user revoked requires a reconnection`, async () => {
      const { server, browser } = await meet(POST);
      const id = await browser.connect(`gone-${randomUUID()}`, { integration_type: POST });
      server.withdraw();
      await expireBackoff(fixture, id);
      await browser.post(`/api/integrations/${id}/refresh`, {});
      const [{ row }] = await stored();
      assert.equal(row.status, "reconnect_required");
      (await browser.delete(`/api/integrations/${id}`)).expect(200);
      assert.deepEqual(server.liveTokens(), { access: [], refresh: [] });
    });

    it(`${name}: connects and refreshes with HTTP Basic`, async () => {
      const { server, browser } = await meet(BASIC);
      const id = await browser.connect(`basic-${randomUUID()}`, { integration_type: BASIC });
      (await browser.post(`/api/integrations/${id}/refresh`, {})).expect(200);
      await assertOnlyStoredTokensLive(server);
    });

    it(`${name}: a secret is form-encoded for HTTP Basic, which not every server decodes`, async () => {
      const { server, browser } = await meet(BASIC, "a+b/c %&=:");
      const callback = await browser.consent(`encoded-${randomUUID()}`, { integration_type: BASIC });
      const { status } = await browser.get(callback);
      // docs/providers.md: such a server wants client_secret_basic_raw.
      const decodes = name !== "Authlib";
      assert.equal(status === 303, decodes, `the callback answered ${status}`);
      assert.equal(server.liveTokens().refresh.length, decodes ? 1 : 0);
    });
  });
}
