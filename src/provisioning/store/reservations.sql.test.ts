import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { stockCustomers, stockNumbers, stockProduct } from '../../../test/support/number-stock.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { checkAudit } from './audit-check.ts'
import { claimReserved } from './numbers-claims.ts'
import { Reservations } from './reservations.ts'

const A = { customerId: 'cus_a', actor: 'admin' }
const B = { customerId: 'cus_b', actor: 'key:pky_1' }
const MINUTE = 60_000

describe.each(STORES)('reservations on %s', (store) => {
  let rig: TestProvisioning
  let reservations: Reservations
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    reservations = new Reservations({ database: rig.database, clock: rig.records.clock })
    await stockCustomers(rig.database, ['cus_a', 'cus_b'])
    await stockProduct(rig.database, { productId: 'prd_local', type: 'local' })
  })
  afterAll(() => rig.stop())
  beforeEach(async () => {
    for (const table of ['reservation_items', 'reservations', 'numbers']) {
      await rig.database.query((db) => sql`delete from ${sql.table(table)}`.execute(db))
    }
    await stockNumbers(rig.database, { start: '+12125550100', count: 10, productId: 'prd_local' })
  })

  /** Moves all holds into the past, which is what time does. */
  const lapse = async () => {
    await rig.database.query(async (db) => {
      await sql`update reservations set expires_at = now() - interval '1 second', created_at = now() - interval '1 hour'`.execute(
        db,
      )
      await sql`update reservation_items set expires_at = now() - interval '1 second'`.execute(db)
      await sql`update numbers set reserved_until = now() - interval '1 second' where reserved_until is not null`.execute(
        db,
      )
    })
  }
  const numbersIn = async (state: string) => {
    const { rows } = await rig.database.query((db) =>
      sql<{ e164: string }>`select e164 from numbers where state = ${state} order by e164`.execute(db),
    )
    return rows.map(({ e164 }) => e164)
  }

  test('any number of a product is held for 15 minutes', async () => {
    const made = await reservations.create({ ...A, productId: 'prd_local', quantity: 2 })
    expect(made).toMatchObject({
      customerId: 'cus_a',
      state: 'active',
      ttlSeconds: 900,
      extendedCount: 0,
      items: [
        { number: '+12125550100', state: 'held', expiresAt: made.expiresAt },
        { number: '+12125550101', state: 'held', expiresAt: made.expiresAt },
      ],
    })
    expect(made.expiresAt - made.createdAt).toBe(15 * MINUTE)
    expect(made.maxExpiresAt - made.createdAt).toBe(120 * MINUTE)
    expect(await reservations.find({ ...A, reservationId: made.reservationId })).toEqual(made)
    expect(await numbersIn('reserved')).toEqual(['+12125550100', '+12125550101'])
  })

  test('one number, the first that is free; when none is, the one whose hold has lapsed', async () => {
    const any = { productId: 'prd_local', quantity: 1 }
    const first = await reservations.create({ ...A, ...any, ttlSeconds: 120 })
    expect(first).toMatchObject({ ttlSeconds: 120, items: [{ number: '+12125550100', state: 'held' }] })
    expect(await reservations.find({ ...A, reservationId: first.reservationId })).toEqual(first)
    await lapse()
    await reservations.create({ ...B, productId: 'prd_local', quantity: 9 })
    expect(await reservations.create({ ...B, ...any })).toMatchObject({ items: [{ number: '+12125550100' }] })
    expect(await failureOf(reservations.create({ ...A, ...any }))).toMatchObject({
      code: 'numbers_unavailable',
      fields: { available: 0 },
    })
    expect(await reservations.find({ ...A, reservationId: first.reservationId })).toMatchObject({ state: 'expired' })
  })

  test('named numbers are held together or not at all, and those in question are told', async () => {
    await reservations.create({ ...A, numbers: ['+12125550103'] })
    const numbers = ['+12125550102', '+12125550103', '+12125550199']
    expect(await failureOf(reservations.create({ ...B, numbers }))).toMatchObject({
      code: 'numbers_unavailable',
      fields: { numbers: ['+12125550103', '+12125550199'] },
    })
    expect(await numbersIn('reserved')).toEqual(['+12125550103'])
    const made = await reservations.create({ ...B, numbers: ['+12125550105', '+12125550104', '+12125550105'] })
    expect(made.items.map(({ number }) => number)).toEqual(['+12125550104', '+12125550105'])
  })

  test('fewer than asked for are not held', async () => {
    const request = { ...A, productId: 'prd_local', quantity: 3, filter: { startsWith: '21255501', endsWith: '1' } }
    expect(await failureOf(reservations.create(request))).toMatchObject({
      code: 'numbers_unavailable',
      fields: { available: 1 },
    })
    expect(await numbersIn('reserved')).toEqual([])
    expect(await reservations.list('cus_a', { limit: 10 })).toEqual({ items: [] })
  })

  test('numbers in a row', async () => {
    await reservations.create({ ...B, numbers: ['+12125550102'] })
    const made = await reservations.create({ ...A, productId: 'prd_local', quantity: 4, filter: { consecutive: 4 } })
    expect(made.items.map(({ number }) => number)).toEqual([
      '+12125550103',
      '+12125550104',
      '+12125550105',
      '+12125550106',
    ])
    const more = { ...A, productId: 'prd_local', quantity: 4, filter: { consecutive: 4 } }
    expect(await failureOf(reservations.create(more))).toMatchObject({ code: 'numbers_unavailable' })
  })

  test('a lapsed hold is over, whoever asks: its numbers go to the next', async () => {
    const first = await reservations.create({ ...A, numbers: ['+12125550100', '+12125550101'] })
    await lapse()
    const ref = { ...A, reservationId: first.reservationId }
    expect(await reservations.find(ref)).toMatchObject({
      state: 'expired',
      items: [{ state: 'expired' }, { state: 'expired' }],
    })
    const second = await reservations.create({ ...B, numbers: ['+12125550100'] })
    expect(second.items).toMatchObject([{ number: '+12125550100', state: 'held' }])
    expect(await failureOf(reservations.extend(ref))).toMatchObject({
      code: 'reservation_ended',
      fields: { state: 'expired' },
    })
    await reservations.release(ref)
    expect(await numbersIn('reserved')).toEqual(['+12125550100'])
    expect(await reservations.find({ ...B, reservationId: second.reservationId })).toMatchObject({ state: 'active' })
    expect(await reservations.find(ref)).toMatchObject({ state: 'expired' })
  })

  test('an extension counts from now on, and ends two hours after the beginning', async () => {
    const made = await reservations.create({ ...A, numbers: ['+12125550100'], ttlSeconds: 60 })
    const ref = { ...A, reservationId: made.reservationId }
    const extended = await reservations.extend({ ...ref, ttlSeconds: 3_600 })
    expect(extended.extendedCount).toBe(1)
    expect(extended.expiresAt - made.createdAt).toBeGreaterThanOrEqual(60 * MINUTE)
    expect(extended.expiresAt - made.createdAt).toBeLessThan(61 * MINUTE)
    expect(extended.items).toEqual([{ number: '+12125550100', state: 'held', expiresAt: extended.expiresAt }])
    // An hour and a half later:
    await rig.database.query((db) =>
      sql`update reservations set max_expires_at = max_expires_at - interval '90 minutes'`.execute(db),
    )
    const capped = await reservations.extend({ ...ref, ttlSeconds: 7_200 })
    expect(capped.expiresAt).toBe(extended.expiresAt)
    await rig.database.query((db) =>
      sql`update reservations set max_expires_at = expires_at + interval '1 second'`.execute(db),
    )
    expect((await reservations.extend({ ...ref, ttlSeconds: 7_200 })).expiresAt).toBe(extended.expiresAt + 1_000)
  })

  test('a release gives back what is still held, once', async () => {
    const { reservationId } = await reservations.create({ ...A, numbers: ['+12125550100', '+12125550101'] })
    await rig.database.transaction((tx) =>
      claimReserved(tx, {
        reservationIds: [reservationId],
        numbers: ['+12125550101'],
        productId: 'prd_local',
        customerId: 'cus_a',
        orderId: 'ord_1',
      }),
    )
    const released = await reservations.release({ ...A, reservationId })
    expect(released).toMatchObject({ state: 'released', items: [{ state: 'released' }, { state: 'consumed' }] })
    expect(await reservations.release({ ...A, reservationId })).toEqual(released)
    expect(await numbersIn('reserved')).toEqual(['+12125550101'])
  })

  test("another customer's reservation is not there", async () => {
    const { reservationId } = await reservations.create({ ...A, numbers: ['+12125550100'] })
    for (const attempt of ['find', 'extend', 'release'] as const) {
      expect(await failureOf(reservations[attempt]({ ...B, reservationId }))).toMatchObject({
        code: 'reservation_not_found',
      })
    }
    expect(await numbersIn('reserved')).toEqual(['+12125550100'])
  })

  test('neither an unknown customer, nor a removed or suspended one, holds anything', async () => {
    const request = { numbers: ['+12125550100'], actor: 'admin' }
    expect(await failureOf(reservations.create({ ...request, customerId: 'cus_x' }))).toMatchObject({
      code: 'customer_not_found',
    })
    await stockCustomers(rig.database, ['cus_gone'])
    await rig.database.query((db) =>
      db.updateTable('customers').set({ removed_at: new Date() }).where('customer_id', '=', 'cus_gone').execute(),
    )
    expect(await failureOf(reservations.create({ ...request, customerId: 'cus_gone' }))).toMatchObject({
      code: 'customer_not_found',
    })
    await stockCustomers(rig.database, ['cus_late'])
    await rig.database.query((db) =>
      db.updateTable('customers').set({ status: 'suspended' }).where('customer_id', '=', 'cus_late').execute(),
    )
    const late = { actor: 'admin', customerId: 'cus_late', productId: 'prd_local', quantity: 1 }
    expect(await failureOf(reservations.create(late))).toMatchObject({ code: 'customer_inactive' })
    expect(await numbersIn('reserved')).toEqual([])
  })

  test('lists go on where the page before ended, and can be of one state', async () => {
    const ids: string[] = []
    for (const end of ['100', '101', '102']) {
      ids.push((await reservations.create({ ...A, numbers: [`+12125550${end}`] })).reservationId)
      rig.records.clock.advance(1)
    }
    await reservations.release({ ...A, reservationId: ids[1] ?? '' })
    const idsOf = async (page: Parameters<Reservations['list']>[1]) =>
      (await reservations.list('cus_a', page)).items.map(({ reservationId }) => reservationId)
    const first = await reservations.list('cus_a', { limit: 2 })
    expect(first.items.map(({ reservationId }) => reservationId)).toEqual(ids.slice(0, 2))
    expect(await idsOf({ limit: 2, cursor: first.cursor })).toEqual(ids.slice(2))
    expect(await idsOf({ limit: 5, sort: '-createdAt' })).toEqual(ids.toReversed())
    expect(await idsOf({ limit: 5, equals: { state: 'active' } })).toEqual([ids[0], ids[2]])
    await lapse()
    expect(await idsOf({ limit: 5, equals: { state: 'expired' } })).toEqual([ids[0], ids[2]])
  })

  test('one reservation holds at most 500 numbers, and a customer 1,000 at the same time, even when asked at once', async () => {
    await stockNumbers(rig.database, { start: '+12125551000', count: 2_000, productId: 'prd_local' })
    const request = { ...A, productId: 'prd_local' }
    expect(await failureOf(reservations.create({ ...request, quantity: 501 }))).toMatchObject({
      code: 'quantity_exceeded',
      fields: { maximum: 500 },
    })
    const made = await Promise.allSettled(
      Array.from({ length: 5 }, () => reservations.create({ ...request, quantity: 400 })),
    )
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(2)
    expect(made.find((result) => result.status === 'rejected')?.reason).toMatchObject({
      code: 'quantity_exceeded',
      fields: { maximum: 1000 },
    })
    await reservations.create({ ...request, quantity: 200 })
    expect(await numbersIn('reserved')).toHaveLength(1_000)
    expect(await failureOf(reservations.create({ ...request, quantity: 1 }))).toMatchObject({
      code: 'quantity_exceeded',
    })
    await lapse()
    await reservations.create({ ...request, quantity: 1 })
  })

  test('what is to be kept with it is kept in the same transaction', async () => {
    const failing = reservations.create(
      { ...A, numbers: ['+12125550100'] },
      { inTransaction: () => Promise.reject(new Error('the answer could not be kept')) },
    )
    await expect(failing).rejects.toMatchObject({ code: 'internal' })
    expect(await numbersIn('reserved')).toEqual([])
  })

  test('everything is audited in the chain of the customer', async () => {
    await stockCustomers(rig.database, ['cus_audited'])
    const who = { customerId: 'cus_audited', actor: 'key:pky_9' }
    const { reservationId } = await reservations.create({ ...who, numbers: ['+12125550100'], correlationId: 'cor_1' })
    await reservations.extend({ ...who, reservationId })
    await reservations.release({ ...who, reservationId })
    await reservations.release({ ...who, reservationId })
    const entries = await rig.database.query((db) =>
      db
        .selectFrom('audit')
        .select(['seq', 'actor', 'entity', 'entity_id', 'action', 'after', 'correlation_id'])
        .where('chain', '=', 'cus_audited')
        .orderBy('seq')
        .execute(),
    )
    const shared = { actor: 'key:pky_9', entity: 'reservation', entity_id: reservationId }
    expect(entries).toMatchObject([
      { ...shared, seq: 1, action: 'create', after: { numbers: ['+12125550100'] }, correlation_id: 'cor_1' },
      { ...shared, seq: 2, action: 'extend' },
      { ...shared, seq: 3, action: 'release', after: { numbers: ['+12125550100'] } },
    ])
    expect(entries).toHaveLength(3)
    expect(await rig.database.query((db) => checkAudit(db, { chain: 'cus_audited', count: 10 }))).toEqual({
      length: 3,
      checkedTo: 3,
    })
  })

  test('forty customers at once share ten numbers, each of which is had by one', async () => {
    const made = await Promise.allSettled(
      Array.from({ length: 40 }, (_, at) =>
        reservations.create({ ...(at % 2 === 0 ? A : B), productId: 'prd_local', quantity: 1 }),
      ),
    )
    const numbers = made.flatMap((result) => (result.status === 'fulfilled' ? result.value.items : []))
    expect(new Set(numbers.map(({ number }) => number)).size).toBe(10)
    expect(numbers).toHaveLength(10)
    const refused = made.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
    expect(refused.map(({ code }) => code)).toEqual(Array.from({ length: 30 }, () => 'numbers_unavailable'))
  })
})

const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  )
