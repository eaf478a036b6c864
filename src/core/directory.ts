import type { Caller } from './app.ts'
import type { EndpointDelivery, EndpointFilter } from './endpoint.ts'
import type { AppId, AppRef, EndpointId, NetworkId, NetworkRef, SubscriberId } from './ids.ts'

/** That an app may see and control a subscriber, and how the app knows the subscriber. */
export type Assignment = {
  readonly app: AppRef
  readonly network: NetworkRef
  readonly subscriberId: SubscriberId
  readonly subscriberNumber: string
  readonly subscriberName?: string
  readonly subscriberAccountId?: string
}

/** What the dispatcher needs to know of a webhook endpoint; its credentials are asked for apart. */
export type EndpointSummary = EndpointFilter &
  EndpointDelivery & {
    readonly endpointId: EndpointId
    readonly app: AppRef
    /** Enabled and verified: events are taken for it. */
    readonly enabled: boolean
    /** False while its receiver has yet to prove that it wants what is sent there. */
    readonly verified: boolean
  }

/**
 * Who belongs to whom, from memory: asked for every event, so it never waits. It follows the records
 * with a delay of at most a few seconds on other instances and none on the one that made the change.
 */
export interface Directory {
  apps(): readonly AppRef[]
  app(appId: AppId): AppRef | undefined
  network(networkId: NetworkId): NetworkRef | undefined
  /** The app that has a key, by the key's public id; undefined once it is revoked. */
  key(keyId: string): Required<Caller> | undefined
  /** The apps that a subscriber is assigned to. */
  assignmentsOf(networkId: NetworkId, subscriberId: SubscriberId): readonly Assignment[]
  assignmentsOfApp(appId: AppId): readonly Assignment[]
  /** The subscribers that some app is assigned to: those worth subscribing to. */
  subscribersOf(networkId: NetworkId): readonly SubscriberId[]
  endpointsOf(appId: AppId): readonly EndpointSummary[]
  /** Calls `listener` after each change; the returned function ends that. */
  onChange(listener: () => void): () => void
}
