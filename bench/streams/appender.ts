import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { systemClock } from '../../src/core/clock.ts'
import { toSubscriberId, type AppRef } from '../../src/core/ids.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { RedisLink } from '../../src/state/connection.ts'
import { RedisEventLog } from '../../src/state/event-log.ts'
import { composePayload } from '../webhooks/rig/generator.ts'

/** Appended in one go, so that the pipeline to Redis stays bounded. */
const AT_ONCE = 500

export type AppenderOptions = { readonly socketPath: string; readonly app: AppRef; readonly subscriberId: string }

/** Appends call events to an app's log, as other processes of an installation do. */
export class Appender {
  readonly #redis: Redis
  readonly #log: RedisEventLog
  readonly #options: AppenderOptions
  #appended = 0

  constructor(options: AppenderOptions) {
    this.#options = options
    this.#redis = new Redis({ path: options.socketPath, maxRetriesPerRequest: null, enableAutoPipelining: true })
    this.#log = new RedisEventLog({
      general: new RedisLink(this.#redis),
      subscriber: this.#redis,
      clock: systemClock,
      random: Math.random,
      log: silentLogger,
    })
  }

  /** `padding` makes each payload so many bytes larger. */
  async append(events: number, padding = 0): Promise<void> {
    for (let left = events; left > 0; left -= AT_ONCE) {
      await Promise.all(Array.from({ length: Math.min(left, AT_ONCE) }, () => this.#appendOne(padding)))
    }
  }

  close(): void {
    this.#redis.disconnect()
  }

  #appendOne(padding: number): Promise<void> {
    const { app, subscriberId } = this.#options
    const payload = nextPayload({ appId: app.appId, subscriberId, index: this.#appended++ })
    return this.#log.append(app, {
      id: randomUUID(),
      type: payload.event,
      orderKey: payload.call_id,
      subscriberId: toSubscriberId(subscriberId),
      payload: JSON.stringify(padding === 0 ? payload : { ...payload, padding: 'x'.repeat(padding) }),
    })
  }
}

/** One of a thousand calls rings again and again. */
export const nextPayload = (event: { readonly appId: string; readonly subscriberId: string; readonly index: number }) =>
  composePayload(event.appId, {
    callId: `callhalf-${event.index % 1_000}:0`,
    subscriberId: event.subscriberId,
    sequence: 1 + Math.floor(event.index / 1_000),
    state: 'ringing',
  })
