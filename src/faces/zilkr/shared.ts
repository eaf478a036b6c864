import { GatewayError } from '../../core/errors.ts'
import type { Scope } from '../../core/provisioning-scope.ts'

/** Of the operations in the OpenAPI document. */
export const TAGS = {
  customers: 'Customers',
  contacts: 'Contacts',
  paymentMethods: 'Payment methods',
  locations: 'Locations',
  inventory: 'Inventory',
  invoices: 'Invoices',
  catalogue: 'Products and countries',
  orders: 'Orders',
  numbers: 'Numbers and reservations',
} as const

/** What `access: 'provisioning'` promises. */
export function scopeOf(scope: Scope | undefined): Scope {
  if (scope === undefined) throw new GatewayError('internal')
  return scope
}
