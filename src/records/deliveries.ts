import { sql, type Selectable } from 'kysely'
import type {
  AttemptRecord,
  Delivery,
  DeliveryFact,
  DeliveryFilter,
  DeliveryPage,
  DeliveryRecords,
  ReplayableDelivery,
} from '../core/delivery-record.ts'
import { ENDED_STATUSES, isEnded } from '../core/delivery-record.ts'
import type { AppId } from '../core/ids.ts'
import type { Records } from './connection.ts'
import { toPage, type Cursor } from './cursor.ts'
import { dropPending } from './delivery-loss.ts'
import { pruneDeliveries } from './delivery-pruning.ts'
import { ORDERS, selectMatching } from './delivery-query.ts'
import { parseFirstAttempt, toAttempt, toDelivery, toEvent, type DeliveryRow } from './delivery-rows.ts'
import { writeFacts } from './delivery-writer.ts'
import { toText } from './pg-values.ts'
import type { Schema } from './schema.ts'

/** Of a delivery that was attempted more often, the newest are shown: an endpoint may ask for very many. */
const ATTEMPTS_SHOWN = 1_000
/** Few enough that a statement is short. */
const ABANDONED_AT_ONCE = 5_000
/** Fewer removed deliveries leave too little room to make PGlite, which nobody else tidies up, use it again. */
const RECLAIM_MIN = 20_000

/**
 * What has become of deliveries. Commits are flushed to disk like all others: a batch is one commit, and
 * what it wrote is removed from Redis next, so that a lost one could not be written again.
 */
export class Deliveries implements DeliveryRecords {
  readonly #records: Records
  #removed = 0

  constructor(records: Records) {
    this.#records = records
  }

  async write(facts: readonly DeliveryFact[]): Promise<void> {
    if (facts.length === 0) return
    await this.#records.transaction((transaction) => writeFacts(transaction, facts))
  }

  async list(
    filter: DeliveryFilter,
    { limit, cursor: after }: { readonly limit: number; readonly cursor?: string },
  ): Promise<DeliveryPage> {
    const page = selectMatching(filter, { limit: limit + 1, order: 'newest', cursor: after })
    const found = await this.#records.query((db) =>
      sql<DeliveryRow>`select d.*, e.order_key, e.subscriber_id, e.sequence, e.occurred_at
        from ${page} join webhook_events e on e.event_id = d.event_id ${ORDERS.newest}`.execute(db),
    )
    const { rows, cursor } = toPage(found.rows, limit, cursorOf)
    return { deliveries: rows.map(toDelivery), ...(cursor !== undefined && { cursor }) }
  }

  async find(
    appId: AppId,
    deliveryId: string,
  ): Promise<
    { readonly delivery: Delivery; readonly payload: string; readonly attempts: readonly AttemptRecord[] } | undefined
  > {
    const row = await this.#records.query((db) =>
      db
        .selectFrom('deliveries as d')
        .innerJoin('webhook_events as e', 'e.event_id', 'd.event_id')
        .selectAll('d')
        .select(['e.order_key', 'e.subscriber_id', 'e.sequence', 'e.occurred_at', 'e.payload'])
        .where('d.delivery_id', '=', toText(deliveryId))
        .where('d.app_id', '=', appId)
        .executeTakeFirst(),
    )
    if (row === undefined) return undefined
    const attempts = await this.#records.query((db) =>
      db
        .selectFrom('attempts')
        .selectAll()
        .where('delivery_id', '=', deliveryId)
        .orderBy('number', 'desc')
        .orderBy('started_at', 'desc')
        .limit(ATTEMPTS_SHOWN)
        .execute(),
    )
    const first = row.first_attempt === null ? [] : [parseFirstAttempt(row.first_attempt).attempt]
    const all = [...first, ...attempts.map(toAttempt)].toSorted(byNumber).slice(-ATTEMPTS_SHOWN)
    return { delivery: toDelivery(row), payload: row.payload, attempts: all }
  }

  async count(filter: DeliveryFilter, max: number): Promise<number> {
    const matching = selectMatching(filter, { limit: max, order: 'any' })
    const { rows } = await this.#records.query((db) =>
      sql<{ count: number }>`select count(*) as count from ${matching}`.execute(db),
    )
    return rows[0]?.count ?? 0
  }

  async replayable(
    filter: DeliveryFilter,
    { limit, cursor: after }: { readonly limit: number; readonly cursor?: string },
  ): Promise<{ readonly deliveries: readonly ReplayableDelivery[]; readonly cursor?: string }> {
    const statuses = filter.statuses?.filter(isEnded) ?? ENDED_STATUSES
    const page = selectMatching({ ...filter, statuses }, { limit: limit + 1, order: 'oldest', cursor: after })
    const found = await this.#records.query((db) =>
      sql<ReplayableRow>`select e.*, d.delivery_id, d.endpoint_id, d.attempts, d.class, d.created_at
        from ${page} join webhook_events e on e.event_id = d.event_id ${ORDERS.oldest}`.execute(db),
    )
    const { rows, cursor } = toPage(found.rows, limit, cursorOf)
    return { deliveries: rows.map(toReplayable), ...(cursor !== undefined && { cursor }) }
  }

  async abandon(before: number, onDropped: (count: number) => void): Promise<void> {
    const now = this.#records.clock.now()
    for (;;) {
      const part = { before, limit: ABANDONED_AT_ONCE, now }
      const { dropped, isDone } = await this.#records.transaction((transaction) => dropPending(transaction, part))
      if (dropped > 0) onDropped(dropped)
      if (isDone) return
    }
  }

  /** Also removes those of apps that were removed, whatever their age. */
  async prune(before: number, limit: number): Promise<number> {
    const removed = await this.#records.transaction((transaction) => pruneDeliveries(transaction, { before, limit }))
    this.#removed += removed
    if (removed < limit && this.#removed >= RECLAIM_MIN) {
      const tables = ['deliveries', 'attempts', 'webhook_events'] as const
      if (await this.#records.reclaim(tables, this.#removed)) this.#removed = 0
    }
    return removed
  }
}

type ReplayableRow = Selectable<Schema['webhook_events']> &
  Pick<Selectable<Schema['deliveries']>, 'delivery_id' | 'endpoint_id' | 'attempts' | 'class' | 'created_at'>

const toReplayable = (row: ReplayableRow): ReplayableDelivery => ({
  delivery: {
    deliveryId: row.delivery_id,
    endpointId: row.endpoint_id,
    attempts: row.attempts,
    class: row.class,
    createdAt: row.created_at.getTime(),
  },
  event: toEvent(row),
})

const byNumber = (a: AttemptRecord, b: AttemptRecord): number => a.number - b.number || a.startedAt - b.startedAt

const cursorOf = (row: Pick<DeliveryRow, 'created_at' | 'delivery_id'>): Cursor => ({
  at: row.created_at.getTime(),
  id: row.delivery_id,
})
