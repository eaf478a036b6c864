import type { Redis } from 'ioredis'
import * as v from 'valibot'
import type { AppId, EndpointId } from '../core/ids.ts'
import { AppIdSchema, EndpointIdSchema } from '../core/ids.ts'
import { formatPosition, parsePosition } from '../core/position.ts'
import type { Position } from '../core/position.ts'
import type { Lane, StoredEvent } from './delivery.ts'
import { APPS_KEY, COUNTS_KEY, cursorsKey, endpointKeys, laneKeys } from './keys.ts'
import { Script } from './script-runner.ts'
import { BEGIN, JUMP, OPEN, POSTPONE, REMOVE, SETTLE, SWEEP, TAKE } from './scripts.ts'

export type StoreLimits = {
  /** Lanes of one endpoint that are worked on at a time, over all instances. */
  readonly slots: number
  /** Events pending for one endpoint; beyond that they stay in the log. */
  readonly backlogMax: number
  /** How long a slot outlives its owner's last sign; longer than an attempt can take. */
  readonly leaseMs: number
  /** How long a slot given together with a wake-up waits for the job to start. */
  readonly wakeLeaseMs: number
  /** How long events and lanes are kept at most; longer than the retry horizon. */
  readonly ttlMs: number
}

export const STORE_LIMITS: StoreLimits = {
  slots: 10,
  backlogMax: 100_000,
  leaseMs: 15_000,
  wakeLeaseMs: 3_000,
  ttlMs: 96 * 3_600_000,
}

/** Consecutive entries of an app's log, and what each endpoint wants of them. */
export type Batch = {
  readonly appId: AppId
  readonly events: readonly (StoredEvent & { readonly position: Position })[]
  readonly last: Position
  readonly endpoints: readonly {
    readonly endpointId: EndpointId
    /** In log order; `place` counts `events` from 0. */
    readonly wanted: readonly { readonly place: number; readonly orderKey: string }[]
  }[]
}

/** The answer to asking for a lane's next event. */
type Turn =
  | { readonly kind: 'idle'; readonly wakes: readonly Lane[] }
  | { readonly kind: 'full' | 'lost' }
  | { readonly kind: 'later'; readonly due: number; readonly wakes: readonly Lane[] }
  /** The event is no longer stored: it can only be settled. */
  | { readonly kind: 'gone'; readonly eventId: string; readonly attempts: number }
  | { readonly kind: 'due'; readonly event: StoredEvent; readonly attempts: number }

const texts = v.array(v.string())
const TakeReply = v.tuple([texts, texts])
const BeginReply = v.variant('0', [
  v.object({ 0: v.literal('idle'), 1: texts }),
  v.object({ 0: v.picklist(['full', 'lost']) }),
  v.object({ 0: v.literal('later'), 1: v.number(), 2: texts }),
  v.object({ 0: v.literal('gone'), 1: v.string(), 2: v.number() }),
  v.object({
    0: v.literal('due'),
    1: v.string(),
    2: v.number(),
    3: v.string(),
    4: v.pipe(v.string(), v.toNumber()),
    5: v.string(),
    6: v.string(),
  }),
])
const LeaveReply = v.union([
  v.tuple([v.picklist(['idle', 'ok']), texts]),
  v.pipe(
    v.tuple([v.picklist(['more', 'lost'])]),
    v.transform(([kind]): ['more' | 'lost', string[]] => [kind, []]),
  ),
])
const RemoveReply = v.tuple([v.number(), v.number()])

/** Lanes, slots and cursors in Redis: the typed face of `scripts.ts`, where the rules are. */
export class DeliveryStore {
  readonly #redis: Redis
  readonly #limits: StoreLimits
  readonly #open = new Script(OPEN)
  readonly #jump = new Script(JUMP)
  readonly #take = new Script(TAKE)
  readonly #begin = new Script(BEGIN)
  readonly #settle = new Script(SETTLE)
  readonly #postpone = new Script(POSTPONE)
  readonly #sweep = new Script(SWEEP)
  readonly #remove = new Script(REMOVE)

  constructor(redis: Redis, limits: StoreLimits = STORE_LIMITS) {
    this.#redis = redis
    this.#limits = limits
  }

  /** Starts an endpoint at `position`, unless it has started; resolves with where it is. */
  async open(endpoint: { readonly appId: AppId; readonly endpointId: EndpointId }, position: Position) {
    const { appId, endpointId } = endpoint
    const keys = [cursorsKey(appId), APPS_KEY]
    const cursor = await this.#open.run(this.#redis, keys, [endpointId, formatPosition(position), appId])
    return parsePosition(v.parse(v.string(), cursor)) ?? position
  }

  /** Where each started endpoint of an app is. */
  async cursors(appId: AppId): Promise<ReadonlyMap<EndpointId, Position>> {
    const found = new Map<EndpointId, Position>()
    for (const [id, text] of Object.entries(await this.#redis.hgetall(cursorsKey(appId)))) {
      const position = parsePosition(text)
      if (position !== undefined) found.set(v.parse(EndpointIdSchema, id), position)
    }
    return found
  }

  /** The apps that have a started endpoint. */
  async apps(): Promise<readonly AppId[]> {
    return (await this.#redis.smembers(APPS_KEY)).map((id) => v.parse(AppIdSchema, id))
  }

  /** Moves a cursor from one position to another; false when it was not at `from`. */
  async jump(appId: AppId, endpointId: EndpointId, move: { readonly from: Position; readonly to: Position }) {
    const args = [endpointId, formatPosition(move.from), formatPosition(move.to)]
    return (await this.#jump.run(this.#redis, [cursorsKey(appId)], args)) === 1
  }

  /** Puts entries into the lanes of those endpoints whose cursor is before them, and moves the cursors. */
  async take({ appId, events, last, endpoints }: Batch, now: number) {
    const { ttlMs, backlogMax, slots, wakeLeaseMs } = this.#limits
    const args: (string | number)[] = [last.epoch, now, ttlMs, backlogMax, slots, wakeLeaseMs, last.offset]
    args.push(events.length)
    for (const { position, eventId, type, sequence = '', payload } of events) {
      args.push(position.offset, eventId, type, sequence, payload)
    }
    for (const { endpointId, wanted } of endpoints) {
      args.push(endpointId, wanted.length)
      for (const { place, orderKey } of wanted) args.push(place + 1, orderKey)
    }
    const reply = await this.#take.run(this.#redis, [cursorsKey(appId), COUNTS_KEY], args)
    const [wakes, full] = v.parse(TakeReply, reply)
    return { wakes: pairs(appId, wakes), full: full.map((id) => v.parse(EndpointIdSchema, id)) }
  }

  /** Asks for the next event of a lane for `owner`; `fresh` for its first question. */
  async begin(lane: Lane, ask: { readonly owner: string; readonly fresh: boolean; readonly now: number }) {
    const { slots, leaseMs, ttlMs, wakeLeaseMs } = this.#limits
    const args = [...idsOf(lane), ask.owner, ask.fresh ? '1' : '0', ask.now, slots, leaseMs, ttlMs, wakeLeaseMs]
    return readTurn(lane, v.parse(BeginReply, await this.#begin.run(this.#redis, keysOf(lane), args)))
  }

  /** Takes a delivered or given-up event off its lane. `more`: the lane is not empty yet. */
  async settle(lane: Lane, eventId: string, now: number) {
    const args = [...idsOf(lane), eventId, now, this.#limits.slots, this.#limits.wakeLeaseMs]
    return this.#leave(lane, await this.#settle.run(this.#redis, keysOf(lane).slice(0, 3), args))
  }

  /** Leaves the first event until `due` and gives the slot back; `count` says whether it was attempted. */
  async postpone(
    lane: Lane,
    turn: {
      readonly owner: string
      readonly eventId: string
      readonly due: number
      readonly count: boolean
      readonly now: number
    },
  ) {
    const { slots, leaseMs, wakeLeaseMs } = this.#limits
    const args = [...idsOf(lane), turn.owner, turn.eventId, turn.due, turn.count ? 1 : 0, turn.now]
    const keys = keysOf(lane).slice(0, 4)
    const reply = await this.#postpone.run(this.#redis, keys, [...args, slots, leaseMs, wakeLeaseMs])
    return this.#leave(lane, reply)
  }

  /** Lanes of an endpoint that need a wake-up although nothing new came; at most `limit`. */
  async sweep(
    endpoint: { readonly appId: AppId; readonly endpointId: EndpointId },
    { now, putOffMs, limit }: { readonly now: number; readonly putOffMs: number; readonly limit: number },
  ): Promise<readonly Lane[]> {
    const { lanes, running, waiting } = endpointKeys(endpoint.endpointId)
    const { slots, wakeLeaseMs } = this.#limits
    const args = [endpoint.endpointId, now, slots, wakeLeaseMs, putOffMs, limit]
    const wakes = v.parse(texts, await this.#sweep.run(this.#redis, [lanes, running, waiting], args))
    return wakes.map((orderKey) => ({ ...endpoint, orderKey }))
  }

  /** Forgets an endpoint and everything pending for it; resolves with how many events that were. */
  async remove({ appId, endpointId }: { readonly appId: AppId; readonly endpointId: EndpointId }): Promise<number> {
    const { lanes, running, waiting } = endpointKeys(endpointId)
    const keys = [cursorsKey(appId), APPS_KEY, lanes, running, waiting]
    let dropped = 0
    for (;;) {
      const reply = await this.#remove.run(this.#redis, keys, [endpointId, appId, LANES_PER_REMOVAL])
      const [count, left] = v.parse(RemoveReply, reply)
      dropped += count
      if (left === 0) return dropped
    }
  }

  /** How many events are pending over all endpoints. */
  async pending(): Promise<number> {
    return (await this.#redis.hvals(COUNTS_KEY)).reduce((sum, count) => sum + Number(count), 0)
  }

  #leave(lane: Lane, raw: unknown): { readonly kind: 'done' | 'more' | 'lost'; readonly wakes: readonly Lane[] } {
    const [kind, wakes] = v.parse(LeaveReply, raw)
    return kind === 'more' || kind === 'lost' ? { kind, wakes: [] } : { kind: 'done', wakes: siblings(lane, wakes) }
  }
}

/** Keeps one call of the removing script short. */
const LANES_PER_REMOVAL = 200

const idsOf = ({ endpointId, orderKey }: Lane): readonly string[] => [endpointId, orderKey]

function keysOf(lane: Lane): readonly string[] {
  const { pending, turn } = laneKeys(lane)
  const { lanes, running, waiting } = endpointKeys(lane.endpointId)
  return [pending, turn, lanes, running, waiting]
}

const siblings = ({ appId, endpointId }: Lane, orderKeys: readonly string[]): readonly Lane[] =>
  orderKeys.map((orderKey) => ({ appId, endpointId, orderKey }))

function pairs(appId: AppId, flat: readonly string[]): readonly Lane[] {
  const lanes: Lane[] = []
  for (let i = 0; i + 1 < flat.length; i += 2) {
    lanes.push({ appId, endpointId: v.parse(EndpointIdSchema, flat[i]), orderKey: flat[i + 1] ?? '' })
  }
  return lanes
}

function readTurn(lane: Lane, reply: v.InferOutput<typeof BeginReply>): Turn {
  switch (reply[0]) {
    case 'idle':
      return { kind: 'idle', wakes: siblings(lane, reply[1]) }
    case 'full':
    case 'lost':
      return { kind: reply[0] }
    case 'later':
      return { kind: 'later', due: reply[1], wakes: siblings(lane, reply[2]) }
    case 'gone':
      return { kind: 'gone', eventId: reply[1], attempts: reply[2] }
    case 'due':
      break
  }
  return {
    kind: 'due',
    attempts: reply[2],
    event: {
      eventId: reply[1],
      type: reply[3],
      acceptedAt: reply[4],
      ...(reply[5] !== '' && { sequence: reply[5] }),
      payload: reply[6],
    },
  }
}
