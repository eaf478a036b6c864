import type { CallReader } from '../core/call-reader.ts'
import type { CallState } from '../core/call.ts'
import type { Directory } from '../core/directory.ts'
import type { LogGap } from '../core/event-log.ts'
import type { SubscriberId } from '../core/ids.ts'
import { toSubscriberId } from '../core/ids.ts'
import { readLiveCalls } from '../core/live-calls.ts'
import { formatPosition, type Position } from '../core/position.ts'
import type { AppLog } from './app-log.ts'
import type { Filter } from './filter.ts'
import type { Frame } from './frame.ts'
import type { Pace } from './pace.ts'
import { toSnapshotFrame, toSubscribedFrame } from './protocol.ts'

/** A live call of a snapshot, as JSON. */
export type SnapshotCall = { readonly subscriberId: SubscriberId; readonly state: CallState; readonly json: string }

/** Of the frames that one snapshot keeps for others: with as many filters as clients they would be theirs alone. */
const SHARED_BYTES_MAX = 64 * 1024 * 1024

/**
 * An app's live calls, including at least every event up to `position`. What it is sent as is made once for all clients
 * with one filter: thousands may start, or be told of a gap, at once.
 */
export class Snapshot {
  readonly position: Position
  readonly #calls: readonly SnapshotCall[]
  readonly #frames = new Map<Filter | undefined, Map<string, Frame>>()
  #bytes = 0
  #all: string | undefined
  /** The subscribers that it was last compared with, and what came of it: many compare it with the same. */
  #compared: { readonly ids: ReadonlySet<SubscriberId>; readonly isOnly: boolean } | undefined

  constructor(position: Position, calls: readonly SnapshotCall[]) {
    this.position = position
    this.#calls = calls
  }

  /** Whether all of its calls are of these subscribers. */
  isOnlyOf(ids: ReadonlySet<SubscriberId>): boolean {
    if (this.#compared?.ids !== ids) {
      this.#compared = { ids, isOnly: this.#calls.every(({ subscriberId }) => ids.has(subscriberId)) }
    }
    return this.#compared.isOnly
  }

  /** The calls that the filter wants, as a JSON array. */
  callsFor(filter: Filter | undefined): string {
    if (filter !== undefined) return toArray(this.#calls.filter((call) => filter.wantsCall(call)))
    this.#all ??= toArray(this.#calls)
    return this.#all
  }

  /** The answer to a subscribe. */
  subscribedFrame(reason: LogGap | undefined, filter: Filter | undefined): Frame {
    const { position } = this
    return this.#once(filter, `subscribed ${reason}`, (calls) => toSubscribedFrame({ position, calls }, reason))
  }

  /** The calls anew, for clients that go on after `position`. */
  snapshotFrame(position: Position, filter: Filter | undefined): Frame {
    const name = `snapshot ${formatPosition(position)}`
    return this.#once(filter, name, (calls) => toSnapshotFrame({ position, calls }))
  }

  #once(filter: Filter | undefined, name: string, make: (calls: string) => Frame): Frame {
    const known = this.#frames.get(filter)
    const found = known?.get(name)
    if (found !== undefined) return found
    const frame = make(this.callsFor(filter))
    this.#bytes += frame.bytes
    if (this.#bytes <= SHARED_BYTES_MAX) this.#frames.set(filter, (known ?? new Map<string, Frame>()).set(name, frame))
    return frame
  }
}

const toArray = (calls: readonly SnapshotCall[]): string => `[${calls.map(({ json }) => json).join(',')}]`

export type SnapshotReaderOptions = {
  readonly log: AppLog
  readonly calls: CallReader
  readonly directory: Directory
  readonly pace: Pick<Pace, 'turn'>
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
  readonly #pace: Pick<Pace, 'turn'>
  #inFlight: Promise<Snapshot> | undefined

  constructor({ log, calls, directory, pace }: SnapshotReaderOptions) {
    this.#pace = pace
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

  /**
   * For one of many: resolves in its turn, with calls of the subscribers that the app has then; or with whatever there
   * is once nobody waits for it. Given a position it includes every event up to there.
   */
  async readInTurn(isWanted: () => boolean, position?: Position): Promise<Snapshot> {
    for (;;) {
      const snapshot = position === undefined ? await this.read() : await this.readFrom(position)
      await this.#pace.turn()
      if (!isWanted() || snapshot.isOnlyOf(this.#log.subscribers.ids)) return snapshot
    }
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
