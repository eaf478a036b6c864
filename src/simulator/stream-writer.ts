import type { ServerResponse } from 'node:http'
import type { FaultPlan } from './faults.ts'
import type { Cancel, Timers } from './timers.ts'

/** A reader that falls so far behind is cut off. */
const BACKLOG_BYTES_MAX = 16 * 1024 * 1024
/** The longest that a fault may hold a document back for the sake of another one. */
const HOLD_BACK_MS = 50

type Item = { readonly bytes: Buffer; readonly dueAt: number; readonly breaksSocket: boolean }

export type StreamWriterOptions = {
  readonly response: ServerResponse
  readonly faults: FaultPlan
  readonly timers: Timers
  readonly random: () => number
}

/**
 * Writes documents to a channel's stream: each as one HTTP chunk and byte for byte as given, unless a
 * fault says otherwise (split, join, delay, duplicate, reorder, a broken or a half-open socket).
 */
export class StreamWriter {
  readonly #response: ServerResponse
  readonly #faults: FaultPlan
  readonly #timers: Timers
  readonly #random: () => number
  readonly #queue: Item[] = []
  #queuedBytes = 0
  #isPumping = false
  #isEnding = false
  /** Documents collected for one write. */
  #joined: Buffer[] = []
  /** An event that lets the next one overtake it. */
  #held: string | undefined
  #cancelHold: Cancel | undefined

  constructor(options: StreamWriterOptions) {
    this.#response = options.response
    this.#faults = options.faults
    this.#timers = options.timers
    this.#random = options.random
  }

  get isOpen(): boolean {
    return !this.#isEnding && !this.#response.destroyed && !this.#response.writableEnded
  }

  /** A document that is not an event: never duplicated, reordered or counted. */
  writeDocument(document: string): void {
    this.#add(Buffer.from(document), false)
  }

  /** The reply that opens the stream: it comes even where a half-open fault silences everything after it. */
  writeReply(document: string): void {
    this.#enqueue(Buffer.from(document), false)
  }

  writeEvent(document: string): void {
    const { duplicate_ratio: duplicate, reorder_ratio: reorder } = this.#faults.current
    if (this.#held !== undefined) {
      const held = this.#held
      this.#held = undefined
      this.#addEvent(document)
      this.#addEvent(held)
      return
    }
    if (this.#random() < reorder) {
      this.#held = document
      this.#holdBack()
      return
    }
    this.#addEvent(document)
    if (this.#random() < duplicate) this.#addEvent(document)
  }

  /** Ends the stream properly after everything that was written before. */
  end(): void {
    this.#releaseHeld()
    this.#isEnding = true
    this.#pump()
  }

  /** Breaks the connection without a word. */
  destroy(): void {
    this.#cancelHold?.()
    this.#queue.length = 0
    this.#response.destroy()
  }

  #addEvent(document: string): void {
    this.#add(Buffer.from(document), this.#faults.isSocketDropDue())
  }

  #add(bytes: Buffer, breaksSocket: boolean): void {
    if (!this.isOpen || this.#faults.current.half_open) return
    const { join } = this.#faults.current
    if (join > 1 || this.#joined.length > 0) {
      this.#joined.push(bytes)
      if (this.#joined.length >= join || breaksSocket) this.#enqueueJoined(breaksSocket)
      else this.#holdBack()
      return
    }
    this.#enqueue(bytes, breaksSocket)
  }

  #enqueueJoined(breaksSocket: boolean): void {
    const bytes = Buffer.concat(this.#joined)
    this.#joined = []
    if (bytes.length > 0) this.#enqueue(bytes, breaksSocket)
  }

  #enqueue(bytes: Buffer, breaksSocket: boolean): void {
    this.#queuedBytes += bytes.length
    if (this.#queuedBytes + this.#response.writableLength > BACKLOG_BYTES_MAX) return this.destroy()
    this.#queue.push({ bytes, dueAt: this.#timers.now() + this.#faults.current.delay_ms, breaksSocket })
    this.#pump()
  }

  #holdBack(): void {
    this.#cancelHold ??= this.#timers.after(HOLD_BACK_MS, () => this.#releaseHeld())
  }

  #releaseHeld(): void {
    this.#cancelHold?.()
    this.#cancelHold = undefined
    const held = this.#held
    this.#held = undefined
    if (held !== undefined) this.#addEvent(held)
    this.#enqueueJoined(false)
  }

  #pump(): void {
    if (this.#isPumping) return
    for (let item = this.#queue[0]; item !== undefined; item = this.#queue[0]) {
      const waitMs = item.dueAt - this.#timers.now()
      if (waitMs > 0) return this.#pumpLater((resume) => void this.#timers.after(waitMs, resume))
      this.#queue.shift()
      this.#queuedBytes -= item.bytes.length
      if (item.breaksSocket) return this.#breakIn(item.bytes)
      const split = this.#faults.current.split
      if (split === null) this.#response.write(item.bytes)
      else return this.#writePieces(item.bytes, split.max_bytes)
    }
    if (!this.#isEnding || this.#response.writableEnded) return
    const { socket } = this.#response
    // The connection carried nothing but this stream: it ends with it.
    this.#response.end(() => socket?.end())
  }

  /** Writes a document in pieces, each in its own turn of the event loop so that they are sent apart. */
  #writePieces(bytes: Buffer, maxBytes: number): void {
    const length = 1 + Math.floor(this.#random() * Math.min(maxBytes, bytes.length))
    this.#response.write(bytes.subarray(0, length))
    const rest = bytes.subarray(length)
    this.#pumpLater(
      (resume) => void setImmediate(resume),
      () => {
        if (rest.length > 0) this.#writePieces(rest, maxBytes)
        else this.#pump()
      },
    )
  }

  #pumpLater(schedule: (resume: () => void) => void, next: () => void = () => this.#pump()): void {
    this.#isPumping = true
    schedule(() => {
      this.#isPumping = false
      if (!this.#response.destroyed) next()
    })
  }

  #breakIn(bytes: Buffer): void {
    this.#response.write(bytes.subarray(0, Math.ceil(bytes.length / 2)), () => this.destroy())
  }
}
