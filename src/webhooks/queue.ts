import { DelayedError, Queue, Worker } from 'bullmq'
import type { Job, JobsOptions } from 'bullmq'
import type { Redis } from 'ioredis'
import * as v from 'valibot'
import type { Clock } from '../core/clock.ts'
import { AppIdSchema, EndpointIdSchema } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { EndpointRef, Lane, WakeUp } from './delivery.ts'
import { endsBefore } from './ends-before.ts'
import { QUEUE_PREFIX } from './keys.ts'

/** What is done with a wake-up. A rejection means: once more, a second later. */
export type QueueWork = {
  /**
   * Works off a lane. Resolves with the time (milliseconds since the epoch) at which to be called for it
   * again, or undefined when the next wake-up will do.
   */
  readonly drain: (lane: Lane) => Promise<number | undefined>
  /** Sees to an endpoint whose gate should have opened. */
  readonly reopen: (endpoint: EndpointRef) => Promise<void>
}

export type WakeUpQueueOptions = {
  /** Makes a connection with `maxRetriesPerRequest: null`; the queue closes what it made. */
  readonly connect: () => Redis
  readonly log: Logger
  /** By which times are handed in and out; `aheadMs` of the machine's, by which BullMQ goes. */
  readonly clock: Pick<Clock, 'now'> & { readonly aheadMs?: number }
  /** Wake-ups worked on at a time in this process. */
  readonly concurrency?: number
}

const NAME = 'lanes'
/** After a failure that is ours (the store, the records), not the receiver's. */
const OWN_FAILURE_DELAY_MS = 1_000
const FORCED_STOP_MS = 1_000
/**
 * As many as the endpoints of two apps can hold between them (20 of 50 slots each), so that one app whose receivers
 * all hang leaves room for the others.
 */
const CONCURRENCY = 2_000

const EndpointSchema = v.object({ appId: AppIdSchema, endpointId: EndpointIdSchema })
const LaneSchema = v.object({ ...EndpointSchema.entries, orderKey: v.string() })

/**
 * Wake-ups by BullMQ: for lanes, now or at a time, and for endpoints whose gate opens at a time. A job
 * names its lane or endpoint and carries nothing else: the events are in the lane, and the store knows
 * what may be done, so a job too many does no harm and one too few is found by the sweeper.
 *
 * Jobs are deduplicated by what they are for, with `replace` and `keepLastIfActive`. What that does
 * (BullMQ 6.7.0, as the tests of this file show):
 *
 * - while the job before is put off, the newer one takes its place, whether it is for an earlier or a later
 *   time. That is right for a lane, whose time its owner decides when it leaves it, and which a new event
 *   only ever brings forward (the end of the hold), and for wake-ups for now. Of an endpoint's reopening the earlier time is the safe one, since at that time the next is asked for: there
 *   a later one is not added;
 * - while it waits for a worker, the newer one is dropped: the lane is about to be looked at anyway;
 * - while it is worked on, the newer one is kept and added when it has ended, its delay counted from then;
 *   if it is put off instead (`moveToDelayed`), when it has run again.
 *
 * A lane that must wait is put off with `moveToDelayed`, so attempts are counted for events, by the store,
 * and never for jobs; therefore no backoff strategy of BullMQ is used, whose absence on one worker would
 * leave a job stuck in `active`.
 */
export class WakeUpQueue {
  readonly #options: WakeUpQueueOptions
  readonly #connections: Redis[] = []
  #queue: Queue | undefined
  #worker: Worker | undefined

  constructor(options: WakeUpQueueOptions) {
    this.#options = options
  }

  /** Opens the queue and a worker on it. */
  async start(work: QueueWork): Promise<void> {
    const { log, concurrency = CONCURRENCY } = this.#options
    const queue = new Queue(NAME, {
      connection: this.#connect(),
      prefix: QUEUE_PREFIX,
      // Nobody reads the events; BullMQ would keep ten thousand.
      streams: { events: { maxLen: 100 } },
      defaultJobOptions: { removeOnComplete: true, removeOnFail: { count: 100, age: 86_400 } },
    })
    this.#queue = queue
    queue.on('error', (error) => log.warn({ err: error }, 'wake-up queue failed'))
    const worker = new Worker(NAME, (job, token) => this.#process(job, token, work), {
      connection: this.#connect(),
      prefix: QUEUE_PREFIX,
      concurrency,
      // A worker that dies is noticed within lockDuration + 2 × stalledInterval: 7 seconds, not a minute.
      lockDuration: 4_000,
      stalledInterval: 1_500,
      maxStalledCount: 10,
      runRetryDelay: 1_000,
    })
    this.#worker = worker
    worker.on('error', (error) => log.warn({ err: error }, 'wake-up worker failed'))
    worker.on('stalled', (jobId) => log.warn({ job_id: jobId }, 'lane was taken from a dead worker'))
    worker.on('failed', (job, error) => log.error({ job_id: job?.id, err: error }, 'wake-up failed for good'))
    await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()])
  }

  /** Adds wake-ups; rejects when the store cannot be reached. */
  async add(wakes: readonly WakeUp[]): Promise<void> {
    const now = this.#options.clock.now()
    const jobs = wakes.map(({ lane, at = now }) => ({
      name: 'drain',
      data: lane,
      opts: this.#optionsFor(`${lane.endpointId}:${lane.orderKey}`, { at, now }),
    }))
    if (jobs.length > 0) await this.#queue?.addBulk(jobs)
  }

  /**
   * Has `reopen` called for an endpoint at `at` (milliseconds since the epoch), unless that will happen
   * earlier anyway; rejects when the store cannot be reached.
   */
  async addReopen({ appId, endpointId }: EndpointRef, at: number): Promise<void> {
    const queue = this.#queue
    if (queue === undefined) return
    const id = `reopen:${endpointId}`
    const now = this.#options.clock.now()
    const planned = await this.#plannedAt(queue, id)
    if (planned !== undefined && planned <= at) return
    await queue.add('reopen', { appId, endpointId }, this.#optionsFor(id, { at, now }))
  }

  /**
   * Since when the wake-up has been due that has been for the longest; undefined when none is. Of those that
   * wait for a worker only jobs that never ran are looked at: what others waited for is not known any more.
   */
  async oldestDue(): Promise<number | undefined> {
    const queue = this.#queue
    const redis = this.#connections[0]
    if (queue === undefined || redis === undefined) return undefined
    const [waiting, [, score]] = await Promise.all([
      queue.getWaiting(0, 9),
      redis.zrange(queue.toKey('delayed'), 0, '0', 'WITHSCORES'),
    ])
    const times = waiting
      .filter(({ attemptsStarted }) => attemptsStarted === 0)
      .map(({ timestamp, opts }) => timestamp + (opts.delay ?? 0))
    if (score !== undefined) times.push(timeOf(score))
    const oldest = Math.min(...times) + this.#aheadMs
    return oldest <= this.#options.clock.now() ? oldest : undefined
  }

  /**
   * Takes no more jobs and waits for those under way, which must end by themselves soon after `deadline`.
   * One that does not is left `active`: other instances take it over when its lock has lapsed. Wake-ups can
   * still be added.
   */
  async pause(deadline: AbortSignal): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    if (worker !== undefined && !(await endsBefore(worker.close(), deadline))) {
      this.#options.log.warn({}, 'lanes were left for other instances to take over')
      // With Redis gone it would wait for it for ever.
      await endsBefore(worker.disconnect(), AbortSignal.timeout(FORCED_STOP_MS))
    }
  }

  /** {@link pause}, and closes everything. */
  async stop(deadline: AbortSignal): Promise<void> {
    await this.pause(deadline)
    const queue = this.#queue
    this.#queue = undefined
    if (queue !== undefined) await endsBefore(queue.close(), deadline)
    // The connections are ours, so BullMQ leaves them open.
    for (const connection of this.#connections.splice(0)) connection.disconnect()
  }

  async #process(job: Job, token: string | undefined, work: QueueWork): Promise<void> {
    const again = await this.#run(job, work).catch((error: unknown) => {
      this.#options.log.warn({ err: error, job: job.name }, 'wake-up could not be worked on')
      return this.#options.clock.now() + OWN_FAILURE_DELAY_MS
    })
    if (again === undefined) return
    await job.moveToDelayed(again - this.#aheadMs, token)
    throw new DelayedError()
  }

  async #run(job: Job, { drain, reopen }: QueueWork): Promise<number | undefined> {
    if (job.name !== 'reopen') return drain(v.parse(LaneSchema, job.data))
    await reopen(v.parse(EndpointSchema, job.data))
    return undefined
  }

  /** For when the job is put off that the next one would replace; undefined when there is none like that. */
  async #plannedAt(queue: Queue, deduplicationId: string): Promise<number | undefined> {
    const jobId = await queue.getDeduplicationJobId(deduplicationId)
    if (jobId === null) return undefined
    const score = await this.#connections[0]?.zscore(queue.toKey('delayed'), jobId)
    return typeof score === 'string' ? timeOf(score) + this.#aheadMs : undefined
  }

  get #aheadMs(): number {
    return this.#options.clock.aheadMs ?? 0
  }

  #optionsFor(id: string, { at, now }: { readonly at: number; readonly now: number }): JobsOptions {
    return {
      deduplication: { id, keepLastIfActive: true, replace: true },
      timestamp: now - this.#aheadMs,
      ...(at > now && { delay: Math.ceil(at - now) }),
    }
  }

  #connect(): Redis {
    const connection = this.#options.connect()
    this.#connections.push(connection)
    return connection
  }
}

/** The time in a score of BullMQ's set of delayed jobs, whose lowest twelve bits number the jobs of a millisecond. */
const timeOf = (score: string): number => Math.floor(Number(score) / 0x1000)
