import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { redisOptions } from '../../test/support/redis.ts'
import { startTestPostgres, type TestPostgres } from '../../test/support/postgres.ts'
import { EmbeddedRedis } from '../../src/state/embedded-redis.ts'
import { findProcess, readFamilyCpuSeconds } from './processes.ts'

export type StoresOptions = {
  /** PostgreSQL of this machine instead of PGlite in the gateway. */
  readonly postgres: boolean
  /** A running Redis, which is emptied; the gateway's embedded one when left out. */
  readonly redisUrl?: string | undefined
}

/** The stores of a gateway that is being measured, and what they use. */
export class Stores implements AsyncDisposable {
  readonly dataDir: string
  /** For the gateway's environment. */
  readonly env: Readonly<Record<string, string>>
  readonly #postgres: TestPostgres | undefined
  readonly #connect: () => Redis
  #redis: Redis | undefined
  #postgresPid: number | undefined

  private constructor(
    dataDir: string,
    { redisUrl }: StoresOptions,
    { server, url }: { readonly server: TestPostgres | undefined; readonly url: string | undefined },
  ) {
    this.dataDir = dataDir
    this.#postgres = server
    const settings = { lazyConnect: true, maxRetriesPerRequest: null }
    const { socketPath } = new EmbeddedRedis(redisOptions(join(dataDir, 'redis')))
    this.#connect = () =>
      redisUrl === undefined ? new Redis({ ...settings, path: socketPath }) : new Redis(redisUrl, settings)
    this.env = {
      ...(redisUrl !== undefined && { REDIS_URL: redisUrl }),
      ...(url !== undefined && { DATABASE_URL: url }),
    }
  }

  static async start(options: StoresOptions): Promise<Stores> {
    const dataDir = await mkdtemp(join(tmpdir(), 'callhalf-load-'))
    const server = options.postgres ? await startTestPostgres() : undefined
    const url = await server?.createDatabase()
    const stores = new Stores(dataDir, options, { server, url })
    if (url !== undefined) {
      const folder = new URL(url).searchParams.get('host') ?? ''
      stores.#postgresPid = await findProcess(join(folder, 'data'))
    }
    if (options.redisUrl !== undefined) await stores.redis.flushall()
    return stores
  }

  /** A connection of our own, for questions; the embedded Redis must be running. */
  get redis(): Redis {
    if (this.#redis !== undefined) return this.#redis
    this.#redis = this.#connect()
    // The embedded server comes and goes with the gateway.
    this.#redis.on('error', () => undefined)
    return this.#redis
  }

  /** Seconds of processor time that PostgreSQL has used; 0 for PGlite, which is part of the gateway. */
  async postgresSeconds(): Promise<number> {
    return this.#postgresPid === undefined ? 0 : readFamilyCpuSeconds(this.#postgresPid)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#redis?.disconnect()
    await this.#postgres?.stop()
    await rm(this.dataDir, { recursive: true, force: true })
  }
}
