import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { failingDatabase } from '../../../test/support/failing-database.ts'
import { createEngine, openShop, orderOf } from '../../../test/support/order-rig.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { RequestOffice } from '../../../test/support/request-rig.ts'
import { ScriptedProvider } from '../../../test/support/scripted-provider.ts'
import { until } from '../../../test/support/until.ts'

/** Less than the 30 s that a lease lasts. */
const WELL_BEFORE_THE_LEASE_ENDS_MS = 20_000

describe.each(STORES)('work that the store has interrupted, on %s', (store) => {
  let rig: TestProvisioning
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
  })
  afterAll(() => rig.stop())

  test.each([
    ['before its provider was asked', [1], '+12125590000'],
    ['after its provider was asked', [2], '+12125590100'],
    ['twice', [1, 3], '+12125590200'],
  ])('an order goes on soon that was interrupted %s', { timeout: 60_000 }, async (_, failing, start) => {
    const provider = new ScriptedProvider(`scripted-${start.slice(-4)}`, [])
    const shop = await openShop(rig.database, { name: `i${start.slice(-4)}`, start, provider: provider.id })
    const { ordering, orders } = createEngine(rig.database, provider)
    const { fulfiller } = createEngine(failingDatabase(rig.database, new Set(failing)), provider)
    const { orderId } = await ordering.place(orderOf(shop, { action: 'range', start, size: 1 }))
    await fulfiller.start()
    try {
      const isCompleted = async () => (await orders.find(shop.customerId, orderId)).state === 'completed' || undefined
      await until('the order to be completed', isCompleted, WELL_BEFORE_THE_LEASE_ENDS_MS)
    } finally {
      await fulfiller.stop(AbortSignal.timeout(5_000))
    }
    expect(provider.violations).toEqual([])
  })

  test('a provisioning request goes on soon', { timeout: 60_000 }, async () => {
    const office = await RequestOffice.open(rig.database, { name: 'interrupted', start: '+12125590300' })
    const requestId = await office.submit({ profileId: await office.addProfile([]), isReadOnly: true })
    const runner = office.createRunner({ database: failingDatabase(rig.database, new Set([1, 2])) })
    await runner.start()
    try {
      const found = async () => {
        const { status } = await office.find(requestId)
        return status === 'Submitted' || status === 'In Progress' ? undefined : status
      }
      const status = await until('the request to be over', found, WELL_BEFORE_THE_LEASE_ENDS_MS)
      expect(status).toBe('Complete')
    } finally {
      await runner.stop()
    }
  })
})
