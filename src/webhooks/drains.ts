import { randomUUID } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { Lane } from './delivery.ts'
import type { DeliveryStore } from './delivery-store.ts'
import { endsBefore } from './ends-before.ts'
import type { WebhookMetrics } from './metrics.ts'
import type { WakeUpQueue } from './queue.ts'
import type { Begun, Turn } from './store-replies.ts'

export type DrainsOptions = {
  /** Works off a lane as its `owner`, whose first turn may be known; as {@link QueueWork.drain}. */
  readonly drain: (lane: Lane, owner: string, begun?: Turn) => Promise<number | undefined>
  readonly queue: Pick<WakeUpQueue, 'add'>
  readonly store: Pick<DeliveryStore, 'renew'>
  readonly metrics: WebhookMetrics
  readonly log: Logger
  readonly clock: Clock
  /** Lanes worked on without a job, at a time. */
  readonly capacity?: number
}

/** A lane to work on, begun already or not. */
type Start = { readonly lane: Lane; readonly owner?: string; readonly turn?: Turn }

type Drain = { readonly lane: Lane; readonly owner: string; readonly since: number }

/** As many as the endpoints of one app can hold (20 of 50 slots each); beyond it the queue shares the work out. */
const CAPACITY = 1_000
/** Three renewals fit into a lease, so one may be lost and one late. */
const RENEW_MS = 1_500
const LANES_PER_RENEWAL = 200
/** After a failure that is ours (the store, the records), not the receiver's. */
const OWN_FAILURE_DELAY_MS = 1_000

/**
 * The lanes that this process works on, for wake-ups and for jobs of the queue. A wake-up that there is
 * room for is worked on at once: no job, no hop over the queue. Of a lane that has to be left for a time
 * the queue gets a job then. While a lane is in work its lease is renewed; if the process dies the lease
 * lapses, and another process's sweeper finds the lane.
 */
export class Drains {
  readonly #options: DrainsOptions
  readonly #capacity: number
  readonly #drains = new Set<Drain>()
  /** Until they have ended and, those without a job, are handed over to the queue. */
  readonly #work = new Set<Promise<unknown>>()
  #direct = 0
  readonly #stopped = new AbortController()
  #isStopping = false
  #isRenewing = false

  constructor(options: DrainsOptions) {
    this.#options = options
    this.#capacity = options.capacity ?? CAPACITY
  }

  /** Works on a lane from now on; false when there is no room for it, or this process is stopping. */
  start(lane: Lane): boolean {
    if (this.#reserve(1) === 0) return false
    this.#start({ lane })
    return true
  }

  /**
   * Asks for something by which lanes may be begun, and works on those from now on: up to so many, as far as there is
   * room, for which `places` are kept meanwhile.
   */
  async beginning<Answer extends { readonly begun: readonly Begun[] }>(
    most: number,
    ask: (places: number) => Promise<Answer>,
  ): Promise<Answer> {
    const places = this.#reserve(most)
    let begun: readonly Begun[] = []
    try {
      const answer = await ask(places)
      begun = answer.begun
      return answer
    } finally {
      this.#direct -= places - begun.length
      for (const each of begun) this.#start(each)
    }
  }

  #reserve(most: number): number {
    const places = this.#isStopping ? 0 : Math.max(0, Math.min(most, this.#capacity - this.#direct))
    this.#direct += places
    return places
  }

  #start(start: Start): void {
    this.#options.metrics.drains.inc({ by: 'direct' })
    const work = this.#drainDirectly(start).finally(() => {
      this.#direct -= 1
      this.#work.delete(work)
    })
    this.#work.add(work)
  }

  /** Works on a lane for a job of the queue; see {@link QueueWork}. */
  async drain(lane: Lane): Promise<number | undefined> {
    this.#options.metrics.drains.inc({ by: 'queue' })
    const work = this.#drain({ lane })
    this.#work.add(work)
    try {
      return await work
    } finally {
      this.#work.delete(work)
    }
  }

  /**
   * Starts nothing more and waits until all lanes are left, or until shortly after `deadline`. The drainer
   * must have been told to stop, and the queue must still take wake-ups.
   */
  async stop(deadline: AbortSignal): Promise<void> {
    this.#isStopping = true
    await endsBefore(Promise.allSettled(this.#work), deadline)
    this.#stopped.abort()
  }

  /** Never rejects. */
  async #drainDirectly(start: Start): Promise<void> {
    const { queue, log, clock } = this.#options
    const { lane } = start
    const again = await this.#drain(start).catch((error: unknown) => {
      log.warn({ endpoint_id: lane.endpointId, err: error }, 'lane could not be worked on')
      return clock.now() + OWN_FAILURE_DELAY_MS
    })
    if (again === undefined) return
    await queue.add([{ lane, at: again }]).catch((error: unknown) => {
      // The sweeper finds the lane.
      log.warn({ endpoint_id: lane.endpointId, err: error }, 'wake-up could not be added')
    })
  }

  async #drain({ lane, owner = randomUUID(), turn }: Start): Promise<number | undefined> {
    const drain = { lane, owner, since: this.#options.clock.monotonic() }
    this.#drains.add(drain)
    if (!this.#isRenewing) void this.#renew()
    try {
      return await this.#options.drain(lane, owner, turn)
    } finally {
      this.#drains.delete(drain)
    }
  }

  /** Renews leases for as long as there are any. Never rejects. */
  async #renew(): Promise<void> {
    const { store, clock, log } = this.#options
    const signal = this.#stopped.signal
    this.#isRenewing = true
    while (this.#drains.size > 0 && !signal.aborted) {
      await clock.wait(RENEW_MS, signal).catch(() => undefined)
      const since = clock.monotonic() - RENEW_MS
      // Most lanes are in work for milliseconds; every turn of theirs has renewed the lease anyway.
      const long = [...this.#drains].filter((drain) => drain.since <= since)
      for (let i = 0; i < long.length && !signal.aborted; i += LANES_PER_RENEWAL) {
        await store.renew(long.slice(i, i + LANES_PER_RENEWAL), clock.now()).catch((error: unknown) => {
          if (!signal.aborted) log.warn({ err: error }, 'leases of lanes could not be renewed')
        })
      }
    }
    this.#isRenewing = false
  }
}
