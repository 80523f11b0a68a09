// What the tests of the OAuth flow share: a worker whose requests to the authorization server can be watched and disturbed.
import { before } from "node:test";

import { exchangeOf, keepGrants } from "./grants.mjs";
import { workerFixture } from "./worker-fixture.mjs";

/**
 * `workerFixture` with a proxy in front of the authorization server, and with `gateway` one in front of Supabase. The fixture has, too:
 *
 * - `exchanges(callback)`: how many requests the token endpoint got for this callback URL's code
 * - `grant(callback)`: what the authorization server gave out for it
 * - `identityOf(callback)`: matches the request for the accounts of that grant, at `server`
 */
export function oauthFixture({ gateway, settings } = {}) {
  const fixture = workerFixture({ gateway, server: true, settings });
  before(() => {
    fixture.grant = keepGrants(fixture.server, fixture.info.authorization_server_url);
  });
  fixture.exchanges = (callback) => fixture.server.count(exchangeOf(callback));
  fixture.identityOf = (callback) => ({ path, headers }) =>
    path === "/v1/projects" && headers.authorization === `Bearer ${fixture.grant(callback)?.access_token}`;
  return fixture;
}
