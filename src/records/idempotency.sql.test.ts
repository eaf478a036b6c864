import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { silentLogger } from '../core/logger.ts'
import { ShardSchema, toAppId, type AppId } from '../core/ids.ts'
import { until } from '../../test/support/until.ts'
import { STORES, startTestRecords, type TestRecords } from '../../test/support/records.ts'
import { Apps } from './apps.ts'
import { RecordsDirectory } from './directory.ts'
import { IdempotencyLog } from './idempotency.ts'

const SHARD = v.parse(ShardSchema, 's1')
const HOUR_MS = 3_600_000

describe.each(STORES)('idempotency on %s', (store) => {
  let opened: TestRecords
  let apps: Apps
  let log: IdempotencyLog
  let appId: AppId

  beforeAll(async () => {
    opened = await startTestRecords(store)
    const directory = new RecordsDirectory({ records: opened.records, clock: opened.clock, log: silentLogger })
    apps = new Apps(opened.records, directory)
    log = new IdempotencyLog(opened.records, silentLogger)
    appId = (await apps.create({ name: 'crm', shard: SHARD })).app.appId
  })
  afterAll(() => opened?.stop())

  const rows = async () => {
    const found = await opened.records.query((db) => db.selectFrom('idempotency').select('key').execute())
    return found.map(({ key }) => key)
  }

  test('a claim is first, then unfinished, then replayed for ever the same', async () => {
    expect(await log.claim(appId, 'a', 'POST /calls {}')).toEqual({ kind: 'first' })
    expect(await log.claim(appId, 'a', 'POST /calls {}')).toEqual({
      kind: 'unfinished',
      startedAt: expect.any(Number),
      request: 'POST /calls {}',
    })
    await log.complete(appId, 'a', { status: 201, body: '{"call_id":"c"}' })
    const replay = { kind: 'replay', status: 201, body: '{"call_id":"c"}' }
    expect(await log.claim(appId, 'a', 'POST /calls {}')).toEqual(replay)
    await log.complete(appId, 'a', { status: 500, body: 'late' })
    await log.abandon(appId, 'a')
    expect(await log.claim(appId, 'a', 'POST /calls {}')).toEqual(replay)
  })

  test('the key with another request is a mismatch, finished or not', async () => {
    await log.claim(appId, 'b', 'one')
    expect(await log.claim(appId, 'b', 'two')).toEqual({ kind: 'mismatch' })
    await log.complete(appId, 'b', { status: 204, body: '' })
    expect(await log.claim(appId, 'b', 'two')).toEqual({ kind: 'mismatch' })
    expect(await log.claim(appId, 'b', 'one')).toEqual({ kind: 'replay', status: 204, body: '' })
  })

  test('an abandoned key is free again', async () => {
    await log.claim(appId, 'c', 'one')
    await log.abandon(appId, 'c')
    expect(await log.claim(appId, 'c', 'two')).toEqual({ kind: 'first' })
  })

  test('of 20 claims at once exactly one is first', async () => {
    const claims = await Promise.all(Array.from({ length: 20 }, () => log.claim(appId, 'd', 'one')))
    expect(claims.filter(({ kind }) => kind === 'first')).toHaveLength(1)
    expect(claims.filter(({ kind }) => kind === 'unfinished')).toHaveLength(19)
  })

  test('keys of different apps are different', async () => {
    const other = (await apps.create({ name: 'other', shard: SHARD })).app.appId
    await log.claim(appId, 'e', 'one')
    expect(await log.claim(other, 'e', 'two')).toEqual({ kind: 'first' })
  })

  test('an app that does not exist claims nothing', async () => {
    await expect(log.claim(toAppId('nobody'), 'f', 'one')).rejects.toMatchObject({ code: 'app_not_found' })
  })

  test('after 24 hours a key is free, claimed once by many, and pruned by the running service', async () => {
    await log.claim(appId, 'old', 'one')
    await log.claim(appId, 'older', 'one')
    opened.clock.advance(23 * HOUR_MS)
    expect((await log.claim(appId, 'old', 'one')).kind).toBe('unfinished')
    await log.claim(appId, 'young', 'one')
    opened.clock.advance(HOUR_MS + 1_000)
    const claims = await Promise.all(Array.from({ length: 20 }, () => log.claim(appId, 'old', 'two')))
    expect(claims.filter(({ kind }) => kind === 'first')).toHaveLength(1)
    expect(await rows()).toContain('older')
    await log.start()
    await until('the old entry to be pruned', async () => ((await rows()).includes('older') ? undefined : true))
    await log.stop()
    expect((await rows()).toSorted()).toEqual(['old', 'young'])
  })
})
