import type { Clock } from '../core/clock.ts'
import { KeyedQueue } from './keyed-queue.ts'

/**
 * What a node said to an acknowledgement. `refused` will not get better by repeating, `unreachable`
 * may.
 */
export type AckReply = 'taken' | 'channel_gone' | 'unauthorized' | 'refused' | 'unreachable'

/** The answer to one event: 200 is done, 500 sends it to the next channel of the set. */
export type Ack = {
  readonly eventId: string
  readonly status: 200 | 500
  /** When the event arrived, on the monotonic clock. */
  readonly receivedAt: number
}

export type AcknowledgerOptions = {
  readonly clock: Clock
  /** Sends one EventResponse to the node that holds the stream. Must not reject, and have a deadline. */
  readonly send: (ack: Ack) => Promise<AckReply>
  readonly inFlightMax: number
  /** Aborts when the channel is over: an event of it is then answered by nobody. */
  readonly signal: AbortSignal
  readonly onReply: (reply: AckReply, ack: Ack) => void
}

const RETRY_DELAYS_MS = [100, 500] as const

/**
 * Answers the events of one channel: several at a time, each tried three times at most. Without an
 * answer the network delivers the event again, and in the end gives the channel up
 * (XSI Interface Specification 2020.07, p. 375), so nothing is remembered here.
 */
export class Acknowledger {
  readonly #options: AcknowledgerOptions
  readonly #queue: KeyedQueue

  constructor(options: AcknowledgerOptions) {
    this.#options = options
    this.#queue = new KeyedQueue(options.inFlightMax)
  }

  /** Resolves once the answer is under way, which waits while too many are. */
  async acknowledge(ack: Ack): Promise<void> {
    await this.#queue.push(ack.eventId, () => this.#send(ack))
  }

  /** Resolves when every answer was taken or given up. */
  whenIdle(): Promise<void> {
    return this.#queue.whenIdle()
  }

  async #send(ack: Ack): Promise<void> {
    const { clock, send, signal, onReply } = this.#options
    for (const delayMs of [...RETRY_DELAYS_MS, undefined]) {
      if (signal.aborted) return
      const reply = await send(ack)
      if (signal.aborted) return
      if (reply !== 'unreachable' || delayMs === undefined) return onReply(reply, ack)
      await clock.wait(delayMs, signal).catch(() => undefined)
    }
  }
}
