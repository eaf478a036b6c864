import * as v from 'valibot'
import { CallEventPayloadSchema, EVENT_TYPES, SubscriberEventPayloadSchema } from '../core/call-event.ts'
import { CallResourceSchema } from '../core/call-resource.ts'
import type { LogEntry, LogGap } from '../core/event-log.ts'
import type { Position } from '../core/position.ts'
import { PositionSchema } from '../core/position.ts'
import { Frame } from './frame.ts'

/** The subprotocol a browser offers together with its token (`Sec-WebSocket-Protocol`). */
export const SUBPROTOCOL = 'callhalf.v1'
/** Prefix of the subprotocol that carries a stream token. */
export const TOKEN_SUBPROTOCOL_PREFIX = 'callhalf.token.'

/** What a client may send: so far only its first message. */
const ClientFrameSchema = v.pipe(
  v.variant('op', [
    v.strictObject({
      op: v.literal('subscribe'),
      after: v.pipe(
        v.nullable(PositionSchema),
        v.description('Resume after this position; null starts with a snapshot of the live calls'),
      ),
    }),
  ]),
  v.metadata({ ref: 'StreamClientFrame', title: 'What a client sends' }),
)
export type ClientFrame = v.InferOutput<typeof ClientFrameSchema>

const GapSchema = v.picklist(['epoch_changed', 'trimmed', 'ahead_of_log'] as const satisfies readonly LogGap[])
const CallsSchema = v.array(CallResourceSchema)

/** What the gateway sends, as JSON text. Clients must ignore types and fields that they do not know. */
export const ServerFrameSchema = v.pipe(
  v.variant('type', [
    v.object({
      type: v.literal('subscribed'),
      recovered: v.pipe(v.boolean(), v.description('Whether everything after the asked position follows')),
      position: v.pipe(PositionSchema, v.description('The events after this position follow')),
      reason: v.pipe(v.optional(GapSchema), v.description('Why the asked position could not be resumed')),
      snapshot: v.pipe(v.optional(CallsSchema), v.description('Present when recovered is false')),
    }),
    v.object({
      type: v.literal('event'),
      event: v.picklist(EVENT_TYPES),
      position: PositionSchema,
      data: v.union([CallEventPayloadSchema, SubscriberEventPayloadSchema]),
    }),
    v.object({
      type: v.literal('gap'),
      reason: v.pipe(GapSchema, v.description('Why events were lost; a snapshot frame follows')),
    }),
    v.object({ type: v.literal('snapshot'), position: PositionSchema, snapshot: CallsSchema }),
    v.object({
      type: v.literal('ping'),
      position: v.pipe(v.optional(PositionSchema), v.description('That of the last event sent on this connection')),
    }),
    v.object({
      type: v.pipe(v.literal('close'), v.description('SSE only: the last event of the response')),
      code: v.number(),
      reason: v.object({
        code: v.string(),
        retry_after_ms: v.optional(v.number()),
        detail: v.optional(v.string()),
      }),
    }),
  ]),
  v.metadata({ ref: 'StreamServerFrame', title: 'What the gateway sends' }),
)

/** Parses a client's text message; the second form says what is wrong, without repeating it. */
export function parseClientFrame(text: string): { readonly frame: ClientFrame } | { readonly problem: string } {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return { problem: 'the message is not JSON' }
  }
  const parsed = v.safeParse(ClientFrameSchema, json)
  if (parsed.success) return { frame: parsed.output }
  const path = v.getDotPath(parsed.issues[0])
  return { problem: path === null ? 'the message is not an object with a known op' : `${path} is not valid` }
}

/** Frame of a log entry; the payload is put in as it is. */
export const toEventFrame = ({ type, position, payload }: LogEntry): Frame =>
  new Frame(
    'event',
    `{"type":"event","event":${JSON.stringify(type)},"position":${JSON.stringify(position)},"data":${payload}}`,
    position,
  )

/** Answer to a subscribe whose position could be resumed. */
export const toRecoveredFrame = (position: Position): Frame =>
  new Frame('subscribed', JSON.stringify({ type: 'subscribed', recovered: true, position }), position)

/** Answer to a subscribe that starts anew; `calls` is the JSON array of the live calls. */
export const toSubscribedFrame = (position: Position, calls: string, reason: LogGap | undefined): Frame =>
  new Frame(
    'subscribed',
    `{"type":"subscribed","recovered":false,"position":${JSON.stringify(position)},${
      reason === undefined ? '' : `"reason":${JSON.stringify(reason)},`
    }"snapshot":${calls}}`,
    position,
  )

/** Fresh start in the middle of a connection. */
export const toSnapshotFrame = (position: Position, calls: string): Frame =>
  new Frame('snapshot', `{"type":"snapshot","position":${JSON.stringify(position)},"snapshot":${calls}}`, position)

/** Has no position: whoever disconnects now must not resume as if nothing had happened. */
export const toGapFrame = (reason: LogGap): Frame => new Frame('gap', JSON.stringify({ type: 'gap', reason }))

export const toPingFrame = (position: Position | undefined): Frame =>
  new Frame('ping', JSON.stringify({ type: 'ping', ...(position !== undefined && { position }) }), position)
