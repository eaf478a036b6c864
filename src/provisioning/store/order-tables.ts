import type { ColumnType, Generated } from 'kysely'
import type { InvoiceLine } from '../model/account.ts'
import type { FulfilmentState, ResumableState } from '../model/fulfilment.ts'
import type { OrderParameters } from '../model/order-terms.ts'
import type { ItemState, OrderAction, OrderState } from '../model/order.ts'
import type { ProviderAction } from '../model/provider.ts'
import type { BigSerial, Decimal, DefaultNow, Json } from './column-types.ts'

/** Orders, what is done for them at providers, and what is billed for them. */
export type OrderTables = {
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
}
