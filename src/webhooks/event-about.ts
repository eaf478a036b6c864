import type { EventAbout } from './delivery.ts'

/**
 * Reads what filters, headers and records need of a payload, which the gateway made and the app's log kept: by
 * hand, because it is done for every event. A field that is no text is left out, and a payload that is no object
 * has only its time.
 */
export function describePayload(payload: string, takenAt: number): EventAbout {
  const parsed = parseJson(payload)
  if (typeof parsed !== 'object' || parsed === null) return { occurredAt: takenAt }
  const { sequence_number, call_id, subscriber_id, direction, timestamp }: Record<string, unknown> = { ...parsed }
  return {
    ...(typeof sequence_number === 'string' && { sequence: sequence_number }),
    ...(typeof call_id === 'string' && { callId: call_id }),
    ...(typeof subscriber_id === 'string' && { subscriberId: subscriber_id }),
    ...(typeof direction === 'string' && { direction }),
    occurredAt: typeof timestamp === 'number' ? timestamp : takenAt,
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
