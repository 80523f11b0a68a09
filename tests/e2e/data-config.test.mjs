// What a provider may answer, and what of it is stored: the documented keys, and secrets only sealed.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { exchangeOf, rewritten } from "../support/grants.mjs";
import { integrationsOf, opened, SEALED } from "../support/integrations.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const KEYS = ["_enc", "access_token", "expires_at", "project_id", "project_name", "refresh_token"];
const PLANTED = "planted-0c9f1e";

/** Secrets where a careless writer would pass them by: other names, nested, in arrays. */
const EXTRAS = {
  accessToken: PLANTED,
  id_token: PLANTED,
  nested: { client_secret: PLANTED, deeper: [{ apiKey: PLANTED }] },
  tokens: [PLANTED, { refresh_token: PLANTED }],
  password: [PLANTED],
  private_key: { pem: PLANTED },
  note: PLANTED,
  _enc: { v: 2, kid: PLANTED },
  // "scope" is stored on purpose: tests/e2e/granted-scopes.test.mjs.
  scopes: PLANTED,
};

describe("a config", { concurrency: true }, () => {
  const fixture = workerFixture({ server: true });
  const { info } = fixture;
  let sql, server, worker;
  before(() => void ({ sql, server, worker } = fixture));

  /** All that the tables hold of this user, as text. */
  async function stored(user) {
    const tables = ["integrations", "oauth_transactions", "pending_connections", "credential_events"];
    const texts = await Promise.all(tables.map((table) => sql`select to_jsonb(t)::text as text from public.${sql(table)} t where organization_id = ${user.id}`));
    return texts.flat().map(({ text }) => text).join("\n");
  }

  // Threat model 27.
  it("nothing that a token response adds is stored: secrets under other names, nested and in arrays", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const callback = await browser.consent(`extras-${randomUUID()}`);
    server.fault(exchangeOf(callback), rewritten(info.authorization_server_url, (grant) => ({ ...EXTRAS, ...grant })));
    (await browser.get(callback)).expect(303);
    const [row] = await integrationsOf(sql, browser.user.id);
    assert.deepEqual(Object.keys(row.config).sort(), KEYS);
    assert.match(row.config.access_token, SEALED);
    assert.match(row.config.refresh_token, SEALED);
    assert.ok(!(await stored(browser.user)).includes(PLANTED), "nothing that the answer adds may be stored");
  });

  // Threat model 27.
  it("nothing that the list of projects adds is stored, chosen or not", async () => {
    for (const login of [`extras-${randomUUID()}`, `two-${randomUUID()}`]) {
      const browser = await BrowserSession.signedUp(worker);
      const callback = await browser.consent(login);
      const isOurs = ({ path, headers }) => path === "/v1/projects" && headers.authorization === bearer;
      let bearer;
      server.fault(exchangeOf(callback), rewritten(info.authorization_server_url, (grant) => {
        bearer = `Bearer ${grant.access_token}`;
        return grant;
      }));
      server.fault(isOurs, rewritten(info.authorization_server_url, (projects) => projects.map((project) => ({ ...project, ...EXTRAS }))));
      const { location } = (await browser.get(callback)).expect(303);
      assert.ok(server.count(isOurs) > 0, "the changed answer was read");
      assert.ok(!(await stored(browser.user)).includes(PLANTED), `${login}: nothing that the answer adds may be stored`);
      const choice = new URL(location, worker.url).searchParams.get("choose");
      if (!choice) continue;
      const waiting = (await browser.get(`/api/connections/${choice}`)).expect(200);
      for (const account of waiting.json.accounts) assert.deepEqual(Object.keys(account).sort(), ["id", "name"]);
      (await browser.post(`/api/connections/${choice}`, { account_id: waiting.json.accounts[0].id })).expect(200);
      assert.ok(!(await stored(browser.user)).includes(PLANTED));
      assert.deepEqual(Object.keys((await integrationsOf(sql, browser.user.id))[0].config).sort(), KEYS);
    }
  });

  // Threat model 27.
  it("a grant that waits for the choice is sealed as well, and so is every verifier", async () => {
    const browser = await BrowserSession.signedUp(worker);
    await browser.begin();
    const { location } = (await browser.get(await browser.consent(`two-${randomUUID()}`))).expect(303);
    const id = new URL(location, worker.url).searchParams.get("choose");
    const [{ config }] = await sql`select config from public.pending_connections where id = ${id}`;
    assert.deepEqual(Object.keys(config).sort(), ["_enc", "access_token", "expires_at", "refresh_token"]);
    assert.match(config.access_token, SEALED);
    assert.match(config.refresh_token, SEALED);
    const plain = await opened(info, { organization_id: browser.user.id, id, config });
    assert.ok(plain.access_token && plain.refresh_token, "it opens in its place");

    const transactions = await sql`select verifier from public.oauth_transactions where user_id = ${browser.user.id}`;
    assert.equal(transactions.length, 1);
    assert.deepEqual(Object.keys(transactions[0].verifier).sort(), ["_enc", "verifier_secret"]);
    assert.match(transactions[0].verifier.verifier_secret, SEALED);
  });
});
