import type { AddFace } from '../http/app.ts'
import { toProvisioningDatabase } from '../provisioning/store/database.ts'
import { ProvisioningKeys } from '../provisioning/store/keys.ts'
import type { RecordParts } from './records.ts'

/** The inventory, the orders, and the APIs over them. */
export function buildProvisioning({ records }: { readonly records: RecordParts }) {
  const database = toProvisioningDatabase(records.records)
  const keys = new ProvisioningKeys(database)
  const faces: readonly AddFace[] = []
  return { keys, faces }
}

export type ProvisioningParts = ReturnType<typeof buildProvisioning>
