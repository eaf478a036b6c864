import { sql } from 'kysely'
import type { NumberFilter } from '../model/number-filter.ts'
import type { Reservation } from '../model/reservation.ts'
import type { Queries } from './database.ts'
import { pickFree, pickNamed } from './numbers-claims.ts'

/** Numbers that one customer may hold at the same time, in all its reservations. */
export const HELD_MAX = 1_000
const LIFE_MAX_SECONDS = 2 * 3_600

/** Who is to hold something, and for how long. */
export type Holder = {
  readonly reservationId: string
  readonly customerId: string
  readonly actor: string
  readonly ttlSeconds: number
  readonly correlationId?: string
}
/** What is to be held by a new reservation: these numbers, or any of a product. */
export type Hold = Holder &
  (
    | { readonly numbers: readonly string[] }
    | { readonly productId: string; readonly filter: NumberFilter; readonly quantity: number }
  )

export type HoldResult =
  | { readonly outcome: 'held'; readonly reservation: Reservation }
  /** `found`: numbers that would have been free. */
  | { readonly outcome: 'unavailable'; readonly found: readonly string[] }
  | { readonly outcome: 'too_many' }

/**
 * Holds any one number of a product, within the database by `hold_any_number` of migration 0004: one round trip, as
 * this is what buyers who compete for numbers wait for. Undefined when that did not work: {@link holdNumbers} says
 * why, or finds a number whose hold has lapsed.
 */
export async function holdAnyNumber(
  queries: Queries,
  holder: Holder & { readonly productId: string },
): Promise<Reservation | undefined> {
  const { reservationId, customerId, actor, ttlSeconds, correlationId = null } = holder
  const { rows } = await sql<{ held: string | null }>`
    select hold_any_number(${reservationId}, ${customerId}, ${actor}, ${correlationId}, ${holder.productId},
      ${HELD_MAX}, ${ttlSeconds}, ${LIFE_MAX_SECONDS}) as held`.execute(queries)
  const [number, at] = rows[0]?.held?.split(' ') ?? []
  return number === undefined ? undefined : toReservation(holder, [number], Number(at))
}

/**
 * Makes a reservation, which has all of its numbers or is not made. The caller's transaction has locked the
 * customer, so that its holds are counted exactly. Numbers are locked in their order; lapsed holds end before new
 * ones begin, as the index `reservation_items_live` demands; the audit chain comes last.
 */
export async function holdNumbers(tx: Queries, hold: Hold): Promise<HoldResult> {
  const { reservationId, customerId, actor, ttlSeconds, correlationId = null } = hold
  const isNamed = 'numbers' in hold
  const quantity = isNamed ? hold.numbers.length : hold.quantity
  const picked = isNamed
    ? pickNamed(hold.numbers, sql`true`)
    : pickFree({ ...hold.filter, productId: hold.productId }, quantity)
  const { rows } = await sql<{ is_allowed: boolean; found: readonly string[]; at: number | null }>`
    with ${picked},
    allowed as materialized (
      select where ${quantity}::integer <= ${HELD_MAX}::integer
        - (select count(*) from numbers where customer_id = ${customerId} and reserved_until > now())),
    reservation as (
      insert into reservations (reservation_id, customer_id, state, ttl_seconds, expires_at, max_expires_at)
      select ${reservationId}, ${customerId}, 'active', ${ttlSeconds}::integer,
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
        jsonb_build_object('numbers', to_jsonb(array(select e164 from picked order by e164)), 'expires_at', expires_at),
        ${correlationId}, 0, '', ''
      from reservation)
    select exists (select from allowed) as is_allowed, array(select e164 from picked order by e164) as found,
      (select floor(extract(epoch from created_at) * 1000)::bigint from reservation) as at`.execute(tx)
  const [row] = rows
  if (row?.is_allowed !== true) return { outcome: 'too_many' }
  if (row.at === null) return { outcome: 'unavailable', found: row.found }
  return { outcome: 'held', reservation: toReservation(hold, row.found, row.at) }
}

/** As it is when it has just been made. */
function toReservation(holder: Holder, numbers: readonly string[], at: number): Reservation {
  const { reservationId, customerId, ttlSeconds } = holder
  const expiresAt = at + ttlSeconds * 1_000
  return {
    reservationId,
    customerId,
    state: 'active',
    ttlSeconds,
    expiresAt,
    maxExpiresAt: at + LIFE_MAX_SECONDS * 1_000,
    extendedCount: 0,
    createdAt: at,
    updatedAt: at,
    items: numbers.map((number) => ({ number, state: 'held', expiresAt })),
  }
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
