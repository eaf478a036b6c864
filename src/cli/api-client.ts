import { request } from 'undici'

/** An answer of the gateway that a caller did not expect. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  readonly code: string | undefined

  constructor(method: string, path: string, status: number, body: unknown) {
    const problem = isRecord(body) ? body : {}
    const words = textOf(problem['detail']) ?? textOf(problem['title']) ?? 'no detail'
    super(`${method} ${path} answered ${status}: ${words}`)
    this.status = status
    this.code = textOf(problem['code'])
  }
}

export type ApiAnswer = { readonly status: number; readonly body: unknown }

/** A client of one JSON API (the gateway's, or the simulator's control API). */
export class ApiClient {
  readonly baseUrl: string
  readonly #key: string | undefined
  readonly #timeoutMs: number

  constructor(options: { readonly baseUrl: string; readonly key?: string; readonly timeoutMs?: number }) {
    this.baseUrl = options.baseUrl
    this.#key = options.key
    this.#timeoutMs = options.timeoutMs ?? 20_000
  }

  /** Resolves for every status below 400; rejects with {@link ApiError} otherwise. */
  async call(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<ApiAnswer> {
    const response = await request(`${this.baseUrl}${path}`, {
      method,
      headers: {
        ...(this.#key !== undefined && { authorization: `Bearer ${this.#key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(this.#timeoutMs),
    })
    const text = await response.body.text()
    const parsed: unknown = text === '' ? undefined : parseJson(text)
    if (response.statusCode >= 400) throw new ApiError(method, path, response.statusCode, parsed)
    return { status: response.statusCode, body: parsed }
  }
}

/** Whether `value` is a JSON object. */
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
