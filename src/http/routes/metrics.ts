import type { Hono } from 'hono'
import type { Registry } from 'prom-client'
import type { HttpEnv } from '../context.ts'
import type { DefineOperation } from '../operation.ts'

/** The registry in Prometheus' text format. */
export function addMetricsRoute(app: Hono<HttpEnv>, define: DefineOperation, registry: Registry): void {
  app.get(
    '/metrics',
    define(
      {
        operationId: 'getMetrics',
        tag: 'Operation',
        summary: 'Metrics for Prometheus',
        access: 'open',
        responses: { 200: { description: 'Text exposition format', mediaType: 'text/plain' } },
      },
      async () => ({
        status: 200,
        text: await registry.metrics(),
        headers: { 'content-type': registry.contentType },
      }),
    ),
  )
}
