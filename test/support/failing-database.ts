import { GatewayError } from '../../src/core/errors.ts'
import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'

/** Of a database: some of its transactions, counted from 1, come to nothing, as when its server is restarted meanwhile. */
export function failingDatabase(inner: ProvisioningDatabase, failing: ReadonlySet<number>): ProvisioningDatabase {
  let transactions = 0
  return {
    query: (work) => inner.query(work),
    transaction: (work) => {
      transactions += 1
      const mustFail = failing.has(transactions)
      return inner.transaction(async (tx) => {
        const result = await work(tx)
        if (mustFail) throw new GatewayError('store_unavailable', { detail: 'the server is restarted' })
        return result
      })
    },
  }
}
