// The vectors of both implementations, checked with docs/format.md's recipe in node:crypto.
//
//     node --test tests/format/

import assert from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Refused, isSensitive, keyId, open, seal, unwrap, wrap } from './format.mjs'
import { VECTORS, makeVectors } from './make-vectors.mjs'

const read = (url) => readFileSync(url, 'utf8')
const rust = JSON.parse(read(new URL('../../sealed/tests/vectors.json', import.meta.url)))
const node = JSON.parse(read(VECTORS))
const key = (text) => Buffer.from(text, 'base64')
const dataKeysOf = ({ data_key }) => (data_key ? [key(data_key)] : [])
const strange = Buffer.alloc(32, 7)

for (const [from, vectors] of Object.entries({ rust, node })) {
  for (const vector of vectors.sealed) {
    test(`opens what ${from} sealed: ${vector.name}`, () => {
      const dataKeys = dataKeysOf(vector)
      assert.equal(keyId(dataKeys[0] ?? key(vector.key)), vector.kid)
      assert.deepEqual(open([key(vector.key)], vector, vector.stored, dataKeys), vector.plain)
      assert.deepEqual(open([strange, key(vector.key)], vector, vector.stored, [strange, ...dataKeys]), vector.plain)
    })

    test(`seals to the same bytes as ${from}: ${vector.name}`, () => {
      const nonces = new Map(vector.nonces.map(([pointer, nonce]) => [pointer, key(nonce)]))
      const used = []
      const stored = seal(key(vector.key), vector, vector.plain, (pointer) => {
        used.push(pointer)
        return nonces.get(pointer)
      }, dataKeysOf(vector))
      assert.deepEqual(stored, vector.stored)
      assert.deepEqual(new Set(used), new Set(nonces.keys()))
    })
  }

  for (const vector of vectors.legacy) {
    test(`opens the legacy form of ${from}: ${vector.name}`, () => {
      assert.deepEqual(open([strange, key(vector.key)], {}, vector.stored), vector.plain)
    })
  }

  for (const vector of vectors.refused) {
    test(`rejects what ${from} rejects to open: ${vector.name}`, () => {
      assertRefused(vector, () => open(vector.keys.map(key), vector, vector.stored, vector.data_keys?.map(key)))
    })
  }

  for (const vector of vectors.unsealable) {
    test(`rejects what ${from} rejects to seal: ${vector.name}`, () => {
      const place = { organization_id: '', integration_id: '' }
      assertRefused(vector, () => seal(strange, place, vector.plain, () => Buffer.alloc(12, 1)))
    })
  }

  for (const vector of vectors.wrapped) {
    test(`wraps to the same bytes as ${from}, and unwraps: ${vector.name}`, () => {
      const { organization_id, kid, wrapping_kid, wrapped } = vector
      const row = wrap(key(vector.key), organization_id, key(vector.data_key), key(vector.nonce))
      assert.deepEqual(row, { organization_id, kid, wrapping_kid, wrapped })
      assert.deepEqual(unwrap([strange, key(vector.key)], vector), key(vector.data_key))
    })
  }

  for (const vector of vectors.refused_wrapped) {
    test(`rejects what ${from} rejects to unwrap: ${vector.name}`, () => {
      assertRefused({ ...vector, pointer: '' }, () => unwrap(vector.keys.map(key), vector))
    })
  }

  test(`agrees with ${from} on which names are sensitive`, () => {
    for (const name of vectors.names.sensitive) assert.ok(isSensitive(name), name)
    for (const name of vectors.names.not_sensitive) assert.ok(!isSensitive(name), name)
  })
}

test('the files hold vectors of every kind', () => {
  assert.ok(rust.sealed.length >= 10 && rust.refused.length >= 30 && rust.unsealable.length >= 5)
  assert.ok(rust.names.sensitive.length >= 20 && rust.names.not_sensitive.length >= 15)
  assert.ok(node.sealed.length >= 5 && node.legacy.length >= 20 && node.refused.length >= 15)
  for (const { sealed, refused, wrapped, refused_wrapped } of [rust, node]) {
    assert.ok(sealed.filter(({ data_key }) => data_key).length >= 4 && refused.filter(({ data_keys }) => data_keys).length >= 4)
    assert.ok(wrapped.length >= 2 && refused_wrapped.length >= 9)
  }
})

test('vectors-node.json is what make-vectors.mjs writes', () => {
  assert.equal(read(VECTORS), `${JSON.stringify(makeVectors(), null, 2)}\n`)
})

test('the worked example of docs/format.md is made of vectors', () => {
  const page = read(new URL('../../docs/format.md', import.meta.url))
  const sealed = rust.sealed.find(({ name }) => name === 'the worked example of docs/format.md, with a data key')
  const [wrapped, former] = [rust.wrapped[0], rust.sealed[0]]
  const [stored, plain, version2] = [...page.matchAll(/```json\n([^]*?)```/g)].map(([, block]) => JSON.parse(block))
  const texts = [...page.matchAll(/```text\n(.*)\n```/g)].map(([, line]) => line)
  assert.deepEqual([stored, plain, version2], [sealed.stored, sealed.plain, former.stored])
  assert.deepEqual([wrapped.key, wrapped.data_key, wrapped.kid, former.key], [sealed.key, sealed.data_key, sealed.kid, sealed.key])
  const [[pointer, nonce]] = sealed.nonces
  const hex = (nonce) => key(nonce).toString('hex').match(/../g).join(' ')
  assert.deepEqual(texts, [
    wrapped.key, wrapped.wrapping_kid, wrapped.data_key, wrapped.kid, hex(wrapped.nonce), wrapped.wrapped, hex(nonce), sealed.stored.access_token,
  ])
  // The tables of the parts, as bytes.
  const aads = page.split('| length | part |').slice(1).map((table) => {
    const rows = [...table.matchAll(/^\| `([0-9a-f]{8})` \| `([^`]*)`/gm)]
    return Buffer.concat(rows.flatMap(([, length, part]) => [Buffer.from(length, 'hex'), Buffer.from(part)]))
  })
  const encrypted = (by, nonce, aad, bytes) => {
    const cipher = createCipheriv('aes-256-gcm', key(by), key(nonce)).setAAD(aad)
    const ciphertext = Buffer.concat([cipher.update(bytes), cipher.final()])
    return [key(nonce), cipher.getAuthTag(), ciphertext].map((part) => part.toString('base64')).join('.')
  }
  assert.equal(encrypted(wrapped.key, wrapped.nonce, aads[0], key(wrapped.data_key)), wrapped.wrapped)
  assert.equal(encrypted(sealed.data_key, nonce, aads[1], plain.access_token), sealed.stored.access_token)
  for (const named of [nonce, pointer, wrapped.nonce, former.nonces[0][1]]) assert.ok(page.includes(`\`${named}\``), named)
  for (const { length } of aads) assert.ok(page.includes(`${length} bytes in all`))
})

function assertRefused({ fault, pointer }, action) {
  assert.throws(action, (error) => {
    assert.ok(error instanceof Refused, String(error))
    assert.deepEqual([error.fault, error.pointer], [fault, pointer])
    return true
  })
}
