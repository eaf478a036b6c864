import { Registry } from 'prom-client'
import { afterEach, expect, test } from 'vitest'
import { useRedis } from '../../test/support/use-redis.ts'
import { until } from '../../test/support/until.ts'
import { EndpointBook, createEventLog } from '../../test/support/webhook-engine.ts'
import type { BookedEndpoint } from '../../test/support/webhook-engine.ts'
import { systemClock } from '../core/clock.ts'
import type { Clock } from '../core/clock.ts'
import { toSubscriberId } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import { parseToken, rulesOf } from './delivery.ts'
import type { EndpointRef, PendingEvent, WakeUp } from './delivery.ts'
import { DeliveryStore, STORE_LIMITS } from './delivery-store.ts'
import type { StoreLimits } from './delivery-store.ts'
import { Follower } from './follower.ts'
import type { FollowerOptions } from './follower.ts'
import { IntakeBrake } from './intake-brake.ts'
import { WebhookMetrics } from './metrics.ts'
import { RecordLog } from './record-log.ts'

const redis = useRedis()
const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
  await redis.connect().flushall()
})

const NOW = 1_700_000_000_000
/** Stands still, and looks again soon. */
const clock: Clock = {
  now: () => NOW,
  monotonic: () => systemClock.monotonic(),
  wait: (ms, signal) => systemClock.wait(Math.min(ms, 20), signal),
}

/** An app's log, and followers of it that fill a store. */
class Scene {
  readonly book = new EndpointBook('app')
  readonly eventLog: ReturnType<typeof createEventLog>
  readonly store: DeliveryStore
  readonly woken: WakeUp[] = []
  readonly reopened: { readonly endpoint: EndpointRef; readonly at: number }[] = []
  readonly registry = new Registry()
  readonly #metrics = new WebhookMetrics(this.registry)
  #entries = 0

  constructor(limits: Partial<StoreLimits> = {}, logLengthMax?: number) {
    this.store = new DeliveryStore(redis.connect(), { ...STORE_LIMITS, ...limits })
    this.eventLog = createEventLog(redis, logLengthMax)
  }

  add(options: Partial<BookedEndpoint> = {}): BookedEndpoint {
    return this.book.add('https://hooks.example.net/', { policies: {}, ...options })
  }

  /** Follows until the returned function is called, or the test ends. */
  async follow(
    options: Partial<FollowerOptions> = {},
  ): Promise<{ readonly follower: Follower; readonly stop: () => Promise<void> }> {
    const follower = new Follower({
      app: this.book.app,
      store: this.store,
      eventLog: this.eventLog,
      directory: this.book.directory,
      beginning: (_most, ask) => ask(0),
      wake: (wakes) => {
        this.woken.push(...wakes)
        return Promise.resolve()
      },
      reopen: (endpoint, at) => {
        this.reopened.push({ endpoint, at })
        return Promise.resolve()
      },
      brake: new IntakeBrake({ store: this.store, clock, log: silentLogger }),
      events: this.book.events,
      metrics: this.#metrics,
      log: silentLogger,
      clock,
      ...options,
    })
    const unwatch = this.book.directory.onChange(() => follower.refresh())
    const stopping = new AbortController()
    const running = follower.run(stopping.signal)
    const stop = async () => {
      unwatch()
      stopping.abort()
      await running
    }
    stops.push(stop)
    await follower.placed
    return { follower, stop }
  }

  /** Appends what a call's change looks like in the log. */
  async append(orderKey: string, type: string, payload: object = {}): Promise<void> {
    this.#entries += 1
    const sequence = String(this.#entries)
    await this.eventLog.append(this.book.app, {
      id: `entry-${sequence}`,
      type,
      orderKey,
      payload: JSON.stringify({ call_id: orderKey, sequence_number: sequence, ...payload }),
    })
  }

  /** What is in a lane of an endpoint, once there are so many. */
  inLane(endpoint: EndpointRef, orderKey: string, count: number): Promise<readonly PendingEvent[]> {
    return until(`${count} events in ${orderKey}`, async () => {
      const tokens = await redis.connect().lrange(`ch:{wh}:pending:${endpoint.endpointId}:${orderKey}`, 0, -1)
      return tokens.length === count ? tokens.map(parseToken) : undefined
    })
  }

  /** Waits until an endpoint has seen everything that was appended. */
  async caughtUp(endpoint: EndpointRef): Promise<void> {
    const top = await this.eventLog.top(this.book.app)
    await until('the end of the log', async () => {
      const cursor = (await this.store.cursors(this.book.app.appId)).get(endpoint.endpointId)
      return cursor?.epoch === top.epoch && cursor.offset === top.offset ? true : undefined
    })
  }

  async pendingOf({ endpointId }: EndpointRef): Promise<number | undefined> {
    return (await this.store.status([endpointId])).get(endpointId)?.pending
  }

  async metric(name: string, labels: object): Promise<number | undefined> {
    const metric = await this.registry.getSingleMetric(name)?.get()
    return metric?.values.find((value) => JSON.stringify(value.labels) === JSON.stringify(labels))?.value
  }
}

/** The sequence numbers that were labels in tokens. */
const labels = (events: readonly PendingEvent[]) => events.map(({ token }) => token.split('|')[4])

/** The class of each event, and for how long it lives. */
const lives = (events: readonly PendingEvent[]) => events.map((event) => [event.class, event.expiresAt - NOW])

test('each endpoint gets the types, subscribers and directions that it asked for', async () => {
  const scene = new Scene()
  const all = scene.add()
  const ringing = scene.add({ eventTypes: ['call.ringing', 'subscriber.*'] })
  const anna = scene.add({ subscriberIds: [toSubscriberId('anna@example.net')] })
  const outgoing = scene.add({ directions: ['outgoing'] })
  await scene.follow()
  await scene.append('a', 'call.ringing', { subscriber_id: 'anna@example.net', direction: 'incoming' })
  await scene.append('a', 'call.held', { subscriber_id: 'bert@example.net', direction: 'incoming' })
  await scene.append('a', 'call.ringing', { subscriber_id: 'bert@example.net', direction: 'outgoing' })
  await scene.append('a', 'subscriber.assigned', { subscriber_id: 'anna@example.net' })
  await scene.append('a', 'order.completed')
  expect(labels(await scene.inLane(all, 'a', 5))).toEqual(['1', '2', '3', '4', '5'])
  expect(labels(await scene.inLane(ringing, 'a', 3))).toEqual(['1', '3', '4'])
  expect(labels(await scene.inLane(anna, 'a', 3))).toEqual(['1', '4', '5'])
  expect(labels(await scene.inLane(outgoing, 'a', 3))).toEqual(['3', '4', '5'])
})

test('an event lives as long as its class says, or as its endpoint wants it', async () => {
  const scene = new Scene()
  const plain = scene.add()
  const own = scene.add({ policies: { 'call.*': { ttlMs: 7_000 }, 'call.released': { ttlMs: 60_000 } } })
  await scene.follow()
  for (const type of ['call.ringing', 'call.held', 'call.released', 'order.completed']) await scene.append('a', type)
  expect(lives(await scene.inLane(plain, 'a', 4))).toEqual([
    ['act_now', 30_000],
    ['state', 300_000],
    ['record', 259_200_000],
    ['record', 259_200_000],
  ])
  expect(lives(await scene.inLane(own, 'a', 4))).toEqual([
    ['act_now', 7_000],
    ['state', 7_000],
    ['record', 60_000],
    ['record', 259_200_000],
  ])
})

test('an event that has waited in the log has lived for as long; one that has expired there ends and is never sent', async () => {
  const scene = new Scene()
  const endpoint = scene.add()
  await scene.append('a', 'call.ringing')
  await scene.append('a', 'call.held')
  const appendedAt = Date.now()
  await scene.store.open(endpoint, { ...(await scene.eventLog.top(scene.book.app)), offset: 0 })
  // As if the gateway had been down for two minutes.
  const now = appendedAt + 120_000
  await scene.follow({ clock: { ...clock, now: () => now } })
  const [ringing, held] = await scene.inLane(endpoint, 'a', 2)
  expect(ringing?.expiresAt).toBeGreaterThan(appendedAt + 25_000)
  expect(ringing?.expiresAt).toBeLessThanOrEqual(appendedAt + 30_000)
  expect(held?.expiresAt).toBeGreaterThan(appendedAt + 295_000)
  const ask = { owner: 'o', fresh: true, now, rules: rulesOf(endpoint) }
  const turn = await scene.store.begin({ ...endpoint, orderKey: 'a' }, ask)
  expect(turn).toMatchObject({ kind: 'due', event: { type: 'call.held' }, skipped: ['1;expired'] })
  const claimed = await new RecordLog(redis.connect()).claim('test', 10)
  const told = claimed?.facts.map((fact) => (fact.kind === 'ended' ? [fact.kind, fact.status] : [fact.kind]))
  expect(told).toEqual([['taken'], ['taken'], ['ended', 'expired']])
})

test('what was taken has its lane woken, and what its endpoint’s gate holds back its reopening asked for', async () => {
  const scene = new Scene()
  const limited = scene.add({ ratePerSecond: 1 })
  await scene.follow()
  await scene.append('a', 'call.held')
  await scene.inLane(limited, 'a', 1)
  await until('a wake-up', () => (scene.woken.length === 1 ? true : undefined))
  expect(scene.woken).toEqual([{ lane: { appId: 'app', endpointId: limited.endpointId, orderKey: 'a' } }])
  const rules = rulesOf(limited)
  await scene.store.begin({ ...limited, orderKey: 'a' }, { owner: 'o', fresh: true, now: NOW, rules })
  await scene.append('b', 'call.held')
  await until('a reopening', () => (scene.reopened.length === 1 ? true : undefined))
  expect(scene.reopened).toEqual([{ endpoint: { appId: 'app', endpointId: limited.endpointId }, at: NOW + 1_000 }])
  expect(scene.woken).toHaveLength(1)
})

test('a payload is kept exactly as the app would get it, described by what it holds', async () => {
  const scene = new Scene()
  const endpoint = scene.add()
  await scene.follow()
  const payload = '{ "call_id":"a", "direction":"incoming",\n "subscriber_id":"ünï", "timestamp":1699999999999 }'
  await scene.eventLog.append(scene.book.app, { id: 'e', type: 'call.held', orderKey: 'a', payload })
  await scene.inLane(endpoint, 'a', 1)
  const turn = await scene.store.begin(
    { ...endpoint, orderKey: 'a' },
    { owner: 'o', fresh: true, now: NOW, rules: rulesOf(endpoint) },
  )
  expect(turn).toMatchObject({
    kind: 'due',
    event: {
      type: 'call.held',
      payload,
      about: { callId: 'a', direction: 'incoming', subscriberId: 'ünï', occurredAt: 1_699_999_999_999 },
    },
  })
})

test('several followers of one app take every entry once, in order', async () => {
  const scene = new Scene()
  const endpoint = scene.add()
  await Promise.all([scene.follow(), scene.follow(), scene.follow()])
  for (let i = 0; i < 150; i += 1) await scene.append(`call-${i % 3}`, 'call.held')
  for (const key of [0, 1, 2]) {
    const found = labels(await scene.inLane(endpoint, `call-${key}`, 50)).map(Number)
    expect(found).toEqual(Array.from({ length: 50 }, (_, i) => 3 * i + key + 1))
  }
  expect(await scene.pendingOf(endpoint)).toBe(150)
})

test('a follower goes on where the one before it stopped', async () => {
  const scene = new Scene()
  const endpoint = scene.add()
  const { stop } = await scene.follow()
  await scene.append('a', 'call.held')
  await scene.inLane(endpoint, 'a', 1)
  await stop()
  await scene.append('a', 'call.held')
  await scene.follow()
  expect(labels(await scene.inLane(endpoint, 'a', 2))).toEqual(['1', '2'])
})

test('an endpoint that is added starts with what comes next, one that is disabled gets nothing more', async () => {
  const scene = new Scene()
  const first = scene.add()
  await scene.follow()
  await scene.append('a', 'call.held')
  await scene.caughtUp(first)
  const second = scene.add()
  await until('its place in the log', async () =>
    (await scene.store.cursors(scene.book.app.appId)).get(second.endpointId),
  )
  scene.book.put({ ...first, enabled: false })
  await scene.append('a', 'call.held')
  expect(labels(await scene.inLane(second, 'a', 1))).toEqual(['2'])
  expect(await scene.pendingOf(first)).toBe(1)
})

test('an endpoint that is not verified gets nothing', async () => {
  const scene = new Scene()
  const pending = scene.add({ verified: false })
  const verified = scene.add()
  await scene.follow()
  await scene.append('a', 'call.held')
  await scene.inLane(verified, 'a', 1)
  expect(await scene.pendingOf(pending)).toBe(0)
})

test('entries that were trimmed before they were taken are told to the operator, once, and the rest is taken', async () => {
  const scene = new Scene({}, 10)
  const endpoint = scene.add()
  const { stop } = await scene.follow()
  await scene.append('a', 'call.held')
  await scene.inLane(endpoint, 'a', 1)
  await stop()
  // Redis trims a log by blocks of a hundred entries.
  for (let i = 0; i < 250; i += 1) await scene.append('b', 'call.held')
  const kept = await redis.connect().xlen(String((await redis.connect().keys('*log*'))[0]))
  expect(kept).toBeLessThan(250)
  await scene.follow()
  await scene.caughtUp(endpoint)
  const sequences = labels(await scene.inLane(endpoint, 'b', kept)).map(Number)
  expect([sequences[0], sequences.at(-1)]).toEqual([252 - kept, 251])
  const epoch = (await scene.eventLog.top(scene.book.app)).epoch
  expect(scene.book.operatorEvents).toEqual([
    {
      type: 'webhook.log_gap',
      appId: 'app',
      endpointId: endpoint.endpointId,
      details: { reason: 'trimmed', from: `${epoch}:1`, to: `${epoch}:${251 - kept}` },
    },
  ])
  expect(await scene.metric('callhalf_webhook_log_gaps_total', { reason: 'trimmed' })).toBe(1)
})

test('a log that begins anew is followed from its beginning, and nobody is alarmed', async () => {
  const scene = new Scene()
  const endpoint = scene.add()
  const { stop } = await scene.follow()
  await scene.append('a', 'call.held')
  await scene.inLane(endpoint, 'a', 1)
  await stop()
  const client = redis.connect()
  await client.del(...(await client.keys('*')).filter((key) => !key.startsWith('ch:{wh}')))
  await scene.append('a', 'call.held')
  await scene.follow()
  expect(labels(await scene.inLane(endpoint, 'a', 2))).toEqual(['1', '2'])
  expect(scene.book.operatorEvents).toEqual([])
  expect(await scene.metric('callhalf_webhook_log_gaps_total', { reason: 'epoch_changed' })).toBe(1)
})

test('a store that is lost while the log is followed costs no entry that comes after', async () => {
  const scene = new Scene()
  const endpoint = scene.add()
  await scene.follow()
  await scene.append('a', 'call.held')
  await scene.inLane(endpoint, 'a', 1)
  const client = redis.connect()
  await client.del(...(await client.keys('ch:{wh}*')))
  await scene.append('b', 'call.held')
  expect(labels(await scene.inLane(endpoint, 'b', 1))).toEqual(['2'])
})

test('a full backlog is told to the operator once, holds back no other endpoint, and is made up for', async () => {
  const scene = new Scene({ backlogMax: 2 })
  const slow = scene.add({ eventTypes: ['call.held'] })
  const other = scene.add({ eventTypes: ['order.*'] })
  await scene.follow()
  for (let i = 0; i < 6; i += 1) await scene.append('a', 'call.held')
  await scene.append('a', 'order.completed')
  await scene.inLane(other, 'a', 1)
  await until('the operator event', () => scene.book.operatorEvents[0])
  const settleOne = async () => {
    const rules = rulesOf(slow)
    const turn = await scene.store.begin({ ...slow, orderKey: 'a' }, { owner: 'o', fresh: true, now: NOW, rules })
    if (turn.kind !== 'due') throw new Error(`nothing to send: ${turn.kind}`)
    const { token } = turn.pending
    await scene.store.settle({ ...slow, orderKey: 'a' }, { token, result: 'delivered', attempts: [], now: NOW, rules })
    return token.split('|')[4]
  }
  const sent: unknown[] = []
  for (let i = 0; i < 6; i += 1) {
    // Up to the last two the backlog is filled up again each time.
    await scene.inLane(slow, 'a', Math.min(2, 6 - i))
    sent.push(await settleOne())
  }
  expect(sent).toEqual(['1', '2', '3', '4', '5', '6'])
  await scene.caughtUp(slow)
  expect(scene.book.operatorEvents).toEqual([
    { type: 'webhook.backlog_full', appId: 'app', endpointId: slow.endpointId, details: {} },
  ])
})

test('records that are away while a full backlog is told hold up no other endpoint', async () => {
  const scene = new Scene({ backlogMax: 1 })
  scene.add({ eventTypes: ['call.held'] })
  const other = scene.add({ eventTypes: ['order.*'] })
  const back = Promise.withResolvers<void>()
  stops.unshift(() => Promise.resolve(back.resolve()))
  for (let i = 0; i < 2; i += 1) await scene.append('a', 'call.held')
  await scene.append('b', 'order.completed')
  const start = { ...(await scene.eventLog.top(scene.book.app)), offset: 0 }
  for (const endpoint of scene.book.records.values()) await scene.store.open(endpoint, start)
  const following = scene.follow({ events: { append: () => back.promise } })
  const isOthers = ({ lane }: WakeUp) => lane.endpointId === other.endpointId
  expect(await until('its wake-up', () => scene.woken.find(isOthers))).toMatchObject({ lane: { orderKey: 'b' } })
  back.resolve()
  await following
})

test('while records are written slower than they come nothing is taken, until there is room', async () => {
  const scene = new Scene({ recordsMax: 4 })
  const endpoint = scene.add()
  let looks = 0
  const recordsAreBehind = () => {
    looks += 1
    return scene.store.recordsAreBehind()
  }
  await scene.follow({ brake: new IntakeBrake({ store: { recordsAreBehind }, clock, log: silentLogger }) })
  const records = new RecordLog(redis.connect())
  const write = async () => {
    const claimed = await records.claim('recorder', 100)
    await records.release('recorder', { last: claimed?.last })
    return claimed?.facts.length
  }
  await scene.append('a', 'call.held')
  await scene.inLane(endpoint, 'a', 1)
  await write()
  for (let i = 0; i < 2; i += 1) await scene.append('a', 'call.held')
  await scene.inLane(endpoint, 'a', 3)
  for (let i = 0; i < 6; i += 1) await scene.append('b', 'call.held')
  await until('several looks', () => (looks >= 3 ? true : undefined))
  expect(await scene.pendingOf(endpoint)).toBe(3)
  expect(await write()).toBe(2)
  expect(labels(await scene.inLane(endpoint, 'b', 6))).toEqual(['4', '5', '6', '7', '8', '9'])
})

test('records that are not written at all hold up nothing', async () => {
  const scene = new Scene({ recordsMax: 4 })
  const endpoint = scene.add()
  await scene.follow()
  for (let i = 0; i < 8; i += 1) await scene.append('a', 'call.held')
  expect(labels(await scene.inLane(endpoint, 'a', 8))).toEqual(['1', '2', '3', '4', '5', '6', '7', '8'])
})

test('an endpoint whose place the store has lost goes on at once from where it was seen', async () => {
  const scene = new Scene()
  const endpoint = scene.add()
  await scene.follow()
  await scene.append('a', 'call.ringing')
  await scene.inLane(endpoint, 'a', 1)
  await redis.connect().del(`ch:{wh}:cursors:${scene.book.app.appId}`)
  await scene.append('a', 'call.held')
  expect(labels(await scene.inLane(endpoint, 'a', 2))).toEqual(['1', '2'])
})

test('of two followers of a log each event is taken by one', async () => {
  const scene = new Scene()
  const endpoint = scene.add()
  await scene.follow()
  await scene.follow()
  for (let i = 0; i < 50; i += 1) await scene.append('a', 'call.held')
  expect(labels(await scene.inLane(endpoint, 'a', 50))).toEqual(Array.from({ length: 50 }, (_none, i) => String(i + 1)))
  expect(await scene.pendingOf(endpoint)).toBe(50)
})

test('where somebody else takes the log, too, the place in it is asked for each time', async () => {
  const scene = new Scene()
  const endpoint = scene.add()
  let asked = 0
  const store = new Proxy(scene.store, {
    get(target, name) {
      if (name === 'cursors') asked += 1
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  await scene.follow({ store, clock: { ...clock, wait: (ms, signal) => systemClock.wait(ms, signal) } })
  const key = `ch:{wh}:cursors:${scene.book.app.appId}`
  for (let i = 1; i <= 20; i += 1) {
    await scene.append('a', 'call.held')
    await scene.inLane(endpoint, 'a', i)
  }
  const alone = asked
  // As after another follower has taken what this one thinks is to be taken.
  const { epoch, offset } = await scene.eventLog.top(scene.book.app)
  await redis.connect().hset(key, endpoint.endpointId, `${epoch}:${offset + 1}`)
  await scene.append('a', 'call.held')
  for (let i = 21; i <= 40; i += 1) {
    await scene.append('a', 'call.held')
    await scene.inLane(endpoint, 'a', i)
  }
  expect(asked - alone).toBeGreaterThanOrEqual(19)
})
