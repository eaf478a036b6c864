import type { Hono } from 'hono'
import type { HttpEnv } from '../../http/context.ts'
import type { DefineOperation } from '../../http/operation.ts'
import type { AdminProvisioningDeps } from './deps.ts'
import { addAccountRoutes } from './routes/accounts.ts'
import { addCatalogueRoutes } from './routes/catalogue.ts'
import { addEnvironmentRoutes } from './routes/environments.ts'
import { addKeyRoutes } from './routes/keys.ts'
import { addLineRoutes } from './routes/lines.ts'
import { addLinkTypeRoutes } from './routes/link-types.ts'
import { addOperationRoutes } from './routes/operation.ts'
import { addSandboxRoutes } from './routes/sandbox.ts'

/** The operator's side of provisioning, with the admin key. */
export function addAdminProvisioning(app: Hono<HttpEnv>, define: DefineOperation, deps: AdminProvisioningDeps): void {
  addKeyRoutes(app, define, deps)
  addAccountRoutes(app, define, deps)
  addCatalogueRoutes(app, define, deps)
  addEnvironmentRoutes(app, define, deps)
  addLinkTypeRoutes(app, define, deps)
  addLineRoutes(app, define, deps)
  addOperationRoutes(app, define, deps)
  addSandboxRoutes(app, define, deps)
}
