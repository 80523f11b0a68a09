// Writes sealed/tests/vectors-node.json: what node:crypto seals, in the current form (by docs/format.md) and in the legacy form as the source
// document's TypeScript may have written it, for the crate to read. Keys and nonces are fixed: the file is the same every time.
//
//     node tests/format/make-vectors.mjs

import { createCipheriv, createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { keyId, seal, sealBytes, wrap, wrappedAad } from './format.mjs'

export const VECTORS = new URL('../../sealed/tests/vectors-node.json', import.meta.url)

const PLACE = { organization_id: '9d0c1f7a-5e42-4b6d-8a3f-c2b7e6014d95', integration_id: '4a7be0d3-1c98-4f25-b06e-83d9f5a2c71e' }

/** Bytes that are the same every time and look like no others. */
const bytes = (label, length) => createHash('sha512').update(label).digest().subarray(0, length)
const KEY = bytes('the key of these vectors', 32)
const OTHER_KEY = bytes('another key', 32)

const DATA_KEY = bytes('the data key of these vectors', 32)
const OTHER_DATA_KEY = bytes('another data key', 32)

const text = (byte) => byte.toString('base64')

export function makeVectors() {
  return {
    about: 'Written by `node tests/format/make-vectors.mjs`. docs/format.md explains the members.',
    sealed: current(),
    legacy: legacy(),
    refused: refused(),
    unsealable: [],
    wrapped: wrapped(),
    refused_wrapped: refusedWrapped(),
    names: { sensitive: [], not_sensitive: [] },
  }
}

function current() {
  // Names are in the order of their code points: nonces are listed in the order of the walk.
  const cases = {
    'as the worker stores it': {
      access_token: 'sbp_oauth_89abcdef0123456789abcdef0123456789abcdef',
      expires_at: '2025-12-08T10:30:00Z',
      expires_in: 3600,
      project_id: 'abcdefghijklmnopqrst',
      project_name: 'Mein Projekt',
      refresh_token: 'v1.Tm9kZQ',
    },
    nested: { list: [{ apiKey: 'one' }, [{ clientSecret: 'two' }]], 'm/n~o': { 'x-api-key': 'three' } },
    'empty and null': { a_password: '', b_password: null },
    'beyond ASCII': { 'ключ key': 'значение 値 🗝', 日本: { secret: '\u0000\uffff' } },
    'names in the order of their code points': { '\uffff_key': 'first', '🗝_key': 'second' },
    'a byte order mark': { token: '\ufefftext' },
    'every length to 48': Object.fromEntries(Array.from({ length: 49 }, (_, i) => [`${String(i).padStart(2, '0')}_key`, 'k'.repeat(i)])),
    'a long value': { token: 'long '.repeat(2000) },
    'nothing to seal': { a: [1.5, -3, true, null, 'b'], c: {} },
  }
  const vector = (name, plain, dataKeys) => {
    const nonces = []
    const stored = seal(KEY, PLACE, plain, (pointer) => {
      const nonce = bytes(`${name} ${pointer}`, 12)
      nonces.push([pointer, text(nonce)])
      return nonce
    }, dataKeys)
    const named = dataKeys ? { data_key: text(dataKeys[0]), kid: keyId(dataKeys[0]) } : { kid: keyId(KEY) }
    return { name, key: text(KEY), ...named, ...PLACE, plain, nonces, stored }
  }
  const withDataKeys = ['as the worker stores it', 'nested', 'empty and null', 'beyond ASCII', 'nothing to seal']
  return [
    ...Object.entries(cases).map(([name, plain]) => vector(name, plain)),
    ...withDataKeys.map((name) => vector(`${name}, with a data key`, cases[name], [DATA_KEY])),
  ]
}

const WRITE = {
  base64: (part) => part.toString('base64'),
  'base64 without padding': (part) => part.toString('base64').replaceAll('=', ''),
  base64url: (part) => part.toString('base64url'),
  'base64url with padding': (part) => part.toString('base64').replaceAll('+', '-').replaceAll('/', '_'),
  hex: (part) => part.toString('hex'),
  'upper-case hex': (part) => part.toString('hex').toUpperCase(),
}

/** As one seals with node:crypto and no authenticated data. */
function sealLegacy(plain, ivLength, label, write, writeText = write, key = KEY) {
  const iv = bytes(`iv ${label}`, ivLength)
  const cipher = createCipheriv('aes-256-gcm', key, iv)
  const ciphertext = Buffer.concat([cipher.update(plain), cipher.final()])
  return [write(iv), write(cipher.getAuthTag()), writeText(ciphertext)].join('.')
}

function legacy() {
  const vectors = []
  const add = (name, plain, stored) => vectors.push({ name, key: text(KEY), plain, stored })
  for (const ivLength of [12, 16]) {
    for (const [how, write] of Object.entries(WRITE)) {
      const label = `${how}, iv of ${ivLength} bytes`
      // Several lengths and values, so that every remainder of base64 and both special characters of its alphabets occur.
      const plain = { access_token: 'sbp_0123456789abcdef', api_key: '', b_key: 'a', c_key: 'ab', d_key: 'ключ 値 🔑'.repeat(9), e_key: 'abc' }
      const stored = Object.fromEntries(Object.entries(plain).map(([name, value]) =>
        [name, sealLegacy(value, ivLength, `${label} ${name}`, write)]))
      add(label, { ...plain, project_id: 'abc123', n: null }, { ...stored, project_id: 'abc123', n: null })
    }
    const { hex, base64, base64url } = WRITE
    for (const [how, write, writeText] of [
      ['hex, the text in base64', hex, base64],
      ['base64, the text in hex', base64, hex],
      ['hex, the text in base64url', hex, base64url],
    ]) {
      const label = `${how}, iv of ${ivLength} bytes`
      add(label, { token: 'mixed mixed' }, { token: sealLegacy('mixed mixed', ivLength, label, write, writeText) })
    }
  }
  add('nested', { list: [{ token: 'x' }] }, { list: [{ token: sealLegacy('x', 12, 'nested', WRITE.base64) }] })
  add('a byte order mark', { token: '\ufeffx' }, { token: sealLegacy('\ufeffx', 12, 'bom', WRITE.base64) })
  add('moved, as nothing binds it', { other_token: 'x' }, { other_token: sealLegacy('x', 12, 'moved', WRITE.base64) })
  add('an empty string in the clear', { a_token: '', b_token: null }, { a_token: '', b_token: null })
  add('nothing sealed', { project_id: 'abc123' }, { project_id: 'abc123' })
  return vectors
}

function refused() {
  const vectors = []
  const add = (name, value, fault, keys = [KEY, OTHER_KEY]) => vectors.push({
    name, keys: keys.map(text), ...PLACE, stored: { access_token: value, project_id: 'abc123' }, fault, pointer: '/access_token',
  })
  const good = sealLegacy('sbp_example', 12, 'refused', WRITE.base64)
  const [iv, tag, ciphertext] = good.split('.')
  const flip = (part) => {
    const flipped = Buffer.from(part, 'base64')
    flipped[1] ^= 0x80
    return text(flipped)
  }
  add('legacy: wrong key', good, 'not-authentic', [OTHER_KEY])
  add('legacy: a bit of the iv', `${flip(iv)}.${tag}.${ciphertext}`, 'not-authentic')
  add('legacy: a bit of the tag', `${iv}.${flip(tag)}.${ciphertext}`, 'not-authentic')
  add('legacy: a bit of the text', `${iv}.${tag}.${flip(ciphertext)}`, 'not-authentic')
  add('legacy: no text', `${iv}.${tag}.`, 'not-authentic')
  add('legacy: in the clear', 'sbp_example', 'not-sealed')
  add('legacy: a JWT in the clear', 'eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl', 'not-sealed')
  add('legacy: two parts', `${iv}.${tag}`, 'not-sealed')
  add('legacy: four parts', `${good}.`, 'not-sealed')
  add('legacy: a short tag', `${iv}.${tag.slice(0, 16)}.${ciphertext}`, 'not-sealed')
  add('legacy: an iv of 13 bytes', `${text(bytes('iv', 13))}.${tag}.${ciphertext}`, 'not-sealed')
  add('legacy: bits after the end', `${iv}.${tag}.${ciphertext.replace(/.=$/, '9=')}`, 'malformed')
  add('legacy: both alphabets', `${iv}.${tag}.+-==`, 'malformed')
  add('legacy: white space', `${good} `, 'malformed')
  add('legacy: no UTF-8', sealLegacy(Buffer.from([0xff, 0xfe]), 12, 'no UTF-8', WRITE.base64), 'not-text')
  add('legacy: a surrogate', sealLegacy(Buffer.from([0xed, 0xa0, 0x80]), 12, 'surrogate', WRITE.base64), 'not-text')
  add('legacy: a number', 5, 'wrong-type')
  add('legacy: too large', sealLegacy('x'.repeat(65_537), 12, 'too large', WRITE.base64), 'too-large')
  add('legacy: colons between the parts', good.replaceAll('.', ':'), 'not-sealed')
  add('legacy: the text before the tag', `${iv}.${ciphertext}.${tag}`, 'not-sealed')
  // Each value is tried with each key: two have different ones, and what is told is of the third.
  vectors.push({
    name: 'legacy: two keys, and a value in the clear', keys: [KEY, OTHER_KEY].map(text), ...PLACE, fault: 'not-sealed', pointer: '/c_token',
    stored: {
      a_token: good, b_token: sealLegacy('y', 12, 'other key', WRITE.base64, WRITE.base64, OTHER_KEY), c_token: 'in the clear',
    },
  })
  return [...vectors, ...refusedCurrent(), ...refusedDataKeys()]
}

/** What is told of a config in which more than one thing is wrong, and of ways of writing that only the legacy form has. */
function refusedCurrent() {
  const vectors = []
  const base = seal(KEY, PLACE, { access_token: 'sbp_example' }, () => bytes('refused, current', 12))
  const [iv, tag, ciphertext] = base.access_token.split('.')
  const add = (name, changes, fault, pointer) => vectors.push({
    name, keys: [text(KEY)], ...PLACE, stored: { ...base, ...changes }, fault, pointer,
  })
  const token = (access_token) => ({ access_token })
  add('an iv in hex', token(`${Buffer.from(iv, 'base64').toString('hex')}.${tag}.${ciphertext}`), 'malformed', '/access_token')
  const nextBits = (text) => text.replace(/.==$/, (end) => `${'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
    .at('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'.indexOf(end[0]) + 1)}==`)
  add('bits after the end of the tag', token(`${iv}.${nextBits(tag)}.${ciphertext}`), 'not-sealed', '/access_token')
  add('colons between the parts', token(base.access_token.replaceAll('.', ':')), 'not-sealed', '/access_token')
  add('_enc before a type', { _enc: { v: 2, kid: '0'.repeat(16) }, z_key: 5 }, 'unknown-key', '/_enc')
  add('the version before the other members', { _enc: { v: 4, more: true } }, 'unknown-version', '/_enc')
  add('a type before a value', { access_token: 'sbp_example', z_key: 5 }, 'wrong-type', '/z_key')
  add('characters that turn the direction of writing or move a cursor', { 'a\u202e\u2028\u001b\n_key': 'x' }, 'not-sealed', '/a\\u{202e}\\u{2028}\\u{1b}\\n_key')
  add('the first of two values, by code point', { '\uffff_key': 'x', '🗝_key': 'x' }, 'not-sealed', '/\uffff_key')
  return vectors
}

function refusedDataKeys() {
  const base = seal(KEY, PLACE, { access_token: 'sbp_example' }, () => bytes('refused, with a data key', 12), [DATA_KEY])
  const vector = (name, stored, fault, pointer, dataKeys = [OTHER_DATA_KEY, DATA_KEY]) => ({
    name: `version 3: ${name}`, keys: [text(KEY)], data_keys: dataKeys.map(text), ...PLACE, stored, fault, pointer,
  })
  return [
    vector('the data key of another organization', base, 'unknown-key', '/_enc', [OTHER_DATA_KEY]),
    vector('named for another data key', { ...base, _enc: { v: 3, kid: keyId(OTHER_DATA_KEY) } }, 'not-authentic', '/access_token'),
    vector('without _enc', { access_token: base.access_token }, 'not-authentic', '/access_token'),
    vector('base64url', { ...base, access_token: base.access_token.replace(/[^.]*$/, '__v_') }, 'malformed', '/access_token'),
  ]
}

// Wrapped data keys

function wrapped() {
  const cases = {
    'a data key': [KEY, PLACE.organization_id, DATA_KEY],
    'of the deployment itself': [OTHER_KEY, '00000000-0000-0000-0000-000000000000', OTHER_DATA_KEY],
  }
  return Object.entries(cases).map(([name, [key, organizationId, dataKey]]) => {
    const nonce = bytes(`wrapped, ${name}`, 12)
    return { name, key: text(key), data_key: text(dataKey), nonce: text(nonce), ...wrap(key, organizationId, dataKey, nonce) }
  })
}

/** Changed ones, and such as only a writer with the wrapping key can make. */
function refusedWrapped() {
  const organizationId = PLACE.organization_id
  const nonce = bytes('refused, wrapped', 12)
  const good = wrap(KEY, organizationId, DATA_KEY, nonce)
  const [kid, wrappingKid] = [keyId(DATA_KEY), keyId(KEY)]
  const other = (bytes, aad = wrappedAad(organizationId, kid, wrappingKid)) => ({ wrapped: sealBytes(KEY, nonce, aad, bytes) })
  const part = (index, change) => ({ wrapped: good.wrapped.split('.').map((part, at) => (at === index ? change(part) : part)).join('.') })
  const flip = (part) => {
    const flipped = Buffer.from(part, 'base64')
    flipped[1] ^= 0x80
    return text(flipped)
  }
  const config = seal(KEY, { ...PLACE, integration_id: kid }, { token: text(DATA_KEY) }, () => nonce)
  const cases = [
    ['a bit of the iv', part(0, flip), 'not-authentic'],
    ['a bit of the tag', part(1, flip), 'not-authentic'],
    ['a bit of the text', part(2, flip), 'not-authentic'],
    ['bits after the end', part(2, (part) => part.replace(/.=$/, (end) => `${String.fromCharCode(end.charCodeAt(0) + 1)}=`)), 'malformed'],
    ['hex', part(0, (part) => Buffer.from(part, 'base64').toString('hex')), 'malformed'],
    ['in the clear', { wrapped: text(DATA_KEY) }, 'not-sealed'],
    ['31 bytes', other(DATA_KEY.subarray(0, 31)), 'malformed'],
    ['33 bytes', other(Buffer.concat([DATA_KEY, Buffer.alloc(1)])), 'malformed'],
    ["a kid that is not the key's", other(OTHER_DATA_KEY), 'not-authentic'],
    ['without authenticated data', other(DATA_KEY, Buffer.alloc(0)), 'not-authentic'],
    ["a config's value", { wrapped: config.token }, 'not-authentic'],
  ]
  return cases.map(([name, changes, fault]) => ({ name, keys: [text(OTHER_KEY), text(KEY)], ...good, ...changes, fault }))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(VECTORS, `${JSON.stringify(makeVectors(), null, 2)}\n`)
}
