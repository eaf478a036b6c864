import type { OrderAction, OrderState } from '../../core/provisioning-event.ts'
import type { ProviderAction } from './provider.ts'

export { ORDER_ACTIONS, ORDER_STATES } from '../../core/provisioning-event.ts'
export type { OrderAction, OrderState } from '../../core/provisioning-event.ts'

/** Actions whose items begin a service, for which the customer is charged once they are completed. */
export const BEGINNING_ACTIONS: ReadonlySet<OrderAction> = new Set(['any', 'port', 'reserve', 'range', 'add'])

/** Names of TM Forum's ordering APIs, as an order's; `compensating`: what was done is being undone. */
export const ITEM_STATES = [
  'acknowledged',
  'inProgress',
  'pending',
  'held',
  'completed',
  'failed',
  'compensating',
  'cancelled',
] as const
export type ItemState = (typeof ITEM_STATES)[number]

const NEXT_ITEM: Readonly<Record<ItemState, readonly ItemState[]>> = {
  acknowledged: ['inProgress', 'pending', 'completed', 'held', 'cancelled', 'failed'],
  inProgress: ['pending', 'completed', 'failed', 'held', 'cancelled'],
  pending: ['inProgress', 'completed', 'failed', 'held', 'cancelled'],
  // Resumed, or told of by the provider after all; what was compensating goes on doing so.
  held: ['inProgress', 'pending', 'completed', 'failed', 'cancelled', 'compensating'],
  completed: ['compensating'],
  compensating: ['cancelled', 'held'],
  failed: [],
  cancelled: [],
}
/** Whether an item may go from one state to the other. */
export const itemMayBecome = (from: ItemState, to: ItemState): boolean => NEXT_ITEM[from].includes(to)

export const FINAL_ITEM_STATES = ['completed', 'failed', 'cancelled'] as const satisfies readonly ItemState[]
const FINAL_ITEMS: ReadonlySet<ItemState> = new Set(FINAL_ITEM_STATES)
export const isFinalItem = (state: ItemState): boolean => FINAL_ITEMS.has(state)

const FINAL_ORDERS: ReadonlySet<OrderState> = new Set(['completed', 'partial', 'failed', 'rejected', 'cancelled'])
export const isFinalOrder = (state: OrderState): boolean => FINAL_ORDERS.has(state)

/** What a provider is asked to do for an order of each action. */
export const PROVIDER_ACTION_OF = {
  any: 'begin',
  reserve: 'begin',
  range: 'begin',
  port: 'port',
  add: 'enable',
  move: 'move',
  change: 'change',
  delete: 'end',
  deleteAll: 'end',
} as const satisfies Readonly<Record<OrderAction, ProviderAction>>

/**
 * Whether each item of an order is of use by itself: the customer said so, or it is about the end of services,
 * which no provider takes back.
 */
export const standsAlone = (order: { readonly partialAllowed: boolean; readonly action: OrderAction }): boolean =>
  order.partialAllowed || PROVIDER_ACTION_OF[order.action] === 'end'

/** What the order's state follows from. */
export type OrderFacts = {
  /** Of all items, in any order; each state once is enough. */
  readonly items: readonly ItemState[]
  /** See `standsAlone`. */
  readonly partialAllowed: boolean
  /** Whether the customer asked for cancellation. */
  readonly isCancelRequested: boolean
  /** Whether more numbers were asked for than there were. */
  readonly isShort: boolean
}

/**
 * The state of an order, from those of its items (never stored on its own authority). An order that is not
 * allowed to be partial and has both completed and other final items is not final yet: what was completed
 * must be compensated first, see `needsCompensation`.
 */
export function deriveOrderState(facts: OrderFacts): OrderState {
  const { items, isCancelRequested, isShort } = facts
  const has = (...states: readonly ItemState[]) => items.some((state) => states.includes(state))
  const all = (state: ItemState) => items.every((item) => item === state)
  if (items.every(isFinalItem) && !needsCompensation(facts)) {
    if (all('completed')) return isShort ? 'partial' : 'completed'
    if (has('completed')) return 'partial'
    return has('failed') ? 'failed' : 'cancelled'
  }
  if (has('held')) return 'held'
  if (isCancelRequested) return has('compensating') ? 'pendingCancellation' : 'assessingCancellation'
  if (all('acknowledged')) return 'acknowledged'
  if (has('inProgress', 'compensating', 'acknowledged')) return 'inProgress'
  return has('pending') ? 'pending' : 'inProgress'
}

/** Whether completed items must be undone now: all is final, not all is well, and part of it is no use. */
export const needsCompensation = ({ items, partialAllowed }: Pick<OrderFacts, 'items' | 'partialAllowed'>): boolean =>
  !partialAllowed &&
  items.every(isFinalItem) &&
  items.includes('completed') &&
  items.some((state) => state === 'failed' || state === 'cancelled')
