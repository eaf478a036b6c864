import * as fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { fates, FaultyOrder, ignoreDeath, type FaultyCarrier } from '../../../test/support/faulty-order.ts'
import { openShop, type Engine } from '../../../test/support/order-rig.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { systemClock, type Clock } from '../../core/clock.ts'
import { silentLogger } from '../../core/logger.ts'
import {
  FAULTS_OF_ANY_OPERATION,
  SANDBOX_FAULTS,
  SANDBOX_OPERATIONS,
  type SandboxFault,
} from '../adapters/sandbox/fault.ts'
import { SandboxProvider } from '../adapters/sandbox/provider.ts'
import type { LineOutcome, ProviderContext } from '../model/provider.ts'

const RUNS = { pglite: 30, postgresql: 140 } as const

/** One request each, in the order of the list. */
const faults = fc.oneof(
  fc.constantFrom(...SANDBOX_FAULTS).map((fault): SandboxFault => ({ fault, requests: 1 })),
  fc
    .record({
      fault: fc.constantFrom(...FAULTS_OF_ANY_OPERATION),
      operation: fc.constantFrom(...SANDBOX_OPERATIONS),
    })
    .map((fault): SandboxFault => ({ ...fault, requests: 1 })),
)
const sequences = fc.record({
  ...fates,
  faults: fc.array(faults, { maxLength: 8 }),
})

/** As long as the test looks on, what takes long passes quickly. */
const hurried: Clock = { ...systemClock, wait: (ms, signal) => systemClock.wait(Math.min(ms, 3), signal) }

describe.each(STORES)('orders at the sandbox carrier that fails, on %s', (store) => {
  let rig: TestProvisioning
  let shops = 0
  let sandbox: SandboxProvider | undefined
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
  })
  afterEach(() => sandbox?.stop())
  afterAll(() => rig.stop())

  test(`end, and everything agrees, after ${RUNS[store]} sequences of faults`, async () => {
    const ends = new Set<string>()
    await fc.assert(
      fc.asyncProperty(sequences, async (sequence) => {
        shops += 1
        const start = `+${12_125_550_000 + shops * 100}`
        const account = `account-${shops}`
        const shop = await openShop(rig.database, { name: `x${shops}`, start, provider: 'sandbox' })
        sandbox = new SandboxProvider({ database: rig.database, clock: hurried, log: silentLogger, account })
        await sandbox.setFaults(sequence.faults)
        await sandbox.start()
        const carrier = carrierOf(rig, { sandbox, account })
        try {
          const order = await new FaultyOrder(rig.database, { shop, carrier, fate: sequence }).finish(start)
          ends.add(order.state)
        } finally {
          await sandbox.stop()
        }
      }),
      { numRuns: RUNS[store] },
    )
    // Or else the sequences say little.
    expect([...ends]).toEqual(expect.arrayContaining(['cancelled', 'completed', 'failed']))
  }, 600_000)
})

/** The sandbox tells of itself, while it runs, whichever process listens. */
function carrierOf(
  rig: TestProvisioning,
  { sandbox, account }: { readonly sandbox: SandboxProvider; readonly account: string },
): FaultyCarrier {
  let listening: Engine | undefined
  let told = 0
  sandbox.listen(async ({ idempotencyKey, result }) => {
    told += 1
    const known = await listening?.fulfiller.report(sandbox.id, idempotencyKey, result.lines).catch(ignoreDeath)
    return known ?? false
  })
  const open = () =>
    rig.database.query(async (db) => {
      const { rows } = await sql<{ count: number }>`select count(*)::integer as count from sandbox_orders
        where account = ${account} and (state in ('accepted', 'late') or notices_due > 0)`.execute(db)
      return rows[0]?.count ?? 0
    })
  const hurry = () =>
    rig.database.query((db) =>
      sql`update sandbox_orders set ready_at = least(ready_at, now()), visible_at = least(visible_at, now())
        where account = ${account} and state in ('accepted', 'late')`.execute(db),
    )
  return {
    provider: sandbox,
    violations: [],
    async passTime(round) {
      // Now and then something happens before it is asked after.
      if (round % 2 === 1) await hurry()
    },
    async tell(engine) {
      listening = engine
      if ((await open()) > 0) return true
      // A notice may be on its way; a carrier that has stopped has given those that it took.
      await sandbox.stop()
      await sandbox.start()
      const toldBefore = told
      told = 0
      return toldBefore > 0
    },
    async conclude(key) {
      await hurry()
      // Whatever is asked, the carrier first does what is due; what it does late takes a second turn.
      for (let turn = 0; turn < 2; turn += 1) {
        await sandbox.judgeEligibility('+12125550100', silentContext())
        await hurry()
      }
      const { rows } = await rig.database.query((db) =>
        sql<{ results: readonly LineOutcome[] }>`select results from sandbox_orders
          where account = ${account} and idempotency_key = ${key}`.execute(db),
      )
      return rows[0]?.results
    },
    async lines() {
      const { rows } = await rig.database.query((db) =>
        sql<{ e164: string }>`select e164 from sandbox_lines where account = ${account} and ended_at is null`.execute(
          db,
        ),
      )
      return rows.map((row) => row.e164)
    },
  }
}

const silentContext = (): ProviderContext => ({
  attempt: 1,
  signal: AbortSignal.timeout(10_000),
  record: () => Promise.resolve(),
})
