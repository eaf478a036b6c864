import * as v from 'valibot'

const LIMIT_MAX = 200
const LIMIT_DEFAULT = 50

/** The query fields of every list that comes in pages; see {@link toPage}. */
export const pageFields = {
  limit: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^(?:[1-9]\d?|1\d\d|200)$/, `must be a number from 1 to ${LIMIT_MAX}`),
      v.description(`Page size, 1 to ${LIMIT_MAX}; ${LIMIT_DEFAULT} if absent`),
    ),
  ),
  cursor: v.optional(
    v.pipe(v.string(), v.minLength(1), v.maxLength(512), v.description('That of the page before, for the next one')),
  ),
}

type GivenPage = { readonly limit?: string | undefined; readonly cursor?: string | undefined }

export const toPage = ({ limit, cursor }: GivenPage): { readonly limit: number; readonly cursor?: string } => ({
  limit: limit === undefined ? LIMIT_DEFAULT : Number(limit),
  ...(cursor !== undefined && { cursor }),
})
