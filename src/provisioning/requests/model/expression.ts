/** What stands between two operands. */
export type BinaryOperator = 'or' | 'and' | '=' | '<>' | '<' | '<=' | '>' | '>=' | '+' | '-' | '*' | '/'

/** What may stand in `#[…]`, parsed; see docs/provisioning.md for the language. */
export type Expression =
  | { readonly kind: 'constant'; readonly value: ExpressionValue }
  /** `@[key]` */
  | { readonly kind: 'reference'; readonly key: string }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] }
  | { readonly kind: 'unary'; readonly operator: '-' | 'not'; readonly operand: Expression }
  | {
      readonly kind: 'binary'
      readonly operator: BinaryOperator
      readonly left: Expression
      readonly right: Expression
    }

export type ExpressionValue = string | number | boolean

/** A value that is computed: what its parts come to, one after the other. */
export type Template = readonly Expression[]

/** What a computed value may not exceed, so that none costs more than a moment. */
export const EXPRESSION_LIMITS = {
  /** Of a value with something to compute in it. */
  charactersMax: 1_000,
  depthMax: 32,
  /** Characters of all values that are computed together. */
  formulasMax: 100_000,
  /** Operations of all values that are computed together. */
  stepsMax: 20_000,
  /** Characters of all texts that these operations come to. */
  readMax: 1_000_000,
  /** Characters of a text, also of one on the way. */
  resultMax: 4_000,
} as const

/** The only thing that parsing and computing throw on purpose; the message follows the name of what is wrong. */
export class ExpressionError extends Error {
  override readonly name = 'ExpressionError'
}
