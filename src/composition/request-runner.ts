import type { Registry } from 'prom-client'
import { systemClock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { Ordering } from '../provisioning/engine/ordering.ts'
import { RequestRunner } from '../provisioning/requests/engine/request-runner.ts'
import { GlobalInformation } from '../provisioning/requests/store/global-information.ts'
import type { ProvisioningDatabase } from '../provisioning/store/database.ts'
import type { Cipher } from '../records/cipher.ts'

/** What runs provisioning requests. */
export function buildRequestRunner(base: {
  readonly database: ProvisioningDatabase
  readonly ordering: Ordering
  readonly cipher: Cipher
  readonly log: Logger
  readonly registry: Registry
  /** Apps are to be told something. */
  readonly onEvent?: () => void
}): RequestRunner {
  const { database, ordering, cipher, log, registry, onEvent } = base
  const globals = new GlobalInformation({ database, secret: cipher.hash('OData skip tokens') }, cipher)
  return new RequestRunner({
    database,
    ordering,
    readGlobals: (queries, environmentId, names) => globals.valuesOf(queries, environmentId, names),
    clock: systemClock,
    log: log.child({ component: 'request-runner' }),
    registry,
    ...(onEvent !== undefined && { onEvent }),
  })
}
