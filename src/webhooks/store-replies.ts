import * as v from 'valibot'
import { GatewayError } from '../core/errors.ts'
import { toEndpointId } from '../core/ids.ts'
import type { AppId, EndpointId } from '../core/ids.ts'
import { parsePosition } from '../core/position.ts'
import type { Position } from '../core/position.ts'
import { parseAbout, parseToken } from './delivery.ts'
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

/** What came of taking an event off its lane; see {@link DeliveryStore.settle}. */
export type Settled = {
  readonly kind: 'more' | 'idle' | 'lost'
  readonly wakes: readonly WakeUp[]
  readonly turn?: Turn
  /** The lane that took the slot over, if one did. */
  readonly begun: readonly Begun[]
} & Reopening

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
export const BreakerSchema = v.picklist(['closed', 'open', 'half_open'])

export const ReplayReply = v.tuple([v.number(), texts, time, v.number()])
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

/**
 * The answers below are read for every event, by hand: they come from our own scripts, which are sent with this
 * very code. What they must not be silently wrong about is checked.
 */
const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value)
const listOf = (value: unknown): readonly unknown[] => (isList(value) ? value : fail())

function fail(why = 'a script gave an answer that cannot be read'): never {
  throw new GatewayError('store_unavailable', { cause: new TypeError(why) })
}

/** A lane that was begun for whoever asked for something else. */
export type Begun = { readonly lane: Lane; readonly owner: string; readonly turn: Turn }

type ReadTurn = Turn | { readonly kind: 'again'; readonly wakes: readonly WakeUp[] }

/** A turn, or `again` with the wake-ups so far. */
export function readTurn(lane: Lane, reply: unknown): ReadTurn {
  const [kind, one, two, three, ...rest] = listOf(reply)
  switch (kind) {
    case 'idle':
      return { kind, wakes: timedWakes(lane, one), ...reopening(Number(two)) }
    case 'again':
      return { kind, wakes: timedWakes(lane, one) }
    case 'waiting':
      return { kind, wakes: timedWakes(lane, two), ...reopening(Number(one)) }
    case 'busy':
      return { kind, until: Number(one) }
    case 'lost':
      return { kind }
    case 'later':
      return { kind, due: Number(one), wakes: timedWakes(lane, two), ...reopening(Number(three)) }
    case 'due': {
      const [failed, type, about, payload, skipped] = rest
      if (typeof two !== 'string' || typeof payload !== 'string') return fail()
      const pending = parseToken(two)
      return {
        kind,
        wakes: timedWakes(lane, one),
        pending,
        event: { eventId: pending.eventId, type: String(type), about: parseAbout(String(about)), payload },
        attempts: Number(three),
        failed: Number(failed),
        skipped: listOf(skipped).map(String),
      }
    }
    case 'failed':
      return fail(String(one))
    default:
      return fail()
  }
}

/** What came of settling, with a turn as {@link readTurn} reads it. */
export function readSettled(lane: Lane, reply: unknown): Omit<Settled, 'turn'> & { readonly turn?: ReadTurn } {
  const [kind, woken, reopen, turn, others] = listOf(reply)
  if (kind === 'failed') return fail(String(woken))
  if (kind !== 'more' && kind !== 'idle' && kind !== 'lost') return fail()
  const wakes = listOf(woken).map((orderKey) => ({ lane: laneOf(lane, orderKey) }))
  const opening = reopening(Number(reopen))
  return kind === 'idle'
    ? { kind, wakes: [...wakes, ...timedWakes(lane, others)], ...opening, begun: readBegun(lane, turn) }
    : { kind, wakes, ...opening, begun: [], ...(turn !== undefined && { turn: readTurn(lane, turn) }) }
}

/** Lanes of one endpoint that were begun, from `order key, owner, turn, …`. */
const readBegun = (endpoint: EndpointRef, flat: unknown): readonly Begun[] =>
  inGroups(flat, 3).map(([orderKey, owner, answer]) => {
    const lane = laneOf(endpoint, orderKey)
    const turn = readTurn(lane, answer)
    return turn.kind === 'again' ? fail() : { lane, owner: String(owner), turn }
  })

/** What came of taking entries of an app's log. */
export function readTaken(appId: AppId, reply: unknown) {
  const [wakes, full, reopens, isBehind, cursors, isShared, begun] = listOf(reply)
  return {
    wakes: inGroups(wakes, 3).map(([id, orderKey, at]) =>
      toWakeUp({ appId, endpointId: toEndpointId(String(id)), orderKey: String(orderKey) }, Number(at)),
    ),
    full: listOf(full).map((id) => toEndpointId(String(id))),
    reopens: inGroups(reopens, 2).map(([id, at]) => ({
      endpoint: { appId, endpointId: toEndpointId(String(id)) },
      at: Number(at),
    })),
    /** Records are written, but slower than they come. */
    recordsAreBehind: isBehind === 1,
    /** Where the endpoints are now; one that has not started, or was removed, is nowhere. */
    cursors: toCursors(inGroups(cursors, 2)),
    /** Some of it had been taken by somebody else. */
    isShared: isShared === 1,
    begun: inGroups(begun, 4).flatMap(([id, ...lane]) =>
      readBegun({ appId, endpointId: toEndpointId(String(id)) }, lane),
    ),
  }
}

/** Of `endpoint id, position`; what is no position is left out. */
export function toCursors(pairs: readonly (readonly unknown[])[]): ReadonlyMap<EndpointId, Position> {
  const found = new Map<EndpointId, Position>()
  for (const [id, text] of pairs) {
    const position = parsePosition(String(text))
    if (position !== undefined) found.set(toEndpointId(String(id)), position)
  }
  return found
}

/** The scripts say 0 for none. */
export const reopening = (at: number): Reopening => (at === 0 ? {} : { reopenAt: at })

/** Wake-ups, for now, of lanes of one endpoint. */
export const wakesOf = ({ appId, endpointId }: EndpointRef, orderKeys: readonly string[]): readonly WakeUp[] =>
  orderKeys.map((orderKey) => ({ lane: { appId, endpointId, orderKey } }))

/** Wake-ups of lanes of one endpoint from `order key, time (0: now), …`. */
const timedWakes = (endpoint: EndpointRef, flat: unknown): readonly WakeUp[] =>
  inGroups(flat, 2).map(([orderKey, at]) => toWakeUp(laneOf(endpoint, orderKey), Number(at)))

/** A flat list as groups of so many values. */
function inGroups(flat: unknown, size: number): readonly (readonly unknown[])[] {
  const values = listOf(flat)
  return Array.from({ length: values.length / size }, (_none, i) => values.slice(i * size, (i + 1) * size))
}

const laneOf = ({ appId, endpointId }: EndpointRef, orderKey: unknown): Lane => ({
  appId,
  endpointId,
  orderKey: String(orderKey),
})

const toWakeUp = (lane: Lane, at: number): WakeUp => (at === 0 ? { lane } : { lane, at })
