import { GatewayError } from '../core/errors.ts'
import type { NetworkRef } from '../core/ids.ts'
import type { GenerationStore } from '../core/lease.ts'
import type { RedisLink } from './connection.ts'
import { generationKey, lastGenerationKey, TTL } from './keys.ts'
import { GENERATION } from './scripts.ts'

/** Generations of subscriptions in Redis, the same for every instance. */
export class RedisGenerations implements GenerationStore {
  readonly #general: RedisLink

  constructor({ general }: { readonly general: RedisLink }) {
    this.#general = general
  }

  async generationOf(network: NetworkRef, subscriptionId: string): Promise<number> {
    const keys = [generationKey(network, subscriptionId), lastGenerationKey(network)]
    const generation = Number(await this.#general.script(GENERATION, keys, [String(TTL.generation)]))
    if (!Number.isSafeInteger(generation)) {
      throw new GatewayError('store_unavailable', { detail: 'Redis gave no generation.' })
    }
    return generation
  }
}
