// Secrets that a run has planted, and whether one of them shows somewhere: as it is, or in any encoding in which logs, URLs and
// error messages might carry it.

/** Shorter ones could stand anywhere by chance. */
const SHORTEST = 12;

export class SecretCanaries {
  #secrets = new Map();

  /** Remembers secrets by name: `{ name: value }`. */
  add(secrets) {
    for (const [name, value] of Object.entries(secrets)) {
      if (typeof value !== "string" || value.length < SHORTEST) throw new Error(`${name} is no secret that could be found again`);
      if (!this.#secrets.has(value)) this.#secrets.set(value, { name, forms: forms(value) });
    }
  }

  /** The names of the secrets that show in the text. */
  in(text) {
    return [...this.#secrets.values()].filter(({ forms }) => forms.some((form) => text.includes(form))).map(({ name }) => name);
  }
}

function forms(value) {
  const bytes = Buffer.from(value);
  const all = [
    value,
    encodeURIComponent(value),
    new URLSearchParams([["", value]]).toString().slice(1),
    JSON.stringify(value).slice(1, -1),
    bytes.toString("hex"),
    // In the middle of other text base64 begins at any of three offsets; the edges depend on the neighbours.
    ...["base64", "base64url"].flatMap((encoding) =>
      [0, 1, 2].map((offset) => Buffer.concat([Buffer.alloc(offset), bytes]).toString(encoding).replace(/=+$/, "").slice(offset ? 4 : 0, -2)),
    ),
  ];
  return [...new Set(all)];
}
