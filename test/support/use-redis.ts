import { afterAll, afterEach, beforeAll } from 'vitest'
import { startTestRedis, type TestRedis } from './redis.ts'

/** A redis-server that runs while the tests of this file do; what is in it stays from test to test. */
export function useRedis(): TestRedis {
  let started: TestRedis | undefined
  const running = () => {
    if (started === undefined) throw new Error('Redis is there in tests and hooks only')
    return started
  }
  beforeAll(async () => {
    started = await startTestRedis()
  })
  afterAll(() => started?.stop())
  return {
    get socketPath() {
      return running().socketPath
    },
    get server() {
      return running().server
    },
    get options() {
      return running().options
    },
    connect: () => running().connect(),
    stop: () => running().stop(),
  }
}

/** The same, but emptied after each test, when the hooks of the file have run. */
export function useEmptyRedis(): TestRedis {
  const redis = useRedis()
  afterEach(() => redis.connect().flushall())
  return redis
}
