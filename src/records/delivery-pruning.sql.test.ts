import * as fc from 'fast-check'
import { sql } from 'kysely'
import * as v from 'valibot'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { APP, attempted, ended, replayed, sentTo, T0, taken } from '../../test/support/delivery-facts.ts'
import { DeliveryTables } from '../../test/support/delivery-tables.ts'
import { STORES, startTestRecords } from '../../test/support/records.ts'
import type { DeliveryFact } from '../core/delivery-record.ts'
import { ENDPOINT_DEFAULTS } from '../core/endpoint.ts'
import { ShardSchema, type AppId } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import { Apps } from './apps.ts'
import { Deliveries } from './deliveries.ts'
import { RecordsDirectory } from './directory.ts'
import { Endpoints } from './endpoints.ts'

describe.each(STORES)('deliveries that are removed on %s', (store) => {
  let tables: DeliveryTables
  let deliveries: Deliveries
  beforeAll(async () => {
    tables = await DeliveryTables.start(store)
    ;({ deliveries } = tables)
  })
  afterAll(() => tables?.stop())
  beforeEach(() => tables.empty())

  test('deliveries that ended long ago are removed in bounded batches with their attempts and events', async () => {
    const facts = Array.from({ length: 10 }, (_unused, n): DeliveryFact[] => [
      taken(`msg_${n}`, { at: T0 + n }),
      attempted(`msg_${n}`, { outcome: 'timeout' }),
      attempted(`msg_${n}`, { number: 2 }),
      { ...ended(`msg_${n}`), at: T0 + 100 + n },
    ]).flat()
    await deliveries.write(facts)
    expect(await deliveries.prune(T0 + 100, 4)).toBe(0)
    expect(await deliveries.prune(T0 + 107, 4)).toBe(4)
    expect(await tables.idsOf({})).toEqual(['msg_9', 'msg_8', 'msg_7', 'msg_6', 'msg_5', 'msg_4'])
    expect(await deliveries.prune(T0 + 107, 4)).toBe(3)
    expect(await deliveries.prune(T0 + 107, 4)).toBe(0)
    expect(await tables.idsOf({})).toEqual(['msg_9', 'msg_8', 'msg_7'])
    expect([await tables.countRows('attempts'), await tables.countRows('webhook_events')]).toEqual([3, 3])
    // What the engine says of them afterwards is of no interest any more.
    await deliveries.write([attempted('msg_0', { number: 3 }), ended('msg_0')])
    expect(await tables.countRows('attempts')).toBe(3)
  })

  test('a record that expired after three days is kept from then on, and a pending delivery until it expires', async () => {
    const at = T0 - 72 * 3_600_000
    const expiresLast = { ...taken('msg_2', { at }), endpoints: [{ ...sentTo('msg_2'), expiresAt: T0 + 101 }] }
    await deliveries.write([taken('msg_1', { at }), ended('msg_1', 'expired'), expiresLast])
    expect(await deliveries.prune(T0 + 100, 100)).toBe(0)
    expect(await tables.idsOf({ statuses: ['expired'] })).toEqual(['msg_1'])
    expect(await deliveries.prune(T0 + 101, 100)).toBe(1)
    expect(await tables.idsOf({})).toEqual(['msg_2'])
    expect(await deliveries.prune(T0 + 102, 100)).toBe(1)
  })

  test('a delivery that was replayed is kept from its latest end on', async () => {
    await deliveries.write([taken('msg_1'), ended('msg_1', 'expired'), replayed('msg_1')])
    expect(await deliveries.prune(T0 + 99_000, 100)).toBe(0)
    await deliveries.write([{ ...ended('msg_1', 'delivered', 'end-again'), at: T0 + 2_000 }])
    expect(await deliveries.prune(T0 + 2_000, 100)).toBe(0)
    expect(await deliveries.prune(T0 + 2_001, 100)).toBe(1)
  })

  test('an event stays as long as any of its deliveries, whichever is the last', async () => {
    const both = taken('msg_1', { eventId: 'e1' })
    await deliveries.write([{ ...both, endpoints: [...both.endpoints, sentTo('msg_2')] }])
    await deliveries.write([taken('msg_3', { eventId: 'e1', at: T0 + 50, endpointId: 'endpoint-3' })])
    const ends = ['msg_3', 'msg_1', 'msg_2'].map((id, n): DeliveryFact => ({ ...ended(id), at: T0 + 100 + n }))
    await deliveries.write(ends)
    for (const [n, left] of [['msg_1', 'msg_2'], ['msg_2']].entries()) {
      expect(await deliveries.prune(T0 + 101 + n, 100)).toBe(1)
      expect((await tables.idsOf({})).toSorted()).toEqual(left)
      expect(await deliveries.find(APP, 'msg_2')).toMatchObject({ payload: '{"id":"msg_1"}' })
    }
    expect(await deliveries.prune(T0 + 103, 100)).toBe(1)
    expect(await tables.countRows('webhook_events')).toBe(0)
  })

  test(
    'whatever is removed when, an event has its deliveries and no delivery lacks its event',
    { timeout: 60_000 },
    () =>
      fc.assert(
        fc
          .asyncProperty(
            fc.array(
              fc.record({ event: fc.nat({ max: 3 }), endsAt: fc.nat({ max: 20 }), pruneBefore: fc.nat({ max: 25 }) }),
              { minLength: 1, maxLength: 15 },
            ),
            fc.integer({ min: 1, max: 4 }),
            async (steps, limit) => {
              let kept: (readonly [id: string, event: string, endsAt: number])[] = []
              for (const [n, { event, endsAt, pruneBefore }] of steps.entries()) {
                const id = `msg_${n}`
                const fact = taken(id, { eventId: `e${event}`, endpointId: `endpoint-${n}` })
                await deliveries.write([fact, { ...ended(id), at: T0 + endsAt }, fact])
                kept = [...kept, [id, `e${event}`, endsAt]]
                while ((await deliveries.prune(T0 + pruneBefore, limit)) === limit);
                kept = kept.filter((each) => each[2] >= pruneBefore)
                expect((await tables.idsOf({})).toSorted()).toEqual(kept.map((each) => each[0]).toSorted())
                expect(await tables.countRows('webhook_events')).toBe(new Set(kept.map((each) => each[1])).size)
              }
            },
          )
          .afterEach(() => tables.empty()),
        { numRuns: 20 },
      ),
  )

  test('deliveries outlive their endpoint, but not their app, not even those that come late', async () => {
    const directory = new RecordsDirectory({
      records: tables.opened.records,
      clock: tables.opened.clock,
      log: silentLogger,
    })
    const [apps, endpoints] = [
      new Apps(tables.opened.records, directory),
      new Endpoints(tables.opened.records, directory),
    ]
    const { appId } = (await apps.create({ name: 'crm', shard: v.parse(ShardSchema, 's1') })).app
    const { endpointId } = await endpoints.create({
      appId,
      url: 'https://hooks.example.net',
      ...ENDPOINT_DEFAULTS,
      enabled: true,
      verified: true,
      secret: 'whsec_eA',
    })
    const at = tables.opened.clock.now()
    const of = (ids: readonly string[], owner: AppId) =>
      ids.flatMap((id) => [
        taken(id, { appId: owner, endpointId, at }),
        attempted(id, { outcome: 'timeout' }),
        attempted(id, { number: 2 }),
      ])
    await deliveries.write([...of(['msg_1', 'msg_2', 'msg_3'], appId), ...of(['msg_other'], APP)])
    await endpoints.remove(appId, endpointId)
    expect(await tables.idsOf({ endpointId, appId })).toHaveLength(3)

    await apps.remove(appId)
    const before = at - 60_000
    expect(await deliveries.prune(before, 2)).toBe(2)
    expect(await deliveries.prune(before, 2)).toBe(1)
    await deliveries.write(of(['msg_late'], appId))
    expect(await deliveries.prune(before, 2)).toBe(1)
    expect(await tables.idsOf({})).toEqual(['msg_other'])
    expect([await tables.countRows('attempts'), await tables.countRows('webhook_events')]).toEqual([1, 1])
    // Remembered for as long as anything may still come.
    expect(await tables.countRows('removed_apps')).toBe(1)
    tables.opened.clock.advance(100_000)
    expect(await deliveries.prune(tables.opened.clock.now() - 60_000, 2)).toBe(1)
    expect(await tables.countRows('removed_apps')).toBe(0)
  })
})

test('PGlite uses the room of removed rows again, as PostgreSQL does by itself', async () => {
  const opened = await startTestRecords('pglite')
  const deliveries = new Deliveries(opened.records)
  const sizeOf = async () => {
    const { rows } = await opened.records.query((db) =>
      sql<{ size: number }>`select pg_relation_size('deliveries') as size`.execute(db),
    )
    return rows[0]?.size ?? 0
  }
  await opened.records.query((db) =>
    sql`insert into deliveries
      select 'msg_' || n, 'app-1', 'endpoint-1', 'e' || n, null, 'call.active', 'state', 'delivered', 1, 0,
        timestamptz '2020-01-01', now(), timestamptz '2020-01-01', null, now(), 'delivered', 200, null
      from generate_series(1, 21000) n`.execute(db),
  )
  expect(await sizeOf()).toBeGreaterThan(1_000_000)
  for (const count of [15_000, 6_000]) expect(await deliveries.prune(T0, 15_000)).toBe(count)
  expect(await sizeOf()).toBe(0)
  // Not for the little that a large table has lost.
  await opened.records.query((db) =>
    sql`update pg_class set reltuples = 1000000 where relname = 'deliveries'`.execute(db),
  )
  expect(await opened.records.reclaim(['deliveries'], 99_999)).toBe(false)
  expect(await opened.records.reclaim(['deliveries'], 100_000)).toBe(true)
  await opened.stop()
})
