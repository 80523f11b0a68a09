// The data keys of organizations: what seals a credential, and what a deleted one costs (threat model 34 and 36).
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { seal } from "../format/format.mjs";
import { check } from "../support/checks.mjs";
import { dataKeysOf, opened } from "../support/integrations.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import { assertAlive, connection, refresh, rowOf, tokensOf } from "../support/refresh.mjs";

describe("a data key", { concurrency: true }, () => {
  const fixture = oauthFixture({ gateway: true });
  const erase = (organization) => fixture.sql`select private.delete_data_keys(${organization})`;
  const kidOf = async (id) => (await rowOf(fixture, id)).config._enc;

  it("a connection is sealed with its organization's data key, and one of the ring's key is read, and moved by its refresh", async () => {
    const { browser, id, tokens } = await connection(fixture);
    const { user } = browser;
    const [{ kid }] = await dataKeysOf(fixture.info, user.id);
    assert.deepEqual(await kidOf(id), { v: 3, kid });
    const ring = Buffer.from(fixture.info.encryption_key, "base64");
    const config = seal(ring, { organization_id: user.id, integration_id: id }, tokens, () => randomBytes(12));
    await fixture.sql`update public.integrations set config = ${fixture.sql.json(config)} where id = ${id}`;
    assert.equal((await kidOf(id)).v, 2);
    (await check({ browser, id })).expect(200);
    (await refresh({ browser, id })).expect(200);
    assert.deepEqual(await kidOf(id), { v: 3, kid });
    await assertAlive(fixture, id);
  });

  it("the credentials of an organization whose data key was deleted open no more, others' do, and it connects again with a new key", async () => {
    const [made, other] = [await connection(fixture), await connection(fixture)];
    const { browser, id } = made;
    const [before] = await dataKeysOf(fixture.info, browser.user.id);
    await erase(browser.user.id);
    assert.equal((await check(made)).expect(200).json.status_reason, "unreadable");
    (await refresh(made)).expect(500, "internal");
    await fixture.worker.logged(new RegExp(`integrations ${id}: not refreshed: integrations ${id} /_enc: .*\\(unknown-key\\)`));
    (await refresh(other)).expect(200);
    await assertAlive(fixture, other.id);
    const again = await browser.connect(`again-${randomUUID()}`);
    const [after, ...more] = await dataKeysOf(fixture.info, browser.user.id);
    assert.deepEqual([after.kid === before.kid, more], [false, []]);
    assert.deepEqual(await kidOf(again), { v: 3, kid: after.kid });
    await assertAlive(fixture, again);
    assert.equal((await browser.delete(`/api/integrations/${id}`)).expect(200).json.revoked, false);
  });

  it("tokens that come back after the data key was deleted are stored under another one", async () => {
    const made = await connection(fixture);
    const organization = made.browser.user.id;
    const [before] = await dataKeysOf(fixture.info, organization);
    // After the worker has read the keys, and before it writes.
    const restore = fixture.gateway.fault(({ path, body }) => path.endsWith("/rpc/settle_refreshes") && body.includes(made.id), async ({ pass }) => {
      restore();
      await erase(organization);
      await pass();
    });
    (await refresh(made)).expect(200);
    const [after] = await dataKeysOf(fixture.info, organization);
    assert.notEqual(after.kid, before.kid);
    assert.deepEqual(await kidOf(made.id), { v: 3, kid: after.kid });
    await assertAlive(fixture, made.id);

    const { browser } = made;
    const connecting = fixture.gateway.fault(({ path, body }) => path.endsWith("/rpc/complete_connection") && body.includes(organization), async ({ pass }) => {
      connecting();
      await erase(organization);
      await pass();
    });
    const id = await browser.connect(`between-${randomUUID()}`);
    const [newest] = await dataKeysOf(fixture.info, organization);
    assert.deepEqual(await kidOf(id), { v: 3, kid: newest.kid });
    assert.ok((await tokensOf(fixture, id)).access_token);
    await assert.rejects(opened(fixture.info, await rowOf(fixture, made.id)), { fault: "unknown-key" });
  });
});
