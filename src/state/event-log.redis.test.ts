import { cp, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { redisOptions, startTestRedis, type TestRedis } from '../../test/support/redis.ts'
import { aCall, anna, app, otherApp, report, StateRig } from '../../test/support/state-rig.ts'
import { until } from '../../test/support/until.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import type { LogEntry } from '../core/event-log.ts'
import { toCallId } from '../core/ids.ts'
import { formatPosition, type Position } from '../core/position.ts'
import { EmbeddedRedis } from './embedded-redis.ts'

let redis: TestRedis
let rig: StateRig
const cleanups: (() => Promise<unknown>)[] = []
beforeAll(async () => {
  redis = await startTestRedis()
})
afterAll(() => redis.stop())
beforeEach(async () => {
  await redis.connect().flushall()
  rig = await startRig(redis.socketPath)
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

async function startRig(
  socketPath: string,
  options: { logLengthMax?: number; logAgeMaxMs?: number; clock?: Clock } = {},
): Promise<StateRig> {
  const started = new StateRig(socketPath, options)
  await started.connection.start()
  cleanups.push(() => started.connection.stop())
  return started
}

const append = (to: StateRig, id: string) =>
  to.log.append(app, { id, type: 'test', orderKey: 'key', payload: JSON.stringify({ id }) })

const appendAll = async (to: StateRig, ...ids: readonly string[]) => {
  for (const id of ids) await append(to, id)
}

const payloadsAfter = async (from: StateRig, after: Position, limit = 100): Promise<readonly string[]> => {
  const slice = await from.log.read(app, after, limit)
  if (slice.kind === 'gap') throw new Error(slice.reason)
  return slice.entries.map(({ payload }) => payload)
}

test('a new log has an epoch and offset 0, and keeps both until something is appended', async () => {
  const top = await rig.log.top(app)
  expect(top.offset).toBe(0)
  expect(await rig.log.top(app)).toEqual(top)
  await append(rig, 'a')
  expect(await rig.log.top(app)).toEqual({ epoch: top.epoch, offset: 1 })
  expect(await rig.log.read(app, top, 10)).toMatchObject({
    kind: 'entries',
    entries: [{ position: { epoch: top.epoch, offset: 1 }, type: 'test', orderKey: 'key', payload: '{"id":"a"}' }],
    top: { epoch: top.epoch, offset: 1 },
  })
})

test('an append with a known id does nothing', async () => {
  await appendAll(rig, 'a', 'b', 'a')
  const { epoch } = await rig.log.top(app)
  expect(await payloadsAfter(rig, { epoch, offset: 0 })).toEqual(['{"id":"a"}', '{"id":"b"}'])
})

test('reading on from any position in slices of any size gives exactly the rest of the log', async () => {
  await appendAll(rig, ...Array.from({ length: 25 }, (_, index) => String(index)))
  const { epoch } = await rig.log.top(app)
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 25 }), fc.integer({ min: 1, max: 30 }), async (start, limit) => {
      const read: number[] = []
      for (let offset = start; offset < 25;) {
        const slice = await rig.log.read(app, { epoch, offset }, limit)
        if (slice.kind === 'gap' || slice.entries.length === 0) throw new Error('the log ended early')
        read.push(...slice.entries.map(({ position }) => position.offset))
        offset = slice.entries.at(-1)?.position.offset ?? 25
      }
      expect(read).toEqual(Array.from({ length: 25 - start }, (_, index) => start + index + 1))
    }),
    { numRuns: 50 },
  )
})

test('a position after the top, of an unknown epoch, or not of ours at all is a gap', async () => {
  await appendAll(rig, 'a', 'b')
  const top = await rig.log.top(app)
  const oldest = { epoch: top.epoch, offset: 0 }
  expect(await rig.log.read(app, { ...top, offset: 3 }, 10)).toEqual({
    kind: 'gap',
    reason: 'ahead_of_log',
    oldest,
    top,
  })
  expect(await rig.log.read(app, { epoch: '123', offset: 2 }, 10)).toEqual({
    kind: 'gap',
    reason: 'epoch_changed',
    oldest,
    top,
  })
  expect(await rig.log.read(app, { epoch: 'abc', offset: 2 }, 10)).toEqual({
    kind: 'gap',
    reason: 'epoch_changed',
    oldest,
    top,
  })
  expect(await rig.log.read(app, top, 10)).toEqual({ kind: 'entries', entries: [], top })
})

test('entries that were trimmed are a gap, and reading on after `oldest` skips none that is left', async () => {
  const small = await startRig(redis.socketPath, { logLengthMax: 100 })
  const start = await small.log.top(app)
  await appendAll(small, ...Array.from({ length: 350 }, (_, index) => String(index)))
  const slice = await small.log.read(app, start, 10)
  if (slice.kind !== 'gap') throw new Error('nothing was trimmed')
  expect(slice.reason).toBe('trimmed')
  const rest = await payloadsAfter(small, slice.oldest, 1_000)
  expect(rest).toHaveLength(350 - slice.oldest.offset)
  expect(rest.length).toBeGreaterThanOrEqual(100)
  expect(rest.length).toBeLessThan(300)
  expect(await small.log.read(app, { ...slice.oldest, offset: slice.oldest.offset - 1 }, 10)).toMatchObject({
    reason: 'trimmed',
  })
})

test('an entry names the subscriber that it is about, whoever wrote it, and none when it is about none', async () => {
  await rig.deliver(report(1, aCall()))
  await append(rig, 'a')
  const about = { type: 'test', orderKey: 'key', payload: '{}', subscriberId: anna }
  await rig.log.append(app, { id: 'b', ...about })
  const { epoch } = await rig.log.top(app)
  // As earlier versions wrote them.
  const client = redis.connect()
  const earlier = (offset: number, payload: string) =>
    client
      .multi()
      .hincrby(`ch:{main}:meta:${app.appId}`, 'offset', 1)
      .xadd(`ch:{main}:log:${app.appId}`, `${epoch}-${offset}`, 'type', 'test', 'key', 'key', 'data', payload)
      .exec()
  await earlier(4, `{"subscriber_id":"${anna}"}`)
  await earlier(5, '{"subscriber":1}')
  const entries = await rig.entries()
  expect(entries.map(({ subscriberId }) => subscriberId)).toEqual([anna, undefined, anna, anna, undefined])
  expect(entries[3]).toEqual({ ...about, position: { epoch, offset: 4 }, payload: `{"subscriber_id":"${anna}"}` })
})

const HOUR_MS = 3_600_000

/** A clock that is set by the test. */
function settable() {
  const time = { now: 1_700_000_000_000 }
  return { time, clock: { ...systemClock, now: () => time.now } }
}

const ids = (name: string, count: number) => Array.from({ length: count }, (_, index) => `${name}${index}`)

describe('entries that are too old', () => {
  test('are dropped by those that are appended after them; younger ones are not', async () => {
    const { time, clock } = settable()
    const aging = await startRig(redis.socketPath, { logAgeMaxMs: HOUR_MS, clock })
    const start = await aging.log.top(app)
    await appendAll(aging, ...ids('old', 40))
    time.now += HOUR_MS / 2
    await appendAll(aging, ...ids('young', 8))
    time.now += HOUR_MS / 2 + 1
    await appendAll(aging, ...ids('new', 16))
    const slice = await aging.log.read(app, start, 10)
    expect(slice).toMatchObject({ kind: 'gap', reason: 'trimmed', oldest: { offset: 40 } })
    expect(await payloadsAfter(aging, { ...start, offset: 40 })).toHaveLength(24)
  })

  test('go by the commits of calls, too', async () => {
    const { time, clock } = settable()
    const aging = await startRig(redis.socketPath, { logAgeMaxMs: HOUR_MS, clock })
    const start = await aging.log.top(app)
    await append(aging, 'old')
    time.now += HOUR_MS + 1
    for (let sequence = 1; sequence <= 16; sequence += 1) {
      const state = sequence % 2 === 0 ? 'held' : 'active'
      await aging.deliver(report(sequence, aCall({ state, answeredAt: 2_000 }), 'state'))
    }
    expect(await aging.log.read(app, start, 10)).toMatchObject({
      kind: 'gap',
      reason: 'trimmed',
      oldest: { offset: 1 },
    })
  })

  test('of an earlier version, which have no time, go with the first one after them that has one', async () => {
    const { time, clock } = settable()
    const aging = await startRig(redis.socketPath, { logAgeMaxMs: HOUR_MS, clock })
    const { epoch } = await aging.log.top(app)
    const key = `ch:{main}:log:${app.appId}`
    for (let offset = 1; offset <= 3; offset += 1) {
      await redis.connect().xadd(key, `${epoch}-${offset}`, 'type', 't', 'key', 'k', 'data', '{}')
    }
    await redis.connect().hincrby(`ch:{main}:meta:${app.appId}`, 'offset', 3)
    await append(aging, 'a')
    await appendAll(aging, ...Array.from({ length: 12 }, (_, index) => `b${index}`))
    expect(await aging.entries()).toHaveLength(16)
    time.now += HOUR_MS + 1
    await appendAll(aging, ...Array.from({ length: 16 }, (_, index) => `c${index}`))
    expect(await aging.log.read(app, { epoch, offset: 0 }, 10)).toMatchObject({ kind: 'gap', oldest: { offset: 16 } })
  })

  test('of a quiet app go with the whole log, whose position stays good', async () => {
    const aging = await startRig(redis.socketPath, { logAgeMaxMs: HOUR_MS })
    await append(aging, 'a')
    const client = redis.connect()
    const ttl = (kind: string) => client.pttl(`ch:{main}:${kind}:${app.appId}`)
    expect(Math.round((await ttl('log')) / HOUR_MS)).toBe(1)
    expect(await ttl('meta')).toBeGreaterThan(7 * 24 * HOUR_MS)
    const top = await aging.log.top(app)
    await client.del(`ch:{main}:log:${app.appId}`)
    expect(await aging.log.read(app, top, 10)).toEqual({ kind: 'entries', entries: [], top })
    expect(await aging.log.read(app, { ...top, offset: 0 }, 10)).toMatchObject({ kind: 'gap', reason: 'trimmed' })
    await append(aging, 'b')
    expect(await payloadsAfter(aging, top)).toEqual(['{"id":"b"}'])
  })

  test('however time passes, what is young enough is kept, and what is not is soon gone', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(HOUR_MS / 8), { minLength: 1, maxLength: 120, size: 'max' }), async (pauses) => {
        await redis.connect().flushall()
        const { time, clock } = settable()
        const aging = new StateRig(redis.socketPath, { logAgeMaxMs: HOUR_MS, clock })
        await aging.connection.start()
        const times: number[] = []
        for (const [index, pause] of pauses.entries()) {
          time.now += pause
          times.push(time.now)
          await append(aging, String(index))
        }
        const firstKept = async () => {
          const top = await aging.log.top(app)
          const slice = await aging.log.read(app, { ...top, offset: 0 }, 1_000)
          return slice.kind === 'gap' ? slice.oldest.offset : 0
        }
        const firstYoung = times.findIndex((at) => at >= time.now - HOUR_MS)
        expect(await firstKept()).toBeLessThanOrEqual(firstYoung)
        for (let more = 0; more < 48; more += 1) await append(aging, `more${more}`)
        expect(await firstKept()).toBe(firstYoung)
        await aging.connection.stop()
      }),
      { numRuns: 20 },
    )
  })
})

test('after FLUSHALL the epoch is a later one', async () => {
  await appendAll(rig, 'a', 'b')
  const before = await rig.log.top(app)
  await redis.connect().flushall()
  expect(await rig.log.read(app, before, 10)).toMatchObject({
    kind: 'gap',
    reason: 'epoch_changed',
    top: { offset: 0 },
  })
  await append(rig, 'c')
  const after = await rig.log.top(app)
  expect(after.offset).toBe(1)
  expect(BigInt(after.epoch)).toBeGreaterThan(BigInt(before.epoch))
})

test('after a restart a reader gets what it had not read of the old epoch, then learns of the gap', async () => {
  await appendAll(rig, 'a', 'b', 'c')
  const { epoch } = await rig.log.top(app)
  await redis.server.stop(AbortSignal.timeout(5_000))
  await redis.server.start()
  await until('the connection', () => rig.connection.ping())
  await append(rig, 'd')

  expect(await payloadsAfter(rig, { epoch, offset: 1 })).toEqual(['{"id":"b"}', '{"id":"c"}'])
  const slice = await rig.log.read(app, { epoch, offset: 3 }, 10)
  if (slice.kind !== 'gap') throw new Error('the restart was not noticed')
  expect(slice.reason).toBe('epoch_changed')
  expect(await payloadsAfter(rig, slice.oldest)).toEqual(['{"id":"d"}'])
})

/** Every entry ever readable by its position; fails when one position had two contents. */
class Witness {
  readonly #seen = new Map<string, string>()

  async look(at: StateRig, epoch: string): Promise<readonly LogEntry[]> {
    const slice = await at.log.read(app, { epoch, offset: 0 }, 1_000)
    const entries = slice.kind === 'gap' ? [] : slice.entries
    for (const { position, payload } of entries) {
      const known = this.#seen.get(formatPosition(position))
      if (known !== undefined && known !== payload) throw new Error(`${formatPosition(position)} has two contents`)
      this.#seen.set(formatPosition(position), payload)
    }
    return entries
  }
}

test('a restart that lost the last writes never gives their positions to other entries', async () => {
  const admin = redis.connect()
  await admin.config('SET', 'appendfsync', 'always')
  const witness = new Witness()
  await appendAll(rig, 'a', 'b')
  const { epoch } = await rig.log.top(app)
  const dataDir = await mkdtemp(join(tmpdir(), 'callhalf-redis-'))
  await cp(join(dirname(redis.socketPath), 'appendonlydir'), join(dataDir, 'appendonlydir'), { recursive: true })
  await appendAll(rig, 'lost-1', 'lost-2')
  expect(await witness.look(rig, epoch)).toHaveLength(4)

  const restarted = new EmbeddedRedis(redisOptions(dataDir))
  await restarted.start()
  cleanups.push(
    () => rm(dataDir, { recursive: true, force: true }),
    () => restarted.stop(AbortSignal.timeout(5_000)),
  )
  const afterwards = await startRig(restarted.socketPath)
  await appendAll(afterwards, 'other-1', 'other-2')
  expect(await witness.look(afterwards, epoch)).toHaveLength(2)
  const top = await afterwards.log.top(app)
  expect(top.offset).toBe(2)
  expect(await witness.look(afterwards, top.epoch)).toHaveLength(2)
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (address === null || typeof address === 'string') throw new Error('the port is not known')
  return address.port
}

test('a promoted replica that missed writes never gives their positions to other entries', async () => {
  const replica = await startTestRedis()
  cleanups.push(() => replica.stop())
  const masterPort = await freePort()
  const admin = redis.connect()
  await admin.config('SET', 'port', String(masterPort))
  await admin.config('SET', 'repl-diskless-sync-delay', '0')
  cleanups.push(() => admin.config('SET', 'port', '0'))
  const replicaAdmin = replica.connect()
  await replicaAdmin.replicaof('127.0.0.1', masterPort)
  await until('the replica', async () => (await replicaAdmin.info('replication')).includes('master_link_status:up'))

  const witness = new Witness()
  await rig.deliver(report(1, aCall()))
  await rig.deliver(report(2, aCall({ state: 'active', answeredAt: 2_000 }), 'answered'))
  const { epoch } = await rig.log.top(app)
  await until('the replica', async () => (await replicaAdmin.xlen(`ch:{main}:log:${app.appId}`)) === 2)
  // The link breaks; the master goes on for a while and its readers see what it writes.
  await replicaAdmin.replicaof('NO', 'ONE')
  await rig.deliver(report(3, aCall({ state: 'held', answeredAt: 2_000 })))
  await rig.deliver(report(4, aCall({ callId: toCallId('callhalf-2:0') })))
  expect(await witness.look(rig, epoch)).toHaveLength(4)

  const promoted = await startRig(replica.socketPath)
  expect(await promoted.log.read(app, { epoch, offset: 4 }, 10)).toMatchObject({ kind: 'gap', reason: 'epoch_changed' })
  await promoted.deliver(report(3, aCall({ state: 'released', releasedAt: 3_000 })))
  expect(await witness.look(promoted, epoch)).toHaveLength(2)
  const top = await promoted.log.top(app)
  const after = await witness.look(promoted, top.epoch)
  expect(after.map(({ position, type }) => [position.offset, type])).toEqual([[1, 'call.released']])
})

test('the watchers of an app are woken by an append, and no longer after they end', async () => {
  const watching = await startRig(redis.socketPath)
  let wakes = 0
  let others = 0
  const end = watching.log.watch(app, () => (wakes += 1))
  const endOther = watching.log.watch(otherApp, () => (others += 1))
  // Once for the subscription taking effect.
  await until('the subscription', () => wakes === 1 && others === 1)
  await append(rig, 'a')
  await until('the wake-up', () => wakes === 2)
  await rig.deliver(report(1, aCall()))
  await until('the wake-up', () => wakes === 3)
  expect(others).toBe(1)
  end()
  endOther()
  await until(
    'the end of the subscription',
    async () => (await redis.connect().pubsub('NUMSUB', 'ch:{main}:wake'))[1] === 0,
  )
})

test('after a lost connection every watcher is woken once, because messages may have been missed', async () => {
  const watching = await startRig(redis.socketPath)
  let wakes = 0
  const end = watching.log.watch(app, () => (wakes += 1))
  await until('the subscription', () => wakes === 1)
  await redis.connect().call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await until('the reconnect', () => wakes === 2)
  await append(rig, 'a')
  await until('the wake-up', () => wakes >= 3)
  expect(wakes).toBe(3)
  end()
})
