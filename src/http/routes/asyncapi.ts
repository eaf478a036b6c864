import type { Hono } from 'hono'
import { generateAsyncApi } from '../asyncapi.ts'
import type { HttpEnv } from '../context.ts'
import type { DefineOperation } from '../operation.ts'

/** The description of the streams, generated from the schemas that validate. */
export function addAsyncApiRoute(app: Hono<HttpEnv>, define: DefineOperation): void {
  let text: Promise<string> | undefined
  app.get(
    '/asyncapi.json',
    define(
      {
        operationId: 'getAsyncApi',
        tag: 'Operation',
        summary: 'The description of the streams',
        access: 'open',
        responses: { 200: { description: 'AsyncAPI 3.0', mediaType: 'application/json' } },
      },
      async () => {
        text ??= generateAsyncApi().then((document) => JSON.stringify(document))
        return { status: 200, text: await text, headers: { 'content-type': 'application/json' } }
      },
    ),
  )
}
