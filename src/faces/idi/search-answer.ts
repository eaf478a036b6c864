import * as v from 'valibot'
import type { HttpContext } from '../../http/context.ts'
import { invalidOption, type ODataQuery } from '../../provisioning/odata/query.ts'
import type { SearchPage } from '../../provisioning/odata/search.ts'

const option = (description: string) => v.pipe(v.optional(v.string()), v.description(description))

/** The document's seven search parameters; `parseQuery` reads them. */
export const SearchParameters = v.object({
  $count: option('true: how many there are, in @count'),
  $filter: option("An OData expression over fields of the answer, such as name eq 'foo'; see docs/provisioning.md"),
  $orderby: option('Fields of the answer, comma separated, each with asc or desc'),
  $select: option('Fields to answer with, comma separated; all unless given'),
  $skip: option('How many to pass over'),
  $skiptoken: option('Of the next link'),
  $top: option('How many: 100 unless given, 500 at most'),
})

/** Of one item of a page; its fields are what `$select` may name. */
export type ItemSchema = v.ObjectSchema<v.ObjectEntries, undefined>

/** A page in the document's envelope; of its items, `$select` may leave out any field. */
export const envelopeOf = (item: ItemSchema) =>
  v.object({
    '@count': v.optional(v.pipe(v.number(), v.integer(), v.description('With $count=true; about, if there are many'))),
    '@nextLink': v.optional(v.pipe(v.string(), v.description('Of the next page; absent of the last one'))),
    value: v.array(v.partial(item)),
  })

/**
 * A page of a search: its rows as `toItem` shows them, with the fields that `$select` names. Throws
 * `invalid_request` for a field in `$select` that items do not have.
 */
export function searchAnswer<Row>(
  page: SearchPage<Row>,
  shown: {
    readonly query: ODataQuery
    readonly c: HttpContext
    readonly item: ItemSchema
    readonly toItem: (row: Row) => Readonly<Record<string, unknown>>
  },
) {
  const { query, c, item, toItem } = shown
  const unknown = query.select?.find((name) => !Object.hasOwn(item.entries, name))
  if (unknown !== undefined) {
    throw invalidOption('$select', `has no field ${unknown}, only ${Object.keys(item.entries).join(', ')}`)
  }
  const items = page.rows.map(toItem)
  return {
    ...(page.count !== undefined && { '@count': page.count }),
    value: query.select === undefined ? items : items.map((whole) => pick(whole, query.select ?? [])),
    ...(page.skipToken !== undefined && { '@nextLink': nextLink(c, page.skipToken) }),
  }
}

const pick = (whole: Readonly<Record<string, unknown>>, names: readonly string[]) =>
  Object.fromEntries(names.filter((name) => Object.hasOwn(whole, name)).map((name) => [name, whole[name]]))

/** The same search, after the last row: what was to be skipped has been. */
function nextLink(c: HttpContext, skipToken: string): string {
  const url = new URL(c.req.url)
  url.searchParams.delete('$skip')
  url.searchParams.set('$skiptoken', skipToken)
  return url.href.replaceAll('%24', '$')
}
