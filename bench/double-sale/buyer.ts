import { randomInt } from 'node:crypto'
import { sql } from 'kysely'
import { systemClock } from '../../src/core/clock.ts'
import { isGatewayError } from '../../src/core/errors.ts'
import { Ordering } from '../../src/provisioning/engine/ordering.ts'
import type { OrderTerms } from '../../src/provisioning/model/order-terms.ts'
import { Reservations } from '../../src/provisioning/store/reservations.ts'
import { openStore } from './store.ts'

/** Buys until nothing is left or it is killed: `buyer.ts <database url> <customer> <buyers at once> <naive|real>`. */
const [url = '', customerId = '', buyers = '4', mode = 'real'] = process.argv.slice(2)
const store = await openStore(url)
const { database, sandbox } = store
const ordering = new Ordering({
  database,
  settings: { providers: new Map([[sandbox.id, sandbox]]), agingDays: 90 },
  clock: systemClock,
  wake: () => undefined,
})
const reservations = new Reservations({ database, clock: systemClock })
const by = { customerId, actor: 'buyer' }

/** Whether there may be more to buy. */
type Purchase = () => Promise<boolean>

/** What many do: look for a free one, then write that it is taken, with nothing to forbid the second one. */
const buyNaively: Purchase = () =>
  database.transaction(async (tx) => {
    const { rows } = await sql<{ e164: string }>`
      select e164 from naive_numbers where not is_sold order by random() limit 1`.execute(tx)
    const number = rows[0]?.e164
    if (number === undefined) return false
    await sql`insert into naive_sales (e164, customer_id) values (${number}, ${customerId})`.execute(tx)
    await sql`update naive_numbers set is_sold = true where e164 = ${number}`.execute(tx)
    return true
  })

const order = (terms: OrderTerms) =>
  ordering.place({ ...by, face: 'zilkr', productId: 'prd_sale', partialAllowed: false, metadata: {}, terms })

const buy: Purchase = async () => {
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

async function shop(): Promise<void> {
  const purchase = mode === 'naive' ? buyNaively : buy
  for (let misses = 0; misses < 20;) {
    const hasMore = await purchase().catch((error: unknown) => {
      // Another buyer was faster, or holds have to be counted again.
      if (isGatewayError(error, 'numbers_unavailable', 'number_busy', 'quantity_exceeded', 'store_unavailable'))
        return false
      throw error
    })
    misses = hasMore ? 0 : misses + 1
  }
}

await Promise.all(Array.from({ length: Number(buyers) }, shop))
await store.close()
