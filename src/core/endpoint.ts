import type { Direction } from './call.ts'
import type { PolicyOverrides } from './delivery-policy.ts'
import { matchesType } from './delivery-policy.ts'
import type { AppId, EndpointId, SubscriberId } from './ids.ts'

/** `v1` is HMAC with a shared secret, `v1a` ed25519 with a public key (Standard Webhooks 1.0.0). */
export const SIGNATURE_SCHEMES = ['v1', 'v1a'] as const
export type SignatureScheme = (typeof SIGNATURE_SCHEMES)[number]

/** Which events an endpoint wants. Whatever is undefined restricts nothing. */
export type EndpointFilter = {
  /** Exact (`call.ringing`) or by prefix (`call.*`). */
  readonly eventTypes?: readonly string[]
  /** Of events that are about a subscriber, only those about one of these. */
  readonly subscriberIds?: readonly SubscriberId[]
  /** Of call events, only those of calls in one of these directions. */
  readonly directions?: readonly Direction[]
}

/** How an endpoint's events are sent. */
export type EndpointDelivery = {
  readonly url: string
  /** Tried within the same attempt when `url` cannot be reached. */
  readonly failoverUrl?: string
  readonly policies?: PolicyOverrides
  /** How long an event of a call may hold up the next one of the same call while it is being retried. */
  readonly orderHoldMs: number
  /** Whether a change that was overtaken by a later one of the same call before it was sent is left out. */
  readonly coalesce: boolean
  /** Events sent at a time, over all instances. */
  readonly maxInFlight: number
  /** Attempts begun per second at most; undefined: no limit. */
  readonly ratePerSecond?: number
  readonly signatures: readonly SignatureScheme[]
  /** PEM of the authorities that its certificate is verified against, instead of the public ones. */
  readonly caCertificates?: string
}

export const ENDPOINT_DEFAULTS = {
  orderHoldMs: 10_000,
  coalesce: false,
  maxInFlight: 10,
  signatures: ['v1'],
} as const satisfies Partial<EndpointDelivery>

/** Bounds of what an endpoint may ask for. */
export const ENDPOINT_LIMITS = {
  orderHoldMs: { min: 0, max: 300_000 },
  maxInFlight: { min: 1, max: 50 },
  ratePerSecond: { min: 1, max: 1_000 },
  headers: 20,
  metadataEntries: 20,
  subscribers: 1_000,
} as const

/** Why an endpoint is not enabled: by its owner, or by the gateway. */
export const DISABLED_REASONS = ['requested', 'gone', 'failing'] as const
export type DisabledReason = (typeof DISABLED_REASONS)[number]

/** A registered webhook URL, as recorded; its secrets and header values are kept apart, encrypted. */
export type Endpoint = EndpointFilter &
  EndpointDelivery & {
    readonly endpointId: EndpointId
    readonly appId: AppId
    readonly description?: string
    /** Whatever its owner wants to remember about it. */
    readonly metadata?: Readonly<Record<string, string>>
    readonly enabled: boolean
    /** Present when it is not enabled. */
    readonly disabledReason?: DisabledReason
    /** Whether whoever receives at the URL has proven to want it; nothing is sent before. */
    readonly verified: boolean
    /** Names of the additional headers of its requests. */
    readonly headerNames: readonly string[]
    /** `whpk_…`, when it has `v1a` signatures. */
    readonly publicKey?: string
    readonly createdAt: number
    readonly updatedAt: number
  }

/** What only the deliverer may see. */
export type EndpointCredentials = {
  /** `whsec_…` and `whsk_…`, those of a kind newest first; a rotated one is among them until it expires. */
  readonly secrets: readonly string[]
  readonly headers: Readonly<Record<string, string>>
  /** What they are for: read together with them, so that none ever goes to a URL that it was not set for. */
  readonly url: string
  readonly failoverUrl?: string
}

/** A new key pair of the `v1a` scheme. */
export type SigningKeyPair = { readonly privateKey: string; readonly publicKey: string }

/** The generated secrets of an endpoint: one of each kind; `asymmetric` only for those that sign with it. */
export type EndpointSecretSet = {
  /** `whsec_…` */
  readonly secret: string
  readonly asymmetric?: SigningKeyPair
}

export type NewEndpoint = Omit<
  Endpoint,
  'endpointId' | 'createdAt' | 'updatedAt' | 'headerNames' | 'publicKey' | 'disabledReason'
> & {
  readonly headers?: Readonly<Record<string, string>>
} & EndpointSecretSet

/** Undefined leaves as it is, `null` takes away. A new URL makes it unverified unless `verified` is given. */
export type EndpointChange = {
  readonly url?: string
  readonly failoverUrl?: string | null
  readonly description?: string | null
  readonly metadata?: Readonly<Record<string, string>> | null
  readonly eventTypes?: readonly string[] | null
  readonly subscriberIds?: readonly SubscriberId[] | null
  readonly directions?: readonly Direction[] | null
  readonly policies?: PolicyOverrides | null
  readonly orderHoldMs?: number
  readonly coalesce?: boolean
  readonly maxInFlight?: number
  readonly ratePerSecond?: number | null
  readonly signatures?: readonly SignatureScheme[]
  /** Needed when `signatures` asks for `v1a` and the endpoint has no key pair yet. */
  readonly asymmetric?: SigningKeyPair
  readonly caCertificates?: string | null
  /** Replaces all of them. */
  readonly headers?: Readonly<Record<string, string>>
  readonly verified?: boolean
  /** With `verified`: the URLs that it is true of. Nothing is verified when the endpoint has others by now. */
  readonly provenUrls?: Pick<EndpointDelivery, 'url' | 'failoverUrl'>
  readonly enabled?: boolean
  /** With `enabled: false`; `requested` unless given. */
  readonly disabledReason?: DisabledReason
  /** The URL that is the reason for the change. Nothing is changed when the endpoint has it no more, as neither of its two. */
  readonly onlyIfUrl?: string
}

export interface EndpointRepository {
  /** Rejects with `app_not_found`, and with `too_many_webhooks` when the app has its maximum. */
  create(endpoint: NewEndpoint): Promise<Endpoint>
  list(appId: AppId): Promise<readonly Endpoint[]>
  /** Those of all apps, or of one, newest first. Rejects with `invalid_request` for a cursor that is not one. */
  listAll(page: {
    readonly limit: number
    readonly cursor?: string
    readonly appId?: AppId
  }): Promise<{ readonly endpoints: readonly Endpoint[]; readonly cursor?: string }>
  find(appId: AppId, endpointId: EndpointId): Promise<Endpoint | undefined>
  /** Resolves with the endpoint as it is then; undefined when there is none. */
  update(appId: AppId, endpointId: EndpointId, change: EndpointChange): Promise<Endpoint | undefined>
  remove(appId: AppId, endpointId: EndpointId): Promise<boolean>
  /**
   * Makes these the current secrets. Those before go on signing beside them for `graceMs`; with 0 they end
   * now. Undefined when there is no such endpoint.
   */
  rotateSecrets(
    appId: AppId,
    endpointId: EndpointId,
    rotation: EndpointSecretSet & { readonly graceMs: number },
  ): Promise<Endpoint | undefined>
  /** Decrypted; undefined when the endpoint was removed. */
  credentialsOf(endpointId: EndpointId): Promise<EndpointCredentials | undefined>
}

/** What a filter looks at. */
export type FilteredEvent = {
  readonly type: string
  readonly subscriberId?: string
  readonly direction?: string
}

/** Whether an endpoint with this filter wants the event. */
export function wantsEvent(filter: EndpointFilter, event: FilteredEvent): boolean {
  const { eventTypes, subscriberIds, directions } = filter
  if (eventTypes !== undefined && !eventTypes.some((pattern) => matchesType(pattern, event.type))) return false
  const { subscriberId, direction } = event
  if (subscriberIds !== undefined && subscriberId !== undefined) {
    if (!subscriberIds.some((wanted) => wanted === subscriberId)) return false
  }
  return directions === undefined || direction === undefined || directions.some((wanted) => wanted === direction)
}
