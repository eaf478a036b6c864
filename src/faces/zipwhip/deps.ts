import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/logger.ts'
import type { ProvisioningKeyCheck } from '../../core/provisioning-scope.ts'
import type { Customers } from '../../provisioning/store/customers.ts'
import type { LineCredentials } from '../../provisioning/store/line-credentials.ts'
import type { OptOuts } from '../../provisioning/store/opt-outs.ts'
import type { ZipwhipLines } from './lines.ts'

/** What the Zipwhip API is about. */
export type ZipwhipDeps = {
  readonly lines: ZipwhipLines
  readonly customers: Customers
  readonly credentials: LineCredentials
  readonly optOuts: OptOuts
  readonly keys: ProvisioningKeyCheck
  /** Answers errors with status 200, too, as clients expect that look at nothing but the body. */
  readonly alwaysOk: boolean
  readonly clock: Clock
  readonly log: Logger
}
