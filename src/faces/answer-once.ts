import type { Scope } from '../core/provisioning-scope.ts'
import { GatewayError } from '../core/errors.ts'
import type { HttpContext } from '../http/context.ts'
import type { HeaderParameter } from '../http/openapi-parameters.ts'
import type { Reply } from '../http/operation.ts'
import type { Queries } from '../provisioning/store/database.ts'
import type { RequestKey, RequestLog } from '../provisioning/store/idempotency.ts'

/** Keeps an answer in the transaction of what it tells. */
export type KeepAnswer = (tx: Queries, reply: Reply) => Promise<void>

export type OnceRequest = {
  readonly c: HttpContext
  readonly scope: Scope
  /** Names the operation, with the ids in its path. */
  readonly route: string
  readonly body: unknown
}

/** For the description of an operation that is answered once. */
export const IDEMPOTENCY_HEADER: HeaderParameter = {
  name: 'Idempotency-Key',
  description:
    'Up to 255 printable characters. Within 24 hours a repetition with the same key and the same body gets the same answer and does nothing; with another body it is refused.',
  schema: { type: 'string', maxLength: 255 },
}

/**
 * Carries a request out once for each Idempotency-Key: `work` keeps its answer by what it is given, in the
 * transaction of the effect. Without the header it is simply carried out.
 */
export async function answerOnce(
  log: RequestLog,
  { c, scope, route, body }: OnceRequest,
  work: (keep: KeepAnswer) => Promise<Reply>,
): Promise<Reply> {
  const key = c.req.header('idempotency-key')
  if (key === undefined) return work(() => Promise.resolve())
  if (!/^[\x20-\x7e]{1,255}$/.test(key)) {
    throw new GatewayError('invalid_request', {
      detail: 'The header Idempotency-Key must have 1 to 255 printable characters.',
      fields: { errors: [{ field: 'Idempotency-Key', message: 'must have 1 to 255 printable characters' }] },
    })
  }
  const request: RequestKey = { tenant: scope.kind === 'admin' ? 'admin' : scope.appId, route, key }
  const claim = await log.claim({ ...request, content: JSON.stringify([route, body]) })
  if (claim.kind === 'answered') {
    const headers = { ...claim.headers, 'content-type': 'application/json', 'idempotency-replayed': 'true' }
    return { status: claim.status, text: claim.body, headers }
  }
  const held = { ...request, since: claim.since }
  try {
    return await work((tx, { status, json, headers = {} }) =>
      log.complete(tx, { ...held, answer: { status, body: JSON.stringify(json), headers } }),
    )
  } catch (error) {
    await log.abandon(held)
    throw error
  }
}
