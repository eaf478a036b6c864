import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createFailingDatabase, type TransactionFailure } from '../../../test/support/failing-database.ts'
import { createEngine, openShop, orderOf } from '../../../test/support/order-rig.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { RequestOffice } from '../../../test/support/request-rig.ts'
import { ScriptedProvider } from '../../../test/support/scripted-provider.ts'
import { until } from '../../../test/support/until.ts'

/** Less than the 30 s that a lease lasts. */
const WELL_BEFORE_THE_LEASE_ENDS_MS = 20_000

type Case = {
  readonly when: string
  readonly start: string
  /** Transactions of the fulfiller, two to each call of the provider. */
  readonly failures: Readonly<Record<number, TransactionFailure>>
  /** Calls of the provider; none is repeated, but its outcome may be asked for. */
  readonly calls: number
}
const CASES: readonly Case[] = [
  { when: 'before a call is written down', start: '+12125590000', failures: { 1: 'rolled back' }, calls: 1 },
  { when: 'after a call is written down', start: '+12125590100', failures: { 1: 'committed' }, calls: 2 },
  { when: 'before the answer is written down', start: '+12125590200', failures: { 2: 'rolled back' }, calls: 2 },
  { when: 'after the answer is written down', start: '+12125590300', failures: { 2: 'committed' }, calls: 1 },
  { when: 'twice', start: '+12125590400', failures: { 1: 'rolled back', 3: 'rolled back' }, calls: 2 },
]

describe.each(STORES)('work that a failure of the store interrupts, on %s', (store) => {
  let rig: TestProvisioning
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
  })
  afterAll(() => rig.stop())

  test.concurrent.each(CASES)(
    'an order goes on soon, interrupted $when',
    { timeout: 60_000 },
    async ({ start, failures, calls }) => {
      const provider = new ScriptedProvider(`scripted-${start.slice(-4)}`, [], { isIdempotent: false })
      const shop = await openShop(rig.database, { name: `i${start.slice(-4)}`, start, provider: provider.id })
      const { ordering, orders } = createEngine(rig.database, provider)
      const { fulfiller } = createEngine(createFailingDatabase(rig.database, failures), provider)
      const { orderId } = await ordering.place(orderOf(shop, { action: 'range', start, size: 1 }))
      await fulfiller.start()
      try {
        const isCompleted = async () => (await orders.find(shop.customerId, orderId)).state === 'completed' || undefined
        await until('the order to be completed', isCompleted, WELL_BEFORE_THE_LEASE_ENDS_MS)
      } finally {
        await fulfiller.stop(AbortSignal.timeout(5_000))
      }
      expect(provider.violations).toEqual([])
      expect(provider.calls).toBe(calls)
    },
  )

  test.concurrent('a provisioning request goes on soon', { timeout: 60_000 }, async () => {
    const office = await RequestOffice.open(rig.database, { name: 'interrupted', start: '+12125590500' })
    const requestId = await office.submit({ profileId: await office.addProfile([]), isReadOnly: true })
    const failures = { 1: 'rolled back', 2: 'rolled back' } as const
    const runner = office.createRunner({ database: createFailingDatabase(rig.database, failures) })
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
