import type { Hono } from 'hono'
import type { HttpEnv } from '../../../http/context.ts'
import type { DefineOperation } from '../../../http/operation.ts'
import type { AdminProvisioningDeps } from '../deps.ts'
import { optOutsBody, SecretBody, toOptOut, VerdictSchema } from '../schemas/lines.ts'
import { ADMIN_TAG } from '../tag.ts'

const BODY_BYTES_MAX = 256 * 1_024

/** What the messaging platform behind text enabled lines tells, and asks. */
export function addLineRoutes(
  app: Hono<HttpEnv>,
  define: DefineOperation,
  { optOuts, credentials, clock }: AdminProvisioningDeps,
): void {
  app.put(
    '/admin/provisioning/opt-outs',
    define(
      {
        operationId: 'putOptOuts',
        tag: ADMIN_TAG,
        summary: 'Tell who asked lines for no more text messages, or for messages again',
        description: 'Up to 1,000 at once; the Zipwhip calls stop and unstop report them to whose lines they are.',
        access: 'admin',
        body: optOutsBody(() => clock.now()),
        bodyBytesMax: BODY_BYTES_MAX,
        responses: { 204: { description: 'They are known' } },
      },
      async ({ body }) => {
        await optOuts.put(body.optOuts.map(toOptOut))
        return { status: 204 }
      },
    ),
  )
  app.post(
    '/admin/provisioning/line-credentials/verify',
    define(
      {
        operationId: 'verifyLineSecret',
        tag: ADMIN_TAG,
        summary: 'Ask whose session key or password it is',
        description: 'A secret is good from the time that its line is in service until the line ends.',
        access: 'admin',
        body: SecretBody,
        responses: { 200: { description: 'Whose it is, or nobody’s', schema: VerdictSchema } },
      },
      async ({ body }) => {
        const owner = await credentials.find(body.secret)
        return {
          status: 200,
          json: { isGood: owner !== undefined, ...owner },
          headers: { 'cache-control': 'no-store' },
        }
      },
    ),
  )
}
