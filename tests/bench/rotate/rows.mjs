// The table that the rotation is measured on: rows as the worker leaves them, sealed with a key that is to be replaced.
import { createCipheriv, createHmac, randomBytes, randomUUID } from "node:crypto";

const CHUNK = 5000;
/** Integrations of an organization. A rotation writes two events an organization, so with one each it measures those. */
const PER_ORGANIZATION = 10;

export function newKey() {
  const key = randomBytes(32);
  return { key, base64: key.toString("base64"), kid: keyId(key) };
}

/** Fills an empty `integrations` with `count` rows, about 700 bytes of config each, two of its fields sealed. */
export async function makeRows(sql, count, key) {
  for (let done = 0; done < count; done += CHUNK) {
    const organizations = Array.from({ length: CHUNK / PER_ORGANIZATION }, () => randomUUID());
    const rows = Array.from({ length: Math.min(CHUNK, count - done) }, (_, i) => row(key, organizations[i % organizations.length]));
    await sql`insert into public.integrations ${sql(rows)}`;
  }
  // As a table is that has been in use: vacuumed, analysed, visible to every snapshot.
  await sql.unsafe("vacuum (analyze, freeze) public.integrations");
}

function row({ key, kid }, organization_id) {
  const id = randomUUID();
  const project = randomBytes(10).toString("hex");
  const seal = (path, text) => {
    const iv = randomBytes(12);
    const parts = ["v2", "integrations", organization_id, id, path, kid].map((part) => Buffer.from(part));
    const aad = parts.flatMap((part) => [Buffer.from([0, 0, 0, part.length]), part]);
    const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(Buffer.concat(aad));
    const ciphertext = Buffer.concat([cipher.update(text), cipher.final()]);
    return [iv, cipher.getAuthTag(), ciphertext].map((bytes) => bytes.toString("base64")).join(".");
  };
  return {
    id,
    organization_id,
    integration_type: "supabase",
    name: `Project ${project}`,
    external_account_id: project,
    config: {
      _enc: { v: 2, kid },
      access_token: seal("/access_token", `sbp_oauth_${randomBytes(20).toString("hex")}`),
      expires_at: "2026-12-08T10:30:00Z",
      project_id: project,
      project_name: `Project ${project}`,
      refresh_token: seal("/refresh_token", randomBytes(96).toString("base64url")),
      region: "eu-central-1",
      scopes: ["projects:read", "organizations:read", "auth:read", "database:read", "storage:read"],
      token_type: "Bearer",
    },
  };
}

function keyId(key) {
  return createHmac("sha256", key).update("integrations key id v1").digest("hex").slice(0, 16);
}
