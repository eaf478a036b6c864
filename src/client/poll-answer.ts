import type { EventFrame, GapReason, Position, SnapshotCall } from './frames.ts'

/** An event without what says that it is one. */
type PolledEvent = EventFrame extends infer Frame ? (Frame extends EventFrame ? Omit<Frame, 'type'> : never) : never

/** The body of `GET /apps/{app_id}/events`. */
export type PollAnswer =
  | { readonly recovered: true; readonly position: Position; readonly events: readonly PolledEvent[] }
  | {
      readonly recovered: false
      readonly reason?: GapReason
      readonly position: Position
      readonly snapshot: readonly SnapshotCall[]
    }

/**
 * Throws for what is no answer at all: something between here and the gateway speaks. What is in one is taken as
 * it is, since the gateway makes it from the same schemas.
 */
export function readPollAnswer(body: unknown): PollAnswer {
  if (!isPollAnswer(body)) throw new TypeError('not an answer to a request for events')
  return body
}

const isPollAnswer = (body: unknown): body is PollAnswer =>
  typeof body === 'object' && body !== null && 'recovered' in body && 'position' in body
