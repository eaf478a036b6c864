import type { Hono } from 'hono'
import * as v from 'valibot'
import { GatewayError } from '../../core/errors.ts'
import type { HttpEnv } from '../context.ts'
import type { InFlightLimit } from '../in-flight-limit.ts'
import type { DefineOperation } from '../operation.ts'
import { AppParams, AppWebhookParams } from '../schemas/parameters.ts'
import {
  CreatedWebhookSchema,
  NewWebhookSchema,
  WebhookChangeSchema,
  WebhookResourceSchema,
  toWebhookResource,
} from '../schemas/webhook.ts'
import { changeWebhook, findWebhook, registerWebhook, withStatus } from '../webhook-registration.ts'
import type { StatusDeps, WebhookRegistrationDeps } from '../webhook-registration.ts'

const TAG = 'Webhooks'
/** A thousand subscriber ids are more than the usual limit takes. */
const BODY_BYTES_MAX = 256 * 1024

export type WebhookRouteDeps = WebhookRegistrationDeps &
  StatusDeps & {
    /** Of registrations and changes of one app under way on this instance. */
    readonly changeLimit: InFlightLimit
  }

/** Registration of webhooks, which the calls API document leaves open. */
export function addWebhookRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: WebhookRouteDeps): void {
  addWriteRoutes(app, define, deps)
  addReadRoutes(app, define, deps)
  addDeleteRoute(app, define, deps)
}

function addWriteRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: WebhookRouteDeps): void {
  app.post(
    '/apps/:app_id/webhooks',
    define(
      {
        operationId: 'registerWebhook',
        tag: TAG,
        summary: 'Register a webhook',
        description:
          'An app has 20 webhooks at most. This one gets the events from now on, or, where the operator demands it, from its verification on.',
        access: 'app',
        params: AppParams,
        body: NewWebhookSchema,
        bodyBytesMax: BODY_BYTES_MAX,
        responses: { 201: { description: 'Registered; the secret is shown this once', schema: CreatedWebhookSchema } },
        errors: ['webhook_url_refused', 'too_many_webhooks', 'too_many_requests'],
      },
      async ({ params, body }) => {
        const { endpoint, secret } = await deps.changeLimit.run(params.app_id, () =>
          registerWebhook(deps, params.app_id, body),
        )
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
        description:
          'A value replaces the one before as a whole; null makes it as if it had never been given. Enabled again, a webhook gets the events from now on, and its failures are forgotten. A new URL must be verified again where the operator demands it.',
        access: 'app',
        params: AppWebhookParams,
        body: WebhookChangeSchema,
        bodyBytesMax: BODY_BYTES_MAX,
        responses: { 200: { description: 'The changed webhook', schema: WebhookResourceSchema } },
        errors: ['webhook_not_found', 'webhook_url_refused', 'too_many_requests'],
      },
      async ({ params, body }) => {
        const changed = await deps.changeLimit.run(params.app_id, () => changeWebhook(deps, params, body))
        return { status: 200, json: toWebhookResource(changed) }
      },
    ),
  )
}

function addReadRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: WebhookRouteDeps): void {
  const { endpoints } = deps
  app.get(
    '/apps/:app_id/webhooks',
    define(
      {
        operationId: 'listWebhooks',
        tag: TAG,
        summary: "List the app's webhooks",
        access: 'app',
        params: AppParams,
        responses: { 200: { description: 'The webhooks', schema: v.array(WebhookResourceSchema) } },
      },
      async ({ params }) => ({
        status: 200,
        json: await withStatus(deps, await endpoints.list(params.app_id)),
      }),
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
        const [webhook] = await withStatus(deps, [await findWebhook(endpoints, params)])
        return { status: 200, json: webhook }
      },
    ),
  )
}

function addDeleteRoute(app: Hono<HttpEnv>, define: DefineOperation, { endpoints }: WebhookRouteDeps): void {
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
