import { sql, type RawBuilder } from 'kysely'
import type { DeliveryFilter } from '../core/delivery-record.ts'
import { parseCursor } from './cursor.ts'
import { toDate, toText } from './pg-values.ts'

/** The expression that the indexes of undelivered deliveries are limited to, word for word. */
export const UNDELIVERED = sql`(status <> 'delivered' or last_outcome <> 'delivered')`

/**
 * The rows of `deliveries` that match, as a `from` item with the name `d`: at most `limit`, in `order`
 * beginning after `cursor`. Throws `invalid_request` for a cursor that is not one.
 */
export function selectMatching(
  filter: DeliveryFilter,
  page: { readonly limit: number; readonly order: 'newest' | 'oldest' | 'any'; readonly cursor?: string | undefined },
): RawBuilder<unknown> {
  const conditions = [...conditionsOf(filter), ...beyond(page)]
  // A call has few deliveries. The fence (`offset 0`) keeps the planner from walking all of the app's in
  // order until it happens upon a page of them.
  const source =
    filter.callId === undefined
      ? sql`deliveries`
      : sql`(select * from deliveries where call_id = ${toText(filter.callId)} offset 0) of_call`
  return sql`(select * from ${source} where ${sql.join(conditions, sql` and `)} ${ORDERS[page.order]}
    limit ${page.limit}) d`
}

/** To be applied again to whatever is joined to a page. */
export const ORDERS = {
  newest: sql`order by created_at desc, delivery_id desc`,
  oldest: sql`order by created_at, delivery_id`,
  any: sql``,
} as const

function conditionsOf(filter: DeliveryFilter): readonly RawBuilder<unknown>[] {
  const { appId, endpointId, type, statuses, outcome, since, until } = filter
  return [
    sql`true`,
    ...(appId === undefined ? [] : [sql`app_id = ${appId}`]),
    ...(endpointId === undefined ? [] : [sql`endpoint_id = ${endpointId}`]),
    ...(type === undefined || type === '*' ? [] : [isType(toText(type))]),
    ...(statuses === undefined ? [] : [sql`status = any(${[...statuses]}::text[])`]),
    ...(outcome === undefined ? [] : [sql`last_outcome = ${outcome}`]),
    ...(filter.neverAttempted === true ? [sql`attempts = 0`] : []),
    ...(since === undefined ? [] : [sql`created_at >= ${toDate(since)}`]),
    ...(until === undefined ? [] : [sql`created_at < ${toDate(until)}`]),
    ...(isUndelivered(filter) ? [UNDELIVERED] : []),
  ]
}

/** A prefix as the range of texts that have it (`/` follows `.`), which the index can be asked for. */
const isType = (pattern: string): RawBuilder<unknown> =>
  pattern.endsWith('.*')
    ? sql`(type >= ${pattern.slice(0, -1)} and type < ${`${pattern.slice(0, -2)}/`})`
    : sql`type = ${pattern}`

/** Whether whatever matches was not delivered, or not by its last attempt: then a small index has it all. */
const isUndelivered = ({ statuses, outcome }: DeliveryFilter): boolean =>
  (statuses !== undefined && !statuses.includes('delivered')) || (outcome !== undefined && outcome !== 'delivered')

function beyond({
  order,
  cursor,
}: {
  readonly order: keyof typeof ORDERS
  readonly cursor?: string | undefined
}): readonly RawBuilder<unknown>[] {
  if (cursor === undefined) return []
  const { at, id } = parseCursor(cursor)
  const time = toDate(at)
  // The first condition is the one that an index can begin at.
  return order === 'newest'
    ? [sql`created_at <= ${time}`, sql`(created_at, delivery_id) < (${time}, ${id})`]
    : [sql`created_at >= ${time}`, sql`(created_at, delivery_id) > (${time}, ${id})`]
}
