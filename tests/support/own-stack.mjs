// A stack of a test file's own, for what would disturb others: the schedule takes whatever is due, a pause holds for everybody.
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, before, beforeEach } from "node:test";

import { seal } from "../format/format.mjs";
import { startStack } from "../stack/stack.mjs";
import { connect } from "./database.mjs";
import { startProxy } from "./proxy.mjs";
import { startWorker } from "./worker.mjs";

/**
 * To be called in `describe`. Each test begins without integrations and pauses. Returns the fixture, complete once tests run: `info`, `sql`,
 * `worker`, `server` and `gateway` (the proxies in front of the authorization server and of Supabase's), and `start(bindings?, options?)`:
 * another worker, with the same OAuth client.
 */
export function ownStackFixture(name) {
  const fixture = {};
  const stops = [];
  let dir;
  before(async () => {
    dir = mkdtempSync(path.join(tmpdir(), `${name}-`));
    const stack = await startStack({ dir, appUrl: "http://localhost:3000" });
    stops.push(stack.stop);
    fixture.info = stack.info;
    fixture.sql = connect(fixture.info);
    stops.push(() => fixture.sql.end());
    fixture.server = await startProxy(fixture.info.authorization_server_url);
    fixture.gateway = await startProxy(fixture.info.supabase_url);
    stops.push(fixture.server.stop, fixture.gateway.stop);
    fixture.worker = await fixture.start();
  });
  after(async () => {
    for (const stop of stops.reverse()) await stop();
    rmSync(dir, { recursive: true, force: true });
  });
  beforeEach(async () => {
    await fixture.sql`delete from public.integrations`;
    await fixture.sql`delete from private.provider_pauses`;
    await fixture.sql`delete from private.integration_pauses`;
  });
  afterEach((context) => {
    if (!context.passed) context.diagnostic(fixture.worker.logs().slice(-10).map(({ message }) => message).join("\n"));
  });

  fixture.start = async (bindings = {}, options = {}) => {
    const { client_id, client_secret } = fixture.worker?.info ?? {};
    const worker = await startWorker({ ...fixture.info, supabase_url: fixture.gateway.url }, {
      SUPABASE_BASE_URL: fixture.server.url,
      ...(client_id && { SUPABASE_CLIENT_ID: client_id, SUPABASE_CLIENT_SECRET: client_secret }),
      ...bindings,
    }, options);
    stops.push(worker.stop);
    return worker;
  };
  return fixture;
}

/** Inserts rows as the worker leaves them, each in an organisation of its own unless one is given; returns their ids. `columns` are further ones. */
export async function insertRows({ info, sql }, count, { seconds, refresh_token, organization_id: shared, ...columns }) {
  const key = Buffer.from(info.encryption_key, "base64");
  const rows = Array.from({ length: count }, (_, i) => {
    const [id, organization_id] = [randomUUID(), shared ?? randomUUID()];
    const plain = {
      access_token: `old-${i}-${id}`,
      ...(refresh_token !== null && { refresh_token: `old-${id}` }),
      expires_at: new Date(Date.now() + seconds * 1000).toISOString(),
      project_id: id,
    };
    const config = seal(key, { organization_id, integration_id: id }, plain, () => randomBytes(12));
    return { id, organization_id, integration_type: "supabase", name: id, external_account_id: id, config, ...columns };
  });
  await sql`insert into public.integrations ${sql(rows)}`;
  return rows.map(({ id }) => id);
}
