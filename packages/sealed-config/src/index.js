// The asynchronous entry, over WebCrypto: Node, Bun, Deno, Workers, browsers.

import { checkRing, keyTexts, open, seal } from './core.js'
import { drive, nonce, ringKey } from './web.js'

export { KeyError, OpenError, SealError, isSensitive, parse } from './core.js'

/** @typedef {import('./core.js').Config} Config */
/** @typedef {import('./core.js').DataKey} DataKey */
/** @typedef {import('./core.js').Fault} Fault */
/** @typedef {import('./core.js').Row} Row */

/** The keys of a deployment: the primary seals where an organization has no data key, and every key opens. */
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
   * Seals a config for its row: a copy with its secrets sealed, and `_enc`. Throws a `SealError`, or a `KeyError` if the data key does not open.
   * @param {Row} row
   * @param {Config} config
   * @param {readonly DataKey[]} [dataKeys] the first of the row's organization seals; without one the primary key does
   * @returns {Promise<Config>}
   */
  seal(row, config, dataKeys = []) {
    return drive(seal(this.#keys, dataKeys, row, config, nonce))
  }

  /**
   * Opens a stored config of any form. Throws an `OpenError`.
   * @param {Row} row
   * @param {Config} stored
   * @param {readonly DataKey[]} [dataKeys] those of the row's organization
   * @returns {Promise<Config>}
   */
  open(row, stored, dataKeys = []) {
    return drive(open(this.#keys, dataKeys, row, stored))
  }
}
