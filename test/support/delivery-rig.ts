import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { DEFAULT_POLICIES, classOf } from '../../src/core/delivery-policy.ts'
import type { AttemptOutcome, DeliveryFact, EndedStatus } from '../../src/core/delivery-record.ts'
import { toAppId, toEndpointId } from '../../src/core/ids.ts'
import { eventIdOf, formatToken, messageIdOf } from '../../src/webhooks/delivery.ts'
import type { LaneRules } from '../../src/webhooks/delivery.ts'
import { DeliveryStore, STORE_LIMITS } from '../../src/webhooks/delivery-store.ts'
import type { Batch, StoreLimits } from '../../src/webhooks/delivery-store.ts'
import { RecordLog } from '../../src/webhooks/record-log.ts'
import type { AttemptFact } from '../../src/webhooks/record-entry.ts'
import type { Turn } from '../../src/webhooks/store-replies.ts'

export type DueTurn = Extract<Turn, { kind: 'due' }>

/** An entry of the app's log as far as the delivery store is concerned. */
export type EntrySpec = {
  readonly key: string
  readonly type?: string
  readonly ttlMs?: number
  /** It has no sequence. */
  readonly unnumbered?: true
  /** The endpoints that want it; without it all that take part. */
  readonly to?: readonly string[]
}

export const EPOCH = '1700000000000000'
export const START_MS = 1_700_000_000_000
export const RULES: LaneRules = { slots: 10, orderHoldMs: 10_000, coalesce: false }
export const appId = toAppId('app')

export const position = (offset: number) => ({ epoch: EPOCH, offset })
export const eventId = (offset: number): string => eventIdOf(appId, position(offset))
export const endpointRef = (name: string) => ({ appId, endpointId: toEndpointId(name) })
export const deliveryIdOf = (name: string, offset: number): string => messageIdOf(toEndpointId(name), eventId(offset))

/**
 * A delivery store as its callers use it, at a time that the test sets. The n-th entry that is taken has
 * offset n, sequence n and the payload `{"n":n}`.
 */
export class DeliveryRig {
  readonly store: DeliveryStore
  readonly records: RecordLog
  readonly redis: Redis
  now = START_MS
  rules: LaneRules = RULES
  offset = 0

  constructor(redis: Redis, limits: Partial<StoreLimits> = {}) {
    this.redis = redis
    this.store = new DeliveryStore(redis, { ...STORE_LIMITS, ...limits })
    this.records = new RecordLog(redis)
  }

  async open(...names: readonly string[]): Promise<this> {
    for (const name of names) await this.store.open(endpointRef(name), position(this.offset))
    return this
  }

  /** Consecutive entries from `first` on, for these endpoints. */
  batch(entries: readonly EntrySpec[], first: number, names: readonly string[]): Batch {
    const events = entries.map(({ key, type = 'call.ringing', unnumbered }, i) => ({
      position: position(first + i),
      eventId: eventId(first + i),
      type,
      orderKey: key,
      about: { ...(unnumbered !== true && { sequence: String(first + i) }), occurredAt: this.now - 5 },
      payload: JSON.stringify({ n: first + i }),
    }))
    const tokenFor = ({ type = 'call.ringing', ttlMs }: EntrySpec, place: number) => {
      const event = events[place]
      if (event === undefined) throw new Error('no such entry')
      return formatToken({
        eventId: event.eventId,
        class: classOf(type),
        takenAt: this.now,
        expiresAt: this.now + (ttlMs ?? DEFAULT_POLICIES[classOf(type)].ttlMs),
        attemptsBefore: 0,
        isReplay: false,
        sequence: event.about.sequence,
      })
    }
    return {
      appId,
      events,
      last: position(first + entries.length - 1),
      endpoints: names.map((name) => ({
        endpointId: toEndpointId(name),
        rules: this.rules,
        wanted: entries.flatMap((entry, place) =>
          (entry.to ?? names).includes(name) ? [{ place, token: tokenFor(entry, place) }] : [],
        ),
      })),
    }
  }

  /** Takes the next entries of the log. */
  async take(entries: readonly EntrySpec[], names: readonly string[] = ['endpoint'], places = 0) {
    const first = this.offset + 1
    this.offset += entries.length
    return this.store.take(this.batch(entries, first, names), this.now, places)
  }

  begin(key: string, owner: string, { fresh = true, name = 'endpoint' } = {}): Promise<Turn> {
    return this.store.begin(lane(key, name), { owner, fresh, now: this.now, rules: this.rules })
  }

  /** {@link begin} where only an event to send will do. */
  async due(key: string, owner: string, options: { readonly fresh?: boolean; readonly name?: string } = {}) {
    const turn = await this.begin(key, owner, options)
    if (turn.kind !== 'due') throw new Error(`expected an event to send, not ${JSON.stringify(turn)}`)
    return turn
  }

  settle(
    key: string,
    { pending }: Pick<DueTurn, 'pending'>,
    result: EndedStatus = 'delivered',
    {
      attempts = [],
      name = 'endpoint',
      owner,
      heir,
    }: {
      readonly attempts?: readonly AttemptFact[]
      readonly name?: string
      readonly owner?: string
      readonly heir?: string
    } = {},
  ) {
    const { now, rules } = this
    const going = { ...(owner !== undefined && { owner }), ...(heir !== undefined && { heir }) }
    return this.store.settle(lane(key, name), { token: pending.token, result, attempts, now, rules, ...going })
  }

  /** Fails the event of a turn with one attempt. */
  fail(
    key: string,
    owner: string,
    turn: DueTurn,
    {
      due,
      name = 'endpoint',
      pausedUntil,
      totalMs = 5,
    }: { readonly due: number; readonly name?: string; readonly pausedUntil?: number; readonly totalMs?: number },
  ) {
    const attempt = attemptOf(name, turn, this.now, 'http_status', due)
    return this.store.postpone(lane(key, name), {
      owner,
      token: turn.pending.token,
      due,
      attempts: [{ ...attempt, attempt: { ...attempt.attempt, timing: { totalMs } } }],
      failed: true,
      now: this.now,
      rules: this.rules,
      ...(pausedUntil !== undefined && { pausedUntil }),
    })
  }

  handBack(key: string, owner: string, turn: DueTurn, { due = this.now, name = 'endpoint' } = {}) {
    const { now, rules } = this
    const { token } = turn.pending
    return this.store.postpone(lane(key, name), { owner, token, due, attempts: [], failed: false, now, rules })
  }

  reopen(name = 'endpoint') {
    return this.store.reopen(endpointRef(name), { now: this.now, rules: this.rules })
  }

  sweep(name = 'endpoint', { putOffMs = 10_000, limit = 500 } = {}) {
    return this.store.sweep(endpointRef(name), { now: this.now, rules: this.rules, putOffMs, limit })
  }

  async statusOf(name = 'endpoint') {
    const status = (await this.store.status([toEndpointId(name)])).get(toEndpointId(name))
    if (status === undefined) throw new Error('no status')
    return status
  }

  /** What was recorded since the last call, oldest first. */
  async facts(): Promise<readonly DeliveryFact[]> {
    const claimed = await this.records.claim('test', 100_000)
    if (claimed === undefined || claimed.malformed.length > 0) throw new Error('records cannot be read')
    await this.records.release('test', { last: claimed.last })
    return claimed.facts
  }

  /** What ended since the last call of this or {@link facts}, as `delivery id → status`. */
  async ended(): Promise<Readonly<Record<string, EndedStatus>>> {
    const facts = await this.facts()
    return Object.fromEntries(facts.flatMap((fact) => (fact.kind === 'ended' ? [[fact.deliveryId, fact.status]] : [])))
  }

  /** The offsets of the events in a lane. */
  async pendingIn(key: string, name = 'endpoint'): Promise<readonly number[]> {
    const tokens = await this.redis.lrange(`ch:{wh}:pending:${name}:${key}`, 0, -1)
    return tokens.map((token) => Number(/-(\d+)\|/.exec(token)?.[1]))
  }
}

export const ringing = (key: string): EntrySpec => ({ key, type: 'call.ringing' })
export const held = (key: string): EntrySpec => ({ key, type: 'call.held' })
export const released = (key: string): EntrySpec => ({ key, type: 'call.released' })
/** A ringing phone in each of so many lanes: `lane-1` and so on. */
export const manyLanes = (count: number): EntrySpec[] =>
  Array.from({ length: count }, (_, i) => ringing(`lane-${i + 1}`))

export const lane = (orderKey: string, name = 'endpoint') => ({ ...endpointRef(name), orderKey })

/** The order keys of wake-ups, with their time where they have one. */
export const keysOf = (wakes: readonly { readonly lane: { readonly orderKey: string }; readonly at?: number }[]) =>
  wakes.map(({ lane: { orderKey }, at }) => (at === undefined ? orderKey : `${orderKey} at +${at - START_MS}`))

/** Works on `count` lanes of one event each, all with the same result; each request took `totalMs`. */
export async function attemptLanes(rig: DeliveryRig, count: number, result: 'ok' | 'bad', totalMs = 5): Promise<void> {
  for (let i = 0; i < count; i += 1) {
    const key = `try-${rig.offset + 1}`
    await rig.take([ringing(key)])
    const turn = await rig.due(key, 'o')
    if (result === 'ok') await rig.settle(key, turn)
    // Far away, so that it does not come up again.
    else await rig.fail(key, 'o', turn, { due: rig.now + 29_000, totalMs })
  }
}

/** One request for the event of a turn. */
export function attemptOf(
  name: string,
  { pending, attempts }: Pick<DueTurn, 'pending' | 'attempts'>,
  now: number,
  outcome: AttemptOutcome,
  nextAttemptAt?: number,
): AttemptFact {
  return {
    attemptId: randomUUID(),
    deliveryId: messageIdOf(toEndpointId(name), pending.eventId),
    attempt: {
      number: pending.attemptsBefore + attempts + 1,
      startedAt: now,
      target: 'primary',
      outcome,
      ...(outcome === 'http_status' && { status: 503 }),
      ...(outcome === 'delivered' && { status: 200 }),
      timing: { totalMs: 5 },
    },
    ...(nextAttemptAt !== undefined && { nextAttemptAt }),
  }
}
