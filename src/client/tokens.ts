import { RefusedError } from './errors.ts'

export type TokenRequest = {
  /** `https://gateway.example.net/apps/{app_id}/stream-tokens` */
  readonly url: string
  readonly apiKey: string
  readonly fetch: typeof fetch
  readonly signal: AbortSignal
}

/** Not now; later it may be different. */
export class TokenUnavailableError extends Error {
  override readonly name = 'TokenUnavailableError'
  readonly retryAfterMs: number | undefined

  constructor(message: string, retryAfterMs?: number) {
    super(message)
    this.retryAfterMs = retryAfterMs
  }
}

/** Statuses of a request that may succeed when it is repeated, besides those of the server's own failures. */
export const TRANSIENT_STATUSES: readonly number[] = [408, 425, 429]

/**
 * A token that opens one stream. Rejects with a RefusedError when the key or the app does not count, and
 * with something else when asking again may help.
 */
export async function fetchToken({ url, apiKey, fetch, signal }: TokenRequest): Promise<string> {
  const response = await fetch(url, { method: 'POST', headers: { authorization: `Bearer ${apiKey}` }, signal })
  const text = await response.text()
  if (response.ok) return readToken(text)
  const message = `no stream token: ${response.status} ${text.slice(0, 500)}`
  if (response.status < 500 && !TRANSIENT_STATUSES.includes(response.status))
    throw new RefusedError(message, response.status)
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
  throw new TokenUnavailableError(message, Number.isFinite(seconds) ? seconds * 1_000 : undefined)
}

function readToken(text: string): string {
  const body: unknown = JSON.parse(text)
  if (typeof body === 'object' && body !== null && 'token' in body && typeof body.token === 'string') return body.token
  throw new TokenUnavailableError('the answer to the request for a stream token has none')
}

/** What a function that gets tokens has thrown, as one of the errors that say what to do. */
export function toTokenError(error: unknown): RefusedError | TokenUnavailableError {
  if (error instanceof RefusedError || error instanceof TokenUnavailableError) return error
  return new TokenUnavailableError(error instanceof Error ? error.message : String(error))
}
