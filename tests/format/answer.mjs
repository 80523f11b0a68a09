// What `sealed/examples/lines.rs` does, with packages/sealed-config: on Node, in workerd and in a browser alike.

import { KeyRing } from '../../packages/sealed-config/src/index.js'
import { OpenError, SealError, seal } from '../../packages/sealed-config/src/core.js'
import { drive, ringKey } from '../../packages/sealed-config/src/web.js'

const WEB = { ring: (primary, ...fallbacks) => KeyRing.import(primary, fallbacks), drive, ringKey }

/** The answers to lines of JSON, a line each. */
export async function answers(lines, entry = WEB) {
  const answered = []
  // Importing keys is what takes the time.
  const rings = new Map()
  const ringOf = (keys) => {
    const name = keys.join()
    if (!rings.has(name)) rings.set(name, entry.ring(...keys))
    return rings.get(name)
  }
  for (const line of lines) answered.push(JSON.stringify(await answer(JSON.parse(line), entry, ringOf)))
  return answered
}

async function answer({ do: what, keys, data_keys, organization_id, integration_id, config, nonces }, entry, ringOf) {
  const row = { organization_id, id: integration_id }
  try {
    if (nonces) return { config: await sealWith(entry, keys, data_keys, row, config, new Map(nonces)) }
    const ring = await ringOf(keys)
    return { config: await (what === 'seal' ? ring.seal(row, config, data_keys) : ring.open(row, config, data_keys)) }
  } catch (error) {
    if (!(error instanceof OpenError || error instanceof SealError)) throw error
    return { fault: error.fault, pointer: error.pointer }
  }
}

async function sealWith({ drive, ringKey }, keys, dataKeys = [], row, config, nonces) {
  const next = (pointer) => Uint8Array.from(atob(nonces.get(pointer)), (c) => c.charCodeAt(0))
  return drive(seal(await Promise.all(keys.map(ringKey)), dataKeys, row, config, next))
}
