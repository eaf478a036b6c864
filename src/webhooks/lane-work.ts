import { randomUUID } from 'node:crypto'
import { DEFAULT_POLICIES } from '../core/delivery-policy.ts'
import type { DeliveryPolicy } from '../core/delivery-policy.ts'
import type { AttemptRecord } from '../core/delivery-record.ts'
import type { EndpointSummary } from '../core/directory.ts'
import type { Endpoint } from '../core/endpoint.ts'
import type { Lane, LaneRules, PendingEvent } from './delivery.ts'
import type { AttemptFact } from './record-entry.ts'
import type { Turn } from './store-replies.ts'

/** Whose turn it is in which lane, and by what it goes. */
export type Place = {
  readonly lane: Lane
  readonly owner: string
  readonly endpoint: EndpointSummary | Endpoint
  readonly rules: LaneRules
}

/** An event that its owner may now send. */
export type Work = Place & {
  readonly policy: DeliveryPolicy
  readonly deliveryId: string
  readonly turn: Extract<Turn, { kind: 'due' }>
}

/**
 * How long to wait before each retry. What was replayed lives for an hour at least, in which the short waits
 * of an event that had only seconds would make hundreds of requests.
 */
export const patienceOf = (pending: PendingEvent, policy: DeliveryPolicy): Pick<DeliveryPolicy, 'delaysMs'> =>
  pending.isReplay && pending.class !== 'record' ? DEFAULT_POLICIES.record : policy

/** Where the last attempt went. */
export const urlOf = ({ endpoint: { url, failoverUrl = url } }: Work, records: readonly AttemptRecord[]): string =>
  records.at(-1)?.target === 'failover' ? failoverUrl : url

/** What to record; when it is tried again belongs to the last one. */
export function toFacts({ deliveryId }: Work, records: readonly AttemptRecord[], due?: number): readonly AttemptFact[] {
  return records.map((attempt, i) => ({
    attemptId: randomUUID(),
    deliveryId,
    attempt,
    ...(due !== undefined && i === records.length - 1 && { nextAttemptAt: due }),
  }))
}
