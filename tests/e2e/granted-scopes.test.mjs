// The scopes of a grant: as the provider names them, or as requested where it names none (RFC 6749, 5.1).
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { catalogue } from "../support/catalogue.mjs";
import { simulateProviders } from "../support/provider-simulator.mjs";
import { expireBackoff } from "../support/refresh.mjs";
import { programOf } from "../support/service-keys.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

/** What the operator requests beside the entry's own scopes. */
const FURTHER = { gitlab: "read_api", linear: "issues:create" };

describe("granted scopes", { concurrency: true }, () => {
  const fixture = workerFixture({
    settings: async ({ info, stops }) => {
      const requested = catalogue().filter(({ type }) => FURTHER[type]).map((entry) => ({ ...entry, scopes: [...entry.scopes, FURTHER[entry.type]] }));
      simulators = await simulateProviders(requested, info);
      stops.push(simulators.stop);
      return { ...simulators.settings, GITLAB_SCOPES: FURTHER.gitlab, LINEAR_SCOPES: FURTHER.linear };
    },
  });
  let simulators;
  before(() => assert.ok(fixture.worker));

  const scopesOf = async (caller, id) => {
    const { granted_scopes, missing_scopes } = (await caller.get(`/api/integrations/${id}`)).expect(200).json;
    return { granted_scopes, missing_scopes };
  };

  it("are stored, shown everywhere, refreshed and asked for again, and those that are missing are named", async () => {
    const provider = simulators.providers.gitlab;
    const browser = await BrowserSession.signedIn(fixture.worker);
    const login = `scopes-${randomUUID()}`;
    const whole = { granted_scopes: ["read_user", "read_api"], missing_scopes: [] };
    const narrow = { granted_scopes: ["read_user"], missing_scopes: ["read_api"] };

    provider.granting = "read_user";
    const id = await browser.connect(login, { integration_type: "gitlab" });
    assert.deepEqual(await scopesOf(browser, id), narrow);
    const program = await programOf(browser, ["connections:read", "connections:credentials", "findings:read"]);
    const { integrations: [listed] } = (await program.get("/api/integrations")).expect(200).json;
    assert.partialDeepStrictEqual(listed, { id, ...narrow });
    assert.deepEqual((await program.post(`/api/integrations/${id}/credential`)).expect(200).json.granted_scopes, ["read_user"]);
    const coverage = (await program.get(`/api/integrations/${id}/coverage`)).expect(200).json;
    assert.deepEqual([coverage.requested_scopes, coverage.granted_scopes], [["read_user", "read_api"], ["read_user"]]);

    const refreshed = async (granting) => {
      provider.granting = granting;
      await expireBackoff(fixture, id);
      assert.equal((await browser.post(`/api/integrations/${id}/refresh`, {})).expect(200).json.refreshed, true);
      return scopesOf(browser, id);
    };
    assert.deepEqual(await refreshed(undefined), narrow, "a refresh that names none leaves them as they were");
    assert.deepEqual(await refreshed("read_user read_api"), whole);
    assert.deepEqual(await refreshed("read_user"), narrow);

    // The simulator rejects a request without all of the operator's scopes.
    provider.granting = undefined;
    (await browser.get(await browser.reconsent(id, login))).expect(303);
    assert.deepEqual(await scopesOf(browser, id), whole, "none are named, so they are as requested");
    assert.deepEqual(provider.errors, []);
  });

  it("are read with a provider's own separator, and what cannot be understood is unknown", async () => {
    const provider = simulators.providers.linear;
    const browser = await BrowserSession.signedIn(fixture.worker);
    for (const [granting, granted_scopes, missing_scopes] of [
      ["read,issues:create", ["read", "issues:create"], []],
      [["read", "write"], ["read", "write"], ["issues:create"]],
      ["", null, null],
      [{ planted: true }, null, null],
      ["x".repeat(301), null, null],
    ]) {
      provider.granting = granting;
      const id = await browser.connect(`scopes-${randomUUID()}`, { integration_type: "linear" });
      assert.deepEqual(await scopesOf(browser, id), { granted_scopes, missing_scopes }, JSON.stringify(granting).slice(0, 40));
    }
    assert.deepEqual(provider.errors, []);
  });
});
