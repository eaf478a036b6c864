import { once } from 'node:events'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { startTestRedis, type TestRedis } from '../../test/support/redis.ts'
import { network, StateRig } from '../../test/support/state-rig.ts'
import { until } from '../../test/support/until.ts'

const TIMES = { ttlMs: 400, renewMs: 100, marginMs: 100, retryMs: 20 }

let redis: TestRedis
let rig: StateRig
let other: StateRig
beforeAll(async () => {
  redis = await startTestRedis()
})
afterAll(() => redis.stop())
beforeEach(async () => {
  await redis.connect().flushall()
  rig = new StateRig(redis.socketPath, { times: TIMES })
  other = new StateRig(redis.socketPath, { times: TIMES })
  await rig.connection.start()
  await other.connection.start()
})
afterEach(async () => {
  await rig.connection.stop()
  await other.connection.stop()
})

const acquire = async (from: StateRig, name = 'channel') => {
  const lease = await from.leases.tryAcquire(network, name)
  if (lease === undefined) throw new Error('the lease is held')
  return lease
}

test('one holds a lease at a time; names are independent', async () => {
  const lease = await acquire(rig)
  expect(await other.leases.tryAcquire(network, 'channel')).toBeUndefined()
  const another = await acquire(other, 'standby')
  await lease.release()
  await another.release()
})

test('a renewed lease outlives its TTL', async () => {
  const lease = await acquire(rig)
  const key = 'ch:{main}:lease:network-1:channel'
  const client = redis.connect()
  let renewals = 0
  let last = await client.pttl(key)
  await until('three renewals', async () => {
    const now = await client.pttl(key)
    if (now > last) renewals += 1
    last = now
    return renewals >= 6 ? true : undefined
  })
  expect(lease.lost.aborted).toBe(false)
  expect(await other.leases.tryAcquire(network, 'channel')).toBeUndefined()
  await lease.release()
})

test('a released lease is free at once, and the next token is higher', async () => {
  const first = await acquire(rig)
  await first.release()
  const second = await acquire(other)
  expect(second.fence.token).toBeGreaterThan(first.fence.token)
  expect(first.lost.aborted).toBe(false)
  await second.release()
})

test('a late release does not end the lease of the next holder', async () => {
  const first = await acquire(rig)
  await redis.connect().del('ch:{main}:lease:network-1:channel')
  const second = await acquire(other)
  await first.release()
  expect(await redis.connect().get('ch:{main}:lease:network-1:channel')).toBe(String(second.fence.token))
  await second.release()
})

test('a process that is alone takes over at once from one that was killed, with a higher token', async () => {
  const killed = await acquire(rig)
  await other.leases.releaseOrphans()
  const taken = await acquire(other)
  expect(taken.fence.token).toBeGreaterThan(killed.fence.token)
})

test('tokens grow even when Redis forgot the last one', async () => {
  const first = await acquire(rig)
  await first.release()
  await redis.connect().flushall()
  const second = await acquire(other)
  expect(second.fence.token).toBeGreaterThanOrEqual(first.fence.token)
  await second.release()
  const third = await acquire(other)
  expect(third.fence.token).toBeGreaterThan(second.fence.token)
  await third.release()
})

test('a holder whose lease was granted to another loses it at the next renewal', async () => {
  const lease = await acquire(rig)
  const lost = once(lease.lost, 'abort')
  await redis.connect().del('ch:{main}:lease:network-1:channel')
  const next = await acquire(other)
  await lost
  expect(lease.lost.reason).toMatchObject({ code: 'fenced', fields: { lease: 'channel' } })
  expect(await rig.metric('callhalf_leases_total')).toContainEqual({ labels: { event: 'lost' }, value: 1 })
  await next.release()
})

test('a holder that cannot reach Redis gives up before Redis does', async () => {
  const lease = await acquire(rig)
  const lost = once(lease.lost, 'abort')
  const client = redis.connect()
  const key = 'ch:{main}:lease:network-1:channel'
  await rig.connection.stop()
  await lost
  expect(await client.pttl(key)).toBeGreaterThan(0)
  await until('the take-over', async () => {
    const next = await other.leases.tryAcquire(network, 'channel')
    await next?.release()
    return next?.fence.token === undefined ? undefined : next.fence.token > lease.fence.token
  })
})

test('a subscription has one generation for every instance, and a later one a higher', async () => {
  const first = await rig.generations.generationOf(network, 'subscription-1')
  expect(await other.generations.generationOf(network, 'subscription-1')).toBe(first)
  const second = await other.generations.generationOf(network, 'subscription-2')
  expect(second).toBeGreaterThan(first)
  await redis.connect().flushall()
  expect(await rig.generations.generationOf(network, 'subscription-3')).toBeGreaterThanOrEqual(second)
})
