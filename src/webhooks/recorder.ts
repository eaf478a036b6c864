import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { Clock } from '../core/clock.ts'
import type { DeliveryFact, DeliveryRecords } from '../core/delivery-record.ts'
import { isGatewayError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { OperatorEventRepository } from '../core/operator-event.ts'
import type { Service } from '../core/service.ts'
import { Waker } from '../core/waker.ts'
import { RecordHold } from './record-hold.ts'
import { RecordLog } from './record-log.ts'
import type { RecorderMetrics } from './recorder-metrics.ts'

export type RecorderOptions = {
  /** Makes a Redis connection with `maxRetriesPerRequest: null`; the recorder closes what it made. */
  readonly connect: () => Redis
  readonly records: Pick<DeliveryRecords, 'write'>
  readonly events: Pick<OperatorEventRepository, 'append'>
  readonly log: Logger
  readonly clock: Clock
  readonly metrics?: RecorderMetrics
}

const POLL_MS = 250
/** Facts per transaction. */
const BATCH_MAX = 4_000
/** What a database that is too slow for more is still given at once. */
const BATCH_MIN = 25
const RETRY_MIN_MS = 1_000
const RETRY_MAX_MS = 10_000
/** Well within the time that the lock is given for. */
const RENEW_MS = 1_500
/** Batches written while stopping; the rest is for the next recorder. */
const LAST_ROUNDS = 10
/** Refused facts that the log names. */
const NAMED_MAX = 10

type Refused = { readonly fact: DeliveryFact; readonly code: string }

/**
 * Moves what has become of deliveries from Redis to the records, in order. Any number of recorders may
 * run, of which one works at a time. A batch is taken out of Redis after it was written, and writing a
 * fact twice changes nothing: whenever a recorder dies, the next one repeats a batch at most.
 *
 * While the records are away the facts wait in Redis, which has room for so many; what did not fit is
 * counted there and told here. A fact that the records refuse is dropped, so that it holds up no other.
 */
export class Recorder implements Service {
  readonly name = 'delivery-recorder'
  readonly #options: RecorderOptions
  readonly #waker: Waker
  #stopping = new AbortController()
  #deadline: AbortSignal = AbortSignal.abort()
  readonly #hold: RecordHold
  #redis: Redis | undefined
  #running: Promise<void> = Promise.resolve()
  #batch = BATCH_MAX
  /** Failed rounds since the last that succeeded, and when the first of them was. */
  #outage: { readonly since: number; readonly failures: number } | undefined

  constructor(options: RecorderOptions) {
    this.#options = options
    this.#waker = new Waker(options.clock)
    this.#hold = new RecordHold(options.clock)
  }

  start(): Promise<void> {
    const redis = this.#options.connect()
    redis.on('error', (error) => this.#options.log.warn({ err: error }, 'recorder connection failed'))
    this.#redis = redis
    this.#stopping = new AbortController()
    this.#running = this.#run(new RecordLog(redis), this.#stopping.signal)
    return Promise.resolve()
  }

  /** Writes what is there, as far as the deadline allows, and lets another recorder go on at once. */
  async stop(deadline: AbortSignal): Promise<void> {
    const redis = this.#redis
    if (redis === undefined) return
    this.#redis = undefined
    this.#deadline = deadline
    this.#stopping.abort()
    const late = new Promise<void>((resolve) => {
      if (deadline.aborted) resolve()
      deadline.addEventListener('abort', () => resolve(), { once: true })
    })
    await Promise.race([this.#running, late])
    // Ends commands that wait for a store which does not answer; a statement under way ends by itself.
    redis.disconnect()
  }

  async #run(facts: RecordLog, signal: AbortSignal): Promise<void> {
    const owner = randomUUID()
    while (!signal.aborted) {
      const waitMs = await this.#keepingLock(facts, owner, () => this.#round(facts, owner))
      if (waitMs > 0) await this.#keepingLock(facts, owner, () => this.#waker.wait(waitMs, signal))
    }
    for (let round = 0; round < LAST_ROUNDS && !this.#deadline.aborted; round += 1) {
      if ((await this.#round(facts, owner)) > 0) break
    }
    await facts.release(owner).catch((error: unknown) => {
      this.#options.log.warn({ err: error }, 'recorder lock not released, it lapses')
    })
  }

  /**
   * Keeps the lock while `work` takes long, so that no other recorder begins with the same facts; also
   * between attempts while the records are away, so that one knocks at their door and not all.
   */
  async #keepingLock<Result>(facts: RecordLog, owner: string, work: () => Promise<Result>): Promise<Result> {
    const done = new AbortController()
    const keep = async () => {
      for (;;) {
        await this.#options.clock.wait(RENEW_MS, done.signal)
        await facts.renew(owner)
      }
    }
    // Ends with the abort; when Redis fails, the round that follows says so.
    const keeping = keep().catch(() => undefined)
    try {
      return await work()
    } finally {
      done.abort()
      await keeping
    }
  }

  /** Writes one batch, or reads on what must wait; resolves with how long to wait for the next one. Never rejects. */
  async #round(facts: RecordLog, owner: string): Promise<number> {
    let asked = this.#batch
    try {
      const claimed = await facts.claim(owner, asked, this.#hold.after)
      if (claimed === undefined) {
        this.#hold.clear()
        this.#observeLag(undefined)
        return POLL_MS
      }
      this.#hold.add(claimed)
      this.#observeLag(this.#hold.oldest)
      const ready = this.#hold.next(asked, { all: this.#stopping.signal.aborted })
      const isAll = claimed.isAll && ready.isAll
      asked = Math.min(asked, ready.facts.length)
      if (ready.facts.length > 0) await this.#write(ready.facts)
      if (claimed.lost > 0) await this.#tellLost(claimed.lost)
      this.#dropMalformed(claimed.malformed)
      // Without `last` it gives the lock back, too, which does no harm.
      const [last, told] = [ready.last, claimed.lost]
      if (last !== undefined || told > 0) await facts.release(owner, { last, told })
      this.#hold.done()
      // To have read what must wait says nothing of the records.
      if (ready.facts.length > 0 || this.#hold.oldest === undefined) this.#succeed()
      return isAll ? POLL_MS : 0
    } catch (error) {
      this.#hold.clear()
      return this.#fail(error, asked)
    }
  }

  /** Writes all but those that are refused one by one. Rejects when the records are away. */
  async #write(facts: readonly DeliveryFact[]): Promise<void> {
    const refused: Refused[] = []
    // The last one is next.
    const parts = [facts]
    for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
      const code = await this.#tryWrite(part)
      if (code === undefined) continue
      const [first] = part
      if (part.length === 1 && first !== undefined) refused.push({ fact: first, code })
      else parts.push(part.slice(part.length / 2), part.slice(0, part.length / 2))
    }
    if (refused.length > 0) this.#drop(refused)
    // Here and nowhere else: most ends are made by scripts, without a request.
    for (const fact of facts) {
      if (fact.kind === 'ended') this.#options.metrics?.ended.inc({ status: fact.status, class: fact.class })
    }
  }

  /** Resolves with why the records refuse it, or undefined when it is written. */
  async #tryWrite(facts: readonly DeliveryFact[]): Promise<string | undefined> {
    const { records, metrics } = this.#options
    try {
      await records.write(facts)
    } catch (error) {
      if (isGatewayError(error, 'store_unavailable')) throw error
      return reasonOf(error)
    }
    for (const { kind } of facts) metrics?.written.inc({ kind })
    return undefined
  }

  /** Neither the facts nor the database's own words are logged: both hold payloads. */
  #drop(refused: readonly Refused[]): void {
    const { log, metrics } = this.#options
    metrics?.lost.inc({ reason: 'refused' }, refused.length)
    const facts = refused.slice(0, NAMED_MAX).map(({ fact, code }) => ({ fact_id: fact.factId, kind: fact.kind, code }))
    log.error({ dropped: refused.length, facts }, 'facts about deliveries refused by the records')
  }

  #dropMalformed(factIds: readonly string[]): void {
    if (factIds.length === 0) return
    this.#options.metrics?.lost.inc({ reason: 'malformed' }, factIds.length)
    const named = factIds.slice(0, NAMED_MAX)
    this.#options.log.error({ dropped: factIds.length, fact_ids: named }, 'facts about deliveries that cannot be read')
  }

  async #tellLost(lost: number): Promise<void> {
    const { events, log, metrics } = this.#options
    try {
      await events.append({ type: 'records.lost', details: { facts: lost } })
    } catch (error) {
      if (isGatewayError(error, 'store_unavailable')) throw error
      log.error({ err: error }, 'operator event refused by the records')
    }
    metrics?.lost.inc({ reason: 'overflow' }, lost)
    log.error({ lost }, 'facts about deliveries lost because the records were away for too long')
  }

  #observeLag(oldest: DeliveryFact | undefined): void {
    const ageMs = oldest === undefined ? 0 : Math.max(0, this.#options.clock.now() - timeOf(oldest))
    this.#options.metrics?.lagSeconds.set(ageMs / 1_000)
  }

  #succeed(): void {
    const { log, clock } = this.#options
    this.#batch = Math.min(BATCH_MAX, this.#batch * 2)
    if (this.#outage === undefined) return
    const { since, failures } = this.#outage
    this.#outage = undefined
    log.info({ failures, duration_ms: Math.round(clock.monotonic() - since) }, 'facts about deliveries written again')
  }

  /** Told once per outage; `asked`: how much was tried. Returns with how long to wait before trying again. */
  #fail(error: unknown, asked: number): number {
    const { log, clock } = this.#options
    // A statement that takes too long is reported like a database that is away: ask less of it.
    this.#batch = Math.max(BATCH_MIN, Math.floor(asked / 2))
    const failures = this.#outage?.failures ?? 0
    if (failures === 0) log.warn({ err: error }, 'facts about deliveries could not be written, they wait')
    this.#outage = { since: this.#outage?.since ?? clock.monotonic(), failures: failures + 1 }
    return Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(failures, 10))
  }
}

/** The gateway's code, and PostgreSQL's if it gave one (SQLSTATE). */
function reasonOf(error: unknown): string {
  if (!isGatewayError(error)) return error instanceof Error ? error.name : 'unknown'
  const { code, cause } = error
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? `${code} ${cause.code}` : code
}

/** When it became known. */
const timeOf = (fact: DeliveryFact): number =>
  fact.kind === 'attempted' ? fact.attempt.startedAt + fact.attempt.timing.totalMs : fact.at
