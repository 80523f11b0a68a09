// A stack of a test file's own, for what would disturb others: the schedule takes whatever is due, a pause holds for everybody.
import { randomBytes, randomUUID } from "node:crypto";
import { beforeEach } from "node:test";

import { seal } from "../format/format.mjs";
import { workerFixture } from "./worker-fixture.mjs";

/** `workerFixture` on a stack of this file's own, behind both proxies. Each test begins without integrations, webhooks and pauses. */
export function ownStackFixture(name) {
  const fixture = workerFixture({ ownStack: { name }, gateway: true, server: true });
  beforeEach(async () => {
    await fixture.sql`delete from public.webhook_endpoints`;
    await fixture.sql`delete from public.integrations`;
    await fixture.sql`delete from private.provider_pauses`;
    await fixture.sql`delete from private.integration_pauses`;
  });
  return fixture;
}

/** Inserts rows as the worker leaves them, each in an organisation of its own unless one is given; returns their ids. `columns` are further ones. */
export async function insertRows({ info, sql }, count, { seconds, refresh_token, organization_id: shared, ...columns }) {
  const key = Buffer.from(info.encryption_key, "base64");
  const rows = Array.from({ length: count }, (_, i) => {
    const [id, organization_id] = [randomUUID(), shared ?? randomUUID()];
    const plain = {
      access_token: `old-${i}-${id}`,
      ...(refresh_token !== null && { refresh_token: `old-${id}` }),
      expires_at: new Date(Date.now() + seconds * 1000).toISOString(),
      project_id: id,
    };
    const config = seal(key, { organization_id, integration_id: id }, plain, () => randomBytes(12));
    return { id, organization_id, integration_type: "supabase", name: id, external_account_id: id, config, ...columns };
  });
  await sql`insert into public.integrations ${sql(rows)}`;
  return rows.map(({ id }) => id);
}
