import { randomUUID } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { STATUS_CODES, createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import { RequestError, getRequestListener } from '@hono/node-server'
import { WebSocketServer } from 'ws'
import { GatewayError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { Service } from '../core/service.ts'
import type { Hub } from '../streams/hub.ts'
import type { Pace } from '../streams/pace.ts'
import { SUBPROTOCOL } from '../streams/protocol.ts'
import type { CertificateWatch, ServerCertificate } from './certificate.ts'
import { toProblemResponse } from './problem.ts'
import type { StreamAuthenticator } from './stream-authentication.ts'
import { adoptWebSocket, readProtocols } from './stream-websocket.ts'

const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 30_000
/** Above the idle timeout of the usual load balancers (60 s), so that they are the ones who close. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000
const HEADERS_MAX = 100
const CONNECTIONS_CHECK_MS = 5_000
const TCP_KEEP_ALIVE_MS = 30_000
const IDLE_CHECK_MS = 100
/** Longer than an answer is usually waited for, long polls included. */
const STALLED_MS = 120_000

const SERVER_OPTIONS = {
  headersTimeout: HEADERS_TIMEOUT_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
  connectionsCheckingInterval: CONNECTIONS_CHECK_MS,
  keepAlive: true,
  keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
  // Node's own refusal has no body.
  requireHostHeader: false,
  // Some clients offer h2c on every request and expect an HTTP/1.1 answer.
  shouldUpgradeCallback: (request: IncomingMessage) => request.headers.upgrade?.toLowerCase() === 'websocket',
}

const toTlsOptions = ({ cert, key }: ServerCertificate) => ({ cert, key, minVersion: 'TLSv1.2' }) as const

/**
 * Compression is off: after one compressed broadcast a client costs some 200 KB of memory instead of 6.
 * Fragments and chunks are bounded as well, since each of them costs more than its bytes.
 */
const WEBSOCKET_OPTIONS = {
  noServer: true,
  // The hub knows them.
  clientTracking: false,
  perMessageDeflate: false,
  // Answered by the stream, which bounds it.
  autoPong: false,
  maxPayload: 64 * 1024,
  maxFragments: 64,
  closeTimeout: 5_000,
  handleProtocols: () => SUBPROTOCOL,
}

export type HttpServerOptions = {
  /** The Hono app's; `env` is node-server's `{incoming, outgoing}`. */
  readonly fetch: (request: Request, env: object) => Response | Promise<Response>
  readonly streams: { readonly hub: Hub; readonly authenticator: StreamAuthenticator }
  /** Whether streams can be opened here; other processes may be there for that. */
  readonly acceptsStreams: boolean
  readonly host: string
  /** 0 takes any free port. */
  readonly port: number
  /**
   * How long it goes on as before when it is told to stop, so that whoever spreads the requests has seen
   * that the instance is not ready any more; 0 if absent.
   */
  readonly drainDelayMs?: number
  /** Serves HTTPS with its certificate, to be started before; plain HTTP if absent. */
  readonly certificate?: Pick<CertificateWatch, 'current' | 'onRenewed'>
  /** For streams whose clients leave at once; not the hub's, whose work would make them wait. */
  readonly closingPace: Pick<Pace, 'turn'>
  /** How long nothing may move on a connection, as when its client does not read; two minutes if absent. */
  readonly stalledMs?: number
  readonly log: Logger
}

/**
 * Node's HTTP server in front of the Hono app and of the WebSocket streams. Every wait of a client has
 * a limit, and everything refused before the app sees it is a problem document too.
 */
export class HttpServer implements Service {
  readonly name = 'http'
  readonly #options: HttpServerOptions
  readonly #sockets = new Set<Socket>()
  readonly #webSockets: WebSocketServer
  #server: Server | undefined
  #unwatchCertificate: (() => void) | undefined
  #isStopping = false

  constructor(options: HttpServerOptions) {
    this.#options = options
    this.#webSockets = new WebSocketServer(WEBSOCKET_OPTIONS)
    this.#webSockets.on('wsClientError', (error, socket) =>
      refuse(socket, new GatewayError('invalid_request', { detail: error.message })),
    )
  }

  /** Where it listens, with the port that was really taken. */
  get url(): string {
    const address = this.#server?.address()
    if (typeof address !== 'object' || address === null) throw new GatewayError('internal', { detail: 'not listening' })
    const host = address.family === 'IPv6' ? `[${address.address}]` : address.address
    return `${this.#options.certificate === undefined ? 'http' : 'https'}://${host}:${address.port}`
  }

  /** Rejects with `internal` when the address cannot be listened on. */
  async start(): Promise<void> {
    const server = this.#createServer()
    const { host, port } = this.#options
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) =>
        reject(new GatewayError('internal', { detail: `cannot listen on ${host}:${port}`, cause })),
      )
      server.listen({ host, port, backlog: 1024 }, resolve)
    })
    server.removeAllListeners('error')
    server.on('error', (error) => this.#options.log.error({ err: error }, 'http server failed'))
    this.#server = server
    this.#options.log.info({ url: this.url }, 'listening')
  }

  /** Takes no more connections, sends the streams elsewhere and lets requests finish until the deadline. */
  async stop(deadline: AbortSignal): Promise<void> {
    if (this.#server === undefined || this.#isStopping) return
    this.#isStopping = true
    await waitFor(this.#options.drainDelayMs ?? 0, deadline)
    const server = this.#server
    this.#server = undefined
    this.#unwatchCertificate?.()
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    this.#options.streams.hub.drain()
    // Node closes idle connections once, when it stops listening; others become idle as they finish.
    const idleCheck = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS)
    const cutOff = () => {
      for (const socket of this.#sockets) socket.destroy()
    }
    if (deadline.aborted) cutOff()
    else deadline.addEventListener('abort', cutOff, { once: true })
    await closed
    clearInterval(idleCheck)
    deadline.removeEventListener('abort', cutOff)
    this.#webSockets.close()
  }

  #createServer(): Server {
    const listener = getRequestListener(this.#options.fetch, {
      // HTTP/1.0, which load balancers' checks still speak, has no Host.
      hostname: 'localhost',
      errorHandler: (error) => this.#answerFailure(error),
    })
    const server = this.#createBareServer((request, response) => {
      // Each answers its own failures.
      void (lacksHost(request) ? refuseRequest(response, missingHost()) : listener(request, response))
    })
    server.maxHeadersCount = HEADERS_MAX
    // Node destroys the connection then. WebSockets are exempt: `ws` sees to that, and streams ask for signs of life.
    server.setTimeout(this.#options.stalledMs ?? STALLED_MS)
    const sockets = this.#sockets
    // One function for all: an idle stream is little more than what is remembered here.
    const forget = function (this: Socket): void {
      sockets.delete(this)
    }
    server.on('connection', (socket) => {
      sockets.add(socket)
      socket.on('close', forget)
    })
    server.on('checkExpectation', (_request, response) => {
      void refuseRequest(response, new GatewayError('expectation_failed'))
    })
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => answerClientError(error, socket))
    server.on('upgrade', (request, socket, head) => {
      // Every failure is answered on the socket.
      void this.#upgrade(request, socket, head)
    })
    return server
  }

  #createBareServer(listener: (request: IncomingMessage, response: ServerResponse) => void): Server {
    const { certificate } = this.#options
    if (certificate === undefined) return createServer(SERVER_OPTIONS, listener)
    const server: TlsServer = createTlsServer(
      { ...SERVER_OPTIONS, ...toTlsOptions(certificate.current), handshakeTimeout: HEADERS_TIMEOUT_MS },
      listener,
    )
    // For new connections; those that are open keep what they have agreed on.
    this.#unwatchCertificate = certificate.onRenewed((renewed) => server.setSecureContext(toTlsOptions(renewed)))
    return server
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const onError = () => socket.destroy()
    socket.on('error', onError)
    const timer = setTimeout(onError, HEADERS_TIMEOUT_MS)
    try {
      const { closingPace, streams } = this.#options
      const { hub, authenticator } = streams
      if (!this.#options.acceptsStreams) throw new GatewayError('route_not_found')
      await hub.admit()
      const target = readTarget(request)
      const admission = await authenticator.authenticate(target)
      // Asked before the handshake, after which a refusal could not be an HTTP answer any more.
      hub.checkRoom(admission.app)
      if (socket.destroyed) return
      socket.off('error', onError)
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) =>
        adoptWebSocket({ socket: webSocket, wire: socket, closingPace }, admission, hub),
      )
    } catch (error) {
      if (!(error instanceof GatewayError)) this.#options.log.error({ err: error }, 'stream not opened')
      refuse(socket, error)
    } finally {
      clearTimeout(timer)
    }
  }

  #answerFailure(error: unknown): Response {
    if (error instanceof RequestError) {
      return toProblemResponse(
        new GatewayError('invalid_request', { detail: 'The request line or Host is not valid' }),
        randomUUID(),
      )
    }
    this.#options.log.error({ err: error }, 'request failed outside the app')
    return toProblemResponse(error, randomUUID())
  }
}

/** Resolves after `ms`, and at once when the deadline is over. */
async function waitFor(ms: number, deadline: AbortSignal): Promise<void> {
  if (ms > 0) await wait(ms, undefined, { signal: deadline }).catch(() => undefined)
}

/** The app and the credentials of an upgrade request. Throws for anything but a stream's. */
function readTarget(request: IncomingMessage): Parameters<StreamAuthenticator['authenticate']>[0] {
  if (lacksHost(request)) throw missingHost()
  const url = URL.parse(request.url ?? '', 'http://gateway')
  const appId = /^\/apps\/([^/]+)\/stream$/.exec(url?.pathname ?? '')?.[1]
  if (url === null || appId === undefined) throw new GatewayError('route_not_found')
  const { isAcceptable, token } = readProtocols(request.headers['sec-websocket-protocol'])
  if (!isAcceptable) {
    throw new GatewayError('invalid_request', { detail: `The only WebSocket subprotocol here is ${SUBPROTOCOL}.` })
  }
  return {
    appId: decodeSegment(appId),
    authorization: request.headers.authorization,
    token: token ?? url.searchParams.get('token') ?? undefined,
    origin: request.headers.origin,
  }
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw new GatewayError('route_not_found')
  }
}

/** HTTP/1.1 demands it (RFC 9112, 3.2). */
const lacksHost = ({ httpVersion, headers }: IncomingMessage): boolean =>
  httpVersion === '1.1' && headers.host === undefined

const missingHost = (): GatewayError =>
  new GatewayError('invalid_request', { detail: 'The request has no Host header field' })

/** Answers a request that the app does not get to see. Cannot reject: the body is a string. */
async function refuseRequest(response: ServerResponse, error: GatewayError): Promise<void> {
  const problem = toProblemResponse(error, randomUUID())
  const body = await problem.text()
  response.writeHead(problem.status, {
    ...Object.fromEntries(problem.headers),
    'content-length': Buffer.byteLength(body),
    // A body may follow, which nobody reads.
    connection: 'close',
  })
  response.end(body)
}

/** Answers a request on its bare socket, and ends the connection. */
function refuse(socket: Duplex, error: unknown): void {
  if (!socket.writable) return
  // Cannot reject: the body is a string.
  void answer(socket, toProblemResponse(error, randomUUID()))
}

async function answer(socket: Duplex, response: Response): Promise<void> {
  const body = await response.text()
  const headers = new Map<string, string | number>(response.headers)
  headers.set('connection', 'close').set('content-length', Buffer.byteLength(body))
  const lines = Array.from(headers, ([name, value]) => `${name}: ${value}`)
  const status = `HTTP/1.1 ${response.status} ${STATUS_CODES[response.status] ?? ''}`
  socket.once('finish', () => socket.destroy())
  socket.end([status, ...lines, '', body].join('\r\n'))
}

/** Answers what Node's parser refused. */
function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  // What is no TLS, or none that we speak, cannot be answered in it.
  const isHandshake = error.code?.startsWith('ERR_SSL_') === true || error.code?.startsWith('ERR_TLS_') === true
  if (error.code === 'ECONNRESET' || isHandshake || !socket.writable) {
    socket.destroy()
    return
  }
  if (error.code === 'HPE_HEADER_OVERFLOW') return refuse(socket, new GatewayError('headers_too_large'))
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') return refuse(socket, new GatewayError('request_timeout'))
  refuse(socket, new GatewayError('invalid_request', { detail: 'The request is not valid HTTP/1.1' }))
}
