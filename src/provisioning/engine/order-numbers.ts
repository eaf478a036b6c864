import { sql } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import { FINAL_ITEM_STATES, PROVIDER_ACTION_OF } from '../model/order.ts'
import type { OrderTerms, PlaceOrder } from '../model/order-terms.ts'
import type { Queries } from '../store/database.ts'
import { claimAny, claimPortIn, claimRange, claimReserved } from '../store/numbers-claims.ts'
import { refuse } from './order-checks.ts'
import { refuseHoarding } from './scheduled-numbers.ts'

/** Which numbers an order is about, locked for it, and how many were asked for. */
export type OrderNumbers = { readonly numbers: readonly string[]; readonly asked: number }

type Ask = { readonly request: PlaceOrder; readonly orderId: string; readonly kind: string }

/** Numbers of an error; more of them help nobody. */
const NAMED_MAX = 100
/** For the advisory locks of `lockNames`: two keys, the second a bucket. */
const LOCK_SPACE = 7_301
const LOCK_BUCKETS = 256

/**
 * Gets hold of the order's numbers. Rejects with `numbers_unavailable` for numbers that somebody else has,
 * `number_busy` for those that another order is about, `in_use` for those that carry another service, and
 * `order_refused` for those that the customer does not have; and with `quantity_exceeded` as `refuseHoarding` does.
 */
export async function takeNumbers(tx: Queries, ask: Ask): Promise<OrderNumbers> {
  const taken = await takeByAction(tx, ask)
  if (taken.numbers.length === 0 || (taken.numbers.length < taken.asked && !ask.request.partialAllowed)) {
    throw new GatewayError('numbers_unavailable', {
      detail: `${taken.numbers.length} of ${taken.asked} numbers are available.`,
      fields: { available: taken.numbers.length, requested: taken.asked },
    })
  }
  await refuseHoarding(tx, ask.request, taken.asked)
  await refuseBusy(tx, ask.request.productId, taken.numbers)
  return { ...taken, numbers: taken.numbers.toSorted() }
}

async function takeByAction(tx: Queries, { request, orderId, kind }: Ask): Promise<OrderNumbers> {
  const { customerId, productId, terms } = request
  const claim = { customerId, productId, orderId }
  switch (terms.action) {
    case 'any': {
      const numbers = await claimAny(tx, { ...claim, filter: terms.filter, quantity: terms.quantity })
      return { numbers, asked: terms.quantity }
    }
    case 'range': {
      const numbers = await claimRange(tx, { ...claim, start: terms.start, size: terms.size })
      return { numbers, asked: terms.size }
    }
    case 'reserve':
      return takeReserved(tx, { ...claim, terms })
    case 'port': {
      const numbers = await claimPortIn(tx, { ...claim, numbers: terms.numbers })
      return { numbers, asked: terms.numbers.length }
    }
    case 'add':
      await refuseTaken(tx, { customerId, productId, numbers: terms.numbers })
      return { numbers: terms.numbers, asked: terms.numbers.length }
    case 'move':
    case 'change':
    case 'delete':
      return lockServices(tx, { customerId, productId, kind, terms })
    case 'deleteAll':
      return lockAllServices(tx, { customerId, productId, kind, terms })
    default:
      return terms satisfies never
  }
}

async function takeReserved(
  tx: Queries,
  claim: {
    readonly customerId: string
    readonly productId: string
    readonly orderId: string
    readonly terms: Extract<OrderTerms, { action: 'reserve' }>
  },
): Promise<OrderNumbers> {
  const { customerId, terms } = claim
  const ids = [...new Set(terms.reservationIds)]
  const known = await tx
    .selectFrom('reservations')
    .select('reservation_id')
    .where('customer_id', '=', customerId)
    .where(sql<boolean>`reservation_id = any(${ids}::text[])`)
    .execute()
  if (known.length < ids.length) throw new GatewayError('reservation_not_found')
  const numbers = await claimReserved(tx, { ...claim, reservationIds: ids, numbers: terms.numbers })
  return { numbers, asked: terms.numbers?.length ?? Math.max(1, numbers.length) }
}

/** A number can be given a service by its own customer, or by anybody if it is nobody's here. */
async function refuseTaken(
  tx: Queries,
  {
    customerId,
    productId,
    numbers,
  }: { readonly customerId: string; readonly productId: string; readonly numbers: readonly string[] },
): Promise<void> {
  await lockNames(tx, numbers)
  const { rows } = await sql<{ e164: string }>`
    select e164 from numbers where e164 = any(${[...numbers]}::text[]) and customer_id <> ${customerId}
      and (state in ('in_service', 'port_in', 'port_out') or state = 'reserved' and order_id is not null)
    union
    select e164 from services join products using (product_id)
    where e164 = any(${[...numbers]}::text[]) and state <> 'ended' and kind = 'messaging'
    union
    select e164 from order_items join products using (product_id)
    where e164 = any(${[...numbers]}::text[]) and kind = 'messaging' and product_id <> ${productId}
      and state not in ('completed', 'failed', 'cancelled')
    order by e164`.execute(tx)
  if (rows.length > 0) throw unavailable(rows)
}

/** Keeps two orders from giving the same number two services of a kind; in buckets, as locks are few. */
async function lockNames(tx: Queries, numbers: readonly string[]): Promise<void> {
  await sql`
    select pg_advisory_xact_lock(${LOCK_SPACE}::integer, bucket) from (
      select distinct abs(hashtext(e164) % ${LOCK_BUCKETS}::integer) as bucket
      from unnest(${[...numbers]}::text[]) as named (e164) order by bucket) as buckets`.execute(tx)
}

type Serviced = { readonly customerId: string; readonly productId: string; readonly kind: string }

async function lockServices(
  tx: Queries,
  {
    customerId,
    productId,
    kind,
    terms,
  }: Serviced & { readonly terms: Extract<OrderTerms, { action: 'move' | 'change' | 'delete' }> },
): Promise<OrderNumbers> {
  const rows = await tx
    .selectFrom('services')
    .select('e164')
    .where('customer_id', '=', customerId)
    .where('product_id', '=', productId)
    .where('state', '<>', 'ended')
    .where(sql<boolean>`e164 = any(${[...terms.numbers]}::text[])`)
    .orderBy('e164')
    .forUpdate()
    .execute()
  const numbers = rows.map((row) => row.e164)
  const missing = terms.numbers.filter((number) => !numbers.includes(number))
  if (missing.length > 0) {
    throw refuse('numbers', 'The customer has no service of this product on some of the numbers.', {
      numbers: missing.slice(0, NAMED_MAX),
    })
  }
  if (PROVIDER_ACTION_OF[terms.action] === 'end') await refuseCarrying(tx, { productId, kind, numbers })
  return { numbers, asked: numbers.length }
}

async function lockAllServices(
  tx: Queries,
  { customerId, productId, kind, terms }: Serviced & { readonly terms: Extract<OrderTerms, { action: 'deleteAll' }> },
): Promise<OrderNumbers> {
  const rows = await tx
    .selectFrom('services')
    .select('e164')
    .where('customer_id', '=', customerId)
    .where('product_id', '=', productId)
    .where('state', '<>', 'ended')
    .orderBy('e164')
    .forUpdate()
    .execute()
  if (rows.length !== terms.confirm) {
    throw refuse('confirm', `The customer has ${rows.length} numbers of this product.`, { count: rows.length })
  }
  const numbers = rows.map((row) => row.e164)
  await refuseCarrying(tx, { productId, kind, numbers })
  return { numbers, asked: numbers.length }
}

/** A number that goes would leave what was built on it to whoever gets it next. */
async function refuseCarrying(
  tx: Queries,
  {
    productId,
    kind,
    numbers,
  }: { readonly productId: string; readonly kind: string; readonly numbers: readonly string[] },
): Promise<void> {
  if (kind !== 'number') return
  await lockNames(tx, numbers)
  const { rows } = await sql<{ e164: string }>`
    select e164 from services
    where e164 = any(${[...numbers]}::text[]) and product_id <> ${productId} and state <> 'ended'
    union
    select e164 from order_items
    where e164 = any(${[...numbers]}::text[]) and product_id <> ${productId}
      and state not in ('completed', 'failed', 'cancelled')
    order by e164`.execute(tx)
  if (rows.length === 0) return
  throw new GatewayError('in_use', {
    detail: 'Some of the numbers carry another service, which must be ended first.',
    fields: { numbers: named(rows) },
  })
}

/** The index `order_items_live` would refuse it as well, but without saying which. */
async function refuseBusy(tx: Queries, productId: string, numbers: readonly string[]): Promise<void> {
  const rows = await tx
    .selectFrom('order_items')
    .select('e164')
    .where('product_id', '=', productId)
    .where('state', 'not in', FINAL_ITEM_STATES)
    .where(sql<boolean>`e164 = any(${[...numbers]}::text[])`)
    .orderBy('e164')
    .execute()
  if (rows.length > 0) throw new GatewayError('number_busy', { fields: { numbers: named(rows) } })
}

const unavailable = (rows: readonly { readonly e164: string }[]): GatewayError =>
  new GatewayError('numbers_unavailable', { fields: { numbers: named(rows) } })

const named = (rows: readonly { readonly e164: string }[]): readonly string[] =>
  rows.slice(0, NAMED_MAX).map((row) => row.e164)
