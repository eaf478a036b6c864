import type { Clock } from './core/clock.ts'
import type { Service } from './core/service.ts'

/** Asks a part whether it works now. Resolves with an explanation when it does not; may also reject or hang. */
export type ReadinessProbe = () => Promise<string | undefined>

const PERIOD_MS = 1_000
const PROBE_TIMEOUT_MS = 1_000

type Check = { readonly ready: boolean; readonly detail?: string }

/**
 * Whether requests should be sent to this process: it is not draining and its stores answer. Asked once
 * a second in the background, so that a request for it costs nothing and never hangs. A network that is
 * down is no reason to take the process out of service: the others work, and no other process could help.
 */
export class Readiness implements Service {
  readonly name = 'readiness'
  readonly #probes: Readonly<Record<string, ReadinessProbe>>
  readonly #clock: Clock
  readonly #checks = new Map<string, Check>()
  readonly #stopping = new AbortController()
  #running: Promise<void> = Promise.resolve()
  #isDraining = false

  constructor(options: { readonly probes: Readonly<Record<string, ReadinessProbe>>; readonly clock: Clock }) {
    this.#probes = options.probes
    this.#clock = options.clock
  }

  async start(): Promise<void> {
    await this.#look()
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.drain()
    this.#stopping.abort()
    await this.#running
  }

  /** From now on the answer is no: the process is about to stop. */
  drain(): void {
    this.#isDraining = true
  }

  current(): { readonly ready: boolean; readonly checks: Readonly<Record<string, Check>> } {
    const checks = Object.fromEntries([
      ...this.#checks,
      ['lifecycle', this.#isDraining ? { ready: false, detail: 'shutting down' } : { ready: true }],
    ])
    return { ready: Object.values(checks).every(({ ready }) => ready), checks }
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    try {
      while (!signal.aborted) {
        await this.#clock.wait(PERIOD_MS, signal)
        await this.#look()
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }

  async #tooLate(): Promise<string> {
    await this.#clock.wait(PROBE_TIMEOUT_MS, this.#stopping.signal)
    return 'does not answer'
  }

  async #look(): Promise<void> {
    await Promise.all(
      Object.entries(this.#probes).map(async ([name, probe]) => {
        const detail = await Promise.race([probe(), this.#tooLate()]).catch(() => 'does not answer')
        this.#checks.set(name, detail === undefined ? { ready: true } : { ready: false, detail })
      }),
    )
  }
}
