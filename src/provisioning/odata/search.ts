import { createHmac, timingSafeEqual } from 'node:crypto'
import { sql, type RawBuilder } from 'kysely'
import type { Queries } from '../store/database.ts'
import { compileFilter } from './compile.ts'
import { ODataError } from './expression.ts'
import { invalidOption, type ODataQuery, type OrderTerm } from './query.ts'
import type { SearchField, SearchRegistry } from './registry.ts'

/** What is searched. */
export type SearchSource = SearchRegistry & {
  /** `from …` of the rows, and a `where` that says whose they are. */
  readonly from: RawBuilder<unknown>
  /** What is read of each row. */
  readonly columns: RawBuilder<unknown>
  /** The field that makes every order total; sortable, never null. */
  readonly key: string
}

export type SearchPage<Row> = {
  readonly rows: readonly Row[]
  /** How many there are, whatever the page; only when it was asked for. */
  readonly count?: number
  /** To go on after the last row; absent when there is no more. */
  readonly skipToken?: string
}

type SortKey = OrderTerm & { readonly known: SearchField }

/**
 * Searches by `$filter`, `$orderby`, `$top`, `$skip` or `$skiptoken`. Pages go on after the values of the last
 * row, so what is added or removed meanwhile neither hides nor repeats another; the token is signed with `secret`.
 * Throws `invalid_request`, naming the option, for fields that there are not.
 */
export async function searchRows<Row extends object>(
  queries: Queries,
  { source, query, secret }: { readonly source: SearchSource; readonly query: ODataQuery; readonly secret: Buffer },
): Promise<SearchPage<Row>> {
  const keys = sortKeys(source, query)
  const wanted = query.filter === undefined ? sql`true` : compile(source, query.filter)
  const count = query.count ? await countRows(queries, source, wanted) : undefined
  if (query.top === 0) return { rows: [], ...(count !== undefined && { count }) }
  const position = query.skipToken === undefined ? undefined : readToken(query.skipToken, keys, secret)
  const isAfter = position === undefined ? sql`true` : after(keys, position)
  const marks = keys.map(({ known }, index) => sql`(${known.value})::text as ${sql.ref(`sort_key_${index}`)}`)
  const order = keys.map(({ known, isDescending }) => orderBy(known, isDescending))
  const { rows } = await sql<Row>`
    select ${source.columns}, ${sql.join(marks)} ${source.from} and ${wanted} and ${isAfter}
    order by ${sql.join(order)} limit ${query.top + 1} offset ${query.skip}`.execute(queries)
  const shown = rows.slice(0, query.top)
  const last = rows.length > query.top ? shown.at(-1) : undefined
  return {
    rows: shown,
    ...(count !== undefined && { count }),
    ...(last !== undefined && { skipToken: writeToken(last, keys, secret) }),
  }
}

function compile(source: SearchSource, filter: NonNullable<ODataQuery['filter']>): RawBuilder<unknown> {
  try {
    return compileFilter(filter, source)
  } catch (error) {
    if (error instanceof ODataError) throw invalidOption('$filter', error.message)
    throw error
  }
}

async function countRows(queries: Queries, source: SearchSource, wanted: RawBuilder<unknown>): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*) as count ${source.from} and ${wanted}`.execute(queries)
  return rows[0]?.count ?? 0
}

function sortKeys({ fields, key }: SearchSource, { orderBy: terms }: ODataQuery): readonly SortKey[] {
  const keyTerm = terms.some(({ field }) => field === key) ? [] : [{ field: key, isDescending: false }]
  return [...terms, ...keyTerm].map((term) => {
    const known = Object.hasOwn(fields, term.field) ? fields[term.field] : undefined
    if (known?.isSortable !== true) {
      throw invalidOption('$orderby', `has no field ${term.field} that can be sorted by`)
    }
    return { ...term, known }
  })
}

const CASTS = {
  text: sql`text`,
  integer: sql`int8`,
  decimal: sql`numeric`,
  time: sql`timestamptz`,
  boolean: sql`boolean`,
} as const

/** Nulls are last in either direction, and texts in the order of their characters, in every store. */
function orderBy({ value, type }: SearchField, isDescending: boolean): RawBuilder<unknown> {
  const collation = type === 'text' ? sql` collate "C"` : sql``
  return sql`${value}${collation} ${isDescending ? sql`desc` : sql`asc`} nulls last`
}

/** What comes after a row with these values: `(a > 1) or (a = 1 and b > 2)`, null being greater than all. */
function after(keys: readonly SortKey[], values: readonly (string | null)[]): RawBuilder<unknown> {
  const alternatives = keys.flatMap((key, index) => {
    const beyond = isBeyond(key, values[index] ?? null)
    if (beyond === undefined) return []
    const same = keys.slice(0, index).map((before, at) => isSame(before, values[at] ?? null))
    return [sql`(${sql.join([...same, beyond], sql` and `)})`]
  })
  return alternatives.length === 0 ? sql`false` : sql`(${sql.join(alternatives, sql` or `)})`
}

function isBeyond({ known, isDescending }: SortKey, value: string | null): RawBuilder<unknown> | undefined {
  if (value === null) return undefined
  const collation = known.type === 'text' ? sql` collate "C"` : sql``
  const bound = sql`${value}::${CASTS[known.type]}${collation}`
  const comparison = isDescending ? sql`${known.value} < ${bound}` : sql`${known.value} > ${bound}`
  return known.isNullable === true ? sql`(${comparison} or ${known.value} is null)` : comparison
}

const isSame = ({ known }: SortKey, value: string | null): RawBuilder<unknown> =>
  value === null ? sql`${known.value} is null` : sql`${known.value} = ${value}::${CASTS[known.type]}`

const orderOf = (keys: readonly SortKey[]): string =>
  keys.map(({ field, isDescending }) => `${field} ${isDescending ? 'desc' : 'asc'}`).join(',')

const SIGNATURE_BYTES = 16

const sign = (text: string, secret: Buffer): Buffer =>
  createHmac('sha256', secret).update(text).digest().subarray(0, SIGNATURE_BYTES)

function writeToken(row: object, keys: readonly SortKey[], secret: Buffer): string {
  const values: readonly unknown[] = keys.map((_, index) => Reflect.get(row, `sort_key_${index}`))
  const text = JSON.stringify([orderOf(keys), ...values])
  return Buffer.concat([sign(text, secret), Buffer.from(text)]).toString('base64url')
}

function readToken(token: string, keys: readonly SortKey[], secret: Buffer): readonly (string | null)[] {
  const bytes = Buffer.from(token, 'base64url')
  const text = bytes.subarray(SIGNATURE_BYTES).toString('utf8')
  const isOurs =
    bytes.length > SIGNATURE_BYTES && timingSafeEqual(bytes.subarray(0, SIGNATURE_BYTES), sign(text, secret))
  const parsed: unknown = isOurs ? JSON.parse(text) : undefined
  const [order, ...values] = Array.isArray(parsed) ? parsed : []
  if (order !== orderOf(keys) || values.length !== keys.length || !values.every(isMark)) {
    throw invalidOption('$skiptoken', 'must be that of the next link of the same search in the same order')
  }
  return values
}

const isMark = (value: unknown): value is string | null => value === null || typeof value === 'string'
