import type { AppRef, CallId, NetworkRef, Shard, SubscriberId } from '../core/ids.ts'

/**
 * Names of all Redis keys of call state. The shard is the hash tag, so that one script may touch a
 * subscriber and the logs of its apps (ADR 0003). Ids are percent-encoded: none can contain the
 * separator or a brace. Every key has a TTL, refreshed by each write; see `TTL`.
 */
const inShard = (shard: Shard, ...parts: readonly string[]): string =>
  `ch:{${shard}}:${parts.map(encodeURIComponent).join(':')}`

const inNetwork = ({ shard, networkId }: NetworkRef, kind: string, ...parts: readonly string[]): string =>
  inShard(shard, kind, networkId, ...parts)

/**
 * Hash of one subscriber: `v` (token of the last commit), `head` (JSON), `live` (JSON array of the ids of
 * calls that exist), and per call `c:<callId>` (record, JSON) and `s:<callId>` (last sequence number).
 */
export const subscriberKey = (network: NetworkRef, subscriberId: SubscriberId): string =>
  inNetwork(network, 'sub', subscriberId)

/** Set of the ids of a network's subscribers that have live calls. */
export const liveKey = (network: NetworkRef): string => inNetwork(network, 'live')

/** Set of the ids of the subscribers that have a call of this id, live or ended. */
export const callKey = (network: NetworkRef, callId: CallId): string => inNetwork(network, 'call', callId)

/** Stream of an app's log; entry ids are `<epoch>-<offset>`. */
export const logKey = ({ shard, appId }: AppRef): string => inShard(shard, 'log', appId)

/** Hash of the log's present position: `epoch`, `offset`, and `replid`, the data set it was counted in. */
export const metaKey = ({ shard, appId }: AppRef): string => inShard(shard, 'meta', appId)

/** Exists when the log entry with this id was appended. */
export const appendedKey = ({ shard, appId }: AppRef, id: string): string => inShard(shard, 'once', appId, id)

/** Pub/Sub channel (no key) on which the ids of apps whose log grew are published. */
export const wakeChannel = (shard: Shard): string => inShard(shard, 'wake')

/** Matches every lease of every network. */
export const LEASE_PATTERN = 'ch:{*}:lease:*'

/**
 * A lease's keys, in the order of the scripts: the token of its holder, gone when nobody holds it; the
 * newest token granted, older ones of which are refused by the commit script; the holder's note; the
 * instance that asks for it.
 */
export const leaseKeys = (network: NetworkRef, name: string): readonly string[] => [
  inNetwork(network, 'lease', name),
  fenceKey(network, name),
  inNetwork(network, 'note', name),
  inNetwork(network, 'claim', name),
]

/** The newest token granted for the lease. */
export const fenceKey = (network: NetworkRef, name: string): string => inNetwork(network, 'fence', name)

/** Number of the last doubt whether a network's calls are known. */
export const doubtKey = (network: NetworkRef): string => inNetwork(network, 'doubt')

/** The doubt after which all calls of a network were confirmed. */
export const confirmedKey = (network: NetworkRef): string => inNetwork(network, 'confirmed')

/** The generation given to a subscription. */
export const generationKey = (network: NetworkRef, subscriptionId: string): string =>
  inNetwork(network, 'gen', subscriptionId)

/** The newest generation given in a network. */
export const lastGenerationKey = (network: NetworkRef): string => inNetwork(network, 'lastgen')

/** The app whose stream the token of this hash opens. In no shard: each token is a key of its own. */
export const streamTokenKey = (tokenHash: string): string => `ch:stream-token:${tokenHash}`

/** Sorted set of the gateway's instances by their last sign of life. In no shard: an instance serves all. */
export const INSTANCES_KEY = 'ch:instances'

/** Holds a value for as long as the data does: another value means that the data was lost. */
export const DATA_KEY = 'ch:data'

const HOUR_MS = 3_600_000

/** Lives of keys after the last write, in milliseconds. */
export const TTL = {
  /** A day of tombstones and an hour to spare; the watchdog ends calls unconfirmed for a day before that. */
  state: 25 * HOUR_MS,
  /** How long an app's position stays good while nothing happens. */
  log: 7 * 24 * HOUR_MS,
  /** How long a repeated append is recognised. */
  appended: 24 * HOUR_MS,
  /** Longer than any subscription stays unused. */
  generation: 7 * 24 * HOUR_MS,
  fence: 7 * 24 * HOUR_MS,
  /** A wish that is not repeated is no wish any more. */
  claim: 5_000,
  confirmation: 7 * 24 * HOUR_MS,
  /** How long an instance that is not heard of is still listed, as a dead one. */
  instance: 60_000,
  data: 7 * 24 * HOUR_MS,
} as const
