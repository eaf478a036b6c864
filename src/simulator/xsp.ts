import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { Duplex } from 'node:stream'
import { authenticate, mayActOn } from './auth.ts'
import type { Backend } from './backend.ts'
import { fromBadgerFish, toBadgerFish } from './badgerfish.ts'
import type { Channel } from './channels.ts'
import { errorEventDocument } from './events.ts'
import { listenOn, readBody } from './http-server.ts'
import { ERROR_CODES, errorReply, overloadPage, replyOfError } from './reply.ts'
import type { Reply } from './reply.ts'
import { splitPath } from './route.ts'
import type { Context, Router } from './route.ts'
import { commonHeaders } from './xsp-headers.ts'
import { XML_DECLARATION, parseXml, serialisePlain } from './xml.ts'

export type XspOptions = {
  readonly index: number
  readonly host: string
  readonly port: number
  readonly tls: { readonly key: string; readonly cert: string } | undefined
  readonly backend: Backend
  readonly router: Router
  /** The URLs of all XSPs, for redirects; read when one is due. */
  readonly urls: () => readonly string[]
}

const BODY_BYTES_MAX = 256 * 1024

/** A request that has been read. */
type Asked = {
  readonly message: IncomingMessage
  readonly response: ServerResponse
  readonly body: string
  /** Undefined when it is none of ours. */
  readonly path: ReturnType<typeof splitPath>
  readonly query: URLSearchParams
}

/**
 * One Xtended Services Platform: an HTTP server in front of the shared backend. Which XSP holds a
 * channel is the only thing that it knows and the others do not.
 */
export class Xsp {
  readonly #options: XspOptions
  readonly #server: Server
  /** The channel that a connection carries; such a connection serves nothing else. */
  readonly #channelOf = new WeakMap<Duplex, Channel>()
  #url = ''

  constructor(options: XspOptions) {
    this.#options = options
    const serverOptions = { keepAliveTimeoutBuffer: 0, noDelay: true }
    const onRequest = (message: IncomingMessage, response: ServerResponse) => void this.#serve(message, response)
    this.#server =
      options.tls === undefined
        ? createServer(serverOptions, onRequest)
        : createSecureServer({ ...serverOptions, ...options.tls }, onRequest)
    options.backend.settings.follow(({ keepAliveTimeoutMs }) => {
      this.#server.keepAliveTimeout = keepAliveTimeoutMs
    })
    this.#server.on('clientError', (_error, socket) => this.#onForeignContent(socket))
  }

  get url(): string {
    return this.#url
  }

  async start(): Promise<void> {
    const { host, tls } = this.#options
    const port = await listenOn(this.#server, { host, port: this.#options.port })
    this.#url = `${tls === undefined ? 'http' : 'https'}://${host}:${port}`
  }

  /** Breaks all connections, channels included. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }

  /** Marks a connection as the carrier of a channel, and ends the channel with it. */
  #bindChannel(channel: Channel, message: IncomingMessage, response: ServerResponse): void {
    this.#channelOf.set(message.socket, channel)
    response.on('close', () => this.#options.backend.channels.close(channel))
    response.on('error', () => this.#options.backend.channels.close(channel))
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#channelOf.has(message.socket)) return this.#onForeignContent(message.socket)
    try {
      const body = await readBody(message, BODY_BYTES_MAX)
      const url = new URL(message.url ?? '/', 'http://xsp')
      const path = splitPath(url.pathname)
      const reply = this.#answer({ message, response, body, path, query: url.searchParams })
      if (reply !== undefined) this.#write(message, response, { reply, context: path?.context ?? 'actions' })
    } catch (error) {
      this.#options.backend.log.warn({ error, xsp: this.#options.index }, 'simulator request failed')
      response.destroy()
    }
  }

  #answer({ message, response, body, path, query }: Asked): Reply | undefined {
    const { backend, router, index } = this.#options
    const method = message.method ?? 'GET'
    const fault = this.#faultReply(message)
    if (fault !== undefined) return fault
    if (path === undefined) return errorReply(404, { code: ERROR_CODES.notFound, summary: 'No such URL' })
    const principal = authenticate(message.headers.authorization, backend)
    if (principal === undefined) return challenge(message)
    if (path.segments.at(-1)?.toLowerCase() === 'j_logout') {
      return { status: 200, headers: { 'Set-Cookie': 'JSESSIONID=; Max-Age=0; Path=/' } }
    }
    const match = router.match(path.context, method, path.segments)
    if (match.kind === 'unknown') return errorReply(404, { code: ERROR_CODES.notFound, summary: 'No such URL' })
    if (match.kind === 'wrong_method') {
      return errorReply(405, { code: ERROR_CODES.wrongMethod, summary: 'Method not supported' })
    }
    const { userId } = match.params
    try {
      if (userId !== undefined) {
        backend.users.require(userId)
        if (!mayActOn(principal, userId))
          return errorReply(403, { code: ERROR_CODES.forbidden, summary: 'Out of scope' })
      }
      return match.route.run({
        backend,
        xspIndex: index,
        principal,
        params: match.params,
        query,
        body: () => parseBody(message, body),
        origin: `${this.#options.tls === undefined ? 'http' : 'https'}://${message.headers.host ?? ''}`,
        message,
        response,
        bindChannel: (channel) => this.#bindChannel(channel, message, response),
      })
    } catch (error) {
      const reply = replyOfError(error)
      if (reply.status === 500) backend.log.error({ error }, 'simulator command failed')
      return reply
    }
  }

  #faultReply(message: IncomingMessage): Reply | undefined {
    const { backend, index, urls } = this.#options
    const path = message.url ?? '/'
    const burst = backend.faults.takeBurst(path)
    if (burst !== undefined) {
      const headers: Record<string, string> =
        burst.retry_after_seconds === undefined ? {} : { 'Retry-After': String(burst.retry_after_seconds) }
      if (burst.status === 401) return challenge(message)
      if (burst.status === 503) return { status: 503, html: overloadPage(), headers }
      return errorReply(burst.status, { code: 110_000 + burst.status, summary: 'Simulated failure', headers })
    }
    const redirect = backend.faults.takeRedirect(path, index)
    const target = redirect === undefined ? undefined : urls()[redirect]
    return target === undefined ? undefined : { status: 302, headers: { Location: target + path } }
  }

  #write(
    message: IncomingMessage,
    response: ServerResponse,
    { reply, context }: { readonly reply: Reply; readonly context: Context },
  ): void {
    const body = bodyOf(reply, wantsJson(message), context)
    response.writeHead(reply.status, {
      ...commonHeaders(message, { context, xspIndex: this.#options.index, newId: this.#options.backend.newId }),
      ...reply.headers,
      ...(body === undefined ? { 'Content-Length': 0 } : { 'Content-Type': body.type }),
    })
    // Chunked, as the real server's replies are.
    if (body !== undefined) response.write(body.bytes)
    // Also when the client has gone before the reply: what it asked for is done all the same.
    if (reply.afterwards !== undefined) response.once('close', reply.afterwards)
    response.end()
  }

  /** Anything else on a channel's connection is answered on the stream (XSD `ErrorEvent`). */
  #onForeignContent(socket: Duplex): void {
    const channel = this.#channelOf.get(socket)
    if (channel === undefined) {
      if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
      return
    }
    const { oldAttributeOrder } = this.#options.backend.settings.current
    channel.stream.writeDocument(errorEventDocument(ERROR_CODES.badRequest, 'Unexpected content', oldAttributeOrder))
  }
}

function challenge(message: IncomingMessage): Reply {
  const isQuiet = message.headers['x-broadworks-no-authchallenge']?.toString().toLowerCase() === 'true'
  return errorReply(401, {
    code: ERROR_CODES.unauthorised,
    summary: 'Authentication required',
    headers: isQuiet ? {} : { 'WWW-Authenticate': 'Basic realm="BroadWorks"' },
  })
}

const parseBody = (message: IncomingMessage, body: string) => {
  if (body.trim() === '') return undefined
  return message.headers['content-type']?.includes('json') === true ? fromBadgerFish(body) : parseXml(body)
}

function wantsJson(message: IncomingMessage): boolean {
  const { accept, 'content-type': type } = message.headers
  return (
    /[?&]format=json(&|$)/i.test(message.url ?? '') ||
    accept?.includes('application/json') === true ||
    type?.includes('application/json') === true
  )
}

function bodyOf(
  reply: Reply,
  isJson: boolean,
  context: Context,
): { readonly type: string; readonly bytes: Buffer } | undefined {
  if (reply.html !== undefined) return { type: 'text/html;charset=UTF-8', bytes: Buffer.from(reply.html) }
  if (reply.document === undefined) return undefined
  if (isJson) return { type: 'application/json;charset=UTF-8', bytes: Buffer.from(toBadgerFish(reply.document)) }
  const text = serialisePlain(reply.document)
  if (reply.isLatin1 === true) {
    const declaration = '<?xml version="1.0" encoding="ISO-8859-1"?>'
    const escaped = text.replaceAll(/[\u{100}-\u{10FFFF}]/gu, (character) => `&#${character.codePointAt(0)};`)
    return { type: 'application/xml;charset=ISO-8859-1', bytes: Buffer.from(declaration + escaped, 'latin1') }
  }
  const type = context === 'actions' ? 'application/xml;charset=UTF-8' : 'text/xml;charset=UTF-8'
  return { type, bytes: Buffer.from(`${XML_DECLARATION}\n${text}`) }
}
