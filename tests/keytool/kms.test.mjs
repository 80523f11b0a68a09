// A wrapping key in AWS KMS: there, back, and what happens when it is down. Skipped, with the reason, where moto cannot be installed.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { open } from "../format/format.mjs";
import { moto, startMoto } from "../support/moto.mjs";
import { A, assertDone, assertError, keytool, startDatabases } from "./support.mjs";

describe("a wrapping key in AWS KMS", { skip: moto.missing ?? false }, () => {
  let databases;
  let kms;
  let logs;
  before(async () => {
    databases = await startDatabases();
    logs = await mkdtemp(path.join(tmpdir(), "moto-"));
    kms = await startMoto(logs);
  });
  after(async () => {
    await kms?.stop();
    await databases?.stop();
    await rm(logs, { recursive: true });
  });
  const ring = { ENCRYPTION_KEY: A.base64 };
  const kid = () => createHash("sha256").update(`aws-kms:${kms.arn}`).digest("hex").slice(0, 16);
  const wrappedBy = async ({ sql }) => (await sql`select distinct wrapping_kid from private.data_keys`).map((row) => row.wrapping_kid);
  const unwrapped = ({ wrapped, ...row }, over = {}) => kms.call("Decrypt", {
    KeyId: kms.arn, CiphertextBlob: wrapped, EncryptionContext: { organization_id: row.organization_id, data_key: row.kid, ...over },
  });

  test("a rotation moves the data keys to KMS and back, and no config changes", async () => {
    const table = await databases.project();
    await table.insertMany(3, A);
    assertDone(await keytool({ ...table.direct, ...ring }, "rotate"));
    assert.deepEqual(await wrappedBy(table), [A.kid]);
    const before = (await table.rows()).map(({ text }) => text);

    const there = { ...table.direct, ...ring, ...kms.settings };
    assertDone(await keytool(there, "rotate"));
    assert.deepEqual(await wrappedBy(table), [kid()]);
    assertDone(await keytool(there, "verify"));
    assert.deepEqual((await table.rows()).map(({ text }) => text), before);

    // threat model 321: what KMS holds is the data key, for its organization and under its id.
    for (const row of await table.rows()) {
      const [wrapped] = await table.sql`select * from private.data_keys where organization_id = ${row.organization_id}`;
      const { Plaintext } = await unwrapped(wrapped);
      const opened = open([], { ...row, integration_id: row.id }, row.config, [Buffer.from(Plaintext, "base64")]);
      assert.match(opened.access_token, /^sbp_/);
      assert.equal((await unwrapped(wrapped, { organization_id: A.kid })).__type, "InvalidCiphertextException");
      assert.equal((await unwrapped(wrapped, { data_key: A.kid })).__type, "InvalidCiphertextException");
    }

    assertDone(await keytool({ ...table.direct, ...ring, ...kms.fallback }, "rotate"));
    assert.deepEqual(await wrappedBy(table), [A.kid]);
    assertDone(await keytool({ ...table.direct, ...ring }, "verify"));
    assert.deepEqual((await table.rows()).map(({ text }) => text), before);
  });

  test("a wrapped key of another organization does not open", async () => {
    const table = await databases.project();
    await table.insertMany(2, A);
    const settings = { ...table.direct, ...ring, ...kms.settings };
    assertDone(await keytool(settings, "rotate"));
    await table.sql`
      update private.data_keys d set wrapped = o.wrapped from private.data_keys o where o.organization_id <> d.organization_id`;
    const done = await keytool(settings, "verify");
    assert.notEqual(done.status, 0, done.stdout);
    assert.match(done.stdout + done.stderr, /not-authentic/);
  });

  test("doctor tries the key out", async () => {
    const table = await databases.project();
    const { stdout } = await keytool({ ...table.direct, ...ring, ...kms.settings }, "doctor");
    assert.match(stdout, /^ok +wrapping key: AWS KMS wraps and unwraps a key$/m);
    const unknown = { WRAPPING_KEY: `${kms.settings.WRAPPING_KEY.slice(0, -4)}0000` };
    const refused = await keytool({ ...table.direct, ...ring, ...kms.settings, ...unknown }, "doctor");
    assert.match(refused.stdout, /wrapping key: AWS KMS refuses: NotFoundException/);
    assert.notEqual(refused.status, 0);
  });

  test("a missing or malformed setting is named, and no value is shown", async () => {
    const table = await databases.project();
    for (const [name, value, message] of [
      ["AWS_SECRET_ACCESS_KEY", "", /^error: AWS_SECRET_ACCESS_KEY environment variable is not set$/],
      ["WRAPPING_KEY", "aws-kms:planted", /^error: WRAPPING_KEY environment variable is not aws-kms: and the ARN of a key$/],
      ["KMS_URL", "http://planted.example", /^error: KMS_URL environment variable is not an https origin$/],
    ]) {
      const done = await keytool({ ...table.direct, ...ring, ...kms.settings, [name]: value }, "rotate");
      assertError(done, 2, message);
      assert.doesNotMatch(done.stdout + done.stderr, /planted/);
    }
  });

  test("without an answer nothing is written", async () => {
    const table = await databases.project();
    await table.insertMany(2, A);
    assertDone(await keytool({ ...table.direct, ...ring }, "rotate"));
    const down = { ...kms.settings, KMS_URL: "http://127.0.0.1:1" };
    assertError(await keytool({ ...table.direct, ...ring, ...down }, "rotate"), 1, /AWS KMS is unavailable: it could not be reached/);
    assert.deepEqual(await wrappedBy(table), [A.kid]);
  });
});
