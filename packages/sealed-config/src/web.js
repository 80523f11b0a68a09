// WebCrypto as the driver of core.js.

import { KID_LABEL, keyBytes, kidOf } from './core.js'

/** @typedef {import('./core.js').Step} Step */

/**
 * A key as a setting holds it, imported.
 * @param {string} text
 */
export function ringKey(text) {
  return imported(keyBytes(text))
}

/** @param {Uint8Array} bytes */
async function imported(bytes) {
  const mac = await crypto.subtle.importKey('raw', new Uint8Array(bytes), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  const kid = kidOf(new Uint8Array(await crypto.subtle.sign('HMAC', mac, new TextEncoder().encode(KID_LABEL))))
  const key = await crypto.subtle.importKey('raw', new Uint8Array(bytes), 'AES-GCM', false, ['encrypt', 'decrypt'])
  return { kid, key }
}

export function nonce() {
  return crypto.getRandomValues(new Uint8Array(12))
}

/**
 * @template Result
 * @param {Generator<Step, Result, any>} steps
 * @returns {Promise<Result>}
 */
export async function drive(steps) {
  let next = steps.next()
  while (!next.done) next = steps.next(await compute(next.value))
  return next.value
}

/** @param {Step} step */
async function compute(step) {
  if (step.do === 'import') return imported(step.bytes)
  const { do: what, key, iv, aad, bytes } = step
  const how = { name: 'AES-GCM', iv: new Uint8Array(iv), additionalData: new Uint8Array(aad), tagLength: 128 }
  if (what === 'seal') return new Uint8Array(await crypto.subtle.encrypt(how, key, new Uint8Array(bytes)))
  try {
    return new Uint8Array(await crypto.subtle.decrypt(how, key, new Uint8Array(bytes)))
  } catch (error) {
    // WebCrypto's word for a tag that does not fit. Anything else is a fault of the platform, not of the config.
    if (error instanceof Error && error.name === 'OperationError') return null
    throw error
  }
}
