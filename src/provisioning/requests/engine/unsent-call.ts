import type { Queries } from '../../store/database.ts'
import { appendCallDetail } from '../store/call-details.ts'
import type { RequestStep } from '../store/request-steps.ts'

/**
 * Keeps as a call detail, with the component `Simulated`, what was not sent to a provider, why, and `more` of what it
 * would have been; `step`: for which step of the request, if it has steps. `more` is shown: without secrets.
 */
export function appendUnsentCall(
  tx: Queries,
  {
    requestId,
    step,
    reason,
    more,
  }: {
    readonly requestId: number
    readonly step?: RequestStep
    readonly reason: string
    readonly more?: object
  },
): Promise<void> {
  return appendCallDetail(tx, {
    requestId,
    ...(step !== undefined && {
      providerActionId: step.provider_action_id,
      actionCorrelationId: String(step.sequence_number),
    }),
    isResponse: false,
    content: JSON.stringify({ sent: false, reason, ...(step !== undefined && { action: step.action_code }), ...more }),
    components: [{ key: 'Simulated', value: true }],
  })
}
