import { GatewayError } from '../core/errors.ts'

type Argument = string | number

type Ask = {
  readonly now: number
  readonly args: readonly Argument[]
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: unknown) => void
}

/** Runs the script with the time and the arguments of some asks, in their order. */
export type RunAdvance = (now: number, args: readonly Argument[]) => Promise<unknown>

/** A lane takes some tens of microseconds, for which Redis answers nobody else. */
const ASKS_PER_SCRIPT = 32

/**
 * What is asked about lanes until `send`: at the end of a turn of the event loop, in which under load many requests
 * end. One script answers them all (see ADVANCE).
 */
export class AdvanceBatch {
  readonly #run: RunAdvance
  #asks: Ask[] = []

  constructor(run: RunAdvance) {
    this.#run = run
  }

  /** Resolves with the script's answer to this ask; rejects when it fails, of which all that went with it hear. */
  ask(now: number, args: readonly Argument[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#asks.push({ now, args, resolve, reject })
    })
  }

  send(): void {
    const asks = this.#asks
    if (asks.length === 0) return
    this.#asks = []
    for (let i = 0; i < asks.length; i += ASKS_PER_SCRIPT) void this.#send(asks.slice(i, i + ASKS_PER_SCRIPT))
  }

  /** By the latest of their times: the others were only waiting to be sent. Never rejects. */
  async #send(asks: readonly Ask[]): Promise<void> {
    try {
      const now = Math.max(...asks.map((ask) => ask.now))
      const answers = await this.#run(
        now,
        asks.flatMap(({ args }) => args),
      )
      if (!Array.isArray(answers) || answers.length !== asks.length) throw new GatewayError('store_unavailable')
      asks.forEach(({ resolve }, i) => resolve(answers[i]))
    } catch (error) {
      for (const { reject } of asks) reject(error)
    }
  }
}
