import { sql } from 'kysely'
import { invalidRequest } from '../../../core/parse-input.ts'
import type { AuditEntry } from '../../store/audit.ts'
import { appendAudit } from '../../store/audit.ts'
import type { ProvisioningDatabase, Queries } from '../../store/database.ts'
import type { NewRequest } from '../model/new-request.ts'
import { noAccess } from '../model/refusal.ts'
import { REQUEST_STATUS } from '../model/status.ts'
import { auditChainOf, type Environment } from '../store/environments.ts'
import { lockRequest, type RequestRow } from '../store/request-rows.ts'
import { readRequest, type ProvisioningRequest } from '../store/requests.ts'
import { countMembers, lockBatch } from './batch.ts'
import { refuseState } from './request-changes.ts'
import { enterStatus } from './request-state.ts'
import { checkRequest, type CheckedRequest } from './submission-checks.ts'
import { hasOpenOrder } from '../store/request-steps.ts'

export type SubmissionOptions = {
  readonly database: ProvisioningDatabase
  /** Tells whoever runs requests that there is something to do. */
  readonly wake: () => void
}

type Submitted = {
  readonly environment: Environment
  readonly actor: string
  readonly request: NewRequest
  /** What else belongs into the transaction, such as the answer to be repeated. */
  readonly inTransaction?: (tx: Queries, made: ProvisioningRequest) => Promise<void>
}

/** Takes provisioning requests; `RequestRunner` runs them. */
export class Submission {
  readonly #options: SubmissionOptions

  constructor(options: SubmissionOptions) {
    this.#options = options
  }

  /**
   * Makes a request and submits it, in one transaction. One that is regenerated takes the place of its source, which
   * must be in error: it takes over its batch, and the source is cancelled. Rejects with `resource_not_found` for a
   * profile, batch or source that there is not, and with `invalid_request` for everything else.
   */
  async submit(submitted: Submitted): Promise<ProvisioningRequest> {
    const { database, wake } = this.#options
    const made = await database.transaction(async (tx) => {
      const requestId = await submitIn(tx, submitted)
      const read = await readRequest(tx, { environmentId: submitted.environment.environmentId, requestId })
      await submitted.inTransaction?.(tx, read)
      return read
    })
    wake()
    return made
  }
}

async function submitIn(tx: Queries, { environment, actor, request }: Submitted): Promise<number> {
  const { environmentId } = environment
  const checked = await checkRequest(tx, environmentId, request)
  const source = await lockSource(tx, environmentId, request)
  const batchId = source?.batch_id ?? (await joinBatch(tx, environmentId, request))
  const requestId = await insertRequest(tx, { environmentId, actor, request, checked, source, batchId })
  await insertParts(tx, requestId, request)
  const entry: AuditEntry = {
    chain: auditChainOf(environmentId),
    actor,
    entity: 'provisioning_request',
    entityId: String(requestId),
    action: 'submit',
    after: toAudited(request, batchId),
  }
  if (source === undefined) {
    await appendAudit(tx, [entry])
    return requestId
  }
  // The audit trail comes last: of the source, then of the new one.
  await enterStatus(tx, source, {
    to: REQUEST_STATUS.cancelled,
    actor,
    note: `Regenerated as provisioning request ${requestId}.`,
    more: { was_regenerated: true, batch_id: null },
  })
  await appendAudit(tx, [entry])
  return requestId
}

/** The request that this one takes the place of. */
async function lockSource(
  tx: Queries,
  environmentId: number,
  { regeneratedFromId, batchId }: NewRequest,
): Promise<RequestRow | undefined> {
  if (regeneratedFromId === undefined) return undefined
  const field = 'regeneratedFromProvisioningRequestID'
  const source = await lockRequest(tx, { environmentId, requestId: regeneratedFromId }, field)
  if (source.is_read_only) throw refuseState(field, source.request_id, 'is read-only')
  if (source.status_id !== REQUEST_STATUS.inError) throw refuseState(field, source.request_id, 'is not in error')
  if (await hasOpenOrder(tx, source.request_id)) throw refuseState(field, source.request_id, 'has an open order')
  if (source.batch_id !== null && batchId !== undefined && batchId !== source.batch_id) {
    throw invalidRequest([{ field: 'provisioningRequestBatchID', message: `must be ${source.batch_id} or absent` }])
  }
  return source
}

/** The batch that is named, or a new one if its size is said; undefined: none. */
async function joinBatch(
  tx: Queries,
  environmentId: number,
  { batchId, batchTotal }: NewRequest,
): Promise<number | undefined> {
  if (batchId === undefined) return batchTotal === undefined ? undefined : makeBatch(tx, environmentId, batchTotal)
  const field = 'provisioningRequestBatchID'
  const batch = await lockBatch(tx, batchId)
  if (batch?.environment_id !== environmentId) throw noAccess('provisioning request batch', batchId, field)
  if (batch.order_id !== null) throw refuseState(field, batchId, 'is that of an order')
  if (!batch.is_open) throw refuseState(field, batchId, 'is closed')
  const { members } = await countMembers(tx, batchId)
  if (members >= batch.total_object_count) throw refuseState(field, batchId, 'has all its members')
  return batchId
}

async function makeBatch(tx: Queries, environmentId: number, total: number): Promise<number> {
  const row = await tx
    .insertInto('request_batches')
    .values({ environment_id: environmentId, total_object_count: total })
    .returning('batch_id')
    .executeTakeFirstOrThrow()
  return row.batch_id
}

type Inserted = {
  readonly environmentId: number
  readonly actor: string
  readonly request: NewRequest
  readonly checked: CheckedRequest
  readonly source: RequestRow | undefined
  readonly batchId: number | undefined
}

async function insertRequest(tx: Queries, inserted: Inserted): Promise<number> {
  const { environmentId, actor, request, checked, source, batchId } = inserted
  const startsAt = toDate(request.objectStartsAt)
  const row = await tx
    .insertInto('provisioning_requests')
    .values({
      environment_id: environmentId,
      account_number: request.account.accountNumber ?? null,
      account_name: request.account.name ?? checked.customer?.name ?? null,
      customer_id: checked.customer?.customerId ?? null,
      profile_id: request.profileId,
      object_code: request.objectCode ?? null,
      internal_id: request.internalId ?? null,
      object_starts_at: startsAt,
      object_ends_at: toDate(request.objectEndsAt),
      object_status_id: checked.objectStatusId ?? null,
      transition_id: checked.transitionId ?? null,
      batch_id: batchId ?? null,
      regenerated_from_id: source?.request_id ?? null,
      root_regenerated_from_id: source === undefined ? null : (source.root_regenerated_from_id ?? source.request_id),
      regeneration_count: source === undefined ? 0 : source.regeneration_count + 1,
      status_id: REQUEST_STATUS.submitted,
      is_read_only: request.isReadOnly,
      work_item_instance_id: request.workItemInstanceId ?? null,
      created_by: actor,
      modified_by: actor,
      due_at: sql<Date>`greatest(now(), ${startsAt}::timestamptz)`,
    })
    .returning('request_id')
    .executeTakeFirstOrThrow()
  return row.request_id
}

const toDate = (time: number | undefined): Date | null => (time === undefined ? null : new Date(time))

async function insertParts(tx: Queries, requestId: number, { items, links, outcomes }: NewRequest): Promise<void> {
  if (items.length > 0) {
    const rows = items.map(({ keyName, value }, at) => ({
      request_id: requestId,
      sequence_number: at + 1,
      key_name: keyName,
      value,
    }))
    await tx.insertInto('request_items').values(rows).execute()
  }
  if (links.length > 0) {
    const rows = links.map(({ linkTypeId, linkValue }, at) => ({
      request_id: requestId,
      sequence_number: at + 1,
      link_type_id: linkTypeId,
      link_value: linkValue,
    }))
    await tx.insertInto('request_links').values(rows).execute()
  }
  if (outcomes.length > 0) {
    const rows = outcomes.map(({ variableCode, outcomeCode }) => ({
      request_id: requestId,
      variable_code: variableCode,
      outcome_code: outcomeCode,
    }))
    await tx.insertInto('request_variable_outcomes').values(rows).execute()
  }
}

/** Without the values of items, of which one may be a secret. */
const toAudited = ({ items, ...request }: NewRequest, batchId: number | undefined) => ({
  ...request,
  items: items.map(({ keyName }) => keyName),
  ...(batchId !== undefined && { batchId }),
})
