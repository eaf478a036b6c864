import type { Hono } from 'hono'
import type { OperatorEventRepository } from '../../core/operator-event.ts'
import type { HttpEnv } from '../context.ts'
import type { DefineOperation } from '../operation.ts'
import { OperatorEventPageSchema, OperatorEventQuery, toOperatorEventResource } from '../schemas/operator-event.ts'
import { toPage } from '../schemas/page.ts'

/** What the operator should hear of and no request answers. */
export function addOperatorEventRoutes(
  app: Hono<HttpEnv>,
  define: DefineOperation,
  operatorEvents: Pick<OperatorEventRepository, 'list'>,
): void {
  app.get(
    '/admin/events',
    define(
      {
        operationId: 'listOperatorEvents',
        tag: 'Operation',
        summary: 'List what the operator should hear of',
        description:
          'Newest first: webhooks that do nothing but fail, were disabled by the gateway, hold up their app or missed events, and records that were lost.',
        access: 'admin',
        query: OperatorEventQuery,
        responses: { 200: { description: 'One page', schema: OperatorEventPageSchema } },
      },
      async ({ query: { type, app_id: appId, ...query } }) => {
        const only = { ...(type !== undefined && { type }), ...(appId !== undefined && { appId }) }
        const { events, cursor } = await operatorEvents.list({ ...toPage(query), ...only })
        const json = { events: events.map(toOperatorEventResource), ...(cursor !== undefined && { cursor }) }
        return { status: 200, json }
      },
    ),
  )
}
