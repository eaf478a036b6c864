import type { Hono } from 'hono'
import * as v from 'valibot'
import { actorOf } from '../../../core/provisioning-scope.ts'
import type { HttpEnv } from '../../../http/context.ts'
import type { DefineOperation } from '../../../http/operation.ts'
import type { OrderTerms, PlaceOrder } from '../../../provisioning/model/order-terms.ts'
import { ORDER_FIELDS, type Order } from '../../../provisioning/store/orders.ts'
import { answerOnce, IDEMPOTENCY_HEADER } from '../../answer-once.ts'
import type { ZilkrDeps } from '../deps.ts'
import { ETAG_HEADER, entityTag } from '../entity-tag.ts'
import { withFieldNames } from '../order-refusal.ts'
import { LINK_HEADER, listQuery, replyWithPage, toListRequest } from '../list-query.ts'
import {
  OrderSchema,
  OrderSummarySchema,
  QuoteSchema,
  toOrderResource,
  toOrderSummaryResource,
  toQuoteResource,
} from '../schemas/order.ts'
import * as bodies from '../schemas/orders.ts'
import { CustomerParams, OrderParams, OrderProductParams, pathTo } from '../schemas/parameters.ts'
import { scopeOf } from '../../scope-of.ts'
import { TAGS } from '../tags.ts'

/** Bodies may name 5,000 numbers. */
const BODY_BYTES_MAX = 256 * 1024

/** What is ordered by POST /customers/{customerId}/orders/{productId}/…, and how those orders stand. */
export function addOrderRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: ZilkrDeps): void {
  const add = verbAdder(app, define, deps)
  add({
    path: 'numbers/any',
    id: 'orderAny',
    summary: 'Order product with any available phone numbers',
    body: bodies.AnyBody,
    toTerms: bodies.toAnyTerms,
  })
  add({
    path: 'numbers/port',
    id: 'orderPort',
    summary: 'Order product with phone numbers to port',
    body: bodies.PortBody,
    toTerms: bodies.toPortTerms,
  })
  add({
    path: 'numbers/reserve',
    id: 'orderReserved',
    summary: 'Order product with reserved phone numbers',
    body: bodies.ReserveBody,
    toTerms: bodies.toReserveTerms,
  })
  add({
    path: 'numbers/range',
    id: 'orderRange',
    summary: 'Order product with phone number ranges',
    body: bodies.RangeBody,
    toTerms: bodies.toRangeTerms,
  })
  add({
    path: 'numbers/move',
    id: 'orderMove',
    summary: 'Order to move number locations',
    body: bodies.MoveBody,
    toTerms: bodies.toMoveTerms,
  })
  add({
    path: 'numbers/change',
    id: 'orderChange',
    summary: 'Order to change the characteristics of numbers',
    body: bodies.ChangeBody,
    toTerms: bodies.toChangeTerms,
  })
  add({
    path: 'numbers/delete',
    id: 'orderDelete',
    summary: 'Order to delete numbers from a customer inventory',
    body: bodies.DeleteBody,
    toTerms: bodies.toDeleteTerms,
  })
  add({
    path: 'delete',
    id: 'orderDeleteAll',
    summary: 'Order to delete every number of this product from a customer inventory',
    body: bodies.DeleteAllBody,
    toTerms: bodies.toDeleteAllTerms,
  })
  addOrderReads(app, define, deps)
}

type Verb<Body extends bodies.CommonBody> = {
  /** Behind the product. */
  readonly path: string
  readonly id: string
  readonly summary: string
  readonly body: v.GenericSchema<unknown, Body>
  readonly toTerms: (body: Body) => OrderTerms
}

function verbAdder(app: Hono<HttpEnv>, define: DefineOperation, deps: ZilkrDeps) {
  const { customers, ordering, requests } = deps
  return <Body extends bodies.CommonBody>({ path, id, summary, body: schema, toTerms }: Verb<Body>): void => {
    app.post(
      `/customers/:customerId/orders/:productId/${path}`,
      define(
        {
          operationId: id,
          tag: TAGS.orders,
          summary,
          description:
            'The order is carried out afterwards; webhooks and streams tell how it goes (order.*, number.*).',
          access: 'provisioning',
          params: OrderProductParams,
          body: schema,
          bodyBytesMax: BODY_BYTES_MAX,
          headers: [IDEMPOTENCY_HEADER],
          responses: {
            200: { description: 'What it would do and cost (dryRun)', schema: QuoteSchema },
            201: { description: 'Placed', schema: OrderSchema },
          },
          errors: ORDER_ERRORS,
        },
        async ({ scope, params, body, c }) => {
          const caller = scopeOf(scope)
          const { customerId } = await customers.find(caller, params.customerId)
          const terms = toTerms(body)
          const { productId } = params
          const order = toOrder(body, {
            customerId,
            actor: actorOf(caller),
            productId,
            correlationId: c.get('requestId'),
            terms,
          })
          return withFieldNames(terms.action, async () => {
            if (body.dryRun) return { status: 200, json: toQuoteResource(await ordering.quote(order)) }
            const route = `${id}:${customerId}:${productId}`
            return answerOnce(requests, { c, scope: caller, route, body }, async (keep) =>
              placed(await ordering.place(order, { inTransaction: (tx, made) => keep(tx, placed(made)) })),
            )
          })
        },
      ),
    )
  }
}

const ORDER_ERRORS = [
  'customer_not_found',
  'customer_inactive',
  'product_not_found',
  'resource_not_found',
  'reservation_not_found',
  'numbers_unavailable',
  'number_busy',
  'in_use',
  'order_refused',
  'quantity_exceeded',
  'idempotency_in_progress',
  'idempotency_mismatch',
] as const

const placed = (order: Order) => ({
  status: 201,
  json: toOrderResource(order),
  headers: { location: pathTo('customers', order.customerId, 'orders', order.orderId) },
})

const toOrder = (
  { externalId, requestedDate, partialAllowed, metadata }: bodies.CommonBody,
  order: Omit<PlaceOrder, 'face' | 'externalId' | 'requestedDate' | 'partialAllowed' | 'metadata'>,
): PlaceOrder => ({
  ...order,
  face: 'zilkr',
  partialAllowed,
  metadata,
  ...(externalId !== undefined && { externalId }),
  ...(requestedDate !== undefined && { requestedDate: Date.parse(requestedDate) }),
})

function addOrderReads(app: Hono<HttpEnv>, define: DefineOperation, { customers, orders, ordering }: ZilkrDeps): void {
  app.get(
    '/customers/:customerId/orders',
    define(
      {
        operationId: 'listOrders',
        tag: TAGS.orders,
        summary: 'Get all orders of a customer',
        access: 'provisioning',
        params: CustomerParams,
        query: listQuery(ORDER_FIELDS),
        responses: { 200: { description: 'One page', schema: v.array(OrderSummarySchema), headers: LINK_HEADER } },
        errors: ['customer_not_found'],
      },
      async ({ scope, params, query, c }) => {
        await customers.find(scopeOf(scope), params.customerId)
        return replyWithPage(c, await orders.list(params.customerId, toListRequest(query)), toOrderSummaryResource)
      },
    ),
  )
  app.get(
    '/customers/:customerId/orders/:orderId',
    define(
      {
        operationId: 'getOrder',
        tag: TAGS.orders,
        summary: 'Get a specific order',
        // The document has the sentences and statuses of reading and cancelling the wrong way round.
        access: 'provisioning',
        params: OrderParams,
        responses: { 200: { description: 'The order', schema: OrderSchema, headers: ETAG_HEADER } },
        errors: ['customer_not_found', 'order_not_found'],
      },
      async ({ scope, params }) => {
        await customers.find(scopeOf(scope), params.customerId)
        const order = await orders.find(params.customerId, params.orderId)
        return { status: 200, json: toOrderResource(order), headers: entityTag(order) }
      },
    ),
  )
  app.delete(
    '/customers/:customerId/orders/:orderId',
    define(
      {
        operationId: 'cancelOrder',
        tag: TAGS.orders,
        summary: 'Cancel a specific order',
        description:
          'As far as nothing has been done yet, or the provider agrees; it may take a while until it is cancelled.',
        access: 'provisioning',
        params: OrderParams,
        responses: { 204: { description: 'Cancelled, or about to be' } },
        errors: ['customer_not_found', 'order_not_found', 'order_not_cancellable'],
      },
      async ({ scope, params }) => {
        const caller = scopeOf(scope)
        await customers.find(caller, params.customerId)
        await ordering.cancel({ ...params, actor: actorOf(caller) })
        return { status: 204 }
      },
    ),
  )
}
