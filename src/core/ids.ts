import * as v from 'valibot'

/**
 * Branded identifiers. A plain string cannot be passed where one of these is expected;
 * values are made by parsing at an edge (a route, a record, an XSI document).
 */
const id = <const Name extends string>(name: Name, maxLength: number) =>
  v.pipe(v.string(), v.minLength(1), v.maxLength(maxLength), v.brand(name))

/** One provider deployment (a UUID we assign). */
export const NetworkIdSchema = id('NetworkId', 64)
export type NetworkId = v.InferOutput<typeof NetworkIdSchema>

/** A third-party application (a UUID we assign). */
export const AppIdSchema = id('AppId', 64)
export type AppId = v.InferOutput<typeof AppIdSchema>

/** A provider's user, by the provider's own id (BroadWorks: `user@domain`). */
export const SubscriberIdSchema = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxLength(161),
  // BroadWorks allows no slash in an id (XSI Interface Specification 2020.07, p. 32); control characters are nobody's.
  // oxlint-disable-next-line no-control-regex
  v.regex(/^[^/\u0000-\u001f\u007f]*$/, 'must not contain a slash or control characters'),
  v.brand('SubscriberId'),
)
export type SubscriberId = v.InferOutput<typeof SubscriberIdSchema>

/** One call half, by the provider's own id (BroadWorks: `callhalf-<session>:<leg>`); opaque. */
export const CallIdSchema = id('CallId', 256)
export type CallId = v.InferOutput<typeof CallIdSchema>

/** A registered webhook URL of an app. */
export const EndpointIdSchema = id('EndpointId', 64)
export type EndpointId = v.InferOutput<typeof EndpointIdSchema>

export const toNetworkId = (text: string): NetworkId => v.parse(NetworkIdSchema, text)
export const toAppId = (text: string): AppId => v.parse(AppIdSchema, text)
export const toSubscriberId = (text: string): SubscriberId => v.parse(SubscriberIdSchema, text)
export const toCallId = (text: string): CallId => v.parse(CallIdSchema, text)
export const toEndpointId = (text: string): EndpointId => v.parse(EndpointIdSchema, text)

/**
 * The part of Redis that a network's and an app's keys live in: the hash tag of those keys. An app's
 * log is written in the script that writes a call, so both must be in one shard (ADR 0003).
 */
export const ShardSchema = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9-]{1,32}$/, 'a shard name has 1 to 32 characters of a-z, 0-9 and -'),
  v.brand('Shard'),
)
export type Shard = v.InferOutput<typeof ShardSchema>

/** A network, and where its keys are. */
export type NetworkRef = { readonly networkId: NetworkId; readonly shard: Shard }
/** An app, and where its keys are. */
export type AppRef = { readonly appId: AppId; readonly shard: Shard }
