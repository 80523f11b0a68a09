// A disconnection deletes the credential that was read, and no newer one.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import { call, completion, config, KID, startServer } from "./support.mjs";

let server, owner, service;
before(async () => {
  server = await startServer();
  ({ owner, service } = await server.createProject());
});
after(() => server?.stop());

const connected = async () => {
  const args = completion();
  await call(service, "complete_connection", args);
  return args;
};
const find = ({ p_id, p_user_id }) => call(service, "find_integration", { p_id, p_user_id });
const disconnect = ({ p_id, p_user_id }, p_version, over) =>
  call(service, "disconnect_as_read", { p_id, p_user_id, p_revoked: "true", p_request_id: "r", p_version, ...over });
const stands = async ({ p_id }) => (await owner`select id from public.integrations where id = ${p_id}`).length === 1;
const events = async ({ p_id }) =>
  (await owner`select action from public.credential_events where integration_id = ${p_id} order by id`).map(({ action }) => action);

test("as it was read it goes, whatever else of the row has changed", async () => {
  const args = await connected();
  const { version } = await find(args);
  await owner`update public.integrations set name = 'Other', status = 'degraded' where id = ${args.p_id}`;
  assert.deepEqual(await disconnect(args, version), { outcome: "disconnected" });
  assert.equal(await stands(args), false);
});

test("with another credential it is changed: it stands, and no event says that it went", async () => {
  const args = await connected();
  const { version } = await find(args);
  await owner`update public.integrations set config = ${owner.json(config(KID.b))} where id = ${args.p_id}`;
  assert.deepEqual(await disconnect(args, version), { outcome: "changed" });
  assert.equal(await stands(args), true);
  assert.deepEqual(await events(args), ["connected", "opened"]);
  assert.deepEqual(await disconnect(args, (await find(args)).version), { outcome: "disconnected" });
});

test("a refreshed credential that waits to be written is the newest: it is handed out, and counts as a change", async () => {
  const args = await connected();
  const { version } = await find(args);
  const journal = config(KID.c);
  await owner`insert into public.credential_leases (integration_id, journal) values (${args.p_id}, ${owner.json(journal)})`;
  assert.deepEqual(await disconnect(args, version), { outcome: "changed" });
  const found = await find(args);
  assert.deepEqual(found.config, journal);
  assert.deepEqual(await disconnect(args, found.version), { outcome: "disconnected" });
  assert.equal((await owner`select from public.credential_leases where integration_id = ${args.p_id}`).length, 0);
});

test("without a version nothing goes; to a stranger, and once it has gone, it is unknown", async () => {
  const args = await connected();
  const { version } = await find(args);
  assert.deepEqual(await disconnect(args, null), { outcome: "changed" });
  assert.deepEqual(await disconnect(args, version, { p_user_id: randomUUID() }), { outcome: "unknown" });
  assert.equal(await stands(args), true);
  assert.deepEqual(await disconnect(args, version), { outcome: "disconnected" });
  assert.deepEqual(await disconnect(args, version), { outcome: "unknown" });
});
