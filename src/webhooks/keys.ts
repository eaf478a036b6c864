import type { AppId, EndpointId } from '../core/ids.ts'
import type { Lane } from './delivery.ts'

/**
 * The keys of the delivery engine. All share the hash tag `{wh}`, so one script may touch any of them.
 * What bounds each: the number of endpoints for those that exist once per app or once; the backlog limit
 * and a time to live for those of events and lanes; a length for the records.
 *
 * The scripts derive further keys from the same prefix:
 *
 * - `event:<event id>`: hash `type`, `about`, `payload`, `refs`, the number of lanes that hold it, and
 *   `replay:<endpoint>`, until when a replay of it is pending there;
 * - `expiring:<endpoint>`: sorted set of order keys, by when the first event in the lane expires;
 * - `gate:<endpoint>`: hash with breaker, pause, rate limit and the count of failures;
 * - `skipped:<endpoint>:<order key>`: list of what was left out of a lane since its last delivery.
 */
const PREFIX = 'ch:{wh}:'

/** Prefix of all keys of BullMQ. */
export const QUEUE_PREFIX = `${PREFIX}bull`

/** Set of app ids that have a cursor. */
export const APPS_KEY = `${PREFIX}apps`

/** Hash endpoint id → number of events pending for it. */
export const COUNTS_KEY = `${PREFIX}counts`

/** Stream of what has become of deliveries, until the recorder has written it to the records. */
export const RECORDS_KEY = `${PREFIX}records`

/** Which recorder works on it. */
export const RECORDER_LOCK_KEY = `${PREFIX}recorder-lock`

/** There while entries are being written: some were within the last seconds. */
export const RECORDING_KEY = `${PREFIX}recording`

/** How many entries did not fit into it. */
export const LOST_RECORDS_KEY = `${PREFIX}lost-records`

/** Hash endpoint id → `epoch:offset` up to which the app's log has been taken for it. */
export const cursorsKey = (appId: AppId): string => `${PREFIX}cursors:${appId}`

/** What an endpoint has besides its cursor. */
export const endpointKeys = (endpointId: EndpointId) => ({
  /** Sorted set of order keys that have something pending, by when to look after them unasked. */
  lanes: `${PREFIX}lanes:${endpointId}`,
  /** Sorted set of order keys that hold one of the endpoint's slots, by when the slot lapses. */
  running: `${PREFIX}running:${endpointId}`,
  /** Sorted set of order keys that wait for a slot, by since when. */
  waiting: `${PREFIX}waiting:${endpointId}`,
  gate: `${PREFIX}gate:${endpointId}`,
})

/** What a lane has. */
export const laneKeys = ({ endpointId, orderKey }: Pick<Lane, 'endpointId' | 'orderKey'>) => ({
  /** List of tokens (see delivery.ts), the next one first. */
  pending: `${PREFIX}pending:${endpointId}:${orderKey}`,
  /** Hash `owner`, `event`, `attempts`, `failed`, `due`: who works on the lane, and how its first event fares. */
  turn: `${PREFIX}turn:${endpointId}:${orderKey}`,
})
