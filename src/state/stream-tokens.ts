import * as v from 'valibot'
import type { Caller } from '../core/app.ts'
import { AppIdSchema } from '../core/ids.ts'
import type { StreamTokenStore } from '../core/stream-token-store.ts'
import type { RedisLink } from './connection.ts'
import { streamTokenKey } from './keys.ts'

const StoredCaller = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ appId: AppIdSchema, keyId: v.exactOptional(v.string()) }),
)

/** Stream tokens in Redis: one key per token's hash, which goes with its use or with its TTL. */
export class RedisStreamTokens implements StreamTokenStore {
  readonly #general: RedisLink

  constructor(general: RedisLink) {
    this.#general = general
  }

  async put(tokenHash: string, { appId, keyId }: Caller, ttlMs: number): Promise<void> {
    const value = JSON.stringify({ appId, ...(keyId !== undefined && { keyId }) })
    await this.#general.run((redis) => redis.set(streamTokenKey(tokenHash), value, 'PX', ttlMs))
  }

  async take(tokenHash: string): Promise<Caller | undefined> {
    const value = await this.#general.run((redis) => redis.getdel(streamTokenKey(tokenHash)))
    const caller = v.safeParse(StoredCaller, value)
    return caller.success ? caller.output : undefined
  }
}
