import type { Hono } from 'hono'
import type { HttpEnv } from '../../../http/context.ts'
import type { DefineOperation } from '../../../http/operation.ts'
import { CustomerSchema, toCustomerResource } from '../../zilkr/schemas/accounts.ts'
import {
  ConnectionSchema,
  InvoiceSchema,
  toConnectionResource,
  toInvoiceResource,
} from '../../zilkr/schemas/inventory.ts'
import type { AdminProvisioningDeps } from '../deps.ts'
import {
  ConnectionBody,
  CustomerParams,
  InvoiceParams,
  NewConnectionParams,
  SettlementBody,
  StatusBody,
} from '../schemas/accounts.ts'
import { ADMIN_TAG } from '../tag.ts'

const ADMIN = { kind: 'admin' } as const

/** What of a customer only the operator decides: its status, its connections, what it has paid. */
export function addAccountRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: AdminProvisioningDeps): void {
  const { customers, connections, invoices } = deps
  app.put(
    '/admin/customers/:customerId/status',
    define(
      {
        operationId: 'setCustomerStatus',
        tag: ADMIN_TAG,
        summary: 'Suspend, close or reinstate a customer',
        description: 'What it has in service and on order goes on; it can order nothing more until it is active again.',
        access: 'admin',
        params: CustomerParams,
        body: StatusBody,
        responses: { 200: { description: 'The customer', schema: CustomerSchema } },
        errors: ['customer_not_found'],
      },
      async ({ params, body, c }) => {
        const change = { scope: ADMIN, ...params, ...body, correlationId: c.get('requestId') }
        return { status: 200, json: toCustomerResource(await customers.setStatus(change)) }
      },
    ),
  )
  app.put(
    '/admin/customers/:customerId/connections/:connectionId',
    define(
      {
        operationId: 'putConnection',
        tag: ADMIN_TAG,
        summary: 'Add or replace a connection of a customer',
        access: 'admin',
        params: NewConnectionParams,
        body: ConnectionBody,
        responses: { 200: { description: 'The connection', schema: ConnectionSchema } },
        errors: ['customer_not_found', 'resource_not_found', 'already_exists'],
      },
      async ({ params, body: { capacity, locationId, provider, ...body } }) => {
        const connection = await connections.put({
          ...params,
          ...body,
          ...(capacity !== undefined && { channels: capacity.channels }),
          ...(locationId !== undefined && { locationId }),
          ...(provider !== undefined && { provider }),
        })
        return { status: 200, json: toConnectionResource(connection) }
      },
    ),
  )
  app.put(
    '/admin/customers/:customerId/invoices/:invoiceId',
    define(
      {
        operationId: 'settleInvoice',
        tag: ADMIN_TAG,
        summary: 'Say that an open invoice has been paid, or is void',
        access: 'admin',
        params: InvoiceParams,
        body: SettlementBody,
        responses: { 200: { description: 'The invoice', schema: InvoiceSchema } },
        errors: ['resource_not_found', 'in_use'],
      },
      async ({ params, body }) => ({
        status: 200,
        json: toInvoiceResource(await invoices.settle({ ...params, ...body })),
      }),
    ),
  )
}
