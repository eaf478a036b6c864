/** What a node said to a heartbeat. */
export type HeartbeatReply = 'taken' | 'channel_gone' | 'unauthorized' | 'failed'

/** What follows for the channel. */
export type HeartbeatVerdict = 'alive' | 'doubtful' | 'channel_gone' | 'unauthorized' | 'dead'

const FAILURES_MAX = 3
const SILENT_INTERVALS = 2.5

/**
 * Judges whether a channel lives, in both directions: by the answers to heartbeats (the control path)
 * and by what arrives on the stream (the data path), where each heartbeat is echoed. A 200 without an
 * echo is a stream that died half. One failed heartbeat proves nothing: XSPs answer 503 under load.
 * Pure: times are parameters, in ms of one monotonic clock.
 */
export class Liveness {
  readonly #intervalMs: number
  #failures = 0
  #receivedAt: number
  #isReading = true

  constructor(intervalMs: number, now: number) {
    this.#intervalMs = intervalMs
    this.#receivedAt = now
  }

  /** Bytes arrived. */
  received(now: number): void {
    this.#receivedAt = now
  }

  /** The reader stopped taking bytes, or takes them again: silence in between is its own doing. */
  reading(isReading: boolean, now: number): void {
    this.#isReading = isReading
    this.#receivedAt = now
  }

  /** Nothing arrived for 2.5 intervals, although it was listened. */
  isSilent(now: number): boolean {
    return this.#isReading && now - this.#receivedAt >= this.#intervalMs * SILENT_INTERVALS
  }

  judge(reply: HeartbeatReply): HeartbeatVerdict {
    if (reply === 'taken') {
      this.#failures = 0
      return 'alive'
    }
    if (reply !== 'failed') return reply
    this.#failures += 1
    return this.#failures >= FAILURES_MAX ? 'dead' : 'doubtful'
  }
}

/**
 * The wait until the next heartbeat: 80 to 100 % of the interval, so that channels that were opened
 * together do not beat together, and never later than the server expects it.
 */
export const heartbeatDelayMs = (intervalMs: number, random: number): number => intervalMs * (0.8 + 0.2 * random)
