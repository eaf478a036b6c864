import { sql } from 'kysely'
import type { Clock } from '../../core/clock.ts'
import { GatewayError } from '../../core/errors.ts'
import { newId } from '../model/ids.ts'
import type { NumberFilter } from '../model/number-filter.ts'
import type { Reservation, ReservationItem, ReservationState } from '../model/reservation.ts'
import type { ProvisioningDatabase, Queries } from './database.ts'
import { listRows, type ListFields, type ListRequest, type Page } from './listing.ts'
import { findRuns } from './numbers-runs.ts'
import {
  extendHold,
  HELD_MAX,
  holdNumbers,
  holdAnyNumber,
  releaseHold,
  type Hold,
  type Holder,
} from './reservation-holds.ts'

/** Numbers that one reservation may hold. */
const RESERVED_MAX = 500
const DEFAULT_TTL_SECONDS = 15 * 60
const RUN_ATTEMPTS = 5

/** Who reserves, and for how long: 60 s to 2 h, 15 minutes unless given. */
type Reserving = {
  readonly customerId: string
  readonly actor: string
  readonly ttlSeconds?: number
  readonly correlationId?: string
}
/** These very numbers, or any of a product. */
export type NewReservation = Reserving &
  (
    | { readonly numbers: readonly string[] }
    | { readonly productId: string; readonly quantity: number; readonly filter?: NumberFilter }
  )

/** What else belongs into the transaction, such as the answer to be repeated. */
export type ReservationOptions = {
  readonly inTransaction?: (tx: Queries, reservation: Reservation) => Promise<void>
}

export type ReservationRef = { readonly customerId: string; readonly reservationId: string }

export const RESERVATION_FIELDS = {
  state: { column: 'state', kind: 'text', isSortable: true },
  expiresAt: { column: 'expires_at', kind: 'time', isSortable: true },
  createdAt: { column: 'created_at', kind: 'time', isSortable: true },
  updatedAt: { column: 'updated_at', kind: 'time', isSortable: true },
} as const satisfies ListFields

export type ReservationsOptions = { readonly database: ProvisioningDatabase; readonly clock: Clock }

/**
 * Holds on numbers, for as long as a customer needs to make up its mind. A hold ends by itself: from that moment on
 * its numbers are free for everybody, whether or not the sweeper has been there.
 */
export class Reservations {
  readonly #database: ProvisioningDatabase
  readonly #clock: Clock

  constructor({ database, clock }: ReservationsOptions) {
    this.#database = database
    this.#clock = clock
  }

  /**
   * Holds all of the numbers, or none. Rejects with `numbers_unavailable` (of named numbers, with those in question),
   * `quantity_exceeded` beyond 500 numbers or a customer's 1,000 live holds, `customer_not_found`, `customer_inactive`.
   */
  async create(request: NewReservation, { inTransaction }: ReservationOptions = {}): Promise<Reservation> {
    const { customerId, actor, ttlSeconds = DEFAULT_TTL_SECONDS, correlationId } = request
    const holder = {
      reservationId: newId('reservation', this.#clock.now()),
      customerId,
      actor,
      ttlSeconds,
      ...(correlationId !== undefined && { correlationId }),
    }
    const hold = toHold(holder, request)
    const isAnyOne = 'quantity' in hold && hold.quantity === 1 && Object.keys(hold.filter).length === 0
    if (isAnyOne && inTransaction === undefined) {
      const held = await this.#database.query((db) => holdAnyNumber(db, hold))
      if (held !== undefined) return held
    }
    return this.#database.transaction(async (tx) => {
      await lockCustomer(tx, customerId)
      const reservation = await reserve(tx, hold)
      await inTransaction?.(tx, reservation)
      return reservation
    })
  }

  /**
   * Holds its numbers for `ttlSeconds` from now on, but for no more than 2 h from the beginning. Rejects with
   * `reservation_not_found`, or `reservation_ended` when nothing is held any longer.
   */
  extend(ref: ReservationRef & { readonly actor: string; readonly ttlSeconds?: number }): Promise<Reservation> {
    return this.#database.transaction(async (tx) => {
      const isExtended = await extendHold(tx, ref)
      const reservation = await findReservation(tx, ref)
      if (!isExtended) throw new GatewayError('reservation_ended', { fields: { state: reservation.state } })
      return reservation
    })
  }

  /** Rejects with `reservation_not_found`, also for one of another customer. */
  find(ref: ReservationRef): Promise<Reservation> {
    return this.#database.query((db) => findReservation(db, ref))
  }

  /** One page, by id, so oldest first, unless another order is asked for. */
  async list(customerId: string, request: ListRequest): Promise<Page<Reservation>> {
    const source = {
      table: 'seen_reservations',
      idColumn: 'reservation_id',
      fields: RESERVATION_FIELDS,
      where: sql`customer_id = ${customerId}`,
    }
    const page = await this.#database.query((db) => listRows<Row>(db, source, request))
    return { ...page, items: page.items.map(toReservation) }
  }

  /**
   * Gives back what is held of it; of one that has ended there is nothing to give back. Rejects with
   * `reservation_not_found`.
   */
  release(ref: ReservationRef & { readonly actor: string }): Promise<Reservation> {
    return this.#database.transaction(async (tx) => {
      await releaseHold(tx, ref)
      return findReservation(tx, ref)
    })
  }
}

function toHold(holder: Holder, request: NewReservation): Hold {
  const isNamed = 'numbers' in request
  const numbers = isNamed ? [...new Set(request.numbers)] : []
  const count = isNamed ? numbers.length : request.quantity
  if (count < 1 || count > RESERVED_MAX) {
    const detail = `A reservation holds 1 to ${RESERVED_MAX} numbers.`
    throw new GatewayError('quantity_exceeded', { detail, fields: { maximum: RESERVED_MAX } })
  }
  if (isNamed) return { ...holder, numbers }
  const { productId, quantity, filter = {} } = request
  return { ...holder, productId, quantity, filter }
}

/** One customer's reservations follow one another, and the customer is not removed meanwhile. */
async function lockCustomer(tx: Queries, customerId: string): Promise<void> {
  const row = await tx
    .selectFrom('customers')
    .select('status')
    .where('customer_id', '=', customerId)
    .where('removed_at', 'is', null)
    .forNoKeyUpdate()
    .executeTakeFirst()
  if (row === undefined) throw new GatewayError('customer_not_found')
  if (row.status !== 'active') throw new GatewayError('customer_inactive', { fields: { status: row.status } })
}

async function reserve(tx: Queries, hold: Hold): Promise<Reservation> {
  if ('filter' in hold && (hold.filter.consecutive ?? 1) > 1) return reserveRuns(tx, hold)
  const result = await holdNumbers(tx, hold)
  if (result.outcome === 'held') return result.reservation
  if (result.outcome === 'too_many') {
    const detail = `A customer holds at most ${HELD_MAX} numbers at the same time.`
    throw new GatewayError('quantity_exceeded', { detail, fields: { maximum: HELD_MAX } })
  }
  const free = new Set(result.found)
  const fields =
    'numbers' in hold
      ? { numbers: hold.numbers.filter((number) => !free.has(number)) }
      : { available: result.found.length }
  throw new GatewayError('numbers_unavailable', { fields })
}

/** Numbers that follow one another: found first, then held by name, and looked for again if they are gone by then. */
async function reserveRuns(
  queries: Queries,
  hold: Holder & { readonly productId: string; readonly filter: NumberFilter; readonly quantity: number },
): Promise<Reservation> {
  const { productId, filter, quantity, ...holder } = hold
  const { consecutive: length = 1 } = filter
  for (let attempt = 1; ; attempt += 1) {
    const limit = Math.ceil(quantity / length)
    const starts = await findRuns(queries, { criteria: { ...filter, productId }, length, limit })
    const numbers = starts.flatMap((start) => runFrom(start, length)).slice(0, quantity)
    if (numbers.length < quantity)
      throw new GatewayError('numbers_unavailable', { fields: { available: numbers.length } })
    try {
      return await reserve(queries, { ...holder, numbers })
    } catch (error) {
      const isGone = error instanceof GatewayError && error.code === 'numbers_unavailable'
      if (!isGone || attempt === RUN_ATTEMPTS) throw error
    }
  }
}

const runFrom = (start: string, length: number): readonly string[] => {
  const first = BigInt(start.slice(1))
  return Array.from({ length }, (_, step) => `+${first + BigInt(step)}`)
}

/** What has lapsed is told as `expired`, whether or not the sweeper has been there: see `seen_reservations`. */
async function findReservation(queries: Queries, { customerId, reservationId }: ReservationRef): Promise<Reservation> {
  const { rows } = await sql<Row>`
    select * from seen_reservations
    where reservation_id = ${reservationId} and customer_id = ${customerId}`.execute(queries)
  const [row] = rows
  if (row === undefined) throw new GatewayError('reservation_not_found')
  return toReservation(row)
}

type Row = {
  readonly reservation_id: string
  readonly customer_id: string
  readonly state: ReservationState
  readonly ttl_seconds: number
  readonly expires_at: Date
  readonly max_expires_at: Date
  readonly extended_count: number
  readonly created_at: Date
  readonly updated_at: Date
  readonly items: readonly {
    readonly number: string
    readonly state: ReservationItem['state']
    readonly expires_at_ms: number
  }[]
}

const toReservation = (row: Row): Reservation => ({
  reservationId: row.reservation_id,
  customerId: row.customer_id,
  state: row.state,
  ttlSeconds: row.ttl_seconds,
  expiresAt: row.expires_at.getTime(),
  maxExpiresAt: row.max_expires_at.getTime(),
  extendedCount: row.extended_count,
  createdAt: row.created_at.getTime(),
  updatedAt: row.updated_at.getTime(),
  items: row.items.map((item) => ({ number: item.number, state: item.state, expiresAt: item.expires_at_ms })),
})
