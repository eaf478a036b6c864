import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fates, FaultyOrder, ignoreDeath, type FaultyCarrier } from '../../../test/support/faulty-order.ts'
import { openShop } from '../../../test/support/order-rig.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { FAULTS, ScriptedProvider } from '../../../test/support/scripted-provider.ts'

/** PGlite has one connection, so that it gets fewer. */
const RUNS = { pglite: 40, postgresql: 120 } as const

const sequences = fc.record({
  ...fates,
  batchMax: fc.integer({ min: 1, max: 3 }),
  isIdempotent: fc.boolean(),
  canFind: fc.boolean(),
  canCancel: fc.boolean(),
  faults: fc.array(fc.constantFrom(...FAULTS), { maxLength: 8 }),
  tellsTwice: fc.boolean(),
})
type Sequence = typeof sequences extends fc.Arbitrary<infer Value> ? Value : never

describe.each(STORES)('orders whose carrier and process fail, on %s', (store) => {
  let rig: TestProvisioning
  let shops = 0
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
  })
  afterAll(() => rig.stop())

  test(`end, and everything agrees, after ${RUNS[store]} sequences of faults`, async () => {
    const ends = new Set<string>()
    await fc.assert(
      fc.asyncProperty(sequences, async (sequence) => {
        shops += 1
        const start = `+${12_125_550_000 + shops * 100}`
        const shop = await openShop(rig.database, { name: `f${shops}`, start, provider: `scripted-${shops}` })
        const carrier = carrierOf(`scripted-${shops}`, sequence)
        const order = await new FaultyOrder(rig.database, { shop, carrier, fate: sequence }).finish(start)
        ends.add(order.state)
      }),
      { numRuns: RUNS[store] },
    )
    // Or else the sequences say little.
    expect([...ends]).toEqual(expect.arrayContaining(['cancelled', 'completed', 'failed']))
  }, 600_000)
})

/** The scripted carrier: what happens later there happens from the third round on, before the last time it is asked after. */
function carrierOf(shop: string, sequence: Sequence): FaultyCarrier {
  const { isIdempotent, canFind, canCancel, batchMax } = sequence
  const carrier = new ScriptedProvider(shop, sequence.faults, { isIdempotent, canFind, canCancel, batchMax })
  return {
    provider: carrier,
    violations: carrier.violations,
    passTime: (round) => {
      if (round > 1) carrier.catchUp()
      return Promise.resolve()
    },
    async tell({ fulfiller }) {
      const callbacks = carrier.callbacks.splice(0)
      for (const { ref, lines } of callbacks) {
        for (let times = sequence.tellsTwice ? 2 : 1; times > 0; times -= 1) {
          await fulfiller.report(carrier.id, ref, lines).catch(ignoreDeath)
        }
      }
      return callbacks.length > 0
    },
    conclude: (key) => {
      carrier.catchUp()
      return Promise.resolve(carrier.conclude(key))
    },
    lines: () => Promise.resolve([...carrier.lines.keys()]),
  }
}
