// The table that the rotation is measured on: rows as the worker leaves them, sealed with the data keys of organizations.
import { randomBytes, randomUUID } from "node:crypto";

import { keyId, seal, wrap } from "../../format/format.mjs";

const CHUNK = 5000;

export function newKey() {
  const key = randomBytes(32);
  return { key, base64: key.toString("base64"), kid: keyId(key) };
}

/** Fills an empty `integrations` with `count` rows, about 700 bytes of config each, two of its fields sealed. */
export async function makeRows(sql, count, { key }, perOrganization) {
  for (let done = 0; done < count; done += CHUNK) {
    const size = Math.min(CHUNK, count - done);
    const organizations = Array.from({ length: Math.ceil(size / perOrganization) }, () => ({ id: randomUUID(), dataKey: randomBytes(32) }));
    await sql`insert into private.data_keys ${sql(organizations.map(({ id, dataKey }) => wrap(key, id, dataKey, randomBytes(12))))}`;
    const rows = Array.from({ length: size }, (_, i) => row(key, organizations[i % organizations.length]));
    await sql`insert into public.integrations ${sql(rows)}`;
  }
  // As a table is that has been in use: vacuumed, analysed, visible to every snapshot.
  await sql.unsafe("vacuum (analyze, freeze) public.integrations, private.data_keys, private.pending_reseals");
}

function row(key, { id: organization_id, dataKey }) {
  const id = randomUUID();
  const project = randomBytes(10).toString("hex");
  const plain = {
    access_token: `sbp_oauth_${randomBytes(20).toString("hex")}`,
    expires_at: "2026-12-08T10:30:00Z",
    project_id: project,
    project_name: `Project ${project}`,
    refresh_token: randomBytes(96).toString("base64url"),
    region: "eu-central-1",
    scopes: ["projects:read", "organizations:read", "auth:read", "database:read", "storage:read"],
    token_type: "Bearer",
  };
  const config = seal(key, { organization_id, integration_id: id }, plain, () => randomBytes(12), [dataKey]);
  const name = `Project ${project}`;
  return { id, organization_id, integration_type: "supabase", name, external_account_id: project, config };
}
