import { strict as assert } from 'node:assert'
import type { DeliveryFact } from '../../src/core/delivery-record.ts'
import { toEndpointId } from '../../src/core/ids.ts'
import type { LaneRules, WakeUp } from '../../src/webhooks/delivery.ts'
import { messageIdOf } from '../../src/webhooks/delivery.ts'
import type { Begun, Turn } from '../../src/webhooks/store-replies.ts'
import { deliveryOf } from './delivery-item.ts'
import { DeliveryLedger } from './delivery-ledger.ts'
import { attemptOf, endpointRef } from './delivery-rig.ts'
import type { DeliveryRig } from './delivery-rig.ts'
import type { Ending, Step } from './delivery-steps.ts'
import { GateLedger } from './gate-ledger.ts'
import { LoggedEvents } from './logged-events.ts'
import { LEASE_MS, OwnersAtWork } from './owners-at-work.ts'
import { replayEnded } from './replay-step.ts'
import { judgeTurn } from './turn-judge.ts'
import type { Asked, Job, Known, Worker } from './turn-judge.ts'

/**
 * Several owners at work on a delivery store, and beside it a plain account of what must come of it. Every
 * answer of the store is compared with the account; a difference throws.
 */
export class DeliveryModel {
  readonly names: readonly string[]
  readonly #rig: DeliveryRig
  readonly #rules: LaneRules
  readonly #backlogMax: number
  readonly #ledger: DeliveryLedger
  readonly #gates: GateLedger
  readonly #log: LoggedEvents
  #jobs: Job[] = []
  readonly #owners: OwnersAtWork
  #named = 0
  #turns = 0
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
    const now = () => rig.now
    this.#ledger = new DeliveryLedger(rules, now)
    this.#gates = new GateLedger(rules, now)
    this.#owners = new OwnersAtWork(this.#ledger)
    this.#log = new LoggedEvents({ names, rules, backlogMax, ledger: this.#ledger, now })
  }

  /** What became of every delivery, in order. */
  get recorded(): readonly DeliveryFact[] {
    return this.#recorded
  }

  async start(): Promise<void> {
    await this.#rig.open(...this.names)
    for (const name of this.names) this.#log.open(name)
  }

  async perform(step: Step): Promise<void> {
    await this.#perform(step)
    await this.#absorb()
    const status = await this.#rig.store.status(this.names.map(toEndpointId))
    for (const name of this.names) {
      assert.equal(status.get(toEndpointId(name))?.pending, this.#ledger.pendingOf(name), `pending of ${name}`)
    }
  }

  /** Lets time pass and every receiver answer well until nothing is left to do. Owners at work have died. */
  async settleDown(): Promise<void> {
    this.#owners.die()
    const deadline = this.#rig.now + 600_000
    while (this.#rig.now < deadline) {
      await this.#follow(this.names, 0)
      for (let due = this.#dueJobs(); due.length > 0; due = this.#dueJobs()) {
        for (const job of due) await this.#workOn(job, true)
      }
      for (const name of this.names) await this.#sweep(name)
      await this.#absorb()
      const isDone = this.names.every((name) => this.#ledger.pendingOf(name) === 0 && this.#log.lagOf(name) === 0)
      if (isDone && this.#jobs.length === 0) return
      this.#rig.now = Math.min(this.#rig.now + 2_000, ...this.#jobs.map(({ at }) => Math.max(at, this.#rig.now + 1)))
    }
    assert.fail(`still pending: ${this.names.filter((name) => this.#ledger.pendingOf(name) > 0).join()}`)
  }

  async #perform(step: Step): Promise<void> {
    const { now } = this.#rig
    switch (step.do) {
      case 'log':
        this.#log.append(step.entries)
        return this.#follow(this.names, 0, step.places)
      case 'follow':
        return this.#follow(this.#some(step.endpoints), step.back)
      case 'work': {
        const job = pickFrom(this.#dueJobs(), step.pick)
        return job === undefined ? undefined : this.#workOn(job, false)
      }
      case 'stray': {
        const found = pickFrom(this.#ledger.lanes(), step.pick)
        if (found === undefined) return undefined
        const [name = '', key = ''] = found
        return this.#workOn({ name, key, at: now }, false)
      }
      case 'finish': {
        const worker = this.#owners.pick(step.pick)
        return worker === undefined ? undefined : this.#finish(worker, step.how, step.retryMs)
      }
      case 'crash':
        this.#owners.remove(this.#owners.pick(step.pick))
        return undefined
      case 'replace': {
        const worker = this.#owners.pick(step.pick)
        if (worker === undefined) return undefined
        await this.#owners.wait(this.#rig, LEASE_MS, false)
        return this.#workOn({ name: worker.name, key: worker.key, at: now + LEASE_MS }, false)
      }
      case 'lose':
        this.#jobs = without(this.#jobs, pickFrom(this.#jobs, step.pick))
        return undefined
      case 'wait':
        return this.#owners.wait(this.#rig, step.ms, step.renewing)
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

  /** `places`: how many lanes the follower works on itself. */
  async #follow(names: readonly string[], back: number, places = 0): Promise<void> {
    const rig = this.#rig
    const taking = this.#log.take(names, back)
    if (taking === undefined) return
    const { batch, items, full } = taking
    const before = new Map(await Promise.all(names.map(async (name) => [name, await rig.statusOf(name)] as const)))
    const reply = await rig.store.take(batch, rig.now, places)
    for (const item of items) this.#ledger.laneOf(item.name, item.key).push(item)
    assert.deepEqual(reply.full, full, 'endpoints with a full backlog')
    this.#accept(reply.wakes)
    for (const { turn } of reply.begun) this.#acceptTurn(turn)
    for (const { endpoint, at } of reply.reopens) this.#jobs.push({ name: endpoint.endpointId, at })
    const facts = await this.#absorb()
    const recorded = facts.flatMap((fact) =>
      fact.kind === 'taken' ? fact.endpoints.map(({ deliveryId }) => deliveryId) : [],
    )
    assert.deepEqual(recorded.toSorted(), items.map(deliveryOf).toSorted(), 'deliveries that were recorded as taken')
    assert.ok(reply.begun.length <= places, 'lanes begun for a follower that has no place for them')
    for (const begun of reply.begun) await this.#judgeBegun(begun, before.get(begun.lane.endpointId))
  }

  /** Before what was recorded is read: some of it may have been moved aside. */
  #acceptTurn(turn: Turn | undefined): void {
    if (turn !== undefined && 'wakes' in turn) this.#accept(turn.wakes)
  }

  /** `before`: what the endpoint was like before it began. */
  async #judgeBegun({ lane: begun, owner, turn }: Begun, before: Known['before'] | undefined): Promise<void> {
    const { endpointId: name, orderKey: key } = begun
    const known = await this.#owners.look(this.#rig, { name, key, owner })
    this.#judge({ name, key, owner, fresh: true }, turn, { ...known, ...(before !== undefined && { before }) })
  }

  /** Works on a job, as a new owner; `toTheEnd`: until the lane is left, with every answer a success. */
  async #workOn({ name, key, at }: Job, toTheEnd: boolean): Promise<void> {
    this.#jobs = without(
      this.#jobs,
      this.#jobs.find((job) => job.name === name && job.key === key && job.at === at),
    )
    if (key === undefined) return this.#reopen(name)
    this.#named += 1
    const owner = `owner-${this.#named}`
    const begun = await this.#begin({ name, key, owner }, true)
    let worker = toTheEnd ? begun : undefined
    while (worker !== undefined) {
      this.#owners.remove(worker)
      worker = await this.#goOn(worker)
    }
    return undefined
  }

  async #begin(
    { name, key, owner }: Pick<Worker, 'name' | 'key' | 'owner'>,
    fresh: boolean,
  ): Promise<Worker | undefined> {
    const rig = this.#rig
    const known = await this.#owners.look(this.#rig, { name, key, owner })
    const turn = await rig.begin(key, owner, { fresh, name })
    this.#acceptTurn(turn)
    await this.#absorb()
    return this.#judge({ name, key, owner, fresh }, turn, known)
  }

  /**
   * Settles what was delivered and takes the next turn of the lane, both in one step of the store; `heir` begins the
   * lane that takes the slot of an empty one over.
   */
  async #goOn(worker: Worker, heir?: string): Promise<Worker | undefined> {
    const { name, key, owner } = worker
    const known = await this.#owners.look(this.#rig, { name, key, owner })
    const { turn, begun } = await this.#settle(worker, 'delivered', owner, heir)
    // A success closes the breaker, before the turn is given.
    const before = { ...known.before, breaker: 'closed' } as const
    assert.ok(begun.length <= (heir === undefined ? 0 : 1), 'one slot has become free')
    for (const each of begun) await this.#judgeBegun(each, before)
    if (turn === undefined) return undefined
    return this.#judge({ name, key, owner, fresh: false }, turn, { ...known, before })
  }

  #judge(asked: Asked, turn: Turn, known: Known): Worker | undefined {
    const rig = this.#rig
    const { name, key, owner } = asked
    const jobs = judgeTurn(asked, turn, { ...known, ledger: this.#ledger, gates: this.#gates, now: rig.now })
    this.#jobs.push(...jobs)
    if (turn.kind !== 'due') return undefined
    this.#turns += 1
    const worker = { name, key, owner, turn, place: this.#turns, leaseEnds: rig.now + LEASE_MS }
    this.#owners.add(worker)
    return worker
  }

  async #finish(worker: Worker, how: Ending, retryMs: number): Promise<void> {
    this.#owners.remove(worker)
    switch (how) {
      case 'delivered':
        await this.#goOn(worker)
        return
      case 'delivered-passed-on':
        await this.#goOn(worker, `heir-${(this.#named += 1)}`)
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
  async #settle({ name, key, owner, turn }: Worker, result: 'delivered' | 'expired', next?: string, heir?: string) {
    const rig = this.#rig
    const items = this.#ledger.laneOf(name, key)
    const isFirst = items[0]?.token === turn.pending.token
    const isLeft = items.length > 1
    const deliveryId = messageIdOf(toEndpointId(name), turn.pending.eventId)
    if (isFirst) this.#ledger.settling.set(deliveryId, result)
    if (result === 'delivered') this.#gates.succeed(name)
    const attempts = [attemptOf(name, turn, rig.now, result === 'delivered' ? 'delivered' : 'timeout')]
    const going = { ...(next !== undefined && { owner: next }), ...(heir !== undefined && { heir }) }
    const reply = await rig.settle(key, turn, result, { name, attempts, ...going })
    this.#obey(name, reply)
    for (const each of [reply, ...reply.begun]) this.#acceptTurn(each.turn)
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
    const first = this.#ledger.laneOf(name, key)[0]
    const mustBeOurs = this.#owners.isAtWork(worker, rig.now)
    const reply =
      how === 'handed-back'
        ? await rig.handBack(key, owner, turn, { due, name })
        : await rig.fail(key, owner, turn, { due, name, ...(how === 'paused' && { pausedUntil: due }) })
    if (how === 'failed' || how === 'failed-resent') this.#gates.countFailure(name, reply.health.breaker)
    if (how === 'failed-resent') await this.#postponeAgain(worker, due, reply)
    if (how === 'paused') this.#gates.pause(name, due)
    if (mustBeOurs) assert.equal(reply.kind, 'ok', `${owner} has its lease`)
    const heir = this.#owners.heirOf(worker)
    if (heir !== undefined) assert.equal(reply.kind, 'lost', `${owner} was followed by ${heir.owner}`)
    this.#obey(name, reply)
    if (reply.kind === 'lost') return
    assert.equal(first?.token, turn.pending.token, 'what was put off is the first event')
    first.due = due
    if (how !== 'handed-back') {
      first.attempts += 1
      first.failed += 1
    }
    assert.equal(reply.due, this.#ledger.resumesAt(first), 'when the lane goes on')
    this.#jobs.push({ name, key, at: reply.due })
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
    if (kind === 'lost' && this.#ledger.laneOf(name, key).length === 0) return
    assert.deepEqual([again.kind, again.due, again.wakes, again.health], [kind, dueAt, [], health], 'answered again')
    assert.deepEqual(await this.#absorb(), [], 'recorded again')
  }

  async #reopen(name: string): Promise<void> {
    const reply = await this.#rig.reopen(name)
    assert.ok((reply.reopenAt ?? Infinity) > this.#rig.now, 'reopening at a time that has passed')
    this.#obey(name, reply)
  }

  async #sweep(name: string): Promise<void> {
    this.#ledger.isSweeping = true
    const { expired, ...reply } = await this.#rig.sweep(name)
    this.#obey(name, reply)
    const facts = await this.#absorb()
    assert.equal(facts.filter(({ kind }) => kind === 'ended').length, expired, 'events that a sweep ended')
    this.#ledger.isSweeping = false
  }

  /** So many failures at once that the breaker opens. */
  async #storm(name: string): Promise<void> {
    for (let i = 0; i < 22; i += 1) {
      const key = `storm-${this.#log.length}`
      this.#log.append([{ key, class: 'act_now', to: [this.names.indexOf(name)] }])
      await this.#follow(this.names, 0)
      const job = this.#jobs.find((found) => found.name === name && found.key === key)
      this.#jobs = without(this.#jobs, job)
      this.#named += 1
      const worker = await this.#begin({ name, key, owner: `owner-${this.#named}` }, true)
      if (worker !== undefined) await this.#finish(worker, 'failed', 3_000)
    }
  }

  async #replay(name: string): Promise<void> {
    const rules = this.#rules
    this.#obey(name, await replayEnded(this.#rig, this.#ledger, { name, rules, backlogMax: this.#backlogMax }))
  }

  async #remove(name: string): Promise<void> {
    this.#ledger.isRemoving = true
    const emptied = this.#ledger.pendingLanesOf(name)
    const count = this.#ledger.pendingOf(name)
    assert.equal(await this.#rig.store.remove(endpointRef(name), this.#rig.now), count, 'events dropped')
    await this.#absorb()
    this.#ledger.isRemoving = false
    this.#ledger.forgetSkipped(emptied)
    const replay = { now: this.#rig.now, rules: this.#rules, events: [] }
    assert.equal(await this.#rig.store.replay(endpointRef(name), replay), undefined, 'replayed to a removed endpoint')
    this.#gates.forget(name)
    // It comes back at the end of the log.
    this.#rig.offset = this.#log.length
    await this.#rig.open(name)
    this.#log.open(name)
  }

  #obey(name: string, { wakes, reopenAt }: { readonly wakes: readonly WakeUp[]; readonly reopenAt?: number }): void {
    this.#accept(wakes)
    if (reopenAt !== undefined) this.#jobs.push({ name, at: reopenAt })
  }

  /** Wake-ups become jobs. One with a time for a lane of its own tells that a record was set aside. */
  #accept(wakes: readonly WakeUp[]): void {
    for (const { lane: woken, at } of wakes) {
      const { endpointId: name, orderKey: key } = woken
      if (key.startsWith('parked:') && at !== undefined) this.#ledger.setAside(name, key, at)
      assert.ok(this.#ledger.laneOf(name, key).length > 0, `a wake-up for an empty lane: ${name} ${key}`)
      this.#jobs.push({ name, key, at: at ?? this.#rig.now })
    }
  }

  /** Reads what was recorded since and compares it with what may have become of each event. */
  async #absorb(): Promise<readonly DeliveryFact[]> {
    const facts = await this.#rig.facts()
    for (const fact of facts) {
      this.#recorded.push(fact)
      if (fact.kind === 'ended')
        this.#ledger.end(fact.deliveryId, fact.status, (item) => this.#owners.has(item, this.#rig.now))
    }
    return facts
  }

  readonly #dueJobs = (): readonly Job[] => this.#jobs.filter(({ at }) => at <= this.#rig.now)
  #name = (index: number): string => this.names[index % this.names.length] ?? ''
  #some = (indices: readonly number[]): readonly string[] => [...new Set(indices.map((index) => this.#name(index)))]
}

const pickFrom = <Value>(values: readonly Value[], pick: number): Value | undefined => values[pick % values.length]
const without = <Value>(values: Value[], value: Value | undefined): Value[] => values.filter((own) => own !== value)
