import type { GatewayError } from '../../core/errors.ts'
import { invalidRequest } from '../../core/parse-input.ts'
import { ODataError, type Expression } from './expression.ts'
import { parseFilter } from './parser.ts'

const TOP_DEFAULT = 100
const TOP_MAX = 500
const SKIP_MAX = 100_000
const ORDER_MAX = 8
const SELECT_MAX = 100

/** What a search asks for. */
export type ODataQuery = {
  readonly filter?: Expression
  readonly orderBy: readonly OrderTerm[]
  /** Names of fields; absent for all. */
  readonly select?: readonly string[]
  /** 0 to 500. */
  readonly top: number
  readonly skip: number
  readonly skipToken?: string
  readonly count: boolean
}
export type OrderTerm = { readonly field: string; readonly isDescending: boolean }

/** The error for what is wrong with an option. */
export const invalidOption = (option: string, message: string): GatewayError =>
  invalidRequest([{ field: option, message }])

const OPTIONS = ['$count', '$filter', '$orderby', '$select', '$skip', '$skiptoken', '$top'] as const

/**
 * Reads the query options of a search. What does not begin with `$` is not ours and is passed over. Throws
 * `invalid_request` that names the option.
 */
export function parseQuery(given: Readonly<Record<string, string>>): ODataQuery {
  const unknown = Object.keys(given).find((name) => name.startsWith('$') && !isOption(name))
  if (unknown !== undefined) throw invalidOption(unknown, 'is not an option of this search')
  const filter = read(given, '$filter', (text) => (text.trim() === '' ? undefined : parseFilter(text)))
  const select = read(given, '$select', parseSelect)
  const skipToken = given['$skiptoken']
  return {
    ...(filter !== undefined && { filter }),
    orderBy: read(given, '$orderby', parseOrderBy) ?? [],
    ...(select !== undefined && { select }),
    // More than the maximum is answered with the maximum, as the document says.
    top: Math.min(read(given, '$top', (text) => parseWhole(text, Number.MAX_SAFE_INTEGER)) ?? TOP_DEFAULT, TOP_MAX),
    skip: read(given, '$skip', (text) => parseWhole(text, SKIP_MAX)) ?? 0,
    ...(skipToken !== undefined && { skipToken }),
    count: read(given, '$count', parseFlag) ?? false,
  }
}

const isOption = (name: string): boolean => OPTIONS.some((option) => option === name)

function read<Result>(
  given: Readonly<Record<string, string>>,
  option: (typeof OPTIONS)[number],
  parse: (text: string) => Result,
): Result | undefined {
  const text = given[option]
  if (text === undefined) return undefined
  try {
    return parse(text)
  } catch (error) {
    if (error instanceof ODataError) throw invalidOption(option, error.message)
    throw error
  }
}

function parseWhole(text: string, max: number): number {
  if (!/^\d{1,15}$/.test(text.trim())) throw new ODataError('must be a whole number, not negative')
  const value = Number(text)
  if (value > max) throw new ODataError(`must be at most ${max}; use the next link for more`)
  return value
}

function parseFlag(text: string): boolean {
  if (!/^(true|false)$/i.test(text.trim())) throw new ODataError('must be true or false')
  return text.trim().toLowerCase() === 'true'
}

function parseOrderBy(text: string): readonly OrderTerm[] {
  if (text.trim() === '') return []
  const terms = text.split(',').map((part) => {
    const match = /^\s*([A-Za-z_][\w/]*)(?:\s+(asc|desc))?\s*$/i.exec(part)
    const field = match?.[1]
    if (field === undefined) throw new ODataError('must be fields, comma separated, each with asc or desc')
    return { field, isDescending: match?.[2]?.toLowerCase() === 'desc' }
  })
  if (terms.length > ORDER_MAX) throw new ODataError(`may name up to ${ORDER_MAX} fields`)
  if (new Set(terms.map(({ field }) => field)).size < terms.length) throw new ODataError('must name each field once')
  return terms
}

function parseSelect(text: string): readonly string[] | undefined {
  const names = text.split(',').map((name) => name.trim())
  if (names.length === 1 && (names[0] === '' || names[0] === '*')) return undefined
  if (names.length > SELECT_MAX) throw new ODataError(`may name up to ${SELECT_MAX} fields`)
  if (!names.every((name) => /^[A-Za-z_][\w/]*$/.test(name))) throw new ODataError('must be fields, comma separated')
  return names
}
