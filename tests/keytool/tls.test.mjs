// keytool and TLS: a server is talked to only if its certificate is from an authority that is trusted, for its name, and of today.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";

import postgres from "postgres";

import { migrate } from "../stack/migrate.mjs";
import { startPostgres } from "../stack/postgres.mjs";
import { createAuthority } from "./certificates.mjs";
import { A_TO_B, assertDone, assertError, keytool } from "./support.mjs";

const authority = createAuthority("Test authority");
const CERTIFICATES = {
  "of this server": authority.issue({ dns: "localhost", ip: "127.0.0.1" }),
  "of another name": authority.issue({ dns: "db.example.com" }),
  "that has run out": authority.issue({ dns: "localhost", ip: "127.0.0.1", days: 0.5 }),
};

let dir, server, files;
before(async () => {
  dir = mkdtempSync(path.join(tmpdir(), "keytool-tls-"));
  chmodSync(dir, 0o755);
  files = { ca: file("ca.pem", authority.pem), other: file("other.pem", createAuthority("Another").pem), cert: path.join(dir, "server.pem"), key: path.join(dir, "server.key") };
  install("of this server");
  const settings = { ssl: "on", ssl_cert_file: files.cert, ssl_key_file: files.key };
  server = await startPostgres({ dir, logs: path.join(dir, "logs"), settings });
  await migrate(server.url("postgres"));
});
after(async () => {
  await server?.stop();
  await server?.stop();
  rmSync(dir, { recursive: true, force: true });
});

function file(name, content, mode = 0o644) {
  const place = path.join(dir, name);
  writeFileSync(place, content);
  chmodSync(place, mode);
  return place;
}

/** Puts the certificate where the server reads it. Its key must belong to whom the server runs as. */
function install(name) {
  file("server.pem", CERTIFICATES[name].pem);
  file("server.key", CERTIFICATES[name].keyPem, 0o600);
  if (process.getuid?.() === 0) chownSync(files.key, Number(execFileSync("id", ["-u", "nobody"], { encoding: "utf8" })), 0);
}

async function present(name) {
  install(name);
  const loaded = await inSession((sql) => sql`select pg_conf_load_time() as at, pg_reload_conf()`);
  // A new session has what the server has read by then.
  while (!((await inSession((sql) => sql`select pg_conf_load_time() as at`))[0].at > loaded[0].at)) await delay(20);
}

async function inSession(act) {
  const sql = postgres(server.url("supabase_admin"), { max: 1 });
  return act(sql).finally(() => sql.end());
}

function run(mode, ...args) {
  const url = new URL(server.url("postgres"));
  url.search = `sslmode=${mode}`;
  return keytool({ ...A_TO_B, DATABASE_URL: url.href }, ...args);
}

/** How the sessions came that keytool had open while `act` went on. */
async function sessions(act) {
  const sql = postgres(server.url("supabase_admin"), { max: 1 });
  const seen = new Set();
  const going = act();
  let over = false;
  going.finally(() => (over = true));
  while (!over) {
    const rows = await sql`select s.ssl from pg_stat_ssl s join pg_stat_activity a using (pid) where a.application_name = 'keytool'`;
    for (const { ssl } of rows) seen.add(ssl);
  }
  await sql.end();
  assertDone(await going);
  return [...seen];
}

describe("with an authority of one's own", () => {
  test("every session is encrypted, by whatever of libpq's modes it was asked for", async () => {
    await present("of this server");
    for (const mode of ["require", "verify-ca", "verify-full"]) {
      assert.deepEqual(await sessions(() => run(mode, "rotate", "--ca-file", files.ca)), [true], mode);
    }
    assertDone(await run("verify-full", "rotate", "--complete", "--yes", "--ca-file", files.ca));
    assertDone(await run("verify-full", "fence", "--lift", "--ca-file", files.ca));
  });

  test("a certificate that is for another name, or of yesterday: not talked to", async () => {
    for (const name of ["of another name", "that has run out"]) {
      await present(name);
      // Also where libpq would look at nothing.
      for (const mode of ["require", "verify-full"]) assertRefused(await run(mode, "rotate", "--ca-file", files.ca));
    }
  });

  test("another authority's certificate, or one that the public ones do not know: not talked to", async () => {
    await present("of this server");
    assertRefused(await run("require", "rotate", "--ca-file", files.other));
    assertRefused(await run("require", "rotate"));
  });
});

function assertRefused(done) {
  assertError(done, 1, /certificate/);
  const { password } = new URL(server.url("postgres"));
  assert.ok(!(done.stdout + done.stderr).includes(password));
}
