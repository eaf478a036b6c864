import * as v from 'valibot'
import type { HttpContext } from '../../http/context.ts'
import type { ListFields, ListRequest, Page } from '../../provisioning/store/listing.ts'

const LIMIT_DEFAULT = 100
const LIMIT_MAX = 500

const limit = v.optional(
  v.pipe(
    v.string(),
    v.regex(/^(?:[1-9]\d?|[1-4]\d\d|500)$/, `must be a number from 1 to ${LIMIT_MAX}`),
    v.description(`Page size, 1 to ${LIMIT_MAX}; ${LIMIT_DEFAULT} if absent`),
  ),
)
const cursor = v.optional(
  v.pipe(v.string(), v.minLength(1), v.maxLength(1_024), v.description('From the Link header of the page before')),
)
const sort = v.optional(
  v.pipe(v.string(), v.maxLength(200), v.description('Fields, comma separated; -field for descending order')),
)
const value = (name: string) =>
  v.optional(v.pipe(v.string(), v.maxLength(200), v.description(`Only what has this ${name}`)))

/** The query of a list: page, order, and equality by any of its fields. */
export const listQuery = (fields: ListFields) =>
  v.strictObject({
    limit,
    cursor,
    sort,
    ...Object.fromEntries(Object.keys(fields).map((name) => [name, value(name)])),
  })

type GivenQuery = Readonly<Record<string, string | undefined>>

/** What such a query asks for. */
export function toListRequest(query: GivenQuery): ListRequest {
  const { limit: size, cursor: from, sort: order, ...equals } = query
  const given = Object.entries(equals).flatMap(([name, text]) => (text === undefined ? [] : [[name, text] as const]))
  return { limit: limitOf(size), cursor: from, sort: order, equals: Object.fromEntries(given) }
}

export const limitOf = (text: string | undefined): number => (text === undefined ? LIMIT_DEFAULT : Number(text))

/** A bare list; where the next page is, is in the header Link (RFC 8288). */
export function replyWithPage<Item>(c: HttpContext, page: Page<Item>, toResource: (item: Item) => unknown) {
  const headers = page.cursor === undefined ? {} : { link: `<${nextPage(c, page.cursor)}>; rel="next"` }
  return { status: 200, json: page.items.map(toResource), headers }
}

/** Relative to the host, which a proxy may have named otherwise. */
function nextPage(c: HttpContext, next: string): string {
  const query = new URLSearchParams(c.req.query())
  query.set('cursor', next)
  return `${c.req.path}?${query.toString()}`
}

/** For the description of a list. */
export const LINK_HEADER = {
  Link: { description: 'The next page, with rel="next"; absent of the last one', schema: { type: 'string' } },
} as const
