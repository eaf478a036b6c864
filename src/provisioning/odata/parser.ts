import { FILTER_LIMITS, ODataError, type CompareOperator, type Expression, type Literal } from './expression.ts'
import { readLiteral } from './literal.ts'
import { tokenize, unexpected, type Token, type TokenType } from './tokens.ts'

const COMPARISONS: ReadonlySet<string> = new Set(['eq', 'ne', 'gt', 'ge', 'lt', 'le'])
const isComparison = (text: string): text is CompareOperator => COMPARISONS.has(text)

/** How tightly each word between two operands binds (OData 4.01, URL conventions, 5.1.1.17). */
const BINDING: Readonly<Record<string, number>> = {
  or: 1,
  and: 2,
  eq: 4,
  ne: 4,
  gt: 5,
  ge: 5,
  lt: 5,
  le: 5,
  in: 5,
}
/** `not` binds more tightly than `and`, and here, as everybody writes it, than a comparison only in brackets. */
const BINDING_OF_NOT = 3

/** Words that cannot be fields. */
const RESERVED: ReadonlySet<string> = new Set([...Object.keys(BINDING), 'not', 'true', 'false', 'null', 'any', 'all'])

/** Parses a `$filter` into a tree; takes time in proportion to its length. Throws an ODataError. */
export function parseFilter(filter: string): Expression {
  const parser = new Parser(tokenize(filter))
  return parser.parse()
}

/** A Pratt parser: an operand, then every operator that binds more tightly than what is to the left. */
class Parser {
  readonly #tokens: readonly Token[]
  #next = 0
  #depth = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  parse(): Expression {
    const expression = this.#expression(0)
    const rest = this.#peek()
    if (rest.type !== 'end') throw unexpected(rest)
    return expression
  }

  #expression(binding: number): Expression {
    this.#depth += 1
    if (this.#depth > FILTER_LIMITS.depthMax) throw new ODataError(`is nested deeper than ${FILTER_LIMITS.depthMax}`)
    let left = this.#operand()
    for (;;) {
      const token = this.#peek()
      const power = token.type === 'name' ? (BINDING[token.value] ?? 0) : 0
      if (power <= binding) break
      this.#next += 1
      left = this.#infix(left, token, power)
    }
    this.#depth -= 1
    return left
  }

  #infix(left: Expression, { value }: Token, power: number): Expression {
    if (value === 'in') return { kind: 'in', left, items: this.#list() }
    if (isComparison(value)) return { kind: 'compare', operator: value, left, right: this.#expression(power) }
    return { kind: value === 'and' ? 'and' : 'or', left, right: this.#expression(power) }
  }

  #operand(): Expression {
    const token = this.#take()
    if (token.type === '(') {
      const inner = this.#expression(0)
      this.#expect(')')
      return inner
    }
    if (token.type !== 'name') return { kind: 'literal', literal: readLiteral(token) }
    if (token.value === 'not') return { kind: 'not', operand: this.#expression(BINDING_OF_NOT) }
    if (token.value === 'true' || token.value === 'false' || token.value === 'null') {
      return { kind: 'literal', literal: readLiteral(token) }
    }
    if (RESERVED.has(token.value)) throw unexpected(token)
    if (this.#peek().type === '(') return { kind: 'call', name: token.value, args: this.#arguments() }
    return this.#path(token.value)
  }

  /** `a/b/c`, or `a/any(x: …)`. */
  #path(first: string): Expression {
    let path = first
    while (this.#peek().type === '/') {
      this.#next += 1
      const { value } = this.#expect('name')
      if (value === 'any' || value === 'all') return this.#lambda(value, path)
      path += `/${value}`
    }
    return { kind: 'field', path }
  }

  #lambda(kind: 'any' | 'all', path: string): Expression {
    this.#expect('(')
    if (kind === 'any' && this.#peek().type === ')') {
      this.#next += 1
      return { kind, path, variable: '', condition: undefined }
    }
    const { value: variable } = this.#expect('name')
    this.#expect(':')
    const condition = this.#expression(0)
    this.#expect(')')
    return { kind, path, variable, condition }
  }

  #arguments(): readonly Expression[] {
    this.#expect('(')
    const args: Expression[] = []
    if (this.#peek().type !== ')') {
      do args.push(this.#expression(0))
      while (this.#skip(','))
    }
    this.#expect(')')
    return args
  }

  #list(): readonly Literal[] {
    this.#expect('(')
    const items: Literal[] = []
    do items.push(readLiteral(this.#take()))
    while (this.#skip(','))
    this.#expect(')')
    if (items.length > FILTER_LIMITS.listMax) {
      throw new ODataError(`has a list of more than ${FILTER_LIMITS.listMax} values`)
    }
    return items
  }

  #peek(): Token {
    return this.#tokens[this.#next] ?? END
  }

  #take(): Token {
    const token = this.#peek()
    this.#next += 1
    return token
  }

  #skip(type: TokenType): boolean {
    if (this.#peek().type !== type) return false
    this.#next += 1
    return true
  }

  #expect(type: TokenType): Token {
    const token = this.#take()
    if (token.type !== type) throw unexpected(token)
    return token
  }
}

const END: Token = { type: 'end', value: '', at: 0 }
