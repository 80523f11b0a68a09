// A program imports a grant that another application has: the provider says whose it is, and nothing is revoked (threat model 251 to 253).
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";

import { seal } from "../format/format.mjs";
import { keytool } from "../keytool/support.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { answer } from "../support/faults.mjs";
import { takesAccessToken } from "../support/grants.mjs";
import { opened } from "../support/integrations.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import { assertAlive, connection, refresh, rowOf, setTokenExpiry, tokensOf } from "../support/refresh.mjs";
import { SecretCanaries } from "../support/secret-canaries.mjs";
import { operatorsProgram, programOf } from "../support/service-keys.mjs";

const PATH = "/api/integrations/import";
const IMPORT = "connections:import";

describe("an import", { concurrency: true }, () => {
  const fixture = oauthFixture();
  const canaries = new SecretCanaries();
  const said = [];

  /** A grant of an application elsewhere: it is in no row, and alive. */
  const grant = async () => {
    const { browser, id, tokens } = await connection(fixture);
    await fixture.sql`delete from public.integrations where id = ${id}`;
    canaries.add({ access_token: tokens.access_token, refresh_token: tokens.refresh_token });
    const { access_token, refresh_token, expires_at, project_id } = tokens;
    return { browser, account: project_id, credential: { access_token, refresh_token, expires_at } };
  };
  const send = async (program, body) => {
    const heard = await program.post(PATH, { integration_type: "supabase", ...body });
    said.push(heard.all);
    return heard;
  };
  const rows = (organization) => fixture.sql`select * from public.integrations where organization_id = ${organization}`;
  const assertNothingStored = async (organization) => {
    assert.equal((await rows(organization)).length, 0);
    const [{ left }] = await fixture.sql`
      select (select count(*) from public.pending_connections where organization_id = ${organization})
        + (select count(*) from private.pending_revocations where organization_id = ${organization}) as left`;
    assert.equal(Number(left), 0, "nothing is pending, and nothing is queued for revocation");
  };

  after(() => {
    assert.ok(said.length > 15);
    assert.deepEqual(canaries.in(said.join("\n")), [], "in an answer");
    assert.deepEqual(canaries.in(JSON.stringify(fixture.worker.logs())), [], "in the log");
  });

  it("stores a grant that lives: its credential is read, refreshed and sealed, and the event names the key", async () => {
    const { browser, account, credential } = await grant();
    const importer = await programOf(browser, [IMPORT, "connections:credentials"]);
    const organization_id = browser.user.id;
    const given = { ...credential, project_id: "of the file", token_type: "bearer" };
    const done = (await send(importer, { organization_id, config: given, external_user_id: "customer 5" })).expect(201).json;
    const { id, ...rest } = done;
    assert.deepEqual(rest, {
      organization_id, integration_type: "supabase", account_id: account, replaced: false, refreshable: true, not_refreshable_reason: null,
    });
    const row = await rowOf(fixture, id);
    assert.deepEqual([row.external_account_id, row.external_user_id, row.status], [account, "customer 5", "active"]);
    const config = await opened(fixture.info, row);
    assert.deepEqual([config.access_token, config.refresh_token, config.project_id], [credential.access_token, credential.refresh_token, account]);
    const [event] = await fixture.sql`select * from public.credential_events where integration_id = ${id}`;
    assert.deepEqual(
      [event.actor, event.user_id, event.action, event.reason, event.details],
      ["service_key", null, "connected", "import", { service_key: importer.made.id, name: importer.made.name }],
    );
    const read = (await importer.post(`/api/integrations/${id}/credential`)).expect(200).json;
    assert.deepEqual(read.config, row.config);
    await setTokenExpiry(fixture, id, 60);
    assert.equal((await refresh({ browser, id })).expect(200).json.refreshed, true);
    assert.notEqual((await tokensOf(fixture, id)).access_token, credential.access_token);
    await assertAlive(fixture, id);
  });

  it("is refused if the account is connected, and replaces its credential only if asked to, without revoking either", async () => {
    const { browser, account, credential } = await grant();
    const organization_id = browser.user.id;
    const importer = await programOf(browser, IMPORT);
    const { id } = (await send(importer, { organization_id, credential })).expect(201).json;
    const { config } = await rowOf(fixture, id);
    (await send(importer, { organization_id, credential })).expect(409, "already_connected");
    assert.deepEqual((await rowOf(fixture, id)).config, config);
    const again = (await send(importer, { organization_id, credential: { ...credential, refresh_token: null }, replace: true, account_id: account })).expect(200).json;
    assert.deepEqual([again.id, again.replaced, again.refreshable, again.not_refreshable_reason], [id, true, false, "no_refresh_token"]);
    assert.equal((await tokensOf(fixture, id)).refresh_token, undefined);
    assert.equal((await rows(organization_id)).length, 1);
    const [{ queued }] = await fixture.sql`select count(*)::int as queued from private.pending_revocations where organization_id = ${organization_id}`;
    assert.equal(queued, 0);
    assert.ok(await takesAccessToken(fixture.info, credential.access_token));
  });

  it("stores nothing for a dead token, another account, a provider that fails or pauses, and does not revoke the grant", async () => {
    const { browser, credential } = await grant();
    const importer = await programOf(browser, IMPORT);
    const body = { organization_id: browser.user.id, credential };
    const dead = { access_token: `dead-${randomUUID()}`, refresh_token: credential.refresh_token };
    (await send(importer, { ...body, credential: dead })).expect(422, "credentials_refused");
    (await send(importer, { ...body, account_id: "another" })).expect(409, "account_mismatch");
    const asked = ({ headers }) => headers.authorization === `Bearer ${credential.access_token}`;
    fixture.server.fault(asked, answer(500, { error: credential.access_token }));
    (await send(importer, body)).expect(502, "provider_failed");
    fixture.server.fault(asked, answer(429, {}, { "retry-after": "77" }));
    const paused = (await send(importer, body)).expect(429, "provider_paused");
    assert.equal(paused.headers.get("retry-after"), "77");
    fixture.server.fault(asked, answer(200, [{ id: "one", ref: "one", name: "One" }, { id: "two", ref: "two", name: "Two" }]));
    (await send(importer, body)).expect(422, "several_accounts");
    fixture.server.fault(asked, answer(200, []));
    (await send(importer, body)).expect(422, "no_accounts");
    await assertNothingStored(browser.user.id);
    assert.ok(await takesAccessToken(fixture.info, credential.access_token), "the grant is alive");
  });

  // Threat model 254.
  it("keytool imports a file: the bad lines are reported, the rest is done, and run again it doubles nothing", async () => {
    const grants = [await grant(), await grant()];
    const operator = await operatorsProgram(fixture.sql, fixture.worker, IMPORT);
    const sealed = await connection(fixture);
    const { id, organization_id, integration_type, external_account_id } = await rowOf(fixture, sealed.id);
    canaries.add({ access_token: sealed.tokens.access_token });
    await fixture.sql`delete from public.integrations where id = ${id}`;
    const lines = [
      ...grants.map(({ browser, credential }) => ({ organization_id: browser.user.id, integration_type: "local", credential })),
      { organization_id: grants[0].browser.user.id, integration_type: "local", credential: { access_token: `dead-${randomUUID()}` } },
      { organization_id: grants[0].browser.user.id, integration_type: "local", account_id: "another", credential: grants[1].credential },
      "no JSON",
    ];
    const folder = await mkdtemp(path.join(tmpdir(), "import-"));
    const run = async (name, ...args) => {
      const done = await keytool(
        { SERVICE_KEY: operator.key, ENCRYPTION_KEY: fixture.info.encryption_key }, "import", path.join(folder, name), "--url", fixture.worker.url, ...args,
      );
      said.push(done.stdout, done.stderr);
      return { status: done.status, lines: done.stdout.split("\n").filter(Boolean).sort() };
    };
    try {
      await writeFile(path.join(folder, "lines"), lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
      const bad = ["line 3: credentials_refused", "line 4: account_mismatch", "line 5: malformed"];
      const all = (imported, skipped) => [`imported ${imported}; replaced 0; ${skipped} were connected already; 3 failed`, ...bad];
      assert.deepEqual(await run("lines", "--type", "local=supabase"), { status: 5, lines: all(2, 0) });
      assert.deepEqual(await run("lines", "--type", "local=supabase"), { status: 5, lines: all(0, 2) });
      for (const { browser, account } of grants) {
        assert.deepEqual((await rows(browser.user.id)).map((row) => row.external_account_id), [account]);
      }
      // A row as a database has it, sealed with the ring: keytool asks no database for data keys here.
      const ring = Buffer.from(fixture.info.encryption_key, "base64");
      const config = seal(ring, { organization_id, integration_id: id }, sealed.tokens, () => randomBytes(12));
      await writeFile(path.join(folder, "rows"), JSON.stringify({ id, organization_id, integration_type, external_account_id, config }));
      assert.deepEqual(await run("rows", "--from", "rows"), { status: 0, lines: ["imported 1; replaced 0; 0 were connected already; 0 failed"] });
      const [row] = await rows(organization_id);
      assert.notEqual(row.id, id);
      assert.equal((await opened(fixture.info, row)).refresh_token, sealed.tokens.refresh_token);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("rejects what is malformed before the provider is asked, and keys that may not import there", async () => {
    const { browser, credential } = await grant();
    const [importer, stranger, reader] = [
      await programOf(browser, IMPORT),
      await programOf(await BrowserSession.signedIn(fixture.worker), IMPORT),
      await programOf(browser, ["connections:credentials", "connections:write"]),
    ];
    const body = { organization_id: browser.user.id, credential };
    const asked = ({ headers }) => headers.authorization === `Bearer ${credential.access_token}`;
    const before = fixture.server.count(asked);
    for (const [over, code] of [
      [{ credential: { expires_at: credential.expires_at } }, "invalid_fields"],
      [{ credential: { ...credential, expires_at: credential.access_token } }, "invalid_fields"],
      [{ credential: { ...credential, client_secret: "x" } }, "invalid_fields"],
      [{ config: credential }, "invalid_request"],
      [{ credential: undefined }, "invalid_request"],
      [{ credential: credential.access_token }, "invalid_request"],
      [{ organization_id: credential.access_token }, "invalid_request"],
      [{ external_user_id: " " }, "invalid_request"],
      [{ integration_type: credential.access_token }, "provider_unknown"],
      [{ integration_type: "github" }, "provider_unknown"],
      [{ planted: credential.access_token }, "invalid_request"],
    ]) (await send(importer, { ...body, ...over })).expect(400, code);
    const { refresh_token } = credential;
    (await send(importer, { ...body, credential: { refresh_token } })).expect(422, "not_importable");
    (await send(importer, { ...body, credential: { ...credential, scope: "x".repeat(16_384) } })).expect(413);
    (await send(stranger, body)).expect(403, "wrong_organization");
    (await send(reader, body)).expect(403, "missing_scope");
    (await browser.post(PATH, { integration_type: "supabase", ...body })).expect(401);
    await browser.delete(`/api/service-keys/${importer.made.id}`);
    (await send(importer, body)).expect(401);
    assert.equal(fixture.server.count(asked), before, "the provider was not asked");
    await assertNothingStored(browser.user.id);
    // An operator's key acts for every organization.
    const operator = await operatorsProgram(fixture.sql, fixture.worker, IMPORT);
    (await send(operator, body)).expect(201);
  });
});
