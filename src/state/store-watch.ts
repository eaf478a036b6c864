import { randomUUID } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { Service } from '../core/service.ts'
import type { RedisLink } from './connection.ts'
import { DATA_KEY, TTL } from './keys.ts'
import type { StateMetrics } from './metrics.ts'

export type DataLoss = 'restarted_or_failed_over' | 'emptied'

export type StoreWatchOptions = {
  readonly general: RedisLink
  readonly metrics: StateMetrics
  readonly clock: Clock
  readonly log: Logger
  readonly pollMs?: number
}

const POLL_MS = 1_000

/**
 * Notices that Redis may have lost data: another `master_replid` (a restart or a promoted replica, both
 * of which may miss the last writes), or the mark that was set in the data is gone (emptied). What is
 * remembered of call state is worth nothing then, and the network must be read again.
 */
export class StoreWatch implements Service {
  readonly name = 'store-watch'
  readonly #options: StoreWatchOptions
  readonly #listeners = new Set<(loss: DataLoss) => void>()
  readonly #emptyListeners = new Set<() => void>()
  #stopped = new AbortController()
  #running: Promise<void> | undefined
  #replid: string | undefined
  #mark: string | undefined

  constructor(options: StoreWatchOptions) {
    this.#options = options
  }

  /** The returned function ends it. */
  onDataLoss(listener: (loss: DataLoss) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Tells that nothing of before is in Redis: it was emptied, or held no mark when the watch began, which is
   * true of a new one, too. The returned function ends it.
   */
  onEmpty(listener: () => void): () => void {
    this.#emptyListeners.add(listener)
    return () => this.#emptyListeners.delete(listener)
  }

  async start(): Promise<void> {
    this.#stopped = new AbortController()
    await this.check()
    this.#running = this.#poll(this.#stopped.signal)
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#running
  }

  /** Looks once; rejects with `store_unavailable`. */
  async check(): Promise<void> {
    const { replid, mark, isNew } = await this.#look()
    const loss = this.#compare(replid, mark)
    const isEmpty = this.#mark === undefined ? isNew : loss === 'emptied'
    this.#replid = replid
    this.#mark = mark
    if (isEmpty) for (const listener of this.#emptyListeners) listener()
    if (loss === undefined) return
    this.#options.metrics.dataLost()
    this.#options.log.warn({ loss }, 'redis may have lost data')
    for (const listener of this.#listeners) listener(loss)
  }

  #compare(replid: string, mark: string): DataLoss | undefined {
    if (this.#replid === undefined || this.#mark === undefined) return undefined
    if (mark !== this.#mark) return 'emptied'
    return replid === this.#replid ? undefined : 'restarted_or_failed_over'
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const { clock, log, pollMs } = this.#options
    while (!signal.aborted) {
      try {
        await clock.wait(pollMs ?? POLL_MS, signal)
        await this.check()
      } catch (error) {
        if (!signal.aborted) log.debug({ err: error }, 'redis cannot be looked at')
      }
    }
  }

  /** Sets the mark if there is none, in one step with reading it: every instance sees the same, and one that it is new. */
  #look(): Promise<{ readonly replid: string; readonly mark: string; readonly isNew: boolean }> {
    return this.#options.general.run(async (redis) => {
      const info = await redis.info('replication')
      const fresh = randomUUID()
      const found = await redis.set(DATA_KEY, fresh, 'PX', TTL.data, 'NX', 'GET')
      if (found !== null) await redis.pexpire(DATA_KEY, TTL.data)
      return { replid: /master_replid:(\w+)/.exec(info)?.[1] ?? '', mark: found ?? fresh, isNew: found === null }
    })
  }
}
