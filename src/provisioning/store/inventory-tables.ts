import type { ColumnType, Generated } from 'kysely'
import type { NumberState } from '../model/number-state.ts'
import type { OrderAction } from '../model/order.ts'
import type { Decimal, DefaultNow, Json } from './column-types.ts'

/** What can be had, and who has it: the catalogue, the numbers and the holds on them, services and their lines. */
export type InventoryTables = {
  readonly products: {
    product_id: string
    name: string
    kind: 'number' | 'messaging'
    number_type: string | null
    provider: string
    actions: Json<readonly OrderAction[]>
    features: Json<readonly string[]>
    requirements: Json<readonly string[]>
    is_active: Generated<boolean>
    created_at: DefaultNow
    updated_at: DefaultNow
  }
  readonly product_prices: {
    product_id: string
    currency: string
    one_time: Decimal
    monthly: Decimal
  }
  readonly product_countries: {
    product_id: string
    country: string
  }
  readonly cities: {
    city_id: string
    country: string
    name: string
    region: string | null
    area_codes: Json<readonly string[]>
  }
  readonly product_cities: {
    product_id: string
    city_id: string
  }
  readonly numbers: {
    e164: string
    /** Without the country calling code. */
    national: ColumnType<string, never, never>
    product_id: string
    country: string
    region: string | null
    city_id: string | null
    area_code: string | null
    line_type: string | null
    features: ColumnType<unknown, string | undefined, string>
    state: NumberState
    customer_id: string | null
    order_id: string | null
    reservation_id: string | null
    reserved_until: Date | null
    aging_until: Date | null
    updated_at: DefaultNow
    version: Generated<number>
  }
  readonly reservations: {
    reservation_id: string
    customer_id: string
    state: string
    ttl_seconds: number
    extended_count: Generated<number>
    expires_at: Date
    max_expires_at: Date
    created_at: DefaultNow
    updated_at: DefaultNow
  }
  readonly reservation_items: {
    reservation_id: string
    e164: string
    state: string
    expires_at: Date
  }
  readonly services: {
    service_id: string
    customer_id: string
    product_id: string
    e164: string
    state: string
    external_id: string | null
    location_id: string | null
    connection_id: string | null
    features: Json<readonly string[]>
    caller_name: string | null
    directory_listing: string | null
    currency: string
    monthly_price: Decimal
    order_id: string
    provider_ref: string | null
    activated_at: DefaultNow
    ended_at: Date | null
    updated_at: DefaultNow
  }
  readonly line_credentials: {
    hash: string
    customer_id: string
    e164: string
    kind: 'session_key' | 'password'
    created_at: DefaultNow
  }
  readonly messaging_opt_outs: {
    line: string
    number: string
    state: 'stop' | 'unstop'
    updated_at: Date
  }
  readonly line_types: {
    prefix: string
    line_type: string
    carrier: string | null
    source: string
    as_of: Date
  }
}
