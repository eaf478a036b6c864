import type { Redis } from 'ioredis'
import { classOf } from '../../src/core/delivery-policy.ts'
import type { EndpointId } from '../../src/core/ids.ts'
import { toAppId } from '../../src/core/ids.ts'
import { eventIdOf, formatToken } from '../../src/webhooks/delivery.ts'
import type { EndpointRef, Lane, LaneRules } from '../../src/webhooks/delivery.ts'
import { DeliveryStore } from '../../src/webhooks/delivery-store.ts'
import { describePayload } from '../../src/webhooks/event-about.ts'

export const TEST_RULES: LaneRules = { slots: 10, orderHoldMs: 10_000, coalesce: false }

/** Puts events of calls into an endpoint's lanes as a follower does, without an app's log. */
export class EventTaker {
  readonly store: DeliveryStore
  readonly endpoint: EndpointRef
  #offset = 0

  constructor(redis: Redis, endpointId: EndpointId, appId = 'app-1') {
    this.store = new DeliveryStore(redis)
    this.endpoint = { appId: toAppId(appId), endpointId }
  }

  lane(callId: string): Lane {
    return { ...this.endpoint, orderKey: callId }
  }

  /** Takes events all at once; `sequence` is a call's from 1. Resolves with their ids. */
  async take(
    events: readonly { readonly callId: string; readonly sequence: number; readonly type?: string }[],
    now = Date.now(),
  ): Promise<readonly string[]> {
    const { appId, endpointId } = this.endpoint
    await this.store.open(this.endpoint, { epoch: '1', offset: 0 })
    const logged = events.map(({ callId, sequence, type = 'call.released' }) => {
      this.#offset += 1
      const position = { epoch: '1', offset: this.#offset }
      const payload = JSON.stringify({ call_id: callId, sequence_number: String(sequence), state: 'released' })
      const about = describePayload(payload, now)
      const eventId = eventIdOf(appId, position)
      const pending = { eventId, class: classOf(type), takenAt: now, expiresAt: now + 3_600_000 }
      const token = formatToken({ ...pending, attemptsBefore: 0, isReplay: false, sequence: String(sequence) })
      return { position, eventId, type, orderKey: callId, about, payload, token }
    })
    const wanted = logged.map(({ token }, place) => ({ place, token }))
    const last = { epoch: '1', offset: this.#offset }
    const endpoints = [{ endpointId, rules: TEST_RULES, wanted }]
    await this.store.take({ appId, events: logged, last, endpoints }, now)
    return logged.map(({ eventId }) => eventId)
  }

  /** Works off a lane, each event ending as told; resolves with the events in the order of their turns. */
  async drain(lane: Lane, result: 'delivered' | 'expired' = 'delivered') {
    const drained = []
    for (let fresh = true; ; fresh = false) {
      const turn = await this.store.begin(lane, { owner: 'test', fresh, now: Date.now(), rules: TEST_RULES })
      if (turn.kind !== 'due') return drained
      drained.push(turn)
      await this.store.settle(lane, {
        token: turn.pending.token,
        result,
        attempts: [],
        now: Date.now(),
        rules: TEST_RULES,
      })
    }
  }
}
