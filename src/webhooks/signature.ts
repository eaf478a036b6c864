import { createHmac, createSecretKey, randomBytes, timingSafeEqual } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { GatewayError } from '../core/errors.ts'
import { importPrivateKey, PRIVATE_KEY_PREFIX, signAsymmetric } from './asymmetric-signature.ts'
import type { Keyring } from './attempt.ts'
import { preambleOf, readHeaders, signaturesOf } from './signed-message.ts'
import type { SignatureHeaders, SignedContent, Verdict } from './signed-message.ts'

const SECRET_PREFIX = 'whsec_'
const SECRET_BYTES_MIN = 24
const SECRET_BYTES_MAX = 64

/** A new signing secret: `whsec_` and 32 random bytes in base64. */
export const generateSecret = (): string => SECRET_PREFIX + randomBytes(32).toString('base64')

/**
 * The HMAC key of a secret, with or without its prefix. Throws `invalid_request` unless it is base64 of
 * 24 to 64 bytes (Standard Webhooks 1.0.0). As a KeyObject, because Node signs seven times slower with a
 * Buffer.
 */
export function createSigningKey(secret: string): KeyObject {
  const encoded = secret.startsWith(SECRET_PREFIX) ? secret.slice(SECRET_PREFIX.length) : secret
  const bytes = Buffer.from(encoded, 'base64')
  // Node reads what is not quite base64, too; a receiver's decoder refuses it, or finds another key in it.
  const isBase64 = bytes.toString('base64') === encoded
  if (bytes.length < SECRET_BYTES_MIN || bytes.length > SECRET_BYTES_MAX || !isBase64) {
    throw new GatewayError('invalid_request', { detail: 'A signing secret is whsec_ and base64 of 24 to 64 bytes' })
  }
  return createSecretKey(bytes)
}

/**
 * The keys of an endpoint's secrets (`whsec_…` sign `v1`, `whsk_…` sign `v1a`), in their order. Throws
 * `invalid_request` for one that is neither.
 */
export function toKeyring(secrets: readonly string[]): Keyring {
  return {
    symmetric: secrets.filter((secret) => !isAsymmetric(secret)).map(createSigningKey),
    asymmetric: secrets.filter(isAsymmetric).map(importPrivateKey),
  }
}

/** Whether both make the same list of signatures. */
export const isSameKeyring = (a: Keyring, b: Keyring): boolean =>
  isSameKeys(a.symmetric, b.symmetric) && isSameKeys(a.asymmetric, b.asymmetric)

const isSameKeys = (a: readonly KeyObject[], b: readonly KeyObject[]): boolean =>
  a.length === b.length && a.every((key, i) => b[i]?.equals(key) === true)

const isAsymmetric = (secret: string): boolean => secret.startsWith(PRIVATE_KEY_PREFIX)

/** The value of `webhook-signature`: one entry per key, `v1` before `v1a`, of each kind the newest key first. */
export function signatureList(content: SignedContent, { symmetric, asymmetric }: Keyring): string {
  const entries = symmetric.map((key) => `v1,${createHmacOf(content, key).digest('base64')}`)
  for (const key of asymmetric) entries.push(signAsymmetric(content, key))
  return entries.join(' ')
}

/**
 * Checks a message as a receiver does: all headers there, a timestamp near `nowSeconds`, and one `v1`
 * signature in the list that matches one of the keys. Signatures of other versions are passed over.
 */
export function verify(
  headers: SignatureHeaders,
  payload: Buffer | string,
  { keys, nowSeconds }: { readonly keys: readonly KeyObject[]; readonly nowSeconds: number },
): Verdict {
  const checked = readHeaders(headers, nowSeconds)
  if (typeof checked === 'string') return checked
  const candidates = signaturesOf(checked.signature, 'v1')
  const content = { id: checked.id, timestamp: checked.timestamp, payload }
  const expected = keys.map((key) => createHmacOf(content, key).digest())
  const matches = candidates.some((candidate) => expected.some((wanted) => equal(candidate, wanted)))
  return matches ? 'valid' : 'no_match'
}

const createHmacOf = (content: SignedContent, key: KeyObject) =>
  createHmac('sha256', key).update(preambleOf(content)).update(content.payload)

const equal = (a: Buffer, b: Buffer): boolean => a.length === b.length && timingSafeEqual(a, b)
