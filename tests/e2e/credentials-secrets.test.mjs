// Credentials that a user gives, planted everywhere: none is in an answer, in the log, in a URL, or in the clear in a table; also where
// the provider and the database fail and repeat all that they were sent.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { credentialFixture } from "../support/credentials.mjs";
import { integrationsOf, opened } from "../support/integrations.mjs";
import { SecretCanaries } from "../support/secret-canaries.mjs";
import { json } from "../support/simulator-http.mjs";

const PATH = "/api/integrations";

describe("planted credentials", () => {
  const fixture = credentialFixture();
  const canaries = new SecretCanaries();
  const said = [];
  const plant = ({ fields }, entry) => {
    for (const { name, secret } of entry.fields) if (secret) canaries.add({ [`${entry.type} ${name}`]: fields[name] });
  };

  it("connections with credentials and their failures run, with every secret known", async () => {
    const heard = (answer) => (said.push(answer.all), answer);
    for (const entry of fixture.entries) {
      // A user each: one may not try as many.
      const browser = await BrowserSession.signedIn(fixture.worker);
      const { type, fields } = entry;
      const provider = fixture.providers[type];
      const [account, other] = [await provider.account(), await provider.account()];
      const fresh = await provider.account(account);
      for (const one of [account, other, fresh]) plant(one, entry);
      const connect = (given) => browser.post(PATH, { integration_type: type, fields: given });

      const { id } = heard(await connect(account.fields)).expect(201).json;
      const put = (given) => browser.put(`${PATH}/${id}/credentials`, { fields: given });
      const [row] = (await integrationsOf(fixture.sql, browser.user.id)).filter((one) => one.id === id);
      if (row.config.access_token) canaries.add({ [`${type} token`]: (await opened(fixture.info, row)).access_token });
      heard(await put(fresh.fields)).expect(200);
      heard(await put(other.fields)).expect(409);
      heard(await browser.post(`${PATH}/${id}/refresh`, {}));
      heard(await browser.post(`${PATH}/${id}/check`, {})).expect(200);
      for (const path of [PATH, `${PATH}/${id}`, `${PATH}/${id}/events`]) heard(await browser.get(path)).expect(200);

      // Secrets where none belong.
      const [secret] = fields.filter((field) => field.secret).map(({ name }) => account.fields[name]);
      for (const given of [{ [secret]: secret }, Object.fromEntries(fields.map(({ name }) => [name, `${secret} ${secret}`])), secret]) {
        heard(await connect(given)).expect(400);
      }
      heard(await browser.post(PATH, { integration_type: secret, fields: {} })).expect(400);
      heard(await browser.post(PATH, { integration_type: type, fields: account.fields, organization_id: secret })).expect(400);

      // The provider fails and repeats what it was sent.
      for (const status of [200, 400, 401, 500]) {
        provider.behaviour = (request) => json(status, { error: request.body, error_description: request.headers, message: request });
        heard(await connect(account.fields));
        heard(await put(fresh.fields));
        heard(await browser.post(`${PATH}/${id}/refresh`, {}));
      }
      provider.behaviour = undefined;

      // The database does.
      const echo = (status) => ({ request, response }) => {
        response.writeHead(status, { "content-type": "application/json" });
        response.end(JSON.stringify({ code: request.body, message: request.body, details: request, hint: JSON.stringify(request) }));
      };
      for (const rpc of [/\/rpc\//, /\/rpc\/complete_connection/]) {
        for (const status of [200, 400, 500]) {
          const restore = fixture.gateway.fault(rpc, echo(status));
          heard(await connect(account.fields));
          heard(await put(fresh.fields));
          restore();
        }
      }
      heard(await browser.delete(`${PATH}/${id}`)).expect(200);
      heard(await connect(other.fields)).expect(201);
      assert.deepEqual(provider.errors, []);
    }
    assert.ok(said.length > 200);
  });

  it("no credential is in any answer", () => {
    for (const text of said) assert.deepEqual(canaries.in(text), [], text.slice(0, 600));
  });

  it("no credential is in the log, and nothing sealed either", () => {
    const lines = fixture.worker.logs().map(({ message }) => message);
    assert.ok(lines.length > 50);
    for (const line of lines) {
      assert.deepEqual(canaries.in(line), [], line);
      assert.doesNotMatch(line, /[A-Za-z0-9+/]{16}\.[A-Za-z0-9+/]{22}==\./, line);
      assert.doesNotThrow(() => JSON.parse(line), line);
    }
  });

  it("no credential is in a requested URL", () => {
    const urls = [...Object.values(fixture.providers), fixture.gateway].flatMap(({ requests }) => requests.map(({ path }) => path));
    for (const url of urls) assert.deepEqual(canaries.in(url), [], url);
  });

  it("no credential is in the clear in any request to the database, nor in any table", async () => {
    for (const { path, body } of fixture.gateway.requests) assert.deepEqual(canaries.in(body), [], path);
    const tables = await fixture.sql`
      select table_schema as schema, table_name as name from information_schema.tables
      where table_schema in ('public', 'private') and table_type = 'BASE TABLE'`;
    for (const { schema, name } of tables) {
      const rows = await fixture.sql`select to_jsonb(t)::text as text from ${fixture.sql(schema)}.${fixture.sql(name)} t`;
      assert.deepEqual(canaries.in(rows.map((row) => row.text).join("\n")), [], `${schema}.${name}`);
    }
  });
});
