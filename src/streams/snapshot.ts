import type { CallReader } from '../core/call-reader.ts'
import type { CallState } from '../core/call.ts'
import type { Directory } from '../core/directory.ts'
import type { LogGap } from '../core/event-log.ts'
import type { SubscriberId } from '../core/ids.ts'
import { toSubscriberId } from '../core/ids.ts'
import { readLiveCalls } from '../core/live-calls.ts'
import type { Position } from '../core/position.ts'
import type { AppLog } from './app-log.ts'
import type { Filter } from './filter.ts'
import type { Frame } from './frame.ts'
import { toSubscribedFrame } from './protocol.ts'

/** A live call of a snapshot, as JSON. */
export type SnapshotCall = { readonly subscriberId: SubscriberId; readonly state: CallState; readonly json: string }

/** An app's live calls, including at least every event up to `position`. */
export class Snapshot {
  readonly position: Position
  readonly #calls: readonly SnapshotCall[]
  readonly #subscribed = new Map<LogGap | undefined, Frame>()
  #all: string | undefined

  constructor(position: Position, calls: readonly SnapshotCall[]) {
    this.position = position
    this.#calls = calls
  }

  /** The calls that the filter wants, as a JSON array. */
  callsFor(filter: Filter | undefined): string {
    if (filter !== undefined) return toArray(this.#calls.filter((call) => filter.wantsCall(call)))
    this.#all ??= toArray(this.#calls)
    return this.#all
  }

  /** The answer to a subscribe; without a filter it is made once for all. */
  subscribedFrame(reason: LogGap | undefined, filter: Filter | undefined): Frame {
    const { position } = this
    if (filter !== undefined) return toSubscribedFrame({ position, calls: this.callsFor(filter) }, reason)
    const frame =
      this.#subscribed.get(reason) ?? toSubscribedFrame({ position, calls: this.callsFor(undefined) }, reason)
    this.#subscribed.set(reason, frame)
    return frame
  }
}

const toArray = (calls: readonly SnapshotCall[]): string => `[${calls.map(({ json }) => json).join(',')}]`

export type SnapshotReaderOptions = {
  readonly log: AppLog
  readonly calls: CallReader
  readonly directory: Directory
}

/**
 * Reads an app's snapshots. The position is read first and the calls after it, so the calls may already
 * include events after the position, and never miss one before it. A client that replays those events
 * ends up with the same state, because each carries the whole call and its sequence number.
 *
 * Whoever asks while a snapshot is being read shares it: its position may then be a little older, which
 * the events after it make good. Whose calls are in it is looked at when it has been read.
 */
export class SnapshotReader {
  readonly #log: AppLog
  readonly #calls: CallReader
  readonly #directory: Directory
  #inFlight: Promise<Snapshot> | undefined

  constructor({ log, calls, directory }: SnapshotReaderOptions) {
    this.#log = log
    this.#calls = calls
    this.#directory = directory
  }

  /** Rejects with `store_unavailable`. */
  read(): Promise<Snapshot> {
    this.#inFlight ??= this.#read().finally(() => {
      this.#inFlight = undefined
    })
    return this.#inFlight
  }

  /** A snapshot that includes every event up to this position, unless it belongs to another epoch by now. */
  async readFrom(position: Position): Promise<Snapshot> {
    const shared = await this.read()
    const isOlder = shared.position.epoch === position.epoch && shared.position.offset < position.offset
    // One that was being read already; the next one is begun after the position was reached.
    return isOlder ? this.read() : shared
  }

  async #read(): Promise<Snapshot> {
    const position = await this.#log.top()
    const calls = await readLiveCalls(this.#calls, this.#directory.assignmentsOfApp(this.#log.app.appId))
    const visible = calls
      .map((call) => ({
        subscriberId: toSubscriberId(call.subscriber_id),
        state: call.state,
        json: JSON.stringify(call),
      }))
      .filter(({ subscriberId }) => this.#log.subscribers.canSee(subscriberId))
    return new Snapshot(position, visible)
  }
}
