// What the authorization server really gave out, written down between it and the worker: before any fault, and without asking the worker.

/** A grant: one authorization and every token that came of it. */
class Grant {
  /** `[{ access, refresh, lost }]`, the newest last. `lost`: the answer did not reach the worker in a form that anybody could read. */
  tokens = [];
  /** The user took it back at the provider. */
  withdrawn = false;
  /** When the server first answered a request to revoke it; undefined: nobody has asked. */
  revocationAnsweredAt;
  /** Redemptions, exchanges included: `[{ from, until }]`, until the answer was passed on. */
  redemptions = [];

  constructor(type, owner) {
    Object.assign(this, { type, owner });
  }

  get newest() {
    return this.tokens.at(-1);
  }

  /** Whether the worker never held the newest tokens, because their answer was lost on its way. */
  get wasLost() {
    return this.tokens.some(({ lost }) => lost);
  }
}

export class Ledger {
  grants = [];
  #byToken = new Map();
  #owners = new Map();

  /** Whose code it is: `owner` is whatever the user's part of the harness calls itself. */
  noteCode(code, owner) {
    this.#owners.set(code, owner);
  }

  ownerOfCode(code) {
    return this.#owners.get(code);
  }

  byToken(token) {
    return this.#byToken.get(token);
  }

  /** A token answer: for a code (`spent` is undefined) or for a refresh token. Returns the entry, for `lost`. */
  note({ type, code, spent, access_token, refresh_token, from }) {
    let grant = spent === undefined ? undefined : this.#byToken.get(spent);
    if (!grant) this.grants.push((grant = new Grant(type, this.#owners.get(code))));
    const entry = { access: access_token, refresh: refresh_token, lost: false };
    grant.tokens.push(entry);
    for (const token of [access_token, refresh_token]) this.#byToken.set(token, grant);
    const redemption = { from, until: Infinity };
    grant.redemptions.push(redemption);
    return { grant, entry, redemption };
  }
}
