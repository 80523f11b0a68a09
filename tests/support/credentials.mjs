// What the tests of credentials share: a worker that offers every entry of the catalogue that is connected with them.
import { after, afterEach, before } from "node:test";

import { credentialCatalogue } from "./catalogue.mjs";
import { simulateCredentialProviders } from "./credential-simulator.mjs";
import { connect } from "./database.mjs";
import { logOnFailure } from "./log-on-failure.mjs";
import { startProxy } from "./proxy.mjs";
import { stack } from "./stack.mjs";
import { startWorker } from "./worker.mjs";

/**
 * To be called in `describe`. Returns the fixture, complete once tests run: `info`, `sql`, `worker`, `entries`, `providers` (the simulated
 * ones by type) and `gateway`, a proxy in front of Supabase's. `settings` are further ones of the worker.
 */
export function credentialFixture(settings = {}) {
  const fixture = { info: stack(), entries: credentialCatalogue() };
  const stops = [];
  before(async () => {
    fixture.sql = connect(fixture.info);
    stops.push(() => fixture.sql.end());
    const simulators = await simulateCredentialProviders(fixture.entries, fixture.info);
    stops.push(simulators.stop);
    fixture.providers = simulators.providers;
    fixture.gateway = await startProxy(fixture.info.supabase_url);
    stops.push(fixture.gateway.stop);
    fixture.worker = await startWorker({ ...fixture.info, supabase_url: fixture.gateway.url }, { ...simulators.settings, ...settings });
    stops.push(fixture.worker.stop);
  });
  after(async () => {
    for (const stop of stops.reverse()) await stop();
  });
  afterEach(logOnFailure(() => fixture.worker));
  return fixture;
}

/** The whole of a connection: the integration as the API shows it. */
export async function connected(browser, type, account, over = {}) {
  const body = { integration_type: type, fields: account.fields, ...over };
  return (await browser.post("/api/integrations", body)).expect(201).json;
}
