import { sql } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import { isFinalItem } from '../model/order.ts'
import type { ResumableState } from '../model/fulfilment.ts'
import type { NumberProvider, ProviderCapabilities, ProviderRequest } from '../model/provider.ts'
import type { Queries } from '../store/database.ts'
import { findClaimed, itemsOf, setFulfilment } from '../store/fulfilments.ts'
import type { Claim, FulfilmentRow, ItemRow } from '../store/fulfilments.ts'
import { setItems } from '../store/order-rows.ts'
import { lockOrder, type LockedOrder } from './locked-order.ts'
import { advanceOrder, FINISHED, type EngineSettings } from './order-progress.ts'
import { isOverdue } from './overdue.ts'
import { toProviderRequest } from './provider-request.ts'

/** What a provider is about to be asked, which is written down already. */
export type ProviderCall = {
  readonly kind: 'execute' | 'poll' | 'find' | 'cancel'
  /** What the fulfilment was before: after a `sent` one nobody knows whether it was carried out. */
  readonly origin: ResumableState
  readonly provider: NumberProvider
  readonly request: ProviderRequest
  readonly ref: string | undefined
  /** Of those since the provider was last heard of, from 1. */
  readonly attempt: number
}

/** What is to be done with a claimed fulfilment. */
export type Preparation =
  | { readonly kind: 'call'; readonly call: ProviderCall }
  | { readonly kind: 'stuck'; readonly stuck: Stuck }
  /** Nothing: somebody else has it, or it is over. */
  | { readonly kind: 'none' }

/** What an operator is told of a fulfilment that needs one. */
export type Stuck = {
  readonly appId: string | null
  readonly orderId: string
  readonly fulfilmentId: string
  readonly provider: string
  readonly reason: string
}

/**
 * Decides what comes next for a claimed fulfilment and writes it down before it is done, so that a crash in
 * between shows: a fulfilment found `sent` is asked after, or repeated where that is harmless, never sent blindly.
 */
export async function prepareCall(
  tx: Queries,
  { claim, settings, leaseMs }: { readonly claim: Claim; readonly settings: EngineSettings; readonly leaseMs: number },
): Promise<Preparation> {
  const order = await lockOrder(tx, claim.orderId)
  const fulfilment = await findClaimed(tx, claim)
  if (fulfilment === undefined) return { kind: 'none' }
  const provider = settings.providers.get(fulfilment.provider)
  if (provider === undefined) {
    throw new GatewayError('internal', { cause: new Error(`no provider ${fulfilment.provider}`) })
  }
  const items = await itemsOf(tx, fulfilment.fulfilment_id)
  const isOver = !fulfilment.is_compensation && items.every((item) => isFinalItem(item.state))
  if (items.length === 0 || (isOver && fulfilment.rechecks === 0)) {
    await setFulfilment(tx, fulfilment.fulfilment_id, FINISHED)
    return { kind: 'none' }
  }
  const origin = originOf(fulfilment)
  const kind = chooseCall(fulfilment, provider.capabilities)
  if (kind === undefined && isOver) {
    await setFulfilment(tx, fulfilment.fulfilment_id, FINISHED)
    return { kind: 'none' }
  }
  if (origin === 'accepted' && isOverdue({ order, fulfilment, items, waitDays: settings.providerWaitDays })) {
    const reason = `the provider has had it for more than ${settings.providerWaitDays} days`
    return { kind: 'stuck', stuck: await stickFulfilment(tx, { order, fulfilment, origin, settings, reason }) }
  }
  if (kind === undefined) {
    const reason = 'the provider cannot tell whether it was carried out'
    return { kind: 'stuck', stuck: await stickFulfilment(tx, { order, fulfilment, origin, settings, reason }) }
  }
  const attempt = fulfilment.attempts + 1
  await setFulfilment(tx, fulfilment.fulfilment_id, {
    attempts: attempt,
    ...(origin === 'due' && { state: 'sent', waits_since: order.now }),
  })
  // From now on, not from the beginning of the transaction, which may have waited for the order.
  await sql`update fulfilments set leased_until = clock_timestamp() + ${leaseMs}::double precision * interval '1 millisecond'
    where fulfilment_id = ${fulfilment.fulfilment_id}`.execute(tx)
  const fresh = items.filter((item) => item.state === 'acknowledged')
  if (fresh.length > 0) {
    await setItems(
      tx,
      fresh.map((item) => item.item_id),
      { state: 'inProgress' },
    )
    await advanceOrder(tx, order, { settings })
  }
  const request = await toProviderRequest(tx, { order, fulfilment, items })
  return {
    kind: 'call',
    call: { kind, origin, provider, request, ref: fulfilment.provider_ref ?? undefined, attempt },
  }
}

function chooseCall(
  fulfilment: FulfilmentRow,
  { canFind, canCancel, isIdempotent }: ProviderCapabilities,
): ProviderCall['kind'] | undefined {
  if (fulfilment.state === 'due') return 'execute'
  if (fulfilment.state === 'sent') {
    if (canFind) return 'find'
    return isIdempotent ? 'execute' : undefined
  }
  if (fulfilment.provider_ref === null) return canFind ? 'find' : undefined
  return fulfilment.is_cancel_requested && canCancel ? 'cancel' : 'poll'
}

/** Of one that is due, hence neither done nor stuck. */
export function originOf({ state }: FulfilmentRow): ResumableState {
  if (state === 'done' || state === 'stuck') throw new GatewayError('internal', { cause: new Error(`it is ${state}`) })
  return state
}

/** Stops a fulfilment until an operator resumes it; the order is `held`. */
export async function stickFulfilment(
  tx: Queries,
  stuck: {
    readonly order: LockedOrder
    readonly fulfilment: FulfilmentRow
    /** What it will be again. */
    readonly origin: ResumableState
    readonly settings: EngineSettings
    readonly reason: string
  },
): Promise<Stuck> {
  const { order, fulfilment, origin, settings, reason } = stuck
  await setFulfilment(tx, fulfilment.fulfilment_id, {
    state: 'stuck',
    resume_state: origin,
    last_error: reason,
    leased_until: null,
    dueInMs: null,
  })
  const held = (await itemsOf(tx, fulfilment.fulfilment_id)).filter(mayBeHeld)
  await setItems(
    tx,
    held.map((item) => item.item_id),
    { state: 'held' },
  )
  await advanceOrder(tx, order, { settings, reason })
  return {
    appId: order.app_id,
    orderId: order.order_id,
    fulfilmentId: fulfilment.fulfilment_id,
    provider: fulfilment.provider,
    reason,
  }
}

const mayBeHeld = (item: ItemRow): boolean => !isFinalItem(item.state)
