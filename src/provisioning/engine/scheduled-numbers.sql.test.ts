import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createEngine, openShop, orderOf, type Engine, type OrderShop } from '../../../test/support/order-rig.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { ScriptedProvider } from '../../../test/support/scripted-provider.ts'
import { SCHEDULED_NUMBERS_MAX } from './scheduled-numbers.ts'

const LATER = { requestedDate: Date.now() + 86_400_000 }

describe.each(STORES)('numbers on order for later, on %s', (store) => {
  let rig: TestProvisioning
  let shop: OrderShop
  let engine: Engine
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    shop = await openShop(rig.database, { name: 'later', start: '+12125550000', provider: 'later' })
    engine = createEngine(rig.database, new ScriptedProvider('later', []))
  })
  afterAll(() => rig.stop())

  const place = (quantity: number, more: object = LATER) =>
    engine.ordering.place(orderOf(shop, { action: 'any', quantity, filter: {} }, more))

  test('are limited for each customer, also when it orders them at once, and only those', async () => {
    const first = await place(10)
    await rig.database.query((db) =>
      sql`update orders set quantity_requested = ${SCHEDULED_NUMBERS_MAX - 7} where order_id = ${first.orderId}`.execute(
        db,
      ),
    )
    const outcomes = await Promise.allSettled([place(4), place(4), place(4)])
    const reasons = outcomes.flatMap((outcome): unknown[] => (outcome.status === 'rejected' ? [outcome.reason] : []))
    const exceeded = { code: 'quantity_exceeded', fields: { maximum: SCHEDULED_NUMBERS_MAX } }
    expect(reasons).toMatchObject([exceeded, exceeded])
    await expect(
      engine.ordering.quote(orderOf(shop, { action: 'range', start: '+12125550090', size: 4 }, LATER)),
    ).rejects.toMatchObject({ code: 'quantity_exceeded' })
    expect(await place(4, {})).toMatchObject({ state: 'acknowledged' })
    await engine.ordering.cancel({ customerId: shop.customerId, orderId: first.orderId, actor: 'admin' })
    expect(await place(4)).toMatchObject({ state: 'acknowledged' })
  })
})
