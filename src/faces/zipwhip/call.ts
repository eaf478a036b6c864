import { randomUUID } from 'node:crypto'
import type * as v from 'valibot'
import { GatewayError, isGatewayError } from '../../core/errors.ts'
import { parseInput } from '../../core/parse-input.ts'
import { actorOf, type Scope } from '../../core/provisioning-scope.ts'
import type { HttpContext } from '../../http/context.ts'
import type { Reply } from '../../http/operation.ts'
import { isText, readForm } from '../../http/request-body.ts'
import { STATUS_CODES, statusOfError, type StatusName } from './codes.ts'
import type { ZipwhipDeps } from './deps.ts'
import type { Organization } from './lines.ts'

/** What every call consists of. */
export type ZipwhipCall = {
  readonly organization: Organization
  readonly parameters: v.GenericSchema<unknown, { readonly api_key?: string | undefined }> & {
    readonly entries: Readonly<Record<string, v.GenericSchema>>
  }
}

/**
 * Reads the parameters of a call from its query and, of a POST, its form, and finds out whose it is. Rejects with
 * `invalid_request`, `unauthorized`, and with `scope_exceeded` for a key that is not of exactly one customer.
 */
export async function readCall<Parameters extends ZipwhipCall['parameters']>(
  c: HttpContext,
  parameters: Parameters,
  deps: ZipwhipDeps,
): Promise<{ readonly organization: Organization; readonly given: v.InferOutput<Parameters> }> {
  // A browser that loads a link before anybody follows it must not order anything.
  if (/prefetch/i.test(c.req.header('sec-purpose') ?? c.req.header('purpose') ?? '')) {
    throw new GatewayError('scope_exceeded', { detail: 'Prefetching is refused.' })
  }
  const form = c.req.method === 'POST' ? await readForm(c) : {}
  const raw = Object.fromEntries(Object.entries({ ...c.req.query(), ...form }).filter(([, text]) => isText(text)))
  const key = raw['api_key'] ?? /^Bearer +(\S+) *$/i.exec(c.req.header('authorization') ?? '')?.[1]
  if (key === undefined || key.length > 512) throw new GatewayError('unauthorized')
  const scope = await deps.keys.authenticate(key)
  if (scope === undefined) throw new GatewayError('unauthorized')
  const organization = await organizationOf(scope, c, deps)
  return { organization, given: parseInput(parameters, raw) }
}

/** An organization is one customer. */
async function organizationOf(scope: Scope, c: HttpContext, { customers }: ZipwhipDeps): Promise<Organization> {
  const [customerId, ...others] = scope.kind === 'key' ? (scope.customerIds ?? []) : []
  if (customerId === undefined || others.length > 0) throw new GatewayError('scope_exceeded')
  await customers.find(scope, customerId)
  return { customerId, actor: actorOf(scope), correlationId: c.get('requestId') }
}

/** An error in the document's envelope. */
export function answerZipwhipError(error: unknown, c: HttpContext, { alwaysOk, log }: ZipwhipDeps): Reply {
  const status: StatusName = error instanceof RangeError ? 'badDate' : statusOfError(error)
  const { code, text, http } = STATUS_CODES[status]
  const requestId = c.get('requestId')
  if (status === 'unknown') log.error({ err: error, requestId }, 'zipwhip call failed')
  c.set('problem', isGatewayError(error) ? error.code : status)
  const detail = status === 'badParameter' && isGatewayError(error) ? error.detail : undefined
  return {
    status: alwaysOk ? 200 : http,
    json: {
      transaction_id: randomUUID(),
      status_code: code,
      status_desc: (detail === undefined ? text : `${text}: ${detail}`).slice(0, 255),
      error: 'true',
    },
    headers: { 'cache-control': 'no-store', ...(http >= 429 && { 'retry-after': '1' }) },
  }
}
