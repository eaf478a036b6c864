import { sql } from 'kysely'
import { newId } from '../model/ids.ts'
import { BEGINNING_ACTIONS, PROVIDER_ACTION_OF } from '../model/order.ts'
import type { OrderParameters, ServiceChanges } from '../model/order-terms.ts'
import type { Queries } from '../store/database.ts'
import { putInService, releaseNumbers } from '../store/numbers-transitions.ts'
import type { LockedOrder } from './locked-order.ts'
import { tellNumbers } from './order-events.ts'

/** An item that the provider has carried out. */
export type DoneItem = { readonly e164: string; readonly provider_ref: string | null }

/**
 * Makes true here what the provider has done: services begin, change, move or end, and numbers with them. Called
 * once for each item, when it is certain to stand; see `standsAlone`.
 */
export async function takeEffect(
  tx: Queries,
  order: LockedOrder,
  { items, agingDays }: { readonly items: readonly DoneItem[]; readonly agingDays: number },
): Promise<void> {
  if (items.length === 0) return
  if (BEGINNING_ACTIONS.has(order.action)) return beginServices(tx, order, items)
  if (PROVIDER_ACTION_OF[order.action] === 'end') return endServices(tx, order, { items, agingDays })
  return changeServices(tx, order, items)
}

async function beginServices(tx: Queries, order: LockedOrder, items: readonly DoneItem[]): Promise<void> {
  const numbers = items.map((item) => item.e164)
  const isNumber = order.product_kind === 'number'
  const place = placeOf(order.parameters)
  if (isNumber) await putInService(tx, { numbers, customerId: order.customer_id })
  const begun = items.map((item) => ({ ...item, serviceId: newId('service', order.now.getTime()) }))
  await sql`
    insert into services (service_id, customer_id, product_id, e164, state, external_id, location_id, connection_id,
      features, currency, monthly_price, order_id, provider_ref)
    select begun.service_id, ${order.customer_id}, ${order.product_id}, begun.e164, 'active',
      ${place.externalId ?? null}, ${place.locationId ?? null}, ${place.connectionId ?? null}, coalesce(numbers.features, '[]'::jsonb), ${order.currency},
      items.monthly_price, ${order.order_id}, begun.provider_ref
    from unnest(${begun.map((item) => item.serviceId)}::text[], ${numbers}::text[],
        ${items.map((item) => item.provider_ref)}::text[]) as begun (service_id, e164, provider_ref)
      join order_items items on items.order_id = ${order.order_id} and items.e164 = begun.e164
      left join numbers on numbers.e164 = begun.e164`.execute(tx)
  await tellNumbers(
    tx,
    order,
    begun.map((item) => ({
      number: item.e164,
      serviceId: item.serviceId,
      event: 'number.in_service',
      state: 'in_service',
      ...(isNumber && { previousState: order.action === 'port' ? ('port_in' as const) : ('reserved' as const) }),
    })),
  )
}

async function endServices(
  tx: Queries,
  order: LockedOrder,
  { items, agingDays }: { readonly items: readonly DoneItem[]; readonly agingDays: number },
): Promise<void> {
  const { rows: ended } = await sql<{ service_id: string; e164: string; is_ported: boolean }>`
    update services set state = 'ended', ended_at = now(), updated_at = now()
    where customer_id = ${order.customer_id} and product_id = ${order.product_id} and state <> 'ended'
      and e164 = any(${items.map((item) => item.e164)}::text[])
    returning service_id, e164,
      (select action from orders where orders.order_id = services.order_id) = 'port' as is_ported`.execute(tx)
  const isNumber = order.product_kind === 'number'
  for (const isPorted of isNumber ? [false, true] : []) {
    const numbers = ended.filter((service) => service.is_ported === isPorted).map((service) => service.e164)
    if (numbers.length > 0) await releaseNumbers(tx, { numbers, to: stateOf(isPorted), agingDays })
  }
  await tellNumbers(
    tx,
    order,
    ended.map((service) => ({
      number: service.e164,
      serviceId: service.service_id,
      event: 'number.released',
      state: isNumber ? stateOf(service.is_ported) : 'released',
      previousState: 'in_service',
    })),
  )
}

/** A number that was ported in goes back to the carrier that it was from. */
const stateOf = (isPorted: boolean) => (isPorted ? ('removed' as const) : ('aging' as const))

async function changeServices(tx: Queries, order: LockedOrder, items: readonly DoneItem[]): Promise<void> {
  const changes = changesOf(order)
  const rows = await tx
    .updateTable('services')
    .set({
      ...(changes.features !== undefined && { features: JSON.stringify(changes.features) }),
      ...(changes.callerName !== undefined && { caller_name: changes.callerName }),
      ...(changes.directoryListing !== undefined && { directory_listing: changes.directoryListing }),
      ...(changes.externalId !== undefined && { external_id: changes.externalId }),
      ...(changes.connectionId !== undefined && { connection_id: changes.connectionId }),
      ...(changes.locationId !== undefined && { location_id: changes.locationId }),
      updated_at: sql<Date>`now()`,
    })
    .where('customer_id', '=', order.customer_id)
    .where('product_id', '=', order.product_id)
    .where('state', '<>', 'ended')
    .where(sql<boolean>`e164 = any(${items.map((item) => item.e164)}::text[])`)
    .returning(['service_id', 'e164'])
    .execute()
  await tellNumbers(
    tx,
    order,
    rows.map((service) => ({
      number: service.e164,
      serviceId: service.service_id,
      event: 'number.changed',
      state: 'in_service',
    })),
  )
}

/** What a `move` or a `change` makes different. */
function changesOf(order: LockedOrder): ServiceChanges & { readonly locationId?: string } {
  const terms = order.parameters
  if (terms.action === 'change') return terms.changes
  if (terms.action !== 'move') return {}
  return {
    locationId: terms.toLocationId,
    ...(terms.toConnectionId !== undefined && { connectionId: terms.toConnectionId }),
  }
}

/** Where services begin, and what the caller calls them. */
function placeOf(terms: OrderParameters): {
  readonly locationId?: string
  readonly connectionId?: string
  readonly externalId?: string
} {
  switch (terms.action) {
    case 'any':
    case 'port':
    case 'reserve':
    case 'range':
    case 'add':
      return terms
    case 'move':
    case 'change':
    case 'delete':
    case 'deleteAll':
      return {}
    default:
      return terms satisfies never
  }
}
