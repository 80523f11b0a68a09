// What the tests of credentials share: a worker that offers every entry of the catalogue that is connected with them.
import { after, afterEach, before } from "node:test";

import { credentialCatalogue } from "./catalogue.mjs";
import { bendToCredentials } from "./credential-bends.mjs";
import { connect } from "./database.mjs";
import { tellOnFailure } from "./failures.mjs";
import { startProxy } from "./proxy.mjs";
import { stack } from "./stack.mjs";
import { startWorker } from "./worker.mjs";

/**
 * To be called in `describe`. Returns the scene, complete once tests run: `info`, `sql`, `worker`, `entries`, `providers` (the bent
 * ones by type) and `gateway`, a proxy in front of Supabase's. `settings` are further ones of the worker.
 */
export function credentialScene(settings = {}) {
  const scene = { info: stack(), entries: credentialCatalogue() };
  const stops = [];
  before(async () => {
    scene.sql = connect(scene.info);
    stops.push(() => scene.sql.end());
    const bent = await bendToCredentials(scene.entries, scene.info);
    stops.push(bent.stop);
    scene.providers = bent.providers;
    scene.gateway = await startProxy(scene.info.supabase_url);
    stops.push(scene.gateway.stop);
    scene.worker = await startWorker({ ...scene.info, supabase_url: scene.gateway.url }, { ...bent.settings, ...settings });
    stops.push(scene.worker.stop);
  });
  after(async () => {
    for (const stop of stops.reverse()) await stop();
  });
  afterEach(tellOnFailure(() => scene.worker));
  return scene;
}

/** The whole of a connection: the integration as the API shows it. */
export async function connected(browser, type, account, over = {}) {
  const body = { integration_type: type, fields: account.fields, ...over };
  return (await browser.post("/api/integrations", body)).expect(201).json;
}
