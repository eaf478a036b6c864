import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { nameOf } from '../../src/webhooks/outcome.ts'
import { createDeliverer, messageOf, targetAt } from '../../test/support/deliverer.ts'
import { startHostileReceivers } from '../../test/support/hostile-receivers.ts'
import type { HostileReceiver } from '../../test/support/hostile-receivers.ts'
import { conclude, formatNumber, machineLoad, say } from './rig/figures.ts'
import { readOptions } from './rig/options.ts'

/**
 * Attempts at receivers that misbehave in every way there is (they run in a process of their own): what comes
 * of each, how far any overran its deadline, and how much the sender's memory grew.
 *
 *   node bench/webhooks/hostile-receivers.ts [--attempts 10000] [--concurrency 64]
 */
const options = readOptions({ attempts: 10_000, concurrency: 64 })
const TIMEOUT_MS = 400
const OVERRUN_MS_MAX = 100
const GROWTH_BYTES_MAX = 20 * 1_048_576
const STEP = 1_000
/** Attempts at each kind of receiver before anything is measured. */
const WARM_UP_EACH = 320

class Run {
  readonly wrong = new Map<string, number>()
  overrunMs = 0
  stallMs = 0
  busyMs = 0
  made = 0
  readonly #receivers: readonly HostileReceiver[]
  readonly #concurrency: number
  readonly #deliverer = createDeliverer()
  readonly #signal = new AbortController().signal
  readonly #delay = monitorEventLoopDelay({ resolution: 5 })
  #next = 0

  constructor(receivers: readonly HostileReceiver[], concurrency: number) {
    this.#receivers = receivers
    this.#concurrency = concurrency
    this.#deliverer.start()
  }

  /**
   * One kind after the other, which is the worst that each can do: V8 and the allocator take for once what
   * the work needs at its height, and keep it.
   */
  async warmUp(): Promise<void> {
    for (const receiver of this.#receivers) await this.#work(WARM_UP_EACH, () => receiver)
    await this.make(STEP)
  }

  /** All kinds by turns. */
  async make(attempts: number): Promise<void> {
    const beganAt = performance.now()
    this.#delay.enable()
    await this.#work(attempts, () => this.#receivers[this.#next++ % this.#receivers.length])
    this.#delay.disable()
    this.stallMs = Math.max(this.stallMs, this.#delay.max / 1e6)
    this.busyMs += performance.now() - beganAt
  }

  reset(): void {
    this.wrong.clear()
    this.overrunMs = 0
    this.stallMs = 0
    this.busyMs = 0
    this.made = 0
    this.#delay.reset()
  }

  stop(): Promise<void> {
    return this.#deliverer.stop()
  }

  async #work(attempts: number, choose: () => HostileReceiver | undefined): Promise<void> {
    let left = attempts
    const worker = async () => {
      while (left > 0) {
        left -= 1
        const receiver = choose()
        if (receiver !== undefined) await this.#attempt(receiver)
      }
    }
    await Promise.all(Array.from({ length: this.#concurrency }, worker))
  }

  async #attempt({ name, url, outcome }: HostileReceiver): Promise<void> {
    const beganAt = performance.now()
    const message = messageOf({ timeoutMs: TIMEOUT_MS, payload: JSON.stringify({ text: 'x'.repeat(900) }) })
    const [report] = await this.#deliverer.attempt(targetAt(url), message, this.#signal)
    this.overrunMs = Math.max(this.overrunMs, performance.now() - beganAt - TIMEOUT_MS)
    this.made += 1
    const came = report === undefined ? 'nothing' : nameOf(report.outcome)
    if (came === outcome) return
    const key = `${name}: ${came} instead of ${outcome}`
    this.wrong.set(key, (this.wrong.get(key) ?? 0) + 1)
  }
}

/** The memory that is left when everything that can be freed is. */
async function settledRss(): Promise<number> {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  for (let i = 0; i < 3; i += 1) {
    gc()
    await new Promise(setImmediate)
  }
  return process.memoryUsage.rss()
}

const megabytes = (bytes: number): string => (bytes / 1_048_576).toFixed(1)

const { receivers, stop } = await startHostileReceivers()
const run = new Run(receivers, options.concurrency)
try {
  say(
    `${receivers.length} kinds of receivers, ${options.concurrency} attempts at a time, a deadline of ${TIMEOUT_MS} ms; load of the machine ${machineLoad()}`,
  )
  await run.warmUp()
  run.reset()
  const before = await settledRss()
  let growth = 0
  for (let made = 0; made < options.attempts; made += STEP) {
    await run.make(Math.min(STEP, options.attempts - made))
    growth = Math.max(growth, (await settledRss()) - before)
  }
  const wrong = [...run.wrong.values()].reduce((sum, count) => sum + count, 0)
  say(
    `${options.attempts} attempts in ${Math.round(run.busyMs / 1_000)} s; memory after the warm-up ${megabytes(before)} MB`,
  )
  for (const [what, count] of run.wrong) say(`  ${count} × ${what}`)
  conclude([
    {
      what: `memory grows by at most ${megabytes(GROWTH_BYTES_MAX)} MB`,
      holds: growth <= GROWTH_BYTES_MAX,
      seen: `${megabytes(growth)} MB`,
    },
    {
      what: `no attempt overruns its deadline by more than ${OVERRUN_MS_MAX} ms and this process's longest stall`,
      holds: run.overrunMs <= OVERRUN_MS_MAX + run.stallMs,
      seen: `${formatNumber(run.overrunMs)} ms, stall ${formatNumber(run.stallMs)} ms`,
    },
    {
      // On a machine that is busy with other things an answer may come after the deadline.
      what: 'at most one in a thousand ends as something else than it should',
      holds: run.made === options.attempts && wrong <= options.attempts / 1_000,
      seen: `${wrong} of ${run.made}`,
    },
  ])
} finally {
  await run.stop()
  await stop()
}
