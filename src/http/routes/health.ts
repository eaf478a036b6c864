import type { Hono } from 'hono'
import * as v from 'valibot'
import type { HttpEnv } from '../context.ts'
import type { DefineOperation } from '../operation.ts'

/** Whether the gateway can do its work, part by part. */
export type Readiness = {
  readonly ready: boolean
  readonly checks: Readonly<Record<string, { readonly ready: boolean; readonly detail?: string }>>
}

const TAG = 'Operation'

const HealthSchema = v.pipe(v.object({ status: v.literal('ok') }), v.metadata({ ref: 'Health' }))
const ReadinessSchema = v.pipe(
  v.object({
    ready: v.boolean(),
    checks: v.record(v.string(), v.object({ ready: v.boolean(), detail: v.optional(v.string()) })),
    not_ready: v.pipe(v.array(v.string()), v.description('The names of the checks that failed')),
  }),
  v.metadata({ ref: 'Readiness' }),
)

/** What a load balancer and an orchestrator ask. */
export function addHealthRoutes(app: Hono<HttpEnv>, define: DefineOperation, readiness: () => Readiness): void {
  app.get(
    '/healthz',
    define(
      {
        operationId: 'getHealth',
        tag: TAG,
        summary: 'Whether the process is alive',
        access: 'open',
        responses: { 200: { description: 'It is', schema: HealthSchema } },
      },
      () => ({ status: 200, json: { status: 'ok' } }),
    ),
  )
  app.get(
    '/readyz',
    define(
      {
        operationId: 'getReadiness',
        tag: TAG,
        summary: 'Whether requests should be sent here',
        access: 'open',
        responses: {
          200: { description: 'Ready', schema: ReadinessSchema },
          503: { description: 'Not ready, and why', schema: ReadinessSchema },
        },
      },
      () => {
        const { ready, checks } = readiness()
        const notReady = Object.keys(checks).filter((name) => checks[name]?.ready === false)
        return { status: ready ? 200 : 503, json: { ready, checks, not_ready: notReady } }
      },
    ),
  )
}
