import type { AppRepository } from '../../core/app.ts'
import type { Clock } from '../../core/clock.ts'
import type { SandboxProvider } from '../../provisioning/adapters/sandbox/provider.ts'
import type { Ordering } from '../../provisioning/engine/ordering.ts'
import type { Environments } from '../../provisioning/requests/store/environments.ts'
import type { LinkTypes } from '../../provisioning/requests/store/link-types.ts'
import type { AuditTrail } from '../../provisioning/store/audit-trail.ts'
import type { CatalogueImport } from '../../provisioning/store/catalogue-import.ts'
import type { Connections } from '../../provisioning/store/connections.ts'
import type { Customers } from '../../provisioning/store/customers.ts'
import type { HeldOrders } from '../../provisioning/store/held-orders.ts'
import type { Invoices } from '../../provisioning/store/invoices.ts'
import type { ProvisioningKeys } from '../../provisioning/store/keys.ts'
import type { LineCredentials } from '../../provisioning/store/line-credentials.ts'
import type { LineTypes } from '../../provisioning/store/line-types.ts'
import type { OptOuts } from '../../provisioning/store/opt-outs.ts'

/** What operators decide about provisioning. */
export type AdminProvisioningDeps = {
  readonly apps: Pick<AppRepository, 'find'>
  readonly keys: ProvisioningKeys
  readonly customers: Customers
  readonly connections: Connections
  readonly invoices: Invoices
  readonly catalogueImport: CatalogueImport
  readonly lineTypes: LineTypes
  readonly credentials: LineCredentials
  readonly optOuts: OptOuts
  readonly environments: Environments
  readonly linkTypes: LinkTypes
  readonly heldOrders: HeldOrders
  readonly ordering: Ordering
  readonly auditTrail: AuditTrail
  readonly sandbox: Pick<SandboxProvider, 'faults' | 'setFaults'>
  /** The ids of the adapters that products can be delivered by. */
  readonly providers: ReadonlySet<string>
  readonly clock: Clock
}
