import type { MessageRate } from './message-budget.ts'

/** What bounds one session. */
export type SessionLimits = {
  /** How long a client may take to subscribe. */
  readonly subscribeTimeoutMs: number
  /** Between two pings. */
  readonly pingIntervalMs: number
  /** Bytes that may wait for a slow client before changes that were overtaken are dropped. */
  readonly outboxSoftBytesMax: number
  /** Bytes that may wait for a slow client at all. */
  readonly outboxBytesMax: number
  /** How long a client may take to read one outbox full of missed events, or the snapshot. */
  readonly drainTimeoutMs: number
  /** How long the store may fail before clients are sent elsewhere. */
  readonly storeTimeoutMs: number
  /** What a client may send. */
  readonly messageRate: MessageRate
  /** Commands of one client that may be under way at a time. */
  readonly commandsInFlightMax: number
}

/** What bounds the streams of one instance. */
export type HubLimits = SessionLimits & {
  /** Streams of one app, waiting long polls included. */
  readonly streamsPerAppMax: number
  /** Pieces of work for clients that come, or catch up, that may wait before more of them are refused. */
  readonly openingsWaitingMax: number
}

export const DEFAULT_LIMITS: HubLimits = {
  subscribeTimeoutMs: 10_000,
  pingIntervalMs: 25_000,
  outboxSoftBytesMax: 256 * 1024,
  outboxBytesMax: 1024 * 1024,
  drainTimeoutMs: 30_000,
  storeTimeoutMs: 15_000,
  messageRate: { perSecond: 20, burst: 40 },
  commandsInFlightMax: 16,
  streamsPerAppMax: 5_000,
  openingsWaitingMax: 4_096,
}
