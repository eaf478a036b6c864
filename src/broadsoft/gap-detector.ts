const SEQUENCE_MAX = 2_147_483_647

type Track = {
  /** The highest sequence number seen, in circular order. */
  highest: number
  /** Numbers below it that have not been seen; undefined for none, as nearly always: an empty set takes 200 bytes. */
  missing: Set<number> | undefined
  /** When the oldest of them must have arrived. */
  deadline: number
}

export type GapDetectorOptions = {
  /** How long a missing number may still arrive: by another channel, or because the order is not kept. */
  readonly graceMs: number
  /** More missing numbers than this are a gap at once. */
  readonly missingMax: number
  /** Subscriptions followed; the one heard of first is forgotten beyond that. */
  readonly subscriptionsMax: number
}

/**
 * Notices lost events by the sequence numbers of each subscription (1 … 2147483647, then 1 again;
 * XSI XSD `sequenceNumber`). Events of one subscription may overtake each other on the channels of a
 * set, and on a collection subscription even on one channel (2020.07, p. 348), so a number counts as
 * lost only when it has not come within the grace time. Pure: time is a parameter, in ms.
 */
export class GapDetector {
  readonly #options: GapDetectorOptions
  readonly #tracks = new Map<string, Track>()
  /** Subscriptions with missing numbers. */
  readonly #open = new Set<string>()

  constructor(options: GapDetectorOptions) {
    this.#options = options
  }

  /**
   * Takes note of an event and says whether numbers are missing now. The first event of a subscription
   * only sets the base line.
   */
  observe(subscriptionId: string, sequence: number, now: number): boolean {
    const track = this.#tracks.get(subscriptionId)
    if (track === undefined) this.#begin(subscriptionId, sequence)
    else this.#advance(subscriptionId, track, sequence, now)
    return this.#open.has(subscriptionId)
  }

  #advance(subscriptionId: string, track: Track, sequence: number, now: number): void {
    const ahead = (sequence - track.highest + SEQUENCE_MAX) % SEQUENCE_MAX
    if (ahead === 0) return
    if (ahead > SEQUENCE_MAX / 2) {
      track.missing?.delete(sequence)
      if (track.missing?.size === 0) this.#close(subscriptionId, track)
      return
    }
    if (ahead > 1) {
      if (track.missing === undefined) track.deadline = now + this.#options.graceMs
      const missing = (track.missing ??= new Set())
      const room = this.#options.missingMax - missing.size
      if (ahead - 1 > room) track.deadline = now
      for (let step = 1; step < Math.min(ahead, room + 1); step += 1) missing.add(advance(track.highest, step))
      this.#open.add(subscriptionId)
    }
    track.highest = sequence
  }

  /** Subscriptions that lost events for certain by now; each is told once. */
  takeLost(now: number): readonly string[] {
    const lost: string[] = []
    for (const subscriptionId of this.#open) {
      const track = this.#tracks.get(subscriptionId)
      if (track === undefined || track.deadline > now) continue
      this.#close(subscriptionId, track)
      lost.push(subscriptionId)
    }
    return lost
  }

  /** When {@link takeLost} should be asked next. */
  nextDeadline(): number | undefined {
    let next: number | undefined
    for (const subscriptionId of this.#open) {
      const deadline = this.#tracks.get(subscriptionId)?.deadline
      if (deadline !== undefined && (next === undefined || deadline < next)) next = deadline
    }
    return next
  }

  forget(subscriptionId: string): void {
    this.#tracks.delete(subscriptionId)
    this.#open.delete(subscriptionId)
  }

  /** Forgets everything: after a reconnect all subscribers are read again anyway. */
  clear(): void {
    this.#tracks.clear()
    this.#open.clear()
  }

  #close(subscriptionId: string, track: Track): void {
    track.missing = undefined
    this.#open.delete(subscriptionId)
  }

  #begin(subscriptionId: string, sequence: number): void {
    if (this.#tracks.size >= this.#options.subscriptionsMax) {
      const oldest = this.#tracks.keys().next()
      if (oldest.done !== true) this.forget(oldest.value)
    }
    this.#tracks.set(subscriptionId, { highest: sequence, missing: undefined, deadline: 0 })
  }
}

/** `sequence` plus `step`, where 1 follows 2147483647. */
const advance = (sequence: number, step: number): number => ((sequence - 1 + step) % SEQUENCE_MAX) + 1
