/** What a service that is one loop runs on: one run at a time, from `start` until `stop`. */
export class Loop {
  #stopping = new AbortController()
  #running: Promise<void> = Promise.resolve()

  /** Begins `run`, which ends when its signal aborts and rejects never. */
  start(run: (signal: AbortSignal) => Promise<void>): void {
    this.#stopping = new AbortController()
    this.#running = run(this.#stopping.signal)
  }

  /** Resolves when the run has ended. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }
}
