import type { Hono } from 'hono'
import type { DeliveryRecords } from '../../core/delivery-record.ts'
import type { EndpointRepository } from '../../core/endpoint.ts'
import { GatewayError } from '../../core/errors.ts'
import type { HttpEnv } from '../context.ts'
import type { InFlightLimit } from '../in-flight-limit.ts'
import type { DefineOperation } from '../operation.ts'
import { AppDeliveryQuery, toDeliveryFilter, WebhookDeliveryQuery } from '../schemas/delivery-query.ts'
import { DeliveryDetailSchema, DeliveryPageSchema, toDeliveryDetail, toDeliveryPage } from '../schemas/delivery.ts'
import { toPage } from '../schemas/page.ts'
import { AppDeliveryParams, AppParams, AppWebhookParams } from '../schemas/parameters.ts'
import { ReplaySchema, toReplayResource } from '../schemas/webhook-actions.ts'
import type { DeliveryReplayer } from '../webhook-ports.ts'
import { findWebhook } from '../webhook-registration.ts'

const TAG = 'Deliveries'
const LIST_DESCRIPTION =
  'Newest first. What becomes of a delivery is seen here a moment after it happened; it is kept for 72 hours unless the operator says otherwise.'

export type DeliveryRouteDeps = {
  readonly endpoints: Pick<EndpointRepository, 'find'>
  readonly deliveries: Pick<DeliveryRecords, 'list' | 'find'>
  readonly replayer: Pick<DeliveryReplayer, 'one'>
  /** Of an app's replays, among others, under way on this instance. */
  readonly limit: InFlightLimit
  /** Of an app's requests for its deliveries under way on this instance. */
  readonly readLimit: InFlightLimit
}

/** What has become of an app's events. */
export function addDeliveryRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: DeliveryRouteDeps): void {
  addListRoutes(app, define, deps)
  addReadRoute(app, define, deps)
  addReplayRoute(app, define, deps)
}

function addListRoutes(
  app: Hono<HttpEnv>,
  define: DefineOperation,
  { deliveries, endpoints, readLimit }: DeliveryRouteDeps,
): void {
  app.get(
    '/apps/:app_id/deliveries',
    define(
      {
        operationId: 'listDeliveries',
        tag: TAG,
        summary: "List the app's deliveries",
        description: LIST_DESCRIPTION,
        access: 'app',
        params: AppParams,
        query: AppDeliveryQuery,
        responses: { 200: { description: 'One page', schema: DeliveryPageSchema } },
        errors: ['too_many_requests'],
      },
      async ({ params, query: { webhook_id: endpointId, ...query } }) => {
        const filter = toDeliveryFilter(query, { appId: params.app_id, endpointId })
        const page = await readLimit.run(params.app_id, () => deliveries.list(filter, toPage(query)))
        return { status: 200, json: toDeliveryPage(page) }
      },
    ),
  )
  app.get(
    '/apps/:app_id/webhooks/:webhook_id/deliveries',
    define(
      {
        operationId: 'listWebhookDeliveries',
        tag: TAG,
        summary: 'List the deliveries of a webhook',
        description: LIST_DESCRIPTION,
        access: 'app',
        params: AppWebhookParams,
        query: WebhookDeliveryQuery,
        responses: { 200: { description: 'One page', schema: DeliveryPageSchema } },
        errors: ['webhook_not_found', 'too_many_requests'],
      },
      async ({ params, query }) => {
        const { appId, endpointId } = await findWebhook(endpoints, params)
        const filter = toDeliveryFilter(query, { appId, endpointId })
        const page = await readLimit.run(appId, () => deliveries.list(filter, toPage(query)))
        return { status: 200, json: toDeliveryPage(page) }
      },
    ),
  )
}

function addReadRoute(app: Hono<HttpEnv>, define: DefineOperation, { deliveries, readLimit }: DeliveryRouteDeps): void {
  app.get(
    '/apps/:app_id/deliveries/:delivery_id',
    define(
      {
        operationId: 'getDelivery',
        tag: TAG,
        summary: 'Get a delivery with its payload and attempts',
        access: 'app',
        params: AppDeliveryParams,
        responses: { 200: { description: 'The delivery', schema: DeliveryDetailSchema } },
        errors: ['delivery_not_found', 'too_many_requests'],
      },
      async ({ params }) => {
        const { app_id: appId, delivery_id: deliveryId } = params
        const found = await readLimit.run(appId, () => deliveries.find(appId, deliveryId))
        if (found === undefined) throw new GatewayError('delivery_not_found')
        return { status: 200, json: toDeliveryDetail(found) }
      },
    ),
  )
}

function addReplayRoute(app: Hono<HttpEnv>, define: DefineOperation, { replayer, limit }: DeliveryRouteDeps): void {
  app.post(
    '/apps/:app_id/deliveries/:delivery_id/replay',
    define(
      {
        operationId: 'replayDelivery',
        tag: TAG,
        summary: 'Send a delivery again',
        description: 'It keeps its `webhook-id`, gets a new time to live and carries `callhalf-replay: 1`.',
        access: 'app',
        params: AppDeliveryParams,
        responses: { 200: { description: 'It is being sent again', schema: ReplaySchema } },
        errors: [
          'delivery_not_found',
          'delivery_pending',
          'webhook_not_found',
          'webhook_disabled',
          'webhook_unverified',
          'too_many_requests',
        ],
      },
      async ({ params }) => {
        const { app_id: appId, delivery_id: deliveryId } = params
        const result = await limit.run(appId, () => replayer.one(appId, deliveryId))
        return { status: 200, json: toReplayResource(result, false) }
      },
    ),
  )
}
