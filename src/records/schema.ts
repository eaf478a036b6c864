import type { ColumnType, Generated } from 'kysely'
import type { EndpointId, NetworkId, AppId, Shard, SubscriberId } from '../core/ids.ts'

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
    readonly created_at: Date
    announced_at: Date | null
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
  }
  readonly endpoint_secrets: {
    readonly secret_id: string
    readonly endpoint_id: EndpointId
    /** A cipher envelope. */
    readonly value: string
    readonly created_at: Date
    /** When a replaced secret stops signing; null while it is the current one. */
    expires_at: Date | null
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

type Json<Value> = ColumnType<Value, string | null, string | null>
