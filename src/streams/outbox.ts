import { BUNDLE_BYTES, Bundle } from './batch.ts'
import type { Frame } from './frame.ts'
import type { SessionLimits } from './limits.ts'
import { toCoalescedFrame } from './protocol.ts'
import type { Transport } from './transport.ts'

type OutboxLimits = Pick<SessionLimits, 'outboxSoftBytesMax' | 'outboxBytesMax'>
/** Learns how many frames were dropped. */
type OutboxMetrics = { coalesced(dropped: number): void }

/**
 * One client's frames on their way out. The transport is handed frames until it is congested (which is
 * about 64 KiB and one batch); what does not fit waits here, bounded in bytes, and the client is never
 * waited for, so that a slow one costs the others nothing.
 *
 * What waits can still be dropped. Above the soft limit a call's change goes when a later one of the same
 * call waits, too: each holds the whole call, so that whoever applies those that are left is in the same
 * state. The end of a call is never dropped, nor is what is about no call. The client is told how many were.
 *
 * Looking for what can be dropped costs a walk over everything that waits; it is made once for each half
 * of the soft limit that comes in, so that the cost per frame stays the same however slow the client is.
 */
export class Outbox {
  readonly #transport: Transport
  readonly #limits: OutboxLimits
  readonly #metrics: OutboxMetrics
  #queue: Frame[] = []
  #queuedBytes = 0
  /** Size at which the next walk is made. */
  #coalesceAbove: number
  /** Dropped in front of the first that waits, and not told yet. */
  #dropped = 0
  #isClosed = false
  #isWaiting = false
  #drained: PromiseWithResolvers<void> | undefined

  constructor(
    transport: Transport,
    { limits, metrics }: { readonly limits: OutboxLimits; readonly metrics: OutboxMetrics },
  ) {
    this.#transport = transport
    this.#limits = limits
    this.#metrics = metrics
    this.#coalesceAbove = limits.outboxSoftBytesMax
  }

  /** Bytes that wait here, without those in the transport's hands. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Whether everything is in the transport's hands and it takes more. */
  get isDrained(): boolean {
    // Not the queue's length: asked for each frame of each client, it would be one more object to fetch.
    return this.#queuedBytes === 0 && !this.#transport.isCongested
  }

  /** Whether so much can be pushed without anything being dropped for it. */
  hasRoomFor(bytes: number): boolean {
    const { outboxSoftBytesMax, outboxBytesMax } = this.#limits
    return this.isDrained || this.#queuedBytes + bytes <= Math.min(outboxSoftBytesMax, outboxBytesMax)
  }

  /**
   * Takes what is to be sent, or answers false when it exceeds the hard limit. Whatever its size it passes
   * when nothing waits: a snapshot is as large as it is, and is shared by all who receive it.
   */
  push(part: Frame | Bundle): boolean {
    if (this.#isClosed) return true
    if (this.isDrained) {
      this.#transport.send(part)
      return true
    }
    return part instanceof Bundle ? part.frames.every((frame) => this.#enqueue(frame)) : this.#enqueue(part)
  }

  /** Drops the events that wait and are not to be sent any more. */
  dropWhere(isUnwanted: (frame: Frame) => boolean): void {
    this.#keep(this.#queue.filter((frame) => !isUnwanted(frame)))
    if (this.isDrained) this.#settleDrained()
  }

  /** Resolves when {@link isDrained}, and when the outbox is closed. One waiter at a time. */
  async drained(): Promise<void> {
    if (this.isDrained || this.#isClosed) return
    this.#drained ??= Promise.withResolvers()
    this.#awaitTransport()
    await this.#drained.promise
  }

  /** Drops what waits and takes nothing more. */
  close(): void {
    this.#isClosed = true
    this.#keep([])
    this.#settleDrained()
  }

  #enqueue(frame: Frame): boolean {
    const { outboxBytesMax, outboxSoftBytesMax } = this.#limits
    if (this.#queuedBytes + frame.bytes > this.#coalesceAbove) {
      this.#coalesce()
      this.#coalesceAbove = Math.max(outboxSoftBytesMax, this.#queuedBytes + outboxSoftBytesMax / 2)
    }
    if (this.#queuedBytes + frame.bytes > outboxBytesMax) return false
    this.#queue.push(frame)
    this.#queuedBytes += frame.bytes
    this.#awaitTransport()
    return true
  }

  /** Listens only while something waits: an idle client should cost little. */
  #awaitTransport(): void {
    if (this.#isWaiting) return
    this.#isWaiting = true
    this.#transport.onceReady(() => {
      this.#isWaiting = false
      this.#pump()
    })
  }

  #coalesce(): void {
    const kept = withoutOvertaken(this.#queue)
    const dropped = this.#queue.length - kept.length
    if (dropped === 0) return
    this.#dropped += dropped
    this.#metrics.coalesced(dropped)
    this.#keep(kept)
  }

  #keep(frames: Frame[]): void {
    this.#queue = frames
    this.#queuedBytes = frames.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  #pump(): void {
    if (this.#isClosed) return
    if (this.#dropped > 0 && !this.#transport.isCongested) {
      this.#transport.send(toCoalescedFrame(this.#dropped))
      this.#dropped = 0
    }
    while (this.#queue.length > 0 && !this.#transport.isCongested) {
      const next = this.#queue.splice(0, bundleLength(this.#queue))
      const bundle = new Bundle(next)
      this.#queuedBytes -= bundle.bytes
      this.#transport.send(bundle)
    }
    if (this.#queue.length === 0) this.#coalesceAbove = this.#limits.outboxSoftBytesMax
    if (this.isDrained) this.#settleDrained()
    else this.#awaitTransport()
  }

  #settleDrained(): void {
    this.#drained?.resolve()
    this.#drained = undefined
  }
}

/** The frames without those changes of a call after which another one of the same call comes. */
function withoutOvertaken(frames: readonly Frame[]): Frame[] {
  const seen = new Set<string>()
  const kept = frames.toReversed().filter(({ about }) => {
    if (about === undefined || !about.event.startsWith('call.')) return true
    const isOvertaken = seen.has(about.orderKey) && about.event !== 'call.released'
    seen.add(about.orderKey)
    return !isOvertaken
  })
  return kept.toReversed()
}

/** How many of the first frames make a bundle: at least one. */
function bundleLength(frames: readonly Frame[]): number {
  let bytes = 0
  const last = frames.findIndex((frame) => (bytes += frame.bytes) >= BUNDLE_BYTES)
  return last === -1 ? frames.length : last + 1
}
