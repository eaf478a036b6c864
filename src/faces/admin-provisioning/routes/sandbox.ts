import type { Hono } from 'hono'
import type { HttpEnv } from '../../../http/context.ts'
import type { DefineOperation } from '../../../http/operation.ts'
import { defined } from '../../defined.ts'
import type { AdminProvisioningDeps } from '../deps.ts'
import { FaultsBody, FaultsSchema } from '../schemas/sandbox.ts'
import { ADMIN_TAG } from '../tag.ts'

/** The script of faults of the carrier that is part of the gateway. */
export function addSandboxRoutes(
  app: Hono<HttpEnv>,
  define: DefineOperation,
  { sandbox }: AdminProvisioningDeps,
): void {
  const answer = async () => ({ status: 200, json: { faults: await sandbox.faults() } })
  app.get(
    '/admin/provisioning/sandbox/faults',
    define(
      {
        operationId: 'getSandboxFaults',
        tag: ADMIN_TAG,
        summary: 'See what goes wrong at the sandbox carrier',
        access: 'admin',
        responses: { 200: { description: 'The faults, with what is left of them', schema: FaultsSchema } },
      },
      answer,
    ),
  )
  app.put(
    '/admin/provisioning/sandbox/faults',
    define(
      {
        operationId: 'setSandboxFaults',
        tag: ADMIN_TAG,
        summary: 'Say what is to go wrong at the sandbox carrier',
        description: 'To try what an app does about it. No other carrier is touched.',
        access: 'admin',
        body: FaultsBody,
        responses: { 200: { description: 'The faults from now on', schema: FaultsSchema } },
      },
      async ({ body }) => {
        await sandbox.setFaults(body.faults.map(defined))
        return answer()
      },
    ),
  )
}
