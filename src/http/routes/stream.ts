import type { Hono } from 'hono'
import * as v from 'valibot'
import { GatewayError } from '../../core/errors.ts'
import type { Hub } from '../../streams/hub.ts'
import type { StreamTokens } from '../../streams/tokens.ts'
import type { HttpContext, HttpEnv } from '../context.ts'
import type { DefineOperation } from '../operation.ts'
import { AppParams } from '../schemas/parameters.ts'
import type { StreamAuthenticator } from '../stream-authentication.ts'
import { afterField, allowOrigin, filterFields, readAfter, readCredentials, readFilter } from '../stream-query.ts'
import { SSE_HEADERS, openEventStream } from '../stream-sse.ts'

const TAG = 'Stream'

const StreamTokenSchema = v.pipe(
  v.object({ token: v.string(), expires_in_ms: v.pipe(v.number(), v.integer()) }),
  v.metadata({ ref: 'StreamToken', title: 'A token that opens one stream' }),
)

/** Not strict: clients of EventSource add parameters of their own, such as one against caches. */
const StreamQuery = v.object({
  ...afterField,
  ...filterFields,
  token: v.optional(v.pipe(v.string(), v.description('A stream token, instead of a key'))),
})
const lastEventId = {
  name: 'Last-Event-ID',
  description: 'The position to resume after, as a reconnecting EventSource sends it; counts more than `after`',
  schema: { type: 'string' },
} as const

export type StreamRouteDeps = {
  readonly hub: Hub
  readonly authenticator: StreamAuthenticator
  readonly tokens: StreamTokens
}

/** Server-sent events and the tokens of browsers. A WebSocket upgrade never comes here: server.ts takes it. */
export function addStreamRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: StreamRouteDeps): void {
  const { hub, authenticator, tokens } = deps
  app.get(
    '/apps/:app_id/stream',
    define(
      {
        operationId: 'openStream',
        tag: TAG,
        summary: "Stream the app's events",
        description:
          'A WebSocket upgrade opens the stream with the subprotocol of stream-protocol.md and resumes by its first ' +
          'message; `Accept: text/event-stream` gets server-sent events. A browser sends a token instead of a key.',
        access: 'stream',
        params: AppParams,
        query: StreamQuery,
        headers: [lastEventId],
        responses: { 200: { description: 'Events until one side closes', mediaType: 'text/event-stream' } },
        errors: ['draining', 'overloaded', 'too_many_streams', 'origin_refused'],
      },
      async ({ params, query, c }) => {
        requireEventStream(c)
        const after = readAfter(c.req.header('last-event-id') ?? query.after)
        const filter = readFilter(c)
        await hub.admit()
        const credentials = { ...readCredentials(c), token: query.token }
        const admission = await authenticator.authenticate({ appId: params.app_id, ...credentials })
        const cutOff = () => c.env?.incoming?.socket.destroy()
        const text = openEventStream(hub, { admission, after, filter, cutOff })
        return { status: 200, text, headers: { ...SSE_HEADERS, ...allowOrigin(credentials.origin) } }
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
      async ({ caller }) => {
        if (caller === undefined) throw new GatewayError('unauthorized')
        const { token, expiresInMs } = await tokens.issue(caller)
        return { status: 201, json: { token, expires_in_ms: expiresInMs } }
      },
    ),
  )
}

/** Throws for a request that did not mean to open a stream, or, like HEAD, would never read it. */
function requireEventStream(c: HttpContext): void {
  if (c.req.method !== 'GET') throw new GatewayError('method_not_allowed', { fields: { allowed: ['GET'] } })
  if (/\btext\/event-stream\b/i.test(c.req.header('accept') ?? '')) return
  throw new GatewayError('invalid_request', {
    detail: 'Open a WebSocket here, or send "Accept: text/event-stream" for server-sent events.',
  })
}
