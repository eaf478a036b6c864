import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { silentLogger } from '../../src/core/logger.ts'
import { EmbeddedRedis, type EmbeddedRedisOptions } from '../../src/state/embedded-redis.ts'

/** A redis-server of this test file's own; stop it in `afterAll`. */
export type TestRedis = {
  readonly socketPath: string
  readonly server: EmbeddedRedis
  readonly options: EmbeddedRedisOptions
  /** A client like the gateway's; closed by `stop`. */
  connect(): Redis
  stop(): Promise<void>
}

/** For a redis-server of this machine, or the one that `npm run provide` has unpacked. */
export const redisOptions = (dataDir: string): EmbeddedRedisOptions => ({
  dataDir,
  searchPath: process.env['PATH'] ?? '',
  unpackedDir: join(import.meta.dirname, '../../.callhalf/debian'),
  log: silentLogger,
})

export async function startTestRedis(): Promise<TestRedis> {
  const dataDir = await mkdtemp(join(tmpdir(), 'callhalf-redis-'))
  const options = redisOptions(dataDir)
  const server = new EmbeddedRedis(options)
  await server.start()
  const clients: Redis[] = []
  return {
    socketPath: server.socketPath,
    server,
    options,
    connect() {
      const client = new Redis({ path: server.socketPath, maxRetriesPerRequest: null })
      // Reported by the command that fails, too.
      client.on('error', () => undefined)
      clients.push(client)
      return client
    },
    async stop() {
      for (const client of clients) client.disconnect()
      await server.stop(AbortSignal.timeout(5_000))
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}
