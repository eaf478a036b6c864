import type { AppId, EndpointId } from './ids.ts'

/**
 * Something that an operator should hear of and that no request answers.
 *
 * - `webhook.failing`: an endpoint has done nothing but fail for half of the time after which it is disabled;
 * - `webhook.disabled`: the gateway has disabled an endpoint; `reason` says why;
 * - `webhook.backlog_full`: an endpoint has so much pending that its app's log is held back for it;
 * - `webhook.log_gap`: entries of an app's log were lost to an endpoint before they were taken;
 * - `webhook.pending_lost`: Redis was lost, and with it what was pending; it is dropped and can be replayed;
 * - `records.lost`: what became of deliveries was dropped because the records were away for too long;
 * - `provisioning.order_held`: an order waits for an operator, because its provider cannot tell, takes too long or
 *   refuses, or because it came to nothing too often; `reason` says which.
 */
export const OPERATOR_EVENT_TYPES = [
  'webhook.failing',
  'webhook.disabled',
  'webhook.backlog_full',
  'webhook.log_gap',
  'webhook.pending_lost',
  'records.lost',
  'provisioning.order_held',
] as const
export type OperatorEventType = (typeof OPERATOR_EVENT_TYPES)[number]

export type OperatorEvent = {
  /** Grows with time. */
  readonly eventId: string
  readonly type: OperatorEventType
  readonly at: number
  readonly appId?: AppId
  readonly endpointId?: EndpointId
  /** What there is to know, by name; texts and numbers only. */
  readonly details: Readonly<Record<string, string | number>>
}

export type NewOperatorEvent = Omit<OperatorEvent, 'eventId' | 'at'>

export interface OperatorEventRepository {
  append(event: NewOperatorEvent): Promise<void>
  /** Newest first. Rejects with `invalid_request` for a cursor that is not one. */
  list(page: {
    readonly limit: number
    readonly cursor?: string
    readonly type?: OperatorEventType
    readonly appId?: AppId
  }): Promise<{ readonly events: readonly OperatorEvent[]; readonly cursor?: string }>
  /** Removes those before `before`; resolves with how many. */
  prune(before: number): Promise<number>
}
