import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { useRedis } from '../test/support/use-redis.ts'
import { createLogger } from './logger.ts'

const redis = useRedis()

test('an error of the Redis client is logged without the command that failed', async () => {
  const lines: string[] = []
  const log = createLogger('info', { write: (line) => lines.push(line) })
  const client = new Redis({ path: redis.socketPath, maxRetriesPerRequest: 0 })
  const failure: unknown = await client.call('AUTH', 'nobody', 'hunter2-password').catch((error: unknown) => error)
  client.disconnect()
  expect(failure).toBeInstanceOf(Error)
  log.warn({ err: new Error('outer', { cause: failure }) }, 'redis connection failed')
  expect(lines.join('')).toContain('WRONGPASS')
  expect(lines.join('')).not.toContain('hunter2')
})

test('fields with the name of a secret are redacted', () => {
  const lines: string[] = []
  const log = createLogger('info', { write: (line) => lines.push(line) })
  log.info({ password: 'hunter2', request: { authorization: 'Bearer hunter2' } }, 'something happened')
  expect(lines.join('')).not.toContain('hunter2')
})
