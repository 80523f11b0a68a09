// What the tests of credentials share: a worker that offers every entry of the catalogue that is connected with them.
import { credentialCatalogue } from "./catalogue.mjs";
import { simulateCredentialProviders } from "./credential-simulator.mjs";
import { workerFixture } from "./worker-fixture.mjs";

/**
 * `workerFixture` behind a proxy of Supabase, with the `entries` of the catalogue that are connected with credentials, and `providers`: their
 * simulators by type. `settings` are further ones of the worker.
 */
export function credentialFixture(settings = {}) {
  const entries = credentialCatalogue();
  const fixture = workerFixture({
    gateway: true,
    settings: async ({ info, stops }) => {
      const simulators = await simulateCredentialProviders(entries, info);
      stops.push(simulators.stop);
      fixture.providers = simulators.providers;
      return { ...simulators.settings, ...settings };
    },
  });
  fixture.entries = entries;
  return fixture;
}

/** The whole of a connection: the integration as the API shows it. */
export async function connected(browser, type, account, over = {}) {
  const body = { integration_type: type, fields: account.fields, ...over };
  return (await browser.post("/api/integrations", body)).expect(201).json;
}
