// A wrapping key in AWS KMS, in the running worker. Skipped, with the reason, where moto cannot be installed.
import assert from "node:assert/strict";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, it } from "node:test";

import { wrap } from "../format/format.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { check } from "../support/checks.mjs";
import { dataKeysOf } from "../support/integrations.mjs";
import { moto, startMoto } from "../support/moto.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import { expireBackoff, refresh, rowOf } from "../support/refresh.mjs";

describe("a wrapping key in AWS KMS", { skip: moto.missing ?? false }, () => {
  let kms;
  const fixture = oauthFixture({
    settings: async ({ stops }) => {
      const logs = mkdtempSync(path.join(tmpdir(), "moto-"));
      kms = await startMoto(logs);
      stops.push(() => rmSync(logs, { recursive: true }), () => kms.stop());
      return kms.settings;
    },
  });
  const connected = async (worker) => {
    const browser = await BrowserSession.signedIn(worker);
    return { browser, id: await browser.connect(`kms-${randomUUID()}`) };
  };
  const wrappedBy = async (organization) => (await dataKeysOf(fixture.info, organization)).map((key) => key.wrapping_kid);
  const kid = () => createHash("sha256").update(`aws-kms:${kms.arn}`).digest("hex").slice(0, 16);

  it("a connection is sealed with a data key that KMS wraps, checked and refreshed; one whose key the ring wraps too", async () => {
    const made = await connected(fixture.worker);
    assert.deepEqual(await wrappedBy(made.browser.user.id), [kid()]);
    const [{ kid: dataKey }] = await dataKeysOf(fixture.info, made.browser.user.id);
    assert.deepEqual((await rowOf(fixture, made.id)).config._enc, { v: 3, kid: dataKey });
    assert.equal((await check(made)).expect(200).json.status, "active");
    (await refresh(made)).expect(200);

    // As before the deployment moved to KMS: the ring wraps the key.
    const [{ organization_id, wrapped }] = await dataKeysOf(fixture.info, made.browser.user.id);
    const { Plaintext } = await kms.call("Decrypt", {
      KeyId: kms.arn, CiphertextBlob: wrapped, EncryptionContext: { organization_id, data_key: dataKey },
    });
    const ring = wrap(Buffer.from(fixture.info.encryption_key, "base64"), organization_id, Buffer.from(Plaintext, "base64"), randomBytes(12));
    await fixture.sql`
      update private.data_keys set wrapping_kid = ${ring.wrapping_kid}, wrapped = ${ring.wrapped} where organization_id = ${organization_id}`;
    await expireBackoff(fixture, made.id);
    (await refresh(made)).expect(200);
  });

  it("while KMS does not answer a refresh answers 503, the token is not redeemed, and nothing is marked broken", async () => {
    const { browser, id } = await connected(fixture.worker);
    const row = await rowOf(fixture, id);
    const down = await fixture.start({ ...kms.settings, KMS_URL: "http://127.0.0.1:1" });
    const elsewhere = new BrowserSession(down);
    await elsewhere.signIn(browser.user);
    (await refresh({ browser: elsewhere, id })).expect(503);
    (await check({ browser: elsewhere, id })).expect(503);
    const after = await rowOf(fixture, id);
    assert.deepEqual([after.config, after.status, after.status_reason], [row.config, "active", row.status_reason]);
    await down.logged(/AWS KMS is unavailable/);
    (await refresh({ browser, id })).expect(200);
  });
});
