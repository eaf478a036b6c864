import type { Hono } from 'hono'
import * as v from 'valibot'
import { GatewayError } from '../../../core/errors.ts'
import { invalidRequest } from '../../../core/parse-input.ts'
import type { Scope } from '../../../core/provisioning-scope.ts'
import type { HttpEnv } from '../../../http/context.ts'
import type { DefineOperation } from '../../../http/operation.ts'
import { CUSTOMER_FIELDS } from '../../../provisioning/store/customers.ts'
import { answerOnce, IDEMPOTENCY_HEADER } from '../../answer-once.ts'
import type { ZilkrDeps } from '../deps.ts'
import { ETAG_HEADER, entityTag, IF_MATCH_HEADER, versionOf } from '../entity-tag.ts'
import { LINK_HEADER, listQuery, replyWithPage, toListRequest } from '../list-query.ts'
import { CustomerBody, CustomerSchema, toCustomerResource } from '../schemas/accounts.ts'
import { CustomerParams, pathTo } from '../schemas/parameters.ts'
import { scopeOf } from '../../scope-of.ts'
import { TAGS } from '../tags.ts'

const document = (sentence: string) => `${sentence} (Zilkr Provisioning API, Customers)`
const Query = listQuery(CUSTOMER_FIELDS)

/** The accounts: GET, POST /customers; GET, PUT, DELETE /customers/{customerId}. */
export function addCustomerRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: ZilkrDeps): void {
  const { customers, requests, clock } = deps
  app.get(
    '/customers',
    define(
      {
        operationId: 'listCustomers',
        tag: TAGS.customers,
        summary: 'Get all your customer entities',
        description: document('Those that the key may see.'),
        access: 'provisioning',
        query: Query,
        responses: { 200: { description: 'One page', schema: v.array(CustomerSchema), headers: LINK_HEADER } },
      },
      async ({ scope, query, c }) =>
        replyWithPage(c, await customers.list(scopeOf(scope), toListRequest(query)), toCustomerResource),
    ),
  )
  app.post(
    '/customers',
    define(
      {
        operationId: 'createCustomer',
        tag: TAGS.customers,
        summary: 'Create a new customer account',
        description: document('It belongs to the app of the key.'),
        access: 'provisioning',
        body: CustomerBody,
        headers: [IDEMPOTENCY_HEADER],
        responses: { 201: { description: 'Created', schema: CustomerSchema, headers: ETAG_HEADER } },
        errors: [
          'app_not_found',
          'already_exists',
          'scope_exceeded',
          'idempotency_in_progress',
          'idempotency_mismatch',
        ],
      },
      async ({ scope, body, c }) => {
        const caller = scopeOf(scope)
        const input = checkCustomer(caller, body, { isNew: true })
        return answerOnce(requests, { c, scope: caller, route: 'createCustomer', body }, async (keep) => {
          const correlationId = c.get('requestId')
          const request = { scope: caller, input, now: clock.now(), correlationId }
          const customer = await customers.create(request, (tx, made) => keep(tx, created(made)))
          return created(customer)
        })
      },
    ),
  )
  addCustomerChanges(app, define, deps)
}

function addCustomerChanges(app: Hono<HttpEnv>, define: DefineOperation, { customers }: ZilkrDeps): void {
  app.get(
    '/customers/:customerId',
    define(
      {
        operationId: 'getCustomer',
        tag: TAGS.customers,
        summary: 'Get a specific customer',
        description: document(''),
        access: 'provisioning',
        params: CustomerParams,
        responses: { 200: { description: 'The customer', schema: CustomerSchema, headers: ETAG_HEADER } },
        errors: ['customer_not_found'],
      },
      async ({ scope, params }) => {
        const customer = await customers.find(scopeOf(scope), params.customerId)
        return { status: 200, json: toCustomerResource(customer), headers: entityTag(customer) }
      },
    ),
  )
  app.put(
    '/customers/:customerId',
    define(
      {
        operationId: 'updateCustomer',
        tag: TAGS.customers,
        summary: 'Update a specific customer',
        description: document('All of it: what is left out is removed.'),
        access: 'provisioning',
        params: CustomerParams,
        body: CustomerBody,
        headers: [IF_MATCH_HEADER],
        responses: { 200: { description: 'Changed', schema: CustomerSchema, headers: ETAG_HEADER } },
        errors: ['customer_not_found', 'resource_not_found', 'app_not_found', 'already_exists', 'etag_mismatch'],
      },
      async ({ scope, params, body, c }) => {
        const caller = scopeOf(scope)
        const input = checkCustomer(caller, body, { isNew: false })
        const change = { scope: caller, ...params, input, version: versionOf(c), correlationId: c.get('requestId') }
        const customer = await customers.replace(change)
        return { status: 200, json: toCustomerResource(customer), headers: entityTag(customer) }
      },
    ),
  )
  app.delete(
    '/customers/:customerId',
    define(
      {
        operationId: 'deleteCustomer',
        tag: TAGS.customers,
        summary: 'Remove a specific customer',
        description: document('Not while it has services, open orders, live reservations or unpaid invoices.'),
        access: 'provisioning',
        params: CustomerParams,
        headers: [IF_MATCH_HEADER],
        responses: { 204: { description: 'Removed' } },
        errors: ['customer_not_found', 'customer_in_use', 'etag_mismatch'],
      },
      async ({ scope, params, c }) => {
        const change = { scope: scopeOf(scope), ...params, version: versionOf(c), correlationId: c.get('requestId') }
        await customers.remove(change)
        return { status: 204 }
      },
    ),
  )
}

const created = (customer: Parameters<typeof toCustomerResource>[0]) => ({
  status: 201,
  json: toCustomerResource(customer),
  headers: { location: pathTo('customers', customer.customerId), ...entityTag(customer) },
})

function checkCustomer(scope: Scope, body: v.InferOutput<typeof CustomerBody>, { isNew }: { readonly isNew: boolean }) {
  // Before an earlier answer is looked for: it may be about a customer that another key of the app has made.
  if (isNew && scope.kind === 'key' && scope.customerIds !== undefined) throw new GatewayError('scope_exceeded')
  if (scope.kind === 'key' && body.appId !== undefined) {
    throw invalidRequest([{ field: 'appId', message: 'is for the admin key only' }])
  }
  if (isNew && body.defaultPaymentMethodId !== undefined) {
    throw invalidRequest([{ field: 'defaultPaymentMethodId', message: 'must be absent: a new customer has none' }])
  }
  return body
}
