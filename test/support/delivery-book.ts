import type { AttemptRecord, DeliveryFact, EndedStatus } from '../../src/core/delivery-record.ts'
import { classOf } from '../../src/core/delivery-policy.ts'
import { toAppId, toEndpointId } from '../../src/core/ids.ts'
import { eventIdOf, messageIdOf } from '../../src/webhooks/delivery.ts'
import type { RigTenant } from './api-rig.ts'
import type { AppClient } from './app-client.ts'

/** When recorded deliveries were taken, unless it is said otherwise. */
export const TAKEN_AT = 1_700_000_000_000

/** An attempt that was answered with 503, but for what is given. */
export const failedAttempt = (more: Partial<AttemptRecord> = {}): AttemptRecord => ({
  number: 1,
  startedAt: TAKEN_AT + 20,
  target: 'primary',
  outcome: 'http_status',
  status: 503,
  timing: { dnsMs: 1.5, connectMs: 10, tlsMs: 20, firstByteMs: 30, totalMs: 62 },
  remoteAddress: '93.184.215.14',
  reused: false,
  response: 'try again',
  ...more,
})

/** What an engine would have reported of one event. */
type Recorded = {
  readonly of?: RigTenant
  readonly webhook?: string
  readonly type?: string
  readonly callId?: string
  readonly at?: number
  readonly attempts?: readonly AttemptRecord[]
  readonly end?: EndedStatus
}

/** An app that has a webhook, whose deliveries the test records itself. */
export class DeliveryBook {
  readonly app: AppClient
  readonly webhookId: string
  /** Of the latest event in the app's log. */
  offset = 0

  private constructor(app: AppClient, webhookId: string) {
    this.app = app
    this.webhookId = webhookId
  }

  static async open(app: AppClient): Promise<DeliveryBook> {
    return new DeliveryBook(app, await app.register())
  }

  /** Resolves with the delivery's id. */
  async record({
    of = this.app.tenant,
    webhook = this.webhookId,
    type = 'call.ringing',
    callId = 'callhalf-1:0',
    at = TAKEN_AT,
    attempts = [],
    end,
  }: Recorded): Promise<string> {
    this.offset += 1
    const { offset } = this
    const [appId, endpointId] = [toAppId(of.appId), toEndpointId(webhook)]
    const eventId = eventIdOf(appId, { epoch: '1700000000000000', offset })
    const deliveryId = messageIdOf(endpointId, eventId)
    const event = {
      eventId,
      appId,
      type,
      orderKey: callId,
      callId,
      subscriberId: of.subscriberId,
      sequence: '3',
      occurredAt: at - 5,
      payload: JSON.stringify({ call_id: callId, event: type, timestamp: at - 5 }),
    }
    const endpoints = [{ endpointId, deliveryId, class: classOf(type), expiresAt: at + 30_000 }]
    const facts: DeliveryFact[] = [{ kind: 'taken', factId: `taken-${offset}`, at, event, endpoints }]
    for (const [i, each] of attempts.entries()) {
      const isLast = i === attempts.length - 1 && end !== undefined
      const nextAttemptAt = isLast ? {} : { nextAttemptAt: each.startedAt + 250 }
      facts.push({ kind: 'attempted', factId: `attempted-${offset}-${i}`, deliveryId, attempt: each, ...nextAttemptAt })
    }
    if (end !== undefined) {
      const ended = { factId: `ended-${offset}`, deliveryId, class: classOf(type), at: at + 1_000, status: end }
      facts.push({ kind: 'ended', ...ended })
    }
    await this.app.rig.deliveries.write(facts)
    return deliveryId
  }
}
