import { invalidRequest } from '../../core/parse-input.ts'
import type { HttpContext } from '../../http/context.ts'
import type { HeaderParameter } from '../../http/openapi-parameters.ts'

/** The version of what is answered, to be sent back in If-Match (RFC 9110, 8.8.3). */
export const entityTag = ({ version }: { readonly version: number }) => ({ etag: `"${version}"` })

/** The version that If-Match names; undefined: whatever it is. Throws `invalid_request` for what is no tag of ours. */
export function versionOf(c: HttpContext): number | undefined {
  const given = c.req.header('if-match')
  if (given === undefined || given === '*') return undefined
  const version = /^"(\d{1,9})"$/.exec(given)?.[1]
  if (version === undefined) {
    throw invalidRequest([{ field: 'If-Match', message: 'must be the ETag of an earlier answer, in quotes' }])
  }
  return Number(version)
}

/** For the descriptions of operations. */
export const ETAG_HEADER = { ETag: { description: 'Its version', schema: { type: 'string' } } } as const
export const IF_MATCH_HEADER: HeaderParameter = {
  name: 'If-Match',
  description: 'The ETag that was read: refused with 412 if it has been changed since',
  schema: { type: 'string' },
}
