import type { Selectable, Updateable } from 'kysely'
import type { Endpoint, EndpointChange, EndpointDelivery, EndpointFilter } from '../core/endpoint.ts'
import type { Schema } from './schema.ts'

type EndpointRow = Selectable<Schema['endpoints']>

/** The columns that decide which events are sent and how: all that the directory reads. */
export const DELIVERY_COLUMNS = [
  'endpoints.url',
  'endpoints.failover_url',
  'endpoints.event_types',
  'endpoints.subscriber_ids',
  'endpoints.directions',
  'endpoints.policies',
  'endpoints.order_hold_ms',
  'endpoints.coalesce',
  'endpoints.max_in_flight',
  'endpoints.rate_per_second',
  'endpoints.signatures',
  'endpoints.ca_certificates',
] as const

type ColumnName<Column> = Column extends `endpoints.${infer Name}` ? Name : never
export type DeliveryRow = Pick<EndpointRow, ColumnName<(typeof DELIVERY_COLUMNS)[number]>>

export const toDeliveryPart = (row: DeliveryRow): EndpointFilter & EndpointDelivery => ({
  url: row.url,
  ...(row.failover_url !== null && { failoverUrl: row.failover_url }),
  ...(row.event_types !== null && { eventTypes: row.event_types }),
  ...(row.subscriber_ids !== null && { subscriberIds: row.subscriber_ids }),
  ...(row.directions !== null && { directions: row.directions }),
  ...(row.policies !== null && { policies: row.policies }),
  orderHoldMs: row.order_hold_ms,
  coalesce: row.coalesce,
  maxInFlight: row.max_in_flight,
  ...(row.rate_per_second !== null && { ratePerSecond: row.rate_per_second }),
  signatures: row.signatures,
  ...(row.ca_certificates !== null && { caCertificates: row.ca_certificates }),
})

export const toEndpoint = (row: EndpointRow): Endpoint => ({
  endpointId: row.endpoint_id,
  appId: row.app_id,
  ...toDeliveryPart(row),
  ...(row.description !== null && { description: row.description }),
  ...(row.metadata !== null && { metadata: row.metadata }),
  enabled: row.enabled,
  ...(row.disabled_reason !== null && { disabledReason: row.disabled_reason }),
  verified: row.verified,
  headerNames: row.header_names,
  ...(row.public_key !== null && { publicKey: row.public_key }),
  createdAt: row.created_at.getTime(),
  updatedAt: row.updated_at.getTime(),
})

/** What a change sets in the row as it is, but for its secrets and headers; undefined leaves a column as it is. */
export const changedColumns = (row: EndpointRow, change: EndpointChange): Updateable<Schema['endpoints']> => ({
  url: change.url,
  failover_url: change.failoverUrl,
  description: change.description,
  metadata: toJson(change.metadata),
  event_types: toJson(change.eventTypes),
  subscriber_ids: toJson(change.subscriberIds),
  directions: toJson(change.directions),
  policies: toJson(change.policies),
  order_hold_ms: change.orderHoldMs,
  coalesce: change.coalesce,
  max_in_flight: change.maxInFlight,
  rate_per_second: change.ratePerSecond,
  signatures: change.signatures === undefined ? undefined : JSON.stringify(change.signatures),
  ca_certificates: change.caCertificates,
  verified: verifiedColumn(row, change),
  enabled: change.enabled,
  disabled_reason:
    change.enabled === undefined ? undefined : change.enabled ? null : (change.disabledReason ?? 'requested'),
})

function verifiedColumn(row: EndpointRow, change: EndpointChange): boolean | undefined {
  const { verified, provenUrls } = change
  const isOutdated =
    provenUrls !== undefined && (provenUrls.url !== row.url || (provenUrls.failoverUrl ?? null) !== row.failover_url)
  if (verified !== undefined && !isOutdated) return verified
  return hasNewUrl(row, change) ? false : undefined
}

/** Whether somebody may receive now who has not proven to want it; a failover that goes away is nobody. */
function hasNewUrl(row: EndpointRow, { url, failoverUrl }: EndpointChange): boolean {
  if (url !== undefined && url !== row.url) return true
  return typeof failoverUrl === 'string' && failoverUrl !== row.failover_url
}

/** The text of a JSON column: null and undefined mean what they mean to the column. */
export function toJson(value: unknown): string | null | undefined {
  if (value === undefined || value === null) return value
  return JSON.stringify(value)
}
