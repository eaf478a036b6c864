import { Registry } from 'prom-client'
import { systemClock } from '../../src/core/clock.ts'
import { classOf, policyFor } from '../../src/core/delivery-policy.ts'
import type { DeliveryFact } from '../../src/core/delivery-record.ts'
import type { EndpointRepository } from '../../src/core/endpoint.ts'
import { silentLogger } from '../../src/core/logger.ts'
import type { Logger } from '../../src/core/logger.ts'
import { CredentialCache } from '../../src/webhooks/credential-cache.ts'
import { formatToken, rulesOf } from '../../src/webhooks/delivery.ts'
import type { WakeUp } from '../../src/webhooks/delivery.ts'
import { DeliveryStore } from '../../src/webhooks/delivery-store.ts'
import { Drainer } from '../../src/webhooks/drainer.ts'
import { FailureWatch } from '../../src/webhooks/failure-watch.ts'
import { WebhookMetrics } from '../../src/webhooks/metrics.ts'
import { RecordLog } from '../../src/webhooks/record-log.ts'
import type { TestRedis } from './redis.ts'
import { until } from './until.ts'
import { EndpointBook, createDeliverer } from './webhook-engine.ts'
import type { BookedEndpoint } from './webhook-engine.ts'
import { WebhookReceiver } from './webhook-receiver.ts'
import type { Answer } from './webhook-receiver.ts'

const EPOCH = '1700000000000000'

/** Drainers with a lane and a receiver each, on one Redis, and what they recorded. */
export class DrainerScenes {
  readonly #redis: TestRedis
  readonly #cleanups: (() => Promise<unknown>)[] = []

  constructor(redis: TestRedis) {
    this.#redis = redis
  }

  /** Ends and forgets what was set up. */
  async clear(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0).toReversed()) await cleanup()
    await this.#redis.connect().flushall()
  }

  async startReceiver(answer?: Answer): Promise<WebhookReceiver> {
    const receiver = await new WebhookReceiver().start()
    if (answer !== undefined) receiver.answer(answer)
    this.#cleanups.push(() => receiver.stop())
    return receiver
  }

  /** A drainer, and a lane with `count` events whose payloads are 1, 2, …. */
  async setUp(
    url: string,
    options: {
      readonly count?: number
      readonly type?: string
      readonly isReplay?: boolean
      readonly endpoint?: Partial<BookedEndpoint>
      readonly log?: Logger
      /** What the records do otherwise. */
      readonly records?: (book: EndpointBook) => Partial<EndpointRepository>
    } = {},
  ) {
    const { count = 1, type = 'call.updated', isReplay = false, log = silentLogger } = options
    const book = new EndpointBook()
    const endpoints = { ...book.endpoints, ...options.records?.(book) }
    const endpoint = book.add(url, options.endpoint)
    const { appId, endpointId } = endpoint
    const store = new DeliveryStore(this.#redis.connect())
    const deliverer = createDeliverer()
    deliverer.start()
    this.#cleanups.push(() => deliverer.stop())
    const now = Date.now()
    const offsets = Array.from({ length: count }, (_, i) => i + 1)
    const tokens = offsets.map((offset) =>
      formatToken({
        eventId: `${appId}:${EPOCH}-${offset}`,
        class: classOf(type),
        takenAt: now,
        expiresAt: now + policyFor(type, endpoint.policies).ttlMs,
        sequence: String(offset),
        attemptsBefore: 0,
        isReplay,
      }),
    )
    await store.open({ appId, endpointId }, { epoch: EPOCH, offset: 0 })
    await store.take(
      {
        appId,
        last: { epoch: EPOCH, offset: count },
        events: offsets.map((offset) => ({
          position: { epoch: EPOCH, offset },
          eventId: `${appId}:${EPOCH}-${offset}`,
          type,
          orderKey: 'lane',
          about: { occurredAt: now, sequence: String(offset) },
          payload: String(offset),
        })),
        endpoints: [{ endpointId, rules: rulesOf(endpoint), wanted: tokens.map((token, place) => ({ place, token })) }],
      },
      now,
    )
    const metrics = new WebhookMetrics(new Registry())
    const wakes: WakeUp[] = []
    const reopens: number[] = []
    const parts = { store, endpoints, events: book.events, metrics, log, clock: systemClock }
    const drainer = new Drainer({
      beginning: (_most, ask) => ask(0),
      ...parts,
      deliverer,
      credentials: new CredentialCache(endpoints, systemClock),
      directory: book.directory,
      failureWatch: new FailureWatch(parts),
      wake: (more) => {
        wakes.push(...more)
        return Promise.resolve()
      },
      reopen: (_endpoint, at) => {
        reopens.push(at)
        return Promise.resolve()
      },
      random: Math.random,
    })
    const lane = { appId, endpointId, orderKey: 'lane' }
    return { book, endpoint, store, drainer, lane, tokens, rules: rulesOf(endpoint), wakes, reopens }
  }

  async attempts() {
    const facts = await this.#facts()
    return facts.flatMap((fact) => (fact.kind === 'attempted' ? [{ ...fact.attempt, next: fact.nextAttemptAt }] : []))
  }

  async ends() {
    return (await this.#facts()).flatMap((fact) => (fact.kind === 'ended' ? [fact.status] : []))
  }

  async #facts(): Promise<readonly DeliveryFact[]> {
    return (await new RecordLog(this.#redis.connect()).claim('test', 1_000))?.facts ?? []
  }
}

/** A line of the log. */
export type Line = { readonly level: string; readonly fields: object; readonly message: string }

/** Keeps what is said. */
export function createLog(lines: Line[]): Logger {
  const at = (level: string) => (fields: object, message: string) => void lines.push({ level, fields, message })
  const log: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => log,
  }
  return log
}

/** Resolves when that time has come. */
export const isDue = (at: number | undefined) => until('the lane to be due', () => Date.now() >= (at ?? 0))
