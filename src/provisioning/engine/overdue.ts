import type { FulfilmentRow, ItemRow } from '../store/fulfilments.ts'
import type { LockedOrder } from './locked-order.ts'

const DAY_MS = 86_400_000
/** No date that is agreed on is further ahead. */
const AHEAD_MAX_MS = 366 * DAY_MS

/**
 * Whether a provider has had a request for too long: `waitDays` from when it was sent, or an operator had it go on, or
 * from the day on which the last of its numbers was to come over.
 */
export function isOverdue({
  order,
  fulfilment,
  items,
  waitDays,
}: {
  readonly order: Pick<LockedOrder, 'now' | 'parameters'>
  readonly fulfilment: Pick<FulfilmentRow, 'waits_since'>
  readonly items: readonly Pick<ItemRow, 'foc_date'>[]
  readonly waitDays: number
}): boolean {
  const { parameters } = order
  const since = fulfilment.waits_since.getTime()
  const asked = parameters.action === 'port' ? (parameters.requestedFocDate ?? since) : since
  const agreed = items.map((item) => item.foc_date?.getTime() ?? since)
  const latest = [asked, ...agreed].reduce((last, date) => Math.max(last, date), since)
  return order.now.getTime() > Math.min(latest, since + AHEAD_MAX_MS) + waitDays * DAY_MS
}
