import * as v from 'valibot'
import type { EventAbout } from './delivery.ts'

/** Of all payloads, whatever else they hold; what an app is told about a call has all of these. */
const PayloadSchema = v.object({
  sequence_number: v.optional(v.string()),
  call_id: v.optional(v.string()),
  subscriber_id: v.optional(v.string()),
  direction: v.optional(v.string()),
  timestamp: v.optional(v.number()),
})

/** Reads what filters, headers and records need; a payload that is no object has only its time. */
export function describePayload(payload: string, takenAt: number): EventAbout {
  const parsed = v.safeParse(PayloadSchema, parseJson(payload))
  if (!parsed.success) return { occurredAt: takenAt }
  const { sequence_number, call_id, subscriber_id, direction, timestamp } = parsed.output
  return {
    ...(sequence_number !== undefined && { sequence: sequence_number }),
    ...(call_id !== undefined && { callId: call_id }),
    ...(subscriber_id !== undefined && { subscriberId: subscriber_id }),
    ...(direction !== undefined && { direction }),
    occurredAt: timestamp ?? takenAt,
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
