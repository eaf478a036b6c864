import { sql } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import { BEGINNING_ACTIONS } from '../model/order.ts'
import { ORDER_NUMBERS_MAX, type OrderTerms, type PlaceOrder } from '../model/order-terms.ts'
import type { NumberProvider } from '../model/provider.ts'
import type { Queries } from '../store/database.ts'
import { takesForLater } from './scheduled-numbers.ts'

/** Of what an order is, once it has been checked. */
export type CheckedOrder = {
  readonly customer: { readonly appId: string | null; readonly currency: string }
  readonly product: { readonly kind: string; readonly name: string }
  readonly provider: NumberProvider
  /** Of each number; zero for what begins no service. */
  readonly unitOneTime: string
  readonly unitMonthly: string
  /** The database's. */
  readonly now: Date
}

/** For how long ahead an order may be. */
const AHEAD_MAX = `interval '1 year'`

/**
 * Checks an order against the customer, the catalogue and the calendar. Rejects with `customer_not_found`,
 * `customer_inactive`, `product_not_found`, or `order_refused` with the field that is wrong.
 */
export async function checkOrder(
  tx: Queries,
  request: PlaceOrder,
  providers: ReadonlyMap<string, NumberProvider>,
): Promise<CheckedOrder> {
  const customer = await checkCustomer(tx, request)
  const product = await checkProduct(tx, request)
  checkTerms(request.terms, product.kind)
  const provider = providers.get(product.provider)
  if (provider === undefined) {
    throw refuse('product_id', 'Nobody provides the product here.')
  }
  await checkPlaces(tx, request)
  const now = await checkDate(tx, 'requested_date', request.requestedDate)
  if (request.terms.action === 'port') await checkDate(tx, 'requested_foc_date', request.terms.requestedFocDate)
  const price = await readPrice(tx, request, customer.currency)
  return { customer, product, provider, ...price, now }
}

/**
 * The lock keeps the customer from being removed, or suspended, meanwhile; orders that take numbers for later follow one
 * another, as these are counted.
 */
async function checkCustomer(tx: Queries, request: PlaceOrder): Promise<CheckedOrder['customer']> {
  const query = tx
    .selectFrom('customers')
    .select(['app_id', 'currency', 'status'])
    .where('customer_id', '=', request.customerId)
    .where('removed_at', 'is', null)
  const row = await (takesForLater(request) ? query.forNoKeyUpdate() : query.forShare()).executeTakeFirst()
  if (row === undefined) throw new GatewayError('customer_not_found')
  if (row.status !== 'active') throw new GatewayError('customer_inactive', { fields: { status: row.status } })
  return { appId: row.app_id, currency: row.currency }
}

async function checkProduct(
  tx: Queries,
  { productId, terms }: PlaceOrder,
): Promise<CheckedOrder['product'] & { readonly provider: string }> {
  const row = await tx
    .selectFrom('products')
    .select(['kind', 'name', 'provider', 'actions', 'is_active'])
    .where('product_id', '=', productId)
    .executeTakeFirst()
  if (row === undefined) throw new GatewayError('product_not_found')
  const isOffered = row.is_active || !BEGINNING_ACTIONS.has(terms.action)
  if (!isOffered) throw new GatewayError('product_not_found')
  if (!Array.isArray(row.actions) || !row.actions.includes(terms.action)) {
    throw refuse('action', `The product does not have the action ${terms.action}.`)
  }
  return row
}

function checkTerms(terms: OrderTerms, kind: string): void {
  if ((terms.action === 'add') !== (kind === 'messaging') && BEGINNING_ACTIONS.has(terms.action)) {
    throw refuse('action', `A ${kind} product does not have the action ${terms.action}.`)
  }
  const { field, count } = countOf(terms)
  if (!Number.isInteger(count) || count < 1 || count > ORDER_NUMBERS_MAX) {
    throw refuse(field, `An order is for 1 to ${ORDER_NUMBERS_MAX} numbers.`)
  }
  if ('numbers' in terms && terms.numbers !== undefined && new Set(terms.numbers).size < terms.numbers.length) {
    throw refuse('numbers', 'A number is named twice.')
  }
}

function countOf(terms: OrderTerms): { readonly field: string; readonly count: number } {
  switch (terms.action) {
    case 'any':
      return { field: 'quantity', count: terms.quantity }
    case 'range':
      return { field: 'size', count: terms.size }
    case 'deleteAll':
      return { field: 'confirm', count: terms.confirm }
    case 'reserve':
      return { field: 'reservation_ids', count: terms.numbers?.length ?? terms.reservationIds.length }
    case 'port':
    case 'add':
    case 'move':
    case 'change':
    case 'delete':
      return { field: 'numbers', count: terms.numbers.length }
    default:
      return terms satisfies never
  }
}

async function checkPlaces(tx: Queries, { customerId, terms }: PlaceOrder): Promise<void> {
  const { locationId, connectionId } = placesOf(terms)
  if (locationId !== undefined) {
    const found = await tx
      .selectFrom('product_locations')
      .select('location_id')
      .where('location_id', '=', locationId)
      .where('customer_id', '=', customerId)
      .forShare()
      .executeTakeFirst()
    if (found === undefined) throw refuse('location_id', 'The customer has no such location.')
  }
  if (connectionId !== undefined) {
    const found = await tx
      .selectFrom('connections')
      .select('connection_id')
      .where('connection_id', '=', connectionId)
      .where('customer_id', '=', customerId)
      .where('status', '=', 'active')
      .forShare()
      .executeTakeFirst()
    if (found === undefined) throw refuse('connection_id', 'The customer has no such active connection.')
  }
}

function placesOf(terms: OrderTerms): { readonly locationId?: string; readonly connectionId?: string } {
  switch (terms.action) {
    case 'any':
    case 'port':
    case 'reserve':
    case 'range':
      return terms
    case 'move':
      return {
        locationId: terms.toLocationId,
        ...(terms.toConnectionId !== undefined && { connectionId: terms.toConnectionId }),
      }
    case 'change':
      return terms.changes.connectionId === undefined ? {} : { connectionId: terms.changes.connectionId }
    case 'add':
    case 'delete':
    case 'deleteAll':
      return {}
    default:
      return terms satisfies never
  }
}

/** By the database's clock, which is what decides when an order is due. */
async function checkDate(tx: Queries, field: string, requested: number | undefined): Promise<Date> {
  const date = requested === undefined ? null : new Date(requested)
  const { rows } = await sql<{ now: Date; is_future: boolean | null; is_near: boolean | null }>`
    select now() as now, ${date}::timestamptz > now() as is_future,
      ${date}::timestamptz <= now() + ${sql.raw(AHEAD_MAX)} as is_near`.execute(tx)
  const [row] = rows
  if (row === undefined) throw new GatewayError('internal')
  if (row.is_future === false) throw refuse(field, 'The date is in the past.')
  if (row.is_near === false) throw refuse(field, 'The date is more than a year ahead.')
  return row.now
}

async function readPrice(
  tx: Queries,
  { productId, terms }: PlaceOrder,
  currency: string,
): Promise<Pick<CheckedOrder, 'unitOneTime' | 'unitMonthly'>> {
  if (!BEGINNING_ACTIONS.has(terms.action)) return { unitOneTime: '0', unitMonthly: '0' }
  const row = await tx
    .selectFrom('product_prices')
    .select(['one_time', 'monthly'])
    .where('product_id', '=', productId)
    .where('currency', '=', currency)
    .executeTakeFirst()
  if (row === undefined) throw refuse('product_id', `The product has no price in the customer's currency, ${currency}.`)
  return { unitOneTime: row.one_time, unitMonthly: row.monthly }
}

/** An order that cannot be placed as it is; `field` as on the wire, in snake case. */
export const refuse = (field: string, detail: string, fields: Readonly<Record<string, unknown>> = {}): GatewayError =>
  new GatewayError('order_refused', { detail, fields: { field, ...fields } })
