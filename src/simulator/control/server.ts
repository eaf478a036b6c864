import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { GatewayError } from '../../core/errors.ts'
import { invalidRequest } from '../../core/parse-input.ts'
import type { Backend } from '../backend.ts'
import { listenOn, readBody } from '../http-server.ts'
import type { Load } from '../load.ts'
import { matchSegments } from '../route.ts'
import { callControls } from './calls.ts'
import type { ControlReply, ControlRoute } from './route.ts'
import { systemControls } from './system.ts'
import { userControls } from './users.ts'

const BODY_BYTES_MAX = 1024 * 1024
const ROUTES: readonly { readonly route: ControlRoute; readonly pattern: readonly string[] }[] = [
  ...userControls,
  ...callControls,
  ...systemControls,
].map((route) => ({ route, pattern: route.path.split('/') }))

/** The JSON API that moves the simulation, for tests and demonstrations: no authentication, loopback only. */
export class ControlServer {
  readonly #server: Server
  readonly #backend: Backend
  readonly #loads = new Map<string, Load>()

  constructor(backend: Backend) {
    this.#backend = backend
    this.#server = createServer((message, response) => void this.#serve(message, response))
  }

  /** Returns the URL. */
  async start(at: { readonly host: string; readonly port: number }): Promise<string> {
    return `http://${at.host}:${await listenOn(this.#server, at)}`
  }

  async stop(): Promise<void> {
    for (const load of this.#loads.values()) load.cancel()
    if (!this.#server.listening) return
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    let reply: ControlReply
    try {
      reply = this.#answer(message, await readBody(message, BODY_BYTES_MAX))
    } catch (error) {
      reply = replyOf(error)
      if (reply.status >= 500) this.#backend.log.error({ error }, 'simulator control request failed')
    }
    if (response.destroyed) return
    const text = reply.body === undefined ? '' : JSON.stringify(reply.body)
    response.writeHead(reply.status, text === '' ? {} : { 'Content-Type': 'application/json; charset=utf-8' })
    response.end(text)
  }

  #answer(message: IncomingMessage, text: string): ControlReply {
    const url = new URL(message.url ?? '/', 'http://control')
    const segments = decodeSegments(url.pathname)
    let isKnownPath = false
    for (const { route, pattern } of ROUTES) {
      const params = matchSegments(pattern, segments)
      if (params === undefined) continue
      isKnownPath = true
      if (route.method !== message.method) continue
      const body = parseJson(text)
      return route.run({ backend: this.#backend, loads: this.#loads, params, query: url.searchParams, body })
    }
    throw new GatewayError(isKnownPath ? 'method_not_allowed' : 'route_not_found')
  }
}

function decodeSegments(path: string): readonly string[] {
  try {
    return path.split('/').filter(Boolean).map(decodeURIComponent)
  } catch {
    throw invalidRequest([{ field: '(path)', message: 'is not valid' }])
  }
}

function parseJson(text: string): unknown {
  if (text.trim() === '') return {}
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new GatewayError('malformed_json', { cause })
  }
}

function replyOf(error: unknown): ControlReply {
  if (!(error instanceof GatewayError)) return { status: 500, body: { code: 'internal', detail: 'internal error' } }
  return { status: error.status, body: { ...error.fields, code: error.code, detail: error.detail ?? error.title } }
}
