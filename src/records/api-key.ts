import { randomBytes } from 'node:crypto'

const SECRET_BYTES = 32
/** `ck_`, 16 hexadecimal digits of the key id, `_`, 43 base64url characters of 32 random bytes. */
const API_KEY = /^ck_([0-9a-f]{16})_[A-Za-z0-9_-]{43}$/

/** A new API key: its text, shown once, and the part of it that is public. */
export type ApiKeyText = { readonly keyId: string; readonly prefix: string; readonly apiKey: string }

/** `ck_<key id>_<secret>`: the key id finds the record, the 32 random bytes prove it. */
export function createApiKey(): ApiKeyText {
  const keyId = randomBytes(8).toString('hex')
  const prefix = `ck_${keyId}`
  return { keyId, prefix, apiKey: `${prefix}_${randomBytes(SECRET_BYTES).toString('base64url')}` }
}

/** The key id in a presented key; undefined when it has not the form of one. */
export const keyIdOf = (apiKey: string): string | undefined => API_KEY.exec(apiKey)?.[1]
