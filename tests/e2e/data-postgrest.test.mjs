// What a user can do at Supabase directly, with nothing but their own session: see their own rows without the credentials, and
// no more. (tests/database has every privilege one by one; here are the clients that a stranger would use.)
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { integrationsOf } from "../support/integrations.mjs";
import { supabase } from "../support/users.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const SAFE = "id, organization_id, integration_type, name, status, created_at, updated_at";
const DENIED = "42501";

describe("a user at PostgREST", { concurrency: true }, () => {
  const fixture = workerFixture();
  const { info } = fixture;
  let sql, worker, owner, other, row;
  before(async () => {
    ({ sql, worker } = fixture);
    [owner, other] = await Promise.all([BrowserSession.signedUp(worker), BrowserSession.signedUp(worker)]);
    await Promise.all([owner.connect(`postgrest-${randomUUID()}`), other.connect(`postgrest-${randomUUID()}`)]);
    [row] = await integrationsOf(sql, owner.user.id);
  });

  /** PostgREST without a client library, as this user or, without one, with the key alone. */
  async function rest(path, { user, method = "GET", body, key = info.publishable_key, headers = {} } = {}) {
    const response = await fetch(`${info.supabase_url}/rest/v1/${path}`, {
      method,
      headers: {
        apikey: key,
        ...(user && { authorization: `Bearer ${user.access_token}` }),
        ...(body && { "content-type": "application/json" }),
        ...headers,
      },
      body: body && JSON.stringify(body),
    });
    return { status: response.status, text: await response.text() };
  }

  function assertDenied(answer, what) {
    assert.ok([401, 403].includes(answer.status), `${what}: expected 401 or 403, got ${answer.status} ${answer.text}`);
    assert.equal(JSON.parse(answer.text).code, DENIED, `${what}: ${answer.text}`);
  }

  for (const key of ["publishable_key", "anon_key"]) {
    // Threat model 26.
    it(`supabase-js (${key}) reads the user's own rows without config, and another user's not at all`, async () => {
      const [own, others] = [owner, other].map(({ user }) => supabase(info, user, info[key]));
      const list = await own.from("integrations").select(SAFE);
      assert.equal(list.error, null);
      assert.deepEqual(list.data.map(({ id, name }) => ({ id, name })), [{ id: row.id, name: row.name }]);

      for (const columns of ["config", "id, config", "*", "config->access_token", "config->>project_id", "secret:config"]) {
        const { data, error, status } = await own.from("integrations").select(columns);
        assert.deepEqual({ data, code: error?.code, status }, { data: null, code: DENIED, status: 403 }, columns);
      }
      const foreign = await others.from("integrations").select(SAFE).eq("id", row.id);
      assert.deepEqual({ data: foreign.data, error: foreign.error }, { data: [], error: null });
      const nobody = await supabase(info, undefined, info[key]).from("integrations").select("id");
      assert.deepEqual({ data: nobody.data, code: nobody.error?.code }, { data: null, code: DENIED });
    });
  }

  // Threat model 26.
  it("raw requests for config are denied: as a column, a filter, an order, or by default", async () => {
    const { user } = owner;
    for (const query of [
      "", "?select=*", "?select=config", "?select=id,config", "?select=c:config", "?select=config->access_token", "?select=id&config=not.is.null",
      "?select=id&config->>project_id=eq.x", "?select=id&order=config", "?select=id&or=(config.not.is.null)", "?select=config.max()",
    ]) {
      const answer = await rest(`integrations${query}`, { user });
      assert.ok([400, 401, 403].includes(answer.status), `${query}: expected a refusal, got ${answer.status} ${answer.text}`);
      for (const secret of [row.config.access_token, row.config.refresh_token]) assert.ok(!answer.text.includes(secret), query);
    }
    assert.equal((await rest("integrations?select=id", { user })).status, 200, "what is allowed is allowed");
  });

  // Threat model 26.
  it("INSERT, UPSERT, PATCH and DELETE by a user are denied, and the row is as it was", async () => {
    const { user } = owner;
    const made = { organization_id: user.id, integration_type: "supabase", name: "made by hand", config: {} };
    const one = `integrations?id=eq.${row.id}`;
    for (const headers of [{}, { prefer: "return=representation" }, { prefer: "return=minimal" }]) {
      assertDenied(await rest("integrations", { user, method: "POST", body: made, headers }), "INSERT");
      assertDenied(await rest(one, { user, method: "PATCH", body: { name: "x" }, headers }), "PATCH name");
      assertDenied(await rest(one, { user, method: "PATCH", body: { config: {} }, headers }), "PATCH config");
      assertDenied(await rest(one, { user, method: "PATCH", body: { organization_id: other.user.id }, headers }), "PATCH organization_id");
      assertDenied(await rest(one, { user, method: "DELETE", headers }), "DELETE");
      assertDenied(await rest("integrations", { user, method: "DELETE", headers }), "DELETE of all");
    }
    const upsert = { prefer: "resolution=merge-duplicates" };
    assertDenied(await rest("integrations", { user, method: "POST", body: { ...made, id: row.id }, headers: upsert }), "UPSERT");
    assertDenied(await rest(`integrations?id=eq.${row.id}`, { user, method: "PUT", body: { ...made, id: row.id } }), "PUT");
    assert.deepEqual((await integrationsOf(sql, user.id))[0], row);
  });

  // Threat model 26.
  it("a user reads only their own rows of every other table, and writes none", async () => {
    // Where a user may read every column, row level security leaves none of another organization's rows.
    const tables = await sql`
      select c.relname as name, bool_and(has_column_privilege('authenticated', c.oid, a.attnum, 'select')) as readable
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname <> 'integrations'
      group by 1 order by 1`;
    const names = tables.map(({ name }) => name);
    const readable = tables.filter((table) => table.readable).map(({ name }) => name);
    assert.deepEqual(readable, ["assessment_checks", "finding_mutes", "organization_members"]);
    assert.ok(names.includes("oauth_transactions") && names.includes("credential_events"), names.join());
    for (const name of names) {
      for (const user of [owner.user, undefined]) {
        const read = await rest(`${name}?select=*`, { user });
        if (readable.includes(name) && user) assert.deepEqual(read, { status: 200, text: "[]" });
        else assertDenied(read, `GET ${name} as ${user ? "a user" : "nobody"}`);
        assertDenied(await rest(name, { user, method: "POST", body: {} }), `POST ${name}`);
        assertDenied(await rest(name, { user, method: "DELETE" }), `DELETE ${name}`);
      }
    }
  });

  // Threat model 26.
  it("every function is denied to users and to the public key alone", async () => {
    const functions = await sql`
      select p.proname as name, coalesce(p.proargnames[1:p.pronargs], '{}') as arguments
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where n.nspname = 'public' and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype`;
    const names = functions.map(({ name }) => name);
    for (const expected of ["begin_connection", "complete_connection", "abandon_connection", "disconnect_integration"]) {
      assert.ok(names.includes(expected), `${expected} is among ${names}`);
    }
    for (const { name, arguments: parameters } of functions) {
      const body = Object.fromEntries(parameters.map((parameter) => [parameter, null]));
      for (const user of [owner.user, undefined]) {
        assertDenied(await rest(`rpc/${name}`, { user, method: "POST", body }), `${name} as ${user ? "a user" : "nobody"}`);
      }
    }
  });
});
