// The synchronous entry, over node:crypto, with the names of the source document: `encryptConfig` and `decryptConfig`.

import { KeyError, checkRing, keyTexts, open, seal } from './core.js'
import { drive, nonce, ringKey } from './node-crypto.js'

export { KeyError, OpenError, SealError, isSensitive, parse } from './core.js'

/** @typedef {import('./core.js').Config} Config */
/** @typedef {import('./core.js').DataKey} DataKey */
/** @typedef {import('./core.js').Fault} Fault */
/** @typedef {import('./core.js').Row} Row */

/** The keys of a deployment: the primary seals where an organization has no data key, and every key opens. */
export class KeyRing {
  /** @type {import('./core.js').RingKey[]} */
  #keys

  /**
   * Makes a ring of keys as the settings hold them.
   * @param {string} primary `ENCRYPTION_KEY`: base64 of 32 bytes
   * @param {string | readonly string[]} [fallbacks] `FALLBACK_ENCRYPTION_KEYS`: separated by commas, or a list
   */
  constructor(primary, fallbacks = []) {
    this.#keys = keyTexts(primary, fallbacks).map(ringKey)
    checkRing(this.#keys)
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
   * @returns {Config}
   */
  seal(row, config, dataKeys = []) {
    return drive(seal(this.#keys, dataKeys, row, config, nonce))
  }

  /**
   * Opens a stored config of any form. Throws an `OpenError`.
   * @param {Row} row
   * @param {Config} stored
   * @param {readonly DataKey[]} [dataKeys] those of the row's organization
   * @returns {Config}
   */
  open(row, stored, dataKeys = []) {
    return drive(open(this.#keys, dataKeys, row, stored))
  }
}

/**
 * Seals a config for its row with the organization's data key, or without one with the key of the environment variable `ENCRYPTION_KEY`.
 * @param {Config} config
 * @param {Row} row
 * @param {readonly DataKey[]} [dataKeys]
 * @returns {Config}
 */
export function encryptConfig(config, row, dataKeys) {
  return environmentRing().seal(row, config, dataKeys)
}

/**
 * Opens a row's config of any form with `ENCRYPTION_KEY` and `FALLBACK_ENCRYPTION_KEYS`, and the data keys that they unwrap.
 * @param {Config} config
 * @param {Row} row
 * @param {readonly DataKey[]} [dataKeys]
 * @returns {Config}
 */
export function decryptConfig(config, row, dataKeys) {
  return environmentRing().open(row, config, dataKeys)
}

/** @type {{ primary: string, fallbacks: string, ring: KeyRing } | undefined} */
let known

/** The ring of the environment. It is made anew when the variables change, as they do in a test. */
function environmentRing() {
  const { ENCRYPTION_KEY: primary, FALLBACK_ENCRYPTION_KEYS: fallbacks = '' } = process.env
  if (!primary) throw new KeyError('ENCRYPTION_KEY environment variable is not set')
  if (known?.primary !== primary || known.fallbacks !== fallbacks) {
    known = { primary, fallbacks, ring: new KeyRing(primary, fallbacks) }
  }
  return known.ring
}
