import type { Hono } from 'hono'
import * as v from 'valibot'
import type { Endpoint, EndpointRepository } from '../../core/endpoint.ts'
import { GatewayError } from '../../core/errors.ts'
import type { AppId, EndpointId } from '../../core/ids.ts'
import type { HttpEnv } from '../context.ts'
import type { DefineOperation } from '../operation.ts'
import { AppParams, AppWebhookParams } from '../schemas/parameters.ts'
import {
  CreatedWebhookSchema,
  NewWebhookSchema,
  WebhookChangeSchema,
  WebhookResourceSchema,
  toWebhookResource,
} from '../schemas/webhook.ts'

const TAG = 'Webhooks'
const WebhookListSchema = v.array(WebhookResourceSchema)

export type WebhookRouteDeps = {
  readonly endpoints: EndpointRepository
  /** The URL in its canonical form; rejects with `webhook_url_refused` for one that must not be sent to. */
  readonly checkEndpointUrl: (url: string) => Promise<string>
  /** A new signing secret, `whsec_…`. */
  readonly generateSecret: () => string
  /** Fixes where in the app's log an endpoint starts; from then on it misses nothing. */
  readonly openEndpoint: (appId: AppId, endpointId: EndpointId) => Promise<void>
}

/** Registration of webhooks, which the calls API document leaves open. */
export function addWebhookRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: WebhookRouteDeps): void {
  addWriteRoutes(app, define, deps)
  addReadRoutes(app, define, deps.endpoints)
  addDeleteRoute(app, define, deps.endpoints)
}

function addWriteRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: WebhookRouteDeps): void {
  const { endpoints } = deps
  app.post(
    '/apps/:app_id/webhooks',
    define(
      {
        operationId: 'registerWebhook',
        tag: TAG,
        summary: 'Register a webhook',
        description: 'An app has 20 webhooks at most. This one gets the events from now on.',
        access: 'app',
        params: AppParams,
        body: NewWebhookSchema,
        responses: { 201: { description: 'Registered; the secret is shown this once', schema: CreatedWebhookSchema } },
        errors: ['webhook_url_refused', 'too_many_webhooks'],
      },
      async ({ params, body }) => {
        const secret = deps.generateSecret()
        const endpoint = await endpoints.create({
          appId: params.app_id,
          url: await deps.checkEndpointUrl(body.url),
          ...(body.description !== undefined && { description: body.description }),
          ...(body.event_types !== undefined && { eventTypes: body.event_types }),
          enabled: body.enabled ?? true,
          secret,
        })
        if (endpoint.enabled) await openOrRemove(deps, endpoint)
        return { status: 201, json: { ...toWebhookResource(endpoint), secret } }
      },
    ),
  )
  app.patch(
    '/apps/:app_id/webhooks/:webhook_id',
    define(
      {
        operationId: 'changeWebhook',
        tag: TAG,
        summary: 'Change a webhook',
        access: 'app',
        params: AppWebhookParams,
        body: WebhookChangeSchema,
        responses: { 200: { description: 'The changed webhook', schema: WebhookResourceSchema } },
        errors: ['webhook_not_found', 'webhook_url_refused'],
      },
      async ({ params, body }) => {
        const endpoint = await endpoints.update(params.app_id, params.webhook_id, {
          ...(body.url !== undefined && { url: await deps.checkEndpointUrl(body.url) }),
          ...(body.description !== undefined && { description: body.description }),
          ...(body.event_types !== undefined && { eventTypes: body.event_types }),
          ...(body.enabled !== undefined && { enabled: body.enabled }),
        })
        if (endpoint === undefined) throw new GatewayError('webhook_not_found')
        if (endpoint.enabled) await deps.openEndpoint(endpoint.appId, endpoint.endpointId)
        return { status: 200, json: toWebhookResource(endpoint) }
      },
    ),
  )
}

/** Without its secret, which only the answer tells, an endpoint is of no use: nothing may be left of it. */
async function openOrRemove(
  { endpoints, openEndpoint }: WebhookRouteDeps,
  { appId, endpointId }: Endpoint,
): Promise<void> {
  try {
    await openEndpoint(appId, endpointId)
  } catch (error) {
    await endpoints.remove(appId, endpointId)
    throw error
  }
}

function addReadRoutes(app: Hono<HttpEnv>, define: DefineOperation, endpoints: EndpointRepository): void {
  app.get(
    '/apps/:app_id/webhooks',
    define(
      {
        operationId: 'listWebhooks',
        tag: TAG,
        summary: "List the app's webhooks",
        access: 'app',
        params: AppParams,
        responses: { 200: { description: 'The webhooks', schema: WebhookListSchema } },
      },
      async ({ params }) => ({ status: 200, json: (await endpoints.list(params.app_id)).map(toWebhookResource) }),
    ),
  )
  app.get(
    '/apps/:app_id/webhooks/:webhook_id',
    define(
      {
        operationId: 'getWebhook',
        tag: TAG,
        summary: 'Get a webhook',
        access: 'app',
        params: AppWebhookParams,
        responses: { 200: { description: 'The webhook', schema: WebhookResourceSchema } },
        errors: ['webhook_not_found'],
      },
      async ({ params }) => {
        const endpoint = await endpoints.find(params.app_id, params.webhook_id)
        if (endpoint === undefined) throw new GatewayError('webhook_not_found')
        return { status: 200, json: toWebhookResource(endpoint) }
      },
    ),
  )
}

function addDeleteRoute(app: Hono<HttpEnv>, define: DefineOperation, endpoints: EndpointRepository): void {
  app.delete(
    '/apps/:app_id/webhooks/:webhook_id',
    define(
      {
        operationId: 'deleteWebhook',
        tag: TAG,
        summary: 'Delete a webhook',
        access: 'app',
        params: AppWebhookParams,
        responses: { 204: { description: 'Deleted; nothing more is sent to it' } },
        errors: ['webhook_not_found'],
      },
      async ({ params }) => {
        if (!(await endpoints.remove(params.app_id, params.webhook_id))) throw new GatewayError('webhook_not_found')
        return { status: 204 }
      },
    ),
  )
}
