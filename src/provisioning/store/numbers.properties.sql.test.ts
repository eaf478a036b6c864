import * as fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stockCustomers, stockNumbers, stockProduct } from '../../../test/support/number-stock.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { GatewayError } from '../../core/errors.ts'
import { expireBatch } from './expiry.ts'
import { claimAny, claimReserved } from './numbers-claims.ts'
import { findRuns } from './numbers-runs.ts'
import { putInService, releaseNumbers } from './numbers-transitions.ts'
import { Reservations } from './reservations.ts'

const STOCK = 8
const NUMBERS = Array.from({ length: STOCK }, (_, at) => `+1212555010${at}`)
const CUSTOMERS = ['cus_a', 'cus_b', 'cus_c']
const PRODUCT = 'prd_local'

/** What happens; `pick` chooses among what there is at that moment. */
type Step =
  | { readonly kind: 'reserveAny'; readonly customer: number; readonly quantity: number }
  | { readonly kind: 'claimAny'; readonly customer: number; readonly quantity: number }
  | { readonly kind: 'reserveNamed'; readonly customer: number; readonly numbers: readonly number[] }
  | ReservationStep
  | OrderStep
  | { readonly kind: 'end'; readonly pick: number }
  | { readonly kind: 'sweep' | 'age' }
type ReservationStep = { readonly kind: 'extend' | 'release' | 'lapse' | 'claimReserved'; readonly pick: number }
type OrderStep = { readonly kind: 'serve' | 'giveUp'; readonly pick: number }

const customer = fc.nat(CUSTOMERS.length - 1)
const quantity = fc.integer({ min: 1, max: 3 })
const pick = fc.nat(50)
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('reserveAny' as const), customer, quantity }),
  fc.record({ kind: fc.constant('claimAny' as const), customer, quantity }),
  fc.record({
    kind: fc.constant('reserveNamed' as const),
    customer,
    numbers: fc.uniqueArray(fc.nat(STOCK - 1), { minLength: 1, maxLength: 3 }),
  }),
  fc.record({ kind: fc.constantFrom<ReservationStep['kind']>('extend', 'release', 'lapse', 'claimReserved'), pick }),
  fc.record({ kind: fc.constantFrom<OrderStep['kind']>('serve', 'giveUp'), pick }),
  fc.record({ kind: fc.constant('end' as const), pick }),
  fc.record({ kind: fc.constantFrom<'sweep' | 'age'>('sweep', 'age') }),
)

/** One number as the tables have it, in words: `available`, `held rsv_1`, `lapsed rsv_1`, `ordered ord_1` … */
type Stand = ReadonlyMap<string, string>

describe.each(STORES)('whatever is done with numbers on %s', (store) => {
  let rig: TestProvisioning
  let reservations: Reservations
  let orders = 0
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    reservations = new Reservations({ database: rig.database, clock: rig.records.clock })
    await stockCustomers(rig.database, CUSTOMERS)
    await stockProduct(rig.database, { productId: PRODUCT, type: 'local' })
  })
  afterAll(() => rig.stop())

  const query = async <Row>(statement: ReturnType<typeof sql<Row>>): Promise<readonly Row[]> =>
    (await rig.database.query((db) => statement.execute(db))).rows

  async function reset(): Promise<void> {
    for (const table of ['reservation_items', 'reservations', 'numbers']) {
      await query(sql`delete from ${sql.table(table)}`)
    }
    await stockNumbers(rig.database, { start: '+12125550100', count: STOCK, productId: PRODUCT })
  }

  async function readStand(): Promise<Stand> {
    const rows = await query(sql<{ e164: string; stand: string }>`
      select e164, case when state <> 'reserved' then state
        when order_id is not null then 'ordered ' || order_id
        when reserved_until > now() then 'held ' || reservation_id else 'lapsed ' || reservation_id end as stand
      from numbers order by e164`)
    return new Map(rows.map(({ e164, stand }) => [e164, stand]))
  }

  /** The reservations there are, live or not; what `pick` chooses among. */
  const readReservations = () =>
    query(sql<{ id: string; customer: string }>`
      select reservation_id as id, customer_id as customer from reservations order by reservation_id`)
  /** Does it; undefined when it was refused, and the new id when there is one. */
  async function take(step: Step): Promise<string | undefined> {
    const { database } = rig
    switch (step.kind) {
      case 'reserveAny':
      case 'reserveNamed': {
        const who = { customerId: CUSTOMERS[step.customer] ?? '', actor: 'admin' }
        const what =
          step.kind === 'reserveAny'
            ? { productId: PRODUCT, quantity: step.quantity }
            : { numbers: step.numbers.map((at) => NUMBERS[at] ?? '') }
        return refusable(reservations.create({ ...who, ...what }).then(({ reservationId }) => reservationId))
      }
      case 'claimAny': {
        const orderId = `ord_${(orders += 1)}`
        const claim = { customerId: CUSTOMERS[step.customer] ?? '', orderId, productId: PRODUCT, filter: {} }
        await database.transaction((tx) => claimAny(tx, { ...claim, quantity: step.quantity }))
        return orderId
      }
      case 'sweep':
        await database.query((db) => expireBatch.holds(db, 100))
        await database.query((db) => expireBatch.reservations(db, 100))
        return undefined
      case 'age':
        await query(sql`update numbers set aging_until = now() - interval '1 second' where state = 'aging'`)
        await database.query((db) => expireBatch.aging(db, 100))
        return undefined
      case 'serve':
      case 'giveUp':
        return takeOrdered(step)
      case 'end': {
        const rows = await query(
          sql<{ e164: string }>`select e164 from numbers where state = 'in_service' order by e164`,
        )
        const number = rows[step.pick % Math.max(1, rows.length)]?.e164
        if (number !== undefined) {
          await database.transaction((tx) => releaseNumbers(tx, { numbers: [number], to: 'aging' }))
        }
        return number
      }
      case 'extend':
      case 'release':
      case 'lapse':
      case 'claimReserved':
        break
    }
    return takeReservation(step)
  }

  async function takeOrdered(step: OrderStep) {
    const rows = await query(sql<{ order: string; customer: string; numbers: readonly string[] }>`
      select order_id as "order", customer_id as customer, array_agg(e164 order by e164) as numbers from numbers
      where state = 'reserved' and order_id is not null group by 1, 2 order by 1`)
    const chosen = rows[step.pick % Math.max(1, rows.length)]
    if (chosen === undefined) return undefined
    const { customer: customerId, numbers } = chosen
    // With others at work on the same order it may be too late.
    return refusable(
      rig.database.transaction(async (tx) => {
        if (step.kind === 'serve') await putInService(tx, { numbers, customerId })
        else await releaseNumbers(tx, { numbers, to: 'available' })
        return chosen.order
      }),
    )
  }

  async function takeReservation(step: ReservationStep) {
    const all = await readReservations()
    const chosen = all[step.pick % Math.max(1, all.length)]
    if (chosen === undefined) return undefined
    const ref = { customerId: chosen.customer, reservationId: chosen.id, actor: 'admin' }
    if (step.kind === 'extend') await refusable(reservations.extend(ref))
    if (step.kind === 'release') await reservations.release(ref)
    if (step.kind === 'lapse') await lapse(chosen.id)
    if (step.kind === 'claimReserved') {
      const claim = { customerId: chosen.customer, orderId: `ord_${(orders += 1)}`, productId: PRODUCT }
      await rig.database.transaction((tx) => claimReserved(tx, { ...claim, reservationIds: [chosen.id] }))
      return `${chosen.id} ord_${orders}`
    }
    return chosen.id
  }

  /** Time passes for one reservation, in one transaction that locks as everybody does. */
  const lapse = (id: string) =>
    rig.database.transaction(async (tx) => {
      const past = sql`now() - interval '1 second'`
      await sql`update reservations set expires_at = ${past} where reservation_id = ${id}`.execute(tx)
      await sql`update numbers set reserved_until = ${past} where e164 in (
        select e164 from numbers where reservation_id = ${id} order by e164 for update)`.execute(tx)
      await sql`update reservation_items set expires_at = ${past}
        where reservation_id = ${id} and state = 'held'`.execute(tx)
    })

  /** What must be true of the tables at any moment. */
  async function findViolations(): Promise<readonly string[]> {
    const rows = await query(sql<{ text: string }>`
      select 'a number is lost' as text where (select count(*) from numbers) <> ${STOCK}::integer
      union all
      select e164 || ' is held without an item' from numbers n where state = 'reserved' and reservation_id is not null
        and not exists (select from reservation_items i where i.e164 = n.e164 and i.state = 'held'
          and i.reservation_id = n.reservation_id and i.expires_at = n.reserved_until)
      union all
      select i.e164 || ' has an item that holds nothing' from reservation_items i where i.state = 'held'
        and not exists (select from numbers n where n.e164 = i.e164 and n.state = 'reserved'
          and n.reservation_id = i.reservation_id)
      union all
      select n.e164 || ' is held for another customer' from numbers n join reservations r using (reservation_id)
        where r.customer_id <> n.customer_id
      union all
      select e164 || ' belongs to an order and a reservation' from numbers where order_id is not null and reservation_id is not null
      union all
      select e164 || ' is free and somebody''s' from numbers where state = 'available'
        and (customer_id is not null or order_id is not null or reserved_until is not null)
      union all
      select reservation_id || ' is ' || state || ' and holds something' from reservations r where state <> 'active'
        and exists (select from reservation_items i where i.reservation_id = r.reservation_id and i.state = 'held')`)
    return rows.map(({ text }) => text)
  }

  test('one thing after the other: what is expected of it, number by number', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(stepArbitrary, { minLength: 5, maxLength: 25 }), async (steps) => {
        await reset()
        for (const step of steps) {
          const before = await readStand()
          const all = await readReservations()
          const outcome = await take(step)
          const expected = foresee(before, step, {
            outcome,
            reservations: all.map(({ id }) => id),
            orders: openOrders(before),
          })
          expect({ step, stand: [...(await readStand())] }).toEqual({ step, stand: [...expected] })
          expect(await findViolations()).toEqual([])
        }
      }),
      { numRuns: store === 'pglite' ? 25 : 40 },
    )
  })

  test('several at once: never two holders, never a lost number', async () => {
    const rounds = fc.array(fc.array(stepArbitrary, { minLength: 2, maxLength: 6 }), { minLength: 3, maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(rounds, async (batches) => {
        await reset()
        for (const steps of batches) {
          await Promise.all(steps.map(take))
          expect(await findViolations()).toEqual([])
        }
      }),
      { numRuns: store === 'pglite' ? 20 : 60 },
    )
  })

  test('runs are the ones there are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.nat(STOCK - 1), { maxLength: STOCK }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 4 }),
        async (taken, length, limit) => {
          await reset()
          const gone = taken.map((at) => NUMBERS[at] ?? '')
          await query(sql`update numbers set state = 'reserved', order_id = 'ord_x' where e164 = any(${gone}::text[])`)
          const found = await rig.database.query((db) =>
            findRuns(db, { criteria: { productId: PRODUCT }, length, limit }),
          )
          const starts: string[] = []
          for (let at = 0; at + length <= STOCK && starts.length < limit;) {
            const isRun = NUMBERS.slice(at, at + length).every((number) => !gone.includes(number))
            if (isRun) starts.push(NUMBERS[at] ?? '')
            at += isRun ? length : 1
          }
          expect(found).toEqual(starts)
        },
      ),
      { numRuns: 40 },
    )
  })
})

/** Undefined when it is refused as it may be, with a number or a reservation that is no longer there. */
const refusable = <Result>(work: Promise<Result>): Promise<Result | undefined> =>
  work.catch((error: unknown) => {
    const may = ['numbers_unavailable', 'reservation_ended', 'internal']
    if (error instanceof GatewayError && may.includes(error.code) && isExpected(error)) return undefined
    throw error
  })

/** `internal` is what `putInService` says of numbers that are not on their way, and nothing else. */
const isExpected = ({ code, cause }: GatewayError): boolean =>
  code !== 'internal' || (cause instanceof Error && cause.message.includes('were not on their way'))

/** How all numbers stand after a step that was taken alone. */
function foresee(
  before: Stand,
  step: Step,
  known: {
    readonly outcome: string | undefined
    readonly reservations: readonly string[]
    readonly orders: readonly string[]
  },
): Stand {
  const { outcome, reservations, orders } = known
  const after = new Map(before)
  const those = (isWanted: (stand: string) => boolean) => [...before].filter(([, stand]) => isWanted(stand))
  const set = (numbers: readonly (readonly [string, string])[], stand: string) => {
    for (const [number] of numbers) after.set(number, stand)
  }
  const free = [...those((stand) => stand === 'available'), ...those((stand) => stand.startsWith('lapsed '))]
  const at = 'pick' in step ? step.pick : 0
  const reservation = reservations[at % Math.max(1, reservations.length)]
  switch (step.kind) {
    case 'reserveAny':
      if (free.length >= step.quantity) set(free.slice(0, step.quantity), `held ${outcome}`)
      break
    case 'claimAny':
      set(free.slice(0, step.quantity), `ordered ${outcome}`)
      break
    case 'reserveNamed': {
      const named = new Set(step.numbers.map((number) => NUMBERS[number]))
      const found = free.filter(([number]) => named.has(number))
      if (found.length === named.size) set(found, `held ${outcome}`)
      break
    }
    case 'lapse':
      set(
        those((stand) => stand === `held ${reservation}`),
        `lapsed ${reservation}`,
      )
      break
    case 'release':
      set(
        those((stand) => stand === `held ${reservation}` || stand === `lapsed ${reservation}`),
        'available',
      )
      break
    case 'claimReserved':
      set(
        those((stand) => stand === `held ${reservation}`),
        `ordered ${outcome?.split(' ')[1]}`,
      )
      break
    case 'sweep':
      set(
        those((stand) => stand.startsWith('lapsed ')),
        'available',
      )
      break
    case 'age':
      set(
        those((stand) => stand === 'aging'),
        'available',
      )
      break
    case 'giveUp':
      set(
        those((stand) => stand === `ordered ${orders.toSorted()[at % Math.max(1, orders.length)]}`),
        'available',
      )
      break
    case 'serve':
      set(
        those((stand) => stand === `ordered ${orders.toSorted()[at % Math.max(1, orders.length)]}`),
        'in_service',
      )
      break
    case 'end':
      if (outcome !== undefined) after.set(outcome, 'aging')
      break
    case 'extend':
      break
  }
  return after
}

/** Orders that have numbers. */
const openOrders = (stand: Stand) =>
  [...new Set([...stand.values()].filter((text) => text.startsWith('ordered ')))].map((text) => text.slice(8))
