import * as v from 'valibot'
import type { StoredCall } from './call-reader.ts'
import { CallStateSchema, DirectionSchema, RecordingStateSchema } from './call.ts'
import type { Assignment } from './directory.ts'

const text = v.string()
const milliseconds = v.pipe(v.number(), v.integer())
const applies = v.optional(v.literal(true))

/**
 * A call as an app reads it, over REST and in the stream's snapshot: the fields of the calls API
 * document with the document's types, then our additions.
 */
export const CallResourceSchema = v.pipe(
  v.object({
    subscriber_id: text,
    subscriber_number: text,
    remote_number: text,
    subscriber_name: v.optional(text),
    remote_name: v.optional(text),
    call_id: text,
    direction: DirectionSchema,
    state: CallStateSchema,
    sequence_number: v.pipe(
      text,
      v.regex(/^(?:0|[1-9]\d*)$/),
      v.description('That of the last event which this resource includes; 0 if none was told since the store was lost'),
    ),
    network_id: text,
    tracking_id: v.pipe(text, v.description('Common to the halves of one session')),
    started_at: milliseconds,
    answered_at: v.optional(milliseconds),
    can_answer: v.pipe(applies, v.description('The answer command applies now')),
    can_resume: v.pipe(applies, v.description('The resume command applies now')),
    stale: v.pipe(applies, v.description('Not confirmed by the network since its events were last interrupted')),
    recording: v.optional(RecordingStateSchema),
    redirect: v.optional(v.object({ number: v.optional(text), reason: text })),
  }),
  v.metadata({ ref: 'Call', title: 'A call' }),
)
export type CallResource = v.InferOutput<typeof CallResourceSchema>

/** The call as the app of `assignment` sees it: the subscriber's number and name are the app's own. */
export function toCallResource(stored: StoredCall, assignment: Assignment): CallResource {
  const { call } = stored
  return {
    subscriber_id: stored.subscriberId,
    subscriber_number: assignment.subscriberNumber,
    remote_number: call.remoteNumber,
    ...(assignment.subscriberName !== undefined && { subscriber_name: assignment.subscriberName }),
    ...(call.remoteName !== undefined && { remote_name: call.remoteName }),
    call_id: call.callId,
    direction: call.direction,
    state: call.state,
    sequence_number: String(stored.sequence),
    network_id: stored.network.networkId,
    tracking_id: call.trackingId,
    started_at: call.startedAt,
    ...(call.answeredAt !== undefined && { answered_at: call.answeredAt }),
    ...(call.canAnswer && { can_answer: true }),
    ...(call.canResume && { can_resume: true }),
    ...(stored.stale && { stale: true }),
    ...(call.flags?.recording !== undefined && { recording: call.flags.recording }),
    ...(call.redirect !== undefined && { redirect: call.redirect }),
  }
}
