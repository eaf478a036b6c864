import { sql, type RawBuilder } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { APP, attempted, ended, ENDPOINT, T0, taken } from '../../test/support/delivery-facts.ts'
import { DeliveryTables } from '../../test/support/delivery-tables.ts'
import { STORES } from '../../test/support/records.ts'
import type { DeliveryFilter } from '../core/delivery-record.ts'
import { toAppId, toEndpointId } from '../core/ids.ts'
import { formatCursor } from './cursor.ts'
import type { Deliveries } from './deliveries.ts'
import { ENDS_AT } from './delivery-pruning.ts'
import { selectMatching } from './delivery-query.ts'

describe.each(STORES)('what is asked of deliveries on %s', (store) => {
  let tables: DeliveryTables
  let deliveries: Deliveries
  beforeAll(async () => {
    tables = await DeliveryTables.start(store)
    ;({ deliveries } = tables)
  })
  afterAll(() => tables?.stop())
  beforeEach(() => tables.empty())

  test('each filter finds what it names and nothing else', async () => {
    const other = toAppId('app-2')
    await deliveries.write([
      taken('msg_1', { callId: 'c1', type: 'call.ringing', at: T0 }),
      taken('msg_2', { callId: 'c1', type: 'call.active', at: T0 + 1, endpointId: 'endpoint-2' }),
      taken('msg_3', { callId: 'c2', type: 'callback', at: T0 + 2 }),
      taken('msg_4', { callId: 'c1', type: 'order.completed', at: T0 + 3, appId: other, endpointId: 'endpoint-9' }),
      taken('msg_5', { type: 'subscriber.created', at: T0 + 4 }),
      attempted('msg_1'),
      ended('msg_1'),
      attempted('msg_2', { outcome: 'timeout' }),
      ended('msg_2', 'parked'),
      attempted('msg_3', { outcome: 'timeout', nextAttemptAt: T0 + 9 }),
      ended('msg_4', 'dropped'),
    ])
    expect(await tables.idsOf({})).toEqual(['msg_5', 'msg_4', 'msg_3', 'msg_2', 'msg_1'])
    expect(await tables.idsOf({ appId: APP })).toEqual(['msg_5', 'msg_3', 'msg_2', 'msg_1'])
    expect(await tables.idsOf({ appId: APP, endpointId: ENDPOINT })).toEqual(['msg_5', 'msg_3', 'msg_1'])
    expect(await tables.idsOf({ callId: 'c1' })).toEqual(['msg_4', 'msg_2', 'msg_1'])
    expect(await tables.idsOf({ appId: APP, callId: 'c1', until: T0 + 1 })).toEqual(['msg_1'])
    expect(await tables.idsOf({ type: 'call.active' })).toEqual(['msg_2'])
    expect(await tables.idsOf({ type: 'call.*' })).toEqual(['msg_2', 'msg_1'])
    expect(await tables.idsOf({ type: '*' })).toHaveLength(5)
    expect(await tables.idsOf({ type: '%' })).toEqual([])
    expect(await tables.idsOf({ statuses: ['parked', 'dropped'] })).toEqual(['msg_4', 'msg_2'])
    expect(await tables.idsOf({ statuses: ['delivered', 'pending'] })).toEqual(['msg_5', 'msg_3', 'msg_1'])
    expect(await tables.idsOf({ statuses: [] })).toEqual([])
    expect(await tables.idsOf({ outcome: 'timeout' })).toEqual(['msg_3', 'msg_2'])
    expect(await tables.idsOf({ outcome: 'delivered' })).toEqual(['msg_1'])
    expect(await tables.idsOf({ neverAttempted: true })).toEqual(['msg_5', 'msg_4'])
    expect(await tables.idsOf({ since: T0 + 1, until: T0 + 3 })).toEqual(['msg_3', 'msg_2'])
    expect(await deliveries.count({ appId: APP }, 10)).toBe(4)
    expect(await deliveries.count({ appId: APP }, 3)).toBe(3)
    expect(await deliveries.count({ callId: 'c1', statuses: ['dropped'] }, 3)).toBe(1)
  })

  test('pages have no gap and no overlap, though all were taken in the same moment', async () => {
    const ids = Array.from({ length: 25 }, (_unused, n) => `msg_${String.fromCodePoint(65 + n)}`)
    await deliveries.write(ids.map((id, n) => taken(id, { at: T0 + Math.floor(n / 10), callId: 'c1' })))
    for (const filter of [{}, { appId: APP }, { callId: 'c1' }]) {
      const seen: string[] = []
      let cursor: string | undefined
      do {
        const page = await deliveries.list(filter, { limit: 4, ...(cursor !== undefined && { cursor }) })
        seen.push(...page.deliveries.map((found) => found.deliveryId))
        cursor = page.cursor
      } while (cursor !== undefined)
      expect(seen).toEqual(ids.toReversed())
    }
  })

  test('a cursor that was not given out is refused', async () => {
    await expect(deliveries.list({}, { limit: 1, cursor: 'x' })).rejects.toMatchObject({ code: 'invalid_request' })
    await expect(deliveries.replayable({}, { limit: 1, cursor: '' })).rejects.toMatchObject({ code: 'invalid_request' })
    const invented = formatCursor({ at: 999_999_999_999_999, id: 'zzz' })
    expect(await deliveries.list({}, { limit: 1, cursor: invented })).toEqual({ deliveries: [] })
    const ever = { since: Number.NEGATIVE_INFINITY, until: Number.MAX_SAFE_INTEGER }
    expect(await deliveries.list(ever, { limit: 1 })).toEqual({ deliveries: [] })
  })

  test('what can be replayed comes oldest first with its event, and nothing pending', async () => {
    await deliveries.write([
      taken('msg_1', { at: T0 + 2, callId: 'c1', sequence: '3', subscriberId: 's1', payload: '{"exactly": "so"}' }),
      taken('msg_2', { at: T0 + 1 }),
      taken('msg_3', { at: T0 }),
      taken('msg_4', { at: T0 + 3 }),
      attempted('msg_1'),
      ended('msg_1', 'parked'),
      ended('msg_2', 'expired'),
      ended('msg_4', 'delivered'),
    ])
    const first = await deliveries.replayable({ appId: APP }, { limit: 2 })
    expect(first.deliveries).toMatchObject([
      { delivery: { deliveryId: 'msg_2' } },
      { delivery: { deliveryId: 'msg_1' } },
    ])
    expect(first.deliveries[1]).toEqual({
      delivery: { deliveryId: 'msg_1', endpointId: ENDPOINT, attempts: 1, class: 'act_now', createdAt: T0 + 2 },
      event: {
        eventId: 'app-1:e-msg_1',
        appId: APP,
        type: 'call.ringing',
        orderKey: 'call:c1',
        callId: 'c1',
        sequence: '3',
        subscriberId: 's1',
        occurredAt: T0 - 5,
        payload: '{"exactly": "so"}',
      },
    })
    const second = await deliveries.replayable({ appId: APP }, { limit: 2, cursor: first.cursor ?? '' })
    expect(second.deliveries).toMatchObject([{ delivery: { deliveryId: 'msg_4' } }])
    expect(second).not.toHaveProperty('cursor')
    const failed = await deliveries.replayable({ statuses: ['expired', 'pending'] }, { limit: 9 })
    expect(failed.deliveries).toMatchObject([{ delivery: { deliveryId: 'msg_2' } }])
    expect((await deliveries.replayable({ statuses: ['pending'] }, { limit: 9 })).deliveries).toEqual([])
  })

  test('every query reads an index, not the table', async () => {
    await tables.opened.records.query((db) =>
      sql`insert into deliveries
        select 'msg_' || n, 'app-' || n % 200, 'endpoint-' || n % 400, 'e' || n, 'c' || n / 10,
          case when n % 100 = 7 then 'order.completed' else 'call.active' end, 'state',
          case when n % 50 = 7 then 'expired' else 'delivered' end, 1, 0,
          timestamptz '2026-01-01' + n * interval '1 second', now(), now(), null, now(), 'delivered', 200, null
        from generate_series(1, 20000) n`.execute(db),
    )
    await tables.opened.records.query((db) => sql`analyze deliveries`.execute(db))
    const explain = async (query: RawBuilder<unknown>) => {
      const { rows } = await tables.opened.records.query((db) =>
        sql<Record<string, string>>`explain ${query}`.execute(db),
      )
      const text = rows.map((row) => row['QUERY PLAN']).join('\n')
      expect(text).not.toContain('Seq Scan')
      return /deliveries_\w+/.exec(text)?.[0]
    }
    const plan = (filter: DeliveryFilter) => {
      const page = selectMatching(filter, { limit: 51, order: 'newest', cursor: formatCursor({ at: T0 * 2, id: 'x' }) })
      return explain(sql`select * from ${page}`)
    }
    const app = toAppId('app-7')
    const endpoint = toEndpointId('endpoint-7')
    expect(await plan({})).toBe('deliveries_by_age')
    const old = sql`select delivery_id from deliveries where ${ENDS_AT} < ${new Date(T0)} order by ${ENDS_AT} limit 9`
    expect(await explain(old)).toBe('deliveries_by_end')
    expect(await plan({ appId: app })).toBe('deliveries_of_app')
    expect(await plan({ appId: app, type: 'order.*' })).toBe('deliveries_of_app')
    expect(await plan({ appId: app, endpointId: endpoint })).toBe('deliveries_of_endpoint')
    expect(await plan({ appId: app, callId: 'c77' })).toBe('deliveries_of_call')
    expect(await plan({ appId: app, statuses: ['expired'] })).toBe('deliveries_undelivered_of_app')
    expect(await plan({ appId: app, outcome: 'timeout' })).toBe('deliveries_undelivered_of_app')
    expect(await plan({ appId: app, endpointId: endpoint, statuses: ['expired', 'dropped'] })).toBe(
      'deliveries_undelivered_of_endpoint',
    )
  })
})
