import type { Handler } from 'hono'
import { resolver, uniqueSymbol } from 'hono-openapi'
import type { DescribeRouteOptions } from 'hono-openapi'
import * as v from 'valibot'
import type { Caller } from '../core/app.ts'
import { ERRORS, GatewayError } from '../core/errors.ts'
import type { ErrorCode } from '../core/errors.ts'
import { invalidRequest, parseInput } from '../core/parse-input.ts'
import type { Scope } from '../core/provisioning-scope.ts'
import type { Authenticator } from './authentication.ts'
import type { HttpContext, HttpEnv } from './context.ts'
import { InFlightLimit } from './in-flight-limit.ts'
import { headerParameters, schemaParameters } from './openapi-parameters.ts'
import type { HeaderParameter } from './openapi-parameters.ts'
import { ProblemSchema } from './problem.ts'
import { BODY_LIMITS, isText, readJsonBody } from './request-body.ts'
import { SECURITY_HEADERS } from './security-headers.ts'

type ObjectSchema = v.GenericSchema<unknown, object> & { readonly entries: Readonly<Record<string, v.GenericSchema>> }
const nothing = v.strictObject({})
type Nothing = typeof nothing

/** What a handler returns: wrapped into a Response with our headers, `json` or `text` as its body. */
export type Reply = {
  readonly status: number
  readonly json?: unknown
  readonly text?: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>>
}

type DocumentedResponse = {
  readonly description: string
  /** The schema of the JSON body; absent for none. */
  readonly schema?: v.GenericSchema
  /** Another media type than JSON. */
  readonly mediaType?: string
  readonly headers?: Readonly<Record<string, { readonly description: string; readonly schema: { type: 'string' } }>>
}

/**
 * Who may call an operation: `admin`, with the admin key; `app`, with a key of the app in the path or the
 * admin key; `provisioning`, with a provisioning key or the admin key; `stream`, like `app`, but the handler
 * decides, as it takes stream tokens too; `open`, anybody, or the handler decides.
 */
type Access = 'admin' | 'app' | 'provisioning' | 'stream' | 'open'

type OperationSpec<Params extends ObjectSchema, Query extends ObjectSchema, Body extends v.GenericSchema> = {
  readonly operationId: string
  readonly tag: string
  readonly summary: string
  readonly description?: string
  /** Not in the OpenAPI document. */
  readonly isHidden?: boolean
  readonly access: Access
  readonly params?: Params
  readonly query?: Query
  readonly body?: Body
  /** No body at all stands for an empty object. */
  readonly isBodyOptional?: true
  /** Instead of that of {@link BODY_LIMITS}. */
  readonly bodyBytesMax?: number
  readonly headers?: readonly HeaderParameter[]
  readonly responses: Readonly<Record<number, DocumentedResponse>>
  /** Error codes beyond those that every operation of its kind can have. */
  readonly errors?: readonly ErrorCode[]
  /**
   * The answer for an error where a document prescribes another form than problem details. Gets what was
   * thrown, which may be no GatewayError.
   */
  readonly answerError?: (error: unknown, c: HttpContext) => Reply
  /** The body of those answers. */
  readonly errorSchema?: v.GenericSchema
  /** Parameters that the handler reads by itself, from the query or from a form; here they are only described. */
  readonly described?: { readonly parameters: ObjectSchema; readonly place: 'query' | 'form' }
}

type OperationInput<Params, Query, Body> = {
  readonly params: Params
  readonly query: Query
  readonly body: Body
  /** Who proved a right to the app of the path; undefined unless `access` is `app`. */
  readonly caller: Caller | undefined
  /** Whose customers the caller may see; undefined unless `access` is `provisioning`. */
  readonly scope: Scope | undefined
  readonly c: HttpContext
}

type AnySpec = OperationSpec<ObjectSchema, ObjectSchema, v.GenericSchema>

const OPERATION = Symbol('operation')
const hasSpec = (handler: object): handler is { readonly [OPERATION]: AnySpec } => OPERATION in handler

/** What an operation's handler was defined with; undefined for everything else that Hono calls a handler. */
export const specOf = (handler: object): AnySpec | undefined => (hasSpec(handler) ? handler[OPERATION] : undefined)

/** Describes and wraps one operation: see {@link operationFactory}. */
export type DefineOperation = <
  Params extends ObjectSchema = Nothing,
  Query extends ObjectSchema = Nothing,
  Body extends v.GenericSchema = v.GenericSchema<undefined>,
>(
  spec: OperationSpec<Params, Query, Body>,
  handle: (
    input: OperationInput<v.InferOutput<Params>, v.InferOutput<Query>, v.InferOutput<Body>>,
  ) => Promise<Reply> | Reply,
) => Handler<HttpEnv>

/**
 * Provisioning requests of one app on one instance: few enough that other apps find connections to the database free,
 * whatever this one searches for. Those of all its customers at once wait for each other.
 */
const PROVISIONING_REQUESTS = { runningMax: 6, waitingMax: 200 }

/** For whatever answers provisioning requests of apps, by the app's id. */
export const createProvisioningLimit = (): InFlightLimit => new InFlightLimit(PROVISIONING_REQUESTS)

/**
 * One description of an operation from which everything else follows: who may call it, how its path,
 * query and body are validated, and what the OpenAPI document says. The wrapped handler gets parsed
 * input and returns a {@link Reply}; errors go to the app's error handler.
 */
export function operationFactory(authenticator: Authenticator): DefineOperation {
  const limit = createProvisioningLimit()
  return (spec, handle) => {
    const answer = async (c: HttpContext): Promise<Reply> => {
      const pathParams = spec.params === undefined ? {} : textOnly(c.req.param())
      const { caller, scope } = await authorize(authenticator, spec.access, c)
      const params = parseInput(spec.params ?? nothing, pathParams)
      const query = parseInput(spec.query ?? nothing, spec.query === undefined ? {} : textOnly(c.req.query()))
      const body = spec.body === undefined ? undefined : parseInput(spec.body, await readBody(spec, c))
      // Each was parsed by the schema that its type is inferred from; without a schema it has the default type.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      const input = { params, query, body, caller, scope, c } as Parameters<typeof handle>[0]
      return scope?.kind === 'key' ? limit.run(scope.appId, async () => handle(input)) : handle(input)
    }
    const { answerError } = spec
    const wrapped = async (c: HttpContext): Promise<Response> => {
      const reply = await (answerError === undefined
        ? answer(c)
        : answer(c).catch((error: unknown) => answerError(error, c)))
      return toResponse(reply, c.get('requestId'))
    }
    const marked = Object.assign(wrapped, { [OPERATION]: spec })
    return spec.isHidden === true ? marked : Object.assign(marked, { [uniqueSymbol]: { spec: describe(spec) } })
  }
}

/** Refuses `%00` and the like, which no id has and no store takes. */
function textOnly(values: Record<string, string>): Record<string, string> {
  const bad = Object.keys(values).filter((name) => !isText(values[name] ?? ''))
  if (bad.length > 0) throw invalidRequest(bad.map((field) => ({ field, message: 'must be text' })))
  return values
}

async function readBody(spec: Pick<AnySpec, 'isBodyOptional' | 'bodyBytesMax'>, c: HttpContext): Promise<unknown> {
  const body = await readJsonBody(c, { ...BODY_LIMITS, bytesMax: spec.bodyBytesMax ?? BODY_LIMITS.bytesMax })
  if (body !== undefined) return body
  if (spec.isBodyOptional === true) return {}
  throw new GatewayError('malformed_json', { detail: 'The body is empty.' })
}

type Authorized = { readonly caller?: Caller; readonly scope?: Scope }

async function authorize(authenticator: Authenticator, access: Access, c: HttpContext): Promise<Authorized> {
  if (access === 'open' || access === 'stream') return {}
  const authorization = c.req.header('authorization')
  if (access === 'admin') {
    authenticator.requireAdmin(authorization)
    return {}
  }
  if (access === 'provisioning') return { scope: await authenticator.requireScope(authorization) }
  const caller = await authenticator.requireApp(authorization, c.req.param('app_id') ?? '')
  c.set('appId', caller.appId)
  return { caller }
}

/** The response that a handler's answer becomes. A plain record of headers keeps node-server on its fast path; a Headers object does not. */
export function toResponse(reply: Reply, requestId: string): Response {
  const headers: Record<string, string> = { ...SECURITY_HEADERS, 'x-request-id': requestId, ...reply.headers }
  if (reply.json === undefined) return new Response(reply.text ?? null, { status: reply.status, headers })
  headers['content-type'] = 'application/json'
  return new Response(JSON.stringify(reply.json), { status: reply.status, headers })
}

const SECURITY: Readonly<Record<Access, Record<string, string[]>[]>> = {
  open: [],
  admin: [{ adminKey: [] }],
  app: [{ apiKey: [] }, { adminKey: [] }],
  stream: [{ apiKey: [] }, { adminKey: [] }],
  provisioning: [{ provisioningKey: [] }, { adminKey: [] }],
}

function describe(spec: AnySpec): DescribeRouteOptions {
  const { operationId, tag, summary, description, access, params, query, body, headers = [] } = spec
  return {
    operationId,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    security: SECURITY[access],
    parameters: [
      ...schemaParameters('path', params),
      ...schemaParameters('query', spec.described?.place === 'query' ? spec.described.parameters : query),
      ...headerParameters(headers),
    ],
    ...(spec.described?.place === 'form' && {
      requestBody: {
        content: { 'application/x-www-form-urlencoded': { schema: resolver(spec.described.parameters) } },
      },
    }),
    ...(body !== undefined && {
      requestBody: {
        required: spec.isBodyOptional !== true,
        content: { 'application/json': { schema: resolver(body) } },
      },
    }),
    responses: { ...describeErrors(spec), ...describeResponses(spec.responses) },
  }
}

/** The errors that follow from the kind of operation, and its own. */
export function errorsOf(spec: AnySpec): ReadonlySet<ErrorCode> {
  const codes = new Set<ErrorCode>(spec.errors)
  if (spec.access !== 'open') codes.add('unauthorized').add('store_unavailable').add('internal')
  if (spec.access === 'app' || spec.access === 'stream') codes.add('app_not_found')
  if (spec.access === 'provisioning') codes.add('too_many_requests')
  if (spec.params !== undefined || spec.query !== undefined) codes.add('invalid_request')
  if (spec.body !== undefined) {
    codes.add('invalid_request').add('malformed_json').add('request_timeout')
    codes.add('body_too_large').add('unsupported_media_type')
  }
  return codes
}

function describeResponses(responses: Readonly<Record<number, DocumentedResponse>>) {
  const entries = Object.entries(responses).map(([status, { description, schema, mediaType, headers }]) => {
    const content =
      schema === undefined
        ? mediaType && { [mediaType]: { schema: { type: 'string' as const } } }
        : { [mediaType ?? 'application/json']: { schema: resolver(schema) } }
    return [status, { description, ...(headers && { headers }), ...(content && { content }) }] as const
  })
  return Object.fromEntries(entries)
}

/** Not of an operation that answers errors in a form of its own and does not say which. */
function describeErrors(spec: AnySpec) {
  if (spec.answerError !== undefined && spec.errorSchema === undefined) return {}
  const codes = errorsOf(spec)
  const content =
    spec.errorSchema === undefined
      ? { 'application/problem+json': { schema: resolver(ProblemSchema) } }
      : { 'application/json': { schema: resolver(spec.errorSchema) } }
  const statuses = new Set([...codes].map((code) => ERRORS[code].status))
  const entries = [...statuses].map((status) => {
    const meant = [...codes].filter((code) => ERRORS[code].status === status)
    const description = meant.map((code) => `\`${code}\`: ${ERRORS[code].title}.`).join(' ')
    return [status, { description, content }] as const
  })
  return Object.fromEntries(entries)
}
