// keytool against what is not as it should be: settings, networks, databases, roles. One clear line, the right exit status, nothing changed.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
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
const COMMANDS = [["status"], ["rotate"], ["verify"], ["fence"], ["fence", "--lift"], ["retire", "--yes"], ["unretire", "--yes", "0123456789abcdef"], ["registry"]];

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
  test("keytool exits 2 without a database setting", () => everyCommand(A_TO_B, 2, /DATABASE_URL environment variable is not set$/));

  test("keytool exits 2 for PostgREST without its key", () =>
    everyCommand({ ...A_TO_B, SUPABASE_URL: "https://x.supabase.co" }, 2, /SUPABASE_SERVICE_ROLE_KEY environment variable is not set$/));

  test("keytool exits 2 for an invalid connection string", () =>
    everyCommand({ ...A_TO_B, DATABASE_URL: "postgres://postgres:hunter2@host:port/db" }, 2, /DATABASE_URL is no connection string/, ["hunter2"]));

  test("keytool exits 2 for an address that is not https", async () => {
    for (const url of ["http://x.supabase.co", "x.supabase.co", "https://", "https://a@b.example", "https://x.example?apikey=1", "file:///etc"]) {
      const settings = { ...A_TO_B, SUPABASE_URL: url, SUPABASE_SERVICE_ROLE_KEY: "sb_secret_hunter2" };
      assertError(await keytool(settings, "status"), 2, /SUPABASE_URL is no https address/);
    }
  });

  test("keytool exits 2 for missing or invalid keys", async () => {
    for (const command of [["rotate"], ["verify"], ["fence"], ["retire"]]) {
      assertError(await keytool(table.direct, ...command), 2, /^error: ENCRYPTION_KEY environment variable is not set$/);
      assertError(await keytool({ ...table.direct, ENCRYPTION_KEY: "c2hvcnQ=" }, ...command), 2, /ENCRYPTION_KEY: a key must be base64 of 32 bytes/);
      const twice = { ENCRYPTION_KEY: A.base64, FALLBACK_ENCRYPTION_KEYS: A.base64 };
      assertError(await keytool({ ...table.direct, ...twice }, ...command), 2, /is given twice/);
    }
  });

  test("keytool exits 2 for arguments out of range", async () => {
    for (const args of [["--jobs", "0"], ["--jobs", "100"], ["--batch", "0"], ["--batch", "5001"], ["--max-rate", "0"], ["--shard", "3/2"], ["--only-organization", "x"]]) {
      const done = await keytool({ ...table.direct, ...A_TO_B }, "rotate", ...args);
      assert.deepEqual([done.status, done.stdout], [2, ""], args.join(" "));
    }
    const part = await keytool({ ...table.direct, ...A_TO_B }, "rotate", "--complete", "--yes", "--shard", "1/2");
    assert.equal(part.status, 2);
  });

  // Threat model 109. keytool/tests/arguments.rs has every option and place.
  test("keytool does not print a key that is pasted where a file's name belongs", async () => {
    const attempts = [["id", "--key-file"], ["status", "--ca-file"], ["rotate", "--key-file"]];
    for (const key of [A.base64, A.base64.replace(/=+$/, ""), A.key.toString("base64url"), A.key.toString("hex"), `/${A.base64.slice(1)}`]) {
      for (const [command, option] of attempts) {
        const done = await keytool(table.direct, command, option, key);
        assert.equal(done.status, 2, `${command}: ${done.stdout}${done.stderr}`);
        assert.ok(!(done.stdout + done.stderr).includes(key.slice(4, 24)), `${command} ${option}: ${done.stdout}${done.stderr}`);
      }
    }
    // A key with a slash within names a directory that is not there.
    const key = `${A.base64.slice(0, 21)}/${A.base64.slice(22)}`;
    const done = await keytool({}, "generate", "--out", key);
    assert.equal(done.status, 2, done.stderr);
    assert.match(done.stderr, /cannot be made/);
    assert.ok(!(done.stdout + done.stderr).includes(key.slice(0, 20)), done.stderr);
  });

  test("keytool does not read a key file that is a directory or another user's", async () => {
    const directory = await mkdtemp(path.join(tmpdir(), "keytool-"));
    const file = path.join(directory, "key");
    try {
      const nothing = await keytool({}, "id", "--key-file", directory);
      assertError(nothing, 2, /is no (regular )?file|not a file/);
      await writeFile(file, A.base64, { mode: 0o600 });
      assertDone(await keytool({}, "id", "--key-file", file));
      // Only root can give a file away.
      if (process.getuid() !== 0) return;
      await chown(file, 65534, 65534);
      assertError(await keytool({}, "id", "--key-file", file), 2, /another user/);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test("keytool stops at a server that answers the same page again and again", async () => {
    const { newKey } = await table.rest();
    const pages = new Map();
    const server = createHttpServer(async (request, response) => {
      const chunks = await request.toArray();
      const { authorization, apikey, "content-type": type } = request.headers;
      const headers = Object.fromEntries(Object.entries({ authorization, apikey, "content-type": type }).filter(([, value]) => value));
      const body = chunks.length > 0 ? Buffer.concat(chunks) : undefined;
      const answer = await fetch(newKey.SUPABASE_URL + request.url, { method: request.method, headers, body });
      let text = await answer.text();
      const { pathname } = new URL(request.url, "http://localhost");
      if (/rewrap_read$/.test(pathname)) {
        const first = pages.get(pathname) ?? { text, count: 0 };
        pages.set(pathname, { text: first.text, count: first.count + 1 });
        text = first.text;
      }
      response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "text/plain" }).end(text);
    });
    const url = await listen(server);
    try {
      for (const command of ["verify", "rotate"]) {
        const done = await keytool({ ...A_TO_B, ...newKey, SUPABASE_URL: url }, command, "--batch", "2", "--jobs", "1");
        assertError(done, 1, /rows that are not the next ones/);
      }
      const counts = [...pages.values()].map(({ count }) => count);
      assert.ok(counts.length > 0 && counts.every((count) => count < 50), `pages: ${JSON.stringify([...pages])}`);
    } finally {
      server.close();
    }
  });

  // docs/threat-model.md 109
  test("keytool stops at a server with impossible counts or invalid row ids, and repeats nothing of it", async () => {
    let first;
    const lies = {
      "a page longer than was asked for": [
        "rewrap_read", ([row]) => Array.from({ length: 1001 }, (_, n) => ({ ...row, id: `00000000-0000-4000-8000-${String(n).padStart(12, "0")}` })),
        /rows that are not the next ones/,
      ],
      "data keys of no organization": ["data_keys", () => ({ data_keys: [{ organization_id: "planted" }] }), /data keys that cannot be read/],
      "more data keys rewrapped than were given": ["rewrap_data_keys", () => ({ count: 2 }), /an impossible number of data keys/],
      "the same data keys again and again": ["next_data_keys", (page) => (first ??= page), /data keys that are not the next ones/],
      "an id that is none": ["rewrap_read", (rows) => rows.map((row) => ({ ...row, id: "Z\u202eplanted" })), /an id that is no UUID/],
      "more rows written than were given": ["rewrap_write", () => 1_000_000, /more rows than it was given/],
      "fewer than none": ["rewrap_write", () => -1, /not PostgREST's/],
      "a count that is none": ["rewrap_write", () => "\u001b[31mZ\u202eplanted", /not PostgREST's/],
      "parts of the organizations without an end": ["record_rotation", () => 0, /parts that do not rise/],
    };
    for (const [name, [lying, lie, message]] of Object.entries(lies)) {
      const fresh = await databases.project();
      await fresh.insertMany(3, A);
      await fresh.insertOnDataKey(A, 1);
      const { newKey } = await fresh.rest();
      const server = createHttpServer(async (request, response) => {
        const body = Buffer.concat(await request.toArray());
        const { apikey, "content-type": type } = request.headers;
        const answer = await fetch(newKey.SUPABASE_URL + request.url, { method: request.method, headers: { apikey, "content-type": type }, body });
        let text = await answer.text();
        if (request.url.endsWith(`/${lying}`)) text = JSON.stringify(lie(request.url.endsWith("rewrap_write") ? 0 : JSON.parse(text)));
        response.writeHead(answer.status, { "content-type": "application/json" }).end(text);
      });
      const url = await listen(server);
      try {
        const done = await keytool({ ...A_TO_B, ...newKey, SUPABASE_URL: url }, "rotate", "--force", "--jobs", "1");
        assertError(done, 1, message);
        assert.doesNotMatch(done.stdout + done.stderr, /planted|`Z`|found `/, name);
      } finally {
        server.close();
      }
    }
  });

  test("keytool prints a server's message without control characters", async () => {
    const hostile = "\u001b[31mred\u202e\u2028\rerror: all is well";
    const server = createHttpServer((_, response) => {
      response.writeHead(404, { "content-type": "application/json" });
      response.end(JSON.stringify({ code: "PGRST202", message: hostile, details: hostile, hint: hostile }));
    });
    const url = await listen(server);
    try {
      for (const command of COMMANDS) {
        const done = await keytool({ ...A_TO_B, SUPABASE_URL: url, SUPABASE_SERVICE_ROLE_KEY: "sb_secret_hunter2" }, ...command);
        assert.equal(done.status, 1, done.stderr);
        assert.doesNotMatch(done.stdout + done.stderr, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/);
        assert.doesNotMatch(done.stderr, /^error: all is well/m);
      }
    } finally {
      server.close();
    }
  });

  test("keytool exits 2 for an invalid certificate file", async () => {
    for (const file of ["/nonexistent/ca.pem", "/dev/null"]) {
      assertError(await keytool({ ...table.direct, ...A_TO_B }, "status", "--ca-file", file), 2, /^error: the certificate file of --ca-file/);
    }
  });
});

describe("the network", () => {
  test("keytool says so when nobody listens", async () => {
    const port = await freePort();
    await everyCommand({ ...A_TO_B, DATABASE_URL: `postgres://postgres:hunter2@${LOOPBACK}:${port}/postgres` }, 1, /cannot be reached/, ["hunter2"]);
    const rest = { SUPABASE_URL: `http://${LOOPBACK}:${port}`, SUPABASE_SERVICE_ROLE_KEY: "sb_secret_hunter2" };
    await everyCommand({ ...A_TO_B, ...rest }, 1, /cannot be reached/, ["hunter2"]);
  });

  test("keytool says so when a server speaks another protocol", async () => {
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

  test("keytool does not send the password to a server without TLS if TLS is asked for", async () => {
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
  test("keytool says so when the password is wrong", () => {
    const url = new URL(table.direct.DATABASE_URL);
    url.password = "hunter2";
    return everyCommand({ ...A_TO_B, DATABASE_URL: url.href }, 2, /does not accept the credentials/, ["hunter2"]);
  });

  test("keytool says so when the database does not exist", () => {
    const url = new URL(table.direct.DATABASE_URL);
    url.pathname = "/nonexistent";
    return everyCommand({ ...A_TO_B, DATABASE_URL: url.href }, 1, /"nonexistent" does not exist/);
  });

  test("keytool says so when the migrations are missing", async () => {
    for (const to of [null, "20251207133000"]) {
      const bare = await databases.project({ to });
      await everyCommand({ ...A_TO_B, ...bare.direct }, 1, /lacks what this program calls/);
    }
  });

  test("keytool says so when the role lacks the right", () =>
    everyCommand({ ...A_TO_B, DATABASE_URL: table.project.url("authenticator") }, 1, /does not allow it/));

  test("keytool says so when it has the public key or none in place of the service key", async () => {
    const { anonymous } = await table.rest();
    // PostgREST does not show a function to a role that may not call it, or refuses the call.
    const done = await keytool({ ...A_TO_B, ...anonymous }, "rotate");
    assert.equal(done.status, 1, done.stderr);
    assert.match(done.stderr, /^error: the database (does not allow it|lacks)/m);
    const wrong = { ...anonymous, SUPABASE_SERVICE_ROLE_KEY: "sb_secret_hunter2" };
    await everyCommand({ ...A_TO_B, ...wrong }, 2, /does not accept the credentials/, ["hunter2"]);
  });
});
