import { sql } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import { appendAudit } from '../store/audit.ts'
import type { Queries } from '../store/database.ts'
import type { OrderRef } from '../store/orders.ts'
import { lockOrder } from './locked-order.ts'
import { advanceOrder, cancelUnsent, type EngineSettings } from './order-progress.ts'

/**
 * Cancels what no provider knows of at once, and has providers abandon the rest. Rejects with `order_not_found`, or
 * with `order_not_cancellable` and changes nothing if the order is final or its provider cannot cancel what it has.
 * An order that is being cancelled stays so.
 */
export async function cancelOrder(
  tx: Queries,
  { customerId, orderId, actor, settings }: OrderRef & { readonly actor: string; readonly settings: EngineSettings },
): Promise<void> {
  const order = await lockOrder(tx, orderId)
  if (order.customer_id !== customerId) throw new GatewayError('order_not_found')
  if (order.completed_at !== null) {
    throw new GatewayError('order_not_cancellable', { fields: { state: order.state } })
  }
  if (order.cancel_requested_at !== null) return
  const provider = settings.providers.get(order.provider)
  const atProvider = await tx
    .selectFrom('fulfilments')
    .select(['fulfilment_id', 'state', 'provider_ref'])
    .where('order_id', '=', orderId)
    .where('is_compensation', '=', false)
    .where(sql<boolean>`exists (select from order_items i where i.fulfilment_id = fulfilments.fulfilment_id
      and i.state not in ('completed', 'failed', 'cancelled'))`)
    .where((where) =>
      where.or([
        where('state', 'in', ['sent', 'accepted']),
        where.and([where('state', '=', 'stuck'), where('resume_state', '<>', 'due')]),
      ]),
    )
    .execute()
  // What waits for an operator cannot be asked anything before that.
  const isStuck = atProvider.some((fulfilment) => fulfilment.state === 'stuck')
  if (atProvider.length > 0 && (isStuck || provider?.capabilities.canCancel !== true)) {
    throw new GatewayError('order_not_cancellable', {
      detail: 'The provider has begun and cannot abandon it.',
      fields: { state: order.state },
    })
  }
  const { cancel_requested_at: requestedAt } = await tx
    .updateTable('orders')
    .set({ cancel_requested_at: sql<Date>`now()` })
    .where('order_id', '=', orderId)
    .returning('cancel_requested_at')
    .executeTakeFirstOrThrow()
  for (const { fulfilment_id: fulfilmentId } of atProvider) {
    await tx
      .updateTable('fulfilments')
      .set({ is_cancel_requested: true, due_at: sql<Date>`now()`, updated_at: sql<Date>`now()` })
      .where('fulfilment_id', '=', fulfilmentId)
      .execute()
  }
  const requested = { ...order, cancel_requested_at: requestedAt }
  await cancelUnsent(tx, requested)
  await advanceOrder(tx, requested, { settings, reason: 'cancelled on request' })
  await appendAudit(tx, [
    { chain: customerId, actor, entity: 'order', entityId: orderId, action: 'cancel', before: { state: order.state } },
  ])
}
