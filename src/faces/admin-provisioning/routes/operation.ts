import type { Hono } from 'hono'
import type { HttpEnv } from '../../../http/context.ts'
import type { DefineOperation } from '../../../http/operation.ts'
import { toPage } from '../../../http/schemas/page.ts'
import { OrderSchema, toOrderResource } from '../../zilkr/schemas/order.ts'
import type { AdminProvisioningDeps } from '../deps.ts'
import {
  AuditPageSchema,
  AuditQuery,
  HeldPageSchema,
  HeldQuery,
  ResumeBody,
  ResumeParams,
  toAuditResource,
  toHeldResource,
} from '../schemas/operation.ts'
import { ADMIN_TAG } from '../tag.ts'

/** Orders that wait for an operator, and the audit trail. */
export function addOperationRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: AdminProvisioningDeps): void {
  const { heldOrders, ordering } = deps
  app.get(
    '/admin/provisioning/held-orders',
    define(
      {
        operationId: 'listHeldOrders',
        tag: ADMIN_TAG,
        summary: 'List what waits for an operator',
        description: 'Requests whose outcome no provider tells, or that came to nothing too often. Oldest first.',
        access: 'admin',
        query: HeldQuery,
        responses: { 200: { description: 'One page', schema: HeldPageSchema } },
      },
      async ({ query }) => {
        const { limit, cursor: after } = toPage(query)
        const { held, cursor } = await heldOrders.list({ limit, after })
        return { status: 200, json: { held: held.map(toHeldResource), ...(cursor !== undefined && { cursor }) } }
      },
    ),
  )
  app.post(
    '/admin/provisioning/held-orders/:orderId/resume',
    define(
      {
        operationId: 'resumeOrder',
        tag: ADMIN_TAG,
        summary: 'Go on with an order that is held',
        access: 'admin',
        params: ResumeParams,
        body: ResumeBody,
        responses: { 200: { description: 'The order', schema: OrderSchema } },
        errors: ['order_not_found', 'order_not_held', 'order_refused'],
      },
      async ({ params, body }) => {
        const order = await ordering.resume({ ...params, ...body, actor: 'admin' })
        return { status: 200, json: toOrderResource(order) }
      },
    ),
  )
  addAuditRoute(app, define, deps)
}

function addAuditRoute(app: Hono<HttpEnv>, define: DefineOperation, { auditTrail }: AdminProvisioningDeps): void {
  app.get(
    '/admin/provisioning/audit',
    define(
      {
        operationId: 'readAuditTrail',
        tag: ADMIN_TAG,
        summary: 'Read and check the audit trail',
        description:
          'Oldest first. What is read is checked, with its link to the entry before it: pages that are read from the first on, or answers to check=chain from the first on, are about the whole chain.',
        access: 'admin',
        query: AuditQuery,
        responses: { 200: { description: 'One page', schema: AuditPageSchema } },
      },
      async ({ query: { chain, check, ...query } }) => {
        const { limit, cursor } = toPage(query)
        const after = cursor === undefined ? undefined : Number(cursor)
        const page = await auditTrail.read({ chain, limit, after, checksOn: check === 'chain' })
        const { entries, cursor: next, length, checkedTo, brokenAt } = page
        return {
          status: 200,
          json: {
            entries: entries.map(toAuditResource),
            ...(next !== undefined && { cursor: String(next) }),
            length,
            checkedTo,
            isIntact: brokenAt === undefined,
            ...(brokenAt !== undefined && { brokenAt }),
          },
        }
      },
    ),
  )
}
