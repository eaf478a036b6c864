import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'

/** A Lua script, sent by its hash and in full only to a server that does not know it. */
export class Script {
  readonly #lua: string
  #sha: string | undefined

  constructor(lua: string) {
    this.#lua = lua
  }

  async run(redis: Redis, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    this.#sha ??= createHash('sha1').update(this.#lua).digest('hex')
    try {
      return await redis.evalsha(this.#sha, keys.length, ...keys, ...args)
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return redis.eval(this.#lua, keys.length, ...keys, ...args)
    }
  }
}
