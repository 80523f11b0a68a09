// The sealed-config format (docs/format.md), apart from the platform's cryptography. What encrypts and decrypts is a driver: these generators
// yield what they need computed and go on with the result, so that one text serves WebCrypto, which is asynchronous, and node:crypto.

/**
 * A row of the table `integrations`, or as much of it as a sealed value is bound to: the ids of its organization and its own, both UUIDs.
 * Whoever seals makes the row's id first.
 * @typedef {{ readonly organization_id: string, readonly id: string }} Row
 */

/**
 * A data key of an organization, as the database's function `data_keys` returns it. Where a key management service wraps it, unwrap it there and
 * give `key` instead: base64 of its 32 bytes.
 * @typedef {{ readonly organization_id: string, readonly kid: string, readonly wrapping_kid?: string, readonly wrapped?: string, readonly key?: string }} DataKey
 */

/**
 * A config: a JSON object.
 * @typedef {Record<string, any>} Config
 */

/**
 * What is wrong with a config: the classes of docs/format.md.
 * @typedef {'unknown-version' | 'malformed-enc' | 'unknown-key' | 'not-sealed' | 'malformed' | 'not-authentic' | 'not-text' | 'wrong-type' |
 *   'too-deep' | 'too-large' | 'reserved-name' | 'no-object' | 'not-json' | 'unsafe-number'} Fault
 */

/**
 * What a driver computes. `seal` and `open` are AES-256-GCM; a ciphertext has its tag at the end. `open` gives null where the tag does not fit.
 * `import` makes a `RingKey` of 32 bytes.
 * @typedef {{ do: 'seal' | 'open', key: any, iv: Uint8Array, aad: Uint8Array, bytes: Uint8Array } | { do: 'import', bytes: Uint8Array }} Step
 */

/**
 * A key of a ring, as its driver holds it, and its id.
 * @typedef {{ kid: string, key: any }} RingKey
 */

const MAX_DEPTH = 32
const MAX_VALUES = 10_000
const MAX_VALUE = 65_536
const MAX_TEXT = 1 << 20
export const KID_LABEL = 'integrations key id v1'

// Errors

/** A config was not sealed. The pointer names the field; no error ever quotes a value. */
export class SealError extends Error {
  /** @param {Fault} fault @param {string} pointer */
  constructor(fault, pointer) {
    const shown = whereabouts(pointer)
    super(`the config cannot be sealed: ${fault} at "${shown}"`)
    this.name = 'SealError'
    /** @readonly The class of the fault. */
    this.fault = fault
    /** @readonly The JSON Pointer to it, escaped and cut for a log. */
    this.pointer = shown
  }
}

/** A stored config does not open. The message is the same whatever the reason; `fault` and `pointer` are for the log. */
export class OpenError extends Error {
  /** @param {Fault} fault @param {string} pointer */
  constructor(fault, pointer) {
    super('the config does not open')
    this.name = 'OpenError'
    /** @readonly The class of the fault. */
    this.fault = fault
    /** @readonly The JSON Pointer to it, escaped and cut for a log. */
    this.pointer = whereabouts(pointer)
  }
}

/** A key, or a ring of keys, is not as it should be. The message never holds any of it. */
export class KeyError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message)
    this.name = 'KeyError'
  }
}

/** What a walk finds; whoever seals or opens makes an error of it. */
class Found {
  /** @param {Fault} fault @param {string} pointer */
  constructor(fault, pointer) {
    this.fault = fault
    this.pointer = pointer
  }
}

/** Controls, line and paragraph separators, and marks that change the writing direction. */
const UNSAFE_TO_SHOW = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u

/** @param {string} pointer */
function whereabouts(pointer) {
  const characters = [...pointer]
  const shown = characters.slice(0, 200).map((c) => (UNSAFE_TO_SHOW.test(c) ? escapeControl(c) : c)).join('')
  return characters.length > 200 ? `${shown}…` : shown
}

/** @param {string} c */
function escapeControl(c) {
  const short = { '\t': '\\t', '\n': '\\n', '\r': '\\r' }[c]
  return short ?? `\\u{${c.charCodeAt(0).toString(16)}}`
}

// Keys and rows

/**
 * The bytes of a key as a setting holds it: base64 of 32 bytes.
 * @param {string} text
 */
export function keyBytes(text) {
  if (typeof text !== 'string') throw new KeyError('a key is a string: base64 of 32 bytes')
  const trimmed = text.trim()
  const bytes = trimmed.length > 256 ? null : fromLooseBase64(trimmed)
  if (!bytes) throw new KeyError('the key is not base64')
  if (bytes.length !== 32) throw new KeyError(`the key has ${bytes.length} bytes instead of 32`)
  return bytes
}

/**
 * The texts of a ring's keys, the primary first.
 * @param {string} primary
 * @param {string | readonly string[]} fallbacks as FALLBACK_ENCRYPTION_KEYS holds them, separated by commas, or a list
 */
export function keyTexts(primary, fallbacks) {
  if (typeof fallbacks !== 'string') return [primary, ...fallbacks]
  return fallbacks.trim() === '' ? [primary] : [primary, ...fallbacks.split(',')]
}

/** @param {readonly RingKey[]} keys */
export function checkRing(keys) {
  const kids = keys.map(({ kid }) => kid)
  const twice = kids.find((kid, index) => kids.indexOf(kid) !== index)
  if (twice) throw new KeyError(`the key ${twice} is in the ring twice`)
}

/** The first 8 bytes of the HMAC, in hex. @param {Uint8Array} mac */
export function kidOf(mac) {
  return Array.from(mac.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** @param {Row} row @returns {[string, string]} */
function idsOf(row) {
  const ids = [row?.organization_id, row?.id].map((id) => (typeof id === 'string' ? id.toLowerCase() : ''))
  if (!ids.every((id) => UUID.test(id))) throw new TypeError('the row needs its organization_id and its id, both UUIDs')
  return [ids[0], ids[1]]
}

/** What a value of a row is bound to. @param {2 | 3} v @param {[string, string]} ids @param {string} pointer @param {string} kid */
function aad(v, ids, pointer, kid) {
  return prefixed([`v${v}`, 'integrations', ...ids, pointer, kid])
}

/** Each part as its length and its bytes. @param {string[]} texts */
function prefixed(texts) {
  const parts = texts.map((part) => utf8.encode(part))
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0))
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const part of parts) {
    view.setUint32(at, part.length)
    bytes.set(part, at + 4)
    at += 4 + part.length
  }
  return bytes
}

// Data keys

/**
 * The data keys of one organization, in their order.
 * @param {readonly DataKey[]} rows
 * @param {string} organizationId
 */
function dataKeysOf(rows, organizationId) {
  if (!Array.isArray(rows)) throw new TypeError('the data keys are a list, as the function data_keys returns it')
  return rows.filter((row) => String(row?.organization_id).toLowerCase() === organizationId)
}

/**
 * Unwraps a data key with the key of the ring that its `wrapping_kid` names.
 * @param {readonly RingKey[]} ring
 * @param {DataKey} row
 * @returns {Generator<Step, RingKey, any>}
 */
function* unwrap(ring, { organization_id, kid, wrapping_kid, wrapped, key }) {
  /** @type {Uint8Array} */
  let bytes
  if (key === undefined) {
    const wrapping = ring.find((candidate) => candidate.kid === wrapping_kid)
    if (!wrapping) throw new Found('unknown-key', '/_enc')
    if (typeof wrapped !== 'string') throw new Found('not-sealed', '/_enc')
    const bound = prefixed(['v3', 'data_keys', organization_id.toLowerCase(), kid, wrapping.kid])
    bytes = yield* openCurrent(wrapping, bound, wrapped, '/_enc')
    if (bytes.length !== 32) throw new Found('malformed', '/_enc')
  } else {
    bytes = keyBytes(key)
  }
  const opened = yield { do: 'import', bytes }
  if (opened.kid !== kid) throw new Found('not-authentic', '/_enc')
  return opened
}

// Sensitive names

const SENSITIVE = [
  /^(token|key|secret|password)$/i,
  /[^A-Za-z0-9](token|key|secret|password)$/i,
  /[^A-Z](T[Oo][Kk][Ee][Nn]|K[Ee][Yy]|S[Ee][Cc][Rr][Ee][Tt]|P[Aa][Ss][Ss][Ww][Oo][Rr][Dd])$/,
  /(To[Kk][Ee][Nn]|Ke[Yy]|Se[Cc][Rr][Ee][Tt]|Pa[Ss][Ss][Ww][Oo][Rr][Dd])$/,
]

/**
 * Whether a field of this name holds a secret.
 * @param {string} name
 * @returns {boolean}
 */
export function isSensitive(name) {
  return SENSITIVE.some((pattern) => pattern.test(name))
}

// The walk

const utf8 = new TextEncoder()
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const LONE_SURROGATE = /\p{Surrogate}/u

/** @param {unknown} value @returns {value is { rawJSON: string }} */
function isRawJson(value) {
  return /** @type {any} */ (JSON).isRawJSON?.(value) === true
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
function isObject(value) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype = Object.getPrototypeOf(value)
  // A plain one, of whatever realm. A Date or a Map would become something else in JSON.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** By code point: JavaScript itself compares UTF-16 units. @param {string} a @param {string} b */
function byCodePoint(a, b) {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i += 1) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)]
    if (x === y) continue
    const [high, low] = [x >= 0xd800 && x < 0xe000, y >= 0xd800 && y < 0xe000]
    return high === low ? x - y : high ? 1 : -1
  }
  return a.length - b.length
}

/**
 * A copy of a config without `_enc`, and its secrets in the order of the walk. `put(texts)` gives the copy with other texts in their places.
 * @param {Config} config
 * @param {number} maxText
 * @param {boolean} toSeal
 */
function walk(config, maxText, toSeal) {
  let values = 0
  let text = 0
  /** @type {{ text: string, pointer: string, put: (text: string) => void }[]} */
  const secrets = []

  /** @param {string} string @param {string} pointer */
  const add = (string, pointer) => {
    if (LONE_SURROGATE.test(string)) throw new Found('not-text', pointer)
    text += byteLength(string)
    if (text > maxText) throw new Found('too-large', pointer)
  }
  /** @param {string} name @param {string} pointer */
  const count = (name, pointer) => {
    values += 1
    if (values > MAX_VALUES) throw new Found('too-large', pointer)
    add(name, pointer)
  }
  /** @param {unknown} value @param {string} pointer @param {number} depth @returns {unknown} */
  const inner = (value, pointer, depth) => {
    if (value === null || typeof value === 'boolean' || isRawJson(value)) return value
    if (typeof value === 'string') {
      add(value, pointer)
      return value
    }
    if (typeof value === 'number') {
      if (!Number.isFinite(value)) throw new Found('not-json', pointer)
      if (toSeal && Number.isInteger(value) && !Number.isSafeInteger(value)) throw new Found('unsafe-number', pointer)
      return value
    }
    if (!Array.isArray(value) && !isObject(value)) throw new Found('not-json', pointer)
    if (depth === MAX_DEPTH) throw new Found('too-deep', pointer)
    return Array.isArray(value) ? elements(value, pointer, depth + 1) : members(value, pointer, depth + 1)
  }
  /** @param {unknown[]} array @param {string} pointer @param {number} depth */
  const elements = (array, pointer, depth) => {
    const copy = []
    for (let index = 0; index < array.length; index += 1) {
      count('', pointer)
      copy.push(inner(array[index], `${pointer}/${index}`, depth))
    }
    return copy
  }
  /** @param {Record<string, unknown>} object @param {string} pointer @param {number} depth */
  const members = (object, pointer, depth) => {
    /** @type {Config} */
    const copy = {}
    for (const name of Object.keys(object).sort(byCodePoint)) {
      if (depth === 1 && name === '_enc') continue
      count(name, pointer)
      const at = `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
      const value = object[name]
      define(copy, name, isSensitive(name) ? secret(copy, name, value, at) : inner(value, at, depth))
    }
    return copy
  }
  /** @param {Config} copy @param {string} name @param {unknown} value @param {string} pointer */
  const secret = (copy, name, value, pointer) => {
    if (value === null) return null
    if (typeof value !== 'string') throw new Found('wrong-type', pointer)
    add(value, pointer)
    secrets.push({ text: value, pointer, put: (replaced) => define(copy, name, replaced) })
    return null
  }
  return { copy: members(config, '', 1), secrets }
}

/** An own member of any name, `__proto__` too. @param {Config} object @param {string} name @param {unknown} value */
function define(object, name, value) {
  Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true })
}

/** @param {string} text */
function byteLength(text) {
  return utf8.encode(text).length
}

// Sealing

/**
 * Seals `plain` for its row with the first data key of its organization, or with the ring's primary key if there is none.
 * @param {readonly RingKey[]} ring
 * @param {readonly DataKey[]} dataKeys
 * @param {Row} row
 * @param {Config} plain
 * @param {(pointer: string) => Uint8Array} nonce 12 random bytes; the pointer is for tests, which replay the vectors'
 * @returns {Generator<Step, Config, any>}
 */
export function* seal(ring, dataKeys, row, plain, nonce) {
  try {
    const ids = idsOf(row)
    if (!isObject(plain)) throw new Found('no-object', '')
    if (Object.hasOwn(plain, '_enc')) throw new Found('reserved-name', '/_enc')
    const { copy, secrets } = walk(plain, MAX_TEXT, true)
    const long = secrets.find(({ text }) => byteLength(text) > MAX_VALUE)
    if (long) throw new Found('too-large', long.pointer)
    if (secrets.length === 0) return copy
    const current = dataKeysOf(dataKeys, ids[0]).at(0)
    const { key, kid } = current ? yield* sealingKey(ring, current) : ring[0]
    const v = current ? 3 : 2
    for (const { text, pointer, put } of secrets) {
      const iv = nonce(pointer)
      const bytes = utf8.encode(text)
      const sealed = yield { do: 'seal', key, iv, aad: aad(v, ids, pointer, kid), bytes }
      put([iv, sealed.subarray(-16), sealed.subarray(0, -16)].map(toBase64).join('.'))
    }
    copy._enc = { v, kid }
    return copy
  } catch (error) {
    throw error instanceof Found ? new SealError(error.fault, error.pointer) : error
  }
}

/** @param {readonly RingKey[]} ring @param {DataKey} current @returns {Generator<Step, RingKey, any>} */
function* sealingKey(ring, current) {
  try {
    return yield* unwrap(ring, current)
  } catch (error) {
    throw error instanceof Found ? new KeyError(`the organization's data key does not open: ${error.fault}`) : error
  }
}

// Opening

/**
 * Opens `stored` with the keys of a ring and the data keys of its organization.
 * @param {readonly RingKey[]} ring
 * @param {readonly DataKey[]} dataKeys
 * @param {Row} row
 * @param {Config} stored
 * @returns {Generator<Step, Config, any>}
 */
export function* open(ring, dataKeys, row, stored) {
  try {
    const ids = idsOf(row)
    if (!isObject(stored)) throw new Found('no-object', '')
    const enc = Object.hasOwn(stored, '_enc') ? readEnc(stored._enc) : null
    const key = enc && (yield* openingKey(ring, dataKeysOf(dataKeys, ids[0]), enc))
    const { copy, secrets } = walk(stored, 2 * MAX_TEXT, false)
    for (const { text, pointer, put } of secrets) {
      const bytes = enc && key
        ? yield* openCurrent(key, aad(enc.v, ids, pointer, enc.kid), text, pointer)
        : yield* openLegacy(ring, text, pointer)
      put(toText(bytes, pointer))
    }
    return copy
  } catch (error) {
    throw error instanceof Found ? new OpenError(error.fault, error.pointer) : error
  }
}

/**
 * @param {readonly RingKey[]} ring
 * @param {readonly DataKey[]} dataKeys those of the organization
 * @param {{ v: 2 | 3, kid: string }} enc
 * @returns {Generator<Step, RingKey, any>}
 */
function* openingKey(ring, dataKeys, { v, kid }) {
  const named = (/** @type {{ kid: string }} */ candidate) => candidate.kid === kid
  const wrapped = v === 3 ? dataKeys.find(named) : undefined
  const key = wrapped ? yield* unwrap(ring, wrapped) : v === 2 ? ring.find(named) : undefined
  if (!key) throw new Found('unknown-key', '/_enc')
  return key
}

/** @param {unknown} enc @returns {{ v: 2 | 3, kid: string }} */
function readEnc(enc) {
  const malformed = new Found('malformed-enc', '/_enc')
  if (!isObject(enc)) throw malformed
  const v = isRawJson(enc.v) ? Number(enc.v.rawJSON) : Object.hasOwn(enc, 'v') ? enc.v : undefined
  if (typeof v !== 'number') throw malformed
  if (v !== 2 && v !== 3) throw new Found('unknown-version', '/_enc')
  const { kid } = enc
  if (Object.keys(enc).length !== 2 || typeof kid !== 'string' || !/^[0-9a-f]{16}$/.test(kid)) throw malformed
  return { v, kid }
}

/** @param {RingKey} key @param {Uint8Array} aad @param {string} text @param {string} pointer @returns {Generator<Step, Uint8Array, any>} */
function* openCurrent(key, aad, text, pointer) {
  const head = readHead(text)
  if (!head) throw new Found('not-sealed', pointer)
  const { iv, tag, ciphertext } = head
  // Canonical, if the same bytes are written so.
  if (iv.length !== 12 || !text.startsWith(`${toBase64(iv)}.${toBase64(tag)}.`)) throw new Found('malformed', pointer)
  const bytes = decode(ciphertext, fromBase64)
  if (typeof bytes === 'string') throw new Found(bytes, pointer)
  const opened = yield { do: 'open', key: key.key, iv, aad, bytes: joined(bytes, tag) }
  if (!opened) throw new Found('not-authentic', pointer)
  return opened
}

/** @param {readonly RingKey[]} keys @param {string} text @param {string} pointer @returns {Generator<Step, Uint8Array, any>} */
function* openLegacy(keys, text, pointer) {
  if (text === '') return new Uint8Array()
  const head = readHead(text)
  if (!head) throw new Found('not-sealed', pointer)
  const { iv, tag, ciphertext, isHex } = head
  /** @type {Fault} */
  let fault = 'malformed'
  for (const read of isHex ? [fromHex, fromLooseBase64] : [fromLooseBase64, fromHex]) {
    const bytes = decode(ciphertext, read)
    if (bytes === 'malformed') continue
    if (typeof bytes === 'string') {
      fault = bytes
      continue
    }
    fault = 'not-authentic'
    for (const { key } of keys) {
      const opened = yield { do: 'open', key, iv, aad: new Uint8Array(), bytes: joined(bytes, tag) }
      if (opened) return opened
    }
  }
  throw new Found(fault, pointer)
}

/** A value with an iv and a tag, written in any of the legacy form's ways. @param {string} text */
function readHead(text) {
  const parts = text.split('.', 4)
  if (parts.length !== 3) return null
  const iv = fixed(parts[0], 12) ?? fixed(parts[0], 16)
  const tag = fixed(parts[1], 16)
  return iv && tag ? { iv, tag, ciphertext: parts[2], isHex: parts[1].length === 32 } : null
}

/** @param {string} text @param {number} length */
function fixed(text, length) {
  if (text.length > 2 * length) return null
  const bytes = text.length === 2 * length ? fromHex(text) : fromLooseBase64(text)
  return bytes?.length === length ? bytes : null
}

/** @param {string} ciphertext @param {(text: string) => Uint8Array | null} read @returns {Uint8Array | 'malformed' | 'too-large'} */
function decode(ciphertext, read) {
  if (byteLength(ciphertext) > 2 * MAX_VALUE) return 'too-large'
  const bytes = read(ciphertext)
  if (!bytes) return 'malformed'
  return bytes.length > MAX_VALUE ? 'too-large' : bytes
}

/** @param {Uint8Array} ciphertext @param {Uint8Array} tag */
function joined(ciphertext, tag) {
  const bytes = new Uint8Array(ciphertext.length + 16)
  bytes.set(ciphertext)
  bytes.set(tag, ciphertext.length)
  return bytes
}

/** @param {Uint8Array} bytes @param {string} pointer */
function toText(bytes, pointer) {
  try {
    return strict.decode(bytes)
  } catch {
    throw new Found('not-text', pointer)
  }
}

// Ways of writing bytes

/** @param {Uint8Array} bytes */
function toBase64(bytes) {
  let text = ''
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192))
  return btoa(text)
}

/** Canonical base64 with padding, or null. @param {string} text */
function fromBase64(text) {
  // atob alone takes white space, and lacking padding.
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null
  let binary
  try {
    binary = atob(text)
  } catch {
    return null
  }
  const bytes = Uint8Array.from(binary, (c) => c.charCodeAt(0))
  return toBase64(bytes) === text ? bytes : null
}

/** One alphabet or the other, padded or not, but never with bits after the end. @param {string} text */
function fromLooseBase64(text) {
  let standard = text
  if (/[-_]/.test(text)) {
    if (/[+/]/.test(text)) return null
    standard = text.replaceAll('-', '+').replaceAll('_', '/')
  }
  return fromBase64(text.endsWith('=') ? standard : standard.padEnd(Math.ceil(text.length / 4) * 4, '='))
}

/** @param {string} text */
function fromHex(text) {
  if (!/^([0-9A-Fa-f]{2})*$/.test(text)) return null
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
}

// JSON text

/**
 * Reads a config from JSON text. A number that a double would change stays as it is written: JSON.stringify writes its text again.
 * @param {string} text
 * @returns {Config}
 */
export function parse(text) {
  const { rawJSON } = /** @type {any} */ (JSON)
  const keep = (/** @type {string} */ _, /** @type {unknown} */ value, /** @type {{ source?: string }} */ context) => {
    if (typeof value !== 'number') return value
    if (!rawJSON || context?.source === undefined) throw new TypeError('this platform has no JSON.rawJSON: it cannot keep the text of a number')
    return String(value) === context.source ? value : rawJSON(context.source)
  }
  return JSON.parse(text, /** @type {any} */ (keep))
}
