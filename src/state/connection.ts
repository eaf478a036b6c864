import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { GatewayError, isGatewayError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { Service } from '../core/service.ts'
import { BatchingRedis } from './batching-redis.ts'
import type { SentinelAddress } from './redis-url.ts'
import type { Script } from './scripts.ts'

/** Where Redis is: a URL, a unix socket, or those who know. */
export type RedisAddress = { readonly url: string } | { readonly socketPath: string } | SentinelAddress

const COMMIT_TIMEOUT_MS = 1_000
const GENERAL_TIMEOUT_MS = 2_000
/** Of the connections of call state: to a server that has gone without a word, no answer will come on them. */
const SILENCE_MAX_MS = 3_000
/** Above the 10 seconds that BullMQ's blocking reads may take. */
const QUEUE_SILENCE_MAX_MS = 15_000
const KEEP_ALIVE_MS = 10_000
const CONNECT_TIMEOUT_MS = 10_000
/** For one sentinel: there are others. */
const SENTINEL_TIMEOUT_MS = 1_500
const RECONNECT_MAX_MS = 1_000
const VERSION_MIN = 7

/**
 * One connection to Redis. Commands fail at once while it is down, instead of waiting in a queue: the
 * network holds what was not acknowledged, and an old command must not arrive late.
 */
export class RedisLink {
  readonly #redis: Redis

  constructor(redis: Redis) {
    this.#redis = redis
  }

  /** Runs commands; any failure is `store_unavailable` with the original as its cause. */
  async run<Result>(work: (redis: Redis) => Promise<Result>): Promise<Result> {
    try {
      return await work(this.#redis)
    } catch (cause) {
      if (isGatewayError(cause)) throw cause
      throw new GatewayError('store_unavailable', { cause })
    }
  }

  /** Runs a script by its digest, sending its text only when the server does not know it (yet, or after a restart). */
  script(script: Script, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    return this.run(async (redis) => {
      try {
        return await redis.evalsha(script.sha, keys.length, ...keys, ...args)
      } catch (error) {
        if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
        return await redis.eval(script.lua, keys.length, ...keys, ...args)
      }
    })
  }
}

/**
 * The connections of call state: one for commits, which must not wait behind a large read; one for
 * everything else; one for Pub/Sub, which can do nothing else.
 */
export class StoreConnection implements Service {
  readonly name = 'store-connection'
  readonly commit: RedisLink
  readonly general: RedisLink
  /** For Pub/Sub; resubscribes by itself after a reconnect. */
  readonly subscriber: Redis
  readonly #clients: readonly Redis[]
  #isDown = false

  constructor({ address, log }: { readonly address: RedisAddress; readonly log: Logger }) {
    const shared = { socketTimeout: SILENCE_MAX_MS }
    const commit = createClient(address, { ...shared, commandTimeout: COMMIT_TIMEOUT_MS })
    const general = createClient(address, { ...shared, commandTimeout: GENERAL_TIMEOUT_MS })
    // Its queue holds only SUBSCRIBE commands, one per shard.
    this.subscriber = createClient(address, { enableOfflineQueue: true, maxRetriesPerRequest: null })
    this.commit = new RedisLink(commit)
    this.general = new RedisLink(general)
    this.#clients = [commit, general, this.subscriber]
    for (const client of this.#clients) client.on('error', (error) => this.#noticeError(error, log))
    general.on('ready', () => {
      if (this.#isDown) log.info({}, 'redis connected again')
      this.#isDown = false
    })
  }

  async start(): Promise<void> {
    try {
      // Sentinels that do not answer, or know no primary, are asked again and again.
      await Promise.race([Promise.all(this.#clients.map((client) => client.connect())), failAfter(CONNECT_TIMEOUT_MS)])
    } catch (cause) {
      this.#disconnect()
      throw new GatewayError('store_unavailable', { detail: 'Redis cannot be reached (REDIS_URL).', cause })
    }
    await this.#checkVersion()
  }

  async #checkVersion(): Promise<void> {
    const info = await this.general.run((redis) => redis.info('server'))
    // Valkey names the Redis version it is compatible with.
    const version = /^redis_version:(\S+)/m.exec(info)?.[1] ?? 'unknown'
    if (Number.parseInt(version, 10) >= VERSION_MIN) return
    this.#disconnect()
    throw new GatewayError('store_unavailable', {
      detail: `Redis ${VERSION_MIN} or newer is needed; this is ${version}.`,
    })
  }

  stop(): Promise<void> {
    this.#disconnect()
    return Promise.resolve()
  }

  /** Whether the store answers now. */
  async ping(): Promise<boolean> {
    try {
      return (await this.commit.run((redis) => redis.ping())) === 'PONG'
    } catch {
      return false
    }
  }

  #disconnect(): void {
    for (const client of this.#clients) client.disconnect()
  }

  /** Once per outage: each attempt to reconnect fails with the same error. */
  #noticeError(error: unknown, log: Logger): void {
    if (this.#isDown) return
    this.#isDown = true
    log.warn({ err: error }, 'redis connection failed')
  }
}

/**
 * A connection for the delivery queue, which waits for Redis instead of failing: BullMQ's blocking reads
 * need that, and its jobs must not be lost. Whoever asks for it closes it.
 */
export const createQueueClient = (address: RedisAddress): Redis =>
  createClient(address, {
    lazyConnect: false,
    enableOfflineQueue: true,
    autoResendUnfulfilledCommands: true,
    maxRetriesPerRequest: null,
    socketTimeout: QUEUE_SILENCE_MAX_MS,
  })

async function failAfter(ms: number): Promise<never> {
  await delay(ms, undefined, { ref: false })
  throw new GatewayError('store_unavailable', { detail: 'no primary was found in time' })
}

type ClientOptions = {
  readonly lazyConnect?: boolean
  readonly autoResendUnfulfilledCommands?: boolean
  readonly commandTimeout?: number
  /** How long nothing may come while an answer is due, before the connection is given up. */
  readonly socketTimeout?: number
  readonly enableOfflineQueue?: boolean
  readonly maxRetriesPerRequest?: number | null
}

function createClient(address: RedisAddress, overrides: ClientOptions): Redis {
  const options = {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_TIMEOUT_MS,
    keepAlive: KEEP_ALIVE_MS,
    retryStrategy: reconnectDelayMs,
    // After a failover the address may still lead to the old primary, which is a replica now.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
    ...overrides,
  }
  if ('url' in address) return new BatchingRedis(address.url, options)
  if ('socketPath' in address) return new BatchingRedis({ ...options, path: address.socketPath })
  return new BatchingRedis({ ...options, ...sentinelOptions(address) })
}

const reconnectDelayMs = (times: number): number => Math.min(times * 50, RECONNECT_MAX_MS)

/**
 * The sentinels are not listened to between connects: a primary that dies ends its connections or goes silent,
 * and one that is replaced is made a replica by the sentinels, who end its connections.
 */
function sentinelOptions({ sentinels, isEncrypted, ...address }: SentinelAddress) {
  return {
    ...address,
    sentinels: [...sentinels],
    sentinelRetryStrategy: reconnectDelayMs,
    sentinelCommandTimeout: SENTINEL_TIMEOUT_MS,
    connectTimeout: SENTINEL_TIMEOUT_MS,
    ...(isEncrypted && { tls: {}, enableTLSForSentinelMode: true, sentinelTLS: {} }),
  }
}
