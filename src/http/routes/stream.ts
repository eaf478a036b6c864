import type { Hono } from 'hono'
import * as v from 'valibot'
import type { Hub } from '../../streams/hub.ts'
import type { StreamTokens } from '../../streams/tokens.ts'
import type { HttpContext, HttpEnv } from '../context.ts'
import type { DefineOperation } from '../operation.ts'
import { AppParams } from '../schemas/parameters.ts'
import { SECURITY_HEADERS } from '../security-headers.ts'
import type { StreamAuthenticator } from '../stream-authentication.ts'
import { sseHandler, streamTokenHandler } from '../stream-sse.ts'

const TAG = 'Stream'

const StreamTokenSchema = v.pipe(
  v.object({ token: v.string(), expires_in_ms: v.pipe(v.number(), v.integer()) }),
  v.metadata({ ref: 'StreamToken', title: 'A token that opens one stream' }),
)

export type StreamRouteDeps = {
  readonly hub: Hub
  readonly authenticator: StreamAuthenticator
  readonly tokens: StreamTokens
}

/** Server-sent events and the tokens of browsers. A WebSocket upgrade never comes here: server.ts takes it. */
export function addStreamRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: StreamRouteDeps): void {
  const openStream = sseHandler(deps)
  const issueToken = streamTokenHandler(deps)
  app.get(
    '/apps/:app_id/stream',
    define(
      {
        operationId: 'openStream',
        tag: TAG,
        summary: "Stream the app's events",
        description:
          'A WebSocket upgrade opens the stream with the subprotocol of stream-protocol.md; `Accept: text/event-stream` ' +
          'gets server-sent events. `?after=epoch:offset` or `Last-Event-ID` resumes. A browser sends `?token=`.',
        access: 'stream',
        params: AppParams,
        responses: { 200: { description: 'Events until one side closes', mediaType: 'text/event-stream' } },
        errors: ['draining'],
      },
      ({ c }) => {
        addOurHeaders(c)
        return openStream(c)
      },
    ),
  )
  app.post(
    '/apps/:app_id/stream-tokens',
    define(
      {
        operationId: 'issueStreamToken',
        tag: TAG,
        summary: 'Issue a short-lived token that opens one stream',
        access: 'app',
        params: AppParams,
        responses: { 201: { description: 'The token', schema: StreamTokenSchema } },
      },
      ({ c }) => {
        addOurHeaders(c)
        return issueToken(c)
      },
    ),
  )
}

/** For handlers that make their own Response with `c.body` or `c.json`, which start from these. */
function addOurHeaders(c: HttpContext): void {
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) c.header(name, value)
  c.header('x-request-id', c.get('requestId'))
}
