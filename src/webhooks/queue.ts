import { DelayedError, Queue, Worker } from 'bullmq'
import type { Job } from 'bullmq'
import type { Redis } from 'ioredis'
import * as v from 'valibot'
import { AppIdSchema, EndpointIdSchema } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { Lane } from './delivery.ts'
import { QUEUE_PREFIX } from './keys.ts'

/**
 * Works off a lane. Resolves with the time (milliseconds since the epoch) at which to be called for it
 * again, or undefined when the next wake-up will do.
 */
export type DrainLane = (lane: Lane) => Promise<number | undefined>

export type WakeUpQueueOptions = {
  /** Makes a connection with `maxRetriesPerRequest: null`; the queue closes what it made. */
  readonly connect: () => Redis
  readonly log: Logger
  /** Lanes worked on at a time in this process. */
  readonly concurrency?: number
}

const NAME = 'lanes'
/** After a failure that is ours (the store, the records), not the receiver's. */
const OWN_FAILURE_DELAY_MS = 1_000
const FORCED_STOP_MS = 1_000
/**
 * More than one app's endpoints can hold between them (20 of 10 slots each), so that an app whose receivers all
 * hang leaves room for the others.
 */
const CONCURRENCY = 500

const LaneSchema = v.object({ appId: AppIdSchema, endpointId: EndpointIdSchema, orderKey: v.string() })

/**
 * Wake-ups for lanes, by BullMQ. A job names a lane and carries nothing else: the events are in the
 * lane. Deduplication by lane makes one job of many wake-ups and lets one worker at a time have a lane;
 * `keepLastIfActive` keeps a wake-up that comes while the lane is being worked on, which may be after the
 * worker has seen its end; `replace` lets a wake-up, which always means now, take the place of a job that
 * was put off (a retry of events that were dropped in the meantime). A lane that must wait is put off with `moveToDelayed`, so attempts are counted
 * for events, by the store, and never for jobs; therefore no backoff strategy of BullMQ is used, whose
 * absence on one worker would leave a job stuck in `active`.
 */
export class WakeUpQueue {
  readonly #options: WakeUpQueueOptions
  readonly #connections: Redis[] = []
  #queue: Queue | undefined
  #worker: Worker | undefined

  constructor(options: WakeUpQueueOptions) {
    this.#options = options
  }

  /** Opens the queue, and with `drain` a worker on it. */
  async start(drain: DrainLane): Promise<void> {
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
    const worker = new Worker(NAME, (job, token) => this.#process(job, token, drain), {
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

  /** Adds a wake-up for each lane; rejects when the store cannot be reached. */
  async add(lanes: readonly Lane[]): Promise<void> {
    const jobs = lanes.map((lane) => ({
      name: 'drain',
      data: lane,
      opts: { deduplication: { id: `${lane.endpointId}:${lane.orderKey}`, keepLastIfActive: true, replace: true } },
    }))
    if (jobs.length > 0) await this.#queue?.addBulk(jobs)
  }

  /**
   * Takes no more jobs and waits for those under way, which must end by themselves soon after `deadline`.
   * One that does not is left `active`: other instances take it over when its lock has lapsed.
   */
  async stop(deadline: AbortSignal): Promise<void> {
    const worker = this.#worker
    const queue = this.#queue
    this.#worker = undefined
    if (worker !== undefined && !(await endsBefore(worker.close(), deadline))) {
      this.#options.log.warn({}, 'lanes were left for other instances to take over')
      // With Redis gone it would wait for it for ever.
      await endsBefore(worker.disconnect(), AbortSignal.timeout(FORCED_STOP_MS))
    }
    // Only now: jobs that are ending still pass on wake-ups.
    this.#queue = undefined
    if (queue !== undefined) await endsBefore(queue.close(), deadline)
    // The connections are ours, so BullMQ leaves them open.
    for (const connection of this.#connections.splice(0)) connection.disconnect()
  }

  async #process(job: Job, token: string | undefined, drain: DrainLane): Promise<void> {
    const again = await drain(v.parse(LaneSchema, job.data)).catch((error: unknown) => {
      this.#options.log.warn({ err: error }, 'lane could not be worked on')
      return Date.now() + OWN_FAILURE_DELAY_MS
    })
    if (again === undefined) return
    await job.moveToDelayed(again, token)
    throw new DelayedError()
  }

  #connect(): Redis {
    const connection = this.#options.connect()
    this.#connections.push(connection)
    return connection
  }
}

/** Whether `work` ends before the deadline, or shortly after it. */
async function endsBefore(work: Promise<unknown>, deadline: AbortSignal): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>()
  let timer: NodeJS.Timeout | undefined
  const onDeadline = () => {
    timer = setTimeout(() => resolve(false), FORCED_STOP_MS)
  }
  if (deadline.aborted) onDeadline()
  deadline.addEventListener('abort', onDeadline, { once: true })
  try {
    const done = work.then(
      () => true,
      () => true,
    )
    return await Promise.race([done, late])
  } finally {
    clearTimeout(timer)
    deadline.removeEventListener('abort', onDeadline)
  }
}
