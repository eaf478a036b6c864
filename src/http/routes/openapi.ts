import type { Hono } from 'hono'
import type { HttpEnv } from '../context.ts'
import { generateOpenApi } from '../openapi.ts'
import type { DefineOperation } from '../operation.ts'

/** The description of everything above it, generated from the schemas that validate. */
export function addOpenApiRoute(app: Hono<HttpEnv>, define: DefineOperation): void {
  let text: Promise<string> | undefined
  app.get(
    '/openapi.json',
    define(
      {
        operationId: 'getOpenApi',
        tag: 'Operation',
        summary: 'This description',
        access: 'open',
        responses: { 200: { description: 'OpenAPI 3.1', mediaType: 'application/json' } },
      },
      async () => {
        text ??= generateOpenApi(app).then((document) => JSON.stringify(document))
        return { status: 200, text: await text, headers: { 'content-type': 'application/json' } }
      },
    ),
  )
}
