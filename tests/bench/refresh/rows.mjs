// Credentials that are due.
import { randomBytes, randomUUID } from "node:crypto";

import { seal } from "../../format/format.mjs";

const CHUNK = 2000;
/** Sooner than the schedule refreshes. */
const DUE_S = 60;

/** Makes the table hold so many due rows and nothing else. */
export async function makeDue(sql, info, count) {
  const key = Buffer.from(info.encryption_key, "base64");
  await sql`delete from public.integrations`;
  for (let done = 0; done < count; done += CHUNK) {
    const rows = Array.from({ length: Math.min(CHUNK, count - done) }, () => credentialRow(key, { organization_id: randomUUID(), lifetime: DUE_S }));
    await sql`insert into public.integrations ${sql(rows)}`;
  }
  await sql.unsafe("vacuum (analyze) public.integrations, public.credential_leases");
}

/** A row whose access token lives so many seconds, sealed as the worker seals. */
export function credentialRow(key, { organization_id, lifetime }) {
  const id = randomUUID();
  const project = randomBytes(10).toString("hex");
  const plain = {
    access_token: `sbp_oauth_${randomBytes(20).toString("hex")}`,
    refresh_token: randomBytes(96).toString("base64url"),
    expires_at: new Date(Date.now() + lifetime * 1000).toISOString(),
    project_id: project,
    project_name: `Project ${project}`,
  };
  const config = seal(key, { organization_id, integration_id: id }, plain, () => randomBytes(12));
  return { id, organization_id, integration_type: "supabase", name: `Project ${project}`, external_account_id: project, config };
}
