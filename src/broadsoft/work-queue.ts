import type { Clock } from '../core/clock.ts'
import { Waker } from '../core/waker.ts'

export type WorkQueueOptions = {
  readonly clock: Clock
  /** Keys worked on at the same time. */
  readonly concurrency: number
  /** Starts per second, evenly spaced. */
  readonly perSecond: number
  /** Nothing runs and nothing is due now; called before each wait like that. */
  readonly onIdle?: () => void
}

/** A timer holds at most 2^31-1 ms; an early wake-up only looks again. */
const WAIT_MAX_MS = 3_600_000

/**
 * Keys that become due: each is handed to a worker at its time, one run per key at a time, with a
 * bound on runs at once and on starts per second. One timer serves all keys (a heap by due time;
 * entries that were moved or removed are skipped when they come up), so ten thousand subscriptions
 * cost no ten thousand timers. Holds at most one due time per key: a later `put` replaces it.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions
  readonly #due = new Map<string, number>()
  readonly #running = new Set<string>()
  #heap: { readonly key: string; readonly at: number }[] = []
  readonly #waker: Waker

  constructor(options: WorkQueueOptions) {
    this.#options = options
    this.#waker = new Waker(options.clock)
  }

  /** Keys waiting for their time. */
  get size(): number {
    return this.#due.size
  }

  /** Makes `key` due in `delayMs`, in place of what was planned for it. */
  put(key: string, delayMs: number): void {
    const at = this.#options.clock.monotonic() + Math.max(0, delayMs)
    this.#due.set(key, at)
    // A key that is being worked on enters the heap when that run ends.
    if (!this.#running.has(key)) this.#push({ key, at })
    this.#compact()
    this.#waker.wake()
  }

  /** Makes `key` due in `delayMs`, unless it is due earlier. */
  putEarlier(key: string, delayMs: number): void {
    const planned = this.#due.get(key)
    if (planned === undefined || planned > this.#options.clock.monotonic() + delayMs) this.put(key, delayMs)
  }

  remove(key: string): void {
    this.#due.delete(key)
  }

  clear(): void {
    this.#due.clear()
    this.#heap = []
  }

  /**
   * Works until `signal` aborts, then resolves once the runs in flight have ended. `work` must not
   * reject: a failure is its own to plan again.
   */
  async run(work: (key: string) => Promise<void>, signal: AbortSignal): Promise<void> {
    const intervalMs = 1000 / this.#options.perSecond
    const runs = new Set<Promise<void>>()
    let nextStart = this.#options.clock.monotonic()
    while (!signal.aborted) {
      const now = this.#options.clock.monotonic()
      const hasRoom = runs.size < this.#options.concurrency
      const key = hasRoom && nextStart <= now ? this.#take(now) : undefined
      if (key === undefined) {
        const nextAt = this.#nextAt()
        if (runs.size === 0 && nextAt > now) this.#options.onIdle?.()
        const until = hasRoom ? Math.max(nextAt, nextStart) : Number.POSITIVE_INFINITY
        await this.#waker.wait(Math.min(Math.max(Math.ceil(until - now), 1), WAIT_MAX_MS), signal)
        continue
      }
      nextStart = Math.max(nextStart, now - intervalMs) + intervalMs
      this.#running.add(key)
      const run: Promise<void> = work(key).finally(() => {
        runs.delete(run)
        this.#finish(key)
      })
      runs.add(run)
    }
    await Promise.allSettled(runs)
  }

  #finish(key: string): void {
    this.#running.delete(key)
    const at = this.#due.get(key)
    if (at !== undefined) this.#push({ key, at })
    this.#waker.wake()
  }

  /** The earliest key that is due. */
  #take(now: number): string | undefined {
    for (let top = this.#top(); top !== undefined && top.at <= now; top = this.#top()) {
      this.#pop()
      if (this.#running.has(top.key)) continue
      this.#due.delete(top.key)
      return top.key
    }
    return undefined
  }

  #nextAt(): number {
    return this.#top()?.at ?? Number.POSITIVE_INFINITY
  }

  /** The first entry that still counts. */
  #top(): { readonly key: string; readonly at: number } | undefined {
    for (let top = this.#heap[0]; top !== undefined; top = this.#heap[0]) {
      if (this.#due.get(top.key) === top.at) return top
      this.#pop()
    }
    return undefined
  }

  /** Keeps replaced entries from piling up: they would stay until their time comes. */
  #compact(): void {
    if (this.#heap.length < 2 * this.#due.size + 1024) return
    this.#heap = []
    for (const [key, at] of this.#due) if (!this.#running.has(key)) this.#push({ key, at })
  }

  #push(entry: { readonly key: string; readonly at: number }): void {
    const heap = this.#heap
    let index = heap.push(entry) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      const above = heap[parent]
      if (above === undefined || above.at <= entry.at) break
      heap[index] = above
      index = parent
    }
    heap[index] = entry
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let index = 0
    for (;;) {
      const left = 2 * index + 1
      const right = left + 1
      let child = left
      const leftEntry = heap[left]
      const rightEntry = heap[right]
      if (rightEntry !== undefined && leftEntry !== undefined && rightEntry.at < leftEntry.at) child = right
      const entry = heap[child]
      if (entry === undefined || entry.at >= last.at) break
      heap[index] = entry
      index = child
    }
    heap[index] = last
  }
}
