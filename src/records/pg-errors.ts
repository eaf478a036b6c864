import { GatewayError, type ErrorCode } from '../core/errors.ts'

/** What a foreign key's violation means to the caller: what it refers to is not there. */
const MISSING_BY_CONSTRAINT: Readonly<Record<string, ErrorCode>> = {
  api_keys_app: 'app_not_found',
  endpoints_app: 'app_not_found',
  idempotency_app: 'app_not_found',
  provisioning_keys_app: 'app_not_found',
  customers_app: 'app_not_found',
  subscribers_app: 'app_not_found',
  subscribers_network: 'network_not_found',
}

/**
 * SQLSTATE classes and codes (PostgreSQL documentation, appendix A) after which the same request may
 * succeed: connection trouble, credentials, resources, statement timeout, shutdown, deadlock, read-only standby.
 */
const TRANSIENT = /^(08|28|53|57P0|58|57014|40001|40P01|55P03|25006|3D000)/
const NODE_NETWORK_ERRORS = /^(E(CONN|HOST|NET|TIMEDOUT|PIPE|AI_AGAIN|NOTFOUND)|ENOTFOUND|ENOENT|EACCES)/
const PG_CLIENT_MESSAGES =
  /Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error|client was closed|not queryable|Cannot use a pool after calling end|driver has already been destroyed|connection has been discarded/i

/**
 * Any error of `pg`, PGlite or the network below them as a GatewayError; a GatewayError as it is. A
 * foreign key's violation is taken to be an insertion's: whoever removes a parent checks first
 * (`isForeignKeyViolation`), as only a message in the server's language tells the two apart.
 */
export function translatePgError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error
  const code = textField(error, 'code')
  if (code === '23503') {
    const missing = MISSING_BY_CONSTRAINT[textField(error, 'constraint') ?? '']
    return new GatewayError(missing ?? 'internal', { cause: error })
  }
  if (code === '23505') return new GatewayError('already_exists', { cause: error })
  const message = error instanceof Error ? error.message : ''
  const isTransient =
    (code !== undefined && (TRANSIENT.test(code) || NODE_NETWORK_ERRORS.test(code))) || PG_CLIENT_MESSAGES.test(message)
  return isTransient
    ? new GatewayError('store_unavailable', { retryAfterSeconds: 1, cause: error })
    : new GatewayError('internal', { cause: error })
}

/** Whether `error` says that a reference would dangle. */
export const isForeignKeyViolation = (error: unknown): boolean => textField(error, 'code') === '23503'

function textField(error: unknown, name: string): string | undefined {
  if (typeof error !== 'object' || error === null || !(name in error)) return undefined
  const value: unknown = Reflect.get(error, name)
  return typeof value === 'string' ? value : undefined
}
