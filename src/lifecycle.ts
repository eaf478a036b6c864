import type { Logger } from './core/logger.ts'
import type { Service } from './core/service.ts'

/**
 * Starts services in order and stops them in reverse. A failed start stops what had started, so nothing
 * is left behind; a stop goes on after a failure and reports all of them in one AggregateError.
 */
export class Lifecycle {
  readonly #services: readonly Service[]
  readonly #log: Logger
  readonly #started: Service[] = []
  #stopping: Promise<void> | undefined

  constructor(services: readonly Service[], log: Logger) {
    this.#services = services
    this.#log = log
  }

  async start(): Promise<void> {
    for (const service of this.#services) {
      try {
        await service.start()
      } catch (error) {
        // Whoever started us says why; this is for the one who wants to know where.
        this.#log.debug({ service: service.name, err: error }, 'service failed to start')
        await this.stop(AbortSignal.timeout(10_000)).catch((failure: unknown) => {
          this.#log.error({ err: failure }, 'clean-up after a failed start was incomplete')
        })
        throw error
      }
      // A stop that came while this service was starting has not seen it.
      if (this.#stopping !== undefined) return service.stop(AbortSignal.timeout(10_000))
      this.#started.push(service)
    }
  }

  /** Stops everything that runs; concurrent callers share one stop. */
  stop(deadline: AbortSignal): Promise<void> {
    this.#stopping ??= this.#stopAll(deadline)
    return this.#stopping
  }

  async #stopAll(deadline: AbortSignal): Promise<void> {
    const failures: unknown[] = []
    for (const service of this.#started.splice(0).toReversed()) {
      const startedAt = performance.now()
      try {
        await withinDeadline(service, deadline)
      } catch (error) {
        failures.push(error)
        this.#log.error({ service: service.name, err: error }, 'service failed to stop')
      }
      this.#log.debug({ service: service.name, ms: Math.round(performance.now() - startedAt) }, 'service stopped')
    }
    if (failures.length > 0) throw new AggregateError(failures, 'some services failed to stop')
  }
}

/** How long after the deadline a service may take to give up. */
const GRACE_MS = 1_000

/** A service that ignores the deadline is left behind, so that those after it are stopped at all. */
async function withinDeadline(service: Service, deadline: AbortSignal): Promise<void> {
  const late = Promise.withResolvers<never>()
  let timer: NodeJS.Timeout | undefined
  const onAbort = () => {
    timer = setTimeout(() => late.reject(new Error(`${service.name} did not stop in time`)), GRACE_MS)
  }
  if (deadline.aborted) onAbort()
  else deadline.addEventListener('abort', onAbort, { once: true })
  try {
    await Promise.race([service.stop(deadline), late.promise])
  } finally {
    clearTimeout(timer)
    deadline.removeEventListener('abort', onAbort)
  }
}
