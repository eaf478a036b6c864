import type { Hono } from 'hono'
import * as v from 'valibot'
import { actorOf } from '../../core/provisioning-scope.ts'
import type { HttpContext, HttpEnv } from '../../http/context.ts'
import type { DefineOperation, Reply } from '../../http/operation.ts'
import { parseQuery, type ODataQuery } from '../../provisioning/odata/query.ts'
import type { Environment } from '../../provisioning/requests/store/environments.ts'
import type { Queries } from '../../provisioning/store/database.ts'
import { answerOnce, IDEMPOTENCY_HEADER, type KeepAnswer } from '../answer-once.ts'
import { scopeOf } from '../scope-of.ts'
import type { IdiDeps } from './deps.ts'
import { answerIdiError, ErrorsAnswer } from './errors.ts'
import { IDI_BASE, IDI_ROUTES, type IdiOperationName, type IdiRoute } from './route-table.ts'
import { SearchParameters } from './search-answer.ts'

/** Of what is in a path. */
export type ObjectSchema = v.GenericSchema<unknown, object> & {
  readonly entries: Readonly<Record<string, v.GenericSchema>>
}

/** Who asks for what, in which environment. */
export type IdiCall<Params, Body> = {
  readonly environment: Environment
  /** Under which name it is audited and kept as the user who did it. */
  readonly actor: string
  readonly params: Params
  readonly body: Body
  /** Of the operations that search; otherwise as if nothing was asked for. */
  readonly query: ODataQuery
  readonly c: HttpContext
  /** Of an operation that is answered once: keeps the body of its answer in the transaction of what it tells. */
  readonly keep: (tx: Queries, json: unknown) => Promise<void>
}

/** What one operation is, besides its path. */
export type OperationSpec<Params extends ObjectSchema, Body extends v.GenericSchema> = {
  readonly tag: string
  readonly summary: string
  readonly description?: string
  readonly params?: Params
  readonly body?: Body
  readonly isBodyOptional?: true
  /** Whether it takes the seven search parameters. */
  readonly isSearch?: boolean
  /** Whether a repetition with the same Idempotency-Key is answered like the first and does nothing. */
  readonly isOnce?: true
  /** Of the answer; without one it is 204 and empty. */
  readonly schema?: v.GenericSchema
  /** Of success, if not 200 (with a schema) or 204. */
  readonly status?: number
}

/** Defines one operation of the document, by its name in the route table. */
export type AddIdi = <Params extends ObjectSchema = NoParams, Body extends v.GenericSchema = AnyBody>(
  name: IdiOperationName,
  spec: OperationSpec<Params, Body>,
  handle: (call: IdiCall<v.InferOutput<Params>, v.InferOutput<Body>>) => Promise<unknown>,
) => void

const nothing = v.strictObject({})
const anything = v.unknown()
/** Of an operation without parameters in its path, besides the environment. */
export type NoParams = typeof nothing
/** Of an operation without a body. */
export type AnyBody = typeof anything
const EnvironmentParams = { environment: v.pipe(v.string(), v.maxLength(64), v.description('The environment')) }
const BODY_BYTES_MAX = 1_024 * 1_024

/** Adds operations at their path and their aliases; of the aliases the OpenAPI document does not tell. */
export function idiAdder(
  app: Hono<HttpEnv>,
  define: DefineOperation,
  { environments, repetitions, log }: IdiDeps,
): AddIdi {
  return (name, spec, handle) => {
    const route: IdiRoute = IDI_ROUTES[name]
    const status = spec.status ?? (spec.schema === undefined ? 204 : 200)
    const common = {
      tag: spec.tag,
      summary: spec.summary,
      description: describe(route, spec.description),
      access: 'provisioning' as const,
      params: v.strictObject({ ...EnvironmentParams, ...spec.params?.entries }),
      ...(spec.body !== undefined && { body: spec.body, bodyBytesMax: BODY_BYTES_MAX }),
      ...(spec.isBodyOptional === true && { isBodyOptional: true as const }),
      ...(spec.isOnce === true && { headers: [IDEMPOTENCY_HEADER] }),
      ...(spec.isSearch === true && { described: { parameters: SearchParameters, place: 'query' as const } }),
      responses: {
        [status]: { description: 'Done', ...(spec.schema !== undefined && { schema: spec.schema }) },
        ...ERROR_RESPONSES,
        ...(spec.isOnce === true && MISMATCH_RESPONSE),
      },
      errorSchema: ErrorsAnswer,
      answerError: (error: unknown, c: HttpContext) => answerIdiError(error, c, log),
    }
    for (const [index, { method, path }] of [route, ...(route.aliases ?? [])].entries()) {
      const operationId = `idi${name[0]?.toUpperCase()}${name.slice(1)}`
      app[method](
        toHonoPath(`${IDI_BASE}/${path}`),
        define(
          { ...common, operationId: index === 0 ? operationId : `${operationId}${index}`, isHidden: index > 0 },
          async ({ params, body, scope, c }): Promise<Reply> => {
            const { environment: environmentName, ...others } = params
            const environment = await environments.find(scopeOf(scope), environmentName)
            const answer = async (keep: KeepAnswer): Promise<Reply> => {
              const json = await handle({
                environment,
                actor: actorOf(scopeOf(scope)),
                params: others,
                body,
                query: parseQuery(spec.isSearch === true ? c.req.query() : {}),
                c,
                keep: (tx, kept) => keep(tx, { status, json: kept }),
              })
              return { status, ...(spec.schema !== undefined && { json }) }
            }
            if (spec.isOnce !== true) return answer(() => Promise.resolve())
            const once = { c, scope: scopeOf(scope), route: `idi ${environment.environmentId} ${name}`, body }
            return answerOnce(repetitions, once, answer)
          },
        ),
      )
    }
  }
}

const toHonoPath = (path: string): string => path.replaceAll(/\{(\w+)\}/g, ':$1')

const describe = ({ source }: IdiRoute, description = ''): string =>
  `${description} ${source === 'printed' ? 'The path is in the IDI document.' : 'The path is inferred from the IDI document.'}`.trim()

const MISMATCH_RESPONSE = {
  422: { description: 'The Idempotency-Key was used for another request', schema: ErrorsAnswer },
}

/** By status; whatever goes wrong is told in the document's envelope. */
const ERROR_RESPONSES = Object.fromEntries(
  Object.entries({
    400: 'A value is not valid (500002)',
    401: 'A valid key is required',
    404: 'No access, or it does not exist (500032)',
    408: 'The request took too long to arrive',
    409: 'It is not in a state that allows this',
    413: 'The body is too large',
    415: 'The body must be application/json',
    429: 'Too many requests',
    500: 'Something went wrong',
    503: 'The gateway cannot reach its store',
  }).map(([status, description]) => [status, { description, schema: ErrorsAnswer }]),
)
