// Keys and sealed configs in node:crypto alone: what the harness writes and reads does not rest on the code that it tests.
import { createCipheriv, randomBytes } from "node:crypto";

import { keyId, open, seal, unwrap, wrap } from "../../format/format.mjs";

/** The start of a sealed value, which no two may share: iv, tag. */
const HEAD = /([A-Za-z0-9+/]{16})\.([A-Za-z0-9+/]{22}==)\./g;

export function newKey() {
  const key = randomBytes(32);
  return { key, base64: key.toString("base64"), kid: keyId(key) };
}

export function placeOf({ id, organization_id }) {
  return { organization_id, integration_id: id };
}

/** A config of version 2, or of version 3 with a data key. */
export function sealed({ key }, row, plain, dataKey) {
  return seal(key, placeOf(row), plain, () => randomBytes(12), dataKey ? [dataKey] : []);
}

/** The data keys of organizations. What was deleted is still known: earlier versions of rows are opened with it. */
export class DataKeys {
  /** By organization, and in it by kid: the key, and which key wraps it now. */
  #organizations = new Map();

  constructor(sql) {
    Object.assign(this, { sql, keys: [] });
  }

  /** Reads what is there now. */
  async load() {
    this.#take(await this.sql`select organization_id, kid, wrapping_kid, wrapped from private.data_keys`);
  }

  /** The current data key of an organization, which gets one, wrapped with the first of these keys, if it has none: as the worker does. */
  async current(sql, keys, organization_id) {
    const added = wrap(keys[0].key, organization_id, randomBytes(32), randomBytes(12));
    const [{ data_keys }] = await sql`select public.add_data_keys(${sql.json([added])})->'data_keys' as data_keys`;
    return unwrap(keys.map(({ key }) => key), data_keys[0]);
  }

  #take(wrapped) {
    for (const one of wrapped) {
      const known = this.#organizations.get(one.organization_id) ?? new Map();
      this.#organizations.set(one.organization_id, known);
      const key = known.get(one.kid)?.key ?? unwrap(this.keys.map(({ key }) => key), one);
      known.set(one.kid, { key, wrapping: one.wrapping_kid });
    }
  }

  of(organization_id) {
    return [...(this.#organizations.get(organization_id)?.values() ?? [])].map(({ key }) => key);
  }

  /** The key of the deployment that wraps this data key, as it was last read. */
  wrapping(organization_id, kid) {
    return this.#organizations.get(organization_id)?.get(kid)?.wrapping;
  }
}

/** A config in the legacy form, in one of the spellings that its writers had. */
export function sealedLegacy({ key }, plain, random) {
  const encoding = random.pick(["base64", "base64url", "hex"]);
  const bytes = random.pick([12, 16]);
  const field = (text) => {
    const iv = randomBytes(bytes);
    const cipher = createCipheriv("aes-256-gcm", key, iv);
    const ciphertext = Buffer.concat([cipher.update(text), cipher.final()]);
    return [iv, cipher.getAuthTag(), ciphertext].map((part) => part.toString(encoding)).join(".");
  };
  return { ...plain, access_token: field(plain.access_token), refresh_token: field(plain.refresh_token) };
}

/** The config in the clear, or the class of what is wrong with it: `{ plain }` or `{ fault }`. */
export function opened(keys, row, dataKeys) {
  const { config } = row;
  if (typeof config !== "object" || config === null || Array.isArray(config)) return { fault: "no-object" };
  try {
    return { plain: open(keys.map(({ key }) => key), placeOf(row), config, dataKeys?.of(row.organization_id) ?? []) };
  } catch (error) {
    if (error.fault === undefined) throw error;
    return { fault: error.fault };
  }
}

/** Every iv that was ever seen, with the tag beside it: the same iv with another tag has sealed two things. */
export class Nonces {
  #tags = new Map();

  constructor(report) {
    this.report = report;
  }

  get size() {
    return this.#tags.size;
  }

  /** Takes all that a text holds. */
  take(text) {
    for (const [, iv, tag] of text.matchAll(HEAD)) {
      const known = this.#tags.get(iv);
      if (known === undefined) this.#tags.set(iv, tag);
      else this.report.require(known === tag, "no iv is used twice", "a fresh iv", `${iv} again`);
    }
  }
}
