import type { Generated } from 'kysely'
import type { ContactRole, CustomerStatus, PaymentType } from '../model/account.ts'
import type { DefaultNow, Json } from './column-types.ts'

/** Customers, who may act for them, and what they have besides numbers. */
export type CustomerTables = {
  readonly customers: {
    customer_id: string
    app_id: string | null
    external_id: string | null
    name: string
    status: CustomerStatus
    country: string
    currency: string
    time_zone: string | null
    default_payment_method_id: string | null
    metadata: Json<Readonly<Record<string, string>>>
    created_at: DefaultNow
    updated_at: DefaultNow
    removed_at: Date | null
    version: Generated<number>
  }
  readonly provisioning_keys: {
    key_id: string
    app_id: string
    hash: string
    prefix: string
    name: string | null
    is_limited: boolean
    created_at: DefaultNow
  }
  readonly provisioning_key_customers: {
    key_id: string
    customer_id: string
  }
  readonly contacts: {
    contact_id: string
    customer_id: string
    first_name: string
    last_name: string
    email: string
    phone: string | null
    role: ContactRole
    language: string | null
    created_at: DefaultNow
    updated_at: DefaultNow
    version: Generated<number>
  }
  readonly payment_methods: {
    payment_method_id: string
    customer_id: string
    type: PaymentType
    token: string | null
    brand: string | null
    last4: string | null
    exp_month: number | null
    exp_year: number | null
    is_default: boolean
    status: string
    created_at: DefaultNow
    updated_at: DefaultNow
    version: Generated<number>
  }
  readonly product_locations: {
    location_id: string
    customer_id: string
    name: string
    line1: string
    line2: string | null
    city: string
    region: string | null
    postal_code: string
    country: string
    latitude: number | null
    longitude: number | null
    emergency_address_status: string
    created_at: DefaultNow
    updated_at: DefaultNow
    version: Generated<number>
  }
  readonly connections: {
    connection_id: string
    customer_id: string
    type: string
    name: string
    status: string
    channels: number | null
    location_id: string | null
    provider: string | null
    created_at: DefaultNow
    updated_at: DefaultNow
  }
}
