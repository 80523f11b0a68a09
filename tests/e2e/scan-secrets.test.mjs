// Secrets in every answer of a provider, and in the credential that asks: none of them is in a table, in a log or in an error.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";

import { recordedReads } from "../stack/recorded-reads.mjs";
import { findingsOf, insertScannable, scan, scanFixture } from "../support/scanner.mjs";
import { SecretCanaries } from "../support/secret-canaries.mjs";

const TYPES = ["supabase", "auth0", "vercel", "heroku", "discord", "gitlab", "github"];
/** How an answer may carry a secret: under a name that says so, and under one that does not. */
const NAMES = ["smtp_pass", "client_secret", "jwt_secret", "access_token", "password", "comment", "description2", "x"];

describe("secrets", () => {
  const fixture = scanFixture("scan-secrets");

  // threat model 303
  it("secrets of answers and credentials are kept nowhere", async () => {
    const canaries = new SecretCanaries();
    const canary = (name) => {
      const value = `canary-${randomUUID()}`;
      canaries.add({ [`${name} ${value}`]: value });
      return value;
    };
    const recorded = recordedReads();
    const plant = (value) => {
      if (Array.isArray(value)) return value.map(plant);
      if (value === null || typeof value !== "object") return value;
      const planted = Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plant(inner)]));
      for (const name of NAMES) if (!(name in planted)) planted[name] = canary(name);
      return planted;
    };
    let answers = 0;
    // By turns: as it should be with more in it, and as an error that quotes what it should not.
    const restore = fixture.server.fault(({ method, path, headers }) => headers.authorization?.startsWith("Bearer token-") && recorded(method, path), ({ request, response }) => {
      const { status, headers, body } = recorded(request.method, request.path);
      const more = { "x-secret": canary("header"), "set-cookie": `session=${canary("cookie")}` };
      if (failing && answers++ % 3 === 0) {
        response.writeHead([400, 403, 404, 500, 418][answers % 5], { "content-type": "text/html", ...more });
        return response.end(`<html>${canary("error")} ${request.headers.authorization}</html>`);
      }
      response.writeHead(status, { ...headers, ...more });
      response.end(body ? JSON.stringify(plant(JSON.parse(body))) : "");
    });
    let failing = false;
    let found = 0;
    for (const type of TYPES) {
      const integration = await insertScannable(fixture, { type, plain: { refresh_token: canary("refresh token"), client_secret: canary("client secret") } });
      canaries.add({ [`token of ${type}`]: integration.token });
      for (failing of [false, true]) await scan(fixture, integration);
      found += Object.keys(await findingsOf(fixture, integration)).length;
    }
    restore();
    assert.ok(found > 30, `${found} checks found something`);

    const tables = await fixture.sql`
      select table_schema as schema, table_name as name from information_schema.tables
      where table_schema in ('public', 'private') and table_type = 'BASE TABLE'`;
    assert.ok(tables.length > 15);
    for (const { schema, name } of tables) {
      const rows = await fixture.sql`select to_jsonb(t)::text as text from ${fixture.sql(schema)}.${fixture.sql(name)} t`;
      assert.deepEqual(canaries.in(rows.map(({ text }) => text).join("\n")), [], `${schema}.${name}`);
    }
    const logs = [fixture.scanner, fixture.worker].flatMap((one) => one.logs().map(({ message }) => message));
    assert.deepEqual(canaries.in(logs.join("\n")), []);
    for (const file of readdirSync(fixture.info.logs)) {
      assert.deepEqual(canaries.in(readFileSync(path.join(fixture.info.logs, file), "utf8")), [], file);
    }
  });
});
