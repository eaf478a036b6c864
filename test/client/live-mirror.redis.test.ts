import * as fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type {
  ClientState,
  ConnectOptions,
  Filter,
  Position,
  StreamClient,
  TransportName,
  Update,
} from '../../src/client/client.ts'
import { connect } from '../../src/client/client.ts'
import { Mirror } from '../../src/client/mirror.ts'
import type { Call, CallState } from '../../src/core/call.ts'
import { systemClock } from '../../src/core/clock.ts'
import { toCallId, toNetworkId, toSubscriberId } from '../../src/core/ids.ts'
import { readLiveCalls } from '../../src/core/live-calls.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { Ingest } from '../../src/ingest.ts'
import { BreakableNetwork } from '../support/breakable-network.ts'
import { checkedWebSocket } from '../support/checked-web-socket.ts'
import { useRedis } from '../support/use-redis.ts'
import type { RigApp } from '../support/stream-rig.ts'
import { StreamRig } from '../support/stream-rig.ts'
import { until } from '../support/until.ts'

const QUICK = { backoffMinMs: 5, backoffMaxMs: 50, refreshDelayMs: 20, openTimeoutMs: 1_000 }
const NETWORK = toNetworkId('network-1')
const noMetrics = {
  observed: () => undefined,
  conflicted: () => undefined,
  fenced: () => undefined,
  ghostReleased: () => undefined,
}

const redis = useRedis()
/** Two instances that know the same; a client is on one of them. */
let rigs: readonly [StreamRig, StreamRig]
let rig: StreamRig
let ingest: Ingest
const cleanups: (() => Promise<unknown>)[] = []
/** What was sent, by either side, that is not what the schemas say. */
const problems: string[] = []

beforeAll(async () => {
  rigs = [await new StreamRig(redis).start(), await new StreamRig(redis).start()]
  rig = rigs[0]
  ingest = new Ingest({
    store: rig.calls,
    directory: rig.directory,
    metrics: noMetrics,
    clock: systemClock,
    log: silentLogger,
  })
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
  const found = problems.splice(0)
  if (found.length > 0) throw new Error(found.join('\n'))
})
afterAll(async () => {
  for (const each of rigs) await each.stop()
})

/** An app with three subscribers whose network reports calls; what it is told, it is told as in production. */
class World {
  readonly app: RigApp
  readonly subscribers: readonly string[]
  readonly #calls = new Map<string, Map<string, Call>>()
  #sequence = 0
  #told = 0

  constructor() {
    this.app = rig.addApp()
    rigs[1].addKey(this.app)
    rigs[1].assign(this.app, this.app.subscriberId)
    const others = ['bert', 'carl'].map((name) => `${name}-${this.app.appId}@example.net`)
    for (const subscriberId of others) for (const each of rigs) each.assign(this.app, subscriberId)
    this.subscribers = [this.app.subscriberId, ...others]
  }

  /** The network reports a call in a state; `released` ends it, and the id may be used again. */
  async observe(subscriberId: string, id: string, state: CallState): Promise<void> {
    const calls = this.#calls.get(subscriberId) ?? new Map<string, Call>()
    this.#calls.set(subscriberId, calls)
    this.#sequence += 1
    const call: Call = {
      callId: toCallId(id),
      state,
      direction: 'incoming',
      remoteNumber: '+15550199',
      remoteName: 'Zoë "Z" Öst',
      trackingId: `track-${id}`,
      startedAt: calls.get(id)?.startedAt ?? 1_700_000_000_000 + this.#sequence,
      ...(state !== 'ringing' && { answeredAt: 1_700_000_100_000 }),
      ...(state === 'released' && { releasedAt: 1_700_000_200_000 }),
    }
    if (state === 'released') calls.delete(id)
    else calls.set(id, call)
    await ingest.deliver(
      {
        networkId: NETWORK,
        subscriberId: toSubscriberId(subscriberId),
        upstream: { generation: 1, sequence: this.#sequence },
        body: { type: 'calls', change: state === 'ringing' ? 'state' : 'answered', calls: [call] },
      },
      { lease: 'channel', token: 1 },
    )
  }

  async unassign(subscriberId: string): Promise<void> {
    if (!this.#isAssigned(subscriberId)) return
    for (const each of rigs) each.unassign(this.app, subscriberId)
    await this.#tell('subscriber.unassigned', subscriberId)
  }

  async assign(subscriberId: string): Promise<void> {
    if (this.#isAssigned(subscriberId)) return
    for (const each of rigs) each.assign(this.app, subscriberId)
    await this.#tell('subscriber.assigned', subscriberId)
  }

  /** What `GET /apps/{app_id}/calls` lists, in the form of the mirror. */
  async expected(filter: Filter | null): Promise<readonly object[]> {
    const listed = await readLiveCalls(rig.calls, rig.directory.assignmentsOfApp(this.app.appId))
    const wanted = listed.filter((call) => filter?.subscriber_ids?.includes(call.subscriber_id) ?? true)
    const mirror = new Mirror()
    mirror.replace(wanted, { epoch: '1', offset: 0 })
    return sort(mirror)
  }

  #isAssigned(subscriberId: string): boolean {
    return rig.directory.assignmentsOfApp(this.app.appId).some((known) => known.subscriberId === subscriberId)
  }

  async #tell(type: string, subscriberId: string): Promise<void> {
    this.#told += 1
    await rig.log.append(this.app, {
      id: `told ${this.#told}`,
      type,
      orderKey: `subscriber:${NETWORK}:${subscriberId}`,
      subscriberId: toSubscriberId(subscriberId),
      payload: JSON.stringify({
        app_id: this.app.appId,
        subscriber_id: subscriberId,
        subscriber_number: '+15550100',
        network_id: NETWORK,
      }),
    })
  }
}

const sort = ({ calls }: Pick<Mirror, 'calls'>): readonly object[] =>
  [...calls].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, call]) => call)

const portOf = ({ server }: StreamRig): number => Number(new URL(server.url).port)

/** A client behind a network of its own, which leads to the first instance. */
async function open(world: World, options: Partial<ConnectOptions> = {}) {
  const proxy = await new BreakableNetwork(portOf(rig)).start()
  const updates: Update[] = []
  const states: ClientState[] = []
  const client = connect({
    url: proxy.url,
    appId: world.app.appId,
    ...(options.getToken === undefined && { apiKey: world.app.key }),
    onEvent: (told) => updates.push(told),
    onSnapshot: (told) => updates.push(told),
    onState: (state) => states.push(state),
    WebSocket: checkedWebSocket((problem) => problems.push(problem)),
    ...options,
    limits: { ...QUICK, ...options.limits },
  })
  cleanups.push(async () => {
    await client.close()
    await proxy.stop()
  })
  await until('live', () => (client.state.name === 'live' ? true : undefined))
  const liveTimes = (times: number) =>
    until(`live ${times} times`, () => states.filter(({ name }) => name === 'live').length >= times || undefined)
  return { client, proxy, updates, states, liveTimes }
}

/** The client's mirror once it is what the list is, or as it is when the time for that is over. */
async function mirrorOf(world: World, client: StreamClient, filter: Filter | null = null): Promise<readonly object[]> {
  const isMirrored = async () =>
    JSON.stringify(await world.expected(filter)) === JSON.stringify(sort({ calls: client.calls() }))
  await until('the mirror to be the list', async () => ((await isMirrored()) ? true : undefined)).catch(() => undefined)
  return sort({ calls: client.calls() })
}

const someone = fc.constantFrom(0, 1, 2)
const Step = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('observe' as const),
      who: someone,
      id: fc.constantFrom('call-1', 'call-2', 'call-3'),
      state: fc.constantFrom<CallState>('ringing', 'active', 'held', 'released', 'released'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('break' as const), isDeath: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('settle' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('epoch' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('trim' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('assign' as const, 'unassign' as const), who: someone }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('filter' as const), who: fc.subarray([0, 1, 2]) }) },
)

const TRANSPORTS = ['websocket', 'sse', 'poll'] as const satisfies readonly TransportName[]

test.each(TRANSPORTS)(
  '%s: whatever happens to calls, connections, the log, assignments and the filter, the mirror is the list',
  async (transport) => {
    await fc.assert(
      fc.asyncProperty(fc.array(Step, { minLength: 20, maxLength: 80 }), async (steps) => {
        const world = new World()
        let instance = 0
        // A token of one instance is good for the others, too.
        const getToken = async () =>
          (await rigs[instance % 2 === 0 ? 1 : 0].tokens.issue({ appId: world.app.appId })).token
        const { client, proxy } = await open(world, { getToken, transports: [transport] })
        let filter: Filter | null = null
        const changes: Promise<void>[] = []
        for (const step of steps) {
          const name = 'who' in step && typeof step.who === 'number' ? (world.subscribers[step.who] ?? '') : ''
          switch (step.do) {
            case 'observe':
              await world.observe(name, `${step.id}-${step.who}`, step.state)
              break
            case 'break':
              if (step.isDeath) {
                instance += 1
                proxy.port = portOf(rigs[instance % 2 === 0 ? 0 : 1])
              }
              proxy.break()
              break
            case 'settle':
              await until('live', () => (client.state.name === 'live' ? true : undefined))
              break
            case 'epoch':
              await rig.breakEpoch(world.app)
              break
            case 'trim':
              await rig.trim(world.app, 1)
              break
            case 'assign':
              await world.assign(name)
              break
            case 'unassign':
              await world.unassign(name)
              break
            case 'filter': {
              const ids = step.who.map((index) => world.subscribers[index] ?? '')
              filter = ids.length === 0 ? null : { subscriber_ids: ids }
              changes.push(client.setFilter(filter))
            }
          }
        }
        await Promise.all(changes)
        expect(await mirrorOf(world, client, filter)).toEqual(await world.expected(filter))
        for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
      }),
      {
        numRuns: Number(process.env['CALLHALF_HISTORIES'] ?? (transport === 'websocket' ? 60 : 20)),
        endOnFailure: true,
      },
    )
  },
  120_000,
)

test.each(TRANSPORTS)(
  '%s: a client that is cut off at random gets every event once, in order, or is told that it did not',
  async (transport) => {
    const world = new World()
    const { client, proxy, updates } = await open(world, { transports: [transport] })
    const start = client.position
    let cuts = 0
    for (let n = 0; n < 400; n += 1) {
      await world.observe(world.app.subscriberId, `call-${n % 7}`, n % 14 < 7 ? 'ringing' : 'released')
      if (n % 23 === 0) {
        proxy.break()
        cuts += 1
      }
    }
    const top = await rig.log.top(world.app)
    await until('everything', () => (client.position?.offset === top.offset ? true : undefined))
    const offsets = updates.flatMap((told) => (told.type === 'event' ? [told.position.offset] : []))
    expect(offsets).toEqual(
      Array.from({ length: top.offset - (start?.offset ?? 0) }, (_, index) => (start?.offset ?? 0) + index + 1),
    )
    expect(updates.filter(({ type }) => type === 'snapshot')).toHaveLength(1)
    expect(cuts).toBeGreaterThan(10)
  },
)

test('a client that takes up a position gets what came after it, and all the calls', async () => {
  const world = new World()
  await world.observe(world.app.subscriberId, 'before', 'active')
  const first = await open(world)
  await first.client.close()
  const after = first.client.position as Position
  await world.observe(world.app.subscriberId, 'after', 'ringing')
  const { client, updates } = await open(world, { after })
  await until('the mirror', () => client.isComplete || undefined)
  expect(updates.map((told) => (told.type === 'event' ? told.event : told.type))).toEqual(['call.ringing', 'snapshot'])
  expect(await mirrorOf(world, client)).toEqual(await world.expected(null))
})

describe('server side:', () => {
  test('each connection has a token of its own, and none when the key is revoked', async () => {
    const world = new World()
    const { client, proxy, liveTimes } = await open(world)
    for (const times of [2, 3, 4]) {
      proxy.break()
      await liveTimes(times)
    }
    rig.revokeKey(world.app)
    expect(await client.closed).toMatchObject({ ending: { name: 'refused', action: 'fix' } })
  })

  test('an instance that drains sends its client to another one, where it goes on', async () => {
    const world = new World()
    const draining = await new StreamRig(redis).start()
    draining.addKey(world.app)
    draining.assign(world.app, world.app.subscriberId)
    const getToken = async () => (await rig.tokens.issue({ appId: world.app.appId })).token
    const { client, proxy, updates, states, liveTimes } = await open(world, { getToken })
    proxy.port = portOf(draining)
    proxy.break()
    await liveTimes(2)
    await world.observe(world.app.subscriberId, 'call-1', 'ringing')
    await until('the call', () => (client.calls().size === 1 ? true : undefined))
    proxy.port = portOf(rig)
    draining.hub.drain()
    await world.observe(world.app.subscriberId, 'call-1', 'active')
    await liveTimes(3)
    expect(await mirrorOf(world, client)).toEqual(await world.expected(null))
    expect(updates.map((told) => (told.type === 'event' ? told.event : told.type))).toEqual([
      'snapshot',
      'call.ringing',
      'call.active',
    ])
    const wait = states.findLast(({ name }) => name === 'waiting')
    expect(wait).toMatchObject({ ending: { name: 'draining', code: 4001, retryAfterMs: expect.any(Number) } })
    await draining.stop()
  })

  test('a filter of subscribers shows their calls only, and is changed without losing an event', async () => {
    const world = new World()
    const [ann = '', bert = ''] = world.subscribers
    await world.observe(ann, 'call-a', 'active')
    await world.observe(bert, 'call-b', 'active')
    const { client, updates } = await open(world, { filter: { subscriber_ids: [ann] } })
    expect(await mirrorOf(world, client, { subscriber_ids: [ann] })).toEqual(
      await world.expected({ subscriber_ids: [ann] }),
    )
    await world.observe(bert, 'call-b', 'held')
    await client.setFilter({ subscriber_ids: [bert] })
    expect(await mirrorOf(world, client, { subscriber_ids: [bert] })).toEqual(
      await world.expected({ subscriber_ids: [bert] }),
    )
    await world.observe(ann, 'call-a', 'released')
    await world.observe(bert, 'call-b', 'released')
    await until('the end of the call', () => (client.calls().size === 0 ? true : undefined))
    const told = updates.flatMap((update) => (update.type === 'event' ? [update] : []))
    expect(told.at(-1)?.event).toBe('call.released')
    expect(new Set(told.map(({ data }) => ('subscriber_id' in data ? data.subscriber_id : undefined)))).toEqual(
      new Set([bert]),
    )
  })

  test('a subscriber that was lost while the client was away takes its calls with it, and is told', async () => {
    const world = new World()
    const [ann = '', bert = ''] = world.subscribers
    await world.observe(ann, 'call-a', 'active')
    await world.observe(bert, 'call-b', 'active')
    const { client, proxy, updates, liveTimes } = await open(world)
    proxy.port = 1
    proxy.break()
    await until('away', () => (client.state.name === 'waiting' ? true : undefined))
    await world.unassign(ann)
    await world.observe(ann, 'call-a', 'released')
    proxy.port = portOf(rig)
    await liveTimes(2)
    await until('told', () => updates.find((told) => told.type === 'event'))
    expect(updates.slice(1)).toMatchObject([{ event: 'subscriber.unassigned', data: { subscriber_id: ann } }])
    expect(await mirrorOf(world, client)).toEqual(await world.expected(null))
    expect(client.calls().size).toBe(1)
  })

  test('a subscriber that was lost and given back while the client was away brings its calls again', async () => {
    const world = new World()
    const [ann = ''] = world.subscribers
    await world.observe(ann, 'call-a', 'active')
    const { client, proxy, liveTimes } = await open(world)
    proxy.port = 1
    proxy.break()
    await until('away', () => (client.state.name === 'waiting' ? true : undefined))
    await world.unassign(ann)
    await world.assign(ann)
    proxy.port = portOf(rig)
    await liveTimes(2)
    const { offset } = await rig.log.top(world.app)
    await until('everything', () => (client.position?.offset === offset ? true : undefined))
    expect(await mirrorOf(world, client)).toEqual(await world.expected(null))
    expect(client.calls().size).toBe(1)
  })
})
