// What the database has answered survives its crash, so that a test which kills it judges what an operator would see (threat model 118).
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { call, completion, startServer } from "./support.mjs";
import { until } from "../support/wait.mjs";

let server, project;
before(async () => {
  server = await startServer();
  project = await server.createProject();
});
after(() => server?.stop());

test("a connection that was acknowledged survives a crash of PostgreSQL", async () => {
  const [{ pid }] = await project.owner`select pg_backend_pid() as pid`;
  for (let round = 0; round < 3; round++) {
    const args = completion();
    const answered = await call(project.service, "complete_connection", args);
    // A backend that dies like this takes the server's shared memory with it; what was not yet handed to the disk is gone.
    const [victim] = round === 0 ? [pid] : (await project.owner`select pg_backend_pid() as pid`).map((row) => row.pid);
    process.kill(victim, "SIGKILL");
    assert.equal(answered.outcome, "created");
    const rows = () => project.owner`select id from public.integrations where id = ${args.p_id}`.catch(() => undefined);
    await until("PostgreSQL is back", async () => (await rows()) !== undefined);
    assert.equal((await rows()).length, 1, "the row");
  }
});
