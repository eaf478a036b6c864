import { FILTER_LIMITS, ODataError } from './expression.ts'

export type TokenType = 'name' | 'text' | 'number' | 'time' | '(' | ')' | ',' | '/' | ':' | 'end'
export type Token = { readonly type: TokenType; readonly value: string; readonly at: number }

/**
 * One token at a time, each at the place where the one before ended. Times and GUIDs come before numbers, which
 * they begin like; a GUID is text here.
 */
const PATTERNS: readonly (readonly [TokenType, RegExp])[] = [
  ['text', /'(?:[^']|'')*'/y],
  ['text', /[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}(?![\w.])/y],
  ['time', /\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,12})?)?(?:Z|[+-]\d{2}:\d{2})?)?(?![\w.-])/y],
  ['number', /-?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?(?![\w.])/y],
  ['name', /[A-Za-z_][A-Za-z0-9_]*/y],
]
const SIGNS = new Set(['(', ')', ',', '/', ':'])
const isSign = (text: string): text is '(' | ')' | ',' | '/' | ':' => SIGNS.has(text)

/** The tokens of a filter, with one of type `end` behind them. Throws an ODataError. */
export function tokenize(filter: string): readonly Token[] {
  if (filter.length > FILTER_LIMITS.charactersMax) {
    throw new ODataError(`is longer than ${FILTER_LIMITS.charactersMax} characters`)
  }
  const tokens: Token[] = []
  for (let at = skipBlanks(filter, 0); at < filter.length;) {
    const token = readToken(filter, at)
    tokens.push(token)
    if (tokens.length > FILTER_LIMITS.tokensMax) throw new ODataError(`has more than ${FILTER_LIMITS.tokensMax} parts`)
    at = skipBlanks(filter, at + token.value.length)
  }
  tokens.push({ type: 'end', value: '', at: filter.length })
  return tokens
}

function readToken(filter: string, at: number): Token {
  const sign = filter.charAt(at)
  if (isSign(sign)) return { type: sign, value: sign, at }
  for (const [type, pattern] of PATTERNS) {
    pattern.lastIndex = at
    const value = pattern.exec(filter)?.[0]
    if (value !== undefined) return { type, value, at }
  }
  throw new ODataError(`cannot be read at character ${at + 1}: ${String.fromCodePoint(filter.codePointAt(at) ?? 0)}`)
}

function skipBlanks(filter: string, at: number): number {
  let next = at
  while (filter.charAt(next) === ' ' || filter.charAt(next) === '\t') next += 1
  return next
}

/** What a quoted token says. */
export const unquote = (token: string): string =>
  token.startsWith("'") ? token.slice(1, -1).replaceAll("''", "'") : token

/** The error for a token that does not belong where it is. */
export const unexpected = ({ type, value, at }: Token): ODataError =>
  new ODataError(type === 'end' ? 'ends too early' : `has an unexpected ${value} at character ${at + 1}`)
