import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Principal } from './auth.ts'
import type { Backend } from './backend.ts'
import type { Channel } from './channels.ts'
import type { Reply } from './reply.ts'
import type { XmlElement } from './xml.ts'

/** One authenticated request to an XSP. */
export type XspRequest = {
  readonly backend: Backend
  readonly xspIndex: number
  readonly principal: Principal
  /** Path parameters, percent-decoded; ids keep their case. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** Parses the body on first use. Throws GatewayError `invalid_request`. */
  readonly body: () => XmlElement | undefined
  /** `https://host` of this XSP, as the client called it. */
  readonly origin: string
  readonly message: IncomingMessage
  readonly response: ServerResponse
  /** Makes the connection of this request the carrier of a channel: the channel ends with it. */
  readonly bindChannel: (channel: Channel) => void
}

/** Answers a request; undefined when it has taken over the response itself. */
export type RouteFunction = (request: XspRequest) => Reply | undefined

/** A web application of the XSP. `async` is the one that keeps connections open. */
export type Context = 'actions' | 'events' | 'async'

export type Route = {
  readonly context: Context
  readonly method: string
  /** Below `/v2.0/`, lower case, parameters as `:name`; the first match of a list wins. */
  readonly path: string
  readonly run: RouteFunction
}

const CONTEXTS: readonly { readonly prefix: readonly string[]; readonly context: Context }[] = [
  { prefix: ['com.broadsoft.async', 'com.broadsoft.xsi-events'], context: 'async' },
  { prefix: ['com.broadsoft.xsi-events'], context: 'events' },
  { prefix: ['com.broadsoft.xsi-actions'], context: 'actions' },
]

/** A path cut into its context and the segments below `/v2.0/`; undefined when it is none of ours. */
export function splitPath(
  path: string,
): { readonly context: Context; readonly segments: readonly string[] } | undefined {
  const segments: string[] = []
  for (const raw of path.split('/')) {
    if (raw === '') continue
    try {
      segments.push(decodeURIComponent(raw))
    } catch {
      return undefined
    }
  }
  for (const { prefix, context } of CONTEXTS) {
    const isHere = prefix.every((name, index) => segments[index]?.toLowerCase() === name)
    if (!isHere || segments[prefix.length]?.toLowerCase() !== 'v2.0') continue
    return { context, segments: segments.slice(prefix.length + 1) }
  }
  return undefined
}

export type Match =
  | { readonly kind: 'found'; readonly route: Route; readonly params: Readonly<Record<string, string>> }
  | { readonly kind: 'wrong_method' }
  | { readonly kind: 'unknown' }

/** Finds routes; literal segments are compared without case, because real clients disagree about it. */
export class Router {
  readonly #routes: readonly { readonly route: Route; readonly pattern: readonly string[] }[]

  constructor(routes: readonly Route[]) {
    this.#routes = routes.map((route) => ({ route, pattern: route.path.split('/') }))
  }

  match(context: Context, method: string, segments: readonly string[]): Match {
    let isKnownPath = false
    for (const { route, pattern } of this.#routes) {
      if (route.context !== context) continue
      const params = matchSegments(pattern, segments)
      if (params === undefined) continue
      if (route.method === method) return { kind: 'found', route, params }
      isKnownPath = true
    }
    return isKnownPath ? { kind: 'wrong_method' } : { kind: 'unknown' }
  }
}

/** The parameters of a path that fits the pattern (lower case, `:name` for a parameter), whatever case its words have. */
export function matchSegments(
  pattern: readonly string[],
  segments: readonly string[],
): Readonly<Record<string, string>> | undefined {
  if (pattern.length !== segments.length) return undefined
  const params: Record<string, string> = {}
  for (let index = 0; index < pattern.length; index += 1) {
    const [part = '', segment = ''] = [pattern[index], segments[index]]
    if (part.startsWith(':')) params[part.slice(1)] = segment
    else if (part !== segment.toLowerCase()) return undefined
  }
  return params
}

/** A path parameter that the pattern of the route guarantees. */
export const param = (request: XspRequest, name: string): string => request.params[name] ?? ''
