import { sql } from 'kysely'
import { stockCustomers } from '../../test/support/number-stock.ts'
import { systemClock } from '../../src/core/clock.ts'
import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'
import { Reservations } from '../../src/provisioning/store/reservations.ts'

const PRODUCT = 'prd_us'

/** Takes one number; rejects when there is none. */
type Take = (buyer: number) => Promise<unknown>

export type ReserverFigures = { readonly bare: readonly number[]; readonly ours: readonly number[] }

/**
 * Buyers at once, each for one number after the other: by reservations, with all that these are (customer, limit,
 * hold, audit trail), and by the bare claim: one UPDATE of one row, found with SKIP LOCKED, that says who has it and
 * until when. In turn, `claims` each time; numbers a second.
 */
export async function compareReservers(
  database: ProvisioningDatabase,
  { buyers, claims, rounds }: { readonly buyers: number; readonly claims: number; readonly rounds: number },
): Promise<ReserverFigures> {
  const customers = Array.from({ length: buyers }, (_, buyer) => `cus_${buyer}`)
  await stockCustomers(database, customers)
  const reservations = new Reservations({ database, clock: systemClock })
  const reserve: Take = (buyer) =>
    reservations.create({ customerId: customers[buyer] ?? '', actor: 'admin', productId: PRODUCT, quantity: 1 })
  const claim: Take = async (buyer) => {
    const { rows } = await database.query((db) =>
      sql`update numbers set state = 'reserved', customer_id = ${customers[buyer]}, reservation_id = 'bare',
          reserved_until = now() + interval '15 minutes'
        where e164 = (select e164 from numbers where product_id = ${PRODUCT} and state = 'available'
          order by e164 limit 1 for update skip locked)
        returning e164`.execute(db),
    )
    if (rows.length !== 1) throw new Error('the bare claim found no number')
  }
  const bare: number[] = []
  const ours: number[] = []
  // The first of each is for the pool's connections and the processors.
  for (let round = 0; round < rounds + 1; round += 1) {
    const inTurn = round % 2 === 0 ? [claim, reserve] : [reserve, claim]
    for (const take of inTurn) {
      const perSecond = await pace(take, { buyers, claims })
      if (round > 0) (take === claim ? bare : ours).push(perSecond)
      await giveBack(database)
    }
  }
  return { bare, ours }
}

async function pace(
  take: Take,
  { buyers, claims }: { readonly buyers: number; readonly claims: number },
): Promise<number> {
  let left = claims
  const startedAt = performance.now()
  await Promise.all(
    Array.from({ length: buyers }, async (_, buyer) => {
      while (left > 0) {
        left -= 1
        await take(buyer)
      }
    }),
  )
  return claims / ((performance.now() - startedAt) / 1_000)
}

/** What was there before, for the next: the same numbers are free, and no dead rows are in the way. */
async function giveBack(database: ProvisioningDatabase): Promise<void> {
  await database.query(async (db) => {
    await sql`delete from reservation_items`.execute(db)
    await sql`delete from reservations`.execute(db)
    await sql`update numbers set state = 'available', customer_id = null, order_id = null, reservation_id = null,
      reserved_until = null where state = 'reserved'`.execute(db)
    for (const table of ['numbers', 'reservations', 'reservation_items', 'customers']) {
      await sql`vacuum ${sql.table(table)}`.execute(db)
    }
  })
}
