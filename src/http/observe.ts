import { randomUUID } from 'node:crypto'
import type { MiddlewareHandler } from 'hono'
import { matchedRoutes } from 'hono/route'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { HttpContext, HttpEnv } from './context.ts'
import type { HttpMetrics } from './metrics.ts'

const REQUEST_ID = /^[\w.:-]{1,128}$/
/** Asked every few seconds by machines: worth a line only when somebody looks for it. */
const QUIET_ROUTES = new Set(['/healthz', '/readyz', '/metrics'])

export type ObserveOptions = { readonly clock: Clock; readonly log: Logger; readonly metrics: HttpMetrics }

/**
 * Gives each request its id and, when it is answered, its one log line and its measurement. Of the
 * request only method and route pattern are logged: a path holds subscribers' ids and a query may hold a token.
 */
export function observeRequests({ clock, log, metrics }: ObserveOptions): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const startedAt = clock.monotonic()
    const given = c.req.header('x-request-id')
    c.set('requestId', given !== undefined && REQUEST_ID.test(given) ? given : randomUUID())
    await next()
    const route = routeOf(c)
    const { method } = c.req
    const { status } = c.res
    const ms = clock.monotonic() - startedAt
    metrics.observe({ method, route, status, ms })
    const fields = {
      method,
      route,
      status,
      ms: Math.round(ms * 10) / 10,
      requestId: c.get('requestId'),
      appId: c.get('appId'),
      problem: c.get('problem'),
    }
    if (QUIET_ROUTES.has(route)) log.debug(fields, 'request')
    else log.info(fields, 'request')
  }
}

/** The pattern of the handler, which Hono lists after the middleware; `unmatched` when there is only middleware. */
function routeOf(c: HttpContext): string {
  const path = matchedRoutes(c).at(-1)?.path
  return path === undefined || path === '/*' || path === '*' ? 'unmatched' : path
}
