import { sql, type Selectable } from 'kysely'
import type { AuditEntry } from '../../store/audit.ts'
import type { Queries } from '../../store/database.ts'
import { REQUEST_STATUS } from '../model/status.ts'
import { auditChainOf } from '../store/environments.ts'
import type { RequestTables } from '../store/schema.ts'
import { tellBatchEnd } from './request-events.ts'

type BatchRow = Selectable<RequestTables['request_batches']>

/** Locks a batch, after any request that the transaction locks; undefined: there is none. */
export async function lockBatch(tx: Queries, batchId: number): Promise<BatchRow | undefined> {
  return tx
    .selectFrom('request_batches')
    .selectAll()
    .where('batch_id', '=', batchId)
    .forNoKeyUpdate()
    .executeTakeFirst()
}

/** How many requests are members, and of how many of them nothing more is to come. */
export async function countMembers(
  tx: Queries,
  batchId: number,
): Promise<{ readonly members: number; readonly ended: number }> {
  const { rows } = await sql<{ members: number; ended: number }>`
    select count(*)::integer as members,
      (count(*) filter (where status_id in (${REQUEST_STATUS.complete}, ${REQUEST_STATUS.cancelled})))::integer as ended
    from provisioning_requests where batch_id = ${batchId}`.execute(tx)
  return rows[0] ?? { members: 0, ended: 0 }
}

/**
 * Closes a batch that has all its members when the last of them has ended, and tells the links of its members. The
 * caller appends the entry for the audit trail.
 */
export async function closeBatch(
  tx: Queries,
  batchId: number,
  actor: string,
): Promise<{ readonly wasOpen: boolean; readonly isOpen: boolean; readonly audit?: AuditEntry }> {
  const batch = await lockBatch(tx, batchId)
  if (batch?.is_open !== true) return { wasOpen: false, isOpen: false }
  const { members, ended } = await countMembers(tx, batchId)
  if (members < batch.total_object_count || ended < members) return { wasOpen: true, isOpen: true }
  await tx
    .updateTable('request_batches')
    .set({ is_open: false, completed_at: sql<Date>`now()` })
    .where('batch_id', '=', batchId)
    .execute()
  await tellBatchEnd(tx, batch)
  const audit = {
    chain: auditChainOf(batch.environment_id),
    actor,
    entity: 'provisioning_request_batch',
    entityId: String(batchId),
    action: 'close',
  }
  return { wasOpen: true, isOpen: false, audit }
}
