import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { spawn } from 'node:child_process'
import { Redis } from 'ioredis'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { redisOptions, startTestRedis } from '../../test/support/redis.ts'
import { silentLogger } from '../core/logger.ts'
import { EmbeddedRedis } from './embedded-redis.ts'
import { libraryPathOf } from './unpacked.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

test('what was written is there after a stop and a start on the same folder', async () => {
  const redis = await startTestRedis()
  cleanups.push(() => redis.stop())
  await redis.connect().set('kept', 'yes')
  await redis.server.stop(AbortSignal.timeout(5_000))
  await redis.server.start()
  expect(await redis.connect().get('kept')).toBe('yes')
})

test('a server that was killed is started again with its data', async () => {
  const redis = await startTestRedis()
  cleanups.push(() => redis.stop())
  const client = redis.connect()
  await client.set('kept', 'yes')
  const pid = Number(/process_id:(\d+)/.exec(await client.info('server'))?.[1])
  // The append-only file is written before the answer is sent; only its fsync comes later.
  process.kill(pid, 'SIGKILL')
  await expect
    .poll(async () => /process_id:(\d+)/.exec(await client.info('server'))?.[1], { timeout: 10_000 })
    .not.toBe(String(pid))
  expect(await client.get('kept')).toBe('yes')
})

test('a server that runs on the folder already is used and left running', async () => {
  const first = await startTestRedis()
  cleanups.push(() => first.stop())
  const second = new EmbeddedRedis({ ...first.options })
  await second.start()
  await second.stop(AbortSignal.timeout(5_000))
  expect(await first.connect().ping()).toBe('PONG')
})

test('a server that is still loading its file is waited for, not doubled', async () => {
  const redis = await startTestRedis()
  cleanups.push(() => redis.stop())
  const client = redis.connect()
  const executable = /^executable:(\S+)/m.exec(await client.info('server'))?.[1] ?? 'redis-server'
  await client.mset(Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`key-${index}`, 'kept'])))
  await client.bgrewriteaof()
  await expect.poll(() => client.info('persistence')).toMatch(/aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0/)
  await redis.server.stop(AbortSignal.timeout(5_000))
  const path = redis.socketPath
  // The delay is Redis' own, for tests: microseconds per key that is loaded.
  const slow = spawn(executable, ['-'], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // Where an unpacked one has its libraries; empty for the machine's own.
    env: { LD_LIBRARY_PATH: await libraryPathOf(redis.options.unpackedDir ?? '') },
  })
  slow.stdin.end(
    `port 0\nunixsocket ${path}\ndir ${redis.options.dataDir}\nappendonly yes\nkey-load-delay 500\nloading-process-events-interval-bytes 1024\n`,
  )
  cleanups.push(async () => slow.kill('SIGKILL'))
  const loading = new Redis({ path, enableReadyCheck: false, maxRetriesPerRequest: null })
  loading.on('error', () => undefined)
  cleanups.push(async () => loading.disconnect())
  await expect.poll(() => loading.get('key-1').catch((error: Error) => error.message)).toMatch(/^LOADING/)
  // Without any program to start: to double it would fail.
  const server = new EmbeddedRedis({ ...redis.options, searchPath: '', folders: [] })
  cleanups.push(() => server.stop(AbortSignal.timeout(5_000)))
  await server.start()
  expect(await loading.get('key-1')).toBe('kept')
})

test('a server whose socket was removed is started again with its data', async () => {
  const redis = await startTestRedis()
  cleanups.push(() => redis.stop())
  await redis.connect().set('kept', 'yes')
  await rm(redis.socketPath)
  await expect
    .poll(
      () =>
        redis
          .connect()
          .get('kept')
          .catch(() => undefined),
      { timeout: 10_000 },
    )
    .toBe('yes')
})

test('a socket folder that others may write to is refused', async () => {
  const root = await mkdtemp(join(tmpdir(), 'callhalf-redis-'))
  cleanups.push(() => rm(root, { recursive: true, force: true }))
  await chmod(root, 0o777)
  const server = new EmbeddedRedis(redisOptions(root))
  await expect(server.start()).rejects.toMatchObject({ code: 'store_unavailable' })
})

test('a folder deeper than a unix socket path may be still starts', async () => {
  const root = await mkdtemp(join(tmpdir(), 'callhalf-redis-'))
  const dataDir = join(root, 'a'.repeat(60), 'b'.repeat(60))
  const server = new EmbeddedRedis(redisOptions(dataDir))
  cleanups.push(() => rm(root, { recursive: true, force: true }))
  cleanups.push(() => server.stop(AbortSignal.timeout(5_000)))
  await server.start()
  expect(Buffer.byteLength(server.socketPath)).toBeLessThan(108)
})

test('without a redis-server the message says how to get one', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'callhalf-redis-'))
  cleanups.push(() => rm(dataDir, { recursive: true, force: true }))
  const server = new EmbeddedRedis({ dataDir, searchPath: '', log: silentLogger, folders: [] })
  await expect(server.start()).rejects.toMatchObject({
    code: 'store_unavailable',
    detail: expect.stringContaining('REDIS_URL'),
  })
})
