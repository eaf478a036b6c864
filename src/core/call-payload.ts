import { describeCall } from './call-description.ts'
import type { CallEventPayload } from './call-event.ts'
import type { Assignment } from './directory.ts'
import type { CallEvent } from './transition.ts'

/**
 * What the app of `assignment` is told about an event: everything but the `sequence_number`, which the
 * store assigns as it writes. `timestamp` is our clock, in milliseconds since the epoch.
 */
export function composePayload(
  event: CallEvent,
  assignment: Assignment,
  timestamp: number,
): Omit<CallEventPayload, 'sequence_number'> {
  const { subscriberName, subscriberAccountId } = assignment
  return {
    app_id: assignment.app.appId,
    subscriber_id: assignment.subscriberId,
    subscriber_number: assignment.subscriberNumber,
    ...(subscriberName === undefined ? {} : { subscriber_name: subscriberName }),
    ...(subscriberAccountId === undefined ? {} : { subscriber_account_id: subscriberAccountId }),
    ...describeCall(event.call),
    timestamp,
    event: event.type,
    network_id: assignment.network.networkId,
    ...(event.previousState === undefined ? {} : { previous_state: event.previousState }),
    ...(event.synthetic === undefined ? {} : { synthetic: event.synthetic }),
  }
}
