import type { CallReader } from '../core/call-reader.ts'
import type { CallResource } from '../core/call-resource.ts'
import { toCallResource } from '../core/call-resource.ts'
import type { Assignment, Directory } from '../core/directory.ts'
import type { EventLog, LogGap } from '../core/event-log.ts'
import type { AppId, AppRef, NetworkId } from '../core/ids.ts'
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
    const byNetwork = new Map<NetworkId, Assignment[]>()
    for (const assignment of this.#directory.assignmentsOfApp(app.appId)) {
      const { networkId } = assignment.network
      const ofNetwork = byNetwork.get(networkId)
      if (ofNetwork === undefined) byNetwork.set(networkId, [assignment])
      else ofNetwork.push(assignment)
    }
    const lists = await Promise.all([...byNetwork.values()].map((assignments) => this.#readNetwork(assignments)))
    return new Snapshot(position, JSON.stringify(lists.flat()))
  }

  /** `assignments` are all to subscribers of one network. */
  async #readNetwork(assignments: readonly Assignment[]): Promise<readonly CallResource[]> {
    const network = assignments[0]?.network
    if (network === undefined) return []
    const bySubscriber = new Map(assignments.map((assignment) => [assignment.subscriberId, assignment]))
    const stored = await this.#calls.liveCalls(network, [...bySubscriber.keys()])
    return stored.flatMap((call) => {
      const assignment = bySubscriber.get(call.subscriberId)
      return assignment === undefined ? [] : [toCallResource(call, assignment)]
    })
  }
}
