import type { AttemptRecord, EndedStatus } from '../core/delivery-record.ts'
import type { Logger } from '../core/logger.ts'
import { attemptFields } from './attempt-record.ts'
import type { Lane } from './delivery.ts'
import type { Turn } from './store-replies.ts'

/** What follows from a round of attempts. */
export type AttemptSequel = {
  readonly ended?: EndedStatus
  /** Milliseconds since the epoch. */
  readonly next_attempt_at?: number
}

/** From this many failures on, a failed attempt is a warning. */
const WARN_FROM_FAILURE = 5

/** Writes one wide line per attempt of a round; what follows is told with the last. */
export function logAttempts(
  log: Logger,
  {
    lane,
    deliveryId,
    turn: { event, pending, failed },
    records,
    sequel,
  }: {
    readonly lane: Lane
    readonly deliveryId: string
    readonly turn: Pick<Extract<Turn, { kind: 'due' }>, 'event' | 'pending' | 'failed'>
    readonly records: readonly AttemptRecord[]
    readonly sequel: AttemptSequel
  },
): void {
  const hasFailed = sequel.ended !== 'delivered'
  const level = hasFailed && (sequel.ended !== undefined || failed + 1 >= WARN_FROM_FAILURE) ? 'warn' : 'info'
  records.forEach((record, i) => {
    const fields = {
      app_id: lane.appId,
      endpoint_id: lane.endpointId,
      event_id: event.eventId,
      delivery_id: deliveryId,
      type: event.type,
      class: pending.class,
      ...attemptFields(record),
      age_ms: record.startedAt - event.about.occurredAt,
      replay: record.replay,
      ...(i === records.length - 1 && sequel),
    }
    log[level](fields, 'webhook attempt')
  })
}
