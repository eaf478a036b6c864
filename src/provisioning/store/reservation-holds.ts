import { sql } from 'kysely'
import type { NumberFilter } from '../model/number-filter.ts'
import type { Reservation } from '../model/reservation.ts'
import type { Queries } from './database.ts'
import { matchNumbers } from './number-conditions.ts'
import { pickFree, pickNamed } from './numbers-claims.ts'

/** Numbers that one customer may hold at the same time, in all its reservations. */
export const HELD_MAX = 1_000
const LIFE_MAX_SECONDS = 2 * 3_600

/** What is to be held by a new reservation. */
export type Hold = {
  readonly reservationId: string
  readonly customerId: string
  readonly actor: string
  readonly ttlSeconds: number
  readonly correlationId?: string
} & (
  | { readonly numbers: readonly string[] }
  | { readonly productId: string; readonly filter: NumberFilter; readonly quantity: number }
)

export type HoldResult = {
  /** Undefined: nothing was held. */
  readonly held?: Reservation
  /** Numbers that would have been free. */
  readonly found: readonly string[]
  /** Undefined: there is no such customer. */
  readonly customerStatus: string | undefined
  /** Whether the customer may hold that many. */
  readonly isAllowed: boolean
}

type Row = {
  readonly customer_status: string | null
  readonly is_allowed: boolean
  readonly found: readonly string[]
  readonly expires_at: Date | null
  readonly max_expires_at: Date | null
  readonly created_at: Date | null
}

/**
 * Makes a reservation in one statement, which leaves nothing behind unless it gets all of its numbers: a
 * reservation in one round trip is what buyers who compete for numbers wait for. The customer's row is locked
 * first, so that its holds are counted exactly and it is not removed meanwhile; then the numbers; lapsed holds end
 * before new ones begin, as the index `reservation_items_live` demands; the audit chain comes last.
 */
export async function holdNumbers(queries: Queries, hold: Hold): Promise<HoldResult> {
  const { reservationId, customerId, actor, ttlSeconds, correlationId = null } = hold
  const quantity = 'numbers' in hold ? hold.numbers.length : hold.quantity
  const isAllowed = sql`exists (select from allowed)`
  const picked =
    'numbers' in hold
      ? pickNamed(hold.numbers, sql`true`, isAllowed)
      : pickFree(matchNumbers({ ...hold.filter, productId: hold.productId }), quantity, isAllowed)
  const { rows } = await sql<Row>`
    with customer as materialized (
      select customer_id, status from customers
      where customer_id = ${customerId} and removed_at is null for no key update),
    allowed as materialized (
      select customer_id from customer
      where status = 'active' and live_holds(customer_id) + ${quantity}::integer <= ${HELD_MAX}::integer),
    ${picked},
    reservation as (
      insert into reservations (reservation_id, customer_id, state, ttl_seconds, expires_at, max_expires_at)
      select ${reservationId}, customer_id, 'active', ${ttlSeconds}::integer,
        now() + make_interval(secs => ${ttlSeconds}::integer), now() + make_interval(secs => ${LIFE_MAX_SECONDS}::integer)
      from allowed where (select count(*) from picked) = ${quantity}::integer
      returning *),
    ended as (
      update reservation_items set state = 'expired'
      where state = 'held' and e164 = any(array(select e164 from picked where lapsed)) and exists (select from reservation)
      returning 1),
    items as (
      insert into reservation_items (reservation_id, e164, state, expires_at)
      select reservation.reservation_id, picked.e164, 'held', reservation.expires_at from reservation, picked
      where (select count(*) from ended) >= 0),
    held as (
      update numbers set state = 'reserved', customer_id = reservation.customer_id, order_id = null,
        reservation_id = reservation.reservation_id, reserved_until = reservation.expires_at, updated_at = now(),
        version = numbers.version + 1
      from reservation where numbers.e164 = any(array(select e164 from picked))),
    audited as (
      insert into audit (chain, actor, entity, entity_id, action, after, correlation_id, seq, prev_hash, hash)
      select customer_id, ${actor}, 'reservation', reservation_id, 'create',
        jsonb_build_object('numbers', to_jsonb(array(select e164 from picked)), 'expires_at', expires_at),
        ${correlationId}, 0, '', ''
      from reservation)
    select (select status from customer) as customer_status, ${isAllowed} as is_allowed,
      array(select e164 from picked) as found, expires_at, max_expires_at, created_at
    from (select) as always left join reservation on true`.execute(queries)
  const [row] = rows
  const found = row?.found.toSorted() ?? []
  const result = { found, customerStatus: row?.customer_status ?? undefined, isAllowed: row?.is_allowed === true }
  if (row === undefined || row.expires_at === null || row.max_expires_at === null || row.created_at === null)
    return result
  const expiresAt = row.expires_at.getTime()
  const held: Reservation = {
    reservationId,
    customerId,
    state: 'active',
    ttlSeconds,
    expiresAt,
    maxExpiresAt: row.max_expires_at.getTime(),
    extendedCount: 0,
    createdAt: row.created_at.getTime(),
    updatedAt: row.created_at.getTime(),
    items: found.map((number) => ({ number, state: 'held', expiresAt })),
  }
  return { ...result, held }
}

type Ref = { readonly customerId: string; readonly reservationId: string; readonly actor: string }

/**
 * Moves the end of a live reservation, and of the holds that are still its own; resolves with whether there was
 * one. Locks it, then its numbers in their order, as all who touch several do.
 */
export async function extendHold(
  queries: Queries,
  { customerId, reservationId, actor, ttlSeconds = null }: Ref & { readonly ttlSeconds?: number | null },
): Promise<boolean> {
  const { rows } = await sql`
    with extended as (
      update reservations set extended_count = extended_count + 1, updated_at = now(),
        ttl_seconds = coalesce(${ttlSeconds}::integer, ttl_seconds),
        expires_at = greatest(expires_at, least(max_expires_at,
          now() + make_interval(secs => coalesce(${ttlSeconds}::integer, ttl_seconds))))
      where reservation_id = ${reservationId} and customer_id = ${customerId} and state = 'active' and expires_at > now()
      returning *),
    locked as materialized (
      select e164 from numbers where customer_id = ${customerId} and reservation_id = ${reservationId}
        and reserved_until > now() and exists (select from extended)
      order by e164 for update),
    held as (
      update numbers set reserved_until = extended.expires_at, updated_at = now(), version = numbers.version + 1
      from extended where numbers.e164 = any(array(select e164 from locked))),
    items as (
      update reservation_items set expires_at = extended.expires_at
      from extended where reservation_items.state = 'held'
        and reservation_items.e164 = any(array(select e164 from locked))),
    audited as (
      insert into audit (chain, actor, entity, entity_id, action, after, seq, prev_hash, hash)
      select customer_id, ${actor}, 'reservation', reservation_id, 'extend',
        jsonb_build_object('expires_at', expires_at), 0, '', ''
      from extended)
    select from extended`.execute(queries)
  return rows.length > 0
}

/** Ends a reservation and frees what is still its own. */
export async function releaseHold(queries: Queries, { customerId, reservationId, actor }: Ref): Promise<void> {
  await sql`
    with released as (
      update reservations set state = case when expires_at > now() then 'released' else 'expired' end, updated_at = now()
      where reservation_id = ${reservationId} and customer_id = ${customerId} and state = 'active'
      returning *),
    locked as materialized (
      select e164 from numbers where customer_id = ${customerId} and reservation_id = ${reservationId}
        and reserved_until is not null and exists (select from released)
      order by e164 for update),
    freed as (
      update numbers set state = 'available', customer_id = null, reservation_id = null, reserved_until = null,
        updated_at = now(), version = version + 1
      where e164 = any(array(select e164 from locked))),
    items as (
      update reservation_items set state = released.state from released
      where reservation_items.state = 'held' and reservation_items.e164 = any(array(select e164 from locked)))
    insert into audit (chain, actor, entity, entity_id, action, after, seq, prev_hash, hash)
    select customer_id, ${actor}, 'reservation', reservation_id, 'release',
      jsonb_build_object('numbers', to_jsonb(array(select e164 from locked))), 0, '', ''
    from released`.execute(queries)
}
