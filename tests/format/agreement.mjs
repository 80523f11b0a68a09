// Another implementation against the crate. Both are the same program, which answers lines of JSON (`sealed/examples/lines.rs`).

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { wrap } from './format.mjs'
import { changed, changedWrapped, legacyConfig, plainConfig, seeded } from './random-configs.mjs'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PLACE = { organization_id: '9d0c1f7a-5e42-4b6d-8a3f-c2b7e6014d95', integration_id: '4a7be0d3-1c98-4f25-b06e-83d9f5a2c71e' }
const KEYS = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)].map((key) => key.toString('base64'))
const WRAPPED = [4, 3].map((byte, index) => dataKeyRow(KEYS[index], PLACE.organization_id, Buffer.alloc(32, byte)))

/** A data key as the database's function `data_keys` returns it. */
function dataKeyRow(key, organizationId, dataKey) {
  return wrap(Buffer.from(key, 'base64'), organizationId, Buffer.from(dataKey, 'base64'), Buffer.alloc(12, 5))
}

/** Runs a program on lines, and gives its answers. */
export async function answersOf(program, args, lines, env = process.env) {
  const child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(lines.map((line) => `${line}\n`).join(''))
  child.stdin.on('error', () => {}) // It says by its exit why it stopped reading.
  const chunks = await child.stdout.toArray()
  const code = child.exitCode ?? (await new Promise((resolve) => child.once('exit', resolve)))
  assert.equal(code, 0, `${program} ended with ${code}`)
  return Buffer.concat(chunks).toString().split('\n').slice(0, -1)
}

/** Builds the crate's program; it is there already where `cargo test` ran. */
export function buildRust() {
  const env = { ...process.env, CARGO_TARGET_DIR: `${ROOT}target` }
  const built = spawnSync('cargo', ['build', '--quiet', '--package', 'sealed', '--example', 'lines'], { cwd: ROOT, env, encoding: 'utf8' })
  assert.equal(built.status, 0, built.stderr)
  return (lines) => answersOf(`${ROOT}target/debug/examples/lines`, [], lines)
}

/** The vectors as lines, each with the answer to it. */
export function vectorLines() {
  const vectors = ['vectors', 'vectors-node'].map((name) => JSON.parse(readFileSync(`${ROOT}sealed/tests/${name}.json`, 'utf8')))
  const lines = []
  const add = (name, line, answer) => lines.push({ name, line: JSON.stringify({ ...PLACE, keys: KEYS, ...line }), answer })
  for (const { sealed, legacy, refused, unsealable, wrapped, refused_wrapped } of vectors) {
    for (const { name, key, data_key, organization_id, integration_id, plain, stored, nonces } of sealed) {
      const place = { organization_id, integration_id }
      const data_keys = data_key && [dataKeyRow(key, organization_id, data_key)]
      const former = data_key && [dataKeyRow(key, organization_id, KEYS[0]), ...data_keys]
      add(`opens ${name}`, { do: 'open', ...place, keys: [key], data_keys, config: stored }, { config: plain })
      add(`opens ${name} with a fallback`, { do: 'open', ...place, keys: [...KEYS, key], data_keys: former, config: stored }, { config: plain })
      add(`seals ${name}`, { do: 'seal', ...place, keys: [key], data_keys, config: plain, nonces }, { config: stored })
    }
    for (const { name, key, plain, stored } of legacy) {
      add(`opens ${name}`, { do: 'open', keys: [...KEYS, key], config: stored }, { config: plain })
    }
    for (const { name, keys, data_keys, organization_id, integration_id, stored, fault, pointer } of refused) {
      const rows = data_keys?.map((dataKey) => dataKeyRow(keys.at(-1), organization_id, dataKey))
      add(`refuses ${name}`, { do: 'open', keys, data_keys: rows, organization_id, integration_id, config: stored }, { fault, pointer })
    }
    // A config that names the data key and has nothing sealed opens if the data key unwraps.
    const named = (row, keys) => ({ do: 'open', keys, data_keys: [row], organization_id: row.organization_id, config: { _enc: { v: 3, kid: row.kid }, a: 1 } })
    for (const { name, key, ...row } of wrapped) add(`unwraps ${name}`, named(row, [...KEYS, key]), { config: { a: 1 } })
    for (const { name, keys, fault, ...row } of refused_wrapped) add(`refuses to unwrap ${name}`, named(row, keys), { fault, pointer: '/_enc' })
    for (const { name, plain, fault, pointer } of unsealable) {
      add(`refuses to seal ${name}`, { do: 'seal', config: plain }, { fault, pointer })
    }
  }
  assert.ok(lines.length > 230, `${lines.length} vectors`)
  return lines
}

/** Checks an implementation on the vectors. */
export async function checkVectors(answers) {
  const vectors = vectorLines()
  const answered = await answers(vectors.map(({ line }) => line))
  assert.equal(answered.length, vectors.length)
  vectors.forEach(({ name, answer }, index) => assert.deepEqual(JSON.parse(answered[index]), answer, name))
}

/** Checks that an implementation and the crate draw the same bounds, and say the same of what is beyond. */
export async function checkBounds(rust, answers) {
  const line = (what, config, data_keys = WRAPPED) => JSON.stringify({ do: what, ...PLACE, keys: KEYS, data_keys, config })
  const nulls = (count) => Array(count).fill(null)
  const head = (await rust([line('seal', { token: '' })])).map((answer) => JSON.parse(answer).config)[0]
  const beside = (text) => ({ ...head, token: head.token + text })
  const legacy = (text) => ({ token: head.token + text })
  const seals = [
    ...[9_999, 10_000].map((count) => ({ list: nulls(count) })),
    { list: [nulls(4_000), nulls(4_000), { a: nulls(3_000) }] },
    ...[65_536, 65_537].flatMap((length) => [{ token: 'x'.repeat(length) }, { token: 'é'.repeat(length >> 1) + 'x'.repeat(length & 1) }]),
    ...[1 << 20, (1 << 20) + 1].flatMap((length) => [{ a: 'x'.repeat(length - 1) }, { ['n'.repeat(length)]: 1 }, { a: [{ ['n'.repeat(length - 1)]: 1 }] }]),
    { a: 'x'.repeat(1 << 19), b_token: 'x'.repeat(1 << 19) },
    { token: 'x'.repeat(70_000), z_token: 5 },
  ]
  const opens = [
    ...[(2 << 20) - 1, 2 << 20].flatMap((length) => [{ a: 'x'.repeat(length) }, { ...head, a: 'x'.repeat(length - 60) }, { ...head, a: 'x'.repeat(length) }]),
    ...[87_380, 87_384, 131_072, 131_076, 131_080].flatMap((length) => [beside('A'.repeat(length)), legacy('A'.repeat(length)), legacy('a'.repeat(length + 1))]),
    ...[beside, legacy].map((of) => of('値'.repeat(50_000))),
    { ...head, token: `x${head.token}${'A'.repeat(200_000)}` },
    { ...head, token: `${head.token.replace('=', '')}${'A'.repeat(200_000)}` },
    { ...head, ['n\u0007'.repeat(300)]: { token: 'x' } },
  ]
  const lines = [...seals.map((config) => line('seal', config)), ...opens.map((config) => line('open', config))]
  const [theirs, ours] = [await rust(lines), await answers(lines)].map((all) => all.map((answer) => JSON.parse(answer)))
  theirs.forEach((their, index) => {
    const our = ours[index]
    // What was sealed differs by its nonces; that both sealed it is what counts.
    if (index < seals.length && their.config) assert.ok(our.config, `number ${index}: ${our.fault}`)
    else assert.deepEqual(our, their, `number ${index}`)
  })
  assert.ok(theirs.filter(({ fault }) => fault === 'too-large').length > 12)
}

/** Checks that an implementation and the crate open what the other sealed, and refuse the same for the same reason. */
export async function checkAgreement(rust, answers, count = 10_000) {
  const seed = Number(process.env.FORMAT_SEED ?? Date.now() % 1e9)
  const random = seeded(seed)
  const said = (index, line) => `FORMAT_SEED=${seed}, number ${index}: ${line}`
  // Every other config is sealed with a data key.
  const dataKeys = (index) => (index % 2 ? WRAPPED : [])
  const line = (what, config, data_keys, keys = KEYS) => JSON.stringify({ do: what, ...PLACE, keys, data_keys, config })
  const same = (one, other, lines) => {
    assert.equal(one.length, lines.length)
    assert.equal(other.length, lines.length)
    lines.forEach((line, index) => {
      const [a, b] = [JSON.parse(one[index]), JSON.parse(other[index])]
      if (!isDeepStrictEqual(a, b)) assert.deepEqual(a, b, said(index, line))
    })
  }

  const plain = Array.from({ length: count }, () => plainConfig(random))
  const toSeal = plain.map((config, index) => line('seal', config, dataKeys(index)))
  const [theirs, ours] = await Promise.all([rust(toSeal), answers(toSeal)])
  const expected = []
  const [openOurs, openTheirs, stored] = [[], [], []]
  plain.forEach((config, index) => {
    const [their, our] = [JSON.parse(theirs[index]), JSON.parse(ours[index])]
    if (their.fault || our.fault) return assert.deepEqual(our, their, said(index, toSeal[index]))
    expected.push(JSON.stringify({ config }))
    openOurs.push(line('open', our.config, dataKeys(index).toReversed(), KEYS.toReversed()))
    openTheirs.push(line('open', their.config, dataKeys(index)))
    stored.push(their.config)
  })
  assert.ok(expected.length > count * 0.8, `only ${expected.length} configs were sealed`)
  same(await rust(openOurs), expected, openOurs)
  same(await answers(openTheirs), expected, openTheirs)

  const odd = stored.map((config) => {
    const base = random.chance(25) ? legacyConfig(random, Buffer.from(random.pick(KEYS), 'base64')) : config
    const rows = random.chance(10) ? WRAPPED.map((row) => changedWrapped(random, row)) : WRAPPED
    return line('open', random.chance(75) ? changed(random, base) : base, rows)
  })
  const judged = await rust(odd)
  same(await answers(odd), judged, odd)
  const faults = new Set(judged.map((answer) => JSON.parse(answer).fault))
  for (const fault of ['not-sealed', 'malformed', 'not-authentic', 'malformed-enc', 'unknown-version', 'unknown-key', 'not-text', undefined]) {
    assert.ok(faults.has(fault), `none of ${count} was ${fault ?? 'opened'}`)
  }
}
