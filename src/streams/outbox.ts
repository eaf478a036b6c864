import type { Frame } from './frame.ts'
import type { Transport } from './transport.ts'

/** What the transport may hold of it; the rest waits in the outbox, where it can still be dropped. */
const WINDOW_BYTES = 64 * 1024

/**
 * One client's frames on their way out. At most a window (64 KiB and one frame) is in the transport's
 * hands; what does not fit waits here, bounded in bytes. `push` refuses a frame beyond the bound and
 * never blocks, so one slow client costs the others nothing. A frame larger than the bound passes when
 * nothing waits: a snapshot is as large as it is, and is shared by all who receive it.
 */
export class Outbox {
  readonly #transport: Transport
  readonly #bytesMax: number
  readonly #queue: Frame[] = []
  #queuedBytes = 0
  #isPumping = false
  #isClosed = false
  #drained: PromiseWithResolvers<void> | undefined

  constructor(transport: Transport, bytesMax: number) {
    this.#transport = transport
    this.#bytesMax = bytesMax
  }

  /** Bytes that wait here, without those in the transport's window. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Whether everything is on its way and the window is open. */
  get isDrained(): boolean {
    return this.#queue.length === 0 && this.#transport.bufferedBytes < WINDOW_BYTES
  }

  /** Whether `push` would take a frame of this size. */
  hasRoomFor(bytes: number): boolean {
    return this.isDrained || this.#queuedBytes + bytes <= this.#bytesMax
  }

  /** Takes the frame, or answers false when it would exceed the bound. */
  push(frame: Frame): boolean {
    if (this.#isClosed) return true
    if (!this.hasRoomFor(frame.bytes)) return false
    this.#queue.push(frame)
    this.#queuedBytes += frame.bytes
    this.#pump()
    return true
  }

  /** Resolves when {@link isDrained}, and when the outbox is closed. One waiter at a time. */
  async drained(): Promise<void> {
    if (this.isDrained || this.#isClosed) return
    this.#drained ??= Promise.withResolvers()
    await this.#drained.promise
  }

  /** Drops what waits and takes nothing more. */
  close(): void {
    this.#isClosed = true
    this.#queue.length = 0
    this.#queuedBytes = 0
    this.#settleDrained()
  }

  readonly #pump = (): void => {
    if (this.#isPumping || this.#isClosed) return
    this.#isPumping = true
    while (this.#transport.bufferedBytes < WINDOW_BYTES) {
      const frame = this.#queue.shift()
      if (frame === undefined) break
      this.#queuedBytes -= frame.bytes
      this.#transport.send(frame, this.#pump)
    }
    this.#isPumping = false
    if (this.isDrained) this.#settleDrained()
  }

  #settleDrained(): void {
    this.#drained?.resolve()
    this.#drained = undefined
  }
}
