// The asynchronous entry, over WebCrypto: Node, Bun, Deno, Workers, browsers.

import { checkRing, keyTexts, open, seal } from './core.js'
import { drive, nonce, ringKey } from './web.js'

export { KeyError, OpenError, SealError, isSensitive, parse } from './core.js'

/** @typedef {import('./core.js').Config} Config */
/** @typedef {import('./core.js').Fault} Fault */
/** @typedef {import('./core.js').Row} Row */

/** The keys of a deployment: the primary seals, and every key opens. */
export class KeyRing {
  /** @type {import('./core.js').RingKey[]} */
  #keys

  /** @private Use `KeyRing.import`. @param {import('./core.js').RingKey[]} keys */
  constructor(keys) {
    this.#keys = keys
  }

  /**
   * Makes a ring of keys as the settings hold them.
   * @param {string} primary `ENCRYPTION_KEY`: base64 of 32 bytes
   * @param {string | readonly string[]} [fallbacks] `FALLBACK_ENCRYPTION_KEYS`: separated by commas, or a list
   * @returns {Promise<KeyRing>}
   */
  static async import(primary, fallbacks = []) {
    const keys = await Promise.all(keyTexts(primary, fallbacks).map(ringKey))
    checkRing(keys)
    return new KeyRing(keys)
  }

  /** The ids of the keys, the primary's first. @returns {string[]} */
  get kids() {
    return this.#keys.map(({ kid }) => kid)
  }

  /**
   * Seals a config for its row: a copy with its secrets sealed, and `_enc`. Throws a `SealError`.
   * @param {Row} row
   * @param {Config} config
   * @returns {Promise<Config>}
   */
  seal(row, config) {
    return drive(seal(this.#keys[0], row, config, nonce))
  }

  /**
   * Opens a stored config of the current or the legacy form. Throws an `OpenError`.
   * @param {Row} row
   * @param {Config} stored
   * @returns {Promise<Config>}
   */
  open(row, stored) {
    return drive(open(this.#keys, row, stored))
  }
}
