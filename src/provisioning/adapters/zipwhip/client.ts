import { getCACertificates } from 'node:tls'
import { Agent, request, type Dispatcher } from 'undici'
import type { Clock } from '../../../core/clock.ts'
import { parseRetryAfter } from '../../../core/retry-after.ts'
import type { ProviderContext } from '../../model/provider.ts'
import { judgeAnswer, parseEnvelope, type Envelope, type Verdict } from './envelope.ts'

/** How parameters are sent: the document says GET; its samples, taken literally, POST a form. */
export type ZipwhipMethod = 'GET' | 'POST'

export type ZipwhipClientOptions = {
  /** With the version: `https://provision.zipwhip.com/api/20140925`. */
  readonly baseUrl: URL
  readonly apiKey: string
  /** `GET` unless given. */
  readonly method?: ZipwhipMethod
  /** PEM certificates trusted besides the system's. */
  readonly ca?: string
  /** For one call, its answer included; 15 s unless given. */
  readonly timeoutMs?: number
  readonly clock: Pick<Clock, 'now'>
}

export type ZipwhipCall = {
  /** `provision/add` … */
  readonly path: string
  /** Besides the key. */
  readonly parameters: Readonly<Record<string, string>>
}

export type ZipwhipReply = {
  readonly verdict: Verdict
  readonly envelope?: Envelope
}

const TIMEOUT_MS = 15_000
const CONNECT_TIMEOUT_MS = 5_000
const CONNECTIONS = 16
const BODY_BYTES_MAX = 64 * 1024
const RECORDED_MAX = 4_096
/** Nothing of the request was sent when one of these is the reason. */
const UNSENT: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])
const HIDDEN_KEY = '[api_key]'

/**
 * Calls a Zipwhip server. The key goes to that server only, redirects are not followed, and neither the key nor the
 * passwords that a server may answer with get into a record, an error or a reply.
 */
export class ZipwhipClient {
  readonly #options: ZipwhipClientOptions
  readonly #base: string
  #agent: Agent | undefined

  constructor(options: ZipwhipClientOptions) {
    this.#options = options
    this.#base = options.baseUrl.href.replace(/\/$/, '')
  }

  start(): void {
    const { ca } = this.#options
    this.#agent = new Agent({
      connections: CONNECTIONS,
      connect: {
        timeout: CONNECT_TIMEOUT_MS,
        ...(ca !== undefined && { ca: [...getCACertificates('default'), ca] }),
      },
    })
  }

  /** Cuts off whatever is under way. */
  async stop(): Promise<void> {
    await this.#agent?.destroy()
    this.#agent = undefined
  }

  /** Rejects never: whatever goes wrong is a verdict. */
  async call(call: ZipwhipCall, { signal, record }: ProviderContext): Promise<ZipwhipReply> {
    const agent = this.#agent
    if (agent === undefined) return { verdict: { kind: 'retry', reason: 'stopped' } }
    const { method = 'GET', apiKey, timeoutMs = TIMEOUT_MS } = this.#options
    const shown = new URLSearchParams(call.parameters).toString()
    const target = `${this.#base}/${call.path}`
    await record({ isResponse: false, content: `${method} ${target}?api_key=${HIDDEN_KEY}&${shown}` })
    if (signal.aborted) return { verdict: { kind: 'retry', reason: 'the deadline has passed' } }
    const form = new URLSearchParams({ api_key: apiKey, ...call.parameters }).toString()
    const send: Parameters<typeof request>[1] = {
      method,
      dispatcher: agent,
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      headers: {
        accept: 'application/json',
        ...(method === 'POST' && { 'content-type': 'application/x-www-form-urlencoded' }),
      },
      ...(method === 'POST' && { body: form }),
    }
    try {
      const response = await request(method === 'POST' ? target : `${target}?${form}`, send)
      return await this.#read(response, record)
    } catch (error) {
      const verdict = verdictOfFailure(error)
      await record({ isResponse: true, content: `no answer: ${verdict.reason}` })
      return { verdict }
    }
  }

  async #read(
    { statusCode, headers, body }: Dispatcher.ResponseData<unknown>,
    record: ProviderContext['record'],
  ): Promise<ZipwhipReply> {
    const text = await readBody(body)
    if (text === undefined) {
      await record({ isResponse: true, content: `HTTP ${statusCode}: more than ${BODY_BYTES_MAX} bytes` })
      return { verdict: { kind: 'unclear', reason: 'answer_too_large' } }
    }
    const clean = this.#redact(text)
    const envelope = parseEnvelope(clean)
    await record({
      isResponse: true,
      content: `HTTP ${statusCode} ${clean.slice(0, RECORDED_MAX)}`,
      ...(envelope !== undefined && { components: componentsOf(envelope) }),
    })
    const now = this.#options.clock.now()
    const retryAfter = headers['retry-after']
    const retryAt = parseRetryAfter(typeof retryAfter === 'string' ? retryAfter : undefined, now)
    const verdict = judgeAnswer({
      status: statusCode,
      ...(retryAt !== undefined && { retryAfterMs: retryAt - now }),
      ...(envelope !== undefined && { envelope }),
    })
    return { verdict, ...(envelope !== undefined && { envelope }) }
  }

  /** The key as it is and as it is in a URL, and passwords; and what a database cannot hold. */
  #redact(text: string): string {
    const { apiKey } = this.#options
    return text
      .replaceAll(apiKey, HIDDEN_KEY)
      .replaceAll(encodeURIComponent(apiKey), HIDDEN_KEY)
      .replaceAll(/("password"\s*:\s*)"(?:[^"\\]|\\.)*"/g, '$1"[password]"')
      .toWellFormed()
      .replaceAll('\0', '\uFFFD')
  }
}

/** Undefined: it is too large, and was not read to its end. */
async function readBody(body: Dispatcher.ResponseData<unknown>['body']): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    if (!Buffer.isBuffer(chunk)) continue
    bytes += chunk.length
    // Leaving the loop closes the connection.
    if (bytes > BODY_BYTES_MAX) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

const componentsOf = ({ status_code, transaction_id }: Envelope) => [
  { key: 'status_code', value: String(status_code) },
  ...(transaction_id === undefined ? [] : [{ key: 'transaction_id', value: transaction_id }]),
]

/** By the error's code alone: its message may hold the URL, and that the key. */
function verdictOfFailure(error: unknown): Extract<Verdict, { readonly reason: string }> {
  const code = codeOf(error)
  return UNSENT.has(code)
    ? { kind: 'retry', reason: String(code) }
    : { kind: 'unclear', reason: typeof code === 'string' ? code : nameOf(error) }
}

function codeOf(error: unknown): unknown {
  if (!(error instanceof Error)) return undefined
  // Of several addresses each failed in its way.
  if (error instanceof AggregateError) return codeOf(error.errors[0])
  return 'code' in error && typeof error.code === 'string' ? error.code : codeOf(error.cause)
}

/** `TimeoutError`, `AbortError` … */
const nameOf = (error: unknown): string => (error instanceof Error ? error.name : 'failed')
