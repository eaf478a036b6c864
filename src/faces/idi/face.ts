import type { Hono } from 'hono'
import type { HttpEnv } from '../../http/context.ts'
import type { DefineOperation } from '../../http/operation.ts'
import type { IdiDeps } from './deps.ts'
import { idiAdder } from './operation.ts'
import { addAuxiliaryRoutes } from './routes/auxiliary.ts'
import { addDataDefinitionRoutes } from './routes/data-definitions.ts'
import { addDefinitionRoutes } from './routes/definitions.ts'
import { addVariableRoutes } from './routes/variables.ts'
import { addGlobalInformationRoutes } from './routes/global-information.ts'
import { addInstallationRoutes } from './routes/installations.ts'
import { addLinkTypeRoutes } from './routes/link-types.ts'
import { addProfileRoutes } from './routes/profiles.ts'
import { addProviderRoutes } from './routes/providers.ts'
import { addScenarioRoutes } from './routes/scenarios.ts'
import { addObjectRoutes } from './routes/objects.ts'
import { addSafeguardRoutes } from './routes/safeguards.ts'
import { addRequestDetailRoutes } from './routes/request-details.ts'
import { addRequestRoutes } from './routes/requests.ts'

/** The IDI Provisioning Management API: 61 operations and a health check, see `IDI_ROUTES`. */
export function addIdiFace(app: Hono<HttpEnv>, define: DefineOperation, deps: IdiDeps): void {
  const add = idiAdder(app, define, deps)
  addAuxiliaryRoutes(add, deps)
  addDataDefinitionRoutes(add, deps)
  addDefinitionRoutes(add, deps)
  addVariableRoutes(add, deps)
  addGlobalInformationRoutes(add, deps)
  addInstallationRoutes(add, deps)
  addLinkTypeRoutes(add, deps)
  addProfileRoutes(add, deps)
  addScenarioRoutes(add, deps)
  addProviderRoutes(add, deps)
  addObjectRoutes(add, deps)
  addSafeguardRoutes(add, deps)
  addRequestRoutes(add, deps)
  addRequestDetailRoutes(add, deps)
}
