import { randomInt } from 'node:crypto'
import { sql } from 'kysely'
import { systemClock } from '../../src/core/clock.ts'
import { isGatewayError } from '../../src/core/errors.ts'
import { Ordering } from '../../src/provisioning/engine/ordering.ts'
import type { OrderTerms } from '../../src/provisioning/model/order-terms.ts'
import { Reservations } from '../../src/provisioning/store/reservations.ts'
import type { openStore } from './store.ts'

/** Attempts in a row that come to nothing, after which a buyer goes home. */
const MISSES_MAX = 20

/** Whether there may be more to buy. */
type Purchase = () => Promise<boolean>

export type Shopping = {
  readonly store: Awaited<ReturnType<typeof openStore>>
  readonly customerId: string
  /** At once. */
  readonly buyers: number
  readonly isNaive: boolean
}

/** Buyers of one customer buy until nothing is left. */
export async function shop({ store, customerId, buyers, isNaive }: Shopping): Promise<void> {
  const purchase = isNaive ? buyNaively(store, customerId) : buyProperly(store, customerId)
  const buyAll = async (): Promise<void> => {
    for (let misses = 0; misses < MISSES_MAX;) {
      const hasMore = await purchase().catch((error: unknown) => {
        // Another buyer was faster, or holds have to be counted again.
        if (isGatewayError(error, 'numbers_unavailable', 'number_busy', 'quantity_exceeded', 'store_unavailable'))
          return false
        throw error
      })
      misses = hasMore ? 0 : misses + 1
    }
  }
  await Promise.all(Array.from({ length: buyers }, buyAll))
}

/** What many do: look for a free one, then write that it is taken, with nothing to forbid the second one. */
const buyNaively =
  ({ database }: Shopping['store'], customerId: string): Purchase =>
  async () => {
    const { rows } = await database.query((db) =>
      sql<{ e164: string }>`select e164 from naive_numbers where not is_sold order by random() limit 1`.execute(db),
    )
    const number = rows[0]?.e164
    if (number === undefined) return false
    await database.transaction(async (tx) => {
      await sql`insert into naive_sales (e164, customer_id) values (${number}, ${customerId})`.execute(tx)
      await sql`update naive_numbers set is_sold = true where e164 = ${number}`.execute(tx)
    })
    return true
  }

function buyProperly({ database, sandbox }: Shopping['store'], customerId: string): Purchase {
  const ordering = new Ordering({
    database,
    settings: { providers: new Map([[sandbox.id, sandbox]]), agingDays: 90, providerWaitDays: 30 },
    clock: systemClock,
    wake: () => undefined,
  })
  const reservations = new Reservations({ database, clock: systemClock })
  const by = { customerId, actor: 'buyer' }
  const order = (terms: OrderTerms) =>
    ordering.place({ ...by, face: 'zilkr', productId: 'prd_sale', partialAllowed: false, metadata: {}, terms })
  return async () => {
    const choice = randomInt(4)
    const quantity = 1 + randomInt(3)
    if (choice < 2) {
      await order({ action: 'any', quantity, filter: {} })
      return true
    }
    const { reservationId } = await reservations.create({ ...by, productId: 'prd_sale', quantity, ttlSeconds: 60 })
    if (choice === 2) await order({ action: 'reserve', reservationIds: [reservationId] })
    // Some change their mind, and some never come back.
    else if (randomInt(2) === 0) await reservations.release({ ...by, reservationId })
    return true
  }
}
