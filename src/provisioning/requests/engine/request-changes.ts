import { sql } from 'kysely'
import { GatewayError } from '../../../core/errors.ts'
import { invalidRequest } from '../../../core/parse-input.ts'
import { appendAudit } from '../../store/audit.ts'
import type { ProvisioningDatabase, Queries } from '../../store/database.ts'
import { ExpressionError } from '../model/expression.ts'
import { noAccess } from '../model/refusal.ts'
import { isFinalRequest, REQUEST_STATUS } from '../model/status.ts'
import type { Environment } from '../store/environments.ts'
import { lockRequest, type RequestRow } from '../store/request-rows.ts'
import { hasOpenOrder, makeSteps, readSteps } from '../store/request-steps.ts'
import { closeBatch, lockBatch } from './batch.ts'
import { updateProvisionedObject } from './provisioned-object.ts'
import { enterStatus } from './request-state.ts'

type Change = { readonly environment: Environment; readonly actor: string; readonly requestId: number }

/** That the state of something does not allow what is asked for, in the document's words for a value that is not valid. */
export const refuseState = (field: string, id: number, reason = ''): GatewayError =>
  new GatewayError('invalid_request', {
    detail: `Value for argument '${argumentOf(field)}' is not valid: '${id}'${reason === '' ? '' : ` ${reason}`}.`,
    fields: { field },
  })

/** The document calls the id of a path otherwise in its messages. */
const argumentOf = (field: string): string => field.replace(/Id$/, 'ID')

const FIELD = 'provisioningRequestId'

/** What callers do to requests and batches that there are. */
export class RequestChanges {
  readonly #database: ProvisioningDatabase
  readonly #wake: () => void

  constructor({ database, wake }: { readonly database: ProvisioningDatabase; readonly wake: () => void }) {
    this.#database = database
    this.#wake = wake
  }

  /**
   * Completes a request that has nothing left to do here: one of a profile without scenarios, whose work is done
   * elsewhere. By force any request is completed that has not ended, whatever is left of it; an order that is open
   * goes its own way. Rejects with `resource_not_found` or `invalid_request`.
   */
  async complete({
    isForced,
    note,
    ...change
  }: Change & { readonly isForced: boolean; readonly note: string | undefined }): Promise<void> {
    await this.#change(change, async (tx, request) => {
      if (!isForced) await refuseUnfinished(tx, request)
      try {
        await updateProvisionedObject(tx, request)
      } catch (error) {
        if (!(error instanceof ExpressionError)) throw error
        throw invalidRequest([{ field: FIELD, message: error.message }])
      }
      const more = { was_forced: isForced }
      await enterStatus(tx, request, { to: REQUEST_STATUS.complete, actor: change.actor, note, more })
    })
  }

  /** Puts a request in error. An order of it that is open is cancelled afterwards, if it can be. Rejects as `complete`. */
  async fail({ note, ...change }: Change & { readonly note: string | undefined }): Promise<void> {
    await this.#change(change, async (tx, request) => {
      if (request.status_id === REQUEST_STATUS.inError) throw refuseState(FIELD, request.request_id, 'is in error')
      await enterStatus(tx, request, {
        to: REQUEST_STATUS.inError,
        actor: change.actor,
        note,
        // Whoever runs requests sees to the order.
        more: { due_at: sql<Date>`now()` },
      })
    })
  }

  /** Has a request in error run again, from the step on that failed. Rejects as `complete`. */
  async resubmit(change: Change): Promise<void> {
    await this.#change(change, async (tx, request) => {
      if (request.status_id !== REQUEST_STATUS.inError) throw refuseState(FIELD, request.request_id)
      if (await hasOpenOrder(tx, request.request_id)) throw refuseState(FIELD, request.request_id, 'has an open order')
      await resetSteps(tx, request.request_id)
      await enterStatus(tx, request, {
        to: REQUEST_STATUS.submitted,
        actor: change.actor,
        more: {
          reprocessing: true,
          due_at: sql<Date>`greatest(now(), ${request.object_starts_at}::timestamptz)`,
        },
      })
    })
  }

  /** Closes a batch if all its members are there and have ended. Rejects with `resource_not_found`. */
  completeBatch({
    environment,
    actor,
    batchId,
  }: Omit<Change, 'requestId'> & { readonly batchId: number }): Promise<{ wasOpen: boolean; isOpen: boolean }> {
    return this.#database.transaction(async (tx) => {
      const batch = await lockBatch(tx, batchId)
      if (batch?.environment_id !== environment.environmentId) {
        throw noAccess('provisioning request batch', batchId, 'provisioningBatchId')
      }
      const { audit, ...outcome } = await closeBatch(tx, batchId, actor)
      if (audit !== undefined) await appendAudit(tx, [audit])
      return outcome
    })
  }

  /** Changes a request that may be changed and has not ended. */
  async #change(
    { environment: { environmentId }, requestId }: Change,
    work: (tx: Queries, request: RequestRow) => Promise<void>,
  ): Promise<void> {
    await this.#database.transaction(async (tx) => {
      const request = await lockRequest(tx, { environmentId, requestId })
      if (request.is_read_only) throw refuseState(FIELD, requestId, 'is read-only')
      if (isFinalRequest(request.status_id)) throw refuseState(FIELD, requestId, hasEnded(request))
      await work(tx, request)
    })
    this.#wake()
  }
}

const hasEnded = (request: RequestRow): string =>
  request.status_id === REQUEST_STATUS.complete ? 'is complete' : 'is cancelled'

async function refuseUnfinished(tx: Queries, request: RequestRow): Promise<void> {
  const { request_id: requestId, status_id: statusId } = request
  const mayEnd = statusId === REQUEST_STATUS.submitted || statusId === REQUEST_STATUS.inProgress
  if (!mayEnd) throw refuseState(FIELD, requestId, 'is held or in error and can only be completed by force')
  // One that has begun runs the scenarios that there were then.
  const hasBegun = statusId === REQUEST_STATUS.inProgress
  const steps = hasBegun ? await readSteps(tx, requestId) : await makeSteps(tx, request)
  if (steps.some(({ state }) => state !== 'done')) {
    throw refuseState(FIELD, requestId, 'has steps to do and can only be completed by force')
  }
}

/** What has failed is to be done again; an order that was completed in spite of it all is not. */
async function resetSteps(tx: Queries, requestId: number): Promise<void> {
  await sql`
    update request_steps s set state = 'done', error = null from orders o
    where s.request_id = ${requestId} and s.state = 'running' and o.order_id = s.order_id and o.state = 'completed'`.execute(
    tx,
  )
  await sql`
    update request_steps set state = 'waiting', order_id = null, e164 = null, error = null
    where request_id = ${requestId} and state in ('failed', 'running')`.execute(tx)
}
