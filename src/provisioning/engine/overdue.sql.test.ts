import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createEngine, openShop, orderOf, passTime, workOff } from '../../../test/support/order-rig.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { ScriptedProvider } from '../../../test/support/scripted-provider.ts'

const POLLS = 5

describe.each(STORES)('what a provider takes and does not finish, on %s', (store) => {
  let rig: TestProvisioning
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
  })
  afterAll(() => rig.stop())

  test('is asked for again and again, is an operator’s after thirty days, and can go on for as long', async () => {
    const shop = await openShop(rig.database, { name: 'slow', start: '+12125550000', provider: 'slow' })
    const provider = new ScriptedProvider(
      'slow',
      Array.from({ length: 2 * POLLS + 1 }, () => 'accepted' as const),
    )
    const { ordering, orders, fulfiller, operatorEvents } = createEngine(rig.database, provider)
    const { orderId } = await ordering.place(orderOf(shop, { action: 'any', quantity: 1, filter: {} }))
    const poll = async () => {
      await passTime(rig.database, orderId)
      await fulfiller.runDue()
      return (await orders.find(shop.customerId, orderId)).state
    }
    const letDaysPass = (days: number) =>
      rig.database.query((db) =>
        sql`update fulfilments set waits_since = waits_since - make_interval(days => ${days}::integer)
          where order_id = ${orderId}`.execute(db),
      )
    await letDaysPass(400)
    for (let count = 0; count < POLLS; count += 1) expect(await poll()).toBe('inProgress')
    await letDaysPass(29)
    expect(await poll()).toBe('inProgress')
    await letDaysPass(2)
    expect(await poll()).toBe('held')
    expect(operatorEvents).toMatchObject([
      { type: 'provisioning.order_held', details: { order_id: orderId, provider: 'slow' } },
    ])
    expect(await orders.find(shop.customerId, orderId)).toMatchObject({
      outcomeReason: 'the provider has had it for more than 30 days',
    })
    const calls = provider.calls
    expect(await poll()).toBe('held')
    expect(provider.calls).toBe(calls)
    await ordering.resume({ orderId, actor: 'admin', resumption: 'continue' })
    expect(await poll()).toBe('inProgress')
    await workOff({ database: rig.database, fulfiller }, orderId)
    expect(await orders.find(shop.customerId, orderId)).toMatchObject({ state: 'completed' })
    expect(operatorEvents).toHaveLength(1)
    expect(provider.violations).toEqual([])
  })
})
