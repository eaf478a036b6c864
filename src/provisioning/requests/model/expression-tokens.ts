import { ExpressionError } from './expression.ts'

export type TokenType = 'name' | 'text' | 'number' | 'reference' | 'operator' | '(' | ')' | ',' | ']' | 'end'
/** `end`: where the next token may begin. */
export type Token = { readonly type: TokenType; readonly value: string; readonly at: number; readonly end: number }

const PATTERNS: readonly (readonly [TokenType, RegExp])[] = [
  ['text', /'(?:[^']|'')*'|"(?:[^"]|"")*"/y],
  ['number', /\d{1,15}(?:\.\d{1,15})?(?![\w.])/y],
  ['reference', /@\[[^\]]{1,200}\]/y],
  ['name', /[A-Za-z_]\w*/y],
  ['operator', /<>|<=|>=|[-+*/=<>]/y],
]
const SIGNS = new Set(['(', ')', ',', ']'])
const isSign = (text: string): text is '(' | ')' | ',' | ']' => SIGNS.has(text)

/** The token at `from`, after blanks. Throws an ExpressionError. */
export function readToken(text: string, from: number): Token {
  let at = from
  while (/\s/.test(text.charAt(at))) at += 1
  if (at >= text.length) return { type: 'end', value: '', at, end: at }
  const sign = text.charAt(at)
  if (isSign(sign)) return { type: sign, value: sign, at, end: at + 1 }
  for (const [type, pattern] of PATTERNS) {
    pattern.lastIndex = at
    const value = pattern.exec(text)?.[0]
    if (value !== undefined) return { type, value, at, end: at + value.length }
  }
  throw new ExpressionError(`cannot be read at character ${at + 1}`)
}

/** What a quoted token says; a quote in it is written twice. */
export function unquote(token: string): string {
  const quote = token.charAt(0)
  return token.slice(1, -1).replaceAll(quote + quote, quote)
}
