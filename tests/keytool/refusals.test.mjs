// keytool against what is not as it should be: settings, networks, databases, roles. One clear line, the right exit status, nothing changed.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { after, before, describe, test } from "node:test";

import { freePort, listen, LOOPBACK } from "../stack/listen.mjs";
import { A, A_TO_B, assertDone, assertError, B, keytool, startDatabases } from "./support.mjs";

let databases, table;
before(async () => {
  databases = await startDatabases();
  table = await databases.project();
  await table.insertMany(5, A);
});
after(() => databases?.stop());

/** Every command that goes to the database. */
const COMMANDS = [["status"], ["rotate"], ["verify"], ["fence"], ["fence", "--lift"], ["retire"], ["registry"]];

async function everyCommand(settings, status, message, secrets = []) {
  const before = await table.rows();
  for (const command of COMMANDS) {
    const done = await keytool(settings, ...command);
    assertError(done, status, message);
    assert.equal(done.stdout, "");
    for (const secret of [A.base64, B.base64, ...secrets]) assert.ok(!done.stderr.includes(secret), done.stderr);
  }
  assert.deepEqual(await table.rows(), before);
}

describe("settings", () => {
  test("no way to the database", () => everyCommand(A_TO_B, 2, /DATABASE_URL environment variable is not set$/));

  test("a way over PostgREST without its key", () =>
    everyCommand({ ...A_TO_B, SUPABASE_URL: "https://x.supabase.co" }, 2, /SUPABASE_SERVICE_ROLE_KEY environment variable is not set$/));

  test("a connection string that is none", () =>
    everyCommand({ ...A_TO_B, DATABASE_URL: "postgres://postgres:hunter2@host:port/db" }, 2, /DATABASE_URL is no connection string/, ["hunter2"]));

  test("an address that is not https", async () => {
    for (const url of ["http://x.supabase.co", "x.supabase.co", "https://", "https://a@b.example", "https://x.example?apikey=1", "file:///etc"]) {
      const settings = { ...A_TO_B, SUPABASE_URL: url, SUPABASE_SERVICE_ROLE_KEY: "sb_secret_hunter2" };
      assertError(await keytool(settings, "status"), 2, /SUPABASE_URL is no https address/);
    }
  });

  test("no keys, or keys that are none, where keys are needed", async () => {
    for (const command of [["rotate"], ["verify"], ["fence"], ["retire"]]) {
      assertError(await keytool(table.direct, ...command), 2, /^error: ENCRYPTION_KEY environment variable is not set$/);
      assertError(await keytool({ ...table.direct, ENCRYPTION_KEY: "c2hvcnQ=" }, ...command), 2, /ENCRYPTION_KEY: a key must be base64 of 32 bytes/);
      const twice = { ENCRYPTION_KEY: A.base64, FALLBACK_ENCRYPTION_KEYS: A.base64 };
      assertError(await keytool({ ...table.direct, ...twice }, ...command), 2, /is given twice/);
    }
  });

  test("arguments out of range", async () => {
    for (const args of [["--jobs", "0"], ["--jobs", "100"], ["--batch", "0"], ["--batch", "5001"], ["--max-rate", "0"], ["--shard", "3/2"], ["--only-organization", "x"]]) {
      const done = await keytool({ ...table.direct, ...A_TO_B }, "rotate", ...args);
      assert.deepEqual([done.status, done.stdout], [2, ""], args.join(" "));
    }
    const part = await keytool({ ...table.direct, ...A_TO_B }, "rotate", "--all-the-way", "--shard", "1/2");
    assert.equal(part.status, 2);
  });

  test("a certificate file that is none", async () => {
    for (const file of ["/nonexistent/ca.pem", "/dev/null"]) {
      assertError(await keytool({ ...table.direct, ...A_TO_B }, "status", "--ca-file", file), 2, /^error: certificate file/);
    }
  });
});

describe("the network", () => {
  test("nobody listens", async () => {
    const port = await freePort();
    await everyCommand({ ...A_TO_B, DATABASE_URL: `postgres://postgres:hunter2@${LOOPBACK}:${port}/postgres` }, 1, /cannot be reached/, ["hunter2"]);
    const rest = { SUPABASE_URL: `http://${LOOPBACK}:${port}`, SUPABASE_SERVICE_ROLE_KEY: "sb_secret_hunter2" };
    await everyCommand({ ...A_TO_B, ...rest }, 1, /cannot be reached/, ["hunter2"]);
  });

  test("a server that speaks something else", async () => {
    const server = createServer((socket) => socket.on("error", () => {}).end("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n<html></>"));
    const { port } = new URL(await listen(server));
    try {
      const direct = await keytool({ ...A_TO_B, DATABASE_URL: `postgres://postgres:hunter2@${LOOPBACK}:${port}/postgres` }, "rotate");
      assert.equal(direct.status, 1, direct.stderr);
      const rest = await keytool({ ...A_TO_B, SUPABASE_URL: `http://${LOOPBACK}:${port}`, SUPABASE_SERVICE_ROLE_KEY: "sb_secret_hunter2" }, "rotate");
      assert.equal(rest.status, 1, rest.stderr);
      for (const { stderr } of [direct, rest]) assert.ok(!stderr.includes("hunter2"));
    } finally {
      server.close();
    }
  });

  test("TLS is asked for and the server has none: the password is not sent", async () => {
    const url = new URL(table.direct.DATABASE_URL);
    for (const mode of ["require", "verify-full"]) {
      url.search = `sslmode=${mode}`;
      const done = await keytool({ ...A_TO_B, DATABASE_URL: url.href }, "status");
      assert.equal(done.status, 1, done.stderr);
      assert.match(done.stderr, /TLS/);
    }
    url.search = "sslmode=disable";
    assertDone(await keytool({ ...A_TO_B, DATABASE_URL: url.href }, "status"));
  });
});

describe("the database", () => {
  test("a wrong password", () => {
    const url = new URL(table.direct.DATABASE_URL);
    url.password = "hunter2";
    return everyCommand({ ...A_TO_B, DATABASE_URL: url.href }, 2, /does not accept the credentials/, ["hunter2"]);
  });

  test("one that is not there", () => {
    const url = new URL(table.direct.DATABASE_URL);
    url.pathname = "/nonexistent";
    return everyCommand({ ...A_TO_B, DATABASE_URL: url.href }, 1, /"nonexistent" does not exist/);
  });

  test("one without the migrations, or with the source's table only", async () => {
    for (const to of [null, "20251207133000"]) {
      const bare = await databases.project({ to });
      await everyCommand({ ...A_TO_B, ...bare.direct }, 1, /lacks what this program calls/);
    }
  });

  test("a role without the right", () =>
    everyCommand({ ...A_TO_B, DATABASE_URL: table.project.url("authenticator") }, 1, /does not allow it/));

  test("the public key instead of the service key, or no key at all", async () => {
    const { anonymous } = await table.rest();
    // PostgREST does not show a function to a role that may not call it, or refuses the call.
    const done = await keytool({ ...A_TO_B, ...anonymous }, "rotate");
    assert.equal(done.status, 1, done.stderr);
    assert.match(done.stderr, /^error: the database (does not allow it|lacks)/);
    const wrong = { ...anonymous, SUPABASE_SERVICE_ROLE_KEY: "sb_secret_hunter2" };
    await everyCommand({ ...A_TO_B, ...wrong }, 2, /does not accept the credentials/, ["hunter2"]);
  });
});
