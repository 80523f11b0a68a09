// The sealed-config format as docs/format.md tells it, with node:crypto alone: a second implementation, so that the page and the crate
// cannot be wrong together. The headings below are the page's.

import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto'

const MAX_DEPTH = 32
const MAX_VALUES = 10_000
const MAX_VALUE = 65_536
const MAX_TEXT = 1 << 20

/** A config that cannot be sealed or opened: the class of its fault and the JSON Pointer to it. */
export class Refused extends Error {
  constructor(fault, pointer) {
    super(`${fault} at ${pointer}`)
    this.fault = fault
    this.pointer = shown(pointer)
  }
}

/** A pointer as a log shows it. */
function shown(pointer) {
  const short = { '\t': '\\t', '\n': '\\n', '\r': '\\r' }
  const escape = (c) => short[c] ?? `\\u{${c.codePointAt(0).toString(16)}}`
  const characters = [...pointer]
  const text = characters.slice(0, 200).join('').replace(/[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu, escape)
  return characters.length > 200 ? `${text}…` : text
}

export function keyId(key) {
  return createHmac('sha256', key).update('integrations key id v1').digest('hex').slice(0, 16)
}

// Sensitive names

const SENSITIVE = [
  /^(token|key|secret|password)$/i,
  /[^A-Za-z0-9](token|key|secret|password)$/i,
  /[^A-Z](T[Oo][Kk][Ee][Nn]|K[Ee][Yy]|S[Ee][Cc][Rr][Ee][Tt]|P[Aa][Ss][Ss][Ww][Oo][Rr][Dd])$/,
  /(To[Kk][Ee][Nn]|Ke[Yy]|Se[Cc][Rr][Ee][Tt]|Pa[Ss][Ss][Ww][Oo][Rr][Dd])$/,
]

export function isSensitive(name) {
  return SENSITIVE.some((pattern) => pattern.test(name))
}

function ensureObject(config) {
  if (typeof config !== 'object' || config === null || Array.isArray(config)) throw new Refused('no-object', '')
}

// Sealing

/** Seals `plain` for `place` with the organization's current data key, or without one with `key`; `nonceFor(pointer)` gives the 12 bytes. */
export function seal(key, place, plain, nonceFor, [dataKey] = []) {
  ensureObject(plain)
  if (Object.hasOwn(plain, '_enc')) throw new Refused('reserved-name', '/_enc')
  const sealing = dataKey ?? key
  const [v, kid] = [dataKey ? 3 : 2, keyId(sealing)]
  let count = 0
  const stored = mapSecrets(plain, MAX_TEXT, (text, pointer) => {
    count += 1
    const bytes = Buffer.from(text)
    if (bytes.length > MAX_VALUE) throw new Refused('too-large', pointer)
    return sealBytes(sealing, nonceFor(pointer), aad(v, place, pointer, kid), bytes)
  })
  return count === 0 ? stored : { ...stored, _enc: { v, kid } }
}

/** Bytes as a sealed value. */
export function sealBytes(key, iv, aad, bytes) {
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(aad)
  const ciphertext = Buffer.concat([cipher.update(bytes), cipher.final()])
  return [iv, cipher.getAuthTag(), ciphertext].map((part) => part.toString('base64')).join('.')
}

function aad(v, place, pointer, kid) {
  return prefixed([`v${v}`, 'integrations', place.organization_id, place.integration_id, pointer, kid])
}

/** Each part as its length and its bytes. */
function prefixed(parts) {
  return Buffer.concat(parts.flatMap((part) => {
    const bytes = Buffer.from(part)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    return [length, bytes]
  }))
}

/** A copy without `_enc` in which each sensitive string is replaced by what `replace(text, pointer)` gives. */
function mapSecrets(config, maxText, replace) {
  let values = 0
  let text = 0
  const secrets = []
  const add = (string, pointer) => {
    text += Buffer.byteLength(string)
    if (text > maxText) throw new Refused('too-large', pointer)
  }
  const count = (name, pointer) => {
    values += 1
    if (values > MAX_VALUES) throw new Refused('too-large', pointer)
    add(name, pointer)
  }
  const member = (name, value, outer, depth) => {
    const pointer = `${outer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
    count(name, outer)
    if (!isSensitive(name)) return walk(value, pointer, depth)
    if (value === null) return null
    if (typeof value !== 'string') throw new Refused('wrong-type', pointer)
    add(value, pointer)
    const secret = { text: value, pointer }
    secrets.push(secret)
    return secret
  }
  const walk = (value, pointer, depth) => {
    if (typeof value === 'string') add(value, pointer)
    if (typeof value !== 'object' || value === null) return value
    if (depth === MAX_DEPTH) throw new Refused('too-deep', pointer)
    if (Array.isArray(value)) {
      return value.map((element, index) => {
        count('', pointer)
        return walk(element, `${pointer}/${index}`, depth + 1)
      })
    }
    return members(value, pointer, depth + 1)
  }
  const members = (object, pointer, depth) => Object.fromEntries(
    Object.entries(object).map(([name, value]) => [name, member(name, value, pointer, depth)]))

  const { _enc, ...rest } = config
  const copy = members(rest, '', 1)
  // Type and bounds come before values, so nothing was replaced until here.
  const replaced = new Map(secrets.map((secret) => [secret, replace(secret.text, secret.pointer)]))
  const put = (value) => {
    if (replaced.has(value)) return replaced.get(value)
    if (Array.isArray(value)) return value.map(put)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, put(inner)]))
  }
  return put(copy)
}

// Opening

/** Opens `stored` with a ring of keys and the data keys of the organization. */
export function open(keys, place, stored, dataKeys = []) {
  ensureObject(stored)
  if (!Object.hasOwn(stored, '_enc')) {
    return mapSecrets(stored, 2 * MAX_TEXT, (text, pointer) => openLegacy(keys, text, pointer))
  }
  const { v, kid } = readEnc(stored._enc)
  const key = (v === 3 ? dataKeys : keys).find((key) => keyId(key) === kid)
  if (!key) throw new Refused('unknown-key', '/_enc')
  return mapSecrets(stored, 2 * MAX_TEXT, (text, pointer) => toText(openValue(key, aad(v, place, pointer, kid), text, pointer), pointer))
}

function openValue(key, aad, text, pointer) {
  const { iv, tag } = readOldHead(text, pointer)
  const ciphertext = text.split('.')[2]
  const bytes = canonical(ciphertext)
  if (iv.length !== 12 || !bytes || `${iv.toString('base64')}.${tag.toString('base64')}.${ciphertext}` !== text) {
    throw new Refused(ciphertext.length > 2 * MAX_VALUE ? 'too-large' : 'malformed', pointer)
  }
  return decrypt(key, iv, aad, tag, bytes, pointer)
}

function readEnc(enc) {
  const malformed = new Refused('malformed-enc', '/_enc')
  if (typeof enc !== 'object' || enc === null || Array.isArray(enc) || typeof enc.v !== 'number') throw malformed
  if (enc.v !== 2 && enc.v !== 3) throw new Refused('unknown-version', '/_enc')
  if (Object.keys(enc).length !== 2 || typeof enc.kid !== 'string' || !/^[0-9a-f]{16}$/.test(enc.kid)) throw malformed
  return enc
}

function canonical(text) {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : null
}

function decrypt(key, iv, aad, tag, ciphertext, pointer) {
  if (ciphertext.length > MAX_VALUE) throw new Refused('too-large', pointer)
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 }).setAAD(aad).setAuthTag(tag)
  const plain = decipher.update(ciphertext)
  try {
    decipher.final()
  } catch {
    throw new Refused('not-authentic', pointer)
  }
  return plain
}

function toText(bytes, pointer) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new Refused('not-text', pointer)
  }
}

// Data keys

/** A data key as the table `private.data_keys` holds it: wrapped for its organization, with a nonce of 12 bytes. */
export function wrap(wrappingKey, organizationId, dataKey, nonce) {
  const [kid, wrapping_kid] = [keyId(dataKey), keyId(wrappingKey)]
  return { organization_id: organizationId, kid, wrapping_kid, wrapped: sealBytes(wrappingKey, nonce, wrappedAad(organizationId, kid, wrapping_kid), dataKey) }
}

/** The bytes of a data key that a key of the ring wraps. The row is as the database's function `data_keys` returns it. */
export function unwrap(keys, { organization_id, kid, wrapping_kid, wrapped }) {
  const key = keys.find((key) => keyId(key) === wrapping_kid)
  if (!key) throw new Refused('unknown-key', '')
  const dataKey = openValue(key, wrappedAad(organization_id, kid, wrapping_kid), wrapped, '')
  if (dataKey.length !== 32) throw new Refused('malformed', '')
  if (keyId(dataKey) !== kid) throw new Refused('not-authentic', '')
  return dataKey
}

/** What a wrapped data key is bound to. */
export function wrappedAad(organizationId, kid, wrappingKid) {
  return prefixed(['v3', 'data_keys', organizationId, kid, wrappingKid])
}

// The legacy form

function openLegacy(keys, text, pointer) {
  if (text === '') return ''
  const { iv, tag, isHex } = readOldHead(text, pointer)
  const ciphertext = text.split('.')[2]
  const readings = (isHex ? [fromHex, fromLooseBase64] : [fromLooseBase64, fromHex]).map((read) => read(ciphertext))
  let fault = new Refused('malformed', pointer)
  for (const bytes of readings) {
    if (!bytes) continue
    for (const key of keys) {
      let plain
      try {
        plain = decrypt(key, iv, Buffer.alloc(0), tag, bytes, pointer)
      } catch (error) {
        fault = error
        continue
      }
      return toText(plain, pointer)
    }
  }
  throw fault
}

function readOldHead(text, pointer) {
  const parts = text.split('.')
  const notSealed = new Refused('not-sealed', pointer)
  if (parts.length !== 3) throw notSealed
  const iv = fixed(parts[0], 12) ?? fixed(parts[0], 16)
  const tag = fixed(parts[1], 16)
  if (!iv || !tag) throw notSealed
  return { iv, tag, isHex: parts[1].length === 32 }
}

function fixed(text, length) {
  const bytes = text.length === 2 * length ? fromHex(text) : fromLooseBase64(text)
  return bytes?.length === length ? bytes : null
}

function fromHex(text) {
  return /^([0-9A-Fa-f]{2})*$/.test(text) ? Buffer.from(text, 'hex') : null
}

/** One alphabet or the other, padded or not, but never with bits after the end. */
function fromLooseBase64(text) {
  const encoding = /[-_]/.test(text) ? 'base64url' : 'base64'
  const bytes = Buffer.from(text, encoding)
  const bare = bytes.toString(encoding).replaceAll('=', '')
  return text === bare || text === bare.padEnd(Math.ceil(bare.length / 4) * 4, '=') ? bytes : null
}
