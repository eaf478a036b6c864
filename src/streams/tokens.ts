import { createHash, randomBytes } from 'node:crypto'
import type { Caller } from '../core/app.ts'
import type { AppId } from '../core/ids.ts'
import type { StreamTokenStore } from '../core/stream-token-store.ts'

/** A token must be used within this time. */
const TTL_MS = 30_000
const TOKEN_BYTES = 32
/** Base64url of 32 bytes: also a valid `Sec-WebSocket-Protocol` token (RFC 6455 section 4.1). */
const TOKEN_PATTERN = /^[A-Za-z0-9_-]{43}$/

/** A new token; the only time that its text exists. */
export type IssuedStreamToken = { readonly token: string; readonly expiresInMs: number }

/**
 * Tokens with which a browser opens one stream, so that no API key has to reach it. Single use,
 * short-lived, bound to one app and to the key that asked for it.
 */
export class StreamTokens {
  readonly #store: StreamTokenStore

  constructor(store: StreamTokenStore) {
    this.#store = store
  }

  async issue(caller: Caller): Promise<IssuedStreamToken> {
    const token = randomBytes(TOKEN_BYTES).toString('base64url')
    await this.#store.put(hashToken(token), caller, TTL_MS)
    return { token, expiresInMs: TTL_MS }
  }

  /**
   * Uses the token up, whichever app it is for; resolves with who asked for it when it is for this one.
   * Whether that key still counts is for the caller to find out.
   */
  async redeem(appId: AppId, token: string): Promise<Caller | undefined> {
    if (!TOKEN_PATTERN.test(token)) return undefined
    const caller = await this.#store.take(hashToken(token))
    return caller?.appId === appId ? caller : undefined
  }
}

const hashToken = (token: string): string => createHash('sha256').update(token).digest('base64url')
