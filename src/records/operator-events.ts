import type { Selectable } from 'kysely'
import type { AppId } from '../core/ids.ts'
import type {
  NewOperatorEvent,
  OperatorEvent,
  OperatorEventRepository,
  OperatorEventType,
} from '../core/operator-event.ts'
import type { Records } from './connection.ts'
import { notACursor, parseCursor, toPage } from './cursor.ts'
import type { Schema } from './schema.ts'

/** What operators should hear of, by an id that grows. */
export class OperatorEvents implements OperatorEventRepository {
  readonly #records: Records

  constructor(records: Records) {
    this.#records = records
  }

  async append(event: NewOperatorEvent): Promise<void> {
    await this.#records.query((db) =>
      db
        .insertInto('operator_events')
        .values({
          type: event.type,
          at: new Date(this.#records.clock.now()),
          app_id: event.appId ?? null,
          endpoint_id: event.endpointId ?? null,
          details: JSON.stringify(event.details),
        })
        .execute(),
    )
  }

  async list(page: {
    readonly limit: number
    readonly cursor?: string
    readonly type?: OperatorEventType
    readonly appId?: AppId
  }): Promise<{ readonly events: readonly OperatorEvent[]; readonly cursor?: string }> {
    const { limit, type, appId } = page
    const after = page.cursor === undefined ? undefined : eventIdOf(page.cursor)
    const found = await this.#records.query((db) => {
      let query = db.selectFrom('operator_events').selectAll()
      if (type !== undefined) query = query.where('type', '=', type)
      if (appId !== undefined) query = query.where('app_id', '=', appId)
      if (after !== undefined) query = query.where('event_id', '<', after)
      return query
        .orderBy('event_id', 'desc')
        .limit(limit + 1)
        .execute()
    })
    const { rows, cursor } = toPage(found, limit, (row) => ({ at: row.at.getTime(), id: String(row.event_id) }))
    return { events: rows.map(toOperatorEvent), ...(cursor !== undefined && { cursor }) }
  }

  async prune(before: number): Promise<number> {
    const { numDeletedRows } = await this.#records.query((db) =>
      db.deleteFrom('operator_events').where('at', '<', new Date(before)).executeTakeFirstOrThrow(),
    )
    return Number(numDeletedRows)
  }
}

function eventIdOf(cursor: string): bigint {
  const { id } = parseCursor(cursor)
  if (!/^\d{1,18}$/.test(id)) throw notACursor()
  return BigInt(id)
}

const toOperatorEvent = (row: Selectable<Schema['operator_events']>): OperatorEvent => ({
  eventId: String(row.event_id),
  type: row.type,
  at: row.at.getTime(),
  ...(row.app_id !== null && { appId: row.app_id }),
  ...(row.endpoint_id !== null && { endpointId: row.endpoint_id }),
  details: row.details,
})
