// packages/sealed-config against the vectors and the crate: on Node, in workerd and in Chromium.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { before, test } from 'node:test'
import { build } from 'esbuild'
import { Miniflare, convertV4MiniflareOptions } from 'miniflare'
import * as web from '../../packages/sealed-config/src/index.js'
import * as node from '../../packages/sealed-config/src/node.js'
import * as nodeCrypto from '../../packages/sealed-config/src/node-crypto.js'
import { launchBrowser } from '../support/browser.mjs'
import { ROOT, buildRust, checkAgreement, checkBounds, checkVectors } from './agreement.mjs'
import { answers } from './answer.mjs'
import { keyId, wrap } from './format.mjs'

const NODE = { ring: (primary, ...fallbacks) => new node.KeyRing(primary, fallbacks), ...nodeCrypto }
const KEY = Buffer.alloc(32, 1).toString('base64')
const ROW = { organization_id: '9d0c1f7a-5e42-4b6d-8a3f-c2b7e6014d95', id: '4a7be0d3-1c98-4f25-b06e-83d9f5a2c71e' }
const ring = new node.KeyRing(KEY)

let rust
before(() => {
  rust = buildRust()
})

test('agrees with the vectors over WebCrypto', () => checkVectors((lines) => answers(lines)))
test('agrees with the vectors over node:crypto', () => checkVectors((lines) => answers(lines, NODE)))
test('draws the bounds where the crate does', () => checkBounds(rust, (lines) => answers(lines)))
test('agrees with the crate on 10,000 configs over WebCrypto', () => checkAgreement(rust, (lines) => answers(lines)))
// Only the driver is another one.
test('agrees with the crate on 2,000 configs over node:crypto', () => checkAgreement(rust, (lines) => answers(lines, NODE), 2_000))

async function bundled(options) {
  const { outputFiles } = await build({ bundle: true, write: false, absWorkingDir: ROOT, ...options })
  return outputFiles[0].text
}

test('agrees with the vectors in workerd', async () => {
  const contents = `import { answers } from './tests/format/answer.mjs'
    export default { async fetch(request) { return Response.json(await answers(await request.json())) } }`
  const script = await bundled({ format: 'esm', stdin: { contents, resolveDir: ROOT } })
  const worker = new Miniflare(convertV4MiniflareOptions({ name: 'format', modules: true, script, compatibilityDate: '2025-01-01', cf: false }))
  try {
    await checkVectors(async (lines) => {
      const response = await worker.dispatchFetch('http://localhost/', { method: 'POST', body: JSON.stringify(lines) })
      return response.json()
    })
  } finally {
    await worker.dispose()
  }
})

test('agrees with the vectors in Chromium', async () => {
  const script = await bundled({ format: 'iife', globalName: 'format', entryPoints: ['tests/format/answer.mjs'] })
  const server = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<!doctype html>'))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const browser = await launchBrowser()
  try {
    const page = await browser.newPage()
    // WebCrypto is for secure contexts; localhost is one.
    await page.goto(`http://127.0.0.1:${server.address().port}/`)
    await page.addScriptTag({ content: script })
    await checkVectors((lines) => page.evaluate((lines) => globalThis.format.answers(lines), lines))
  } finally {
    await browser.close()
    server.close()
  }
})

function refused(action, fault, pointer) {
  assert.throws(action, (error) => {
    assert.deepEqual([error.name, error.fault, error.pointer], ['SealError', fault, pointer])
    return true
  })
}

test('rejects to seal what JSON would change or leave out', () => {
  const cases = [undefined, NaN, Infinity, () => 1, Symbol('s'), 1n, new Date(0), new Map(), new Uint8Array(2)]
  for (const value of cases) refused(() => ring.seal(ROW, { a: [value] }), 'not-json', '/a/0')
  for (const value of cases) refused(() => ring.seal(ROW, { a_token: value }), 'wrong-type', '/a_token')
  refused(() => ring.seal(ROW, { a: [, 1] }), 'not-json', '/a/0') // eslint-disable-line no-sparse-arrays
  refused(() => ring.seal(ROW, []), 'no-object', '')
  refused(() => ring.seal(ROW, { token: 'x\ud800' }), 'not-text', '/token')
  refused(() => ring.seal(ROW, { a: { '\udc00': 1 } }), 'not-text', '/a')
  const loop = {}
  loop.loop = loop
  refused(() => ring.seal(ROW, loop), 'too-deep', '/loop'.repeat(32))
})

test('rejects to seal an integer that JSON.parse may have rounded', () => {
  refused(() => ring.seal(ROW, JSON.parse('{"id": 12345678901234567890}')), 'unsafe-number', '/id')
  assert.deepEqual(ring.seal(ROW, { n: Number.MAX_SAFE_INTEGER }), { n: Number.MAX_SAFE_INTEGER })
})

test('keeps every number of a text as it is written', () => {
  const text = '{"a":12345678901234567890,"b":[0.12345678901234567890,1e2,-0,1.0],"token":"x"}'
  const stored = JSON.stringify(ring.seal(ROW, node.parse(text)))
  assert.ok(stored.includes('"a":12345678901234567890,"b":[0.12345678901234567890,1e2,-0,1.0],"token":"'))
  assert.equal(JSON.stringify(ring.open(ROW, node.parse(stored))), text)
})

test('leaves the config that it was given alone', () => {
  const config = { list: [{ token: 'x' }], other: {} }
  const before = structuredClone(config)
  assert.notEqual(ring.seal(ROW, config).list[0].token, 'x')
  assert.deepEqual(config, before)
})

test('takes a fresh nonce for every value', () => {
  const sealed = Array.from({ length: 100 }, () => Object.values(ring.seal(ROW, { a_key: 'x', b_key: 'x' })).slice(0, 2)).flat()
  assert.equal(new Set(sealed.map((text) => text.split('.')[0])).size, 200)
})

test('encryptConfig and decryptConfig take the keys of the environment, and the row', (t) => {
  const names = ['ENCRYPTION_KEY', 'FALLBACK_ENCRYPTION_KEYS']
  const before = names.map((name) => process.env[name])
  t.after(() => names.forEach((name, index) => {
    if (before[index] === undefined) delete process.env[name]
    else process.env[name] = before[index]
  }))
  delete process.env.ENCRYPTION_KEY
  assert.throws(() => node.encryptConfig({}, ROW), { message: 'ENCRYPTION_KEY environment variable is not set' })
  process.env.ENCRYPTION_KEY = KEY
  const config = { access_token: 'secret_token', project_id: 'abc123' }
  const stored = node.encryptConfig(config, ROW)
  assert.equal(stored.project_id, 'abc123')
  process.env.ENCRYPTION_KEY = Buffer.alloc(32, 2).toString('base64')
  assert.throws(() => node.decryptConfig(stored, ROW), { message: 'the config does not open', fault: 'unknown-key' })
  process.env.FALLBACK_ENCRYPTION_KEYS = KEY
  assert.deepEqual(node.decryptConfig(stored, { ...ROW, organization_id: ROW.organization_id.toUpperCase() }), config)
  assert.throws(() => node.decryptConfig(stored, { ...ROW, id: ROW.organization_id }), { fault: 'not-authentic', pointer: '/access_token' })
  assert.throws(() => node.decryptConfig(stored), TypeError)
  const dataKeys = [wrapped()]
  assert.deepEqual(node.decryptConfig(node.encryptConfig(config, ROW, dataKeys), ROW, dataKeys), config)
})

const DATA_KEY = Buffer.alloc(32, 5)
const wrapped = (organizationId = ROW.organization_id, key = KEY, dataKey = DATA_KEY) =>
  wrap(Buffer.from(key, 'base64'), organizationId, dataKey, Buffer.alloc(12, 9))

test("seals and opens with the data key of the row's organization, among those of several", async () => {
  const config = { access_token: 'secret_token', project_id: 'abc123' }
  const dataKeys = [wrapped(ROW.id, KEY, Buffer.alloc(32, 6)), wrapped(), wrapped(ROW.organization_id, KEY, Buffer.alloc(32, 7))]
  for (const ring of [new node.KeyRing(KEY), await web.KeyRing.import(KEY)]) {
    const stored = await ring.seal(ROW, config, dataKeys)
    assert.deepEqual(stored._enc, { v: 3, kid: keyId(DATA_KEY) })
    assert.deepEqual(await ring.open(ROW, stored, dataKeys.toReversed()), config)
    // A key management service unwrapped it.
    const key = { organization_id: ROW.organization_id.toUpperCase(), kid: keyId(DATA_KEY), key: DATA_KEY.toString('base64') }
    assert.deepEqual(await ring.open(ROW, stored, [key]), config)
    const opening = async (...args) => ring.open(...args)
    await assert.rejects(opening(ROW, stored), { fault: 'unknown-key', pointer: '/_enc' })
    await assert.rejects(opening(ROW, stored, [dataKeys[0]]), { fault: 'unknown-key', pointer: '/_enc' })
    await assert.rejects(opening(ROW, stored, [{ ...key, key: KEY }]), { fault: 'not-authentic', pointer: '/_enc' })
    await assert.rejects(opening(ROW, stored, dataKeys[1]), TypeError)
  }
})

test('does not seal with the primary key where the data key does not open', async () => {
  const foreign = [wrapped(ROW.organization_id, Buffer.alloc(32, 2).toString('base64'))]
  const message = "the organization's data key does not open: unknown-key"
  assert.throws(() => ring.seal(ROW, { token: 'x' }, foreign), { name: 'KeyError', message })
  await assert.rejects((await web.KeyRing.import(KEY)).seal(ROW, { token: 'x' }, foreign), { name: 'KeyError', message })
})

test('rejects an invalid key, and one that is in the ring twice, without quoting it', async () => {
  for (const [primary, fallbacks] of [['', ''], ['secret!', ''], ['c2VjcmV0', ''], [KEY, `${KEY}`], [KEY, `${KEY.slice(0, -1)},`], [undefined, '']]) {
    const noQuote = (error) => error instanceof node.KeyError && !/secret|c2V|AQEB/.test(error.message)
    assert.throws(() => new node.KeyRing(primary, fallbacks), noQuote)
    await assert.rejects(web.KeyRing.import(primary, fallbacks), noQuote)
  }
})

test('has types that a strict program compiles with', () => {
  const tsc = (...args) => spawnSync(process.execPath, [`${ROOT}node_modules/typescript/bin/tsc`, ...args], { cwd: ROOT, encoding: 'utf8' })
  const types = tsc('--project', 'packages/sealed-config')
  assert.equal(types.status, 0, types.stdout)
  const folder = mkdtempSync(`${ROOT}packages/sealed-config/.types-`)
  try {
    writeFileSync(`${folder}/use.ts`, `
      import { KeyRing, OpenError, type Row, type Config, type DataKey } from 'sealed-config'
      import { decryptConfig, encryptConfig } from 'sealed-config/node'
      const row: Row = { organization_id: '', id: '' }
      const ring: KeyRing = await KeyRing.import('', ['x'])
      const stored: Config = await ring.seal(row, { token: 'x' })
      const token: string = (await ring.open(row, stored)).token
      decryptConfig(encryptConfig({ token }, row), row)
      const dataKeys: DataKey[] = [{ organization_id: '', kid: '', wrapping_kid: '', wrapped: '' }, { organization_id: '', kid: '', key: '' }]
      decryptConfig(encryptConfig({ token }, row, dataKeys), row, dataKeys)
      await ring.open(row, await ring.seal(row, { token }, dataKeys), dataKeys)
      // @ts-expect-error The organization is needed.
      decryptConfig(stored, row, [{ kid: '' }])
      // @ts-expect-error The row is needed.
      decryptConfig(stored)
      try {} catch (error) { if (error instanceof OpenError) { const fault: string = error.fault; console.log(fault) } }
    `)
    const use = tsc('--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--module', 'nodenext', '--types', 'node', `${folder}/use.ts`)
    assert.equal(use.status, 0, use.stdout)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
