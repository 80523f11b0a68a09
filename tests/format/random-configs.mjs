// Configs that no one would write by hand, the same for a seed: valid ones, ones that nobody may seal, and stored ones that were changed.

import { createCipheriv } from 'node:crypto'

/** mulberry32: small, and the same everywhere. */
export function seeded(seed) {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }
  const below = (n) => next() % n
  return {
    below,
    chance: (percent) => below(100) < percent,
    pick: (list) => list[below(list.length)],
    bytes: (length) => Buffer.from(Array.from({ length }, () => below(256))),
  }
}

const SENSITIVE = ['access_token', 'refreshToken', 'APIKey', 'x-api-key', 'KEY', 'client secret', 'a/b~c_key', 'ключ key', '🔑token', '\u0001_password']
const OTHERS = ['project_id', 'monkey', '__proto__', 'constructor', '1', '10', '', 'a/b', '~', '日本', '\uffff', '🗝', '_enc', 'toString', '\u202e', 'n\n']
const PIECES = ['a', 'Z', '0', '.', '/', '+', '=', '-', '_', ' ', '\n', '\u0000', '\ufeff', 'ß', '値', '🔑', '\uffff', 'sbp_', 'AAAA']

function text(random) {
  return Array.from({ length: random.pick([0, 1, 2, 5, 20, 60]) }, () => random.pick(PIECES)).join('')
}

function number(random) {
  // What JSON text says of them is the same in every language.
  return random.pick([0, 1, -1, 3600, 2 ** 53 - 1, random.below(1 << 30) / 8])
}

function value(random, depth) {
  const kind = random.below(depth > 4 ? 4 : 7)
  if (kind === 0) return null
  if (kind === 1) return random.chance(50)
  if (kind === 2) return number(random)
  if (kind === 3) return text(random)
  if (kind === 4) return Array.from({ length: random.below(4) }, () => value(random, depth + 1))
  return members(random, depth + 1)
}

function members(random, depth) {
  const entries = Array.from({ length: random.below(6) }, () => {
    if (random.chance(50)) return [random.pick(OTHERS), value(random, depth)]
    return [random.pick(SENSITIVE), random.chance(1) ? value(random, depth) : random.chance(10) ? null : text(random)]
  })
  return Object.fromEntries(depth === 0 && !random.chance(1) ? entries.filter(([name]) => name !== '_enc') : entries)
}

/** A config to be sealed; one in some cannot be. */
export function plainConfig(random) {
  const config = members(random, 0)
  if (!random.chance(1)) return config
  let levels = random.pick([text(random), {}])
  for (let i = random.pick([29, 30, 31, 32]); i > 0; i -= 1) levels = random.chance(50) ? [levels] : { n: levels }
  return { ...config, levels }
}

const WAYS = [
  (part) => part.toString('base64'),
  (part) => part.toString('base64').replaceAll('=', ''),
  (part) => part.toString('base64url'),
  (part) => part.toString('base64').replaceAll('+', '-').replaceAll('/', '_'),
  (part) => part.toString('hex'),
  (part) => part.toString('hex').toUpperCase(),
]

/** A config of the legacy form, its parts written anyhow. */
export function legacyConfig(random, key) {
  const sealed = () => {
    const iv = random.bytes(random.pick([12, 16]))
    const cipher = createCipheriv('aes-256-gcm', key, iv)
    const ciphertext = Buffer.concat([cipher.update(random.chance(3) ? random.bytes(5) : text(random)), cipher.final()])
    const ways = random.chance(70) ? Array(3).fill(random.pick(WAYS)) : [random.pick(WAYS), random.pick(WAYS), random.pick(WAYS)]
    return [iv, cipher.getAuthTag(), ciphertext].map((part, index) => ways[index](part)).join('.')
  }
  return { access_token: sealed(), n: [{ key: random.chance(20) ? '' : sealed() }], project_id: text(random) }
}

/** Every string of a config, with what puts another in its place. */
function strings(node, found = []) {
  for (const [name, inner] of Object.entries(node)) {
    if (typeof inner === 'string') {
      const put = (value) => Object.defineProperty(node, name, { value, enumerable: true, writable: true, configurable: true })
      found.push({ text: inner, put })
    } else if (typeof inner === 'object' && inner !== null) strings(inner, found)
  }
  return found
}

/** Changes one thing of a stored config. */
export function changed(random, stored) {
  const copy = JSON.parse(JSON.stringify(stored))
  if (random.chance(15)) {
    const kid = copy._enc?.kid ?? '0123456789abcdef'
    const encs = [null, 'x', [], {}, { v: 2 }, { v: 1, kid }, { v: '2', kid }, { v: 4, kid, x: 1 }, { v: 2, kid, x: 1 }, { v: 2, kid: 'x' },
      { v: 3 }, { v: 2, kid }, { v: 3, kid }, { v: 3, kid, x: 1 }, { v: 3, kid: 'ffffffffffffffff' }, { v: '3', kid }, { v: 2, kid: kid.toUpperCase() }, { v: 2, kid: 'ffffffffffffffff' }, { v: true, kid }, { v: 2.5, kid }, { kid }]
    return { ...copy, _enc: random.pick(encs) }
  }
  if (random.chance(5)) delete copy._enc
  const all = strings(copy)
  if (all.length === 0) return copy
  const { text: before, put } = random.pick(all)
  put(changedText(random, before, random.pick(all).text))
  return copy
}

/** Changes one thing of a wrapped data key. */
export function changedWrapped(random, row) {
  const kid = random.pick(['0123456789abcdef', row.kid, row.wrapping_kid])
  return random.pick([
    { ...row, kid },
    { ...row, wrapping_kid: kid },
    { ...row, wrapped: changedText(random, row.wrapped, kid) },
    { ...row, wrapped: changedText(random, row.wrapped, row.wrapped) },
  ])
}

function changedText(random, before, other) {
  const at = random.below(before.length + 1)
  return random.pick([
    other,
    '',
    before.slice(0, at),
    `${before.slice(0, at)}${random.pick(PIECES)}${before.slice(at)}`,
    `${before.slice(0, at)}${random.pick('AQgw159+/-_=.:aF'.split(''))}${before.slice(at + 1)}`,
    `${before}=`,
    before.replaceAll('=', ''),
    before.replaceAll('.', ':'),
    before.split('.').reverse().join('.'),
  ]).toWellFormed()
}
