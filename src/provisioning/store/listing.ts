import { sql, type RawBuilder } from 'kysely'
import { invalidRequest } from '../../core/parse-input.ts'
import { isRealTime } from '../model/calendar.ts'
import type { Queries } from './database.ts'

/** How a field of a list is kept. */
type ListField = {
  readonly column: string
  readonly kind: 'text' | 'integer' | 'time' | 'boolean' | 'decimal'
  /** Only columns that are never null: a page ends at a value. */
  readonly isSortable?: boolean
}
/** By the name that callers know. */
export type ListFields = Readonly<Record<string, ListField>>

export type ListRequest = {
  readonly limit: number
  /** That of the page before. */
  readonly cursor?: string | undefined
  /** `name,-createdAt`; by id, the order of creation, unless given. */
  readonly sort?: string | undefined
  /** Only what has these values, by field. */
  readonly equals?: Readonly<Record<string, string>>
}
export type Page<Item> = { readonly items: readonly Item[]; readonly cursor?: string }

type SortKey = {
  readonly field: string
  readonly column: string
  readonly kind: ListField['kind']
  readonly isDescending: boolean
}

const CASTS = {
  text: sql`text`,
  integer: sql`int8`,
  time: sql`timestamptz`,
  boolean: sql`boolean`,
  decimal: sql`numeric`,
}
const SORT_KEYS_MAX = 4

/** What a list is read from. */
export type ListSource = {
  readonly table: string
  readonly idColumn: string
  readonly fields: ListFields
  /** Whose it is; `true` for all. */
  readonly where: RawBuilder<unknown>
}

/**
 * One page by keyset: what is added or removed meanwhile neither repeats nor hides anything else. Rejects with
 * `invalid_request` for a sort or a cursor that does not fit.
 */
export async function listRows<Row extends object>(
  queries: Queries,
  source: ListSource,
  request: ListRequest,
): Promise<Page<Row>> {
  const keys = [...parseSort(source, request.sort), idKey(source)]
  const conditions = [source.where, ...equalities(source.fields, request.equals ?? {})]
  if (request.cursor !== undefined) conditions.push(after(keys, readCursor(request.cursor, keys)))
  const marks = keys.map(({ column }, index) => sql`${sql.ref(column)}::text as ${sql.ref(`key_${index}`)}`)
  const order = keys.map(({ column, isDescending }) => sql`${sql.ref(column)} ${isDescending ? sql`desc` : sql`asc`}`)
  const { rows } = await sql<Row>`
    select *, ${sql.join(marks)} from ${sql.table(source.table)}
    where ${sql.join(conditions, sql` and `)}
    order by ${sql.join(order)}
    limit ${request.limit + 1}`.execute(queries)
  const items = rows.slice(0, request.limit)
  const last = items.at(-1)
  if (rows.length <= request.limit || last === undefined) return { items }
  return { items, cursor: writeCursor(keys, last) }
}

function parseSort({ fields }: ListSource, sort: string | undefined): SortKey[] {
  if (sort === undefined) return []
  const keys = sort.split(',').map((part) => {
    const isDescending = part.startsWith('-')
    const field = isDescending ? part.slice(1) : part
    const known = Object.hasOwn(fields, field) ? fields[field] : undefined
    if (known?.isSortable !== true) {
      const names = Object.keys(fields).filter((name) => fields[name]?.isSortable === true)
      throw invalidRequest([
        { field: 'sort', message: `must name fields of ${names.join(', ')}, each with or without -` },
      ])
    }
    return { field, column: known.column, kind: known.kind, isDescending }
  })
  if (keys.length > SORT_KEYS_MAX || new Set(keys.map((key) => key.field)).size < keys.length) {
    throw invalidRequest([{ field: 'sort', message: `must name up to ${SORT_KEYS_MAX} fields, each once` }])
  }
  return keys
}

/** Makes every order total, and is itself the order of creation. */
const idKey = ({ idColumn }: ListSource): SortKey => ({
  field: 'id',
  column: idColumn,
  kind: 'text',
  isDescending: false,
})

function equalities(fields: ListFields, equals: Readonly<Record<string, string>>): RawBuilder<unknown>[] {
  return Object.entries(equals).map(([name, value]) => {
    const field = fields[name]
    if (field === undefined || !isOfKind(field.kind, value)) {
      throw invalidRequest([{ field: name, message: `must be ${field === undefined ? 'absent' : NAMES[field.kind]}` }])
    }
    // What callers have seen of a time are its milliseconds.
    if (field.kind === 'time') {
      return sql`date_trunc('milliseconds', ${sql.ref(field.column)}) = ${new Date(value).toISOString()}::timestamptz`
    }
    return sql`${sql.ref(field.column)} = ${value}::${CASTS[field.kind]}`
  })
}

const NAMES = {
  text: 'text',
  integer: 'a whole number',
  time: 'a time, such as 2026-01-31T12:00:00Z',
  boolean: 'true or false',
  decimal: 'a decimal number',
}

function isOfKind(kind: ListField['kind'], value: string): boolean {
  if (kind === 'integer') return /^-?\d{1,15}$/.test(value)
  if (kind === 'decimal') return /^-?\d{1,13}(\.\d{1,6})?$/.test(value)
  if (kind === 'boolean') return value === 'true' || value === 'false'
  if (kind === 'time') return /^\d{4}-\d{2}-\d{2}T[\d:.]+(Z|[+-]\d{2}:\d{2})$/.test(value) && isRealTime(value)
  return !value.includes('\0') && value.isWellFormed()
}

/** Whether the database writes values of this kind so; a time is in its own notation. */
const isKept = (kind: ListField['kind'], value: string): boolean =>
  kind === 'time'
    ? /^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(\.\d{1,6})?[+-](0\d|1[0-5])(:[0-5]\d)?$/.test(value) && isRealTime(value)
    : isOfKind(kind, value)

/** What comes after the row with these values: `(a > 1) or (a = 1 and b > 2)`. */
function after(keys: readonly SortKey[], values: readonly string[]): RawBuilder<unknown> {
  const is = (index: number, operator: RawBuilder<unknown>) => {
    const key = keys[index]
    return key === undefined ? sql`true` : sql`${sql.ref(key.column)} ${operator} ${values[index]}::${CASTS[key.kind]}`
  }
  const alternatives = keys.map((key, index) => {
    const beyond = is(index, key.isDescending ? sql`<` : sql`>`)
    const same = keys.slice(0, index).map((_, before) => is(before, sql`=`))
    return sql`(${sql.join([...same, beyond], sql` and `)})`
  })
  return sql`(${sql.join(alternatives, sql` or `)})`
}

const orderOf = (keys: readonly SortKey[]): string =>
  keys.map(({ field, isDescending }) => (isDescending ? `-${field}` : field)).join(',')

function writeCursor(keys: readonly SortKey[], row: object): string {
  const values = keys.map((_, index) => String(Reflect.get(row, `key_${index}`)))
  return Buffer.from(JSON.stringify([orderOf(keys), ...values])).toString('base64url')
}

function readCursor(cursor: string, keys: readonly SortKey[]): readonly string[] {
  const [order, ...values] = parseTexts(cursor)
  const fits = keys.every(({ kind }, index) => isKept(kind, values[index] ?? ''))
  if (order !== orderOf(keys) || values.length !== keys.length || !fits) {
    throw invalidRequest([{ field: 'cursor', message: 'must be that of a page of the same list in the same order' }])
  }
  return values
}

/** The texts in a cursor; none when it is not one of ours. */
function parseTexts(cursor: string): readonly string[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))
    return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : []
  } catch {
    return []
  }
}
