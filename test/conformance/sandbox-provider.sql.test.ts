import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import type { SandboxFaultKind } from '../../src/provisioning/adapters/sandbox/fault.ts'
import { SANDBOX_CAPABILITIES, SandboxProvider } from '../../src/provisioning/adapters/sandbox/provider.ts'
import { startTestProvisioning } from '../support/provisioning.ts'
import { STORES } from '../support/records.ts'
import { describeNumberProvider } from './number-provider.ts'
import type { FarFault, ProviderUnderTest } from './number-provider.ts'

const FAULTS: Readonly<Record<FarFault, SandboxFaultKind>> = {
  lose_request: 'timeout_before_commit',
  lose_answer: 'timeout_after_commit',
  throttle: 'throttle',
  refuse: 'refuse',
}
const FULFIL_MS = 150

for (const store of STORES) {
  const start = async (): Promise<ProviderUnderTest> => {
    const rig = await startTestProvisioning(store)
    const { database } = rig
    const provider = new SandboxProvider({ database, clock: systemClock, log: silentLogger, fulfilMs: FULFIL_MS })
    let next = 0
    return {
      provider,
      productId: 'prd_us-local',
      beginning: 'begin',
      secrets: [],
      freshNumber: () => `+1206555${String((next += 1)).padStart(4, '0')}`,
      misbehave: (fault, requests) =>
        provider.setFaults([{ fault: FAULTS[fault], requests, delayMs: fault === 'throttle' ? 2_000 : 60_000 }]),
      behave: () => provider.setFaults([]),
      countLines: (e164) =>
        database.query(async (db) => {
          const rows = await db
            .selectFrom('sandbox_lines')
            .select('line_id')
            .where('e164', '=', e164)
            .where('ended_at', 'is', null)
            .execute()
          return rows.length
        }),
      externalIdOf: (e164) =>
        database.query(async (db) => {
          const row = await db
            .selectFrom('sandbox_lines')
            .select('attributes')
            .where('e164', '=', e164)
            .where('ended_at', 'is', null)
            .executeTakeFirst()
          const externalId = row?.attributes['externalId']
          return typeof externalId === 'string' ? externalId : undefined
        }),
      stop: () => rig.stop(),
    }
  }
  describeNumberProvider({ name: `sandbox on ${store}`, capabilities: SANDBOX_CAPABILITIES, start })
}
