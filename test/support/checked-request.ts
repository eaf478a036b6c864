import type { Hono } from 'hono'
import * as v from 'valibot'
import { ERRORS } from '../../src/core/errors.ts'
import { ErrorsAnswer } from '../../src/faces/idi/errors.ts'
import { ErrorAnswer } from '../../src/faces/zipwhip/schemas.ts'
import type { HttpEnv } from '../../src/http/context.ts'
import { errorsOf, specOf } from '../../src/http/operation.ts'
import { ProblemSchema } from '../../src/http/problem.ts'

export type RequestOptions = {
  readonly key?: string
  /** Sent as JSON, unless it is a string, which is sent as it is. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export type ApiResponse = { readonly status: number; readonly headers: Headers; readonly body: unknown }

/** The text in a field of an answer's body. */
export const textField = ({ body }: ApiResponse, name: string): string =>
  v.parse(v.looseObject({ [name]: v.string() }), body)[name] ?? ''

/** In which form errors come below these paths, also where no operation is. */
const ENVELOPES = [
  { base: '/ProvisioningManagement', schema: ErrorsAnswer },
  { base: '/api/20140925', schema: ErrorAnswer },
]

/**
 * Sends requests to the app and holds every answer against its documentation: the status must be one
 * that the operation documents, the body must fit its schema, and every error must be a problem
 * document, or fit the operation's own schema of errors.
 */
export function checkedRequest(
  app: Hono<HttpEnv>,
): (method: string, path: string, options?: RequestOptions) => Promise<ApiResponse> {
  return async (method, path, { key, body, headers } = {}) => {
    const response = await app.request(path, {
      method,
      headers: {
        ...(key !== undefined && { authorization: `Bearer ${key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    const isJson = /json/.test(response.headers.get('content-type') ?? '')
    const hasBody = text !== '' || (isJson && method !== 'HEAD')
    const parsed: unknown = !hasBody ? undefined : isJson ? JSON.parse(text) : text
    if (method === 'HEAD') return { status: response.status, headers: response.headers, body: parsed }
    check(app, { method, path, status: response.status, type: response.headers.get('content-type'), body: parsed })
    return { status: response.status, headers: response.headers, body: parsed }
  }
}

function check(
  app: Hono<HttpEnv>,
  answer: {
    readonly method: string
    readonly path: string
    readonly status: number
    readonly type: string | null
    readonly body: unknown
  },
): void {
  const operation = operationOf(app, answer.method, answer.path)
  const documented = operation?.responses[answer.status]
  if (documented !== undefined) {
    if (documented.schema !== undefined) v.parse(documented.schema, answer.body)
    else if (documented.mediaType === undefined && answer.body !== undefined)
      throw new Error('a body where none is documented')
    return
  }
  const envelope =
    operation === undefined ? ENVELOPES.find(({ base }) => routed(app, answer.path).startsWith(base)) : undefined
  if (envelope !== undefined) {
    v.parse(envelope.schema, answer.body)
    return
  }
  if (answer.status < 400) throw new Error(`${answer.method} ${answer.path} answered an undocumented ${answer.status}`)
  if (operation?.errorSchema !== undefined) {
    const statuses: readonly number[] = [...errorsOf(operation)].map((code) => ERRORS[code].status)
    if (!statuses.includes(answer.status)) throw new Error(`${operation.operationId} answered ${answer.status}`)
    if (answer.type !== 'application/json') throw new Error(`an error as ${answer.type}`)
    v.parse(operation.errorSchema, answer.body)
    return
  }
  if (answer.type !== 'application/problem+json') throw new Error(`an error as ${answer.type}`)
  const problem = v.parse(ProblemSchema, answer.body)
  const isDocumented = operation === undefined || [...errorsOf(operation)].some((code) => code === problem.code)
  if (!isDocumented) throw new Error(`${operation.operationId} does not document the error ${problem.code}`)
  if (problem.status !== answer.status) throw new Error(`a problem of ${problem.status} answered as ${answer.status}`)
}

function operationOf(app: Hono<HttpEnv>, method: string, path: string): ReturnType<typeof specOf> {
  const [matched] = app.router.match(method === 'HEAD' ? 'GET' : method, routed(app, path))
  for (const [[handler]] of matched) {
    const spec = specOf(handler)
    if (spec !== undefined) return spec
  }
  return undefined
}

/** As the request is made: without dot segments and query, and as routes are looked for. */
const routed = (app: Hono<HttpEnv>, path: string): string => app.getPath(new Request(new URL(path, 'http://localhost')))
