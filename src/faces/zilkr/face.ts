import type { Hono } from 'hono'
import type { HttpEnv } from '../../http/context.ts'
import type { DefineOperation } from '../../http/operation.ts'
import type { ZilkrDeps } from './deps.ts'
import { addAccountRoutes } from './routes/accounts.ts'
import { addCatalogueRoutes } from './routes/catalogue.ts'
import { addCustomerRoutes } from './routes/customers.ts'
import { addInventoryRoutes } from './routes/inventory.ts'
import { addNumberRoutes } from './routes/numbers.ts'
import { addOrderRoutes } from './routes/orders.ts'

/** The Zilkr Provisioning API: all 47 operations of its document. */
export function addZilkrFace(app: Hono<HttpEnv>, define: DefineOperation, deps: ZilkrDeps): void {
  addCustomerRoutes(app, define, deps)
  addAccountRoutes(app, define, deps)
  addInventoryRoutes(app, define, deps)
  addCatalogueRoutes(app, define, deps)
  addOrderRoutes(app, define, deps)
  addNumberRoutes(app, define, deps)
}
