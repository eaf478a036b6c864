import { sql } from 'kysely'
import type { Queries } from './database.ts'

/** For how long the answer to a request is kept to be repeated, in hours. */
const ANSWER_KEPT_HOURS = 24
/** For how long what has come to its end is kept to be looked up, in days: the audit trail and orders are kept for ever. */
const ENDED_KEPT_DAYS = 30

const LONG_AGO = sql`now() - make_interval(days => ${ENDED_KEPT_DAYS}::integer)`

/** What ends by itself, and what nobody looks up any more. */
export const EXPIRING = [
  'holds',
  'reservations',
  'aging',
  'requests',
  'ended_reservations',
  'eligibility_questions',
  'sandbox_orders',
] as const
export type Expiring = (typeof EXPIRING)[number]

/**
 * Writes down what time has done already: at most `limit` of each. All who ask see it in any case, so that nothing
 * depends on when this runs; rows that somebody has locked are left for the next time, and several may run it.
 */
export const expireBatch: Readonly<Record<Expiring, (queries: Queries, limit: number) => Promise<number>>> = {
  holds: async (queries, limit) =>
    count(
      await sql<Counted>`
        with lapsed as materialized (
          select e164 from numbers where state = 'reserved' and reserved_until <= now()
          order by reserved_until limit ${limit}::integer for update skip locked),
        ended as (
          update reservation_items set state = 'expired'
          where state = 'held' and e164 = any(array(select e164 from lapsed))),
        freed as (
          update numbers set state = 'available', customer_id = null, reservation_id = null, reserved_until = null,
            updated_at = now(), version = version + 1
          where e164 = any(array(select e164 from lapsed)) returning 1)
        select count(*) from freed`.execute(queries),
    ),
  reservations: async (queries, limit) =>
    count(
      await sql<Counted>`
        with over as materialized (
          select reservation_id from reservations where state = 'active' and expires_at <= now()
            and not exists (select from reservation_items as items
              where items.reservation_id = reservations.reservation_id and items.state = 'held')
          order by expires_at limit ${limit}::integer for update skip locked),
        ended as (
          update reservations set state = 'expired', updated_at = now()
          where reservation_id = any(array(select reservation_id from over)) returning 1)
        select count(*) from ended`.execute(queries),
    ),
  aging: async (queries, limit) =>
    count(
      await sql<Counted>`
        with aged as materialized (
          select e164 from numbers where state = 'aging' and aging_until <= now()
          order by aging_until limit ${limit}::integer for update skip locked),
        freed as (
          update numbers set state = 'available', aging_until = null, updated_at = now(), version = version + 1
          where e164 = any(array(select e164 from aged)) returning 1)
        select count(*) from freed`.execute(queries),
    ),
  requests: async (queries, limit) =>
    count(
      await sql<Counted>`
        with old as materialized (
          select tenant, route, key from provisioning_idempotency
          where started_at < now() - make_interval(hours => ${ANSWER_KEPT_HOURS}::integer)
          order by started_at limit ${limit}::integer for update skip locked),
        removed as (
          delete from provisioning_idempotency using old
          where provisioning_idempotency.tenant = old.tenant and provisioning_idempotency.route = old.route
            and provisioning_idempotency.key = old.key returning 1)
        select count(*) from removed`.execute(queries),
    ),
  ended_reservations: async (queries, limit) =>
    count(
      await sql<Counted>`
        with old as materialized (
          select reservation_id from reservations where state <> 'active' and updated_at < ${LONG_AGO}
          order by updated_at limit ${limit}::integer for update skip locked),
        items as (
          delete from reservation_items where reservation_id = any(array(select reservation_id from old)) returning 1),
        removed as (
          delete from reservations where reservation_id = any(array(select reservation_id from old))
            and (select count(*) from items) >= 0 returning 1)
        select count(*) from removed`.execute(queries),
    ),
  eligibility_questions: async (queries, limit) =>
    count(
      await sql<Counted>`
        with removed as (
          delete from provider_calls where call_id = any(array(
            select call_id from provider_calls where order_id is null and at < ${LONG_AGO}
            order by at limit ${limit}::integer for update skip locked)) returning 1)
        select count(*) from removed`.execute(queries),
    ),
  sandbox_orders: async (queries, limit) =>
    count(
      await sql<Counted>`
        with removed as (
          delete from sandbox_orders where ref = any(array(
            select ref from sandbox_orders where state in ('done', 'cancelled') and ready_at < ${LONG_AGO}
            order by ready_at limit ${limit}::integer for update skip locked)) returning 1)
        select count(*) from removed`.execute(queries),
    ),
}

type Counted = { readonly count: number }
const count = ({ rows }: { readonly rows: readonly Counted[] }): number => rows[0]?.count ?? 0
