import { strict as assert } from 'node:assert'
import type { DeliveryClass } from '../../src/core/delivery-policy.ts'
import type { DeliveryFact, EndedStatus } from '../../src/core/delivery-record.ts'
import { toEndpointId } from '../../src/core/ids.ts'
import type { LaneRules, WakeUp } from '../../src/webhooks/delivery.ts'
import { formatToken, messageIdOf } from '../../src/webhooks/delivery.ts'
import type { Batch } from '../../src/webhooks/delivery-store.ts'
import type { DueTurn, DeliveryRig } from './delivery-rig.ts'
import type { Turn } from '../../src/webhooks/store-replies.ts'
import { appId, attemptOf, endpointRef, eventId, lane, position } from './delivery-rig.ts'

/** What may happen to the delivery engine. Numbers called `pick` choose among what there is. */
export type Step =
  | { readonly do: 'log'; readonly entries: readonly LoggedEntry[] }
  | { readonly do: 'follow'; readonly endpoints: readonly number[]; readonly back: number }
  | { readonly do: 'work'; readonly pick: number }
  | { readonly do: 'stray'; readonly pick: number }
  | { readonly do: 'finish'; readonly pick: number; readonly how: Ending; readonly retryMs: number }
  | { readonly do: 'crash'; readonly pick: number }
  /** An owner hangs until its lease has lapsed, and another one takes its lane over. */
  | { readonly do: 'replace'; readonly pick: number }
  | { readonly do: 'lose'; readonly pick: number }
  | { readonly do: 'wait'; readonly ms: number; readonly renewing: boolean }
  | { readonly do: 'sweep'; readonly endpoint: number }
  | { readonly do: 'storm'; readonly endpoint: number }
  | { readonly do: 'replay'; readonly endpoint: number }
  | { readonly do: 'remove'; readonly endpoint: number }

export type Ending =
  /** And the next event is begun in the same step. */
  | 'delivered'
  | 'delivered-then-begun'
  | 'delivered-then-crash'
  | 'failed'
  /** And what puts it off is sent once more, over a connection that broke. */
  | 'failed-resent'
  | 'paused'
  | 'expired'
  | 'handed-back'
export type LoggedEntry = {
  readonly key: string
  readonly class: DeliveryClass
  readonly to: readonly number[]
  /** How long it has been in the log. */
  readonly ageMs?: number
}

type Item = {
  readonly name: string
  readonly offset: number
  readonly class: DeliveryClass
  readonly takenAt: number
  readonly expiresAt: number
  readonly isReplay: boolean
  key: string
  token: string
  attempts: number
  failed: number
  due: number
}

type Worker = {
  readonly name: string
  readonly key: string
  readonly owner: string
  readonly turn: DueTurn
  /** The how many-th turn it was. */
  readonly place: number
  leaseEnds: number
}

/** What was known of an endpoint before a turn, and who was at work on its lanes. */
type Known = {
  readonly before: Awaited<ReturnType<DeliveryRig['statusOf']>>
  readonly atWork: readonly Worker[]
  readonly rival: Worker | undefined
}

type Job = { readonly name: string; readonly key?: string; readonly at: number }

const TYPES = { act_now: 'call.ringing', state: 'call.held', record: 'call.released' } as const
/** Records live longer than any run takes, so that one which is forgotten does not end by itself. */
const TTLS_MS = { act_now: 8_000, state: 30_000, record: 72 * 3_600_000 } as const
const LEASE_MS = 5_000

/**
 * Several owners at work on a delivery store, and beside it a plain account of what must come of it. Every
 * answer of the store is compared with the account; a difference throws.
 */
export class DeliveryModel {
  readonly names: readonly string[]
  readonly #rig: DeliveryRig
  readonly #rules: LaneRules
  readonly #backlogMax: number
  readonly #log: LoggedEntry[] = []
  readonly #cursors = new Map<string, number>()
  /** What is pending, by endpoint and order key, in the order of intake. */
  readonly #lanes = new Map<string, Item[]>()
  readonly #skipped = new Map<string, string[]>()
  /** Ended deliveries that may be replayed. */
  readonly #ended: Item[] = []
  readonly #begun = new Map<string, number[]>()
  readonly #paused = new Map<string, number>()
  readonly #rows = new Map<string, { readonly count: number; readonly began: number; readonly last: number }>()
  #jobs: Job[] = []
  #workers: Worker[] = []
  #owners = 0
  #turns = 0
  /** What the present step itself ends: delivery id → status. */
  readonly #settling = new Map<string, EndedStatus>()
  #isRemoving = false
  #sweeps = false
  readonly #recorded: DeliveryFact[] = []

  constructor(
    rig: DeliveryRig,
    { names, rules, backlogMax }: { names: readonly string[]; rules: LaneRules; backlogMax: number },
  ) {
    this.#rig = rig
    this.names = names
    this.#rules = rules
    this.#backlogMax = backlogMax
    rig.rules = rules
  }

  /** What became of every delivery, in order. */
  get recorded(): readonly DeliveryFact[] {
    return this.#recorded
  }

  async start(): Promise<void> {
    await this.#rig.open(...this.names)
    for (const name of this.names) this.#cursors.set(name, 0)
  }

  async perform(step: Step): Promise<void> {
    await this.#perform(step)
    await this.#absorb()
    const status = await this.#rig.store.status(this.names.map(toEndpointId))
    for (const name of this.names) {
      assert.equal(status.get(toEndpointId(name))?.pending, this.#pendingOf(name), `pending of ${name}`)
    }
  }

  /** Lets time pass and every receiver answer well until nothing is left to do. Owners at work have died. */
  async settleDown(): Promise<void> {
    this.#workers = []
    const deadline = this.#rig.now + 600_000
    while (this.#rig.now < deadline) {
      await this.#follow(this.names, 0)
      for (let due = this.#dueJobs(); due.length > 0; due = this.#dueJobs()) {
        for (const job of due) await this.#workOn(job, true)
      }
      for (const name of this.names) await this.#sweep(name)
      await this.#absorb()
      const isDone = this.names.every((name) => this.#pendingOf(name) === 0 && this.#lag(name) === 0)
      if (isDone && this.#jobs.length === 0) return
      this.#rig.now = Math.min(this.#rig.now + 2_000, ...this.#jobs.map(({ at }) => Math.max(at, this.#rig.now + 1)))
    }
    assert.fail(
      `still pending: ${[...this.#lanes]
        .filter(([, items]) => items.length > 0)
        .map(([id]) => id)
        .join()}`,
    )
  }

  async #perform(step: Step): Promise<void> {
    const { now } = this.#rig
    switch (step.do) {
      case 'log':
        this.#log.push(...step.entries)
        return this.#follow(this.names, 0)
      case 'follow':
        return this.#follow(this.#some(step.endpoints), step.back)
      case 'work': {
        const job = pickFrom(this.#dueJobs(), step.pick)
        return job === undefined ? undefined : this.#workOn(job, false)
      }
      case 'stray': {
        const ids = [...this.#lanes.keys()]
        const id = pickFrom(ids, step.pick)
        if (id === undefined) return undefined
        const [name = '', key = ''] = splitId(id)
        return this.#workOn({ name, key, at: now }, false)
      }
      case 'finish': {
        const worker = pickFrom(this.#workers, step.pick)
        return worker === undefined ? undefined : this.#finish(worker, step.how, step.retryMs)
      }
      case 'crash':
        this.#workers = without(this.#workers, pickFrom(this.#workers, step.pick))
        return undefined
      case 'replace': {
        const worker = pickFrom(this.#workers, step.pick)
        if (worker === undefined) return undefined
        await this.#wait(LEASE_MS, false)
        return this.#workOn({ name: worker.name, key: worker.key, at: now + LEASE_MS }, false)
      }
      case 'lose':
        this.#jobs = without(this.#jobs, pickFrom(this.#jobs, step.pick))
        return undefined
      case 'wait':
        return this.#wait(step.ms, step.renewing)
      case 'sweep':
        return this.#sweep(this.#name(step.endpoint))
      case 'storm':
        return this.#storm(this.#name(step.endpoint))
      case 'replay':
        return this.#replay(this.#name(step.endpoint))
      case 'remove':
        return this.#remove(this.#name(step.endpoint))
    }
  }

  async #follow(names: readonly string[], back: number): Promise<void> {
    const rig = this.#rig
    const from = Math.max(0, Math.min(...names.map((name) => this.#cursors.get(name) ?? 0)) - back)
    const entries = this.#log.slice(from, from + 8)
    if (entries.length === 0) return
    const taken: string[] = []
    const full: string[] = []
    const items: Item[] = []
    const endpoints = names.map((name) => {
      const own = entries.flatMap((entry, place) =>
        this.#some(entry.to).includes(name) ? [{ place, item: this.#createItem(name, entry, from + 1 + place) }] : [],
      )
      let cursor = from + entries.length
      let count = this.#pendingOf(name)
      for (const { item } of own) {
        if (item.offset <= (this.#cursors.get(name) ?? 0)) continue
        if (count >= this.#backlogMax) {
          full.push(name)
          cursor = item.offset - 1
          break
        }
        count += 1
        items.push(item)
        taken.push(deliveryOf(item))
      }
      this.#cursors.set(name, Math.max(cursor, this.#cursors.get(name) ?? 0))
      const wanted = own.map(({ place, item: { token } }) => ({ place, token }))
      return { endpointId: toEndpointId(name), rules: this.#rules, wanted }
    })
    const batch: Batch = {
      appId,
      last: position(from + entries.length),
      events: entries.map((entry, i) => storedEvent(entry.class, entry.key, from + 1 + i)),
      endpoints,
    }
    const reply = await rig.store.take(batch, rig.now)
    for (const item of items) this.#laneOf(item.name, item.key).push(item)
    assert.deepEqual(reply.full, full, 'endpoints with a full backlog')
    this.#accept(reply.wakes)
    for (const { endpoint, at } of reply.reopens) this.#jobs.push({ name: endpoint.endpointId, at })
    const facts = await this.#absorb()
    const recorded = facts.flatMap((fact) =>
      fact.kind === 'taken' ? fact.endpoints.map(({ deliveryId }) => deliveryId) : [],
    )
    assert.deepEqual(recorded.toSorted(), taken.toSorted(), 'deliveries that were recorded as taken')
  }

  /** Works on a job, as a new owner; `toTheEnd`: until the lane is left, with every answer a success. */
  async #workOn({ name, key, at }: Job, toTheEnd: boolean): Promise<void> {
    this.#jobs = without(
      this.#jobs,
      this.#jobs.find((job) => job.name === name && job.key === key && job.at === at),
    )
    if (key === undefined) return this.#reopen(name)
    this.#owners += 1
    const owner = `owner-${this.#owners}`
    const begun = await this.#begin({ name, key, owner }, true)
    let worker = toTheEnd ? begun : undefined
    while (worker !== undefined) {
      this.#workers = without(this.#workers, worker)
      worker = await this.#goOn(worker)
    }
    return undefined
  }

  async #begin(
    { name, key, owner }: Pick<Worker, 'name' | 'key' | 'owner'>,
    fresh: boolean,
  ): Promise<Worker | undefined> {
    const rig = this.#rig
    const known = await this.#look({ name, key, owner })
    const turn = await rig.begin(key, owner, { fresh, name })
    if ('wakes' in turn) this.#accept(turn.wakes)
    await this.#absorb()
    return this.#judge({ name, key, owner, fresh }, turn, known)
  }

  /** Settles what was delivered and takes the next turn of the lane, both in one step of the store. */
  async #goOn(worker: Worker): Promise<Worker | undefined> {
    const { name, key, owner } = worker
    const known = await this.#look({ name, key, owner })
    const { turn } = await this.#settle(worker, 'delivered', owner)
    if (turn === undefined) return undefined
    if ('wakes' in turn) this.#accept(turn.wakes)
    // A success closes the breaker, before the turn is given.
    const before = { ...known.before, breaker: 'closed' } as const
    return this.#judge({ name, key, owner, fresh: false }, turn, { ...known, before })
  }

  /** What is to be known of an endpoint before a turn. */
  async #look({ name, key, owner }: Pick<Worker, 'name' | 'key' | 'owner'>): Promise<Known> {
    const before = await this.#rig.statusOf(name)
    const atWork = this.#workers.filter((worker) => worker.name === name && this.#isAtWork(worker))
    const rival = atWork.find((worker) => worker.key === key && worker.owner !== owner)
    return { before, atWork, rival }
  }

  #judge(
    { name, key, owner, fresh }: Pick<Worker, 'name' | 'key' | 'owner'> & { readonly fresh: boolean },
    turn: Turn,
    { before, atWork, rival }: Known,
  ): Worker | undefined {
    const rig = this.#rig
    const first = this.#laneOf(name, key)[0]
    const resumes = first === undefined ? 0 : this.#resumesAt(first)
    if ('reopenAt' in turn && turn.reopenAt !== undefined) this.#jobs.push({ name, at: turn.reopenAt })
    switch (turn.kind) {
      case 'idle':
        assert.equal(first, undefined, `a lane with something pending is called idle: ${name} ${key}`)
        return undefined
      case 'busy':
        assert.ok(turn.until > rig.now, 'busy until a time that has passed')
        this.#jobs.push({ name, key, at: turn.until })
        return undefined
      case 'lost':
        assert.ok(!fresh, 'a fresh owner cannot have lost the lane')
        return undefined
      case 'waiting':
        assert.ok(resumes <= rig.now, 'a lane that is not due does not wait for a slot')
        return undefined
      case 'later':
        assert.equal(turn.due, resumes, 'when the lane goes on')
        assert.ok(turn.due > rig.now, 'later than now')
        this.#jobs.push({ name, key, at: turn.due })
        return undefined
      case 'due':
        break
    }
    assert.ok(first !== undefined, 'handed out from an empty lane')
    assert.equal(turn.pending.token, first.token, 'the first event of the lane')
    assert.equal(rival, undefined, `two owners at a time: ${name} ${key}`)
    assert.ok(first.expiresAt > rig.now, 'an expired event was handed out')
    assert.ok(resumes <= rig.now, 'an event was handed out before it is due')
    this.#checkPrecedence(first)
    assert.deepEqual([turn.attempts, turn.failed], [first.attempts, first.failed], 'attempts so far')
    assert.deepEqual(turn.skipped, (this.#skipped.get(idOf(name, key)) ?? []).slice(-32), 'what was left out')
    const others = atWork.filter((worker) => worker.key !== key).length
    assert.ok(others < this.#rules.slots, 'more lanes in work than there are slots')
    assert.ok((this.#paused.get(name) ?? 0) <= rig.now, 'begun while the endpoint is paused')
    if (before.breaker !== 'closed') {
      assert.ok((before.openUntil ?? 0) <= rig.now, 'begun while the breaker is open')
      assert.equal(others, 0, 'more than one probe')
    }
    this.#countBegun(name)
    this.#turns += 1
    const worker = { name, key, owner, turn, place: this.#turns, leaseEnds: rig.now + LEASE_MS }
    this.#workers = [...this.#workers.filter((known) => known.owner !== owner), worker]
    return worker
  }

  async #finish(worker: Worker, how: Ending, retryMs: number): Promise<void> {
    this.#workers = without(this.#workers, worker)
    switch (how) {
      case 'delivered':
        await this.#goOn(worker)
        return
      case 'delivered-then-begun':
        if ((await this.#settle(worker, 'delivered')).kind !== 'idle') await this.#begin(worker, false)
        return
      case 'delivered-then-crash':
        await this.#settle(worker, 'delivered')
        return
      case 'expired':
        if ((await this.#settle(worker, 'expired')).kind !== 'idle') await this.#begin(worker, true)
        return
      case 'failed':
      case 'failed-resent':
      case 'paused':
      case 'handed-back':
        return this.#postpone(worker, how, this.#rig.now + retryMs)
    }
  }

  /** `next`: the owner that goes on with the lane in the same step. */
  async #settle({ name, key, owner, turn }: Worker, result: 'delivered' | 'expired', next?: string) {
    const rig = this.#rig
    const items = this.#laneOf(name, key)
    const isFirst = items[0]?.token === turn.pending.token
    const isLeft = items.length > 1
    const deliveryId = messageIdOf(toEndpointId(name), turn.pending.eventId)
    if (isFirst) this.#settling.set(deliveryId, result)
    if (result === 'delivered') this.#rows.delete(name)
    const attempts = [attemptOf(name, turn, rig.now, result === 'delivered' ? 'delivered' : 'timeout')]
    const going = next === undefined ? {} : { owner: next }
    const reply = await rig.settle(key, turn, result, { name, attempts, ...going })
    this.#accept(reply.wakes)
    if (reply.reopenAt !== undefined) this.#jobs.push({ name, at: reply.reopenAt })
    await this.#absorb()
    assert.equal(reply.kind, isFirst ? (isLeft ? 'more' : 'idle') : 'lost', `settled by ${owner}`)
    assert.equal(reply.turn !== undefined, next !== undefined && reply.kind !== 'idle', 'a turn for who goes on')
    return reply
  }

  async #postpone(
    worker: Worker,
    how: Extract<Ending, 'failed' | 'failed-resent' | 'paused' | 'handed-back'>,
    due: number,
  ): Promise<void> {
    const rig = this.#rig
    const { name, key, owner, turn } = worker
    const first = this.#laneOf(name, key)[0]
    const mustBeOurs = this.#isAtWork(worker)
    const reply =
      how === 'handed-back'
        ? await rig.handBack(key, owner, turn, { due, name })
        : await rig.fail(key, owner, turn, { due, name, ...(how === 'paused' && { pausedUntil: due }) })
    if (how === 'failed' || how === 'failed-resent') this.#countFailure(name, reply.health.breaker)
    if (how === 'failed-resent') await this.#postponeAgain(worker, due, reply)
    if (how === 'paused' && due > rig.now) this.#paused.set(name, due)
    if (mustBeOurs) assert.equal(reply.kind, 'ok', `${owner} has its lease`)
    const heir = this.#workers.find((other) => other.name === name && other.key === key && other.place > worker.place)
    if (heir !== undefined) assert.equal(reply.kind, 'lost', `${owner} was followed by ${heir.owner}`)
    if (reply.reopenAt !== undefined) this.#jobs.push({ name, at: reply.reopenAt })
    this.#accept(reply.wakes)
    if (reply.kind === 'lost') return
    assert.equal(first?.token, turn.pending.token, 'what was put off is the first event')
    first.due = due
    if (how !== 'handed-back') {
      first.attempts += 1
      first.failed += 1
    }
    assert.equal(reply.due, this.#resumesAt(first), 'when the lane goes on')
    this.#jobs.push({ name, key, at: reply.due })
  }

  /** What the breaker must not overlook: ten failures in a row, the first of them three seconds ago or more. */
  #countFailure(name: string, breaker: string): void {
    const { now } = this.#rig
    const row = this.#rows.get(name)
    const goesOn = row !== undefined && now - row.last <= 10_000
    const next = goesOn ? { ...row, count: row.count + 1, last: now } : { count: 1, began: now, last: now }
    this.#rows.set(name, next)
    if (next.count >= 10 && now - next.began >= 3_000) assert.notEqual(breaker, 'closed', 'nothing but failure')
  }

  /** The same once more changes nothing, and is answered likewise but for wake-ups that were given already. */
  async #postponeAgain(
    { name, key, owner, turn }: Worker,
    due: number,
    { kind, due: dueAt, health }: Awaited<ReturnType<DeliveryRig['fail']>>,
  ): Promise<void> {
    await this.#absorb()
    const again = await this.#rig.fail(key, owner, turn, { due, name })
    // Of a lane that is empty by now nothing is known any more.
    if (kind === 'lost' && this.#laneOf(name, key).length === 0) return
    assert.deepEqual([again.kind, again.due, again.wakes, again.health], [kind, dueAt, [], health], 'answered again')
    assert.deepEqual(await this.#absorb(), [], 'recorded again')
  }

  async #wait(ms: number, renewing: boolean): Promise<void> {
    const rig = this.#rig
    const end = rig.now + ms
    while (rig.now < end) {
      rig.now = renewing ? Math.min(end, rig.now + 1_500) : end
      if (!renewing) return
      // Those whose lease has lapsed try, too.
      await rig.store.renew(
        this.#workers.map(({ name, key, owner }) => ({ lane: lane(key, name), owner })),
        rig.now,
      )
      for (const worker of this.#workers) if (worker.leaseEnds > rig.now) worker.leaseEnds = rig.now + LEASE_MS
    }
  }

  async #reopen(name: string): Promise<void> {
    const { wakes, reopenAt } = await this.#rig.reopen(name)
    this.#accept(wakes)
    if (reopenAt === undefined) return
    assert.ok(reopenAt > this.#rig.now, 'reopening at a time that has passed')
    this.#jobs.push({ name, at: reopenAt })
  }

  async #sweep(name: string): Promise<void> {
    this.#sweeps = true
    const { wakes, expired, reopenAt } = await this.#rig.sweep(name)
    this.#accept(wakes)
    if (reopenAt !== undefined) this.#jobs.push({ name, at: reopenAt })
    const facts = await this.#absorb()
    assert.equal(facts.filter(({ kind }) => kind === 'ended').length, expired, 'events that a sweep ended')
    this.#sweeps = false
  }

  /** So many failures at once that the breaker opens. */
  async #storm(name: string): Promise<void> {
    for (let i = 0; i < 22; i += 1) {
      const key = `storm-${this.#log.length}`
      this.#log.push({ key, class: 'act_now', to: [this.names.indexOf(name)] })
      await this.#follow(this.names, 0)
      const job = this.#jobs.find((found) => found.name === name && found.key === key)
      this.#jobs = without(this.#jobs, job)
      this.#owners += 1
      const worker = await this.#begin({ name, key, owner: `owner-${this.#owners}` }, true)
      if (worker !== undefined) await this.#finish(worker, 'failed', 3_000)
    }
  }

  async #replay(name: string): Promise<void> {
    const rig = this.#rig
    const chosen = this.#ended.filter((item) => item.name === name).slice(0, 3)
    const items = chosen.map((item): Item => {
      const timing = { takenAt: rig.now, expiresAt: rig.now + 60_000 }
      const { offset } = item
      const token = formatToken({
        eventId: eventId(offset),
        class: item.class,
        ...timing,
        attemptsBefore: item.attempts,
        isReplay: true,
        sequence: String(offset),
      })
      const key = item.key.startsWith('replay:') ? item.key : `replay:${item.key}`
      return { ...item, ...timing, key, token, isReplay: true, attempts: 0, failed: 0, due: 0 }
    })
    const room = Math.max(0, this.#backlogMax - this.#pendingOf(name))
    const reply = await rig.store.replay(endpointRef(name), {
      now: rig.now,
      rules: this.#rules,
      events: items.map(({ offset, key, token, class: kind }) => {
        const { orderKey: _, position: __, ...event } = storedEvent(kind, key, offset)
        return { event, orderKey: key, token }
      }),
    })
    assert.ok(reply !== undefined, 'replayed to an endpoint that has started')
    assert.equal(reply.taken, Math.min(items.length, room), 'replayed as far as there is room')
    for (const item of items.slice(0, reply.taken)) this.#laneOf(name, item.key).push(item)
    for (const item of chosen.slice(0, reply.taken)) this.#ended.splice(this.#ended.indexOf(item), 1)
    this.#accept(reply.wakes)
    if (reply.reopenAt !== undefined) this.#jobs.push({ name, at: reply.reopenAt })
  }

  async #remove(name: string): Promise<void> {
    this.#isRemoving = true
    const emptied = [...this.#lanes].filter(([id, items]) => splitId(id)[0] === name && items.length > 0)
    const count = this.#pendingOf(name)
    assert.equal(await this.#rig.store.remove(endpointRef(name), this.#rig.now), count, 'events dropped')
    await this.#absorb()
    this.#isRemoving = false
    for (const [id] of emptied) this.#skipped.delete(id)
    const replay = { now: this.#rig.now, rules: this.#rules, events: [] }
    assert.equal(await this.#rig.store.replay(endpointRef(name), replay), undefined, 'replayed to a removed endpoint')
    this.#paused.delete(name)
    this.#rows.delete(name)
    this.#begun.delete(name)
    // It comes back at the end of the log.
    this.#rig.offset = this.#log.length
    await this.#rig.open(name)
    this.#cursors.set(name, this.#log.length)
  }

  /** Wake-ups become jobs. One with a time for a lane of its own tells that a record was set aside. */
  #accept(wakes: readonly WakeUp[]): void {
    for (const { lane: woken, at } of wakes) {
      const { endpointId: name, orderKey: key } = woken
      if (key.startsWith('parked:') && at !== undefined) this.#setAside(name, key, at)
      assert.ok(this.#laneOf(name, key).length > 0, `a wake-up for an empty lane: ${name} ${key}`)
      this.#jobs.push({ name, key, at: at ?? this.#rig.now })
    }
  }

  #setAside(name: string, key: string, at: number): void {
    const id = key.slice('parked:'.length)
    const entry = [...this.#lanes].find(([laneId, items]) => {
      return splitId(laneId)[0] === name && items[0] !== undefined && eventId(items[0].offset) === id
    })
    const item = entry?.[1][0]
    assert.ok(entry !== undefined && item !== undefined, `set aside: ${key}`)
    assert.ok(!goesStale(item), 'only records and replays are set aside')
    this.#checkHold(item)
    assert.equal(at, Math.max(item.due, this.#rig.now), 'when a record that was set aside goes on')
    entry[1].shift()
    this.#noteSkipped(item, 'parked')
    item.key = key
    item.token += 'p'
    this.#laneOf(name, key).push(item)
  }

  /** Reads what was recorded since and compares it with what may have become of each event. */
  async #absorb(): Promise<readonly DeliveryFact[]> {
    const facts = await this.#rig.facts()
    for (const fact of facts) {
      this.#recorded.push(fact)
      if (fact.kind === 'ended') this.#end(fact.deliveryId, fact.status)
    }
    return facts
  }

  #end(deliveryId: string, status: EndedStatus): void {
    const { now } = this.#rig
    const items = [...this.#lanes.values()].find((own) => own.some((item) => deliveryOf(item) === deliveryId))
    const item = items?.find((own) => deliveryOf(own) === deliveryId)
    assert.ok(items !== undefined && item !== undefined, `${status}, but it is not pending: ${deliveryId}`)
    const isFirst = items[0] === item
    if (this.#settling.get(deliveryId) === status) {
      this.#settling.delete(deliveryId)
      if (status === 'delivered') this.#skipped.delete(idOf(item.name, item.key))
    } else {
      switch (status) {
        case 'expired':
          assert.ok(item.expiresAt <= now, 'expired too early')
          assert.ok(isFirst || this.#sweeps, 'expired out of order')
          assert.ok(!this.#sweeps || !this.#isOwned(item), 'taken from under its owner')
          break
        case 'superseded':
          assert.ok(this.#rules.coalesce && goesStale(item), 'must not be superseded')
          assert.ok(isFirst && this.#followingOf(item) !== undefined, 'superseded by nothing')
          break
        case 'parked':
          assert.ok(goesStale(item), 'a record or a replay goes on by itself')
          this.#checkHold(item)
          break
        case 'dropped':
          assert.ok(this.#isRemoving, 'dropped, but the endpoint is there')
          break
        case 'delivered':
          assert.fail('delivered by nobody')
      }
    }
    items.splice(items.indexOf(item), 1)
    this.#ended.push(item)
    if (status !== 'delivered' && status !== 'dropped') this.#noteSkipped(item, status)
  }

  #checkHold(item: Item): void {
    const following = this.#followingOf(item)
    assert.equal(this.#laneOf(item.name, item.key)[0], item, 'only the first event holds up others')
    assert.ok(item.attempts > 0, 'it was not attempted')
    assert.ok(following !== undefined, 'it held up nothing')
    assert.ok(following.takenAt + this.#rules.orderHoldMs <= this.#rig.now, 'the hold has not ended')
  }

  /** It is right that this event goes out, and not the one behind it. */
  #checkPrecedence(first: Item): void {
    const following = this.#followingOf(first)
    if (following === undefined) return
    assert.ok(!this.#rules.coalesce || !goesStale(first), 'an overtaken change was handed out')
    const holdEnds = following.takenAt + this.#rules.orderHoldMs
    assert.ok(first.attempts === 0 || holdEnds > this.#rig.now, 'the next event was held up for too long')
  }

  /** What waits behind the first event of a lane: of the next eight the first one that has not expired. */
  #followingOf({ name, key }: Item): Item | undefined {
    return this.#laneOf(name, key)
      .slice(1, 9)
      .find(({ expiresAt }) => expiresAt > this.#rig.now)
  }

  #isOwned({ name, key }: Item): boolean {
    return this.#workers.some((worker) => worker.name === name && worker.key === key && this.#isAtWork(worker))
  }

  #noteSkipped({ name, key, offset }: Item, why: string): void {
    const id = idOf(name, key)
    this.#skipped.set(id, [...(this.#skipped.get(id) ?? []), `${offset};${why}`])
  }

  /** When a lane is to be looked at, given its first event. */
  #resumesAt(first: Item): number {
    const following = this.#followingOf(first)
    if (following === undefined || first.attempts === 0) return first.due
    return Math.min(first.due, Math.max(this.#rig.now, following.takenAt + this.#rules.orderHoldMs))
  }

  /** Its lease lives, and what it sends was ended by nobody else. */
  #isAtWork({ name, key, turn, leaseEnds }: Worker): boolean {
    return leaseEnds > this.#rig.now && this.#laneOf(name, key)[0]?.token === turn.pending.token
  }

  #countBegun(name: string): void {
    const { ratePerSecond } = this.#rules
    if (ratePerSecond === undefined) return
    const begun = [...(this.#begun.get(name) ?? []), this.#rig.now]
    this.#begun.set(name, begun)
    begun.forEach((since, i) => {
      const most = ratePerSecond + ((this.#rig.now - since) * ratePerSecond) / 1_000
      assert.ok(begun.length - i <= most + 0.001, `${begun.length - i} begun within ${this.#rig.now - since} ms`)
    })
  }

  #createItem(name: string, entry: LoggedEntry, offset: number): Item {
    const { now } = this.#rig
    const timing = { takenAt: now, expiresAt: now + TTLS_MS[entry.class] - (entry.ageMs ?? 0) }
    const own = { eventId: eventId(offset), class: entry.class, ...timing, attemptsBefore: 0, isReplay: false }
    const token = formatToken({ ...own, sequence: String(offset) })
    return {
      name,
      offset,
      ...timing,
      class: entry.class,
      isReplay: false,
      key: entry.key,
      token,
      attempts: 0,
      failed: 0,
      due: 0,
    }
  }

  #laneOf(name: string, key: string): Item[] {
    const id = idOf(name, key)
    const items = this.#lanes.get(id) ?? []
    this.#lanes.set(id, items)
    return items
  }

  #pendingOf(name: string): number {
    return [...this.#lanes].reduce((sum, [id, items]) => (splitId(id)[0] === name ? sum + items.length : sum), 0)
  }

  #lag = (name: string): number => this.#log.length - (this.#cursors.get(name) ?? 0)
  #dueJobs = (): readonly Job[] => this.#jobs.filter(({ at }) => at <= this.#rig.now)
  #name = (index: number): string => this.names[index % this.names.length] ?? ''
  #some = (indices: readonly number[]): readonly string[] => [...new Set(indices.map((index) => this.#name(index)))]
}

/** Of what is left out when it is overtaken. */
const goesStale = (item: Item): boolean => item.class !== 'record' && !item.isReplay

const idOf = (name: string, key: string): string => `${name} ${key}`
const splitId = (id: string): readonly string[] => [id.slice(0, id.indexOf(' ')), id.slice(id.indexOf(' ') + 1)]
const deliveryOf = ({ name, offset }: Item): string => messageIdOf(toEndpointId(name), eventId(offset))
const pickFrom = <Value>(values: readonly Value[], pick: number): Value | undefined => values[pick % values.length]
const without = <Value>(values: Value[], value: Value | undefined): Value[] => values.filter((own) => own !== value)

const storedEvent = (kind: DeliveryClass, orderKey: string, offset: number) => ({
  position: position(offset),
  eventId: eventId(offset),
  type: TYPES[kind],
  orderKey,
  about: { sequence: String(offset), occurredAt: 0 },
  payload: `{"n":${offset}}`,
})
