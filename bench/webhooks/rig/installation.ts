import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import * as v from 'valibot'
import { systemClock } from '../../../src/core/clock.ts'
import { ENDPOINT_DEFAULTS, type Endpoint, type NewEndpoint } from '../../../src/core/endpoint.ts'
import { ShardSchema, type AppRef } from '../../../src/core/ids.ts'
import { silentLogger } from '../../../src/core/logger.ts'
import { Apps } from '../../../src/records/apps.ts'
import { Cipher } from '../../../src/records/cipher.ts'
import { Records } from '../../../src/records/connection.ts'
import { Deliveries } from '../../../src/records/deliveries.ts'
import { RecordsDirectory } from '../../../src/records/directory.ts'
import { Endpoints } from '../../../src/records/endpoints.ts'
import { OperatorEvents } from '../../../src/records/operator-events.ts'
import { generateSecret } from '../../../src/webhooks/signature.ts'
import { startTestPostgres, type TestPostgres } from '../../../test/support/postgres.ts'
import { startTestRedis, type TestRedis } from '../../../test/support/redis.ts'
import { Child } from './child.ts'
import type { ReceiverCalls } from './receiver.ts'
import { BENCH_SECRET_KEY } from './secret-key.ts'
import type { WorkerCalls, WorkerPlan } from './worker.ts'

const SHARD = v.parse(ShardSchema, 'main')
const STOP_TIMEOUT_MS = 10_000

/**
 * The stores of an installation, a redis-server with its append-only file and a PostgreSQL, with the
 * processes that use them: workers that deliver, receivers, senders. `await using` ends all of it.
 */
export class Installation implements AsyncDisposable {
  readonly redis: Redis
  readonly apps: Apps
  readonly endpoints: Endpoints
  readonly deliveries: Deliveries
  readonly operatorEvents: OperatorEvents
  readonly #stores: Stores
  readonly #children: { end(signal: 'SIGTERM'): Promise<number> }[] = []

  private constructor(stores: Stores) {
    this.#stores = stores
    const { records, directory } = stores
    this.redis = stores.testRedis.connect()
    this.apps = new Apps(records, directory)
    this.endpoints = new Endpoints(records, directory)
    this.deliveries = new Deliveries(records)
    this.operatorEvents = new OperatorEvents(records)
  }

  static async start(): Promise<Installation> {
    const folder = await mkdtemp(join(tmpdir(), 'callhalf-bench-'))
    const testRedis = await startTestRedis()
    const postgres = await startTestPostgres()
    const databaseUrl = await postgres.createDatabase()
    const records = new Records({
      databaseUrl,
      dataDir: folder,
      poolSize: 4,
      statementTimeoutMs: 60_000,
      cipher: new Cipher([BENCH_SECRET_KEY]),
      clock: systemClock,
      log: silentLogger,
    })
    await records.start()
    const directory = new RecordsDirectory({ records, clock: systemClock, log: silentLogger })
    await directory.start()
    return new Installation({ folder, testRedis, postgres, databaseUrl, records, directory })
  }

  async addApp(name: string): Promise<AppRef> {
    const { app } = await this.apps.create({ name, shard: SHARD })
    return { appId: app.appId, shard: app.shard }
  }

  /** An enabled and verified endpoint with the usual settings but those given. */
  addEndpoint(app: AppRef, settings: Partial<NewEndpoint> & { readonly url: string }): Promise<Endpoint> {
    return this.endpoints.create({
      ...ENDPOINT_DEFAULTS,
      appId: app.appId,
      enabled: true,
      verified: true,
      secret: generateSecret(),
      ...settings,
    })
  }

  /** A process with a dispatcher and a recorder, delivering once this resolves. */
  async startWorker(name: string, plan: Partial<WorkerPlan> = {}, execArgv?: readonly string[]) {
    const { testRedis, databaseUrl, folder } = this.#stores
    const worker = this.adopt(
      new Child<WorkerCalls>('./worker.ts', { name, ...(execArgv !== undefined && { execArgv }) }),
    )
    await worker.call('start', {
      name,
      socketPath: testRedis.socketPath,
      databaseUrl,
      dataDir: join(folder, name),
      logLevel: process.env['CALLHALF_LOG_LEVEL'] ?? 'fatal',
      ...plan,
    })
    return worker
  }

  async startReceiver(ports: number) {
    const receiver = this.adopt(new Child<ReceiverCalls>('./receiver.ts'))
    const numbers = await receiver.call('listen', ports)
    return { receiver, urls: numbers.map((port) => `http://127.0.0.1:${port}/events`) }
  }

  /** How many facts about deliveries found no room while the records were slow. */
  async lostRecords(): Promise<number> {
    const { events } = await this.operatorEvents.list({ limit: 200, type: 'records.lost' })
    return events.reduce((sum, { details }) => sum + Number(details['facts']), 0)
  }

  get socketPath(): string {
    return this.#stores.testRedis.socketPath
  }

  /** Ends the process with the installation, before the stores. */
  adopt<Process extends { end(signal: 'SIGTERM'): Promise<number> }>(child: Process): Process {
    this.#children.push(child)
    return child
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { records, directory, testRedis, postgres, folder } = this.#stores
    await Promise.all(this.#children.map((child) => child.end('SIGTERM')))
    await directory.stop()
    await records.stop(AbortSignal.timeout(STOP_TIMEOUT_MS))
    await testRedis.stop()
    await postgres.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

type Stores = {
  readonly folder: string
  readonly testRedis: TestRedis
  readonly postgres: TestPostgres
  readonly databaseUrl: string
  readonly records: Records
  readonly directory: RecordsDirectory
}
