import type { Hono } from 'hono'
import * as v from 'valibot'
import { GatewayError } from '../../../core/errors.ts'
import { actorOf } from '../../../core/provisioning-scope.ts'
import type { HttpEnv } from '../../../http/context.ts'
import type { DefineOperation } from '../../../http/operation.ts'
import { RESERVATION_FIELDS, type NewReservation } from '../../../provisioning/store/reservations.ts'
import type { Reservation } from '../../../provisioning/model/reservation.ts'
import { answerOnce, IDEMPOTENCY_HEADER } from '../../answer-once.ts'
import { defined } from '../../defined.ts'
import type { ZilkrDeps } from '../deps.ts'
import { LINK_HEADER, limitOf, listQuery, replyWithPage, toListRequest } from '../list-query.ts'
import {
  AvailableNumberSchema,
  NumberQuery,
  ReservationBody,
  ReservationSchema,
  toAvailableNumber,
  toReservationResource,
} from '../schemas/numbers.ts'
import { CustomerParams, pathTo, ReservationParams } from '../schemas/parameters.ts'
import { scopeOf } from '../../scope-of.ts'
import { TAGS } from '../tags.ts'

/** GET /numbers, and the reservations of a customer. */
export function addNumberRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: ZilkrDeps): void {
  const { catalogue, searchNumbers } = deps
  app.get(
    '/numbers',
    define(
      {
        operationId: 'searchNumbers',
        tag: TAGS.numbers,
        summary: 'Search for available numbers across number products and countries',
        description: 'In the order of the numbers. What is shown may be gone a moment later: reserve it.',
        access: 'provisioning',
        query: NumberQuery,
        responses: {
          200: { description: 'One page', schema: v.array(AvailableNumberSchema), headers: LINK_HEADER },
        },
      },
      async ({ query, c }) => {
        const { country, quantity, limit, cursor, currency, features, consecutive, excludeReserved, ...filter } = query
        const size = limitOf(limit ?? quantity)
        const run = consecutive === undefined ? 1 : Number(consecutive)
        const found = await searchNumbers({
          ...defined(filter),
          countryCode: country,
          ...(features !== undefined && { features: features.split(',') }),
          ...(consecutive !== undefined && { consecutive: run }),
          ...(excludeReserved !== undefined && { excludeReserved: excludeReserved === 'true' }),
          ...(cursor !== undefined && { after: cursor }),
          limit: size,
        })
        const last = found.at(-1)?.e164
        const isFull = found.length > size - run && last !== undefined
        const prices = await catalogue.pricesOf(new Set(found.map((number) => number.productId)), currency)
        const page = { items: found, ...(isFull && { cursor: last }) }
        return replyWithPage(c, page, (number) => toAvailableNumber(number, prices))
      },
    ),
  )
  addReservationRoutes(app, define, deps)
}

function addReservationRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: ZilkrDeps): void {
  const { customers, reservations, requests } = deps
  app.post(
    '/customers/:customerId/reservations',
    define(
      {
        operationId: 'createReservation',
        tag: TAGS.numbers,
        summary: 'Create a new number reservation for a customer',
        description:
          'All of the numbers or none. Sent again with its id it is extended, up to two hours from its beginning.',
        access: 'provisioning',
        params: CustomerParams,
        body: ReservationBody,
        headers: [IDEMPOTENCY_HEADER],
        responses: { 201: { description: 'Held', schema: ReservationSchema } },
        errors: [
          'customer_not_found',
          'customer_inactive',
          'reservation_not_found',
          'reservation_ended',
          'numbers_unavailable',
          'quantity_exceeded',
          'idempotency_in_progress',
          'idempotency_mismatch',
        ],
      },
      async ({ scope, params, body, c }) => {
        const caller = scopeOf(scope)
        const { customerId } = await customers.find(caller, params.customerId)
        const ttl = body.ttlSeconds === undefined ? {} : { ttlSeconds: body.ttlSeconds }
        const by = { customerId, actor: actorOf(caller), ...ttl }
        const { reservationId } = body
        if (reservationId !== undefined) return held(await reservations.extend({ ...by, reservationId }))
        const request = toReservation(body, { ...by, correlationId: c.get('requestId') })
        const route = `createReservation:${customerId}`
        return answerOnce(requests, { c, scope: caller, route, body }, async (keep) =>
          held(
            await reservations.create(
              request,
              // Without a key to keep the answer for, it is one statement.
              c.req.header('idempotency-key') === undefined
                ? {}
                : { inTransaction: (tx, made) => keep(tx, held(made)) },
            ),
          ),
        )
      },
    ),
  )
  addReservationReads(app, define, deps)
}

const held = (reservation: Reservation) => ({
  status: 201,
  json: toReservationResource(reservation),
  headers: { location: pathTo('customers', reservation.customerId, 'reservations', reservation.reservationId) },
})

function toReservation(
  { numbers, productId, quantity, filter }: v.InferOutput<typeof ReservationBody>,
  by: Omit<NewReservation, 'numbers' | 'productId' | 'quantity' | 'filter'>,
): NewReservation {
  if (numbers !== undefined) return { ...by, numbers }
  if (productId === undefined || quantity === undefined) throw new GatewayError('internal')
  return { ...by, productId, quantity, ...(filter !== undefined && { filter: defined(filter) }) }
}

function addReservationReads(
  app: Hono<HttpEnv>,
  define: DefineOperation,
  { customers, reservations }: ZilkrDeps,
): void {
  app.get(
    '/customers/:customerId/reservations',
    define(
      {
        operationId: 'listReservations',
        tag: TAGS.numbers,
        summary: 'Get all number reservations of a customer',
        access: 'provisioning',
        params: CustomerParams,
        query: listQuery(RESERVATION_FIELDS),
        responses: { 200: { description: 'One page', schema: v.array(ReservationSchema), headers: LINK_HEADER } },
        errors: ['customer_not_found'],
      },
      async ({ scope, params, query, c }) => {
        await customers.find(scopeOf(scope), params.customerId)
        return replyWithPage(c, await reservations.list(params.customerId, toListRequest(query)), toReservationResource)
      },
    ),
  )
  app.get(
    '/customers/:customerId/reservations/:reservationId',
    define(
      {
        operationId: 'getReservation',
        tag: TAGS.numbers,
        summary: 'Get a specific number reservation',
        access: 'provisioning',
        params: ReservationParams,
        responses: { 200: { description: 'The reservation', schema: ReservationSchema } },
        errors: ['customer_not_found', 'reservation_not_found'],
      },
      async ({ scope, params }) => {
        await customers.find(scopeOf(scope), params.customerId)
        return { status: 200, json: toReservationResource(await reservations.find(params)) }
      },
    ),
  )
  app.delete(
    '/customers/:customerId/reservations/:reservationId',
    define(
      {
        operationId: 'deleteReservation',
        tag: TAGS.numbers,
        summary: 'Remove a specific number reservation',
        description: 'Its numbers are free again at once.',
        access: 'provisioning',
        params: ReservationParams,
        responses: { 204: { description: 'Released' } },
        errors: ['customer_not_found', 'reservation_not_found'],
      },
      async ({ scope, params }) => {
        const caller = scopeOf(scope)
        await customers.find(caller, params.customerId)
        await reservations.release({ ...params, actor: actorOf(caller) })
        return { status: 204 }
      },
    ),
  )
}
