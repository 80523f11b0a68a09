// Where the authorization server keeps its records. Its own in-memory store forgets the oldest of more than 1000, which
// a run of many tests would reach; this one forgets nothing.

const records = new Map();

/** An adapter as oidc-provider's `adapter` option wants it: one instance a model. */
export class MemoryAdapter {
  #model;

  constructor(model) {
    this.#model = model;
  }

  #key(id) {
    return `${this.#model}:${id}`;
  }

  async upsert(id, payload) {
    records.set(this.#key(id), payload);
  }

  async find(id) {
    return records.get(this.#key(id));
  }

  async findByUid(uid) {
    return this.#findBy("uid", uid);
  }

  async findByUserCode(userCode) {
    return this.#findBy("userCode", userCode);
  }

  async consume(id) {
    records.get(this.#key(id)).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    records.delete(this.#key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of records) if (payload.grantId === grantId) records.delete(key);
  }

  #findBy(field, value) {
    for (const [key, payload] of records) {
      if (key.startsWith(`${this.#model}:`) && payload[field] === value) return payload;
    }
    return undefined;
  }
}
