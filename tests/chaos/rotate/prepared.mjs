// Rows as they lie in a table that has been in use: sealed with the key that is to go, some in the legacy form, some with nothing
// sealed; and damaged ones.
import { randomBytes, randomUUID } from "node:crypto";

import { opened, sealed, sealedLegacy } from "./sealing.mjs";

const CHUNK = 500;
const LONG_AGO = "2026-01-02T03:04:05Z";

export class Prepared {
  /** `sql` is a client whose writes the journal knows as the harness's; `users` are the personal organisations that rows go to. */
  constructor({ sql, model, random, users, dataKeys }) {
    Object.assign(this, { sql, model, random, users, dataKeys });
  }

  /** Inserts so many rows and tells the model; `organization` for all of them, or any user's. `keys` open the data keys that there are. */
  async insert(count, key, { organization, keys = [key] } = {}) {
    const organizations = organization ? [organization] : this.users;
    const dataKeys = new Map();
    for (const id of organizations) dataKeys.set(id, await this.dataKeys.current(this.sql, keys, id));
    const made = Array.from({ length: count }, () => {
      const id = this.random.pick(organizations);
      return this.#row(key, id, { dataKey: dataKeys.get(id) });
    });
    for (let from = 0; from < made.length; from += CHUNK) await this.#write(made.slice(from, from + CHUNK).map(({ row }) => row));
    for (const { row, plain } of made) this.model.add(row, plain);
    return made.map(({ row }) => row);
  }

  /** Puts rows back on a key, as a restored backup would. */
  async sealAgain(rows, key) {
    for (const row of rows) {
      const known = this.model.get(row.id);
      await this.model.during(known, async () => {
        const config = this.#config(key, row, known.fields);
        await this.sql`update public.integrations set config = ${this.sql.json(config)} where id = ${row.id}`;
        return known.fields;
      });
    }
  }

  /**
   * Inserts a row of each kind of damage for each key of the ring. Returns a map from id to the class of fault. None of them is sealed with a
   * data key, so a rotation comes upon each.
   */
  async insertDamaged(keys) {
    const rows = keys.flatMap((key) =>
      Object.values(DAMAGES).map((damage) => {
        const { row } = this.#row(key, randomUUID(), { form: "current" });
        return { ...row, config: damage(row.config) };
      }),
    );
    await this.#write(rows);
    return new Map(rows.map((row) => [row.id, opened(keys, row).fault]));
  }

  async remove(ids) {
    await this.sql`delete from public.integrations where id in ${this.sql(ids)}`;
  }

  #row(key, organization_id, { form, dataKey } = {}) {
    const account = randomBytes(10).toString("hex");
    const row = {
      id: randomUUID(),
      organization_id,
      integration_type: "supabase",
      name: `Project ${account}`,
      external_account_id: account,
      created_at: LONG_AGO,
      updated_at: LONG_AGO,
    };
    const plain = plainConfig(account, this.random);
    return { row: { ...row, config: this.#config(key, row, plain, { form, dataKey }) }, plain };
  }

  #config(key, row, plain, { form = this.random.pick(["current", "current", "legacy", "data key"]), dataKey } = {}) {
    if (form === "data key") return sealed(key, row, plain, dataKey);
    return form === "legacy" && !plain.nested ? sealedLegacy(key, plain, this.random) : sealed(key, row, plain);
  }

  async #write(rows) {
    await this.sql`insert into public.integrations ${this.sql(rows)}`;
  }
}

/** What an integration stores; some have secrets further down, too. */
export function plainConfig(account, random) {
  return {
    access_token: `sbp_oauth_${randomBytes(20).toString("hex")}`,
    refresh_token: randomBytes(random.between(20, 120)).toString("base64url"),
    expires_at: "2026-12-08T10:30:00Z",
    project_id: account,
    region: "eu-central-1",
    scopes: ["projects:read", "database:read"],
    token_type: "Bearer",
    ...(random.next() < 0.2 && { nested: { webhook_secret: randomBytes(12).toString("hex"), note: "täglich\n☃", list: [{ apiKey: "k".repeat(30) }] } }),
  };
}

/** What can have happened to a config. */
const DAMAGES = {
  "a bit of the ciphertext is another": (config) => ({ ...config, access_token: flip(config.access_token) }),
  "a part is missing": (config) => ({ ...config, refresh_token: config.refresh_token.split(".").slice(0, 2).join(".") }),
  "two fields have changed places": (config) => ({ ...config, access_token: config.refresh_token, refresh_token: config.access_token }),
  "a key that nobody has": (config) => ({ ...config, _enc: { v: 2, kid: "0123456789abcdef" } }),
  "a version that nobody knows": (config) => ({ ...config, _enc: { ...config._enc, v: 4 } }),
  "no _enc any more": ({ _enc: _, ...config }) => config,
  "never sealed": () => ({ access_token: "in the clear" }),
  "no object": () => ["a", "list"],
};

function flip(text) {
  const [iv, tag, ciphertext] = text.split(".");
  const bytes = Buffer.from(ciphertext, "base64");
  bytes[0] ^= 1;
  return [iv, tag, bytes.toString("base64")].join(".");
}
