/** A constant in a filter, as it was written; numbers and times stay text, so that nothing is lost of them. */
export type Literal =
  | { readonly type: 'null' }
  | { readonly type: 'boolean'; readonly value: boolean }
  | { readonly type: 'number' | 'text' | 'time'; readonly value: string }

export type CompareOperator = 'eq' | 'ne' | 'gt' | 'ge' | 'lt' | 'le'

/** A parsed `$filter` (OData 4.01, URL conventions, 5.1.1), before any field is looked up. */
export type Expression =
  | { readonly kind: 'literal'; readonly literal: Literal }
  /** `name`, or `accountInformation/accountNumber`. */
  | { readonly kind: 'field'; readonly path: string }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] }
  | {
      readonly kind: 'compare'
      readonly operator: CompareOperator
      readonly left: Expression
      readonly right: Expression
    }
  | { readonly kind: 'in'; readonly left: Expression; readonly items: readonly Literal[] }
  | { readonly kind: 'and' | 'or'; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'not'; readonly operand: Expression }
  /** `links/any(l: l/linkTypeID eq 1)`; without a condition: whether there is any. */
  | {
      readonly kind: 'any' | 'all'
      readonly path: string
      readonly variable: string
      readonly condition: Expression | undefined
    }

/**
 * What a filter may not exceed, so that none costs more than a moment to read. A list has two tokens to a value, so
 * that the longest one fits.
 */
export const FILTER_LIMITS = { charactersMax: 4_096, tokensMax: 1_100, depthMax: 32, listMax: 500 } as const

/** The only thing that parsing and compiling throw on purpose; the message is for the caller. */
export class ODataError extends Error {
  override readonly name = 'ODataError'
}
