import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { startTestRedis, type TestRedis } from '../../test/support/redis.ts'
import { aCall, network, report, StateRig } from '../../test/support/state-rig.ts'
import { until } from '../../test/support/until.ts'
import { toInstanceId } from '../core/instances.ts'

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

test('a holder goes on when Redis loses its lease and nobody took it', async () => {
  const lease = await acquire(rig)
  const client = redis.connect()
  await client.flushall()
  await until('the lease to be put back', async () =>
    (await client.get('ch:{main}:lease:network-1:channel')) === null ? undefined : true,
  )
  expect(lease.lost.aborted).toBe(false)
  expect(await client.get('ch:{main}:fence:network-1:channel')).toBe(String(lease.fence.token))
  expect(await other.leases.tryAcquire(network, 'channel')).toBeUndefined()
  await lease.release()
})

test('whoever looks at a lease sees its note and how long ago it was renewed, and nothing once it is released', async () => {
  expect(await other.leases.look(network, 'channel')).toBeUndefined()
  const lease = await acquire(rig)
  const first = await other.leases.look(network, 'channel')
  expect(first).toEqual({ renewedMsAgo: expect.any(Number) })
  expect(first?.renewedMsAgo).toBeLessThan(200)
  await lease.describe('channel-1')
  expect(await other.leases.look(network, 'channel')).toMatchObject({ note: 'channel-1' })
  // It is said again with each renewal.
  await redis.connect().del('ch:{main}:note:network-1:channel')
  await until('the note', async () => (await other.leases.look(network, 'channel'))?.note)
  await lease.release()
  expect(await other.leases.look(network, 'channel')).toBeUndefined()
})

test('the next holder is given the note of one that died, not of one that released', async () => {
  const first = await acquire(rig)
  await first.describe('channel-1')
  await first.release()
  const second = await acquire(rig)
  expect(second.leftBehind).toBeUndefined()
  await second.describe('channel-2')
  await rig.connection.stop()
  const third = await until('the take-over', () => other.leases.tryAcquire(network, 'channel'))
  expect(third.leftBehind).toBe('channel-2')
  await third.release()
})

test('a claim reaches the holder with a renewal, and is forgotten by the next one', async () => {
  const lease = await acquire(rig)
  await other.leases.claim(network, 'channel', toInstanceId('instance-2'))
  await until('the claim', () => lease.claimedBy)
  expect(lease.claimedBy).toBe('instance-2')
  await lease.release()
  const next = await acquire(other)
  expect(next.claimedBy).toBeUndefined()
  const client = redis.connect()
  const timeLeft = () => client.pttl('ch:{main}:lease:network-1:channel')
  const before = await until('some of the time to pass', async () => {
    const left = await timeLeft()
    return left <= TIMES.ttlMs - TIMES.renewMs / 2 ? left : undefined
  })
  await until('a renewal', async () => ((await timeLeft()) > before ? true : undefined))
  expect(next.claimedBy).toBeUndefined()
  await next.release()
})

test('a release never loses against a renewal under way', async () => {
  const client = redis.connect()
  for (let round = 0; round < 20; round += 1) {
    const lease = await acquire(rig)
    await until('a renewal to be due', async () => {
      const left = await client.pttl('ch:{main}:lease:network-1:channel')
      return left <= TIMES.ttlMs - TIMES.renewMs + 5 ? true : undefined
    })
    await lease.release()
    expect(await client.exists('ch:{main}:lease:network-1:channel')).toBe(0)
  }
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (address === null || typeof address === 'string') throw new Error('the port is not known')
  return address.port
}

/** A replica of `redis` that is cut off when `detach` is called, and then takes writes. */
async function startReplica() {
  const replica = await startTestRedis()
  const masterPort = await freePort()
  const admin = redis.connect()
  await admin.config('SET', 'port', String(masterPort))
  await admin.config('SET', 'repl-diskless-sync-delay', '0')
  const client = replica.connect()
  await client.replicaof('127.0.0.1', masterPort)
  await until('the replica', async () => (await client.info('replication')).includes('master_link_status:up'))
  return {
    socketPath: replica.socketPath,
    client,
    detach: () => client.replicaof('NO', 'ONE'),
    async [Symbol.asyncDispose]() {
      await admin.config('SET', 'port', '0')
      await replica.stop()
    },
  }
}

test('a replica promoted without the last grant never issues its token again, and fences its holder', async () => {
  await using replica = await startReplica()
  const before = await acquire(rig)
  await until('the grant to be replicated', () => replica.client.get('ch:{main}:fence:network-1:channel'))
  await before.release()
  await until('the release to be replicated', async () =>
    (await replica.client.exists('ch:{main}:lease:network-1:channel')) === 0 ? true : undefined,
  )
  await replica.detach()
  // Granted and acknowledged by the old master, and lost with it.
  const lost = await acquire(rig)
  await until('others to see it', () => other.leases.look(network, 'channel'))
  expect(await replica.client.get('ch:{main}:fence:network-1:channel')).toBe(String(before.fence.token))

  const promoted = new StateRig(replica.socketPath, { times: TIMES })
  await promoted.connection.start()
  const next = await acquire(promoted)
  expect(next.fence.token).toBeGreaterThan(lost.fence.token)
  // The holder of the lost grant, reconnected to the promoted replica, writes nothing.
  await expect(promoted.deliver(report(1, aCall()), lost.fence)).rejects.toMatchObject({ code: 'fenced' })
  expect(await promoted.deliver(report(1, aCall()), next.fence)).toBe('changed')
  await next.release()
  await promoted.connection.stop()
  await lost.release()
})

test('a token above every one seen is issued also by a promoted replica whose clock is behind', async () => {
  const ahead = String((Date.now() + 3_600_000) * 1_000)
  const client = redis.connect()
  await client.set('ch:{main}:fence:network-1:channel', ahead)
  const held = await acquire(rig)
  expect(held.fence.token).toBe(Number(ahead) + 1)
  // The standby has seen the grant; Redis loses it.
  await other.leases.look(network, 'channel')
  await rig.connection.stop()
  await client.flushall()
  const next = await acquire(other)
  expect(next.fence.token).toBe(Number(ahead) + 2)
  await next.release()
})

test('what is confirmed is so until the next doubt, whoever asks, and never after a loss', async () => {
  expect(await rig.confirmations.read(network)).toEqual({ isConfirmed: false, doubts: '0' })
  const first = await rig.confirmations.doubt(network)
  expect(await other.confirmations.read(network)).toEqual({ isConfirmed: false, doubts: first })
  await other.confirmations.confirm(network, first)
  expect(await rig.confirmations.read(network)).toEqual({ isConfirmed: true, doubts: first })
  const second = await rig.confirmations.doubt(network)
  expect(Number(second)).toBeGreaterThan(Number(first))
  // Late: there was another doubt since.
  await other.confirmations.confirm(network, first)
  expect(await rig.confirmations.read(network)).toEqual({ isConfirmed: false, doubts: second })
  await other.confirmations.confirm(network, second)
  await redis.connect().flushall()
  expect(await rig.confirmations.read(network)).toEqual({ isConfirmed: false, doubts: '0' })
  expect(Number(await rig.confirmations.doubt(network))).toBeGreaterThan(Number(second))
})

test('a subscription has one generation for every instance, and a later one a higher', async () => {
  const first = await rig.generations.generationOf(network, 'subscription-1')
  expect(await other.generations.generationOf(network, 'subscription-1')).toBe(first)
  const second = await other.generations.generationOf(network, 'subscription-2')
  expect(second).toBeGreaterThan(first)
  await redis.connect().flushall()
  expect(await rig.generations.generationOf(network, 'subscription-3')).toBeGreaterThanOrEqual(second)
})
