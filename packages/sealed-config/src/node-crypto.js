// node:crypto as the driver of core.js.

import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto'
import { KID_LABEL, keyBytes, kidOf } from './core.js'

/** @typedef {import('./core.js').Step} Step */

/**
 * A key as a setting holds it.
 * @param {string} text
 */
export function ringKey(text) {
  return imported(keyBytes(text))
}

/** @param {Uint8Array} key */
function imported(key) {
  return { kid: kidOf(createHmac('sha256', key).update(KID_LABEL).digest()), key }
}

export function nonce() {
  return randomBytes(12)
}

/**
 * @template Result
 * @param {Generator<Step, Result, any>} steps
 * @returns {Result}
 */
export function drive(steps) {
  let next = steps.next()
  while (!next.done) next = steps.next(compute(next.value))
  return next.value
}

/** @param {Step} step */
function compute(step) {
  if (step.do === 'import') return imported(step.bytes)
  const { do: what, key, iv, aad, bytes } = step
  if (what === 'seal') {
    const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(aad)
    return Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()])
  }
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 }).setAAD(aad).setAuthTag(bytes.subarray(-16))
  const plain = decipher.update(bytes.subarray(0, -16))
  try {
    decipher.final()
  } catch {
    return null
  }
  return plain
}
