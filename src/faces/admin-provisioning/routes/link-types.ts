import type { Hono } from 'hono'
import type { HttpEnv } from '../../../http/context.ts'
import type { DefineOperation } from '../../../http/operation.ts'
import type { AdminProvisioningDeps } from '../deps.ts'
import { LinkTypeBody, LinkTypeParams, toLinkType } from '../schemas/link-types.ts'
import { ADMIN_TAG } from '../tag.ts'

/** Link types of environments; the IDI API can only read them. */
export function addLinkTypeRoutes(
  app: Hono<HttpEnv>,
  define: DefineOperation,
  { environments, linkTypes }: AdminProvisioningDeps,
): void {
  app.put(
    '/admin/provisioning/environments/:environment/link-types/:linkTypeId',
    define(
      {
        operationId: 'putLinkType',
        tag: ADMIN_TAG,
        summary: 'Make or replace a link type of an environment',
        description: "Its callbacks are events in the log of the environment's app; nothing else is called.",
        access: 'admin',
        params: LinkTypeParams,
        body: LinkTypeBody,
        responses: { 204: { description: 'It is there' } },
        errors: ['resource_not_found', 'already_exists'],
      },
      async ({ params, body }) => {
        const environment = await environments.find({ kind: 'admin' }, params.environment)
        await linkTypes.put(environment, toLinkType(params.linkTypeId, body))
        return { status: 204 }
      },
    ),
  )
}
