import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { SigningKeyPair } from '../core/endpoint.ts'
import { GatewayError } from '../core/errors.ts'
import { preambleOf, readHeaders, signaturesOf } from './signed-message.ts'
import type { SignatureHeaders, SignedContent, Verdict } from './signed-message.ts'

/**
 * The `v1a` scheme of Standard Webhooks 1.0.0: ed25519 over the same content as `v1`, so that a receiver
 * holds nothing that could sign. No reference library verifies it yet.
 */
export const PRIVATE_KEY_PREFIX = 'whsk_'
const PUBLIC_KEY_PREFIX = 'whpk_'
/** What stands before the 32 bytes of a key in its DER form (RFC 8410, 7 and 4). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
const KEY_BYTES = 32

/** A new ed25519 key pair: `whsk_` and base64 of the 32-byte seed, `whpk_` and base64 of the public key. */
export function generateKeyPair(): SigningKeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-KEY_BYTES)
  const open = publicKey.export({ format: 'der', type: 'spki' }).subarray(-KEY_BYTES)
  return {
    privateKey: PRIVATE_KEY_PREFIX + seed.toString('base64'),
    publicKey: PUBLIC_KEY_PREFIX + open.toString('base64'),
  }
}

/**
 * The private key of `whsk_` and base64 of the 32-byte seed, optionally followed by the public key.
 * Throws `invalid_request` for anything else.
 */
export function importPrivateKey(secret: string): KeyObject {
  const bytes = decode(secret, PRIVATE_KEY_PREFIX)
  if (bytes.length !== KEY_BYTES && bytes.length !== 2 * KEY_BYTES) throw malformed()
  const der = Buffer.concat([PKCS8_PREFIX, bytes.subarray(0, KEY_BYTES)])
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
}

/** The public key of `whpk_` and base64 of 32 bytes. Throws `invalid_request` for anything else. */
export function importPublicKey(text: string): KeyObject {
  const bytes = decode(text, PUBLIC_KEY_PREFIX)
  if (bytes.length !== KEY_BYTES) throw malformed()
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, bytes]), format: 'der', type: 'spki' })
}

/** One entry for `webhook-signature`. */
export const signAsymmetric = (content: SignedContent, key: KeyObject): string =>
  `v1a,${sign(undefined, signedBytes(content), key).toString('base64')}`

/** Like `verify`, for the `v1a` entries of the list. */
export function verifyAsymmetric(
  headers: SignatureHeaders,
  payload: Buffer | string,
  { key, nowSeconds }: { readonly key: KeyObject; readonly nowSeconds: number },
): Verdict {
  const checked = readHeaders(headers, nowSeconds)
  if (typeof checked === 'string') return checked
  const content = signedBytes({ id: checked.id, timestamp: checked.timestamp, payload })
  const candidates = signaturesOf(checked.signature, 'v1a')
  return candidates.some((candidate) => verify(undefined, content, key, candidate)) ? 'valid' : 'no_match'
}

/** ed25519 takes its message in one piece. */
function signedBytes(content: SignedContent): Buffer {
  const { payload } = content
  return Buffer.concat([Buffer.from(preambleOf(content)), typeof payload === 'string' ? Buffer.from(payload) : payload])
}

const decode = (text: string, prefix: string): Buffer =>
  Buffer.from(text.startsWith(prefix) ? text.slice(prefix.length) : text, 'base64')

const malformed = (): GatewayError => new GatewayError('invalid_request', { detail: 'It is not an ed25519 key' })
