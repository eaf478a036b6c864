import type { AppId, EndpointId } from '../core/ids.ts'
import type { Lane } from './delivery.ts'

/**
 * The keys of the delivery engine. All share the hash tag `{wh}`, so one script may touch any of them.
 * What bounds each: the number of endpoints for those that exist once per app or once; the backlog limit
 * and a time to live for those of events and lanes.
 */
const PREFIX = 'ch:{wh}:'

/** Prefix of all keys of BullMQ. */
export const QUEUE_PREFIX = `${PREFIX}bull`

/** Set of app ids that have a cursor. */
export const APPS_KEY = `${PREFIX}apps`

/** Hash endpoint id → number of events pending for it. */
export const COUNTS_KEY = `${PREFIX}counts`

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
})

/** What a lane has. The scripts build the same names for lanes that they are not called for. */
export const laneKeys = ({ endpointId, orderKey }: Lane) => ({
  /** List of event ids, the next one first. */
  pending: `${PREFIX}pending:${endpointId}:${orderKey}`,
  /** Hash `owner`, `event`, `attempts`, `due`: who works on the lane, and how its first event fares. */
  turn: `${PREFIX}turn:${endpointId}:${orderKey}`,
})
