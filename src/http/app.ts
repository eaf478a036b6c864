import { Hono } from 'hono'
import type { Registry } from 'prom-client'
import type { CallControl } from '../control/call-control.ts'
import type { AppRepository } from '../core/app.ts'
import type { Clock } from '../core/clock.ts'
import type { DeliveryRecords } from '../core/delivery-record.ts'
import type { EndpointRepository, SigningKeyPair } from '../core/endpoint.ts'
import { GatewayError, isGatewayError } from '../core/errors.ts'
import type { AppId, EndpointId, Shard } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { NetworkControl, NetworkLifecycle } from '../core/network-control.ts'
import type { NetworkRepository } from '../core/network.ts'
import type { OperatorEventRepository } from '../core/operator-event.ts'
import type { SubscriberRepository } from '../core/subscriber.ts'
import type { Hub } from '../streams/hub.ts'
import type { StreamTokens } from '../streams/tokens.ts'
import type { Authenticator } from './authentication.ts'
import type { HttpContext, HttpEnv } from './context.ts'
import { InFlightLimit } from './in-flight-limit.ts'
import { HttpMetrics } from './metrics.ts'
import { observeRequests } from './observe.ts'
import { operationFactory, specOf, toResponse } from './operation.ts'
import type { DefineOperation, Reply } from './operation.ts'
import { toProblemResponse } from './problem.ts'
import { addAppRoutes } from './routes/admin-apps.ts'
import { addOperatorEventRoutes } from './routes/admin-events.ts'
import { addNetworkRoutes } from './routes/admin-networks.ts'
import { addSubscriberRoutes } from './routes/admin-subscribers.ts'
import { addAdminWebhookRoutes } from './routes/admin-webhooks.ts'
import { addAsyncApiRoute } from './routes/asyncapi.ts'
import { addCallRoutes } from './routes/calls.ts'
import { addDeliveryRoutes } from './routes/deliveries.ts'
import { addDocsRoutes } from './routes/docs.ts'
import { addEventRoutes } from './routes/events.ts'
import { addHealthRoutes } from './routes/health.ts'
import type { Readiness } from './routes/health.ts'
import { addMetricsRoute } from './routes/metrics.ts'
import { addOpenApiRoute } from './routes/openapi.ts'
import { addStreamRoutes } from './routes/stream.ts'
import { addWebhookActionRoutes } from './routes/webhook-actions.ts'
import { addWebhookRoutes } from './routes/webhooks.ts'
import type { StreamAuthenticator } from './stream-authentication.ts'
import type { DeliveryReplayer, DeliveryTester, OwnershipVerifier, ReadWebhookStatus } from './webhook-ports.ts'

/** One of the provisioning APIs. */
export type Face = {
  readonly addRoutes: (app: Hono<HttpEnv>, define: DefineOperation) => void
  /** A path as the routes have it, of one that is written otherwise and means the same; others as they are. */
  readonly toCanonicalPath?: (path: string) => string
  /**
   * The answer for a path or a method that no route has, where a document prescribes another form than problem
   * details; undefined for paths that are not of this API.
   */
  readonly answerMissing?: (error: GatewayError, c: HttpContext) => Reply | undefined
}

/** What the HTTP side needs of the rest: ports, and the few objects of http itself that need ports, too. */
export type HttpDeps = {
  /** Without it there are only the routes that every process has: health and metrics. */
  readonly servesApi: boolean
  readonly authenticator: Authenticator
  readonly calls: CallControl
  readonly apps: AppRepository
  readonly networks: NetworkRepository
  readonly networkControl: NetworkControl & NetworkLifecycle
  readonly subscribers: SubscriberRepository
  readonly endpoints: EndpointRepository
  /** The URL in its canonical form; rejects with `webhook_url_refused` for one that must not be sent to. */
  readonly checkEndpointUrl: (url: string) => Promise<string>
  /** A new signing secret, `whsec_…`. */
  readonly generateSecret: () => string
  /** A new key pair for `v1a` signatures. */
  readonly generateKeyPair: () => SigningKeyPair
  /** Whether whoever receives at a new URL must prove that they want it before anything is sent there. */
  readonly requiresVerification: boolean
  /**
   * Fixes where in the app's log a webhook starts, unless it has started; from then on it misses nothing. What
   * waits for it is sent on its way, as far as it may be by now.
   */
  readonly openEndpoint: (appId: AppId, endpointId: EndpointId) => Promise<void>
  /** Forgets that a webhook has failed: its breaker is closed and it is not about to be disabled. */
  readonly resetFailures: (appId: AppId, endpointId: EndpointId) => Promise<void>
  /** Drops what is pending for a webhook, and where it is: should it be enabled again, it starts anew. */
  readonly forgetEndpoint: (appId: AppId, endpointId: EndpointId) => Promise<void>
  readonly webhookStatus: ReadWebhookStatus
  readonly deliveries: Pick<DeliveryRecords, 'list' | 'find'>
  readonly replayer: DeliveryReplayer
  readonly tester: DeliveryTester
  readonly verifier: OwnershipVerifier
  readonly operatorEvents: Pick<OperatorEventRepository, 'list'>
  readonly streams: {
    readonly hub: Hub
    readonly authenticator: StreamAuthenticator
    readonly tokens: StreamTokens
  }
  readonly readiness: () => Readiness
  readonly registry: Registry
  /** Further APIs over the same server, each adding its own routes. */
  readonly faces: readonly Face[]
  /** For apps and networks that are created without naming one. */
  readonly defaultShard: Shard
  readonly clock: Clock
  readonly log: Logger
}

/** Tests, verifications and replays of one app on this instance. */
const WEBHOOK_ACTIONS = { runningMax: 5, waitingMax: 0 }
/**
 * Registrations and changes of webhooks of one app: each may wait seconds for name servers that the app chose.
 * Those of all its webhooks at once are not refused.
 */
const WEBHOOK_CHANGES = { runningMax: 5, waitingMax: 45 }
/**
 * Requests of one app for its deliveries: few enough that other apps, and what is to be recorded, find connections
 * to the database free, and many enough for a page that shows all its webhooks.
 */
const DELIVERY_READS = { runningMax: 3, waitingMax: 17 }

/** Every HTTP route of the gateway but the WebSocket upgrade. Serve its `fetch`. */
export function createHttpApp(deps: HttpDeps): Hono<HttpEnv> {
  const { clock, log } = deps
  const app = new Hono<HttpEnv>({ getPath: pathReader(deps) })
  app.use(observeRequests({ clock, log, metrics: new HttpMetrics(deps.registry) }))
  app.onError((error, c) => answerError(error, c, log))
  app.notFound((c) => answerMissing(missingRoute(app, c), c, deps))

  const define = operationFactory(deps.authenticator)
  addHealthRoutes(app, define, deps.readiness)
  addMetricsRoute(app, define, deps.registry)
  if (!deps.servesApi) return app
  addCallRoutes(app, define, deps.calls)
  addWebhookRoutes(app, define, { ...deps, changeLimit: new InFlightLimit(WEBHOOK_CHANGES) })
  const limit = new InFlightLimit(WEBHOOK_ACTIONS)
  addWebhookActionRoutes(app, define, { ...deps, limit })
  addDeliveryRoutes(app, define, { ...deps, limit, readLimit: new InFlightLimit(DELIVERY_READS) })
  addStreamRoutes(app, define, deps.streams)
  addEventRoutes(app, define, deps.streams)
  addNetworkRoutes(app, define, deps)
  addAppRoutes(app, define, deps)
  addSubscriberRoutes(app, define, deps)
  addAdminWebhookRoutes(app, define, deps)
  addOperatorEventRoutes(app, define, deps.operatorEvents)
  for (const { addRoutes } of deps.faces) addRoutes(app, define)
  addDocsRoutes(app, define)
  addAsyncApiRoute(app, define)
  addOpenApiRoute(app, define)
  return app
}

/**
 * The path as it was sent. Hono's own would decode some of it before routing and the rest when a
 * parameter is read, so that a call id with `%25` in it would be decoded twice.
 */
function readPath(request: Request): string {
  const { url } = request
  const start = url.indexOf('/', url.indexOf('://') + 3)
  const end = url.slice(start).search(/[?#]/)
  return end === -1 ? url.slice(start) : url.slice(start, start + end)
}

/** The same, but as the routes have it where a face knows more than one way to write a path. */
function pathReader({ faces }: HttpDeps): (request: Request) => string {
  const rewrites = faces.flatMap(({ toCanonicalPath }) => toCanonicalPath ?? [])
  return (request) => rewrites.reduce((path, toCanonicalPath) => toCanonicalPath(path), readPath(request))
}

function answerMissing(error: GatewayError, c: HttpContext, { faces, log }: HttpDeps): Response {
  for (const face of faces) {
    const reply = face.answerMissing?.(error, c)
    if (reply !== undefined) return toResponse(reply, c.get('requestId'))
  }
  return answerError(error, c, log)
}

function answerError(error: unknown, c: HttpContext, log: Logger): Response {
  const requestId = c.get('requestId')
  if (!isGatewayError(error) || error.status === 500) log.error({ err: error, requestId }, 'request failed')
  else if (error.status > 500) log.warn({ err: error, requestId }, 'request failed')
  c.set('problem', isGatewayError(error) ? error.code : 'internal')
  return toProblemResponse(error, requestId)
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

/** `method_not_allowed` with the methods that the path has, or `route_not_found` when it has none. */
function missingRoute(app: Hono<HttpEnv>, c: HttpContext): GatewayError {
  const allowed = METHODS.filter((method) => {
    const [matched] = app.router.match(method, c.req.path)
    return matched.some(([[handler]]) => specOf(handler) !== undefined)
  })
  if (allowed.length === 0) return new GatewayError('route_not_found')
  const names = allowed.includes('GET') ? ['HEAD', ...allowed] : allowed
  return new GatewayError('method_not_allowed', { fields: { allowed: names } })
}
