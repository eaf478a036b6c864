import { sql } from 'kysely'
import type { ProviderRequest } from '../model/provider.ts'
import type { Queries } from '../store/database.ts'
import type { FulfilmentRow, ItemRow } from '../store/fulfilments.ts'
import type { LockedOrder } from './locked-order.ts'

type Attributes = Readonly<Record<string, unknown>>

/** What the provider is asked for, the same at every attempt: the fulfilment's id is the idempotency key. */
export async function toProviderRequest(
  tx: Queries,
  {
    order,
    fulfilment,
    items,
  }: { readonly order: LockedOrder; readonly fulfilment: FulfilmentRow; readonly items: readonly ItemRow[] },
): Promise<ProviderRequest> {
  const isUndoing = fulfilment.is_compensation && fulfilment.action !== 'end'
  const former = isUndoing ? await readFormer(tx, order, items) : new Map<string, Attributes>()
  const wanted = fulfilment.is_compensation ? { reason: 'the order was not completed' } : await readWanted(tx, order)
  return {
    action: fulfilment.action,
    productId: order.product_id,
    idempotencyKey: fulfilment.fulfilment_id,
    lines: items.map((item) => ({
      e164: item.e164,
      ...(item.provider_ref !== null && { providerRef: item.provider_ref }),
      attributes: former.get(item.e164) ?? wanted,
    })),
  }
}

async function readWanted(tx: Queries, order: LockedOrder): Promise<Attributes> {
  const terms = order.parameters
  switch (terms.action) {
    case 'any':
    case 'reserve':
    case 'range':
      return withLocation(tx, { locationId: terms.locationId, connectionId: terms.connectionId })
    case 'port': {
      const { action: _, ...attributes } = terms
      return withLocation(tx, attributes)
    }
    case 'move':
      return withLocation(tx, { locationId: terms.toLocationId, connectionId: terms.toConnectionId })
    case 'add':
      return withoutUndefined({ externalId: terms.externalId })
    case 'change':
      return terms.changes
    case 'delete':
    case 'deleteAll':
      return { reason: terms.reason }
    default:
      return terms satisfies never
  }
}

/** As the services still are here: a change or a move takes effect only when all of the order is done. */
async function readFormer(
  tx: Queries,
  order: LockedOrder,
  items: readonly ItemRow[],
): Promise<ReadonlyMap<string, Attributes>> {
  const services = await tx
    .selectFrom('services')
    .selectAll()
    .where('product_id', '=', order.product_id)
    .where('state', '<>', 'ended')
    .where(sql<boolean>`e164 = any(${items.map((item) => item.e164)}::text[])`)
    .execute()
  const former = new Map<string, Attributes>()
  for (const service of services) {
    const place = { locationId: service.location_id ?? undefined, connectionId: service.connection_id ?? undefined }
    const own = {
      features: service.features,
      callerName: service.caller_name ?? undefined,
      directoryListing: service.directory_listing ?? undefined,
      externalId: service.external_id ?? undefined,
      connectionId: place.connectionId,
    }
    former.set(service.e164, order.action === 'move' ? await withLocation(tx, place) : withoutUndefined(own))
  }
  return former
}

/** With the address itself: a carrier does not know our ids. */
async function withLocation(tx: Queries, attributes: Attributes & { readonly locationId?: string | undefined }) {
  const { locationId } = attributes
  const present = withoutUndefined(attributes)
  if (locationId === undefined) return present
  const row = await tx
    .selectFrom('product_locations')
    .select(['name', 'line1', 'line2', 'city', 'region', 'postal_code', 'country'])
    .where('location_id', '=', locationId)
    .executeTakeFirst()
  if (row === undefined) return present
  const { postal_code: postalCode, line2, region, ...rest } = row
  const location = { ...rest, postalCode, ...(line2 !== null && { line2 }), ...(region !== null && { region }) }
  return { ...present, location }
}

const withoutUndefined = (attributes: Attributes): Attributes =>
  Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined))
