import { Redis } from 'ioredis'
import * as v from 'valibot'
import { CallEventPayloadSchema } from '../../../src/core/call-event.ts'
import type { CallState } from '../../../src/core/call.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { toSubscriberId, type AppRef } from '../../../src/core/ids.ts'
import { silentLogger } from '../../../src/core/logger.ts'
import { RedisLink } from '../../../src/state/connection.ts'
import { RedisEventLog } from '../../../src/state/event-log.ts'
import { appendedKey } from '../../../src/state/keys.ts'
import { preciseNow } from './figures.ts'

const NETWORK_ID = 'a6c7ad4e-93f6-4fdc-8bd0-6e5bba4f6c8e'

/** A change of a call. */
export type CallChange = {
  readonly callId: string
  readonly subscriberId: string
  readonly sequence: number
  readonly state: CallState
}

/** The ten events of a call that rings, is answered, held four times, and ends. */
export const CALL_STATES_IN_ORDER: readonly CallState[] = [
  'ringing',
  'active',
  'held',
  'active',
  'held',
  'active',
  'held',
  'active',
  'held',
  'released',
]

/**
 * Appends call events to apps' logs as the gateway does for what is not a call's: the log of a busy gateway
 * without the gateway. The payload is a whole one, with `emitted_at` added.
 */
export class Generator implements Disposable {
  readonly #redis: Redis
  readonly #log: RedisEventLog
  #appended = 0
  #isChecked = false

  constructor(socketPath: string) {
    // Appends within one turn of the event loop share a round trip.
    this.#redis = new Redis({ path: socketPath, maxRetriesPerRequest: null, enableAutoPipelining: true })
    this.#log = new RedisEventLog({
      general: new RedisLink(this.#redis),
      subscriber: this.#redis,
      clock: systemClock,
      random: Math.random,
      log: silentLogger,
    })
  }

  get appended(): number {
    return this.#appended
  }

  /** Resolves when the entries are in the log, in their order. */
  async append(app: AppRef, changes: readonly CallChange[]): Promise<void> {
    const entries = changes.map((change) => this.#toEntry(app, change))
    await Promise.all(entries.map((entry) => this.#log.append(app, entry)))
    // By which a repeated append is recognised for a day; calls' own events leave none.
    await this.#redis.unlink(entries.map(({ id }) => appendedKey(app, id)))
    this.#appended += changes.length
  }

  [Symbol.dispose](): void {
    this.#redis.disconnect()
  }

  #toEntry(app: AppRef, change: CallChange) {
    const payload = composePayload(app.appId, change)
    if (!this.#isChecked) v.assert(CallEventPayloadSchema, payload)
    this.#isChecked = true
    return {
      id: `${change.callId}#${change.sequence}`,
      type: payload.event,
      orderKey: `${NETWORK_ID}/${change.subscriberId}/${change.callId}`,
      subscriberId: toSubscriberId(change.subscriberId),
      payload: JSON.stringify(payload),
    }
  }
}

/** About 500 bytes, as a real one has. */
export function composePayload(appId: string, { callId, subscriberId, sequence, state }: CallChange) {
  const emittedAt = preciseNow()
  const timestamp = Math.floor(emittedAt)
  return {
    app_id: appId,
    subscriber_id: subscriberId,
    subscriber_number: '+15550001000',
    subscriber_name: 'Anna Example',
    remote_number: '+15550002000',
    call_id: callId,
    sequence_number: String(sequence),
    direction: 'incoming',
    state,
    tracking_id: `${callId.length}:1`,
    started_at: timestamp,
    timestamp,
    event: `call.${state}`,
    network_id: NETWORK_ID,
    emitted_at: emittedAt,
  }
}
