import type { CallReader } from '../core/call-reader.ts'
import type { Directory } from '../core/directory.ts'
import type { EventLog, LogGap } from '../core/event-log.ts'
import type { AppId, AppRef } from '../core/ids.ts'
import { readLiveCalls } from '../core/live-calls.ts'
import type { Position } from '../core/position.ts'
import type { Frame } from './frame.ts'
import { toSnapshotFrame, toSubscribedFrame } from './protocol.ts'

/** An app's live calls, including at least every event up to `position`; frames of it are made once. */
export class Snapshot {
  readonly position: Position
  readonly #calls: string
  readonly #frames = new Map<string, Frame>()

  constructor(position: Position, calls: string) {
    this.position = position
    this.#calls = calls
  }

  subscribedFrame(reason: LogGap | undefined): Frame {
    return this.#once(`subscribed ${reason}`, () => toSubscribedFrame(this.position, this.#calls, reason))
  }

  snapshotFrame(): Frame {
    return this.#once('snapshot', () => toSnapshotFrame(this.position, this.#calls))
  }

  #once(key: string, make: () => Frame): Frame {
    const frame = this.#frames.get(key) ?? make()
    this.#frames.set(key, frame)
    return frame
  }
}

export type SnapshotReaderOptions = {
  readonly log: EventLog
  readonly calls: CallReader
  readonly directory: Directory
}

/**
 * Reads snapshots. The position is read first and the calls after it, so the calls may already include
 * events after the position, and never miss one before it. A client that replays those events ends up
 * with the same state, because each carries the whole call and its sequence number.
 *
 * Whoever asks while a snapshot of the app is being read shares it: its position may then be a little
 * older, which the events after it make good.
 */
export class SnapshotReader {
  readonly #log: EventLog
  readonly #calls: CallReader
  readonly #directory: Directory
  readonly #inFlight = new Map<AppId, Promise<Snapshot>>()

  constructor({ log, calls, directory }: SnapshotReaderOptions) {
    this.#log = log
    this.#calls = calls
    this.#directory = directory
  }

  /** Rejects with `store_unavailable`. */
  async read(app: AppRef): Promise<Snapshot> {
    const inFlight = this.#inFlight.get(app.appId)
    if (inFlight !== undefined) return inFlight
    const reading = this.#read(app).finally(() => this.#inFlight.delete(app.appId))
    this.#inFlight.set(app.appId, reading)
    return reading
  }

  async #read(app: AppRef): Promise<Snapshot> {
    const position = await this.#log.top(app)
    const calls = await readLiveCalls(this.#calls, this.#directory.assignmentsOfApp(app.appId))
    return new Snapshot(position, JSON.stringify(calls))
  }
}
