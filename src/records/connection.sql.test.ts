import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, connect, type Socket } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { STORES, startTestRecords, type TestRecords } from '../../test/support/records.ts'
import { startTestPostgres, type TestPostgres } from '../../test/support/postgres.ts'
import { Cipher } from './cipher.ts'
import { Records } from './connection.ts'
import { migrate, type Migration } from './migrate.ts'

const modulePath = (file: string) => JSON.stringify(join(import.meta.dirname, file))
const deadline = () => AbortSignal.timeout(5_000)

describe.each(STORES)('records on %s', (store) => {
  let opened: TestRecords
  beforeAll(async () => {
    opened = await startTestRecords(store)
  })
  afterAll(() => opened?.stop())

  test('values have the same JavaScript types on both stores', async () => {
    const { rows } = await opened.records.query((db) =>
      sql`select 9007199254740991::int8 as big, 9007199254740993::int8 as bigger, count(*) as count, true as flag,
        1.5::float8 as float, null::text as nothing, 'ä😀' as text, '{"a":[1]}'::jsonb as json,
        timestamptz '2026-01-02 03:04:05.678+02' as time, ${'x'}::text as parameter`.execute(db),
    )
    expect(rows).toEqual([
      {
        big: 9_007_199_254_740_991,
        bigger: 9_007_199_254_740_993n,
        count: 1,
        flag: true,
        float: 1.5,
        nothing: null,
        text: 'ä😀',
        json: { a: [1] },
        time: new Date('2026-01-02T01:04:05.678Z'),
        parameter: 'x',
      },
    ])
  })

  test('a failed transaction leaves nothing, and one that runs is seen by nobody else', async () => {
    await opened.records.query((db) => sql`create table scratch (n int)`.execute(db))
    const count = async () => {
      const { rows } = await opened.records.query((db) =>
        sql<{ n: number }>`select count(*) as n from scratch`.execute(db),
      )
      return rows[0]?.n
    }
    let outside: Promise<number | undefined> | undefined
    const failing = opened.records.transaction(async (transaction) => {
      await sql`insert into scratch values (1)`.execute(transaction)
      // On PGlite's one connection it waits for its turn; it must not get into the transaction.
      outside = count()
      await sql`select 1/0`.execute(transaction)
    })
    await expect(failing).rejects.toMatchObject({ code: 'internal' })
    expect(await outside).toBe(0)
    expect(await count()).toBe(0)
  })

  test('a schema that is up to date is left alone', async () => {
    const before = await opened.records.query((db) => db.selectFrom('migrations').selectAll().execute())
    expect(before).toEqual([
      { name: '0001-foundation', applied_at: expect.any(Date) },
      { name: '0002-webhook-delivery', applied_at: expect.any(Date) },
      { name: '0003-subscriber-departures', applied_at: expect.any(Date) },
      { name: '0004-provisioning', applied_at: expect.any(Date) },
      { name: '0005-provisioning-orders', applied_at: expect.any(Date) },
      { name: '0006-provisioning-requests', applied_at: expect.any(Date) },
      { name: '0007-order-mirror', applied_at: expect.any(Date) },
      { name: '0008-first-attempts', applied_at: expect.any(Date) },
      { name: '0009-channel-restarts', applied_at: expect.any(Date) },
    ])
    expect(await opened.records.query((db) => migrate(db, () => 0))).toEqual([])
    expect(await opened.records.query((db) => db.selectFrom('migrations').selectAll().execute())).toEqual(before)
  })

  test('a step that fails in the middle leaves nothing of itself', async () => {
    const broken: readonly Migration[] = [
      { name: '0001-foundation', statements: '' },
      { name: '0002-webhook-delivery', statements: '' },
      { name: '0003-subscriber-departures', statements: '' },
      { name: '0004-provisioning', statements: '' },
      { name: '0005-provisioning-orders', statements: '' },
      { name: '0006-provisioning-requests', statements: '' },
      { name: '0007-order-mirror', statements: '' },
      { name: '0008-first-attempts', statements: '' },
      { name: '0009-channel-restarts', statements: '' },
      { name: '0010-broken', statements: 'create table half (n int);\ncreate table half (n int);\n' },
    ]
    await expect(opened.records.query((db) => migrate(db, () => 0, broken))).rejects.toMatchObject({ code: 'internal' })
    const { rows } = await opened.records.query((db) => sql`select to_regclass('half') as half`.execute(db))
    expect(rows).toEqual([{ half: null }])
    expect(await opened.records.query((db) => migrate(db, () => 0))).toEqual([])
  })

  test('a database of a newer version is refused', async () => {
    await expect(opened.records.query((db) => migrate(db, () => 0, []))).rejects.toMatchObject({
      code: 'store_unavailable',
      detail: expect.stringContaining('newer version'),
    })
  })

  test('another secret key is noticed at start; the right one opens everything again', async () => {
    await opened.records.stop(deadline())
    const wrong = new Records({ ...opened.options, cipher: new Cipher([Buffer.alloc(32, 9)]) })
    await expect(wrong.start()).rejects.toMatchObject({
      code: 'store_unavailable',
      detail: expect.stringContaining('another CALLHALF_SECRET_KEY'),
    })
    await expect(opened.records.check()).rejects.toMatchObject({ code: 'store_unavailable' })
    await opened.records.start()
    await opened.records.check()
  })
})

describe('records on PGlite', () => {
  let dataDir: string
  let opened: TestRecords
  beforeAll(async () => {
    opened = await startTestRecords('pglite')
    dataDir = opened.options.dataDir
  })
  afterAll(() => opened?.stop())

  test('a second opener is refused and does no harm', async () => {
    const second = new Records(opened.options)
    await expect(second.start()).rejects.toMatchObject({
      code: 'store_unavailable',
      detail: expect.stringContaining(`pid ${process.pid}`),
    })
    await opened.records.check()
  })

  test('a long query does not hold up the event loop', async () => {
    let ticks = 0
    const timer = setInterval(() => {
      ticks += 1
    }, 5)
    const started = performance.now()
    await opened.records.query((db) => sql`select sum(sqrt(n)) from generate_series(1, 3000000) n`.execute(db))
    const tookMs = performance.now() - started
    clearInterval(timer)
    expect(tookMs).toBeGreaterThan(100)
    expect(ticks).toBeGreaterThan(tookMs / 5 / 4)
  })

  test('committed rows survive a killed process, whose lock does not stand in the way', async () => {
    await opened.records.stop(deadline())
    const code = `const { Records } = await import(${modulePath('connection.ts')})
      const { Cipher } = await import(${modulePath('cipher.ts')})
      const { silentLogger } = await import(${modulePath('../core/logger.ts')})
      const { systemClock } = await import(${modulePath('../core/clock.ts')})
      const records = new Records({ dataDir: ${JSON.stringify(dataDir)}, cipher: new Cipher([Buffer.alloc(32, 5)]),
        clock: systemClock, log: silentLogger })
      await records.start()
      await records.query((db) => db.insertInto('apps')
        .values({ app_id: 'survivor', shard: 's1', name: 'crm', created_at: new Date() }).execute())
      console.log('written'); setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    await once(child.stdout, 'data')
    await expect(opened.records.start()).rejects.toMatchObject({ detail: expect.stringContaining(`pid ${child.pid}`) })
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
    await opened.records.start()
    const rows = await opened.records.query((db) => db.selectFrom('apps').select('app_id').execute())
    expect(rows).toEqual([{ app_id: 'survivor' }])
  })
})

describe('records on PostgreSQL', () => {
  let postgres: TestPostgres
  let options: TestRecords['options']
  beforeAll(async () => {
    postgres = await startTestPostgres()
    const { silentLogger } = await import('../core/logger.ts')
    const { systemClock } = await import('../core/clock.ts')
    options = { dataDir: tmpdir(), cipher: new Cipher([Buffer.alloc(32, 5)]), clock: systemClock, log: silentLogger }
  })
  afterAll(() => postgres?.stop())

  test('processes that start at once on an empty database migrate it once', async () => {
    const databaseUrl = await postgres.createDatabase()
    const all = Array.from({ length: 5 }, () => new Records({ ...options, databaseUrl }))
    await Promise.all(all.map((records) => records.start()))
    const names = await all[4]!.query((db) => db.selectFrom('migrations').select('name').execute())
    expect(names).toEqual([
      { name: '0001-foundation' },
      { name: '0002-webhook-delivery' },
      { name: '0003-subscriber-departures' },
      { name: '0004-provisioning' },
      { name: '0005-provisioning-orders' },
      { name: '0006-provisioning-requests' },
      { name: '0007-order-mirror' },
      { name: '0008-first-attempts' },
      { name: '0009-channel-restarts' },
    ])
    await Promise.all(all.map((records) => records.stop(deadline())))
  })

  test('a statement that takes too long is ended as store_unavailable', async () => {
    const records = new Records({ ...options, databaseUrl: await postgres.createDatabase(), statementTimeoutMs: 200 })
    await records.start()
    const started = performance.now()
    await expect(records.query((db) => sql`select pg_sleep(30)`.execute(db))).rejects.toMatchObject({
      code: 'store_unavailable',
      cause: expect.objectContaining({ code: '57014' }),
    })
    expect(performance.now() - started).toBeLessThan(5_000)
    await records.check()
    await records.stop(deadline())
  })

  test('a server that falls silent costs one query its time, and its connection is not used again', async () => {
    const url = new URL(await postgres.createDatabase())
    const server = join(url.searchParams.get('host') ?? '', '.s.PGSQL.5432')
    const folder = await mkdtemp(join(tmpdir(), 'callhalf-proxy-'))
    const pairs: Socket[] = []
    const proxy = createServer((socket) => {
      const upstream = connect(server)
      for (const end of [socket, upstream]) end.on('error', () => undefined)
      socket.pipe(upstream).pipe(socket)
      pairs.push(socket, upstream)
    }).listen(join(folder, '.s.PGSQL.5432'))
    await once(proxy, 'listening')
    url.searchParams.set('host', folder)
    const records = new Records({ ...options, databaseUrl: url.href, poolSize: 1, statementTimeoutMs: 300 })
    await records.start()
    await records.check()
    for (const socket of pairs) socket.unpipe().pause()
    await expect(records.check()).rejects.toMatchObject({ code: 'store_unavailable' })
    await records.check()
    await records.stop(deadline())
    for (const socket of pairs) socket.destroy()
    proxy.close()
    await rm(folder, { recursive: true })
  })

  test('a server that is gone is store_unavailable, at start with the reason', async () => {
    const own = await startTestPostgres()
    const databaseUrl = await own.createDatabase()
    const records = new Records({ ...options, databaseUrl })
    await records.start()
    await own.stop()
    await expect(records.check()).rejects.toMatchObject({ code: 'store_unavailable', retryAfterSeconds: 1 })
    await records.stop(deadline())
    await expect(new Records({ ...options, databaseUrl }).start()).rejects.toMatchObject({
      code: 'store_unavailable',
      detail: expect.stringMatching(/^The database did not open: .*ENOENT/),
    })
    const refused = new Records({ ...options, databaseUrl: 'postgres://u:pass-word@127.0.0.1:1/x' })
    const error = await refused.start().catch((failure: unknown) => failure)
    expect(error).toMatchObject({ code: 'store_unavailable', detail: expect.stringContaining('ECONNREFUSED') })
    expect(String(error)).not.toContain('pass-word')
  })
})
