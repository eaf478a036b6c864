import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { stockCustomers, stockNumbers, stockProduct } from '../../../test/support/number-stock.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import type { Queries } from './database.ts'
import { claimAny, claimPortIn, claimRange, claimReserved } from './numbers-claims.ts'
import { putInService, releaseNumbers } from './numbers-transitions.ts'

const FOR_A = { productId: 'prd_local', customerId: 'cus_a', orderId: 'ord_a' }
const FOR_B = { productId: 'prd_local', customerId: 'cus_b', orderId: 'ord_b' }

describe.each(STORES)('claims on numbers on %s', (store) => {
  let rig: TestProvisioning
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    await stockCustomers(rig.database, ['cus_a', 'cus_b'])
    await stockProduct(rig.database, { productId: 'prd_local', type: 'local' })
    await stockProduct(rig.database, { productId: 'prd_other', type: 'local' })
  })
  afterAll(() => rig.stop())
  beforeEach(async () => {
    await rig.database.query(async (db) => {
      await sql`delete from reservation_items`.execute(db)
      await sql`delete from reservations`.execute(db)
      await sql`delete from numbers`.execute(db)
    })
    await stockNumbers(rig.database, { start: '+12125550100', count: 10, productId: 'prd_local', features: ['voice'] })
    await stockNumbers(rig.database, { start: '+12125550110', count: 2, productId: 'prd_other' })
  })

  const inTransaction = <Result>(work: (tx: Queries) => Promise<Result>) => rig.database.transaction(work)
  const stateOf = async (e164: string) => {
    const row = await rig.database.query((db) =>
      db
        .selectFrom('numbers')
        .select(['state', 'customer_id', 'order_id', 'reservation_id'])
        .where('e164', '=', e164)
        .executeTakeFirst(),
    )
    return row && [row.state, row.customer_id, row.order_id ?? row.reservation_id].join(' ').trimEnd()
  }
  /** As a reservation leaves them; `until` is relative to now. */
  const hold = (numbers: readonly string[], { id = 'rsv_a', customerId = 'cus_a', until = '10 minutes' } = {}) =>
    rig.database.query(async (db) => {
      await sql`insert into reservations (reservation_id, customer_id, state, ttl_seconds, expires_at, max_expires_at)
        values (${id}, ${customerId}, 'active', 600, now() + ${until}::interval, now() + '2 hours')`.execute(db)
      await sql`insert into reservation_items (reservation_id, e164, state, expires_at)
        select ${id}, unnest(${[...numbers]}::text[]), 'held', now() + ${until}::interval`.execute(db)
      await sql`update numbers set state = 'reserved', customer_id = ${customerId}, reservation_id = ${id},
        reserved_until = now() + ${until}::interval where e164 = any(${[...numbers]}::text[])`.execute(db)
    })
  const itemStates = async () => {
    const { rows } = await rig.database.query((db) =>
      sql<{ text: string }>`select right(e164, 3) || ' ' || state as text from reservation_items order by e164`.execute(
        db,
      ),
    )
    return rows.map(({ text }) => text)
  }
  const reservationState = async (id: string) =>
    (
      await rig.database.query((db) =>
        db.selectFrom('reservations').select('state').where('reservation_id', '=', id).executeTakeFirst(),
      )
    )?.state

  test('any: the first free ones of the product, and fewer when there are no more', async () => {
    expect(await inTransaction((tx) => claimAny(tx, { ...FOR_A, filter: {}, quantity: 3 }))).toEqual([
      '+12125550100',
      '+12125550101',
      '+12125550102',
    ])
    expect(await inTransaction((tx) => claimAny(tx, { ...FOR_B, filter: { endsWith: '3' }, quantity: 2 }))).toEqual([
      '+12125550103',
    ])
    expect(await inTransaction((tx) => claimAny(tx, { ...FOR_B, filter: {}, quantity: 20 }))).toHaveLength(6)
    expect(await stateOf('+12125550102')).toBe('reserved cus_a ord_a')
    expect(await stateOf('+12125550103')).toBe('reserved cus_b ord_b')
    expect(await stateOf('+12125550110')).toBe('available')
  })

  test('any: a live hold is respected, a lapsed one is taken over and ended, after what is free', async () => {
    await hold(['+12125550100'])
    await hold(['+12125550101', '+12125550102'], { id: 'rsv_b', customerId: 'cus_b', until: '-1 second' })
    expect(await inTransaction((tx) => claimAny(tx, { ...FOR_A, filter: {}, quantity: 8 }))).toEqual([
      '+12125550101',
      '+12125550103',
      '+12125550104',
      '+12125550105',
      '+12125550106',
      '+12125550107',
      '+12125550108',
      '+12125550109',
    ])
    expect(await itemStates()).toEqual(['100 held', '101 expired', '102 held'])
    expect(await stateOf('+12125550101')).toBe('reserved cus_a ord_a')
  })

  test('a transaction that is rolled back has claimed nothing', async () => {
    await hold(['+12125550100'], { until: '-1 second' })
    const failing = inTransaction(async (tx) => {
      await claimAny(tx, { ...FOR_A, filter: {}, quantity: 10 })
      throw new Error('no')
    })
    await expect(failing).rejects.toMatchObject({ code: 'internal' })
    expect(await itemStates()).toEqual(['100 held'])
    expect(await stateOf('+12125550105')).toBe('available')
  })

  test('any: in rows of three', async () => {
    await hold(['+12125550101', '+12125550105'])
    const claim = { ...FOR_A, filter: { consecutive: 3 }, quantity: 5 }
    expect(await inTransaction((tx) => claimAny(tx, claim))).toEqual([
      '+12125550102',
      '+12125550103',
      '+12125550104',
      '+12125550106',
      '+12125550107',
    ])
  })

  test.each([
    ['all of them', '+12125550102', 4, ['+12125550102', '+12125550103', '+12125550104', '+12125550105']],
    ['none when one is held', '+12125550106', 3, []],
    ['none when it goes beyond the inventory', '+12125550199', 2, []],
    ['none when it goes on with another product', '+12125550109', 2, []],
  ])('range: %s', async (_, start, size, expected) => {
    await hold(['+12125550108'])
    expect(await inTransaction((tx) => claimRange(tx, { ...FOR_A, start, size }))).toEqual(expected)
    expect(await stateOf('+12125550107')).toBe('available')
  })

  test('reserved: what is named is consumed and the rest stays held, until nothing is left', async () => {
    await hold(['+12125550100', '+12125550101', '+12125550102'])
    const claim = { ...FOR_A, reservationIds: ['rsv_a'] }
    const named = { ...claim, numbers: ['+12125550101', '+12125550109'] }
    expect(await inTransaction((tx) => claimReserved(tx, named))).toEqual(['+12125550101'])
    expect(await itemStates()).toEqual(['100 held', '101 consumed', '102 held'])
    expect(await reservationState('rsv_a')).toBe('active')
    expect(await stateOf('+12125550101')).toBe('reserved cus_a ord_a')
    expect(await inTransaction((tx) => claimReserved(tx, claim))).toEqual(['+12125550100', '+12125550102'])
    expect(await reservationState('rsv_a')).toBe('consumed')
    expect(await inTransaction((tx) => claimReserved(tx, claim))).toEqual([])
  })

  test("reserved: neither another customer's hold nor one that has lapsed", async () => {
    await hold(['+12125550100'], { id: 'rsv_b', customerId: 'cus_b' })
    await hold(['+12125550101'], { id: 'rsv_old', until: '-1 second' })
    const claim = { ...FOR_A, reservationIds: ['rsv_b', 'rsv_old', 'rsv_none'] }
    expect(await inTransaction((tx) => claimReserved(tx, claim))).toEqual([])
    expect(await itemStates()).toEqual(['100 held', '101 held'])
  })

  test('porting in: what is ours, or on its way, is left out; what left us may come back', async () => {
    const numbers = ['+442079460001', '+12125550100', '+12125550199', '+442079460001']
    expect(await inTransaction((tx) => claimPortIn(tx, { ...FOR_A, numbers }))).toEqual([
      '+12125550199',
      '+442079460001',
    ])
    expect(await inTransaction((tx) => claimPortIn(tx, { ...FOR_B, numbers }))).toEqual([])
    expect(await stateOf('+442079460001')).toBe('port_in cus_a ord_a')
    await inTransaction((tx) => releaseNumbers(tx, { numbers: ['+442079460001'], to: 'available' }))
    expect(await stateOf('+442079460001')).toBe('removed')
    expect(await inTransaction((tx) => claimPortIn(tx, { ...FOR_B, numbers }))).toEqual(['+442079460001'])
    const { rows } = await rig.database.query((db) =>
      sql<{ country: string }>`select country from numbers where state = 'port_in' order by e164`.execute(db),
    )
    expect(rows).toEqual([{ country: 'US' }, { country: 'GB' }])
  })

  test('into service, and out of it by way of aging', async () => {
    await inTransaction((tx) => claimRange(tx, { ...FOR_A, start: '+12125550100', size: 2 }))
    const numbers = ['+12125550100', '+12125550101']
    await inTransaction((tx) => putInService(tx, { numbers, customerId: 'cus_a' }))
    expect(await stateOf('+12125550100')).toBe('in_service cus_a')
    await inTransaction((tx) => releaseNumbers(tx, { numbers: ['+12125550100'], to: 'aging', agingDays: 30 }))
    await inTransaction((tx) => releaseNumbers(tx, { numbers: ['+12125550101'], to: 'available' }))
    expect(await stateOf('+12125550100')).toBe('aging')
    expect(await stateOf('+12125550101')).toBe('available')
    const { rows } = await rig.database.query((db) =>
      sql<{ days: number }>`select extract(day from aging_until - now())::integer as days from numbers
        where state = 'aging'`.execute(db),
    )
    expect(rows).toEqual([{ days: 29 }])
  })

  test("putting another customer's number into service is a mistake that changes nothing", async () => {
    await inTransaction((tx) => claimRange(tx, { ...FOR_A, start: '+12125550100', size: 1 }))
    await inTransaction((tx) => claimRange(tx, { ...FOR_B, start: '+12125550101', size: 1 }))
    const numbers = ['+12125550100', '+12125550101']
    await expect(inTransaction((tx) => putInService(tx, { numbers, customerId: 'cus_a' }))).rejects.toMatchObject({
      code: 'internal',
      cause: { message: '1 of 2 numbers were not on their way to the customer' },
    })
    expect(await stateOf('+12125550100')).toBe('reserved cus_a ord_a')
  })

  test('releasing leaves holds, free and removed numbers alone', async () => {
    await hold(['+12125550100'])
    const numbers = ['+12125550100', '+12125550101']
    await inTransaction((tx) => releaseNumbers(tx, { numbers, to: 'removed' }))
    expect(await stateOf('+12125550100')).toBe('reserved cus_a rsv_a')
    expect(await stateOf('+12125550101')).toBe('available')
  })

  test('forty buyers at once share ten numbers, each of which is had by one', async () => {
    const buyers = Array.from({ length: 40 }, (_, buyer) => (buyer % 2 === 0 ? FOR_A : FOR_B))
    const claimed = await Promise.all(
      buyers.map((buyer, at) =>
        inTransaction((tx) =>
          at % 5 === 0
            ? claimRange(tx, { ...buyer, start: '+12125550104', size: 2 })
            : claimAny(tx, { ...buyer, filter: {}, quantity: 1 }),
        ),
      ),
    )
    const numbers = claimed.flat()
    expect(new Set(numbers).size).toBe(numbers.length)
    expect(numbers).toHaveLength(10)
  })
})
