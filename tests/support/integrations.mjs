// What stands in the database after a connection, and what is in it for whoever holds the key.
import { createCipheriv, randomBytes } from "node:crypto";

import { open, unwrap } from "../format/format.mjs";

/** `iv.tag.ciphertext` as docs/format.md has it: 12 bytes, 16 bytes, and at least one. */
/** The organization of what belongs to the deployment itself. */
export const NIL = "00000000-0000-0000-0000-000000000000";

export const SEALED = /^[A-Za-z0-9+/]{16}\.[A-Za-z0-9+/]{22}==\.([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$/;

/** The integrations of an organisation, the oldest first; `sql` is a client of the database. */
export async function integrationsOf(sql, organization) {
  const rows = await sql`select * from public.integrations where organization_id = ${organization} order by created_at, id`;
  return [...rows];
}

/** A row's config, opened by the page's recipe in node:crypto. */
export async function opened(info, row) {
  return openedWith(info, row, await dataKeysOf(info, row.organization_id));
}

/** The same with the organization's wrapped data keys. What belongs to the deployment has no organization, and the data keys of the nil UUID. */
export function openedWith(info, { organization_id, id, config }, dataKeys) {
  const keys = [Buffer.from(info.encryption_key, "base64")];
  const place = { organization_id: organization_id ?? NIL, integration_id: id };
  return open(keys, place, config, dataKeys.map((wrapped) => unwrap(keys, wrapped)));
}

/** The wrapped data keys of an organization, the current one first. */
export async function dataKeysOf(info, organization_id) {
  const { service_role_key: key } = info;
  const response = await fetch(`${info.supabase_url}/rest/v1/rpc/data_keys`, {
    method: "POST",
    headers: { apikey: key, authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ p_organization_ids: [organization_id ?? NIL] }),
  });
  if (!response.ok) throw new Error(`data_keys answered ${response.status}: ${await response.text()}`);
  return (await response.json()).data_keys;
}

/** What was done to an organisation's integrations, the oldest first, without the openings of their credentials in between. */
export async function eventsOf(sql, organization) {
  const rows = await sql`
    select * from public.credential_events
    where organization_id = ${organization} and action in ('connected', 'reconnected', 'disconnected') order by id`;
  return [...rows];
}

/**
 * Whoever begins or parks a connection sweeps up what has expired, whosever it is. An attempt with an expired row proves something
 * only if the row was there all the time: `attempt` returns what is left, and is repeated if that is nothing.
 */
export async function unswept(attempt) {
  for (let left = 10; left > 0; left--) {
    if ((await attempt()).length > 0) return;
  }
  throw new Error("the expired row was swept up each time");
}

/** A secret in the source document's form: AES-256-GCM without AAD, an iv of 16 bytes. */
export function sealOld(key, text) {
  const iv = randomBytes(16);
  const cipher = createCipheriv("aes-256-gcm", key, iv);
  const ciphertext = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
  return [iv, cipher.getAuthTag(), ciphertext].map((part) => part.toString("base64")).join(".");
}
