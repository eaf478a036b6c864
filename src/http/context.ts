import type { IncomingMessage } from 'node:http'
import type { Context } from 'hono'
import type { AppId } from '../core/ids.ts'

/**
 * What requests carry through the middleware. `incoming` is Node's own request, present when the app is
 * served by node-server: reading it directly is several times cheaper than the standard Request.
 */
export type HttpEnv = {
  readonly Bindings: { readonly incoming?: IncomingMessage }
  readonly Variables: {
    /** Given by the caller in X-Request-Id, or by us; in every answer and every log line. */
    requestId: string
    /** The app whose route was called, once the caller has proven a right to it. */
    appId?: AppId
    /** The code of the problem that was answered. */
    problem?: string
  }
}
export type HttpContext = Context<HttpEnv>
