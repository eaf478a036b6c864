import type { Hono } from 'hono'
import * as v from 'valibot'
import type { App, AppRepository } from '../../core/app.ts'
import { GatewayError } from '../../core/errors.ts'
import type { AppId, Shard } from '../../core/ids.ts'
import type { HttpEnv } from '../context.ts'
import type { DefineOperation } from '../operation.ts'
import {
  ApiKeyResourceSchema,
  AppResourceSchema,
  CreatedAppSchema,
  IssuedApiKeySchema,
  NewApiKeySchema,
  NewAppSchema,
  toApiKeyResource,
  toAppResource,
  toIssuedApiKey,
} from '../schemas/app.ts'
import { AppKeyParams, AppParams } from '../schemas/parameters.ts'

const TAG = 'Apps'

export type AppRouteDeps = {
  readonly apps: AppRepository
  readonly defaultShard: Shard
}

/** The apps that may use the API. */
export function addAppRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: AppRouteDeps): void {
  const { apps, defaultShard } = deps
  app.post(
    '/admin/apps',
    define(
      {
        operationId: 'createApp',
        tag: TAG,
        summary: 'Create an app and its first API key',
        access: 'admin',
        body: NewAppSchema,
        responses: { 201: { description: 'Created; the key is shown this once', schema: CreatedAppSchema } },
      },
      async ({ body }) => {
        const created = await apps.create({ name: body.name, shard: body.shard ?? defaultShard })
        const { keyId, apiKey } = created.key
        return { status: 201, json: { ...toAppResource(created.app), key_id: keyId, api_key: apiKey } }
      },
    ),
  )
  app.get(
    '/admin/apps',
    define(
      {
        operationId: 'listApps',
        tag: TAG,
        summary: 'List the apps',
        access: 'admin',
        responses: { 200: { description: 'The apps', schema: v.array(AppResourceSchema) } },
      },
      async () => ({ status: 200, json: (await apps.list()).map(toAppResource) }),
    ),
  )
  app.get(
    '/admin/apps/:app_id',
    define(
      {
        operationId: 'getApp',
        tag: TAG,
        summary: 'Get an app',
        access: 'admin',
        params: AppParams,
        responses: { 200: { description: 'The app', schema: AppResourceSchema } },
        errors: ['app_not_found'],
      },
      async ({ params }) => ({ status: 200, json: toAppResource(await existingApp(apps, params.app_id)) }),
    ),
  )
  app.delete(
    '/admin/apps/:app_id',
    define(
      {
        operationId: 'deleteApp',
        tag: TAG,
        summary: 'Delete an app with its keys, subscribers and webhooks',
        access: 'admin',
        params: AppParams,
        responses: { 204: { description: 'Deleted' } },
        errors: ['app_not_found'],
      },
      async ({ params }) => {
        if (!(await apps.remove(params.app_id))) throw new GatewayError('app_not_found')
        return { status: 204 }
      },
    ),
  )
  addKeyRoutes(app, define, deps)
}

function addKeyRoutes(app: Hono<HttpEnv>, define: DefineOperation, { apps }: AppRouteDeps): void {
  app.post(
    '/admin/apps/:app_id/keys',
    define(
      {
        operationId: 'issueApiKey',
        tag: TAG,
        summary: 'Issue another API key',
        access: 'admin',
        params: AppParams,
        body: NewApiKeySchema,
        responses: { 201: { description: 'Issued; the key is shown this once', schema: IssuedApiKeySchema } },
        errors: ['app_not_found'],
      },
      async ({ params, body }) => {
        const { appId } = await existingApp(apps, params.app_id)
        return { status: 201, json: toIssuedApiKey(await apps.issueKey(appId, body.name)) }
      },
    ),
  )
  app.get(
    '/admin/apps/:app_id/keys',
    define(
      {
        operationId: 'listApiKeys',
        tag: TAG,
        summary: "List an app's API keys",
        access: 'admin',
        params: AppParams,
        responses: {
          200: { description: 'The keys, without the keys themselves', schema: v.array(ApiKeyResourceSchema) },
        },
        errors: ['app_not_found'],
      },
      async ({ params }) => {
        const { appId } = await existingApp(apps, params.app_id)
        return { status: 200, json: (await apps.listKeys(appId)).map(toApiKeyResource) }
      },
    ),
  )
  app.delete(
    '/admin/apps/:app_id/keys/:key_id',
    define(
      {
        operationId: 'revokeApiKey',
        tag: TAG,
        summary: 'Revoke an API key',
        description:
          'It stops working at once on the instance that answers, and on others within about a second, when they have read the change. Streams opened with it, or with a token issued for it, are then closed with 4003; those of other keys go on.',
        access: 'admin',
        params: AppKeyParams,
        responses: { 204: { description: 'Revoked' } },
        errors: ['app_not_found', 'key_not_found'],
      },
      async ({ params }) => {
        const { appId } = await existingApp(apps, params.app_id)
        if (!(await apps.revokeKey(appId, params.key_id))) throw new GatewayError('key_not_found')
        return { status: 204 }
      },
    ),
  )
}

async function existingApp(apps: AppRepository, appId: AppId): Promise<App> {
  const app = await apps.find(appId)
  if (app === undefined) throw new GatewayError('app_not_found')
  return app
}
