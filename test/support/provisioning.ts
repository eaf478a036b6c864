import { toProvisioningDatabase } from '../../src/provisioning/store/database.ts'
import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'
import { startTestRecords, type StoreName, type TestRecords } from './records.ts'

/** The provisioning tables on a store of this test file's own; stop it in `afterAll`. */
export type TestProvisioning = {
  readonly database: ProvisioningDatabase
  readonly records: TestRecords
  stop(): Promise<void>
}

export async function startTestProvisioning(store: StoreName): Promise<TestProvisioning> {
  const records = await startTestRecords(store)
  return { database: toProvisioningDatabase(records.records), records, stop: () => records.stop() }
}
