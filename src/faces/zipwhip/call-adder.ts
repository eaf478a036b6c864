import type { Hono } from 'hono'
import * as v from 'valibot'
import { GatewayError } from '../../core/errors.ts'
import type { HttpEnv } from '../../http/context.ts'
import { createProvisioningLimit, type DefineOperation, type Reply } from '../../http/operation.ts'
import { answerZipwhipError, CALL_METHODS, readCall, type CallParameters } from './call.ts'
import { STATUS_CODES } from './codes.ts'
import type { ZipwhipDeps } from './deps.ts'
import type { Organization } from './lines.ts'
import { ErrorAnswer } from './schemas.ts'

/** The release that the document is of. */
const BASE = '/api/20140925'
/** Whether a path is of this release, a call's or not. */
export const isZipwhipPath = (path: string): boolean => path === BASE || path.startsWith(`${BASE}/`)

const KEY_NOTE = 'The key is a parameter, or a bearer token. Unknown parameters are ignored.'

type Call<Parameters extends CallParameters> = {
  /** Below the release. */
  readonly path: string
  readonly summary: string
  readonly description: string
  readonly parameters: Parameters
  /** Of the answer, unless it is an error. */
  readonly schema: v.GenericSchema
  readonly answer: (call: {
    readonly organization: Organization
    readonly given: v.InferOutput<Parameters>
  }) => Promise<Readonly<Record<string, unknown>>>
}

export type AddCall = <Parameters extends CallParameters>(call: Call<Parameters>) => void

/** Adds calls, each as a GET with a query and as a POST with a form; other methods are refused in the same form. */
export function callAdder(app: Hono<HttpEnv>, define: DefineOperation, deps: ZipwhipDeps): AddCall {
  const limit = createProvisioningLimit()
  return ({ path, summary, description, parameters, schema, answer }) => {
    const name = path.replaceAll(/[^a-z]+(\w)/g, (_, letter: string) => letter.toUpperCase())
    const common = {
      tag: 'Zipwhip',
      access: 'open' as const,
      responses: {
        200: { description: 'The result, also one that says no', schema: v.union([schema, ErrorAnswer]) },
        ...ERROR_RESPONSES,
      },
      answerError: (error: unknown, c: Parameters<typeof answerZipwhipError>[1]) => answerZipwhipError(error, c, deps),
    }
    for (const method of ['get', 'post'] as const) {
      app[method](
        `${BASE}/${path}`,
        define(
          {
            ...common,
            operationId: method === 'get' ? name : `${name}ByForm`,
            summary,
            description: `${description} ${KEY_NOTE}`,
            described: { parameters, place: method === 'get' ? 'query' : 'form' },
          },
          async ({ c }) => {
            const call = await readCall(c, parameters, deps)
            return toReply(await limit.run(call.appId, () => answer(call)))
          },
        ),
      )
    }
    const refusal = { ...common, operationId: `${name}ByOtherMethods`, summary, isHidden: true }
    app.all(`${BASE}/${path}`, define(refusal, refuseMethod))
  }
}

const refuseMethod = (): never => {
  throw new GatewayError('method_not_allowed', { fields: { allowed: CALL_METHODS } })
}

/** A side effect behind GET must never come from a cache or a preview (RFC 9111, 5.2.2.5). */
const toReply = (json: unknown): Reply => ({ status: 200, json, headers: { 'cache-control': 'no-store' } })

/** Those of the table that a call has, by the status of the answer. */
const ERROR_RESPONSES = Object.fromEntries(
  Object.values(STATUS_CODES)
    .filter((status) => status.http >= 400 && status !== STATUS_CODES.noSuchCall)
    .map(({ code, text, http }) => [http, { description: `Code ${code}: ${text}`, schema: ErrorAnswer }]),
)
