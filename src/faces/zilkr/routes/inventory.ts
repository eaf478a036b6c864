import type { Hono } from 'hono'
import * as v from 'valibot'
import type { HttpEnv } from '../../../http/context.ts'
import type { DefineOperation } from '../../../http/operation.ts'
import { CONNECTION_FIELDS } from '../../../provisioning/store/connections.ts'
import { INVOICE_FIELDS } from '../../../provisioning/store/invoices.ts'
import type { ListFields, ListRequest, Page } from '../../../provisioning/store/listing.ts'
import { SERVICE_FIELDS } from '../../../provisioning/store/services.ts'
import type { ZilkrDeps } from '../deps.ts'
import { LINK_HEADER, listQuery, replyWithPage, toListRequest } from '../list-query.ts'
import {
  ConnectionSchema,
  InvoiceSchema,
  ServiceSchema,
  toConnectionResource,
  toInvoiceResource,
  toServiceResource,
} from '../schemas/inventory.ts'
import { CustomerParams } from '../schemas/parameters.ts'
import { scopeOf } from '../../scope-of.ts'
import { TAGS } from '../tags.ts'

/** What customers have and owe, to be read: connections, products in service, invoices. */
export function addInventoryRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: ZilkrDeps): void {
  addReadOnly(app, define, {
    deps,
    segment: 'connections',
    param: 'connectionId',
    names: { one: 'Connection', many: 'Connections' },
    tag: TAGS.inventory,
    summaries: {
      list: 'Get all active connections, e.g. SIP trunks, IP circuits',
      get: 'Get a specific active connection',
    },
    fields: CONNECTION_FIELDS,
    schema: ConnectionSchema,
    list: (customerId, request) => deps.connections.list(customerId, request),
    find: (customerId, id) => deps.connections.find(customerId, id),
    toResource: toConnectionResource,
  })
  addReadOnly(app, define, {
    deps,
    segment: 'products',
    param: 'productId',
    names: { one: 'CustomerProduct', many: 'CustomerProducts' },
    tag: TAGS.inventory,
    summaries: { list: 'Get all in-service products of a customer', get: 'Get a specific in-service product' },
    fields: SERVICE_FIELDS,
    schema: ServiceSchema,
    list: (customerId, request) => deps.services.list(customerId, request),
    find: (customerId, id) => deps.services.find(customerId, id),
    toResource: toServiceResource,
  })
  addReadOnly(app, define, {
    deps,
    segment: 'invoices',
    param: 'invoiceId',
    names: { one: 'Invoice', many: 'Invoices' },
    tag: TAGS.invoices,
    summaries: {
      list: 'Get all invoices of a customer for completed orders',
      // The document has "Get a specific active connection" here, a slip of copying.
      get: 'Get a specific invoice',
    },
    fields: INVOICE_FIELDS,
    schema: InvoiceSchema,
    list: (customerId, request) => deps.invoices.list(customerId, request),
    find: (customerId, id) => deps.invoices.find(customerId, id),
    toResource: toInvoiceResource,
  })
}

type ReadOnly<Model> = {
  readonly deps: ZilkrDeps
  readonly segment: string
  readonly param: string
  readonly names: { readonly one: string; readonly many: string }
  readonly tag: string
  readonly summaries: { readonly list: string; readonly get: string }
  readonly fields: ListFields
  readonly schema: v.GenericSchema
  readonly list: (customerId: string, request: ListRequest) => Promise<Page<Model>>
  readonly find: (customerId: string, id: string) => Promise<Model>
  readonly toResource: (model: Model) => unknown
}

function addReadOnly<Model>(app: Hono<HttpEnv>, define: DefineOperation, resource: ReadOnly<Model>): void {
  const { deps, segment, param, names, tag, summaries, schema, toResource } = resource
  const path = `/customers/:customerId/${segment}`
  app.get(
    path,
    define(
      {
        operationId: `list${names.many}`,
        tag,
        summary: summaries.list,
        access: 'provisioning',
        params: CustomerParams,
        query: listQuery(resource.fields),
        responses: { 200: { description: 'One page', schema: v.array(schema), headers: LINK_HEADER } },
        errors: ['customer_not_found'],
      },
      async ({ scope, params, query, c }) => {
        await deps.customers.find(scopeOf(scope), params.customerId)
        return replyWithPage(c, await resource.list(params.customerId, toListRequest(query)), toResource)
      },
    ),
  )
  const id = v.pipe(v.string(), v.minLength(1), v.maxLength(80))
  app.get(
    `${path}/:${param}`,
    define(
      {
        operationId: `get${names.one}`,
        tag,
        summary: summaries.get,
        access: 'provisioning',
        params: v.strictObject({ ...CustomerParams.entries, [param]: id }),
        responses: { 200: { description: 'Found', schema } },
        errors: ['customer_not_found', 'resource_not_found'],
      },
      async ({ scope, params }) => {
        const values: Readonly<Record<string, string>> = params
        const customerId = values['customerId'] ?? ''
        await deps.customers.find(scopeOf(scope), customerId)
        return { status: 200, json: toResource(await resource.find(customerId, values[param] ?? '')) }
      },
    ),
  )
}
