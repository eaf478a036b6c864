import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import * as v from 'valibot'
import type { EndedStatus } from '../core/delivery-record.ts'
import type { AppId, EndpointId } from '../core/ids.ts'
import { AppIdSchema } from '../core/ids.ts'
import { formatPosition, parsePosition } from '../core/position.ts'
import type { Position } from '../core/position.ts'
import { AdvanceBatch } from './advance-batch.ts'
import { parseToken } from './delivery.ts'
import type { EndpointRef, Lane, LaneRules, StoredEvent, WakeUp } from './delivery.ts'
import { APPS_KEY, COUNTS_KEY, RECORDS_KEY, cursorsKey, endpointKeys, laneKeys } from './keys.ts'
import type { AttemptFact } from './record-entry.ts'
import { Script } from './script-runner.ts'
import { BEHIND, JUMP, OPEN, REPLAY, TAKE } from './scripts/intake.ts'
import { ADVANCE, POSTPONE, RENEW } from './scripts/turn.ts'
import { REMOVE, REOPEN, SWEEP, WARN } from './scripts/upkeep.ts'
import {
  BreakerSchema,
  PostponeReply,
  RemoveReply,
  ReopenReply,
  ReplayReply,
  SweepReply,
  readSettled,
  readTaken,
  readTurn,
  reopening,
  toCursors,
  wakesOf,
} from './store-replies.ts'
import type { EndpointStatus, Health, Settled, Turn } from './store-replies.ts'

export type StoreLimits = {
  /** Events pending for one endpoint; beyond that they stay in the log. */
  readonly backlogMax: number
  /** How long a slot outlives its owner's last sign (see `renew`). */
  readonly leaseMs: number
  /** How long a slot given together with a wake-up waits for the work to start. */
  readonly wakeLeaseMs: number
  /** How long events and lanes are kept at most; longer than any event lives. */
  readonly ttlMs: number
  /**
   * Entries of the records that wait for the recorder; beyond that the newest are only counted, and beyond a tenth
   * of it receivers' answers, which are the most of an entry, are left out.
   */
  readonly recordsMax: number
}

export const STORE_LIMITS: StoreLimits = {
  backlogMax: 100_000,
  leaseMs: 5_000,
  wakeLeaseMs: 3_000,
  ttlMs: 96 * 3_600_000,
  recordsMax: 100_000,
}

/** Consecutive entries of an app's log, and what each endpoint wants of them. */
export type Batch = {
  readonly appId: AppId
  readonly events: readonly (StoredEvent & { readonly position: Position; readonly orderKey: string })[]
  readonly last: Position
  readonly endpoints: readonly {
    readonly endpointId: EndpointId
    readonly rules: LaneRules
    /** In log order; `place` counts `events` from 0. */
    readonly wanted: readonly { readonly place: number; readonly token: string }[]
  }[]
}

type LaneCall = { readonly now: number; readonly rules: LaneRules }

/** Keeps one call of the removing script short. */
const EVENTS_PER_REMOVAL = 1_000

/** Lanes, slots, gates and cursors in Redis: the typed face of `scripts/`, where the rules are. */
export class DeliveryStore {
  readonly #redis: Redis
  readonly #limits: StoreLimits
  readonly #open = new Script(OPEN)
  readonly #jump = new Script(JUMP)
  readonly #take = new Script(TAKE)
  readonly #behind = new Script(BEHIND)
  readonly #replay = new Script(REPLAY)
  readonly #advance = new Script(ADVANCE)
  readonly #postpone = new Script(POSTPONE)
  readonly #renew = new Script(RENEW)
  readonly #reopen = new Script(REOPEN)
  readonly #sweep = new Script(SWEEP)
  readonly #remove = new Script(REMOVE)
  readonly #warn = new Script(WARN)
  readonly #asks = new AdvanceBatch((now, args) =>
    this.#run(this.#advance, [COUNTS_KEY], [...this.#common(now), ...args]),
  )
  #isGathering = false

  constructor(redis: Redis, limits: StoreLimits = STORE_LIMITS) {
    this.#redis = redis
    this.#limits = limits
  }

  /** Starts an endpoint at `position`, unless it has started; resolves with where it is. */
  async open({ appId, endpointId }: EndpointRef, position: Position): Promise<Position> {
    const keys = [cursorsKey(appId), APPS_KEY]
    const cursor = await this.#run(this.#open, keys, [endpointId, formatPosition(position), appId])
    return parsePosition(v.parse(v.string(), cursor)) ?? position
  }

  /** Where each started endpoint of an app is. */
  async cursors(appId: AppId): Promise<ReadonlyMap<EndpointId, Position>> {
    this.#gather()
    return toCursors(Object.entries(await this.#redis.hgetall(cursorsKey(appId))))
  }

  /** The apps that have a started endpoint. */
  async apps(): Promise<readonly AppId[]> {
    return (await this.#redis.smembers(APPS_KEY)).map((id) => v.parse(AppIdSchema, id))
  }

  /** Moves a cursor from one position to another; false when it was not at `from`. */
  async jump(
    { appId, endpointId }: EndpointRef,
    move: { readonly from: Position; readonly to: Position },
  ): Promise<boolean> {
    const args = [endpointId, formatPosition(move.from), formatPosition(move.to)]
    return (await this.#run(this.#jump, [cursorsKey(appId)], args)) === 1
  }

  /**
   * Puts entries into the lanes of those endpoints whose cursor is before them, and moves the cursors. Of the lanes
   * that may be worked on now up to `places` are begun, each for an owner of its own; the others are in `wakes`.
   */
  async take({ appId, events, last, endpoints }: Batch, now: number, places = 0) {
    const args: (string | number)[] = [...this.#common(now), last.epoch, last.offset]
    args.push(places > 0 ? randomUUID() : '', places, events.length)
    for (const { position, eventId, type, orderKey, about, payload } of events) {
      args.push(position.offset, eventId, type, orderKey, JSON.stringify(about), payload)
    }
    for (const { endpointId, rules, wanted } of endpoints) {
      args.push(endpointId, ...ruleArgs(rules), wanted.length)
      for (const { place, token } of wanted) args.push(place + 1, token, parseToken(token).expiresAt)
    }
    return readTaken(appId, await this.#run(this.#take, [cursorsKey(appId)], args))
  }

  /** Whether records are being written, but slower than they come: half of their room is taken. */
  async recordsAreBehind(): Promise<boolean> {
    return (await this.#run(this.#behind, [RECORDS_KEY], this.#common(0))) === 1
  }

  /**
   * Puts recorded events into lanes once more, except for those that wait in one for the same reason already
   * (`passed`); both together are fewer when the backlog is full. Undefined when the endpoint has no place in the
   * log: it has not started, or was removed meanwhile.
   */
  async replay(
    endpoint: EndpointRef,
    replay: LaneCall & {
      readonly events: readonly { readonly event: StoredEvent; readonly orderKey: string; readonly token: string }[]
    },
  ) {
    const args = this.#endpointArgs(endpoint, replay)
    for (const { event, orderKey, token } of replay.events) {
      const { eventId, type, about, payload } = event
      args.push(eventId, type, orderKey, JSON.stringify(about), payload, token, parseToken(token).expiresAt)
    }
    const reply = await this.#run(this.#replay, [COUNTS_KEY, cursorsKey(endpoint.appId)], args)
    const [taken, wakes, reopen, passed] = v.parse(ReplayReply, reply)
    if (taken < 0) return undefined
    return { taken, passed, wakes: wakesOf(endpoint, wakes), ...reopening(reopen) }
  }

  /** Asks for the next event of a lane for `owner`; `fresh` for its first question. */
  async begin(lane: Lane, ask: LaneCall & { readonly owner: string; readonly fresh: boolean }): Promise<Turn> {
    const args = ['begin', ...laneArgs(lane, ask.rules), ask.owner, ask.fresh ? '1' : '0']
    const turn = readTurn(lane, await this.#ask(ask.now, args))
    return turn.kind === 'again' ? this.#beginAgain(lane, { ...ask, wakes: turn.wakes }) : turn
  }

  /**
   * Takes an event off its lane that has come to an end. `more`: the lane is not empty yet. For an `owner` that
   * goes on with the lane it asks for the next event as well, as {@link begin} does: the `turn`, of `more` and `lost`.
   * The slot of one that is empty goes to a lane that waits, which is begun for the `heir`.
   */
  async settle(
    lane: Lane,
    end: LaneCall & {
      readonly token: string
      readonly result: EndedStatus
      readonly attempts: readonly AttemptFact[]
      readonly owner?: string
      readonly heir?: string
    },
  ): Promise<Settled> {
    const { token, result, owner = '', heir = '', attempts } = end
    const facts = attempts.flatMap(toTexts)
    const args = ['settle', ...laneArgs(lane, end.rules), token, result, owner, heir, facts.length, ...facts]
    const { turn, ...settled } = readSettled(lane, await this.#ask(end.now, args))
    if (turn?.kind !== 'again') return { ...settled, ...(turn !== undefined && { turn }) }
    const ask = { now: end.now, rules: end.rules, owner, fresh: false }
    return { ...settled, turn: await this.#beginAgain(lane, { ...ask, wakes: turn.wakes }) }
  }

  /**
   * Leaves the first event until `due` and gives the slot back. Resolves with when the lane is really due,
   * which is earlier when the next event has waited for long enough by then.
   */
  async postpone(
    lane: Lane,
    turn: LaneCall & {
      readonly owner: string
      readonly token: string
      readonly due: number
      readonly attempts: readonly AttemptFact[]
      /** Whether it was a failure; false when it is handed back. */
      readonly failed: boolean
      /** The whole endpoint asked to be left alone until then. */
      readonly pausedUntil?: number
    },
  ) {
    const { owner, token, due, attempts, failed, pausedUntil = 0 } = turn
    const args = [...this.#common(turn.now), ...laneArgs(lane, turn.rules), owner, token, due]
    args.push(attempts.length, failed ? '1' : '0', pausedUntil, durationOf(attempts))
    args.push(...attempts.flatMap(toTexts))
    const reply = await this.#run(this.#postpone, [laneKeys(lane).pending], args)
    const [kind, dueAt, wakes, reopen, since, failures, breaker] = v.parse(PostponeReply, reply)
    const health: Health = { failures, breaker, ...(since !== 0 && { failingSince: since }) }
    return { kind, due: dueAt, wakes: wakesOf(lane, wakes), ...reopening(reopen), health }
  }

  /** Prolongs the leases of lanes in work, for those who still own them. */
  async renew(lanes: readonly { readonly lane: Lane; readonly owner: string }[], now: number): Promise<void> {
    if (lanes.length === 0) return
    const args = lanes.flatMap(({ lane, owner }) => [lane.endpointId, lane.orderKey, owner])
    await this.#run(this.#renew, [COUNTS_KEY], [...this.#common(now), ...args])
  }

  /** Hands slots to lanes that wait, because the gate should have opened. */
  async reopen(endpoint: EndpointRef, call: LaneCall) {
    const args = this.#endpointArgs(endpoint, call)
    const reply = await this.#run(this.#reopen, [endpointKeys(endpoint.endpointId).waiting], args)
    const [wakes, reopen] = v.parse(ReopenReply, reply)
    return { wakes: wakesOf(endpoint, wakes), ...reopening(reopen) }
  }

  /**
   * Ends what has expired in lanes that wait, and finds lanes that need a wake-up although nothing new came.
   * `waitingSince` tells for each class when the oldest event that waits for a slot or behind the gate was
   * taken; replays wait as records do.
   */
  async sweep(endpoint: EndpointRef, call: LaneCall & { readonly putOffMs: number; readonly limit: number }) {
    const args = [...this.#endpointArgs(endpoint, call), call.putOffMs, call.limit]
    const reply = await this.#run(this.#sweep, [endpointKeys(endpoint.endpointId).lanes], args)
    const [wakes, reopen, expired, waitingSince] = v.parse(SweepReply, reply)
    return { wakes: wakesOf(endpoint, wakes), expired, waitingSince, ...reopening(reopen) }
  }

  /** Forgets an endpoint and everything pending for it, which is dropped; resolves with how many events that were. */
  async remove({ appId, endpointId }: EndpointRef, now: number): Promise<number> {
    const keys = [cursorsKey(appId), APPS_KEY]
    const args = [...this.#common(now), endpointId, appId, EVENTS_PER_REMOVAL]
    let dropped = 0
    for (;;) {
      const [count, left] = v.parse(RemoveReply, await this.#run(this.#remove, keys, args))
      dropped += count
      if (left === 0) return dropped
    }
  }

  /** True for the first caller since the endpoint began to fail; false when it does not. */
  async markWarned({ endpointId }: EndpointRef): Promise<boolean> {
    return (await this.#run(this.#warn, [endpointKeys(endpointId).gate], [])) === 1
  }

  /** Undoes {@link markWarned}: nobody was told, so the next failure is to tell. */
  async unmarkWarned({ endpointId }: EndpointRef): Promise<void> {
    await this.#redis.hdel(endpointKeys(endpointId).gate, 'warned')
  }

  /** Starts an endpoint's failures, breaker and pause anew. */
  async forgetFailures({ endpointId }: EndpointRef): Promise<void> {
    await this.#redis.del(endpointKeys(endpointId).gate)
  }

  /** How endpoints fare; one that has nothing in the store is idle and well. */
  async status(endpointIds: readonly EndpointId[]): Promise<ReadonlyMap<EndpointId, EndpointStatus>> {
    const pipeline = this.#redis.pipeline()
    for (const endpointId of endpointIds) {
      const { gate, running } = endpointKeys(endpointId)
      pipeline.hmget(gate, 'state', 'until', 'paused', 'since', 'failures')
      pipeline.zcard(running)
      pipeline.hget(COUNTS_KEY, endpointId)
    }
    const replies = (await pipeline.exec()) ?? []
    const read = v.array(v.tuple([v.null(), v.unknown()]))
    const values = v.parse(read, replies).map(([, value]) => value)
    return new Map(
      endpointIds.map((endpointId, i) => {
        const [gate, running, count] = v.parse(StatusReply, values.slice(3 * i, 3 * i + 3))
        return [endpointId, toStatus(gate, running, count)]
      }),
    )
  }

  /** How many events are pending over all endpoints. */
  async pending(): Promise<number> {
    return (await this.#redis.hvals(COUNTS_KEY)).reduce((sum, count) => sum + Number(count), 0)
  }

  /** For as long as a turn took many events off and came to none that is to be sent. */
  async #beginAgain(
    lane: Lane,
    ask: LaneCall & { readonly owner: string; readonly fresh: boolean; readonly wakes: readonly WakeUp[] },
  ): Promise<Turn> {
    const turn = await this.begin(lane, ask)
    return turn.kind === 'busy' || turn.kind === 'lost' ? turn : { ...turn, wakes: [...ask.wakes, ...turn.wakes] }
  }

  #run(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    this.#gather()
    return script.run(this.#redis, keys, args)
  }

  #ask(now: number, args: readonly (string | number)[]): Promise<unknown> {
    this.#gather()
    return this.#asks.ask(now, args)
  }

  /**
   * Has what is asked of Redis until the event loop turns leave in one write, and what is asked about lanes in one
   * script. Requests end in bursts, and a write, a read and an answer of their own cost either side more than most
   * scripts do.
   */
  #gather(): void {
    if (this.#isGathering) return
    this.#isGathering = true
    // None before the first connection.
    const stream: Redis['stream'] | undefined = this.#redis.stream
    stream?.cork()
    setImmediate(() => {
      this.#asks.send()
      this.#isGathering = false
      stream?.uncork()
    })
  }

  #common(now: number): (string | number)[] {
    const { ttlMs, wakeLeaseMs, leaseMs, recordsMax, backlogMax } = this.#limits
    return [now, ttlMs, wakeLeaseMs, leaseMs, recordsMax, backlogMax]
  }

  #endpointArgs({ endpointId }: EndpointRef, { now, rules }: LaneCall): (string | number)[] {
    return [...this.#common(now), endpointId, ...ruleArgs(rules)]
  }
}

const laneArgs = ({ endpointId, orderKey }: Lane, rules: LaneRules) => [endpointId, ...ruleArgs(rules), orderKey]

const ruleArgs = ({ slots, ratePerSecond = 0, orderHoldMs, coalesce }: LaneRules) => [
  slots,
  ratePerSecond,
  orderHoldMs,
  coalesce ? '1' : '0',
]

/** How long a round took, in whole milliseconds. */
const durationOf = (attempts: readonly AttemptFact[]): number =>
  Math.round(attempts.reduce((sum, { attempt }) => sum + attempt.timing.totalMs, 0))

/** The answer apart, because it may be left out. */
function toTexts({ attempt: { response = '', ...attempt }, ...fact }: AttemptFact): readonly [string, string] {
  return [JSON.stringify({ ...fact, attempt }), response]
}

const text = v.nullable(v.string())
const StatusReply = v.tuple([v.tuple([text, text, text, text, text]), v.number(), text])

function toStatus(
  [state, until, paused, since, failures]: v.InferOutput<typeof StatusReply>[0],
  running: number,
  count: string | null,
): EndpointStatus {
  const breaker = v.parse(BreakerSchema, state ?? 'closed')
  return {
    breaker,
    pending: Number(count ?? 0),
    inFlight: running,
    failures: Number(failures ?? 0),
    ...(since !== null && { failingSince: Number(since) }),
    ...(paused !== null && { pausedUntil: Number(paused) }),
    ...(breaker === 'open' && until !== null && { openUntil: Number(until) }),
  }
}
