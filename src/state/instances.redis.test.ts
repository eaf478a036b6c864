import { afterEach, beforeEach, expect, test } from 'vitest'
import { useRedis } from '../../test/support/use-redis.ts'
import { until } from '../../test/support/until.ts'
import { Registry } from 'prom-client'
import { systemClock } from '../core/clock.ts'
import { toInstanceId } from '../core/instances.ts'
import { silentLogger } from '../core/logger.ts'
import { StoreConnection } from './connection.ts'
import { RedisInstances } from './instances.ts'
import { StateMetrics } from './metrics.ts'

const TIMES = { heartbeatMs: 50, expiryMs: 400 }

const redis = useRedis()
const stops: (() => Promise<void>)[] = []
beforeEach(() => redis.connect().flushall())
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop()
})

/** An instance on a connection of its own; `kill` ends it without a farewell. */
async function startInstance(name: string, roles: readonly string[] = ['channels']) {
  const connection = new StoreConnection({ address: { socketPath: redis.socketPath }, log: silentLogger })
  await connection.start()
  const instances = new RedisInstances({
    general: connection.general,
    self: { instanceId: toInstanceId(name), roles },
    metrics: new StateMetrics(new Registry()),
    clock: systemClock,
    log: silentLogger,
    times: TIMES,
  })
  await instances.start()
  let changes = 0
  instances.onChange(() => (changes += 1))
  const kill = async () => {
    await connection.stop()
    await instances.stop()
  }
  stops.push(kill)
  return {
    instances,
    kill,
    changes: () => changes,
    sees: () =>
      instances
        .live()
        .map(({ instanceId }) => String(instanceId))
        .toSorted(),
  }
}

type Started = Awaited<ReturnType<typeof startInstance>>
const untilSees = (started: Started, names: readonly string[]) =>
  until(`${names.join()} to be seen`, () => (started.sees().join() === names.join() ? true : undefined))

test('instances see each other, and agree about the order of those with a role', async () => {
  const [a, b, c] = [await startInstance('a'), await startInstance('b'), await startInstance('c', ['http'])]
  for (const each of [a, b, c]) await untilSees(each, ['a', 'b', 'c'])
  for (const key of ['network-1 xsp1', 'network-1 xsp2', 'network-2 xsp1']) {
    const ranked = a.instances.ranked('channels', key)
    expect(ranked.toSorted()).toEqual(['a', 'b'])
    expect(b.instances.ranked('channels', key)).toEqual(ranked)
    expect(c.instances.ranked('channels', key)).toEqual(ranked)
  }
})

test('one that stops is gone soon, one that is killed after the expiry', async () => {
  const [a, b, c] = [await startInstance('a'), await startInstance('b'), await startInstance('c')]
  await untilSees(a, ['a', 'b', 'c'])
  const stoppedAt = performance.now()
  await b.instances.stop()
  await untilSees(a, ['a', 'c'])
  expect(performance.now() - stoppedAt).toBeLessThan(TIMES.expiryMs)
  const killedAt = performance.now()
  await c.kill()
  await untilSees(a, ['a'])
  expect(performance.now() - killedAt).toBeGreaterThan(TIMES.expiryMs - 2 * TIMES.heartbeatMs)
  expect(a.changes()).toBeGreaterThanOrEqual(2)
})

test('while Redis does not answer nobody is counted as dead, nor when it answers again', async () => {
  const [a, b] = [await startInstance('a'), await startInstance('b')]
  await untilSees(a, ['a', 'b'])
  await untilSees(b, ['a', 'b'])
  const [changesOfA, changesOfB] = [a.changes(), b.changes()]
  await redis.connect().call('CLIENT', 'PAUSE', String(TIMES.expiryMs * 3), 'ALL')
  const seen = new Set<string>()
  const endAt = performance.now() + TIMES.expiryMs * 5
  await until('the outage to be over', () => {
    seen.add(a.sees().join()).add(b.sees().join())
    return performance.now() > endAt ? true : undefined
  })
  expect([...seen]).toEqual(['a,b'])
  expect([a.changes(), b.changes()]).toEqual([changesOfA, changesOfB])
})

test('one that died while Redis did not answer is found out after', async () => {
  const [a, b] = [await startInstance('a'), await startInstance('b')]
  await untilSees(a, ['a', 'b'])
  await redis.connect().call('CLIENT', 'PAUSE', String(TIMES.expiryMs * 2), 'ALL')
  await b.kill()
  await untilSees(a, ['a'])
  expect(a.instances.ranked('channels', 'network-1 xsp1')).toEqual(['a'])
})

test('when Redis is emptied nobody is counted as dead', async () => {
  const [a, b] = [await startInstance('a'), await startInstance('b')]
  await untilSees(a, ['a', 'b'])
  await untilSees(b, ['a', 'b'])
  const changes = a.changes() + b.changes()
  const beats = 10
  for (let round = 0; round < beats; round += 1) {
    await redis.connect().flushall()
    await a.instances.beat()
    await b.instances.beat()
  }
  expect(a.changes() + b.changes()).toBe(changes)
})

test('one that was not heard of for the expiry counts as a newcomer again', async () => {
  const a = await startInstance('a')
  await until('some steadiness', () => (a.instances.steadyMs() > TIMES.expiryMs ? true : undefined))
  const steadyMs = a.instances.steadyMs()
  await redis.connect().call('CLIENT', 'PAUSE', String(TIMES.expiryMs * 2), 'ALL')
  await until('the break to be noticed', () => (a.instances.steadyMs() < TIMES.heartbeatMs * 2 ? true : undefined))
  expect(a.instances.steadyMs()).toBeLessThan(steadyMs)
})

test('what the registry leaves in Redis is bounded and expires', async () => {
  const client = redis.connect()
  await client.zadd('ch:instances', Date.now() - 61_000, '{"instance_id":"old","roles":[]}')
  await client.zadd('ch:instances', Date.now(), 'not json')
  const a = await startInstance('a')
  expect(a.sees()).toEqual(['a'])
  expect(await client.zcard('ch:instances')).toBe(2)
  expect(await client.pttl('ch:instances')).toBeGreaterThan(0)
})
