import { sql, type RawBuilder } from 'kysely'
import type { NumberFilter } from '../model/number-filter.ts'
import { countryOf, stepNumber } from '../model/number-plan.ts'
import type { Queries } from './database.ts'
import { IS_AVAILABLE, IS_LAPSED, matchNumbers, walkFree, type NumberCriteria } from './number-conditions.ts'
import { findRuns } from './numbers-runs.ts'

/** How often a run is looked for again, when somebody else took a number of it meanwhile. */
const RUN_ATTEMPTS = 5

/** For whom numbers are claimed. */
type Claimant = { readonly customerId: string; readonly orderId: string }

/**
 * Takes any numbers of a product for an order: they are `reserved` and carry its id when the transaction is
 * committed. Returns fewer than asked for when there are no more; whoever wants all or nothing rolls back.
 * Numbers that somebody else is taking at this moment are passed over, so claims never wait for one another.
 */
export async function claimAny(
  tx: Queries,
  claim: Claimant & { readonly productId: string; readonly filter: NumberFilter; readonly quantity: number },
): Promise<string[]> {
  if (claim.quantity <= 0) return []
  const { consecutive = 1 } = claim.filter
  if (consecutive > 1) return claimRuns(tx, claim)
  return take(tx, claim, pickFree({ ...claim.filter, productId: claim.productId }, claim.quantity))
}

/** Takes `size` numbers that follow one another from `start` on: all of them, or none. */
export async function claimRange(
  tx: Queries,
  claim: Claimant & { readonly productId: string; readonly start: string; readonly size: number },
): Promise<string[]> {
  const numbers = Array.from({ length: claim.size }, (_, step) => stepNumber(claim.start, step))
  const asked = numbers.filter((number) => number !== undefined)
  if (asked.length === 0 || asked.length < claim.size) return []
  const wanted = sql<boolean>`numbers.product_id = ${claim.productId}`
  return take(tx, claim, pickNamed(asked, wanted), asked.length)
}

/**
 * Takes numbers out of the customer's live reservations: all of the product, or those named. A reservation of
 * which nothing is held any longer is `consumed`.
 */
export async function claimReserved(
  tx: Queries,
  claim: Claimant & {
    readonly reservationIds: readonly string[]
    readonly numbers?: readonly string[] | undefined
    readonly productId: string
  },
): Promise<string[]> {
  const { rows } = await sql<{ e164: string }>`
    with live as materialized (
      select reservation_id from reservations
      where reservation_id = any(${[...claim.reservationIds]}::text[]) and customer_id = ${claim.customerId}
        and state = 'active' and expires_at > now()
      order by reservation_id for update),
    picked as materialized (
      select e164, reservation_id from numbers
      where reservation_id in (select reservation_id from live) and product_id = ${claim.productId}
        and customer_id = ${claim.customerId} and reserved_until > now()
        and (${claim.numbers === undefined}::boolean or e164 = any(${[...(claim.numbers ?? [])]}::text[]))
      order by e164 for update),
    consumed as (
      update reservation_items set state = 'consumed' where state = 'held' and e164 = any(array(select e164 from picked))
      returning reservation_id, e164),
    ended as (
      update reservations set state = 'consumed', updated_at = now()
      where reservation_id in (select reservation_id from live)
        and not exists (select from reservation_items i where i.reservation_id = reservations.reservation_id
          and i.state = 'held' and i.e164 not in (select e164 from picked)))
    update numbers set order_id = ${claim.orderId}, reservation_id = null, reserved_until = null,
      updated_at = now(), version = version + 1
    where e164 = any(array(select e164 from picked))
    returning e164`.execute(tx)
  return rows.map((row) => row.e164).toSorted()
}

/**
 * Books numbers that are to be ported to us as `port_in`. Those that are ours already, or in other hands, are
 * left out; a number that left us before may come back.
 */
export async function claimPortIn(
  tx: Queries,
  claim: Claimant & { readonly productId: string; readonly numbers: readonly string[] },
): Promise<string[]> {
  const known = claim.numbers.map((number) => ({ number, country: countryOf(number) }))
  const rows = known.flatMap(({ number, country }) => (country === undefined ? [] : [{ number, country }]))
  if (rows.length === 0) return []
  const claimed = await sql<{ e164: string }>`
    insert into numbers (e164, product_id, country, state, customer_id, order_id)
    select asked.e164, ${claim.productId}, asked.country, 'port_in', ${claim.customerId}, ${claim.orderId}
    from unnest(${rows.map((row) => row.number)}::text[], ${rows.map((row) => row.country)}::text[])
      as asked (e164, country)
    group by asked.e164, asked.country order by asked.e164 collate "C"
    on conflict (e164) do update set product_id = excluded.product_id, state = 'port_in',
      customer_id = excluded.customer_id, order_id = excluded.order_id, reservation_id = null, reserved_until = null,
      aging_until = null, updated_at = now(), version = numbers.version + 1
    where numbers.state = 'removed'
    returning e164`.execute(tx)
  return claimed.rows.map((row) => row.e164).toSorted()
}

/** In runs, each whole at the moment that it was found; looked for again when it no longer is. */
async function claimRuns(
  tx: Queries,
  claim: Claimant & { readonly productId: string; readonly filter: NumberFilter; readonly quantity: number },
): Promise<string[]> {
  const { consecutive = 1 } = claim.filter
  const claimed: string[] = []
  for (let attempt = 0; attempt < RUN_ATTEMPTS && claimed.length < claim.quantity; attempt += 1) {
    const missing = claim.quantity - claimed.length
    const criteria = { ...claim.filter, productId: claim.productId }
    const runs = await findRuns(tx, { criteria, length: consecutive, limit: Math.ceil(missing / consecutive) })
    if (runs.length === 0) break
    for (const start of runs) {
      const size = Math.min(consecutive, claim.quantity - claimed.length)
      claimed.push(...(await claimRange(tx, { ...claim, start, size })))
    }
  }
  return claimed.toSorted()
}

/** Rows of numbers that are free now and locked. */
type PickedNumbers = RawBuilder<unknown>

/**
 * Common table expressions that end with `picked (e164, lapsed)`: up to `quantity` free numbers in order, after
 * them those whose hold has lapsed and is taken over.
 */
export function pickFree(criteria: NumberCriteria, quantity: number): PickedNumbers {
  const { wanted, order } = walkFree(criteria)
  return sql`
    free as materialized (
      select e164 from numbers where ${wanted} order by ${order} limit ${quantity}::integer for update skip locked),
    lapsed as materialized (
      select e164 from numbers where ${IS_LAPSED} and ${matchNumbers(criteria)}
      order by e164 limit ${quantity}::integer - (select count(*) from free) for update skip locked),
    picked as materialized (
      select e164, false as lapsed from free union all select e164, true from lapsed)`
}

/** As {@link pickFree}, of the numbers named. Waits for whoever has one of them locked, in their order. */
export const pickNamed = (numbers: readonly string[], wanted: RawBuilder<unknown>): PickedNumbers => sql`
  picked as materialized (
    select e164, reserved_until is not null as lapsed from numbers
    where e164 = any(${[...numbers]}::text[]) and (${IS_AVAILABLE} or ${IS_LAPSED}) and ${wanted}
    order by e164 for update)`

/** One statement: picks, ends lapsed holds, and gives the numbers to the order, if there are at least `least`. */
async function take(tx: Queries, claimant: Claimant, picked: PickedNumbers, least = 0): Promise<string[]> {
  const enough = sql`(select count(*) from picked) >= ${least}::integer`
  const { rows } = await sql<{ e164: string }>`
    with ${picked},
    ended as (
      update reservation_items set state = 'expired'
      where state = 'held' and ${enough} and e164 = any(array(select e164 from picked where lapsed)))
    update numbers set state = 'reserved', customer_id = ${claimant.customerId}, order_id = ${claimant.orderId},
      reservation_id = null, reserved_until = null, aging_until = null, updated_at = now(), version = version + 1
    where ${enough} and e164 = any(array(select e164 from picked))
    returning e164`.execute(tx)
  return rows.map((row) => row.e164).toSorted()
}
