import type { OrderAction, OrderState } from '../../core/provisioning-event.ts'

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
  acknowledged: ['inProgress', 'held', 'cancelled', 'failed'],
  inProgress: ['pending', 'completed', 'failed', 'held', 'cancelled'],
  pending: ['inProgress', 'completed', 'failed', 'held', 'cancelled'],
  held: ['acknowledged', 'inProgress', 'cancelled', 'failed'],
  completed: ['compensating'],
  compensating: ['cancelled', 'completed'],
  failed: [],
  cancelled: [],
}
/** Whether an item may go from one state to the other. */
export const itemMayBecome = (from: ItemState, to: ItemState): boolean => NEXT_ITEM[from].includes(to)

const FINAL_ITEMS: ReadonlySet<ItemState> = new Set(['completed', 'failed', 'cancelled'])
export const isFinalItem = (state: ItemState): boolean => FINAL_ITEMS.has(state)

const FINAL_ORDERS: ReadonlySet<OrderState> = new Set(['completed', 'partial', 'failed', 'rejected', 'cancelled'])
export const isFinalOrder = (state: OrderState): boolean => FINAL_ORDERS.has(state)

/** What the order's state follows from. */
export type OrderFacts = {
  readonly items: readonly ItemState[]
  readonly partialAllowed: boolean
  /** Whether the customer asked for cancellation. */
  readonly isCancelRequested: boolean
}

/**
 * The state of an order, from those of its items (never stored on its own authority). An order that is not
 * allowed to be partial and has both completed and other final items is not final yet: what was completed
 * must be compensated first, see `needsCompensation`.
 */
export function deriveOrderState({ items, partialAllowed, isCancelRequested }: OrderFacts): OrderState {
  const has = (...states: readonly ItemState[]) => items.some((state) => states.includes(state))
  const all = (state: ItemState) => items.every((item) => item === state)
  if (items.every(isFinalItem) && !needsCompensation({ items, partialAllowed, isCancelRequested })) {
    if (all('completed')) return 'completed'
    if (has('completed')) return 'partial'
    return has('failed') ? 'failed' : 'cancelled'
  }
  if (isCancelRequested) return has('compensating') ? 'pendingCancellation' : 'assessingCancellation'
  if (has('held')) return 'held'
  if (all('acknowledged')) return 'acknowledged'
  if (has('inProgress', 'compensating', 'acknowledged')) return 'inProgress'
  return has('pending') ? 'pending' : 'inProgress'
}

/** Whether completed items must be undone now: all is final, not all is well, and part of it is no use. */
export const needsCompensation = ({ items, partialAllowed }: OrderFacts): boolean =>
  !partialAllowed &&
  items.every(isFinalItem) &&
  items.includes('completed') &&
  items.some((state) => state === 'failed' || state === 'cancelled')
