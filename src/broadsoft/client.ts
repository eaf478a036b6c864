import { getCACertificates } from 'node:tls'
import { Agent, type Dispatcher } from 'undici'
import type { Clock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import { charsetOf } from './charset.ts'
import { CookieJar } from './cookie-jar.ts'
import { CredentialGate } from './credential-gate.ts'
import { Deadline } from './deadline.ts'
import { isBroken, isUnsent, readRetryAfter, unreachableError, unsentError } from './errors.ts'
import { exchange, type Answer } from './exchange.ts'
import { Nodes } from './nodes.ts'
import type { XsiDocument } from './parse.ts'
import { parseDocument } from './parse.ts'
import { isRedirect, redirectTarget } from './redirect.ts'

type Credentials = { readonly username: string; readonly password: string }

export type XsiClientOptions = {
  /** Base URLs of the XSPs: scheme, host and port. */
  readonly nodes: readonly URL[]
  readonly credentials: Credentials
  /** PEM certificates trusted besides the system's. */
  readonly ca?: string
  /** Hosts that a redirect may lead to besides those of `nodes`, as `host` or `host:port`. */
  readonly allowedHosts?: readonly string[]
  /** The context of XSI-Actions, without `/v2.0` (operators can rename it). */
  readonly actionsPath?: string
  /** From the sending of a request to the last byte of its answer. */
  readonly timeoutMs?: number
  /** The largest answer taken, in bytes; does not bound a stream. */
  readonly bodyBytesMax?: number
  readonly log: Logger
  readonly clock: Clock
}

export type XsiRequest = {
  /** The only node to ask; undefined means the first one that works. */
  readonly node?: URL
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** From `/com.broadsoft…` on, encoded, with the query. */
  readonly path: string
  /** An XML document. */
  readonly body?: string
  readonly signal: AbortSignal
  readonly timeoutMs?: number
  /** The largest answer taken, in bytes, when it is another than the client's. */
  readonly bodyBytesMax?: number
  /** May be sent again when the connection breaks before the answer; by default all but POST. */
  readonly isIdempotent?: boolean
}

type XsiHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

export type XsiResponse = {
  readonly status: number
  /** The node that answered, which after a redirect is another one. */
  readonly node: URL
  readonly headers: XsiHeaders
  readonly retryAfterSeconds?: number
  /** The answer's document; undefined when it has none, or one that is not XSI (an HTML error page). */
  readonly document?: XsiDocument
  /** An earlier sending of the same request got no answer and may have been carried out. */
  readonly isRepeat?: true
}

export type XsiStreamRequest = {
  readonly node: URL
  readonly path: string
  readonly body: string
  /** Ends the stream at any time. */
  readonly signal: AbortSignal
}

/** An answer that goes on until either side ends it; `body` is empty unless the status is a success. */
export type XsiStream = XsiResponse & {
  /** The charset that HTTP named. */
  readonly charset?: string
  /** The bytes as they arrive, for one reader. Rejects with `provider_unavailable` when the connection breaks. */
  readonly body: AsyncIterable<Uint8Array>
  /** Frees the connection; to be called also when the stream has ended by itself. Idempotent. */
  close(): Promise<void>
}

type Send = Pick<XsiRequest, 'method' | 'path' | 'body'> & { readonly node: URL }

type AnswerHead = Pick<Answer, 'statusCode' | 'headers'>
/** Sends one request and gives back the answer; of a redirect, nothing is left to read. */
type Ask<Given extends AnswerHead> = (request: Dispatcher.DispatchOptions) => Promise<Given>

const TIMEOUT_DEFAULT_MS = 10_000
const CONNECT_TIMEOUT_MS = 4_000
const BODY_BYTES_MAX_DEFAULT = 1_048_576
const REDIRECTS_MAX = 3
/** XSPs close an idle connection after 4 s (`Keep-Alive: timeout=4`): never reuse one that old. */
const KEEP_ALIVE_MS = 3_000
const CONNECTIONS_PER_NODE = 16

/**
 * The HTTP side of one network: sends the credentials with every request, keeps each node's cookies,
 * follows redirects to known hosts, and bounds every answer in time and size. HTTP/1.1 only.
 *
 * An answer of any status is given back, 401 included; the methods reject with `provider_unavailable`
 * when there is none, `provider_refused` for a redirect that may not be followed, `protocol_error` for
 * an answer over the bound, and `provider_unauthorized` while locked out (see CredentialGate). No
 * error, log line or property holds the credentials.
 */
export class XsiClient {
  /** The context of XSI-Actions, for building paths. */
  readonly actionsPath: string
  readonly #options: XsiClientOptions
  readonly #nodes: Nodes
  readonly #allowedHosts: ReadonlySet<string>
  readonly #gate = new CredentialGate()
  readonly #jars = new Map<string, CookieJar>()
  readonly #streams = new Set<Deadline>()
  readonly #ca: readonly string[] | undefined
  readonly #authorization: string
  #pooled: Agent | undefined
  #fresh: Agent | undefined
  #isClosed = false

  constructor(options: XsiClientOptions) {
    this.#options = options
    this.actionsPath = options.actionsPath ?? '/com.broadsoft.xsi-actions'
    this.#nodes = new Nodes(options.nodes, options.clock)
    this.#allowedHosts = new Set([...options.nodes.map(({ origin }) => origin), ...(options.allowedHosts ?? [])])
    this.#ca = options.ca === undefined ? undefined : [...getCACertificates('default'), options.ca]
    this.#authorization = basicAuthorization(options.credentials)
  }

  /** The clock's time, in epoch ms: when what was just read was read. */
  now(): number {
    return this.#options.clock.now()
  }

  /** The credentials were refused for good: nothing is sent until `resetCredentials`. */
  get isLockedOut(): boolean {
    return this.#gate.isLockedOut
  }

  /** Tries the credentials again. */
  resetCredentials(): void {
    this.#gate.reset()
  }

  /** Sends a request and reads the whole answer. */
  async request(request: XsiRequest): Promise<XsiResponse> {
    const startedAt = this.#options.clock.monotonic()
    try {
      const response = await this.#gate.run(() => this.#send(request), request.signal)
      this.#log(request.method, response, startedAt)
      return response
    } catch (error) {
      throw unreachableError(error)
    }
  }

  /**
   * Sends a POST whose answer does not end, on a connection of its own. There is a limit on the time to
   * the answer's headers, none on the silence after them: the caller watches for life.
   */
  async openStream(request: XsiStreamRequest): Promise<XsiStream> {
    const startedAt = this.#options.clock.monotonic()
    try {
      const stream = await this.#gate.run(() => this.#startStream(request), request.signal)
      this.#log('POST', stream, startedAt)
      return stream
    } catch (error) {
      throw unreachableError(error)
    }
  }

  /** Ends everything in flight, streams included. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const deadline of this.#streams) deadline.abort(new Error('the client was closed'))
    await Promise.all([this.#pooled?.destroy(), this.#fresh?.destroy()])
  }

  async #startStream(request: XsiStreamRequest): Promise<XsiStream> {
    this.#assertUsable(request.signal)
    const deadline = new Deadline(request.signal, this.#options.timeoutMs ?? TIMEOUT_DEFAULT_MS)
    const dispatcher = this.#newAgent({ connections: 1 })
    const close = async (): Promise<void> => {
      this.#streams.delete(deadline)
      deadline.dispose()
      deadline.abort(new Error('the stream was closed'))
      await dispatcher.destroy()
    }
    this.#streams.add(deadline)
    try {
      const { answer, node } = await this.#follow({ ...request, method: 'POST' }, async (options) => {
        const answered = await dispatcher.request({ ...options, signal: deadline.signal })
        if (isRedirect(answered.statusCode)) await answered.body.dump({ limit: 65_536, signal: deadline.signal })
        return answered
      })
      if (!isSuccess(answer.statusCode)) {
        const { statusCode, headers } = answer
        const bodyBytesMax = this.#options.bodyBytesMax ?? BODY_BYTES_MAX_DEFAULT
        const body = await readBody(answer.body, bodyBytesMax)
        const response = this.#readResponse({ statusCode, headers, body }, node, bodyBytesMax)
        await close()
        return { ...response, body: nothing(), close }
      }
      deadline.lift()
      const charset = charsetOf(textHeader(answer.headers, 'content-type'))
      const head = { ...this.#readHead(answer, node), ...(charset === undefined ? {} : { charset }) }
      return { ...head, body: untilBroken(answer.body), close }
    } catch (error) {
      await close()
      throw error
    }
  }

  async #send(request: XsiRequest): Promise<XsiResponse> {
    this.#assertUsable(request.signal)
    const deadline = new Deadline(request.signal, request.timeoutMs ?? this.#options.timeoutMs ?? TIMEOUT_DEFAULT_MS)
    try {
      return await this.#tryNodes(request, deadline)
    } finally {
      deadline.dispose()
    }
  }

  #assertUsable(signal: AbortSignal): void {
    if (this.#isClosed) throw unsentError('The connection to the network is closed')
    if (signal.aborted) throw unsentError('The request was given up', signal.reason)
  }

  async #tryNodes(request: XsiRequest, deadline: Deadline): Promise<XsiResponse> {
    const bodyBytesMax = request.bodyBytesMax ?? this.#options.bodyBytesMax ?? BODY_BYTES_MAX_DEFAULT
    const limits = { deadline, bodyBytesMax }
    const isIdempotent = request.isIdempotent ?? request.method !== 'POST'
    const nodes = request.node === undefined ? this.#nodes.inOrder() : [request.node]
    let failure: unknown
    for (const node of nodes) {
      // A connection that an XSP closes in the very moment of its reuse costs one more attempt.
      for (let attempt = 1; attempt <= 2; attempt += 1) {
        try {
          const dispatcher = this.#dispatcherFor(isIdempotent)
          const { method, path, body } = request
          const send = { method, path, node, ...(body !== undefined && { body }) }
          const followed = await this.#follow(send, (options) => exchange(dispatcher, options, limits))
          const response = this.#readResponse(followed.answer, followed.node, bodyBytesMax)
          this.#nodes.markReached(node)
          return failure === undefined || isUnsent(failure) ? response : { ...response, isRepeat: true }
        } catch (error) {
          if (error instanceof GatewayError || this.#isClosed || request.signal.aborted) throw error
          // What may have been carried out must not be hidden by a later attempt that surely was not.
          if (failure === undefined || isUnsent(failure)) failure = error
          if (deadline.isOver || (!isIdempotent && !isUnsent(error)) || !isBroken(error)) break
        }
      }
      this.#nodes.markFailed(node)
      if (deadline.isOver || (!isIdempotent && !isUnsent(failure))) break
    }
    throw failure === undefined ? unsentError('The network has no nodes') : unreachableError(failure)
  }

  async #follow<Given extends AnswerHead>(
    send: Send,
    ask: Ask<Given>,
  ): Promise<{ readonly answer: Given; readonly node: URL }> {
    const first = await this.#ask({ ...send, isSecure: send.node.protocol === 'https:', origin: send.node.origin }, ask)
    if (!isRedirect(first.statusCode)) return { answer: first, node: send.node }
    let answer = first
    let url = new URL(send.path, send.node)
    for (let redirects = 1; redirects <= REDIRECTS_MAX; redirects += 1) {
      url = redirectTarget(url, textHeader(answer.headers, 'location'), this.#allowedHosts)
      const { origin, protocol, pathname, search } = url
      answer = await this.#ask({ ...send, isSecure: protocol === 'https:', origin, path: pathname + search }, ask)
      if (!isRedirect(answer.statusCode)) return { answer, node: new URL(origin) }
    }
    throw new GatewayError('provider_refused', { detail: 'The network redirects in circles' })
  }

  async #ask<Given extends AnswerHead>(
    {
      origin,
      path,
      isSecure,
      method,
      body,
    }: Omit<Send, 'node'> & { readonly origin: string; readonly isSecure: boolean },
    ask: Ask<Given>,
  ): Promise<Given> {
    const jar = this.#jarOf(origin)
    const query = path.indexOf('?')
    const pathname = query === -1 ? path : path.slice(0, query)
    const headers = ['authorization', this.#authorization]
    const cookie = jar.headerFor(pathname, isSecure)
    if (cookie !== undefined) headers.push('cookie', cookie)
    if (body !== undefined) headers.push('content-type', 'application/xml; charset=UTF-8')
    const answer = await ask({ origin, path, method, headers, body: body ?? null })
    jar.store(answer.headers['set-cookie'], pathname)
    return answer
  }

  #readHead({ statusCode, headers }: AnswerHead, node: URL): XsiResponse {
    const retryAfterSeconds = readRetryAfter(textHeader(headers, 'retry-after'), this.#options.clock.now())
    return { status: statusCode, node, headers, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) }
  }

  #readResponse(answer: Answer, node: URL, bodyBytesMax: number): XsiResponse {
    const document = tryParse(answer.body, charsetOf(textHeader(answer.headers, 'content-type')), bodyBytesMax)
    return { ...this.#readHead(answer, node), ...(document === undefined ? {} : { document }) }
  }

  #jarOf(origin: string): CookieJar {
    let jar = this.#jars.get(origin)
    if (jar === undefined) this.#jars.set(origin, (jar = new CookieJar()))
    return jar
  }

  /** What must not be sent twice gets a new connection: on a reused one, a reset says nothing about what arrived. */
  #dispatcherFor(isIdempotent: boolean): Agent {
    if (isIdempotent) return (this.#pooled ??= this.#newAgent({ connections: CONNECTIONS_PER_NODE }))
    return (this.#fresh ??= this.#newAgent({ connections: CONNECTIONS_PER_NODE, pipelining: 0 }))
  }

  /** Time limits on the answer are the deadline's alone: undici's would end a silent channel. */
  #newAgent(options: Pick<Agent.Options, 'connections' | 'pipelining'>): Agent {
    return new Agent({
      ...options,
      allowH2: false,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      connect: { timeout: CONNECT_TIMEOUT_MS, ...(this.#ca === undefined ? {} : { ca: [...this.#ca] }) },
    })
  }

  /** Without the path: it holds user ids and dialled numbers. */
  #log(method: string, { status, node }: XsiResponse, startedAt: number): void {
    const durationMs = Math.round(this.#options.clock.monotonic() - startedAt)
    this.#options.log.debug({ method, status, node: node.host, duration_ms: durationMs }, 'xsi request finished')
    if (this.isLockedOut) this.#options.log.error({ node: node.host }, 'xsi credentials refused, requests stopped')
  }
}

const basicAuthorization = ({ username, password }: Credentials): string =>
  `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`

const isSuccess = (status: number): boolean => status >= 200 && status < 300

const textHeader = (headers: XsiHeaders, name: string): string | undefined => {
  const value = headers[name]
  return typeof value === 'string' ? value : value?.[0]
}

async function readBody(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of body) {
    size += part.byteLength
    if (size > bytesMax) throw new GatewayError('protocol_error', { detail: 'The network answered with too much' })
    parts.push(part)
  }
  return Buffer.concat(parts)
}

/** Error pages are often not XML at all; then the status has to do. */
function tryParse(bytes: Uint8Array, charset: string | undefined, bytesMax: number): XsiDocument | undefined {
  if (bytes.byteLength === 0) return undefined
  try {
    // An element takes 20 bytes at least, so the size bounds their number in proportion.
    return parseDocument(bytes, charset, { bytesMax, elementsMax: Math.ceil(bytesMax / 20) })
  } catch (error) {
    if (error instanceof GatewayError) return undefined
    throw error
  }
}

async function* untilBroken(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* body
  } catch (error) {
    throw unreachableError(error)
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
