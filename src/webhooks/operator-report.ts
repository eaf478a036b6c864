import type { Logger } from '../core/logger.ts'
import type { NewOperatorEvent, OperatorEventRepository } from '../core/operator-event.ts'

/**
 * Tells the operator something; the log has it even when the records are away. Resolves with whether they have
 * it, too; never rejects.
 */
export async function reportToOperator(
  { events, log }: { readonly events: Pick<OperatorEventRepository, 'append'>; readonly log: Logger },
  event: NewOperatorEvent,
): Promise<boolean> {
  const { type, appId, endpointId, details } = event
  log.error({ operator_event: type, app_id: appId, endpoint_id: endpointId, ...details }, 'operator event')
  try {
    await events.append(event)
    return true
  } catch (error) {
    log.warn({ operator_event: type, err: error }, 'operator event could not be recorded')
    return false
  }
}
