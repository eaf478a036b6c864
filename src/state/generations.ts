import type { Clock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import type { NetworkRef } from '../core/ids.ts'
import type { GenerationStore } from '../core/lease.ts'
import type { RedisLink } from './connection.ts'
import { generationKey, lastGenerationKey, TTL } from './keys.ts'
import { GENERATION } from './scripts.ts'

/** Asked again this often, which also keeps the key from expiring while the subscription is in use. */
const REMEMBERED_MS = TTL.generation / 7
const REMEMBERED_MAX = 200_000

/**
 * Generations of subscriptions in Redis, the same for every instance. They are asked for with every event,
 * so they are remembered here; not for long, and not beyond a loss of Redis' data: instances that disagreed
 * about a generation would drop each other's events as old.
 */
export class RedisGenerations implements GenerationStore {
  readonly #general: RedisLink
  readonly #clock: Clock
  readonly #known = new Map<string, { readonly generation: number; readonly askedAt: number }>()

  constructor({ general, clock }: { readonly general: RedisLink; readonly clock: Clock }) {
    this.#general = general
    this.#clock = clock
  }

  async generationOf(network: NetworkRef, subscriptionId: string): Promise<number> {
    const key = generationKey(network, subscriptionId)
    const known = this.#known.get(key)
    const askedAt = this.#clock.monotonic()
    if (known !== undefined && askedAt - known.askedAt < REMEMBERED_MS) return known.generation
    const keys = [key, lastGenerationKey(network)]
    const generation = Number(await this.#general.script(GENERATION, keys, [String(TTL.generation)]))
    if (!Number.isSafeInteger(generation)) {
      throw new GatewayError('store_unavailable', { detail: 'Redis gave no generation.' })
    }
    this.#remember(key, { generation, askedAt })
    return generation
  }

  /** Forgets what is remembered: Redis may have lost it, and will number the subscriptions anew. */
  forgetAll(): void {
    this.#known.clear()
  }

  #remember(key: string, found: { readonly generation: number; readonly askedAt: number }): void {
    this.#known.delete(key)
    this.#known.set(key, found)
    const oldest = this.#known.keys().next()
    if (this.#known.size > REMEMBERED_MAX && oldest.done !== true) this.#known.delete(oldest.value)
  }
}
