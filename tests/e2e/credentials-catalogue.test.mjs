// Every entry of the catalogue that is connected with credentials, by the entry alone: a provider that takes what the entry says it
// takes, and nothing else.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { credentialCatalogue } from "../support/catalogue.mjs";
import { simulateCredentialProviders } from "../support/credential-simulator.mjs";
import { eventsOf, integrationsOf, opened, SEALED } from "../support/integrations.mjs";
import { programOf } from "../support/service-keys.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const ENTRIES = credentialCatalogue();
const DOCUMENTATION = new URL("../../docs/providers.md", import.meta.url);

describe("the catalogue of credentials", { concurrency: 4 }, () => {
  const fixture = workerFixture({
    settings: async ({ info, stops }) => {
      simulators = await simulateCredentialProviders(ENTRIES, info);
      stops.push(simulators.stop);
      return simulators.settings;
    },
  });
  const { info } = fixture;
  let sql, worker, simulators;
  before(() => void ({ sql, worker } = fixture));

  it("the page is offered each credential entry with its fields, and nothing more", async () => {
    const { providers } = (await new BrowserSession(worker).get("/api/providers")).expect(200).json;
    const shown = ({ name, label, secret, help }) => ({ name, label, secret, ...(help && { help }) });
    assert.deepEqual(providers, [
      { integration_type: "supabase", name: "Supabase", auth: "oauth" },
      ...ENTRIES.map(({ type, name, auth, fields }) => ({ integration_type: type, name, auth, fields: fields.map(shown) })),
    ]);
  });

  it("docs/providers.md lists every credential provider as its entry says", () => {
    const lines = readFileSync(DOCUMENTATION, "utf8").split("\n");
    const listed = lines.filter((line) => /\| `(api_key|basic|client_credentials)` \|.*\d{4}-\d\d-\d\d \|$/.test(line));
    const rows = ENTRIES.map(({ name, type, auth, fields, verified }) => {
      const names = fields.map((field) => `\`${field.name}\``).join(", ");
      return `| ${name} | \`${type}\` | \`${auth}\` | ${names} | ${verified} |`;
    });
    assert.deepEqual(listed.sort(), rows.sort());
  });

  for (const entry of ENTRIES) {
    const { type, auth, scopes, identity, fields } = entry;

    it(`${entry.name}: connects, takes fresh credentials, disconnects`, async () => {
      const provider = simulators.providers[type];
      const browser = await BrowserSession.signedIn(worker);
      const account = await provider.account();
      const rows = () => integrationsOf(sql, browser.user.id);

      const refused = { ...account.fields, [fields.find(({ secret }) => secret).name]: `${"x".repeat(40)}` };
      (await browser.post("/api/integrations", { integration_type: type, fields: refused })).expect(422, "credentials_refused");
      assert.deepEqual(await rows(), []);

      const created = await browser.post("/api/integrations", { integration_type: type, fields: account.fields });
      assert.deepEqual(provider.errors, []);
      created.expect(201);
      const [row, ...others] = await rows();
      assert.deepEqual(others, []);
      assert.deepEqual([row.integration_type, row.external_account_id, row.name, row.status], [type, account.id, account.name, "active"]);
      const shown = (await browser.get(`/api/integrations/${row.id}`)).expect(200);
      assert.deepEqual(created.json, shown.json);

      const ofTokens = () => (auth === "client_credentials" ? ["access_token", "expires_at"] : []);
      const holds = async (wanted) => {
        const [now] = await rows();
        const config = await opened(info, now);
        for (const { name, secret } of fields) if (secret) assert.match(now.config[name], SEALED);
        for (const name of ofTokens()) assert.ok(config[name], name);
        if (config.access_token) assert.equal(config.access_token, provider.given.findLast((given) => given.account === wanted).access_token);
        const rest = Object.entries(config).filter(([name]) => !ofTokens().includes(name));
        assert.deepEqual(Object.fromEntries(rest), {
          ...wanted.fields,
          ...(auth === "client_credentials" && scopes.length && { scope: scopes.join(" ") }),
          [identity.stored_as.id]: account.id,
          [identity.stored_as.name]: account.name,
        });
      };
      await holds(account);

      // A program imports what a user entered elsewhere.
      const importer = await programOf(browser, "connections:import");
      const body = { organization_id: browser.user.id, integration_type: type, credential: account.fields };
      const send = (over = {}) => importer.post("/api/integrations/import", { ...body, ...over });
      (await send({ credential: refused })).expect(422, "credentials_refused");
      (await send({ account_id: "another" })).expect(409, "account_mismatch");
      (await send()).expect(409, "already_connected");
      const { json: imported } = (await send({ credential: undefined, config: await opened(info, row), account_id: account.id, replace: true })).expect(200);
      assert.deepEqual([imported.id, imported.refreshable], [row.id, auth === "client_credentials"]);
      await holds(account);

      // The same account again is the same integration.
      const again = await browser.post("/api/integrations", { integration_type: type, fields: account.fields });
      assert.equal(again.expect(200).json.id, row.id);

      const fresh = await provider.account(account);
      provider.forget(account);
      const path = `/api/integrations/${row.id}/credentials`;
      (await browser.put(path, { fields: account.fields })).expect(422, "credentials_refused");
      await holds(account);
      assert.deepEqual((await browser.put(path, { fields: fresh.fields })).expect(200).json.id, row.id);
      await holds(fresh);

      const refreshed = await browser.post(`/api/integrations/${row.id}/refresh`, {});
      if (auth !== "client_credentials") refreshed.expect(409, "not_refreshable");
      else assert.equal(refreshed.expect(200).json.refreshed, true);
      await holds(fresh);

      const { revoked } = (await browser.delete(`/api/integrations/${row.id}`)).expect(200).json;
      assert.equal(revoked, "unsupported");
      assert.deepEqual(await rows(), []);
      assert.deepEqual(provider.errors, []);
      const events = (await eventsOf(sql, browser.user.id)).map(({ action, reason, user_id }) => [action, reason, user_id]);
      const by = browser.user.id;
      assert.deepEqual(events, [
        ["connected", null, by], ["reconnected", "import", null], ["reconnected", null, by], ["reconnected", "requested", by], ["disconnected", null, by],
      ]);
    });
  }
});
