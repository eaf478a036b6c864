import { once } from 'node:events'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { startTestRedis, type TestRedis } from '../../test/support/redis.ts'
import { BatchingRedis } from './batching-redis.ts'

let server: TestRedis
let redis: Redis

beforeAll(async () => {
  server = await startTestRedis()
  redis = new BatchingRedis({
    path: server.socketPath,
    lazyConnect: true,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
  })
  await redis.connect()
})
afterAll(async () => {
  redis.disconnect()
  await server.stop()
})

test('the commands of one turn leave in one write, and are answered in their order', async () => {
  const one = vi.spyOn(redis.stream, '_write')
  const many = vi.spyOn(redis.stream, '_writev')
  const replies = await Promise.all(Array.from({ length: 50 }, () => redis.incr('turn')))
  expect(replies).toEqual(Array.from({ length: 50 }, (_, index) => index + 1))
  expect([one.mock.calls.length, many.mock.calls.length]).toEqual([0, 1])
})

test('commands sent on an answer leave together, too', async () => {
  const many = vi.spyOn(redis.stream, '_writev')
  await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      await redis.set(`key ${index}`, index)
      expect(await redis.get(`key ${index}`)).toBe(String(index))
    }),
  )
  expect(many.mock.calls.length).toBe(2)
})

test('a command that was held back when the connection broke is refused, and the next connection works', async () => {
  const held = redis.incr('broken')
  const again = once(redis, 'ready')
  redis.stream.destroy()
  await expect(held).rejects.toThrow('max retries per request')
  await again
  expect(await redis.incr('broken')).toBe(1)
})
