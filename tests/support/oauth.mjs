// What the tests of the OAuth flow share: a worker whose way to the authorization server can be watched and disturbed.
import { after, afterEach, before } from "node:test";

import { connect } from "./database.mjs";
import { tellOnFailure } from "./failures.mjs";
import { exchangeOf, keepGrants } from "./grants.mjs";
import { startProxy } from "./proxy.mjs";
import { stack } from "./stack.mjs";
import { startWorker } from "./worker.mjs";

/**
 * To be called in `describe`. Starts a worker for its tests, with a proxy in front of the authorization server and, with
 * `gateway`, one in front of Supabase's. `settings(scene)` are further settings, `stop()` ends what these started. Returns the
 * scene, complete once tests run:
 *
 * - `info`, `sql`, `worker`: the stack, its database, the worker
 * - `server`, `gateway`: the proxies
 * - `exchanges(callback)`: how many requests the token endpoint got for this callback URL's code
 * - `grant(callback)`: what the authorization server gave out for it
 * - `identityOf(callback)`: matches the request for the accounts of that grant, at `server`
 */
export function oauthScene({ gateway = false, settings = () => ({}), stop } = {}) {
  const info = stack();
  const scene = { info };
  const stops = stop ? [stop] : [];

  before(async () => {
    scene.sql = connect(info);
    stops.push(() => scene.sql.end());
    scene.server = await startProxy(info.authorization_server_url);
    stops.push(scene.server.stop);
    scene.grant = keepGrants(scene.server, info.authorization_server_url);
    scene.exchanges = (callback) => scene.server.count(exchangeOf(callback));
    scene.identityOf = (callback) => ({ path, headers }) =>
      path === "/v1/projects" && headers.authorization === `Bearer ${scene.grant(callback)?.access_token}`;
    let project = info;
    if (gateway) {
      scene.gateway = await startProxy(info.supabase_url);
      stops.push(scene.gateway.stop);
      project = { ...info, supabase_url: scene.gateway.url };
    }
    scene.worker = await startWorker(project, { SUPABASE_BASE_URL: scene.server.url, ...(await settings(scene)) });
    stops.push(scene.worker.stop);
  });
  after(async () => {
    for (const stop of stops.reverse()) await stop();
  });
  afterEach(tellOnFailure(() => scene.worker));
  return scene;
}
