import type { BigSerial, DefaultNow, Json } from './column-types.ts'
import type { CustomerTables } from './customer-tables.ts'
import type { InventoryTables } from './inventory-tables.ts'
import type { OrderTables } from './order-tables.ts'
import type { SandboxTables } from '../adapters/sandbox/tables.ts'
import type { RequestTables } from '../requests/store/schema.ts'

/** The tables of the migrations from 0004 on. */
export type ProvisioningSchema = CustomerTables &
  InventoryTables &
  OrderTables &
  RequestTables &
  SandboxTables &
  CommonTables

/** What all of provisioning shares: kept answers, events to be told, leases and the audit trail. */
type CommonTables = {
  readonly provisioning_idempotency: {
    tenant: string
    route: string
    key: string
    request_hash: string
    status: number | null
    body: string | null
    headers: Json<Readonly<Record<string, string>>> | null
    started_at: DefaultNow
  }
  readonly provisioning_outbox: {
    event_id: BigSerial
    app_id: string
    type: string
    order_key: string
    payload: string
    created_at: DefaultNow
  }
  readonly provisioning_leases: {
    name: string
    holder: string
    until: Date
  }
  readonly audit_chains: {
    chain: string
    length: number
    prev_hash: Buffer
    hash: Buffer
  }
  readonly audit: {
    chain: string
    seq: number
    at: DefaultNow
    actor: string
    entity: string
    entity_id: string
    action: string
    before: Json<unknown> | null
    after: Json<unknown> | null
    correlation_id: string | null
    prev_hash: Buffer
    hash: Buffer
  }
}
