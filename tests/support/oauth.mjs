// What the tests of the OAuth flow share: a worker whose way to the authorization server can be watched and disturbed.
import { after, afterEach, before } from "node:test";

import { connect } from "./database.mjs";
import { logOnFailure } from "./log-on-failure.mjs";
import { exchangeOf, keepGrants } from "./grants.mjs";
import { startProxy } from "./proxy.mjs";
import { stack } from "./stack.mjs";
import { startWorker } from "./worker.mjs";

/**
 * To be called in `describe`. Starts a worker for its tests, with a proxy in front of the authorization server and, with
 * `gateway`, one in front of Supabase's. `settings(fixture)` are further settings, `stop()` ends what these started. Returns the
 * fixture, complete once tests run:
 *
 * - `info`, `sql`, `worker`: the stack, its database, the worker
 * - `server`, `gateway`: the proxies
 * - `exchanges(callback)`: how many requests the token endpoint got for this callback URL's code
 * - `grant(callback)`: what the authorization server gave out for it
 * - `identityOf(callback)`: matches the request for the accounts of that grant, at `server`
 */
export function oauthFixture({ gateway = false, settings = () => ({}), stop } = {}) {
  const info = stack();
  const fixture = { info };
  const stops = stop ? [stop] : [];

  before(async () => {
    fixture.sql = connect(info);
    stops.push(() => fixture.sql.end());
    fixture.server = await startProxy(info.authorization_server_url);
    stops.push(fixture.server.stop);
    fixture.grant = keepGrants(fixture.server, info.authorization_server_url);
    fixture.exchanges = (callback) => fixture.server.count(exchangeOf(callback));
    fixture.identityOf = (callback) => ({ path, headers }) =>
      path === "/v1/projects" && headers.authorization === `Bearer ${fixture.grant(callback)?.access_token}`;
    let project = info;
    if (gateway) {
      fixture.gateway = await startProxy(info.supabase_url);
      stops.push(fixture.gateway.stop);
      project = { ...info, supabase_url: fixture.gateway.url };
    }
    fixture.worker = await startWorker(project, { SUPABASE_BASE_URL: fixture.server.url, ...(await settings(fixture)) });
    stops.push(fixture.worker.stop);
  });
  after(async () => {
    for (const stop of stops.reverse()) await stop();
  });
  afterEach(logOnFailure(() => fixture.worker));
  return fixture;
}
