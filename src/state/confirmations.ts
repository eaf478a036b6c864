import type { NetworkRef } from '../core/ids.ts'
import type { Confirmation, ConfirmationBook } from '../core/lease.ts'
import type { RedisLink } from './connection.ts'
import { confirmedKey, doubtKey, TTL } from './keys.ts'
import { DOUBT } from './lease-scripts.ts'

const NO_DOUBTS = '0'

/**
 * What is confirmed, in Redis. Where nothing is stored, be it that nothing ever was or that Redis lost it,
 * nothing is confirmed.
 */
export class RedisConfirmations implements ConfirmationBook {
  readonly #general: RedisLink

  constructor({ general }: { readonly general: RedisLink }) {
    this.#general = general
  }

  /** Also keeps what it reads from expiring. */
  read(network: NetworkRef): Promise<Confirmation> {
    return this.#general.run(async (redis) => {
      const [doubts, confirmed] = await Promise.all([
        redis.getex(doubtKey(network), 'PX', TTL.confirmation),
        redis.getex(confirmedKey(network), 'PX', TTL.confirmation),
      ])
      return { isConfirmed: doubts !== null && doubts === confirmed, doubts: doubts ?? NO_DOUBTS }
    })
  }

  async doubt(network: NetworkRef): Promise<string> {
    return String(await this.#general.script(DOUBT, [doubtKey(network)], [String(TTL.confirmation)]))
  }

  async confirm(network: NetworkRef, doubts: string): Promise<void> {
    await this.#general.run((redis) => redis.set(confirmedKey(network), doubts, 'PX', TTL.confirmation))
  }
}
