import type { Hono } from 'hono'
import type { DeliveryRecords } from '../../core/delivery-record.ts'
import type { EndpointRepository } from '../../core/endpoint.ts'
import type { HttpEnv } from '../context.ts'
import type { DefineOperation } from '../operation.ts'
import { AdminDeliveryQuery, toDeliveryFilter } from '../schemas/delivery-query.ts'
import { DeliveryPageSchema, toDeliveryPage } from '../schemas/delivery.ts'
import { toPage } from '../schemas/page.ts'
import { AdminWebhookQuery, WebhookPageSchema } from '../schemas/webhook.ts'
import { withStatus } from '../webhook-registration.ts'
import type { StatusDeps } from '../webhook-registration.ts'

export type AdminWebhookRouteDeps = StatusDeps & {
  readonly endpoints: Pick<EndpointRepository, 'listAll'>
  readonly deliveries: Pick<DeliveryRecords, 'list'>
}

/** Webhooks and deliveries of all apps; what is done with one goes over its app's routes. */
export function addAdminWebhookRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: AdminWebhookRouteDeps): void {
  const { endpoints, deliveries } = deps
  app.get(
    '/admin/webhooks',
    define(
      {
        operationId: 'listAllWebhooks',
        tag: 'Webhooks',
        summary: 'List the webhooks of all apps',
        description: 'Newest first.',
        access: 'admin',
        query: AdminWebhookQuery,
        responses: { 200: { description: 'One page', schema: WebhookPageSchema } },
      },
      async ({ query: { app_id: appId, ...query } }) => {
        const page = { ...toPage(query), ...(appId !== undefined && { appId }) }
        const { endpoints: found, cursor } = await endpoints.listAll(page)
        const webhooks = await withStatus(deps, found)
        return { status: 200, json: { webhooks, ...(cursor !== undefined && { cursor }) } }
      },
    ),
  )
  app.get(
    '/admin/deliveries',
    define(
      {
        operationId: 'listAllDeliveries',
        tag: 'Deliveries',
        summary: 'List the deliveries of all apps',
        description: 'Newest first.',
        access: 'admin',
        query: AdminDeliveryQuery,
        responses: { 200: { description: 'One page', schema: DeliveryPageSchema } },
      },
      async ({ query: { app_id: appId, webhook_id: endpointId, ...query } }) => {
        const page = await deliveries.list(toDeliveryFilter(query, { appId, endpointId }), toPage(query))
        return { status: 200, json: toDeliveryPage(page) }
      },
    ),
  )
}
