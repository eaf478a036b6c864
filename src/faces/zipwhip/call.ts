import { randomUUID } from 'node:crypto'
import type * as v from 'valibot'
import { GatewayError, isGatewayError } from '../../core/errors.ts'
import { parseInput } from '../../core/parse-input.ts'
import { actorOf, type Scope } from '../../core/provisioning-scope.ts'
import type { HttpContext } from '../../http/context.ts'
import type { Reply } from '../../http/operation.ts'
import { retryAfterSecondsOf } from '../../http/problem.ts'
import { readForm } from '../../http/request-body.ts'
import { answered } from './answers.ts'
import { EXPLAINED_STATUSES, STATUS_CODES, statusOfError, type StatusName } from './codes.ts'
import type { ZipwhipDeps } from './deps.ts'
import type { Organization } from './lines.ts'

/** HEAD is not among them: whoever sends it expects that nothing happens, and some calls do something. */
export const CALL_METHODS = ['GET', 'POST'] as const

/** What a call takes; the key is always among it. */
export type CallParameters = v.GenericSchema<unknown, { readonly api_key?: string | undefined }> & {
  readonly entries: Readonly<Record<string, v.GenericSchema>>
}

const DESCRIPTION_MAX = 255
const KEY_LENGTH_MAX = 512

/** Who calls, for whom, with what. */
type ReadCall<Given> = { readonly appId: string; readonly organization: Organization; readonly given: Given }

/**
 * Reads the parameters of a call from its query and, of a POST, its form, and finds out whose it is. Rejects with
 * `invalid_request`, `unauthorized`, `method_not_allowed` for HEAD, and with `scope_exceeded` for a key that is not
 * of exactly one customer.
 */
export async function readCall<Parameters extends CallParameters>(
  c: HttpContext,
  parameters: Parameters,
  deps: ZipwhipDeps,
): Promise<ReadCall<v.InferOutput<Parameters>>> {
  refuseWithoutIntent(c)
  const form = c.req.method === 'POST' ? await readForm(c) : {}
  const raw: Readonly<Record<string, string>> = { ...c.req.query(), ...form }
  const key = raw['api_key'] ?? /^Bearer +(\S+) *$/i.exec(c.req.header('authorization') ?? '')?.[1]
  if (key === undefined || key.length > KEY_LENGTH_MAX) throw new GatewayError('unauthorized')
  const scope = await deps.keys.authenticate(key.trim())
  if (scope?.kind !== 'key') throw new GatewayError('unauthorized')
  const organization = await organizationOf(scope, c, deps)
  return { appId: scope.appId, organization, given: parseInput(parameters, raw) }
}

/** A browser that loads a link before anybody follows it, or a tool that only looks, must not order anything. */
function refuseWithoutIntent(c: HttpContext): void {
  if (c.req.method === 'HEAD') {
    throw new GatewayError('method_not_allowed', { fields: { allowed: CALL_METHODS } })
  }
  const purposes = ['sec-purpose', 'purpose', 'x-purpose', 'x-moz'].map((name) => c.req.header(name) ?? '')
  if (purposes.some((purpose) => /prefetch|preview|prerender/i.test(purpose))) {
    throw new GatewayError('scope_exceeded', { detail: 'Prefetching is refused.' })
  }
}

/** An organization is one customer. */
async function organizationOf(
  scope: Extract<Scope, { kind: 'key' }>,
  c: HttpContext,
  { customers }: ZipwhipDeps,
): Promise<Organization> {
  const [customerId, ...others] = scope.customerIds ?? []
  if (customerId === undefined || others.length > 0) {
    throw new GatewayError('scope_exceeded', { detail: 'The key must be of exactly one customer.' })
  }
  await customers.find(scope, customerId)
  return { customerId, actor: actorOf(scope), correlationId: c.get('requestId') }
}

/** An error in the document's envelope. */
export function answerZipwhipError(error: unknown, c: HttpContext, { alwaysOk, log }: ZipwhipDeps): Reply {
  const status = statusOfError(error)
  const { text, http } = STATUS_CODES[status]
  const requestId = c.get('requestId')
  if (status === 'unknown') log.error({ err: error, requestId }, 'zipwhip call failed')
  else if (status === 'unavailable') log.warn({ err: error, requestId }, 'zipwhip call failed')
  c.set('problem', isGatewayError(error) ? error.code : 'internal')
  const detail = EXPLAINED_STATUSES.has(status) && isGatewayError(error) ? error.detail : undefined
  const description = detail === undefined ? text : `${text}: ${detail}`
  return {
    status: alwaysOk ? 200 : http,
    json: { ...answered(status, randomUUID()), status_desc: description.slice(0, DESCRIPTION_MAX), error: 'true' },
    headers: { 'cache-control': 'no-store', ...headersOf(error, status) },
  }
}

function headersOf(error: unknown, status: StatusName): Record<string, string> {
  const known = isGatewayError(error) ? error : undefined
  const retryAfterSeconds = known && retryAfterSecondsOf(known)
  // What was not read of a body must not be taken for the next request.
  const isUnread = known?.code === 'body_too_large' || known?.code === 'request_timeout'
  return {
    ...(status === 'badKey' && { 'www-authenticate': 'Bearer realm="callhalf"' }),
    ...(status === 'badMethod' && { allow: CALL_METHODS.join(', ') }),
    ...(retryAfterSeconds !== undefined && { 'retry-after': String(retryAfterSeconds) }),
    ...(isUnread && { connection: 'close' }),
  }
}
