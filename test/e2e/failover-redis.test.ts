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

/** Every stream client is in another epoch than before. */
const untilNewEpoch = (cluster: Cluster, before: string) =>
  until(
    'both clients to be told of the new epoch',
    () => {
      const told = cluster.frames.filter(
        ({ snapshot, position }) => snapshot !== undefined && position?.epoch !== before,
      )
      return told.length >= cluster.gateways.length ? true : undefined
    },
    40_000,
  )

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
    await cluster.hangUp(before)
    await redis.launch()
    await untilTold(cluster, meanwhile, ['ringing'])
    await untilTold(cluster, before, ['ringing', 'released'])
    await untilNewEpoch(cluster, epoch)
    expect(cluster.witness.epochs.size).toBe(2)
    await expectAllWell(cluster)
  },
)

test(
  'Redis emptied: calls are rebuilt from the network under a new epoch, and one that ended meanwhile ends',
  { timeout: SLOW },
  async () => {
    await using scene = await startScene()
    const { cluster, redis } = scene
    const [lasting, ending] = [await cluster.ring(ANN), await cluster.ring(BERT)]
    await untilTold(cluster, lasting, ['ringing'])
    await untilTold(cluster, ending, ['ringing'])
    const epoch = await epochOf(cluster)
    await redis.run((client) => client.flushall())
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
    await redis.kill()
    proxy.switchTo(replica.port)
    await untilNewEpoch(cluster, epoch)
    // Both were acknowledged to the network, so it does not say them again: the calls are read.
    await until('the calls to be as the network has them', () => isOnly(cluster, 0, lost))
    await expectAllWell(cluster)
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
    for (const instance of [0, 1]) {
      const askedAt = performance.now()
      const refusal = await cluster
        .asApp(instance)
        .call('GET', `/apps/${cluster.appId}/calls`)
        .catch((error: unknown) => error)
      expect(refusal).toBeInstanceOf(ApiError)
      expect(refusal).toMatchObject({ status: 503 })
      expect(performance.now() - askedAt).toBeLessThan(2_500)
    }
    // Longer than a lease: nobody holds one any more.
    await until('the leases to lapse', async () => {
      const views = await Promise.all([cluster.channels(0), cluster.channels(1)])
      return views.flat().every(({ state }) => state !== 'open')
    })
    const { body } = await cluster.control.call('GET', '/ledger?limit=1000')
    const events = (body as { entries: { call_id: string | null; ack_status: number | null }[] }).entries
    expect(events.filter(({ call_id: id }) => id === callId).map(({ ack_status: status }) => status)).not.toContain(200)
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
