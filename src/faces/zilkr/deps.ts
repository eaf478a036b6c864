import type { Clock } from '../../core/clock.ts'
import type { Ordering } from '../../provisioning/engine/ordering.ts'
import type { Catalogue } from '../../provisioning/store/catalogue.ts'
import type { Connections } from '../../provisioning/store/connections.ts'
import type { Contacts } from '../../provisioning/store/contacts.ts'
import type { Customers } from '../../provisioning/store/customers.ts'
import type { RequestLog } from '../../provisioning/store/idempotency.ts'
import type { Invoices } from '../../provisioning/store/invoices.ts'
import type { Locations } from '../../provisioning/store/locations.ts'
import type { AvailableNumber, NumberSearch } from '../../provisioning/store/numbers-search.ts'
import type { Orders } from '../../provisioning/store/orders.ts'
import type { PaymentMethods } from '../../provisioning/store/payment-methods.ts'
import type { Reservations } from '../../provisioning/store/reservations.ts'
import type { Services } from '../../provisioning/store/services.ts'

/** What the Zilkr API is about. */
export type ZilkrDeps = {
  readonly customers: Customers
  readonly contacts: Contacts
  readonly paymentMethods: PaymentMethods
  readonly locations: Locations
  readonly connections: Connections
  readonly services: Services
  readonly invoices: Invoices
  readonly catalogue: Catalogue
  readonly orders: Orders
  readonly ordering: Ordering
  readonly reservations: Reservations
  readonly searchNumbers: (search: NumberSearch) => Promise<readonly AvailableNumber[]>
  readonly requests: RequestLog
  readonly encrypt: (token: string) => string
  readonly clock: Clock
}
