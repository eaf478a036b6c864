import { GatewayError } from '../core/errors.ts'

/**
 * An id as one path segment. `:` (in call ids) and `@` (in user ids) stay raw, as every known client
 * sends them. Throws `invalid_request` for what no server takes: a slash (XSI Interface Specification
 * 2020.07, p. 32), a control character, or dots only.
 */
export function pathSegment(id: string): string {
  if (!isPathSegment(id)) {
    throw new GatewayError('invalid_request', { detail: 'The id cannot be part of a path' })
  }
  return encodeURIComponent(id).replaceAll('%3A', ':').replaceAll('%40', '@')
}

/** Whether {@link pathSegment} takes the id. */
export const isPathSegment = (id: string): boolean => !/[/\\]|^\.{0,2}$|\p{Cc}|\p{Cs}/u.test(id)

/** A user below the context of XSI-Actions. */
export const userPath = (userId: string): string => `/v2.0/user/${pathSegment(userId)}`

/** One call of a user below the context of XSI-Actions. */
export const callPath = (userId: string, callId: string): string => `${userPath(userId)}/calls/${pathSegment(callId)}`
