import { expect, test } from 'vitest'
import { ApiError } from '../../src/cli/api-client.ts'
import { Cluster } from '../support/cluster.ts'
import { RedisProcess } from '../support/redis-process.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

/**
 * Two gateways, a webhook and a stream on each of them, and a real redis-server behind an address that can
 * be cut or lead elsewhere. Whatever becomes of Redis: events resume, a new epoch begins, the clients are
 * told, and no position ever has two contents.
 */
async function startScene() {
  const redis = await RedisProcess.start()
  const proxy = await TcpProxy.start(redis.port)
  const cluster = await Cluster.start({ redisUrl: `redis://127.0.0.1:${proxy.port}`, instances: 2 })
  return {
    redis,
    proxy,
    cluster,
    async [Symbol.asyncDispose]() {
      await cluster[Symbol.asyncDispose]()
      await proxy[Symbol.asyncDispose]()
      await redis[Symbol.asyncDispose]()
    },
  }
}

const [ANN = '', BERT = '', CLEO = ''] = ['user1', 'user2', 'user3'].map((name) => `${name}@example.net`)
const SLOW = 150_000
/** Nothing is waited for: the connection is known to be gone. */
const AT_ONCE_MS = 1_000
/** The time limit of a command, and some. */
const HANGING_MS = 2_500

const untilTold = (cluster: Cluster, callId: string, states: readonly string[], timeoutMs = 40_000) =>
  until(
    `${states.join()} of ${callId} by webhook (told ${cluster.statesByWebhook(callId).join()})`,
    () => (cluster.statesByWebhook(callId).join() === states.join() ? true : undefined),
    timeoutMs,
  )

/** How often the stream clients were told that they missed something. */
const gapsTold = ({ frames }: Cluster) =>
  frames.filter(({ type, recovered }) => type === 'gap' || (type === 'subscribed' && recovered === false)).length

const epochOf = async (cluster: Cluster): Promise<string> => {
  const withPosition = await until('a position', () =>
    cluster.frames.findLast(({ position }) => position !== undefined),
  )
  return withPosition.position?.epoch ?? ''
}

/** An instance lists this call and no other, as confirmed. */
async function isOnly(cluster: Cluster, instance: number, callId: string): Promise<true | undefined> {
  const [first, ...others] = (await cluster.calls(instance)) ?? []
  return first?.call_id === callId && first.stale !== true && others.length === 0 ? true : undefined
}

/**
 * The client of every instance is told that it missed something (when it subscribes again, or by a `gap` while it
 * is connected) and then what there is now, in another epoch.
 */
const untilNewEpoch = (cluster: Cluster, before: string) =>
  until(
    'both clients to be told of the new epoch',
    () => {
      const isTold = cluster.gateways.map((_, index) => {
        const frames = cluster.frames.filter(({ instance }) => instance === index)
        const gapAt = frames.findIndex(({ type }) => type === 'gap')
        return frames.some(
          ({ type, recovered, snapshot, position }, at) =>
            snapshot !== undefined &&
            position?.epoch !== before &&
            (recovered === false || (type === 'snapshot' && gapAt !== -1 && gapAt < at)),
        )
      })
      return isTold.every(Boolean) ? true : undefined
    },
    40_000,
  )

/** Both instances refuse within `withinMs` what needs Redis, and say that it is for want of it. */
async function expectRefused(cluster: Cluster, { callId, withinMs }: { callId: string; withinMs: number }) {
  const call = `/apps/${cluster.appId}/calls/${encodeURIComponent(callId)}`
  for (const instance of cluster.gateways.keys()) {
    for (const [method, path] of [
      ['GET', `/apps/${cluster.appId}/calls`],
      ['GET', call],
      ['PUT', `${call}/answer`],
      ['DELETE', call],
    ] as const) {
      const askedAt = performance.now()
      const refusal = await cluster
        .asApp(instance)
        .call(method, path)
        .catch((error: unknown) => error)
      const tookMs = performance.now() - askedAt
      expect(refusal, `${method} ${path}`).toBeInstanceOf(ApiError)
      expect(refusal, `${method} ${path}`).toMatchObject({ status: 503, code: 'store_unavailable' })
      expect(tookMs, `${method} ${path}`).toBeLessThan(withinMs)
    }
    await until('the instance to be unready', async () => {
      const { status } = await fetch(`${cluster.gateways[instance]?.url}/readyz`)
      return status === 503 ? true : undefined
    })
  }
}

/** The network sent what it had to say of a call more than once, and none of it was acknowledged. */
async function expectUnacknowledged(cluster: Cluster, callId: string): Promise<void> {
  const events = await until(`the events of ${callId} to be sent again`, async () => {
    const found = await cluster.eventsOf(callId)
    return found.length > 0 && found.every(({ emissions }) => emissions.length > 1) ? found : undefined
  })
  expect(events.map(({ acked_at: at }) => at).filter((at) => at !== null)).toEqual([])
}

async function expectAllWell(cluster: Cluster): Promise<void> {
  await cluster.untilHotStandby()
  const callId = await cluster.ring(CLEO)
  await untilTold(cluster, callId, ['ringing'])
  await until('the call on both streams', () => {
    const seen = cluster.frames.filter(
      ({ data, snapshot }) => data?.call_id === callId || snapshot?.some(({ call_id: id }) => id === callId) === true,
    )
    return seen.length >= cluster.gateways.length ? true : undefined
  })
  expect(cluster.witness.contradictions).toEqual([])
  expect(cluster.witness.size).toBeGreaterThan(0)
}

test(
  'Redis killed with SIGKILL and started again on its append-only file: nothing is lost, and the clients are told',
  { timeout: SLOW },
  async () => {
    await using scene = await startScene()
    const { cluster, redis } = scene
    const before = await cluster.ring(ANN)
    await untilTold(cluster, before, ['ringing'])
    const epoch = await epochOf(cluster)
    await redis.kill()
    const meanwhile = await cluster.ring(BERT)
    await expectRefused(cluster, { callId: before, withinMs: AT_ONCE_MS })
    await cluster.hangUp(before)
    await expectUnacknowledged(cluster, meanwhile)
    expect(cluster.statesByWebhook(meanwhile)).toEqual([])
    await redis.launch()
    await untilTold(cluster, meanwhile, ['ringing'])
    await untilTold(cluster, before, ['ringing', 'released'])
    await untilNewEpoch(cluster, epoch)
    expect(cluster.witness.epochs.size).toBe(2)
    await expectAllWell(cluster)
  },
)

const LOSSES = [
  ['emptied while it runs', (redis: RedisProcess) => redis.run((client) => client.flushall())],
  [
    'started anew without its data',
    async (redis: RedisProcess) => {
      await redis.kill()
      await redis.wipe()
      await redis.launch()
    },
  ],
] as const

test.for(LOSSES)(
  'Redis %s: calls are rebuilt from the network under a new epoch, and one that ended meanwhile ends',
  { timeout: SLOW },
  async ([, lose]) => {
    await using scene = await startScene()
    const { cluster, redis } = scene
    const [lasting, ending] = [await cluster.ring(ANN), await cluster.ring(BERT)]
    await untilTold(cluster, lasting, ['ringing'])
    await untilTold(cluster, ending, ['ringing'])
    const epoch = await epochOf(cluster)
    await lose(redis)
    await cluster.hangUp(ending)
    await untilNewEpoch(cluster, epoch)
    await until('the call list to be right again', () => isOnly(cluster, 1, lasting))
    await until('the end of the call to be told', () =>
      cluster.statesByWebhook(ending).at(-1) === 'released' ? true : undefined,
    )
    expect(cluster.statesByWebhook(lasting).at(-1)).toBe('ringing')
    await expectAllWell(cluster)
  },
)

test(
  'a replica promoted with a lost tail: what the old master gave out is never given out again for something else',
  { timeout: SLOW },
  async () => {
    await using replica = await RedisProcess.start()
    await using scene = await startScene()
    const { cluster, redis, proxy } = scene
    await replica.follow(redis)
    const known = await cluster.ring(ANN)
    await untilTold(cluster, known, ['ringing'])
    await until('the call to be replicated', () =>
      replica.run(async (client) => ((await client.keys('ch:{main}:sub:*')).length > 0 ? true : undefined)),
    )
    const epoch = await epochOf(cluster)
    // The link breaks; the master goes on for a while, acknowledges, and its readers see what it writes.
    await replica.promote()
    const lost = await cluster.ring(BERT)
    await cluster.hangUp(known)
    await untilTold(cluster, lost, ['ringing'])
    await untilTold(cluster, known, ['ringing', 'released'])
    const tail = await until('a position of the tail on a stream', () =>
      cluster.frames.findLast(({ data, position }) => data?.call_id === lost && position !== undefined),
    )
    await redis.kill()
    proxy.switchTo(replica.port)
    await untilNewEpoch(cluster, epoch)
    // Both were acknowledged to the network, so it does not say them again: the calls are read.
    await until('the calls to be as the network has them', () => isOnly(cluster, 0, lost))
    await expectAllWell(cluster)
    // By now the new master has given out as many offsets as the old one had.
    for (const instance of [0, 1]) {
      const client = await cluster.openStream(instance)
      client.subscribe(tail.position ?? null)
      const reply = await client.frame(({ type }) => type === 'subscribed')
      await client.disconnect()
      expect(reply.recovered).toBe(false)
      expect(reply.position?.epoch).not.toBe(tail.position?.epoch)
      expect(reply.snapshot?.map(({ call_id: id }) => id)).toContain(lost)
      const { epoch: lostEpoch, offset } = tail.position ?? { epoch: '', offset: 0 }
      const poll = await cluster
        .asApp(instance)
        .call('GET', `/apps/${cluster.appId}/events?after=${encodeURIComponent(`${lostEpoch}:${offset}`)}`)
      expect(poll.body).toMatchObject({ recovered: false })
    }
    // A master that gets its first replica takes a new replication id, which begins an epoch, too.
    expect(cluster.witness.epochs.size).toBeGreaterThanOrEqual(2)
  },
)

test(
  'while Redis is away requests are refused at once and events are not acknowledged; then everything resumes by itself',
  { timeout: SLOW },
  async () => {
    await using scene = await startScene()
    const { cluster, redis, proxy } = scene
    const answered = await cluster.ring(ANN)
    await untilTold(cluster, answered, ['ringing'])
    const told = gapsTold(cluster)
    proxy.switchTo(undefined)
    const callId = await cluster.ring(BERT)
    await expectRefused(cluster, { callId: answered, withinMs: AT_ONCE_MS })
    // Longer than a lease: nobody holds one any more.
    await until('the leases to lapse', async () => {
      const views = await Promise.all([cluster.channels(0), cluster.channels(1)])
      return views.flat().every(({ state }) => state !== 'open')
    })
    await expectUnacknowledged(cluster, callId)
    proxy.switchTo(redis.port)
    await untilTold(cluster, callId, ['ringing'])
    await cluster.hangUp(answered)
    await untilTold(cluster, answered, ['ringing', 'released'])
    await expectAllWell(cluster)
    // Redis lost nothing, so nobody was told of a gap.
    expect(gapsTold(cluster)).toBe(told)
    expect(cluster.witness.epochs.size).toBe(1)
  },
)

test(
  'while Redis hangs requests are refused in time and events are not acknowledged; then everything resumes by itself',
  { timeout: SLOW },
  async () => {
    await using scene = await startScene()
    const { cluster, redis } = scene
    const before = await cluster.ring(ANN)
    await untilTold(cluster, before, ['ringing'])
    const told = gapsTold(cluster)
    redis.pause()
    const meanwhile = await cluster.ring(BERT)
    await expectRefused(cluster, { callId: before, withinMs: HANGING_MS })
    await expectUnacknowledged(cluster, meanwhile)
    redis.resume()
    await untilTold(cluster, meanwhile, ['ringing'])
    await cluster.hangUp(before)
    await untilTold(cluster, before, ['ringing', 'released'])
    await expectAllWell(cluster)
    // It was never gone, so nobody was told of a gap.
    expect(gapsTold(cluster)).toBe(told)
    expect(cluster.witness.epochs.size).toBe(1)
  },
)

test('commands are carried out by every instance, whoever has the channels', { timeout: SLOW }, async () => {
  await using redis = await RedisProcess.start()
  await using cluster = await Cluster.start({ redisUrl: redis.url, instances: 3, users: 3 })
  // Of three instances one has neither the channel nor the standby channel of a node.
  await until('the duties to be shared out', async () => {
    const channels = await Promise.all([0, 1, 2].map((instance) => cluster.channels(instance)))
    const idle = channels.flat().filter(({ role, state }) => role === 'none' && state === 'standby')
    return idle.length === 2 ? true : undefined
  })
  for (const instance of [0, 1, 2]) {
    const callId = await cluster.ring(cluster.users[instance] ?? '')
    await untilTold(cluster, callId, ['ringing'])
    const path = `/apps/${cluster.appId}/calls/${encodeURIComponent(callId)}`
    await cluster.asApp(instance).call('PUT', `${path}/answer`)
    await untilTold(cluster, callId, ['ringing', 'active'])
    await cluster.asApp(instance).call('DELETE', path)
    await untilTold(cluster, callId, ['ringing', 'active', 'released'])
  }
  expect(cluster.witness.contradictions).toEqual([])
})
