import { sql, type Kysely } from 'kysely'
import * as v from 'valibot'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger } from '../core/logger.ts'
import { ENDPOINT_DEFAULTS } from '../core/endpoint.ts'
import { ShardSchema, toSubscriberId, type AppId, type NetworkId } from '../core/ids.ts'
import { until } from '../../test/support/until.ts'
import { STORES, startTestRecords, type TestRecords } from '../../test/support/records.ts'
import { Apps } from './apps.ts'
import type { Records } from './connection.ts'
import { RecordsDirectory } from './directory.ts'
import { Endpoints } from './endpoints.ts'
import { Networks } from './networks.ts'
import type { Schema } from './schema.ts'
import { Subscribers } from './subscribers.ts'

const SHARD = v.parse(ShardSchema, 's1')

describe.each(STORES)('directory on %s', (store) => {
  let opened: TestRecords
  let here: RecordsDirectory
  let there: RecordsDirectory
  let networks: Networks
  let apps: Apps
  let subscribers: Subscribers
  let appId: AppId
  let networkId: NetworkId

  beforeAll(async () => {
    opened = await startTestRecords(store)
  })
  afterAll(() => opened?.stop())

  /** A directory as another process has it: it learns of the writes from the records only. */
  const startDirectory = async (pollMs: number, records: Pick<Records, 'query' | 'transaction'> = opened.records) => {
    const directory = new RecordsDirectory({ records, clock: opened.clock, log: silentLogger, pollMs })
    await directory.start()
    return directory
  }

  beforeEach(async () => {
    await opened.records.query((db) => sql`truncate apps, networks cascade`.execute(db))
    here = await startDirectory(3_600_000)
    there = await startDirectory(20)
    networks = new Networks(opened.records, here)
    apps = new Apps(opened.records, here)
    subscribers = new Subscribers(opened.records, here)
    const config = { name: 'lab', shard: SHARD, adapter: 'broadsoft', config: {}, secrets: {} }
    networkId = (await networks.create(config)).networkId
    appId = (await apps.create({ name: 'crm', shard: SHARD })).app.appId
  })
  afterEach(async () => {
    await here.stop()
    await there.stop()
  })

  const put = (id: string, number = '+15550100') =>
    subscribers.put({ appId, networkId, subscriberId: toSubscriberId(id), subscriberNumber: number })
  const numbersOf = (directory: RecordsDirectory, id: string) =>
    directory.assignmentsOf(networkId, toSubscriberId(id)).map((found) => found.subscriberNumber)
  /** Adds subscribers behind the directories' back, as restoring a backup does. */
  const insertMany = (count: number) =>
    opened.records.query((db) =>
      sql`insert into subscribers
        select ${appId}, 'u' || n || '@example.net', ${networkId}, ${SHARD}, '+1555' || n, null, null, now(), null
        from generate_series(1, ${sql.lit(count)}) n`.execute(db),
    )

  test('the writer sees its own change when the write resolves', async () => {
    await put('alice@example.net')
    expect(here.assignmentsOf(networkId, toSubscriberId('alice@example.net'))).toEqual([
      {
        app: { appId, shard: 's1' },
        network: { networkId, shard: 's1' },
        subscriberId: 'alice@example.net',
        subscriberNumber: '+15550100',
      },
    ])
    expect(here.subscribersOf(networkId)).toEqual(['alice@example.net'])
    await put('alice@example.net', '+15550199')
    expect(numbersOf(here, 'alice@example.net')).toEqual(['+15550199'])
    await subscribers.remove(appId, toSubscriberId('alice@example.net'))
    expect(here.subscribersOf(networkId)).toEqual([])
  })

  test('another process follows additions, changes and removals, and tells its listeners', async () => {
    let changes = 0
    const unlisten = there.onChange(() => {
      changes += 1
    })
    await put('alice@example.net')
    await put('alice@example.net', '+15550177')
    await until('the change to arrive', () =>
      numbersOf(there, 'alice@example.net')[0] === '+15550177' ? true : undefined,
    )
    expect(there.app(appId)).toEqual({ appId, shard: 's1' })
    expect(there.network(networkId)).toEqual({ networkId, shard: 's1' })
    expect(changes).toBeGreaterThan(0)

    const endpoints = new Endpoints(opened.records, here)
    const { endpointId } = await endpoints.create({
      appId,
      url: 'https://hooks.example.net',
      ...ENDPOINT_DEFAULTS,
      enabled: true,
      verified: false,
      secret: 'whsec_eA',
      eventTypes: ['call.*'],
    })
    await until('the endpoint to arrive', () => there.endpointsOf(appId)[0])
    expect(there.endpointsOf(appId)[0]).toEqual({
      endpointId,
      app: { appId, shard: 's1' },
      url: 'https://hooks.example.net',
      eventTypes: ['call.*'],
      orderHoldMs: 10_000,
      coalesce: false,
      maxInFlight: 10,
      signatures: ['v1'],
      enabled: false,
      verified: false,
    })
    await endpoints.update(appId, endpointId, { verified: true, ratePerSecond: 5 })
    await until('the verification to arrive', () => (there.endpointsOf(appId)[0]?.enabled === true ? true : undefined))
    expect(there.endpointsOf(appId)[0]).toMatchObject({ ratePerSecond: 5 })

    await apps.remove(appId)
    await until('the removal to arrive', () => (there.app(appId) === undefined ? true : undefined))
    expect(numbersOf(there, 'alice@example.net')).toEqual([])
    expect(there.endpointsOf(appId)).toEqual([])
    unlisten()
    const heard = changes
    await apps.create({ name: 'x', shard: SHARD })
    await there.refresh()
    expect(changes).toBe(heard)
  })

  test('a listener that throws does not keep the others from hearing', async () => {
    let heard = false
    here.onChange(() => {
      throw new Error('broken')
    })
    here.onChange(() => {
      heard = true
    })
    await put('alice@example.net')
    expect(heard).toBe(true)
  })

  test('starting reads everything, over more than one page', async () => {
    await insertMany(12_345)
    const directory = await startDirectory(3_600_000)
    expect(directory.subscribersOf(networkId)).toHaveLength(12_345)
    expect(directory.assignmentsOfApp(appId)).toHaveLength(12_345)
    expect(numbersOf(directory, 'u12345@example.net')).toEqual(['+155512345'])
    await directory.stop()
  })

  test('one change reads one row, however many there are', async () => {
    await insertMany(5_000)
    let queries = 0
    const records: Pick<Records, 'query' | 'transaction'> = {
      query: <Result>(work: (db: Kysely<Schema>) => Promise<Result>) => {
        queries += 1
        return opened.records.query(work)
      },
      transaction: (work) => opened.records.transaction(work),
    }
    const directory = await startDirectory(3_600_000, records)
    await put('alice@example.net')
    queries = 0
    await directory.refresh()
    expect(numbersOf(directory, 'alice@example.net')).toEqual(['+15550100'])
    // Version, changes, the row, and the version again.
    expect(queries).toBe(4)
    queries = 0
    await Promise.all(Array.from({ length: 200 }, () => directory.refresh()))
    expect(queries).toBeLessThanOrEqual(2)
    await directory.stop()
  })

  test('a follower too far behind, or ahead of a restored database, reads everything anew', async () => {
    await there.stop()
    const behind = await startDirectory(3_600_000)
    await put('alice@example.net')
    await put('bob@example.net')
    await opened.records.query((db) =>
      sql`delete from directory_changes where item_id = 'alice@example.net'`.execute(db),
    )
    await behind.refresh()
    expect(behind.subscribersOf(networkId).toSorted()).toEqual(['alice@example.net', 'bob@example.net'])

    await opened.records.query((db) => sql`delete from subscribers where subscriber_id = 'bob@example.net'`.execute(db))
    await opened.records.query((db) => sql`delete from directory_changes`.execute(db))
    await opened.records.query((db) => sql`update directory_version set version = 1`.execute(db))
    await behind.refresh()
    expect(behind.subscribersOf(networkId)).toEqual(['alice@example.net'])
    await behind.stop()
  })

  test('changes made at once by many writers are all followed, in gapless versions', async () => {
    await Promise.all(Array.from({ length: 50 }, (_unused, n) => put(`u${n}@example.net`)))
    await until('all to arrive', () => (there.subscribersOf(networkId).length === 50 ? true : undefined))
    expect(here.subscribersOf(networkId)).toHaveLength(50)
    const { rows } = await opened.records.query((db) =>
      sql<{ gaps: number }>`select (max(version) - min(version) + 1 - count(*)) as gaps from directory_changes
        where version > 1`.execute(db),
    )
    expect(rows).toEqual([{ gaps: 0 }])
  })

  test('a key issued elsewhere works at once, and a revoked one stops within a poll', async () => {
    const elsewhere = new Apps(opened.records, there)
    const lazy = await startDirectory(3_600_000)
    const key = await elsewhere.issueKey(appId, undefined)
    expect(await new Apps(opened.records, lazy).authenticate(key.apiKey)).toEqual({ appId, keyId: key.keyId })
    await apps.revokeKey(appId, key.keyId)
    await until('the revocation to arrive', async () =>
      (await elsewhere.authenticate(key.apiKey)) === undefined ? true : undefined,
    )
    await lazy.stop()
  })

  test('old changes are pruned', async () => {
    await opened.records.query((db) => sql`update directory_version set version = 20499`.execute(db))
    await put('alice@example.net')
    const { rows } = await opened.records.query((db) =>
      sql<{ oldest: number }>`select min(version) as oldest from directory_changes`.execute(db),
    )
    expect(rows).toEqual([{ oldest: 20_500 }])
    expect(numbersOf(here, 'alice@example.net')).toEqual(['+15550100'])
  })
})
