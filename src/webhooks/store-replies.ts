import * as v from 'valibot'
import { EndpointIdSchema } from '../core/ids.ts'
import { EventAboutSchema, parseToken } from './delivery.ts'
import type { EndpointRef, Lane, PendingEvent, StoredEvent, WakeUp } from './delivery.ts'

/** When the gate opens for the lanes that still wait; somebody must call `reopen` then. */
type Reopening = { readonly reopenAt?: number }

/** The answer to asking for a lane's next event. */
export type Turn =
  | ({ readonly kind: 'idle'; readonly wakes: readonly WakeUp[] } & Reopening)
  /** No slot, or the gate is closed: the lane waits for its turn without a job. */
  | ({ readonly kind: 'waiting'; readonly wakes: readonly WakeUp[] } & Reopening)
  /** Somebody else works on it, for as long as this at least. */
  | { readonly kind: 'busy'; readonly until: number }
  /** We are no longer its owner. */
  | { readonly kind: 'lost' }
  | ({ readonly kind: 'later'; readonly due: number; readonly wakes: readonly WakeUp[] } & Reopening)
  | {
      readonly kind: 'due'
      readonly wakes: readonly WakeUp[]
      readonly pending: PendingEvent
      readonly event: StoredEvent
      /** Requests made for it since it is in the lane. */
      readonly attempts: number
      /** Rounds that failed. */
      readonly failed: number
      /** What was left out of the lane since its last delivery, as items of `callhalf-skipped`. */
      readonly skipped: readonly string[]
    }

type Breaker = 'closed' | 'open' | 'half_open'

/** How an endpoint fares. */
export type Health = {
  /** Since when every attempt failed, in milliseconds since the epoch. */
  readonly failingSince?: number
  /** How many failed since then. */
  readonly failures: number
  readonly breaker: Breaker
}

/** What an endpoint has in the store. */
export type EndpointStatus = Health & {
  readonly pending: number
  readonly inFlight: number
  readonly pausedUntil?: number
  readonly openUntil?: number
}

const texts = v.array(v.string())
const time = v.pipe(v.union([v.string(), v.number()]), v.transform(Number))
const timed = v.array(v.union([v.string(), v.number()]))
export const BreakerSchema = v.picklist(['closed', 'open', 'half_open'])

export const TakeReply = v.tuple([timed, texts, timed])
export const ReplayReply = v.tuple([v.number(), texts, time, v.number()])
export const SettleReply = v.tuple([v.picklist(['more', 'idle', 'lost']), texts, time])
export const PostponeReply = v.tuple([v.picklist(['ok', 'lost']), time, texts, time, time, v.number(), BreakerSchema])
export const ReopenReply = v.tuple([texts, time])
const sinceByRank = v.pipe(
  v.tuple([v.number(), v.number(), v.number()]),
  v.transform(([actNow, state, record]) => ({
    ...(actNow !== 0 && { act_now: actNow }),
    ...(state !== 0 && { state }),
    ...(record !== 0 && { record }),
  })),
)
export const SweepReply = v.tuple([texts, time, v.number(), sinceByRank])
export const RemoveReply = v.tuple([v.number(), v.number()])
export const BeginReply = v.variant('0', [
  v.object({ 0: v.literal('idle'), 1: timed, 2: time }),
  v.object({ 0: v.literal('again'), 1: timed }),
  v.object({ 0: v.literal('waiting'), 1: time, 2: timed }),
  v.object({ 0: v.literal('busy'), 1: time }),
  v.object({ 0: v.literal('lost') }),
  v.object({ 0: v.literal('later'), 1: time, 2: timed, 3: time }),
  v.object({
    0: v.literal('due'),
    1: timed,
    2: v.string(),
    3: v.number(),
    4: v.number(),
    5: v.string(),
    6: v.pipe(v.string(), v.parseJson(), EventAboutSchema),
    7: v.string(),
    8: texts,
  }),
])

/** A turn, or `again` with the wake-ups so far. */
export function readTurn(
  lane: Lane,
  reply: v.InferOutput<typeof BeginReply>,
): Turn | { readonly kind: 'again'; readonly wakes: readonly WakeUp[] } {
  switch (reply[0]) {
    case 'idle':
      return { kind: 'idle', wakes: timedWakes(lane, reply[1]), ...reopening(reply[2]) }
    case 'again':
      return { kind: 'again', wakes: timedWakes(lane, reply[1]) }
    case 'waiting':
      return { kind: 'waiting', wakes: timedWakes(lane, reply[2]), ...reopening(reply[1]) }
    case 'busy':
      return { kind: 'busy', until: reply[1] }
    case 'lost':
      return { kind: 'lost' }
    case 'later':
      return { kind: 'later', due: reply[1], wakes: timedWakes(lane, reply[2]), ...reopening(reply[3]) }
    case 'due':
      break
  }
  const pending = parseToken(reply[2])
  return {
    kind: 'due',
    wakes: timedWakes(lane, reply[1]),
    pending,
    event: { eventId: pending.eventId, type: reply[5], about: reply[6], payload: reply[7] },
    attempts: reply[3],
    failed: reply[4],
    skipped: reply[8],
  }
}

/** The scripts say 0 for none. */
export const reopening = (at: number): Reopening => (at === 0 ? {} : { reopenAt: at })

/** Wake-ups, for now, of lanes of one endpoint. */
export const wakesOf = ({ appId, endpointId }: EndpointRef, orderKeys: readonly string[]): readonly WakeUp[] =>
  orderKeys.map((orderKey) => ({ lane: { appId, endpointId, orderKey } }))

/** Wake-ups of lanes of one endpoint from `order key, time (0: now), …`. */
function timedWakes({ appId, endpointId }: EndpointRef, flat: v.InferOutput<typeof timed>): readonly WakeUp[] {
  const wakes: WakeUp[] = []
  for (let i = 0; i + 1 < flat.length; i += 2) {
    wakes.push(toWakeUp({ appId, endpointId, orderKey: String(flat[i]) }, Number(flat[i + 1])))
  }
  return wakes
}

/** Wake-ups of lanes of one app from `endpoint id, order key, time (0: now), …`. */
export function wakesOfApp(appId: Lane['appId'], flat: v.InferOutput<typeof timed>): readonly WakeUp[] {
  const wakes: WakeUp[] = []
  for (let i = 0; i + 2 < flat.length; i += 3) {
    const endpointId = v.parse(EndpointIdSchema, flat[i])
    wakes.push(toWakeUp({ appId, endpointId, orderKey: String(flat[i + 1]) }, Number(flat[i + 2])))
  }
  return wakes
}

const toWakeUp = (lane: Lane, at: number): WakeUp => (at === 0 ? { lane } : { lane, at })
