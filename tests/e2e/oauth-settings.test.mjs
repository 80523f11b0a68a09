// Threat model 11: secrets go to https only, or to this very machine.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { stack } from "../support/stack.mjs";
import { startWorker } from "../support/worker.mjs";

const GITLAB = { GITLAB_CLIENT_ID: "client", GITLAB_CLIENT_SECRET: "secret" };

// Each needs a worker of its own: a few at a time. The unit tests of the setting know more forms.
describe("a provider URL that is not https", { concurrency: 3 }, () => {
  for (const [setting, value, others] of [
    ["SUPABASE_BASE_URL", "http://planted.example"],
    ["SUPABASE_BASE_URL", "http://localhost.planted.example"],
    ["SUPABASE_BASE_URL", "http://localhost@planted.example"],
    ["GITLAB_BASE_URL", "http://planted.example", GITLAB],
    ["SUPABASE_URL", "http://planted.example"],
  ]) {
    // Threat model 11.
    it(`${setting}=${value} is rejected at start`, async (t) => {
      const worker = await startWorker(stack(), { ...others, [setting]: value });
      t.after(() => worker.stop());
      const browser = new BrowserSession(worker);
      for (const path of ["/health", "/api/session", "/api/providers"]) {
        const answer = (await browser.get(path)).expect(500, "internal");
        assert.ok(!answer.all.includes("planted") && !answer.all.includes(setting), answer.all);
      }
      const line = JSON.parse(await worker.logged(new RegExp(setting)));
      assert.match(line.detail, new RegExp(`^${setting} environment variable is not an https origin`));
      assert.ok(!JSON.stringify(worker.logs()).includes("planted"), "the log shows no value");
    });
  }

  // Threat model 11.
  it("provider URLs with https, and with http on this machine, are accepted", async (t) => {
    const worker = await startWorker(stack(), { ...GITLAB, GITLAB_BASE_URL: "https://gitlab.example", SUPABASE_BASE_URL: "http://localhost:1" });
    t.after(() => worker.stop());
    const browser = await BrowserSession.signedIn(worker);
    const { origin } = new URL(await browser.begin());
    assert.equal(origin, "http://localhost:1");
    assert.equal(new URL(await browser.begin({ integration_type: "gitlab" })).origin, "https://gitlab.example");
  });
});
