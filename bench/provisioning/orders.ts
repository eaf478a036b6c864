import { sql } from 'kysely'
import { createEngine, openShop, orderOf } from '../../test/support/order-rig.ts'
import { stockCustomers, stockNumbers } from '../../test/support/number-stock.ts'
import { until } from '../../test/support/until.ts'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { SandboxProvider } from '../../src/provisioning/adapters/sandbox/provider.ts'
import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'

const COMPLETION_TIMEOUT_MS = 120_000

export type OrderFigures = {
  /** Orders a second that are placed while none is carried out. */
  readonly placed: number
  /** Orders a second from the first that is placed until the last is completed, with everything at work. */
  readonly completed: number
  /** Of the second half, what did not end as it should. */
  readonly unfinished: number
}

/** Buyers at once, each placing orders of one number after the other; the sandbox carrier takes no time to speak of. */
export async function measureOrders(
  database: ProvisioningDatabase,
  { buyers, orders }: { readonly buyers: number; readonly orders: number },
): Promise<OrderFigures> {
  const provider = new SandboxProvider({ database, clock: systemClock, log: silentLogger, fulfilMs: 1 })
  const shop = await openShop(database, { name: 'bench', start: '+12005550000', provider: provider.id })
  await stockNumbers(database, { start: '+12005560000', count: 2 * orders, productId: shop.numbers })
  const customers = Array.from({ length: buyers }, (_, buyer) => `cus_buyer${buyer}`)
  await stockCustomers(database, customers)
  await database.query((db) =>
    db.updateTable('customers').set({ app_id: shop.appId }).where('customer_id', 'like', 'cus_buyer%').execute(),
  )
  const { ordering, fulfiller } = createEngine(database, provider, { callTimeoutMs: 10_000 })
  const request = orderOf(shop, { action: 'any', quantity: 1, filter: { startsWith: '200556' } })
  const placeAll = async (): Promise<void> => {
    let left = orders
    await Promise.all(
      customers.map(async (customerId) => {
        while (left > 0) {
          left -= 1
          await ordering.place({ ...request, customerId })
        }
      }),
    )
  }

  const placingSince = performance.now()
  await placeAll()
  const placed = orders / ((performance.now() - placingSince) / 1_000)

  await database.query((db) => sql`update fulfilments set due_at = now() + interval '1 day'`.execute(db))
  await provider.start()
  await fulfiller.start()
  try {
    const since = performance.now()
    await placeAll()
    const countCompleted = () => countOrders(database, 'completed')
    await until(
      'all orders to be completed',
      async () => (await countCompleted()) >= orders || undefined,
      COMPLETION_TIMEOUT_MS,
    )
    const completed = orders / ((performance.now() - since) / 1_000)
    return { placed, completed, unfinished: orders - (await countCompleted()) }
  } finally {
    await fulfiller.stop(AbortSignal.timeout(10_000))
    await provider.stop()
  }
}

async function countOrders(database: ProvisioningDatabase, state: string): Promise<number> {
  const { rows } = await database.query((db) =>
    sql<{ count: number }>`select count(*) from orders where state = ${state}`.execute(db),
  )
  return rows[0]?.count ?? 0
}
