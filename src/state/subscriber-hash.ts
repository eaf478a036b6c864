import * as v from 'valibot'
import { CallStateSchema, DirectionSchema, RecordingStateSchema, ReleaseCauseSchema } from '../core/call.ts'
import { CallIdSchema, toCallId, type CallId } from '../core/ids.ts'
import type { StoredSubscriber } from '../core/call-store.ts'
import type { CallRecord, SubscriberHead } from '../core/subscriber-state.ts'

const milliseconds = v.number()
const flag = v.exactOptional(v.literal(true))

const UpstreamSchema = v.object({ generation: v.number(), sequence: v.number() })

const CallSchema = v.object({
  callId: CallIdSchema,
  networkCallId: v.exactOptional(CallIdSchema),
  state: CallStateSchema,
  direction: DirectionSchema,
  remoteNumber: v.string(),
  remoteName: v.exactOptional(v.string()),
  trackingId: v.string(),
  startedAt: milliseconds,
  answeredAt: v.exactOptional(milliseconds),
  heldAt: v.exactOptional(milliseconds),
  detachedAt: v.exactOptional(milliseconds),
  releasedAt: v.exactOptional(milliseconds),
  releaseCause: v.exactOptional(ReleaseCauseSchema),
  releasingParty: v.exactOptional(v.picklist(['local', 'remote'])),
  redirect: v.exactOptional(v.object({ number: v.exactOptional(v.string()), reason: v.string() })),
  canAnswer: flag,
  canResume: flag,
  flags: v.exactOptional(
    v.object({ collecting: flag, treatment: flag, recall: flag, recording: v.exactOptional(RecordingStateSchema) }),
  ),
})

const RecordSchema = v.object({
  call: CallSchema,
  upstream: UpstreamSchema,
  incarnation: v.number(),
  changedAt: milliseconds,
  confirmedAt: milliseconds,
})

const HeadSchema = v.object({
  snapshotUpstream: v.exactOptional(UpstreamSchema),
  newestUpstream: v.exactOptional(UpstreamSchema),
  stale: v.boolean(),
})

const LiveSchema = v.array(CallIdSchema)

/** A subscriber from the reply of HGETALL: field, value, field, value … */
export function parseSubscriber(reply: readonly string[]): StoredSubscriber {
  const calls = new Map<CallId, CallRecord>()
  let version: string | undefined
  let head: SubscriberHead = { stale: false }
  for (let index = 0; index + 1 < reply.length; index += 2) {
    const [field = '', text = ''] = reply.slice(index, index + 2)
    if (field === 'v') version = text
    else if (field === 'head') head = parseHead(text)
    else if (field.startsWith('c:')) {
      const record = parseRecord(text)
      if (record !== undefined) calls.set(toCallId(field.slice(2)), record)
    }
  }
  return { version, state: { head, calls } }
}

/** What another version of the gateway wrote and this one cannot read counts as unknown: the next snapshot restores it. */
export const parseRecord = (text: string): CallRecord | undefined => parse(RecordSchema, text)

export const parseHead = (text: string): SubscriberHead => parse(HeadSchema, text) ?? { stale: true }

export const parseLive = (text: string): readonly CallId[] => parse(LiveSchema, text) ?? []

function parse<Schema extends v.GenericSchema>(schema: Schema, text: string): v.InferOutput<Schema> | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const parsed = v.safeParse(schema, value)
  return parsed.success ? parsed.output : undefined
}
