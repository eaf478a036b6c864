import type { AppId } from '../core/ids.ts'
import { toAppId } from '../core/ids.ts'
import type { StreamTokenStore } from '../core/stream-token-store.ts'
import type { RedisLink } from './connection.ts'
import { streamTokenKey } from './keys.ts'

/** Stream tokens in Redis: one key per token's hash, which goes with its use or with its TTL. */
export class RedisStreamTokens implements StreamTokenStore {
  readonly #general: RedisLink

  constructor(general: RedisLink) {
    this.#general = general
  }

  async put(tokenHash: string, appId: AppId, ttlMs: number): Promise<void> {
    await this.#general.run((redis) => redis.set(streamTokenKey(tokenHash), appId, 'PX', ttlMs))
  }

  async take(tokenHash: string): Promise<AppId | undefined> {
    const appId = await this.#general.run((redis) => redis.getdel(streamTokenKey(tokenHash)))
    return appId === null ? undefined : toAppId(appId)
  }
}
