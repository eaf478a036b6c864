import type { Hono } from 'hono'
import * as v from 'valibot'
import { GatewayError } from '../../../core/errors.ts'
import type { AppId } from '../../../core/ids.ts'
import type { HttpEnv } from '../../../http/context.ts'
import type { DefineOperation } from '../../../http/operation.ts'
import type { AdminProvisioningDeps } from '../deps.ts'
import {
  AppKeyParams,
  AppKeysParams,
  IssuedProvisioningKeySchema,
  NewProvisioningKeySchema,
  ProvisioningKeySchema,
  toKeyResource,
} from '../schemas/keys.ts'
import { ADMIN_TAG } from '../tag.ts'

/** Who may use the provisioning APIs: /admin/apps/{app_id}/provisioning-keys. */
export function addKeyRoutes(
  app: Hono<HttpEnv>,
  define: DefineOperation,
  { apps, keys, clock }: AdminProvisioningDeps,
): void {
  const path = '/admin/apps/:app_id/provisioning-keys'
  const requireApp = async (appId: AppId) => {
    if ((await apps.find(appId)) === undefined) throw new GatewayError('app_not_found')
  }
  app.post(
    path,
    define(
      {
        operationId: 'issueProvisioningKey',
        tag: ADMIN_TAG,
        summary: 'Issue a key for the provisioning APIs',
        access: 'admin',
        params: AppKeysParams,
        body: NewProvisioningKeySchema,
        responses: { 201: { description: 'Issued; the key is shown this once', schema: IssuedProvisioningKeySchema } },
        errors: ['app_not_found', 'customer_not_found'],
      },
      async ({ params, body: { name, customer_ids: customerIds } }) => {
        await requireApp(params.app_id)
        const { key, text } = await keys.issue({ appId: params.app_id, name, customerIds, now: clock.now() })
        return { status: 201, json: { ...toKeyResource(key), provisioning_key: text } }
      },
    ),
  )
  app.get(
    path,
    define(
      {
        operationId: 'listProvisioningKeys',
        tag: ADMIN_TAG,
        summary: "List an app's provisioning keys",
        access: 'admin',
        params: AppKeysParams,
        responses: {
          200: { description: 'The keys, without the keys themselves', schema: v.array(ProvisioningKeySchema) },
        },
        errors: ['app_not_found'],
      },
      async ({ params }) => {
        await requireApp(params.app_id)
        return { status: 200, json: (await keys.list(params.app_id)).map(toKeyResource) }
      },
    ),
  )
  app.delete(
    `${path}/:key_id`,
    define(
      {
        operationId: 'revokeProvisioningKey',
        tag: ADMIN_TAG,
        summary: 'Revoke a provisioning key',
        description: 'It stops working at once, on every instance.',
        access: 'admin',
        params: AppKeyParams,
        responses: { 204: { description: 'Revoked' } },
        errors: ['app_not_found', 'key_not_found'],
      },
      async ({ params }) => {
        await requireApp(params.app_id)
        if (!(await keys.revoke(params.app_id, params.key_id))) throw new GatewayError('key_not_found')
        return { status: 204 }
      },
    ),
  )
}
