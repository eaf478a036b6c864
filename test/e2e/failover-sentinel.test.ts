import { expect, test } from 'vitest'
import { Cluster } from '../support/cluster.ts'
import { RedisProcess } from '../support/redis-process.ts'
import { Sentinels } from '../support/sentinels.ts'
import { until } from '../support/until.ts'

/** Two gateways that know nothing of Redis but three sentinels, which watch a primary and its replica. */
async function startScene() {
  await using stack = new AsyncDisposableStack()
  const primary = stack.use(await RedisProcess.start())
  const replica = stack.use(await RedisProcess.start())
  await replica.follow(primary)
  const sentinels = stack.use(await Sentinels.start(primary))
  const cluster = stack.use(await Cluster.start({ redisUrl: sentinels.url, instances: 2 }))
  const owned = stack.move()
  return { primary, replica, sentinels, cluster, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

const [ANN = '', BERT = '', CLEO = ''] = ['user1', 'user2', 'user3'].map((name) => `${name}@example.net`)
const SLOW = 150_000

const untilTold = (cluster: Cluster, callId: string, states: readonly string[]) =>
  until(
    `${states.join()} of ${callId} by webhook (told ${cluster.statesByWebhook(callId).join()})`,
    () => (cluster.statesByWebhook(callId).join() === states.join() ? true : undefined),
    40_000,
  )

/** The replica is the primary by the word of all, and both gateways work on it. */
async function untilPromoted({ sentinels, replica, cluster }: Awaited<ReturnType<typeof startScene>>): Promise<void> {
  await until(
    'the replica to be promoted',
    async () => ((await sentinels.primaryPort()) === replica.port ? true : undefined),
    30_000,
  )
  for (const instance of cluster.gateways.keys()) {
    await until(
      'the gateway to be ready again',
      () =>
        cluster
          .asAdmin(instance)
          .call('GET', '/readyz')
          .then(
            () => true as const,
            () => undefined,
          ),
      30_000,
    )
  }
}

/** New calls are told by webhook and on every stream, in another epoch, and no position ever had two contents. */
async function expectGoingOn(cluster: Cluster, epoch: string): Promise<void> {
  await cluster.untilHotStandby()
  const callId = await cluster.ring(CLEO)
  await untilTold(cluster, callId, ['ringing'])
  const told = await until('the call on both streams', () => {
    const seen = cluster.frames.filter(
      ({ data, snapshot }) => data?.call_id === callId || snapshot?.some(({ call_id: id }) => id === callId) === true,
    )
    return seen.length >= cluster.gateways.length ? seen : undefined
  })
  expect(told.map(({ position }) => position?.epoch)).not.toContain(epoch)
  expect(cluster.witness.contradictions).toEqual([])
}

const epochOf = ({ frames }: Cluster): string =>
  frames.findLast(({ position }) => position !== undefined)?.position?.epoch ?? ''

// Each has servers of its own and mostly waits for sentinels: they run at the same time.
test.concurrent(
  'the primary is killed with SIGKILL: the gateways find the promoted replica, and a call that goes on is told of',
  { timeout: SLOW },
  async () => {
    await using scene = await startScene()
    const { cluster, primary } = scene
    const before = await cluster.ring(ANN)
    await untilTold(cluster, before, ['ringing'])
    const epoch = epochOf(cluster)
    await primary.kill()
    const meanwhile = await cluster.ring(BERT)
    await cluster.hangUp(before)
    await untilPromoted(scene)
    await untilTold(cluster, meanwhile, ['ringing'])
    await untilTold(cluster, before, ['ringing', 'released'])
    await expectGoingOn(cluster, epoch)
    expect(cluster.statesByWebhook(meanwhile)).toEqual(['ringing'])
  },
)

test.concurrent(
  'the primary falls silent with its connections open: they are given up; when it is back, it is a replica',
  { timeout: SLOW },
  async () => {
    await using scene = await startScene()
    const { cluster, primary, replica } = scene
    const before = await cluster.ring(ANN)
    await untilTold(cluster, before, ['ringing'])
    const epoch = epochOf(cluster)
    primary.pause()
    const meanwhile = await cluster.ring(BERT)
    await untilPromoted(scene)
    await untilTold(cluster, meanwhile, ['ringing'])
    primary.resume()
    await until(
      'the old primary to follow the new one',
      () =>
        primary
          .run(async (client) => {
            const info = await client.info('replication')
            return info.includes('role:slave') && info.includes(`master_port:${replica.port}`) ? true : undefined
          })
          // The sentinels end the connections of one that they make a replica.
          .catch(() => undefined),
      30_000,
    )
    await cluster.hangUp(before)
    await untilTold(cluster, before, ['ringing', 'released'])
    await expectGoingOn(cluster, epoch)
    expect(cluster.statesByWebhook(meanwhile)).toEqual(['ringing'])
  },
)
