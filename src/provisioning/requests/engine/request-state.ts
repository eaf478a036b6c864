import { sql, type UpdateObject } from 'kysely'
import { GatewayError } from '../../../core/errors.ts'
import { appendAudit, type AuditEntry } from '../../store/audit.ts'
import type { Queries } from '../../store/database.ts'
import { isFinalRequest, REQUEST_STATUS, requestMayBecome, type RequestStatusId } from '../model/status.ts'
import { auditChainOf } from '../store/environments.ts'
import type { RequestRow } from '../store/request-rows.ts'
import type { ProvisioningSchema } from '../../store/schema.ts'
import { closeBatch } from './batch.ts'
import { tellRequestEnd } from './request-events.ts'

/** Under which name the gateway itself changes requests. */
export const ENGINE = 'engine'

/** Where a request is to go, and what is kept of it. */
export type StatusChange = {
  readonly to: RequestStatusId
  /** Under which name it is audited, and kept as who changed it. */
  readonly actor: string
  readonly note?: string | undefined
  /** What else changes with it. */
  readonly more?: UpdateObject<ProvisioningSchema, 'provisioning_requests'>
}

/**
 * Moves a request, whose lock the caller has, into another status. When that is an end of its run, links are told,
 * and its batch is closed if it was the last one. Whoever worked on the request is cut off, unless `more` says
 * otherwise. Call it last in the transaction: it appends to the audit trail. Throws `internal` for what may not be.
 */
export async function enterStatus(tx: Queries, request: RequestRow, change: StatusChange): Promise<RequestRow> {
  const { to, actor, note, more } = change
  if (!requestMayBecome(request.status_id, to)) {
    throw new GatewayError('internal', { cause: new Error(`a request from ${request.status_id} to ${to}`) })
  }
  const row = await tx
    .updateTable('provisioning_requests')
    .set({
      status_id: to,
      status_note: note ?? null,
      reprocessing: request.reprocessing && !isEndOfRun(to),
      modified_at: sql<Date>`now()`,
      modified_by: actor,
      ...(to === REQUEST_STATUS.complete && { completed_at: sql<Date>`now()` }),
      lease_token: sql<number>`lease_token + 1`,
      leased_until: null,
      due_at: null,
      ...more,
    })
    .where('request_id', '=', request.request_id)
    .returningAll()
    .executeTakeFirstOrThrow()
  const entries: AuditEntry[] = [toAudit(request, row, actor)]
  if (isEndOfRun(to)) await tellRequestEnd(tx, row)
  if (isFinalRequest(to) && row.batch_id !== null) {
    const closed = await closeBatch(tx, row.batch_id, actor)
    if (closed.audit !== undefined) entries.push(closed.audit)
  }
  await appendAudit(tx, entries)
  return row
}

/** It ran to its end, or will never run again. One in error may be run again, and then ends again. */
const isEndOfRun = (status: RequestStatusId): boolean => isFinalRequest(status) || status === REQUEST_STATUS.inError

const toAudit = (before: RequestRow, after: RequestRow, actor: string): AuditEntry => ({
  chain: auditChainOf(after.environment_id),
  actor,
  entity: 'provisioning_request',
  entityId: String(after.request_id),
  action: 'change_status',
  before: { statusId: before.status_id },
  after: {
    statusId: after.status_id,
    ...(after.status_note !== null && { statusNote: after.status_note }),
    ...(after.was_forced && { wasForced: true }),
  },
})
