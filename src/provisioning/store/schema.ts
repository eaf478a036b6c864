import type { ColumnType, Generated } from 'kysely'
import type { BigSerial, Decimal, DefaultNow, Json } from './column-types.ts'
import type { ItemState, OrderAction, OrderState } from '../model/order.ts'
import type { ContactRole, CustomerStatus, PaymentType, InvoiceLine } from '../model/account.ts'
import type { NumberState } from '../model/number-state.ts'
import type { FulfilmentState, ResumableState } from '../model/fulfilment.ts'
import type { OrderParameters } from '../model/order-terms.ts'
import type { LineOutcome, ProviderAction } from '../model/provider.ts'
import type { RequestTables } from '../requests/store/schema.ts'
import type { SandboxFaultKind, SandboxOperation } from '../adapters/sandbox/fault.ts'
import type { LinePlan, SandboxOrderState, SandboxRequest } from '../adapters/sandbox/plan.ts'

/** The tables of migrations 0004 to 0006. */
export type ProvisioningSchema = RequestTables & {
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
  readonly orders: {
    order_id: string
    customer_id: string
    product_id: string
    face: string
    action: OrderAction
    state: OrderState
    outcome_reason: string | null
    partial_allowed: boolean
    requested_date: Date | null
    external_id: string | null
    parameters: Json<OrderParameters>
    metadata: Json<Readonly<Record<string, string>>>
    quantity_requested: number
    quantity_fulfilled: Generated<number>
    currency: string
    one_time_price: Decimal
    monthly_price: Decimal
    cancel_requested_at: Date | null
    created_at: DefaultNow
    updated_at: DefaultNow
    completed_at: Date | null
    version: Generated<number>
  }
  readonly fulfilments: {
    fulfilment_id: string
    order_id: string
    provider: string
    action: ProviderAction
    state: FulfilmentState
    resume_state: ResumableState | null
    is_compensation: Generated<boolean>
    provider_ref: string | null
    is_cancel_requested: Generated<boolean>
    attempts: Generated<number>
    rechecks: Generated<number>
    /** When it was sent, or an operator last had it go on. */
    waits_since: DefaultNow
    last_error: string | null
    due_at: Date | null
    lease_token: Generated<number>
    leased_until: Date | null
    created_at: DefaultNow
    updated_at: DefaultNow
  }
  readonly order_items: {
    item_id: string
    order_id: string
    product_id: string
    customer_id: string
    e164: string
    action: OrderAction
    state: ItemState
    fulfilment_id: string | null
    provider_ref: string | null
    foc_date: Date | null
    one_time_price: Decimal
    monthly_price: Decimal
    error_code: string | null
    error_message: string | null
    undone_at: Date | null
    updated_at: DefaultNow
  }
  readonly order_history: {
    order_id: string
    seq: BigSerial
    at: DefaultNow
    kind: 'state' | 'milestone' | 'note'
    e164: string | null
    text: string
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
  readonly provider_calls: {
    call_id: BigSerial
    order_id: string | null
    fulfilment_id: string | null
    provider: string
    action: string
    is_response: boolean
    correlation_id: string
    attempt: number
    outcome: string | null
    content: string
    components: ColumnType<unknown, string | undefined, string>
    at: DefaultNow
  }
  readonly ledger: {
    entry_id: BigSerial
    customer_id: string
    order_id: string
    item_id: string
    kind: string
    amount: Decimal
    currency: string
    at: DefaultNow
  }
  readonly invoices: {
    invoice_id: string
    number: BigSerial
    customer_id: string
    order_id: string
    status: string
    currency: string
    lines: Json<readonly InvoiceLine[]>
    subtotal: Decimal
    tax: Decimal
    total: Decimal
    issued_at: DefaultNow
    due_at: Date
    updated_at: DefaultNow
  }
  readonly line_types: {
    prefix: string
    line_type: string
    carrier: string | null
    source: string
    as_of: Date
  }
  readonly sandbox_lines: {
    line_id: string
    account: string
    e164: string
    product: string
    state: 'active' | 'ended'
    attributes: ColumnType<Readonly<Record<string, unknown>>, string | undefined, string>
    started_at: DefaultNow
    ended_at: Date | null
  }
  readonly sandbox_orders: {
    ref: string
    account: string
    idempotency_key: string
    request: Json<SandboxRequest>
    state: SandboxOrderState
    plan: Json<readonly LinePlan[]>
    results: Json<readonly LineOutcome[]>
    visible_at: Date
    ready_at: Date
    late_ms: number | null
    notices_each: number
    notices_due: Generated<number>
    created_at: DefaultNow
  }
  readonly sandbox_faults: {
    fault_id: BigSerial
    account: string
    fault: SandboxFaultKind
    operation: SandboxOperation
    e164: string | null
    product: string | null
    remaining: number | null
    delay_ms: number
    created_at: DefaultNow
  }
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
