import { GatewayError } from '../../src/core/errors.ts'
import type { NumberProvider } from '../../src/provisioning/model/provider.ts'
import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'

/**
 * A process that dies after so many steps: from then on nothing of it reaches the database or a provider, and what it
 * had begun in a transaction is gone. A step is a moment before or after a query, a transaction or a call, or the last
 * one inside a transaction.
 */
export class Mortal {
  #stepsLeft: number

  constructor(stepsLeft: number) {
    this.#stepsLeft = stepsLeft
  }

  get isDead(): boolean {
    return this.#stepsLeft <= 0
  }

  database(inner: ProvisioningDatabase): ProvisioningDatabase {
    return {
      query: async (work) => {
        this.#step()
        const result = await inner.query(work)
        this.#step()
        return result
      },
      transaction: async (work) => {
        this.#step()
        const result = await inner.transaction(async (tx) => {
          const done = await work(tx)
          this.#step()
          return done
        })
        this.#step()
        return result
      },
    }
  }

  provider(inner: NumberProvider): NumberProvider {
    const call = async <Result>(work: () => Promise<Result>): Promise<Result> => {
      this.#step()
      const result = await work()
      this.#step()
      return result
    }
    return {
      id: inner.id,
      about: inner.about,
      capabilities: inner.capabilities,
      execute: (request, context) => call(() => inner.execute(request, context)),
      poll: (ref, request, context) => call(() => inner.poll(ref, request, context)),
      find: (request, context) => call(() => inner.find(request, context)),
      cancel: (ref, request, context) => call(() => inner.cancel(ref, request, context)),
      judgeEligibility: (e164, context) => call(() => inner.judgeEligibility(e164, context)),
    }
  }

  #step(): void {
    this.#stepsLeft -= 1
    if (this.isDead) throw new GatewayError('store_unavailable', { detail: 'the process is dead' })
  }
}
