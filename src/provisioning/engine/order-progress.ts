import { sql } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import {
  BEGINNING_ACTIONS,
  deriveOrderState,
  isFinalOrder,
  needsCompensation,
  PROVIDER_ACTION_OF,
  standsAlone,
} from '../model/order.ts'
import type { ItemState, OrderFacts } from '../model/order.ts'
import type { NumberProvider } from '../model/provider.ts'
import type { Queries } from '../store/database.ts'
import { addFulfilments, setFulfilment, type ItemRow } from '../store/fulfilments.ts'
import { releaseNumbers } from '../store/numbers-transitions.ts'
import { appendHistory, countItemStates, setItems } from '../store/order-rows.ts'
import type { LockedOrder } from './locked-order.ts'
import { tellOrder } from './order-events.ts'
import { takeEffect } from './service-effects.ts'
import { settle } from './settlement.ts'

/** What moving orders on needs to know of the installation. */
export type EngineSettings = {
  readonly providers: ReadonlyMap<string, NumberProvider>
  /** For how many days nobody gets a number after its service has ended. */
  readonly agingDays: number
  /** After so many days an operator is asked about what a provider has taken and does not finish. */
  readonly providerWaitDays: number
}

/**
 * Moves a locked order to where its items are: what has become useless is not begun, what was done in vain is
 * undone, and the order's state follows, with its history, its event and, when it is final, its settlement.
 * Call it at the end of every transaction that changed items. Does nothing to a final order.
 */
export async function advanceOrder(
  tx: Queries,
  order: LockedOrder,
  { settings, reason }: { readonly settings: EngineSettings; readonly reason?: string },
): Promise<void> {
  if (order.completed_at !== null) return
  let counts = await countItemStates(tx, order.order_id)
  if (!standsAlone(toRule(order)) && (counts.get('failed') ?? 0) > 0) {
    if (await cancelUnsent(tx, order)) counts = await countItemStates(tx, order.order_id)
  }
  if (needsCompensation(toFacts(order, counts))) {
    await compensate(tx, order, settings)
    counts = await countItemStates(tx, order.order_id)
  }
  await enterState(tx, order, { counts, settings, reason })
}

type Counts = ReadonlyMap<ItemState, number>

const toRule = (order: LockedOrder) => ({ partialAllowed: order.partial_allowed, action: order.action })

function toFacts(order: LockedOrder, counts: Counts): OrderFacts {
  const itemCount = [...counts.values()].reduce((sum, count) => sum + count, 0)
  return {
    items: [...counts.keys()],
    partialAllowed: standsAlone(toRule(order)),
    isCancelRequested: order.cancel_requested_at !== null,
    isShort: itemCount < order.quantity_requested,
  }
}

/** Cancels items of which a provider knows nothing; resolves with whether there were any. */
export async function cancelUnsent(tx: Queries, order: LockedOrder): Promise<boolean> {
  const items = await tx
    .selectFrom('order_items')
    .innerJoin('fulfilments', 'fulfilments.fulfilment_id', 'order_items.fulfilment_id')
    .select(['order_items.item_id', 'order_items.e164', 'order_items.fulfilment_id'])
    .where('order_items.order_id', '=', order.order_id)
    .where('order_items.state', 'not in', ['completed', 'failed', 'cancelled', 'compensating'])
    .where('fulfilments.is_compensation', '=', false)
    .where((where) => where.or([where('fulfilments.state', '=', 'due'), where('fulfilments.resume_state', '=', 'due')]))
    .execute()
  if (items.length === 0) return false
  await loseItems(tx, order, { items, state: 'cancelled' })
  const fulfilmentIds = new Set(items.map((item) => item.fulfilment_id))
  for (const fulfilmentId of fulfilmentIds) {
    if (fulfilmentId !== null) await setFulfilment(tx, fulfilmentId, FINISHED)
  }
  return true
}

/** What a fulfilment that is over is set to. */
export const FINISHED = { state: 'done', resume_state: null, dueInMs: null } as const

/** Items that come to nothing; numbers that were meant for them are free again, or the losing carrier's. */
export async function loseItems(
  tx: Queries,
  order: LockedOrder,
  lost: {
    readonly items: readonly Pick<ItemRow, 'item_id' | 'e164'>[]
    readonly state: 'failed' | 'cancelled'
    readonly error?: { readonly code: string; readonly message: string }
  },
): Promise<void> {
  if (lost.items.length === 0) return
  const ids = lost.items.map((item) => item.item_id)
  const { error } = lost
  await setItems(tx, ids, {
    state: lost.state,
    ...(error !== undefined && { error_code: error.code, error_message: error.message }),
  })
  if (order.product_kind !== 'number' || !BEGINNING_ACTIONS.has(order.action)) return
  const numbers = lost.items.map((item) => item.e164)
  await releaseNumbers(tx, { numbers, to: order.action === 'port' ? 'removed' : 'available' })
}

/** Has the provider undo what it did for the order's completed items. */
async function compensate(tx: Queries, order: LockedOrder, settings: EngineSettings): Promise<void> {
  const items = await tx
    .selectFrom('order_items')
    .selectAll()
    .where('order_id', '=', order.order_id)
    .where('state', '=', 'completed')
    .orderBy('e164')
    .execute()
  await addCompensation(tx, order, { items, settings, state: 'compensating' })
  await appendHistory(tx, order.order_id, [
    { kind: 'note', text: `${items.length} numbers are given back: not all could be done` },
  ])
}

/** New fulfilments that undo items; of an item that is final already the state stays. */
export async function addCompensation(
  tx: Queries,
  order: LockedOrder,
  undone: {
    readonly items: readonly ItemRow[]
    readonly settings: EngineSettings
    readonly state: 'compensating' | undefined
  },
): Promise<void> {
  const provider = undone.settings.providers.get(order.provider)
  if (provider === undefined) throw new GatewayError('internal', { cause: new Error(`no provider ${order.provider}`) })
  const begins = BEGINNING_ACTIONS.has(order.action)
  const batches = await addFulfilments(tx, {
    orderId: order.order_id,
    provider: order.provider,
    action: begins ? 'end' : PROVIDER_ACTION_OF[order.action],
    isCompensation: true,
    itemIds: undone.items.map((item) => item.item_id),
    batchMax: provider.capabilities.batchMax,
    now: order.now.getTime(),
  })
  for (const { fulfilmentId, itemIds } of batches) {
    await setItems(tx, itemIds, {
      fulfilment_id: fulfilmentId,
      ...(undone.state !== undefined && { state: undone.state }),
    })
  }
}

async function enterState(
  tx: Queries,
  order: LockedOrder,
  entered: { readonly counts: Counts; readonly settings: EngineSettings; readonly reason: string | undefined },
): Promise<void> {
  const { counts, settings } = entered
  const state = deriveOrderState(toFacts(order, counts))
  const fulfilled = counts.get('completed') ?? 0
  if (state === order.state && fulfilled === order.quantity_fulfilled) return
  const isFinal = isFinalOrder(state)
  const reason = await explain(tx, order, { state, reason: entered.reason })
  const row = await tx
    .updateTable('orders')
    .set({
      state,
      quantity_fulfilled: fulfilled,
      outcome_reason: reason ?? null,
      updated_at: sql<Date>`now()`,
      ...(isFinal && { completed_at: sql<Date>`now()` }),
      version: sql<number>`version + 1`,
    })
    .where('order_id', '=', order.order_id)
    .returningAll()
    .executeTakeFirstOrThrow()
  const now: LockedOrder = { ...order, ...row }
  if (state !== order.state) {
    await appendHistory(tx, order.order_id, [{ kind: 'state', text: state }])
    await tellOrder(tx, now, { previousState: order.state, ...(reason !== undefined && { reason }) })
  }
  if (!isFinal) return
  if (!standsAlone(toRule(order)) && state === 'completed') await takeEffectOfAll(tx, now, settings)
  await settle(tx, now)
}

/** An order that is all or nothing takes effect when all of it is done. */
async function takeEffectOfAll(tx: Queries, order: LockedOrder, settings: EngineSettings): Promise<void> {
  const items = await tx
    .selectFrom('order_items')
    .select(['e164', 'provider_ref'])
    .where('order_id', '=', order.order_id)
    .where('state', '=', 'completed')
    .orderBy('e164')
    .execute()
  await takeEffect(tx, order, { items, agingDays: settings.agingDays })
}

/** Why the order is in a state that asks for a reason: the one given, or that of its first failed item. */
async function explain(
  tx: Queries,
  order: LockedOrder,
  { state, reason }: { readonly state: string; readonly reason: string | undefined },
): Promise<string | undefined> {
  if (state === 'held') return reason ?? order.outcome_reason ?? undefined
  if (state === 'cancelled') return order.cancel_requested_at === null ? reason : 'cancelled on request'
  if (state !== 'failed' && state !== 'partial') return undefined
  const failed = await tx
    .selectFrom('order_items')
    .select(['error_code', 'error_message'])
    .where('order_id', '=', order.order_id)
    .where('error_code', 'is not', null)
    .where('state', '=', 'failed')
    .orderBy('e164')
    .limit(1)
    .executeTakeFirst()
  if (failed === undefined) return state === 'partial' ? 'fewer numbers than asked for' : reason
  return `${failed.error_code}: ${failed.error_message ?? ''}`
}
