// Every provider of the catalogue, by its entry alone: a simulator does what the entry says, and takes nothing else.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { catalogue } from "../support/catalogue.mjs";
import { integrationsOf, opened } from "../support/integrations.mjs";
import { accountOf, simulateProviders } from "../support/provider-simulator.mjs";
import { programOf } from "../support/service-keys.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const ENTRIES = catalogue();
const DOCUMENTATION = new URL("../../docs/providers.md", import.meta.url);
const REFRESH = { none: "no refresh", reusable: "reusable refresh token", rotating: "rotating refresh token" };

describe("the catalogue", { concurrency: 4 }, () => {
  const fixture = workerFixture({
    settings: async ({ info, stops }) => {
      simulators = await simulateProviders(ENTRIES, info);
      stops.push(simulators.stop);
      return simulators.settings;
    },
  });
  const { info } = fixture;
  let sql, worker, simulators;
  before(() => void ({ sql, worker } = fixture));

  it("the page is offered every provider, the source document's first", async () => {
    const visitor = new BrowserSession(worker);
    const { providers } = (await visitor.get("/api/providers")).expect(200).json;
    const types = providers.map(({ integration_type }) => integration_type);
    const names = ENTRIES.map(({ type }) => type).filter((type) => type !== "supabase");
    assert.deepEqual(types, ["supabase", ...names.sort()]);
  });

  it("docs/providers.md lists every OAuth provider as its entry says", () => {
    const lines = readFileSync(DOCUMENTATION, "utf8").split("\n");
    const listed = lines.filter((line) => /_CLIENT_ID`, .*_CLIENT_SECRET`.*\|$/.test(line));
    const rows = ENTRIES.map(({ name, type, refresh, revocation, verified, authorize_url }) => {
      const settings = ["CLIENT_ID", "CLIENT_SECRET", ...(authorize_url.includes("{slug}") ? ["SLUG"] : [])];
      const names = settings.map((suffix) => `\`${type.toUpperCase()}_${suffix}\``).join(", ");
      const revoked = revocation ? "yes" : "unsupported";
      return `| ${name} | \`${type}\` | ${names} | ${REFRESH[refresh]} | ${revoked} | ${verified} |`;
    });
    assert.deepEqual(listed.sort(), rows.sort());
  });

  for (const { type, name, refresh, invalid_grant } of ENTRIES) {
    if (refresh === "none") continue;

    it(`${name}: says that a grant is over in the standard's words and in its own`, async () => {
      const provider = simulators.providers[type];
      const browser = await BrowserSession.signedIn(worker);
      const login = `${type}-${randomUUID()}`;
      const standard = [{ code: "invalid_grant" }, { status: 403, code: "invalid_grant" }, { text: "invalid_grant" }];
      for (const refusing of [...standard, ...invalid_grant]) {
        const id = await browser.connect(login, { integration_type: type });
        provider.refusing = refusing;
        const refreshed = await browser.post(`/api/integrations/${id}/refresh`, {});
        provider.refusing = undefined;
        const { json } = refreshed.expect(200);
        assert.deepEqual([json.refreshed, json.status], [false, "reconnect_required"], JSON.stringify(refusing));
        const [{ status_reason }] = await integrationsOf(sql, browser.user.id);
        assert.equal(status_reason, "invalid_grant");
      }
      assert.deepEqual(provider.errors, []);
    });
  }

  for (const { type, name, refresh, identity, token_response_metadata } of ENTRIES) {
    // Threat model 251 and 252: a refresh token is redeemed only where that leaves it good for the application that it comes from.
    it(`${name}: an import is asked for its account, and refreshed first only where that costs the source nothing`, async () => {
      const provider = simulators.providers[type];
      const browser = await BrowserSession.signedIn(worker);
      const login = `${type}-${randomUUID()}`;
      const account = accountOf(login);
      const id = await browser.connect(login, { integration_type: type });
      const [row] = await integrationsOf(sql, browser.user.id);
      await sql`delete from public.integrations where id = ${id}`;
      const { access_token, refresh_token, ...rest } = await opened(info, row);
      const metadata = Object.fromEntries(token_response_metadata.map((name) => [name, rest[name]]));
      const importer = await programOf(browser, "connections:import");
      const send = (body) => importer.post("/api/integrations/import", { organization_id: browser.user.id, integration_type: type, ...body });
      if (identity.from === "token_response") {
        (await send({ credential: { access_token } })).expect(422, "not_importable");
        return;
      }
      const alone = { credential: { refresh_token: refresh_token ?? "none", ...metadata } };
      if (refresh === "reusable") {
        const { json } = (await send(alone)).expect(201);
        assert.deepEqual([json.account_id, json.refreshable], [account.id, true]);
        const [stored] = await integrationsOf(sql, browser.user.id);
        const config = await opened(info, stored);
        assert.equal(config.access_token, provider.given.at(-1).access_token);
        assert.notEqual(config.access_token, access_token);
        assert.equal(config.refresh_token, refresh_token);
        const rejected = { access_token: `dead-${randomUUID()}`, refresh_token, ...metadata };
        assert.equal((await send({ credential: rejected, replace: true })).expect(200).json.id, stored.id);
        provider.refusing = { code: "invalid_grant" };
        (await send({ credential: rejected, replace: true })).expect(422, "credentials_refused");
        provider.refusing = undefined;
      } else {
        const given = provider.given.length;
        (await send(alone)).expect(refresh === "rotating" ? 422 : 400, refresh === "rotating" ? "not_importable" : "invalid_fields");
        (await send({ credential: { access_token: `dead-${randomUUID()}`, refresh_token, ...metadata } })).expect(422, "credentials_refused");
        const { json } = (await send({ config: { access_token, refresh_token, ...rest } })).expect(201);
        assert.deepEqual([json.account_id, json.refreshable], [account.id, refresh === "rotating"]);
        const [stored] = await integrationsOf(sql, browser.user.id);
        assert.deepEqual(await opened(info, stored), await opened(info, row));
        assert.equal(provider.given.length, given, "no refresh token was redeemed");
      }
      assert.equal(await provider.isAlive(), true, "nothing was revoked");
    });
  }

  for (const entry of ENTRIES) {
    const { type, scopes, identity, token_response_metadata, refresh, default_expires_in, revocation } = entry;

    // Threat model 115: the simulator complains of a challenge that is missing, or sent where the entry documents a refusal.
    it(`${entry.name}: connects, is checked, refreshes, disconnects, and takes no failure for a grant`, async () => {
      const provider = simulators.providers[type];
      const browser = await BrowserSession.signedIn(worker);
      const login = `${type}-${randomUUID()}`;
      const account = accountOf(login);
      const rows = () => integrationsOf(sql, browser.user.id);

      const id = await browser.connect(login, { integration_type: type }).catch((error) => error);
      assert.deepEqual(provider.errors, []);
      const [row, ...others] = await rows();
      assert.equal(row?.id, id);
      assert.deepEqual(others, []);
      assert.deepEqual([row.integration_type, row.external_account_id, row.name], [type, account.id, account.name]);
      const { expires_at, ...config } = await opened(info, row);
      const { access_token, refresh_token } = provider.given.at(-1);
      assert.deepEqual(config, {
        access_token,
        ...(refresh_token && { refresh_token }),
        ...(scopes.length && { scope: scopes.join(" ") }),
        ...Object.fromEntries(token_response_metadata.map((name) => [name, `of ${name}`])),
        [identity.stored_as.id]: account.id,
        [identity.stored_as.name]: account.name,
      });
      assert.equal(expires_at !== undefined, refresh !== "none", "whether it is known when the token ends");
      if (default_expires_in) assert.ok(Math.abs(Date.parse(expires_at) - Date.now() - default_expires_in * 1000) < 60_000);

      const checked = (await browser.post(`/api/integrations/${id}/check`, {})).expect(200).json;
      assert.deepEqual(provider.errors, []);
      assert.deepEqual([checked.status, checked.status_reason], ["active", null]);

      const refreshed = await browser.post(`/api/integrations/${id}/refresh`, {});
      assert.deepEqual(provider.errors, []);
      if (refresh === "none") refreshed.expect(409, "not_refreshable");
      else {
        refreshed.expect(200);
        const fresh = await opened(info, (await rows())[0]);
        assert.notEqual(fresh.access_token, access_token);
        assert.equal(fresh.access_token, provider.given.at(-1).access_token);
        assert.equal(fresh.refresh_token === refresh_token, refresh === "reusable", "whether the refresh token stays");
      }

      assert.equal(await provider.isAlive(), true);
      const { revoked } = (await browser.delete(`/api/integrations/${id}`)).expect(200).json;
      assert.deepEqual(provider.errors, []);
      assert.equal(revoked, revocation ? true : "unsupported");
      assert.equal(await provider.isAlive(), !revocation, "whether the token is still good at the provider");
      assert.deepEqual(await rows(), []);

      provider.failing = true;
      const callback = await browser.consent(login, { integration_type: type });
      (await browser.get(callback)).expect(502, "provider_failed");
      assert.deepEqual(await rows(), []);
      assert.deepEqual(provider.errors, []);
    });
  }
});
