// A client secret is replaced without a gap: a worker with two tries them in order.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { oauthFixture } from "../support/oauth.mjs";
import { assertAlive, connection, redemptionOf, refresh, tokensOf } from "../support/refresh.mjs";
import { startWorker } from "../support/worker.mjs";

const WRONG = "planted-wrong-secret";
/** Matches the exchanges of this worker's codes. */
const exchangeOf = (worker) => ({ path, body }) =>
  path === "/v1/oauth/token" && new URLSearchParams(body).get("redirect_uri")?.startsWith(worker.url);

describe("a client secret that is being replaced", { concurrency: true }, () => {
  const fixture = oauthFixture();
  const workers = {};
  before(async () => {
    const start = async (name, secrets) => {
      workers[name] = await startWorker(fixture.info, ({ client_secret }) => {
        const [SUPABASE_CLIENT_SECRET, SUPABASE_FALLBACK_CLIENT_SECRET] = secrets(client_secret);
        return { SUPABASE_BASE_URL: fixture.server.url, SUPABASE_CLIENT_SECRET, SUPABASE_FALLBACK_CLIENT_SECRET };
      });
    };
    await Promise.all([
      start("ahead", (right) => [WRONG, right]),
      start("behind", (right) => [right, WRONG]),
      start("wrong", () => [WRONG, WRONG]),
    ]);
  });
  after(() => Promise.all(Object.values(workers).map((worker) => worker.stop())));

  for (const [name, times] of [["ahead", 2], ["behind", 1]]) {
    it(`connects, refreshes and revokes with the right one ${name === "ahead" ? "as the fallback" : "first"}`, async () => {
      const made = await connection(fixture, workers[name]);
      assert.equal((await refresh(made)).expect(200).json.refreshed, true);
      assert.equal(fixture.server.count(redemptionOf(made.tokens.refresh_token)), times, "the secrets are tried in order");
      const tokens = await tokensOf(fixture, made.id);
      assert.notEqual(tokens.refresh_token, made.tokens.refresh_token);
      await assertAlive(fixture, made.id);
      const { json } = (await made.browser.delete(`/api/integrations/${made.id}`)).expect(200);
      assert.equal(json.revoked, true);
      assert.ok(!JSON.stringify(workers[name].logs()).includes(WRONG));
    });
  }

  it("with two wrong ones fails as with one, after two requests", async () => {
    await assert.rejects(connection(fixture, workers.wrong), /provider_failed/);
    assert.equal(fixture.server.count(exchangeOf(workers.wrong)), 2);
  });
});
