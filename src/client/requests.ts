import type { Ending } from './endings.ts'
import { RefusedError } from './errors.ts'
import type { Filter, Position } from './frames.ts'
import { TRANSIENT_STATUSES, TokenUnavailableError, toTokenError } from './tokens.ts'

/** Who asks: a key, which goes with every request, or tokens, each of which is good for one. */
export type Credentials = { readonly apiKey: string } | { readonly getToken: (signal: AbortSignal) => Promise<string> }

export type StreamRequestsOptions = {
  /** `https://gateway.example.net/apps/{app_id}` */
  readonly appUrl: string
  readonly credentials: Credentials
  readonly fetch: typeof fetch
}

/** What a request for events asks for. */
export type EventsQuery = {
  readonly after: Position | null
  readonly filter: Filter | null
  readonly waitSeconds?: number
}

/** What every proxy lets through. */
const URL_CHARS_MAX = 8_000

/** The requests of the transports that are made of HTTP. */
export class StreamRequests {
  readonly #options: StreamRequestsOptions

  constructor(options: StreamRequestsOptions) {
    this.#options = options
  }

  /** Opens `GET …/stream` as server-sent events. Rejects with a RequestFailedError, or as `fetch` does. */
  openEventStream(query: EventsQuery, signal: AbortSignal): Promise<Response> {
    return this.#get('stream', { query, accept: 'text/event-stream', signal })
  }

  /** `GET …/events`; rejects like {@link openEventStream}. */
  async poll(query: EventsQuery, signal: AbortSignal): Promise<unknown> {
    const response = await this.#get('events', { query, accept: 'application/json', signal })
    return response.json()
  }

  /** A request about calls, whatever the answer; undefined without a key, since a token opens streams only. */
  send(
    path: string,
    init: { readonly method: string; readonly headers?: Record<string, string>; readonly body?: string },
    signal: AbortSignal,
  ): Promise<Response> | undefined {
    const { appUrl, credentials, fetch } = this.#options
    if (!('apiKey' in credentials)) return undefined
    const headers = { ...init.headers, authorization: `Bearer ${credentials.apiKey}` }
    return fetch(`${appUrl}/${path}`, { ...init, headers, signal })
  }

  async #get(
    path: 'stream' | 'events',
    { query, accept, signal }: { readonly query: EventsQuery; readonly accept: string; readonly signal: AbortSignal },
  ): Promise<Response> {
    const { appUrl, credentials, fetch } = this.#options
    const url = new URL(`${appUrl}/${path}`)
    writeQuery(url.searchParams, query)
    if (url.href.length > URL_CHARS_MAX) throw new RangeError('the filter is too long for a URL')
    const headers: Record<string, string> = { accept }
    const hasKey = 'apiKey' in credentials
    if (hasKey) headers['authorization'] = `Bearer ${credentials.apiKey}`
    else url.searchParams.set('token', await obtainToken(credentials.getToken, signal))
    const response = await fetch(url, { headers, signal, cache: 'no-store' })
    if (response.ok) return response
    throw new RequestFailedError(response, { text: await response.text(), hasKey })
  }
}

async function obtainToken(getToken: (signal: AbortSignal) => Promise<string>, signal: AbortSignal): Promise<string> {
  try {
    return await getToken(signal)
  } catch (error) {
    throw toTokenError(error)
  }
}

function writeQuery(params: URLSearchParams, { after, filter, waitSeconds }: EventsQuery): void {
  if (after !== null) params.set('after', `${after.epoch}:${after.offset}`)
  for (const id of filter?.subscriber_ids ?? []) params.append('subscriber_id', id)
  for (const type of filter?.event_types ?? []) params.append('event_type', type)
  if (waitSeconds !== undefined) params.set('wait_seconds', String(waitSeconds))
}

/** The gateway, or something before it, answered with an error. */
class RequestFailedError extends Error {
  override readonly name = 'RequestFailedError'
  /** Whether the same again is refused again. */
  readonly isFinal: boolean
  readonly retryAfterMs: number | undefined

  constructor(
    { status, headers }: Pick<Response, 'status' | 'headers'>,
    { text, hasKey }: { readonly text: string; readonly hasKey: boolean },
  ) {
    super(`${status} ${text.slice(0, 500)}`)
    // A proxy that does not like the request says nothing about the credentials; neither does a used token.
    const isGateways = headers.get('content-type')?.startsWith('application/problem+json') === true
    const isRefusal = status >= 400 && status < 500 && !TRANSIENT_STATUSES.includes(status)
    this.isFinal = isGateways && isRefusal && (hasKey || status !== 401)
    const seconds = Number(headers.get('retry-after') ?? Number.NaN)
    this.retryAfterMs = Number.isFinite(seconds) ? seconds * 1_000 : undefined
  }
}

/** How an attempt to open a stream ended that failed with `error`. */
export function toEnding(error: unknown): Ending {
  const detail = error instanceof Error ? error.message : String(error)
  if (error instanceof RefusedError) return { name: 'refused', action: 'fix', detail }
  // A URL, or a token, that no WebSocket takes.
  if (error instanceof DOMException && error.name === 'SyntaxError') return { name: 'refused', action: 'fix', detail }
  if (error instanceof TokenUnavailableError) return { name: 'no_token', ...later(error), detail }
  if (!(error instanceof RequestFailedError)) return { name: 'connection_lost', action: 'resume', detail }
  if (error.isFinal) return { name: 'refused', action: 'fix', detail }
  return { name: 'unavailable', ...later(error), detail }
}

const later = ({ retryAfterMs }: { readonly retryAfterMs: number | undefined }) => ({
  action: 'resume' as const,
  ...(retryAfterMs !== undefined && { retryAfterMs }),
})
