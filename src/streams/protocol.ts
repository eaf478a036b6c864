import * as v from 'valibot'
import { EVENT_TYPES, EventPayloadSchema } from '../core/app-event.ts'
import { CallResourceSchema } from '../core/call-resource.ts'
import type { LogEntry, LogGap } from '../core/event-log.ts'
import { describeIssue } from '../core/parse-input.ts'
import type { Position } from '../core/position.ts'
import { PositionSchema } from '../core/position.ts'
import type { CommandReply } from './commands.ts'
import { COMMAND_OPS } from './commands.ts'
import { StreamFilterSchema } from './filter.ts'
import { Frame } from './frame.ts'

/** The subprotocol a browser offers together with its token (`Sec-WebSocket-Protocol`). */
export const SUBPROTOCOL = 'callhalf.v1'
/** Prefix of the subprotocol that carries a stream token. */
export const TOKEN_SUBPROTOCOL_PREFIX = 'callhalf.token.'

/** Names what it is given for, so that a client can tell answers apart. */
export const RequestIdSchema = v.pipe(
  v.string(),
  v.minLength(1, 'must not be empty'),
  v.maxLength(128, 'must have at most 128 characters'),
  v.description('Repeated in the answer'),
)

/** The first message of a client. */
export const SubscribeFrameSchema = v.pipe(
  v.strictObject({
    op: v.literal('subscribe'),
    after: v.pipe(
      v.nullable(PositionSchema),
      v.description('Resume after this position; null starts with a snapshot of the live calls'),
    ),
    filter: v.pipe(v.nullish(StreamFilterSchema), v.description('Which events to send; all if absent or null')),
  }),
  v.metadata({ ref: 'StreamSubscribe', title: 'Starts the stream' }),
)

/** Changes which events are sent; answered by `filtered`. */
export const FilterFrameSchema = v.pipe(
  v.strictObject({
    op: v.literal('filter'),
    filter: v.pipe(v.nullable(StreamFilterSchema), v.description('Which events to send from now on; null for all')),
    request_id: v.optional(RequestIdSchema),
  }),
  v.metadata({ ref: 'StreamSetFilter', title: 'Changes which events are sent' }),
)

/** A command as far as the stream looks at it; the rest of it is checked as the body of the HTTP request would be. */
const CommandFrameSchema = v.looseObject({ op: v.picklist(COMMAND_OPS), request_id: RequestIdSchema })

const ClientFrameSchema = v.variant(
  'op',
  [SubscribeFrameSchema, FilterFrameSchema, CommandFrameSchema],
  `must be subscribe, filter, ${COMMAND_OPS.slice(0, -1).join(', ')} or ${COMMAND_OPS.at(-1)}`,
)
export type ClientFrame = v.InferOutput<typeof ClientFrameSchema>

const GapSchema = v.picklist(['epoch_changed', 'trimmed', 'ahead_of_log'] as const satisfies readonly LogGap[])
const CallsSchema = v.array(CallResourceSchema)
const eventFields = {
  event: v.picklist(EVENT_TYPES),
  position: PositionSchema,
  data: EventPayloadSchema,
}

/** What the gateway sends, as JSON text. Clients must ignore types and fields that they do not know. */
export const ServerFrameSchema = v.pipe(
  v.variant('type', [
    v.object({
      type: v.literal('subscribed'),
      recovered: v.pipe(v.boolean(), v.description('Whether everything after the asked position follows')),
      position: v.pipe(PositionSchema, v.description('The events after this position follow')),
      reason: v.pipe(v.optional(GapSchema), v.description('Why the asked position could not be resumed')),
      snapshot: v.pipe(
        v.optional(CallsSchema),
        v.description('Present when recovered is false: the live calls that the filter wants'),
      ),
    }),
    v.object({ type: v.literal('event'), ...eventFields }),
    v.object({
      type: v.literal('gap'),
      reason: v.pipe(GapSchema, v.description('Why events were lost; a snapshot frame follows')),
    }),
    v.object({
      type: v.literal('snapshot'),
      position: v.pipe(PositionSchema, v.description('The events after this position follow')),
      snapshot: v.pipe(CallsSchema, v.description('The live calls: replace what you know by them')),
    }),
    v.object({
      type: v.literal('filtered'),
      request_id: v.optional(RequestIdSchema),
      position: v.pipe(PositionSchema, v.description('The events after this position that the filter wants follow')),
      snapshot: v.pipe(CallsSchema, v.description('The live calls that the filter wants')),
    }),
    v.object({
      type: v.literal('coalesced'),
      dropped: v.pipe(
        v.number(),
        v.integer(),
        v.minValue(1),
        v.description('How many changes were left out here because later ones of the same calls follow'),
      ),
    }),
    v.object({
      type: v.literal('reply'),
      request_id: RequestIdSchema,
      status: v.pipe(v.number(), v.integer(), v.description('The status of the same request over HTTP')),
      body: v.pipe(v.optional(v.unknown()), v.description('The body of the same request over HTTP')),
      problem: v.pipe(
        v.optional(v.looseObject({ status: v.number(), code: v.string() })),
        v.description('Problem details (RFC 9457) of a command that failed, as over HTTP'),
      ),
      idempotent_replayed: v.pipe(
        v.optional(v.literal(true)),
        v.description('An earlier request with the same idempotency key had this answer'),
      ),
      retry_after_ms: v.pipe(v.optional(v.number()), v.description('When to try again')),
    }),
    v.object({
      type: v.literal('ping'),
      position: v.pipe(
        v.optional(PositionSchema),
        v.description('Everything up to this position was sent on this connection, or is not wanted here'),
      ),
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

/** The answer to a long poll. */
export const PollAnswerSchema = v.pipe(
  v.object({
    recovered: v.pipe(v.boolean(), v.description('Whether `events` are all after the asked position up to `position`')),
    reason: v.pipe(v.optional(GapSchema), v.description('Why the asked position could not be resumed')),
    position: v.pipe(PositionSchema, v.description('The position to ask after next')),
    snapshot: v.pipe(
      v.optional(CallsSchema),
      v.description(
        'Present when recovered is false: the live calls that the filter wants; replace what you know by them',
      ),
    ),
    events: v.array(v.object(eventFields)),
  }),
  v.metadata({ ref: 'PolledEvents', title: 'Events, or a fresh start' }),
)

/** Parses a client's text message; the second form says what is wrong and where, without repeating it. */
export function parseClientFrame(text: string): { readonly frame: ClientFrame } | { readonly problem: string } {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return { problem: 'the message is not JSON' }
  }
  const parsed = v.safeParse(ClientFrameSchema, json)
  if (parsed.success) return { frame: parsed.output }
  const [issue] = parsed.issues
  const path = v.getDotPath(issue)
  return {
    problem: path === null ? 'the message is not an object with a known op' : `${path}: ${describeIssue(issue)}`,
  }
}

/** Frame of a log entry; the payload is put in as it is. */
export const toEventFrame = ({ type, position, payload, orderKey, subscriberId }: LogEntry): Frame =>
  new Frame('event', `${EVENT_START}"event":"${type}","position":${toJson(position)},"data":${payload}}`, {
    position,
    about: { event: type, orderKey, subscriberId },
  })

/** What a long poll comes to: the events after the asked position up to `position`, or a fresh start. */
export type PollAnswer =
  | { readonly recovered: true; readonly position: Position; readonly events: readonly Frame[] }
  | ({ readonly recovered: false; readonly reason?: LogGap } & Restart)

/** The body of the answer to a long poll. */
export function toPollText(answer: PollAnswer): string {
  const position = toJson(answer.position)
  if (answer.recovered) {
    // The frames without their type.
    const events = answer.events.map(({ json }) => `{${json.slice(EVENT_START.length)}`)
    return `{"recovered":true,"position":${position},"events":[${events.join(',')}]}`
  }
  const reason = answer.reason === undefined ? '' : `"reason":"${answer.reason}",`
  return `{"recovered":false,${reason}"position":${position},"snapshot":${answer.calls},"events":[]}`
}

const EVENT_START = '{"type":"event",'

/** Answer to a subscribe whose position could be resumed. */
export const toRecoveredFrame = (position: Position): Frame =>
  new Frame('subscribed', `{"type":"subscribed","recovered":true,"position":${toJson(position)}}`, { position })

/** What the frames that start anew have in common; `calls` is the JSON array of the live calls. */
export type Restart = { readonly position: Position; readonly calls: string }

/** Answer to a subscribe that starts anew. */
export const toSubscribedFrame = ({ position, calls }: Restart, reason: LogGap | undefined): Frame =>
  new Frame(
    'subscribed',
    `{"type":"subscribed","recovered":false,"position":${toJson(position)},${
      reason === undefined ? '' : `"reason":"${reason}",`
    }"snapshot":${calls}}`,
    { position },
  )

/** Fresh start in the middle of a connection. */
export const toSnapshotFrame = ({ position, calls }: Restart): Frame =>
  new Frame('snapshot', `{"type":"snapshot","position":${toJson(position)},"snapshot":${calls}}`, { position })

/** Fresh start because the filter has changed. */
export const toFilteredFrame = ({ position, calls }: Restart, requestId: string | undefined): Frame => {
  const request = requestId === undefined ? '' : `"request_id":${JSON.stringify(requestId)},`
  return new Frame('filtered', `{"type":"filtered",${request}"position":${toJson(position)},"snapshot":${calls}}`, {
    position,
  })
}

/** Has no position: whoever disconnects now must not resume as if nothing had happened. */
export const toGapFrame = (reason: LogGap): Frame => new Frame('gap', JSON.stringify({ type: 'gap', reason }))

export const toPingFrame = (position: Position | undefined): Frame =>
  new Frame('ping', JSON.stringify({ type: 'ping', ...(position !== undefined && { position }) }), { position })

/** Says that so many frames that were to come here are left out. */
export const toCoalescedFrame = (dropped: number): Frame =>
  new Frame('coalesced', JSON.stringify({ type: 'coalesced', dropped }))

/** Answer to a command. */
export const toReplyFrame = (requestId: string, reply: CommandReply): Frame =>
  new Frame(
    'reply',
    JSON.stringify({
      type: 'reply',
      request_id: requestId,
      status: reply.status,
      body: reply.body,
      problem: reply.problem,
      ...(reply.isReplay === true && { idempotent_replayed: true }),
      ...(reply.retryAfterMs !== undefined && { retry_after_ms: Math.round(reply.retryAfterMs) }),
    }),
  )

const toJson = ({ epoch, offset }: Position): string => `{"epoch":"${epoch}","offset":${offset}}`
