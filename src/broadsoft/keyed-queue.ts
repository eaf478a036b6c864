/**
 * Runs tasks in order per key and concurrently over keys, with a bound on those waiting or running.
 * A full queue makes `push` wait, which is how a channel stops reading its socket.
 */
export class KeyedQueue {
  readonly #pendingMax: number
  readonly #tails = new Map<string, Promise<void>>()
  readonly #waiters: (() => void)[] = []
  #pending = 0
  #idle: (() => void)[] = []

  constructor(pendingMax: number) {
    this.#pendingMax = pendingMax
  }

  get pending(): number {
    return this.#pending
  }

  /**
   * Resolves once the task is taken in, not when it is done; at once while there is room. Tasks must
   * not reject: what they throw is nobody's to handle.
   */
  async push(key: string, task: () => Promise<void>): Promise<void> {
    if (this.#pending >= this.#pendingMax) {
      await new Promise<void>((resolve) => {
        this.#waiters.push(resolve)
      })
    } else {
      this.#pending += 1
    }
    const before = this.#tails.get(key)
    const tail = before === undefined ? task() : before.then(task)
    const settled: Promise<void> = tail.then(
      () => this.#settle(key, settled),
      () => this.#settle(key, settled),
    )
    this.#tails.set(key, settled)
  }

  /** Resolves when nothing is pending. */
  async whenIdle(): Promise<void> {
    if (this.#pending === 0) return
    await new Promise<void>((resolve) => {
      this.#idle.push(resolve)
    })
  }

  #settle(key: string, tail: Promise<void>): void {
    if (this.#tails.get(key) === tail) this.#tails.delete(key)
    // The place of a finished task passes to a waiting one, so that none can slip in between.
    const next = this.#waiters.shift()
    if (next !== undefined) return next()
    this.#pending -= 1
    if (this.#pending > 0) return
    const idle = this.#idle
    this.#idle = []
    for (const resolve of idle) resolve()
  }
}
