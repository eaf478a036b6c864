import type { ColumnType, Generated } from 'kysely'
import type { Direction } from '../core/call.ts'
import type { DeliveryClass, PolicyOverrides } from '../core/delivery-policy.ts'
import type { AttemptOutcome, DeliveryStatus } from '../core/delivery-record.ts'
import type { DisabledReason, SignatureScheme } from '../core/endpoint.ts'
import type { EndpointId, NetworkId, AppId, Shard, SubscriberId } from '../core/ids.ts'
import type { OperatorEventType } from '../core/operator-event.ts'

/**
 * The tables as Kysely sees them; the migrations make them. Timestamps are `timestamptz` with the
 * milliseconds of the process's clock. JSON columns are written as text, because `pg` would turn an
 * array into a PostgreSQL array.
 */
export type Schema = {
  readonly networks: {
    readonly network_id: NetworkId
    readonly shard: Shard
    name: string
    readonly adapter: string
    config: Json<Readonly<Record<string, unknown>>>
    readonly channel_set_id: string
    readonly created_at: Date
    updated_at: Date
    channel_restarts: Generated<number>
  }
  readonly network_secrets: {
    readonly network_id: NetworkId
    readonly name: string
    /** A cipher envelope. */
    value: string
  }
  readonly apps: {
    readonly app_id: AppId
    readonly shard: Shard
    readonly name: string
    readonly created_at: Date
  }
  readonly api_keys: {
    readonly key_id: string
    readonly app_id: AppId
    readonly name: string | null
    readonly prefix: string
    /** HMAC-SHA-256 of the key's text, in hexadecimal. */
    readonly hash: string
    readonly created_at: Date
  }
  readonly subscribers: {
    readonly app_id: AppId
    readonly subscriber_id: SubscriberId
    network_id: NetworkId
    /** That of the app and of the network: two foreign keys hold it equal to both. */
    readonly shard: Shard
    subscriber_number: string
    subscriber_name: string | null
    subscriber_account_id: string | null
    /** When it was made, or moved to its network. */
    created_at: Date
    announced_at: Date | null
  }
  /** Assignments that are no more, until the app's log says so; in the order in which they ended. */
  readonly subscriber_departures: {
    readonly departure_id: Generated<number | bigint>
    readonly app_id: AppId
    readonly subscriber_id: SubscriberId
    readonly network_id: NetworkId
    readonly subscriber_number: string
    readonly subscriber_name: string | null
    readonly subscriber_account_id: string | null
    readonly created_at: Date
    readonly announced_at: Date | null
  }
  readonly endpoints: {
    readonly endpoint_id: EndpointId
    readonly app_id: AppId
    url: string
    description: string | null
    event_types: Json<readonly string[] | null>
    enabled: boolean
    readonly created_at: Date
    updated_at: Date
    failover_url: string | null
    metadata: Json<Readonly<Record<string, string>> | null>
    subscriber_ids: Json<readonly SubscriberId[] | null>
    directions: Json<readonly Direction[] | null>
    policies: Json<PolicyOverrides | null>
    order_hold_ms: number
    coalesce: boolean
    max_in_flight: number
    rate_per_second: number | null
    signatures: Json<readonly SignatureScheme[]>
    ca_certificates: string | null
    /** Null exactly while it is enabled. */
    disabled_reason: DisabledReason | null
    verified: boolean
    header_names: Json<readonly string[]>
    /** A cipher envelope of the headers as a JSON object; null when there are none. */
    headers: string | null
    /** That of the current `v1a` secret. */
    public_key: string | null
  }
  readonly endpoint_secrets: {
    readonly secret_id: string
    readonly endpoint_id: EndpointId
    readonly kind: SignatureScheme
    /** A cipher envelope. */
    readonly value: string
    readonly created_at: Date
    /** When a replaced secret stops signing; null while it is the current one. */
    expires_at: Date | null
  }
  readonly webhook_events: {
    readonly event_id: string
    readonly app_id: AppId
    readonly type: string
    readonly order_key: string
    readonly call_id: string | null
    readonly subscriber_id: string | null
    readonly sequence: string | null
    readonly occurred_at: Date
    /** How many deliveries refer to it; it goes with the last one. */
    deliveries: number
    readonly payload: string
  }
  readonly deliveries: {
    readonly delivery_id: string
    readonly app_id: AppId
    readonly endpoint_id: EndpointId
    readonly event_id: string
    /** As the event's; here to be found by. */
    readonly call_id: string | null
    readonly type: string
    readonly class: DeliveryClass
    status: DeliveryStatus
    attempts: number
    replays: number
    readonly created_at: Date
    expires_at: Date
    ended_at: Date | null
    next_attempt_at: Date | null
    last_attempt_at: Date | null
    last_outcome: AttemptOutcome | null
    last_status: number | null
    /** Ids of the facts that ended or replayed it, so that none of them counts twice. */
    marks: readonly string[] | null
    /** JSON of the attempt that was made before the delivery was recorded; none of `attempts` is it. */
    readonly first_attempt: string | null
  }
  readonly attempts: {
    readonly delivery_id: string
    readonly fact_id: string
    readonly number: number
    readonly started_at: Date
    readonly target: 'primary' | 'failover'
    readonly outcome: AttemptOutcome
    readonly status: number | null
    readonly dns_ms: number | null
    readonly connect_ms: number | null
    readonly tls_ms: number | null
    readonly first_byte_ms: number | null
    readonly total_ms: number
    readonly remote_address: string | null
    readonly reused: boolean | null
    readonly replay: boolean
    readonly response: string | null
  }
  /** Apps whose deliveries are still to be removed, or may still come from the delivery engine. */
  readonly removed_apps: {
    readonly app_id: AppId
    readonly removed_at: Date
  }
  readonly operator_events: {
    readonly event_id: Generated<number | bigint>
    readonly type: OperatorEventType
    readonly at: Date
    readonly app_id: AppId | null
    readonly endpoint_id: EndpointId | null
    readonly details: Json<Readonly<Record<string, string | number>>>
  }
  readonly idempotency: {
    readonly app_id: AppId
    readonly key: string
    request_hash: string
    request: string
    started_at: Date
    status: number | null
    body: string | null
  }
  /** One row: the version of the directory's newest change. */
  readonly directory_version: {
    version: number
  }
  readonly directory_changes: {
    readonly version: number
    readonly kind: 'network' | 'app' | 'key' | 'subscriber' | 'endpoint'
    /** The app's id, or the network's for a change of a network. */
    readonly owner_id: string
    /** The key's, subscriber's or endpoint's id; empty for apps and networks. */
    readonly item_id: string
  }
  /** One row: a known text under the secret key, to notice another key at once. */
  readonly secret_key_check: {
    readonly id: Generated<number>
    readonly value: string
  }
  readonly migrations: {
    readonly name: string
    readonly applied_at: Date
  }
}

type Json<Value> = ColumnType<Value, string | Extract<Value, null>, string | Extract<Value, null>>
