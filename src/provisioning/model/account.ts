export const CUSTOMER_STATUSES = ['active', 'suspended', 'closed'] as const
export type CustomerStatus = (typeof CUSTOMER_STATUSES)[number]

/** What a person at a customer is there for. */
export const CONTACT_ROLES = ['admin', 'billing', 'technical', 'porting'] as const
export type ContactRole = (typeof CONTACT_ROLES)[number]

export const PAYMENT_TYPES = ['card', 'sepa', 'ach', 'invoice'] as const
export type PaymentType = (typeof PAYMENT_TYPES)[number]

/** What everything that belongs to a customer has. */
export type Owned = {
  readonly customerId: string
  readonly createdAt: number
  readonly updatedAt: number
  readonly version: number
}

/** Those fields of a row. */
export const ownedOf = (row: {
  readonly customer_id: string
  readonly created_at: Date
  readonly updated_at: Date
  readonly version: number
}): Owned => ({
  customerId: row.customer_id,
  createdAt: row.created_at.getTime(),
  updatedAt: row.updated_at.getTime(),
  version: row.version,
})

/** Amounts are decimals in text; the currency is the invoice's. */
export type InvoiceLine = {
  readonly orderId: string
  readonly description: string
  readonly quantity: number
  readonly unitAmount: string
  readonly amount: string
}
