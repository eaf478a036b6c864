import { sql } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import type { Logger } from '../../core/logger.ts'
import type { OperatorEventRepository } from '../../core/operator-event.ts'
import { toAppId } from '../../core/ids.ts'
import type { LineOutcome } from '../model/provider.ts'
import { appendAudit } from '../store/audit.ts'
import type { ProvisioningDatabase, Queries } from '../store/database.ts'
import { addFulfilments, findClaimed, itemsOf, setFulfilment } from '../store/fulfilments.ts'
import type { Claim, FulfilmentRow } from '../store/fulfilments.ts'
import { appendHistory, setItems } from '../store/order-rows.ts'
import type { FulfilmentMetrics } from './fulfilment-metrics.ts'
import { lockOrder, type LockedOrder } from './locked-order.ts'
import { advanceOrder, FINISHED, type EngineSettings } from './order-progress.ts'
import { applyLines, awaitsUndoing } from './outcomes.ts'
import { originOf, stickFulfilment, type Stuck } from './provider-call.ts'

/**
 * What an operator decides of a held order: to go on where it was (`continue`), to send the request again because
 * the provider never carried it out (`repeat`), or what the provider says on the telephone: that it has done it
 * (`done`), that it has not and will not (`failed`).
 */
export type Resumption = 'continue' | 'repeat' | 'done' | 'failed'

/** Tells the operator, in the log at least. */
export async function tellOfStuck(
  to: {
    readonly operatorEvents: Pick<OperatorEventRepository, 'append'>
    readonly metrics: FulfilmentMetrics
    readonly log: Logger
  },
  stuck: Stuck,
): Promise<void> {
  const { appId, orderId, fulfilmentId, provider, reason } = stuck
  const details = { order_id: orderId, fulfilment_id: fulfilmentId, provider, reason }
  to.metrics.stuck.inc({ provider })
  to.log.error({ operator_event: 'provisioning.order_held', ...details }, 'operator event')
  try {
    await to.operatorEvents.append({
      type: 'provisioning.order_held',
      ...(appId !== null && { appId: toAppId(appId) }),
      details,
    })
  } catch (error) {
    to.log.warn({ operator_event: 'provisioning.order_held', err: error }, 'operator event could not be recorded')
  }
}

/** Stops a fulfilment that fails here again and again. Never rejects. */
export async function stickAfterFailure(
  to: Parameters<typeof tellOfStuck>[0] & {
    readonly database: ProvisioningDatabase
    readonly settings: EngineSettings
  },
  claim: Claim,
): Promise<void> {
  const { database, settings, log } = to
  try {
    const stuck = await database.transaction(async (tx) => {
      const order = await lockOrder(tx, claim.orderId)
      const fulfilment = await findClaimed(tx, claim)
      if (fulfilment === undefined) return undefined
      const reason = 'a mistake of the gateway, see its log'
      return stickFulfilment(tx, { order, fulfilment, origin: originOf(fulfilment), settings, reason })
    })
    if (stuck !== undefined) await tellOfStuck(to, stuck)
  } catch (error) {
    log.error({ order_id: claim.orderId, err: error }, 'a fulfilment that failed could not be stopped')
  }
}

/** Goes on with everything of an order that waits for an operator. Rejects with `order_not_held` if there is nothing. */
export async function resumeOrder(
  tx: Queries,
  resumed: {
    readonly orderId: string
    readonly actor: string
    readonly resumption: Resumption
    readonly settings: EngineSettings
  },
): Promise<LockedOrder> {
  const { orderId, actor, resumption, settings } = resumed
  const order = await lockOrder(tx, orderId)
  const stuck = await tx
    .selectFrom('fulfilments')
    .selectAll()
    .where('order_id', '=', orderId)
    .where('state', '=', 'stuck')
    .orderBy('fulfilment_id')
    .execute()
  if (stuck.length === 0) throw new GatewayError('order_not_held')
  for (const fulfilment of stuck) await resumeFulfilment(tx, { order, fulfilment, resumption, settings })
  await appendHistory(tx, orderId, [{ kind: 'note', text: `resumed by an operator: ${resumption}` }])
  await advanceOrder(tx, order, { settings })
  await appendAudit(tx, [
    {
      chain: order.customer_id,
      actor,
      entity: 'order',
      entityId: orderId,
      action: 'resume',
      after: { resumption },
    },
  ])
  return order
}

async function resumeFulfilment(
  tx: Queries,
  resumed: {
    readonly order: LockedOrder
    readonly fulfilment: FulfilmentRow
    readonly resumption: Resumption
    readonly settings: EngineSettings
  },
): Promise<void> {
  const { order, fulfilment, resumption, settings } = resumed
  const items = await itemsOf(tx, fulfilment.fulfilment_id)
  const held = items.filter((item) => item.state === 'held')
  if (resumption === 'done' || (resumption === 'failed' && !fulfilment.is_compensation)) {
    const rejection = { kind: 'rejected', code: 'operator', message: 'given up by an operator' } as const
    const lines = items.map(({ e164 }): LineOutcome =>
      resumption === 'done' ? { e164, kind: 'done' } : { e164, ...rejection },
    )
    await applyLines(tx, { order, fulfilment, lines, settings })
    return setFulfilment(tx, fulfilment.fulfilment_id, FINISHED)
  }
  if (resumption === 'failed') {
    throw new GatewayError('order_refused', { detail: 'What was done must be undone: it cannot be given up.' })
  }
  await setItems(
    tx,
    held.map((item) => item.item_id),
    { state: fulfilment.is_compensation ? 'compensating' : 'inProgress' },
  )
  const state = resumption === 'repeat' ? 'due' : (fulfilment.resume_state ?? 'sent')
  if (state !== 'due') {
    const again = { state, resume_state: null, attempts: 0, waits_since: order.now, dueInMs: 0 }
    return setFulfilment(tx, fulfilment.fulfilment_id, again)
  }
  const left = fulfilment.is_compensation ? items.filter(awaitsUndoing) : held
  await replaceFulfilment(tx, { order, fulfilment, itemIds: left.map((item) => item.item_id) })
}

/** The same as a new request: under the old key an idempotent provider would answer what it answered before. */
async function replaceFulfilment(
  tx: Queries,
  replaced: { readonly order: LockedOrder; readonly fulfilment: FulfilmentRow; readonly itemIds: readonly string[] },
): Promise<void> {
  const { order, fulfilment, itemIds } = replaced
  await setFulfilment(tx, fulfilment.fulfilment_id, FINISHED)
  const batches = await addFulfilments(tx, {
    orderId: order.order_id,
    provider: fulfilment.provider,
    action: fulfilment.action,
    isCompensation: fulfilment.is_compensation,
    itemIds,
    batchMax: itemIds.length,
    now: order.now.getTime(),
  })
  for (const batch of batches) await setItems(tx, batch.itemIds, { fulfilment_id: batch.fulfilmentId })
  await sql`update fulfilments set is_cancel_requested = ${fulfilment.is_cancel_requested}
    where fulfilment_id = any(${batches.map((batch) => batch.fulfilmentId)}::text[])`.execute(tx)
}
