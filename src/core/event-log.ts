import type { AppRef, SubscriberId } from './ids.ts'
import type { Position } from './position.ts'

/** One entry of an app's log, as every consumer (webhooks, streams, long poll) reads it. */
export type LogEntry = {
  readonly position: Position
  /** `call.ringing`, `subscriber.assigned` … */
  readonly type: string
  /** Entries with the same key must reach a consumer in log order; others need not wait for each other. */
  readonly orderKey: string
  /** Whom the entry is about; absent when it is about no subscriber. */
  readonly subscriberId?: SubscriberId
  /** The payload exactly as the app receives it: JSON, serialised once. */
  readonly payload: string
  /** When it was appended, in milliseconds since the epoch; absent of entries that earlier versions wrote. */
  readonly at?: number
}

/** Why entries after a position cannot be read. */
export type LogGap = 'epoch_changed' | 'trimmed' | 'ahead_of_log'

/** `oldest` is the earliest position of the present epoch to read after: from there on nothing is missing. */
export type LogSlice =
  | { readonly kind: 'entries'; readonly entries: readonly LogEntry[]; readonly top: Position }
  | { readonly kind: 'gap'; readonly reason: LogGap; readonly oldest: Position; readonly top: Position }

/** An app's ordered log of everything it is told. The log is the outbox: there is no other way out. */
export interface EventLog {
  /** The position of the newest entry; offset 0 when there is none. */
  top(app: AppRef): Promise<Position>
  /** Up to `limit` entries after `after`, or the reason why that cannot be proven complete. */
  read(app: AppRef, after: Position, limit: number): Promise<LogSlice>
  /**
   * Appends an entry that does not come from a call. `id` makes a repeated append do nothing
   * (remembered for a day).
   */
  append(app: AppRef, entry: Omit<LogEntry, 'position' | 'at'> & { readonly id: string }): Promise<void>
  /**
   * Calls `onWake` when the app's log may have grown: a hint, which may be lost or spurious.
   * The returned function ends that.
   */
  watch(app: AppRef, onWake: () => void): () => void
}
