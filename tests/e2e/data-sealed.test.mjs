// What stands sealed in the database opens as it was written and where it was written, or not at all; and a row that does not
// open can still be got rid of.
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { keyId, seal } from "../format/format.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { bearer, call } from "../support/caller.mjs";
import { codeOf } from "../support/grants.mjs";
import { integrationsOf, opened, sealOld } from "../support/integrations.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

const REVOKE = "/v1/oauth/revoke";
const TOKEN = "/v1/oauth/token";

describe("sealed rows", { concurrency: true }, () => {
  const fixture = workerFixture({ server: true });
  const { info } = fixture;
  const key = Buffer.from(info.encryption_key, "base64");
  let sql, server, worker;
  before(() => void ({ sql, server, worker } = fixture));

  /** A connected account: the browser, its row, and what is in it. */
  async function connected() {
    const browser = await BrowserSession.signedUp(worker);
    await browser.connect(`sealed-${randomUUID()}`);
    const [row] = await integrationsOf(sql, browser.user.id);
    return { browser, row, plain: await opened(info, row) };
  }

  /**
   * Stores a row of its own for each case, sealed right for that row and then changed, and disconnects it: the row goes,
   * nothing is sent to the provider, the answer is one and the same, and the log names row and field and holds no value.
   */
  async function assertNoneOpens(cases) {
    const browser = await BrowserSession.signedUp(worker);
    for (const [name, change, field = "/access_token"] of cases) {
      const { id, plain, config } = sealedRow(browser.user.id);
      const changed = change(config, plain);
      const { answer, revocations } = await disconnected(browser, id, changed, plain);
      assert.equal(answer.text, '{"message":"Integration deleted successfully","revoked":false,"success":true}', name);
      assert.equal(revocations, 0, `${name}: nothing may be revoked with what does not open`);
      const line = JSON.parse(await worker.logged(new RegExp(id)));
      assert.ok(line.detail.startsWith(`not revoked: integrations ${id} ${field}: `), `${name}: expected row and field ${field}, got ${line.detail}`);
      for (const value of values(changed)) assert.ok(!line.detail.includes(value), `${name}: a value stands in the log`);
    }
  }

  /** A row's id, and its config in the clear and sealed for its place. */
  function sealedRow(organization_id, id = randomUUID()) {
    const plain = { access_token: `access-${randomUUID()}`, refresh_token: `refresh-${randomUUID()}`, project_id: "p", project_name: "P" };
    return { id, plain, config: seal(key, { organization_id, integration_id: id }, plain, () => randomBytes(12)) };
  }

  /** Stores the config as a row and disconnects it. */
  async function disconnected({ user }, id, config, plain) {
    const row = { id, organization_id: user.id, integration_type: "supabase", name: "P", external_account_id: id, config: sql.json(config) };
    await sql`insert into public.integrations ${sql(row)}`;
    const answer = await call(worker, "DELETE", `/api/integrations/${id}`, { headers: bearer(user.access_token) });
    answer.expect(200);
    assert.deepEqual([...(await sql`select id from public.integrations where id = ${id}`)], [], "the row must be gone");
    return { answer, revocations: server.count(({ path, body }) => path === REVOKE && body.includes(plain.refresh_token)) };
  }

  // Threat model 19.
  it("an unchanged sealed row opens and is revoked", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const { id, plain, config } = sealedRow(browser.user.id);
    const { answer, revocations } = await disconnected(browser, id, config, plain);
    assert.deepEqual({ revoked: answer.json.revoked, revocations }, { revoked: true, revocations: 1 });
  });

  // Threat model 19.
  it("a row with a flipped bit, a short tag, other segments or other base64 does not open and can be deleted", async () => {
    const changed = (field, change) => (config) => ({ ...config, [field]: change(...config[field].split(".")) });
    const flips = [0, 1, 2].flatMap((segment) =>
      [0, 7, 60, -1].map((bit) => [
        `bit ${bit} of segment ${segment}`,
        changed("access_token", (...parts) => parts.with(segment, flipped(parts[segment], bit)).join(".")),
      ]),
    );
    const forms = {
      "a short tag": (iv, tag, ciphertext) => [iv, shortened(tag, 12), ciphertext].join("."),
      "a short iv": (iv, tag, ciphertext) => [shortened(iv, 8), tag, ciphertext].join("."),
      "2 segments": (iv, tag) => [iv, tag].join("."),
      "4 segments": (iv, tag, ciphertext) => [iv, tag, ciphertext, ciphertext].join("."),
      "no padding": (iv, tag, ciphertext) => [iv, tag.replaceAll("=", ""), ciphertext].join("."),
      "non-canonical base64": (iv, tag, ciphertext) => [iv, tag.replace(/.==$/, (end) => `${next(end[0])}==`), ciphertext].join("."),
      "hex": (...parts) => parts.map((part) => Buffer.from(part, "base64").toString("hex")).join("."),
      "white space": (...parts) => ` ${parts.join(".")}`,
      "nothing": () => "",
      "plain text": () => "sbp_plain",
      "a number": () => 7,
    };
    await assertNoneOpens([
      ...flips,
      ...Object.entries(forms).map(([name, change]) => [name, changed("access_token", change)]),
      ["a bit of the refresh token", changed("refresh_token", (iv, tag, ciphertext) => [iv, tag, flipped(ciphertext, 5)].join(".")), "/refresh_token"],
    ]);
  });

  // Threat model 20.
  it("a sealed value moved to another field, row or organization, or under another key's id, does not open", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const elsewhere = sealedRow(browser.user.id).config;
    await assertNoneOpens([
      ["the value of another row", (config) => ({ ...config, access_token: elsewhere.access_token })],
      ["the config of another row", () => elsewhere],
      ["the fields exchanged", (config) => ({ ...config, access_token: config.refresh_token, refresh_token: config.access_token })],
      ["another key's id", (config) => ({ ...config, _enc: { ...config._enc, kid: keyId(randomBytes(32)) } }), "/_enc"],
    ]);
    // The same id in another organisation, as if the row had been moved there.
    const { id, config, plain } = sealedRow(randomUUID());
    const { answer, revocations } = await disconnected(browser, id, config, plain);
    assert.deepEqual({ revoked: answer.json.revoked, revocations }, { revoked: false, revocations: 0 });
    await worker.logged(new RegExp(`integrations ${id} /access_token: .*\\(not-authentic\\)`));
  });

  // Threat model 20.
  it("a verifier moved to another transaction does not open: no code is exchanged, nothing is stored", async () => {
    const browser = await BrowserSession.signedUp(worker);
    const callbacks = [await browser.consent(`moved-${randomUUID()}`), await browser.consent(`moved-${randomUUID()}`)];
    const { length } = await sql`
      update public.oauth_transactions t set verifier = o.verifier from public.oauth_transactions o
      where t.user_id = ${browser.user.id} and o.user_id = ${browser.user.id} and o.id <> t.id returning t.id`;
    assert.equal(length, 2, "both transactions got the other one's verifier");
    for (const callback of callbacks) {
      const answer = (await browser.get(callback)).expect(500, "internal");
      assert.ok(!answer.text.includes("verifier"), answer.text);
      assert.equal(server.count(({ path, body }) => path === TOKEN && body.includes(codeOf(callback))), 0, "no code may be exchanged");
    }
    assert.deepEqual(await integrationsOf(sql, browser.user.id), []);
    await worker.logged(/oauth_transactions [0-9a-f-]{36} \/verifier_secret: .*\(not-authentic\)/);
  });

  // Threat model 21.
  it("a v2 config without `_enc` does not open as the legacy form, and can be deleted", async () => {
    const changed = (change) => ({ _enc, ...old }) => change(old, _enc);
    await assertNoneOpens([
      ["no _enc", changed((old) => old)],
      ["_enc: null", changed((old) => ({ ...old, _enc: null })), "/_enc"],
      ["another version", changed((old, _enc) => ({ ...old, _enc: { ..._enc, v: 4 } })), "/_enc"],
      ["version 1", changed((old, _enc) => ({ ...old, _enc: { ..._enc, v: 1 } })), "/_enc"],
      ["no kid", changed((old) => ({ ...old, _enc: { v: 2 } })), "/_enc"],
    ]);
  });

  it("a row of the source document's legacy form is revoked at the provider and deleted", async () => {
    const { browser, row, plain } = await connected();
    const { _enc, ...rest } = row.config;
    const config = { ...rest, access_token: sealOld(key, plain.access_token), refresh_token: sealOld(key, plain.refresh_token) };
    await sql`update public.integrations set config = ${sql.json(config)} where id = ${row.id}`;
    const answer = (await browser.delete(`/api/integrations/${row.id}`)).expect(200);
    assert.equal(answer.json.revoked, true);
    assert.equal(server.count(({ path, body }) => path === REVOKE && body.includes(plain.refresh_token)), 1);
  });

  it("a config that is not an object can be deleted", async () => {
    const { browser, row } = await connected();
    for (const config of [null, [], "text", 7]) {
      const id = randomUUID();
      await sql`insert into public.integrations ${sql({ ...row, id, external_account_id: id, config: {} })}`;
      await sql.unsafe("update public.integrations set config = $1::text::jsonb where id = $2", [JSON.stringify(config), id]);
      const answer = await browser.delete(`/api/integrations/${id}`);
      assert.deepEqual(answer.expect(200).json, { success: true, message: "Integration deleted successfully", revoked: false }, JSON.stringify(config));
    }
  });
});

/** A negative bit counts from the end; one beyond the end stands for the last. */
function flipped(part, position) {
  const bytes = Buffer.from(part, "base64");
  const bits = bytes.length * 8;
  const bit = position < 0 ? bits + position : Math.min(position, bits - 1);
  bytes[bit >> 3] ^= 1 << (bit & 7);
  return bytes.toString("base64");
}

function shortened(part, size) {
  return Buffer.from(part, "base64").subarray(0, size).toString("base64");
}

/** The next digit of base64: before `==` it decodes to the same byte, with bits left over. */
function next(digit) {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return digits[digits.indexOf(digit) + 1];
}

/** Whatever text stands in a config, and is long enough to be told from any other. */
function values(config) {
  return Object.values(config).filter((value) => typeof value === "string" && value.length > 8).flatMap((text) => [text, ...text.split(".").filter((part) => part.length > 8)]);
}
