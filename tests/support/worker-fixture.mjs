// What nearly every test of the system needs: a worker on a stack, and proxies that watch and disturb its requests.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, before } from "node:test";

import { startStack } from "../stack/stack.mjs";
import { connect } from "./database.mjs";
import { logOnFailure } from "./log-on-failure.mjs";
import { startProxy } from "./proxy.mjs";
import { stack } from "./stack.mjs";
import { startWorker } from "./worker.mjs";

/**
 * To be called in `describe`. Starts a worker before the tests and stops it after them. Options:
 *
 * - `gateway`, `server`: start a proxy in front of Supabase, in front of the authorization server
 * - `settings`: further settings of the worker, or a function that makes them of the fixture
 * - `ownStack: { name, ...options }`: starts a stack for this file alone (options of `startStack`) instead of using the one that the run shares
 *
 * Returns the fixture, complete once tests run:
 *
 * - `info`, `sql`, `worker`: the stack, its database, the worker
 * - `server`, `gateway`: the proxies
 * - `start(bindings?, options?)`: starts another worker behind the same proxies, with the same OAuth client
 * - `stops`: functions to call in the end, the last one first
 */
export function workerFixture({ gateway = false, server = false, settings = {}, ownStack } = {}) {
  const stops = [];
  const fixture = { stops };
  if (!ownStack) fixture.info = stack();

  before(async () => {
    if (ownStack) fixture.info = await startOwnStack(ownStack, stops);
    const { info } = fixture;
    fixture.sql = connect(info);
    stops.push(() => fixture.sql.end());
    const proxy = async (target) => {
      const started = await startProxy(target);
      stops.push(started.stop);
      return started;
    };
    if (server) fixture.server = await proxy(info.authorization_server_url);
    if (gateway) fixture.gateway = await proxy(info.supabase_url);
    fixture.worker = await fixture.start(typeof settings === "function" ? await settings(fixture) : settings);
  });
  after(async () => {
    for (const stop of stops.reverse()) await stop();
  });
  afterEach(logOnFailure(() => fixture.worker));

  fixture.start = async (bindings = {}, options = {}) => {
    const { client_id, client_secret } = fixture.worker?.info ?? {};
    const info = { ...fixture.info, ...(gateway && { supabase_url: fixture.gateway.url }) };
    const worker = await startWorker(info, {
      ...(server && { SUPABASE_BASE_URL: fixture.server.url }),
      ...(client_id && { SUPABASE_CLIENT_ID: client_id, SUPABASE_CLIENT_SECRET: client_secret }),
      ...bindings,
    }, options);
    stops.push(worker.stop);
    return worker;
  };
  return fixture;
}

async function startOwnStack({ name, ...options }, stops) {
  const dir = mkdtempSync(path.join(tmpdir(), `${name}-`));
  stops.push(() => rmSync(dir, { recursive: true, force: true }));
  const { info, stop } = await startStack({ dir, appUrl: "http://localhost:3000", ...options });
  stops.push(stop);
  return info;
}
