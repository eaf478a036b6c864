import { GatewayError } from '../../src/core/errors.ts'
import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'

/** What a transaction that fails comes to: nothing, or all of it, of which nobody is told. */
export type TransactionFailure = 'rolled back' | 'committed'

/** A database some of whose transactions, counted from 1, fail as when its server is restarted meanwhile. */
export function createFailingDatabase(
  inner: ProvisioningDatabase,
  failures: Readonly<Record<number, TransactionFailure>>,
): ProvisioningDatabase {
  let transactions = 0
  return {
    query: (work) => inner.query(work),
    async transaction(work) {
      transactions += 1
      const failure = failures[transactions]
      const result = await inner.transaction(async (tx) => {
        const done = await work(tx)
        if (failure === 'rolled back') throw storeUnavailable()
        return done
      })
      if (failure === 'committed') throw storeUnavailable()
      return result
    },
  }
}

const storeUnavailable = (): GatewayError =>
  new GatewayError('store_unavailable', { detail: 'the server is restarted' })
