import {
  EXPRESSION_LIMITS,
  ExpressionError,
  type BinaryOperator,
  type Expression,
  type Template,
} from './expression.ts'
import { isFunction } from './expression-functions.ts'
import { readToken, unquote, type Token, type TokenType } from './expression-tokens.ts'

/** How tightly each operator binds. */
const BINDING: Readonly<Record<BinaryOperator, number>> = {
  or: 1,
  and: 2,
  '=': 4,
  '<>': 4,
  '<': 4,
  '<=': 4,
  '>': 4,
  '>=': 4,
  '+': 5,
  '-': 5,
  '*': 6,
  '/': 6,
}
const isOperator = (text: string): text is BinaryOperator => Object.hasOwn(BINDING, text)
/** More tightly than `and`, less than a comparison. */
const BINDING_OF_NOT = 3
const BINDING_OF_MINUS = 7

/** Whether there is something to compute in a value. */
export const isComputed = (value: string): boolean => /[@#]\[/.test(value)

/**
 * Parses a value with `@[key]` and `#[expression]` in it, and text around them. Throws an ExpressionError.
 */
export function parseTemplate(value: string): Template {
  if (value.length > EXPRESSION_LIMITS.charactersMax) {
    throw new ExpressionError(`is computed and longer than ${EXPRESSION_LIMITS.charactersMax} characters`)
  }
  const parts: Expression[] = []
  for (let at = 0; at < value.length;) {
    const found = value.slice(at).search(/[@#]\[/)
    const next = found === -1 ? value.length : at + found
    if (next > at) parts.push({ kind: 'constant', value: value.slice(at, next) })
    if (next === value.length) break
    const part = value.charAt(next) === '@' ? parseReference(value, next) : parseExpression(value, next)
    parts.push(part.expression)
    at = part.end
  }
  return parts
}

type Part = { readonly expression: Expression; readonly end: number }

function parseReference(value: string, at: number): Part {
  const token = readToken(value, at)
  if (token.type !== 'reference') throw new ExpressionError(`has a reference that cannot be read at ${at + 1}`)
  return { expression: toReference(token), end: token.end }
}

function parseExpression(value: string, at: number): Part {
  const parser = new Parser(value, at + 2)
  return parser.parse()
}

/** A Pratt parser: an operand, then every operator that binds more tightly than what is to the left. */
class Parser {
  readonly #text: string
  #next: Token
  #depth = 0

  constructor(text: string, from: number) {
    this.#text = text
    this.#next = readToken(text, from)
  }

  /** Up to the bracket that closes the expression. */
  parse(): Part {
    const expression = this.#expression(0)
    const token = this.#next
    if (token.type !== ']') throw unexpected(token)
    return { expression, end: token.end }
  }

  #expression(binding: number): Expression {
    this.#depth += 1
    if (this.#depth > EXPRESSION_LIMITS.depthMax) {
      throw new ExpressionError(`is nested deeper than ${EXPRESSION_LIMITS.depthMax}`)
    }
    let left = this.#operand()
    for (;;) {
      const operator = operatorOf(this.#next)
      if (operator === undefined || BINDING[operator] <= binding) break
      this.#take()
      left = { kind: 'binary', operator, left, right: this.#expression(BINDING[operator]) }
    }
    this.#depth -= 1
    return left
  }

  #operand(): Expression {
    const token = this.#take()
    switch (token.type) {
      case 'text':
        return { kind: 'constant', value: unquote(token.value) }
      case 'number':
        return { kind: 'constant', value: Number(token.value) }
      case 'reference':
        return toReference(token)
      case '(': {
        const inner = this.#expression(0)
        this.#expect(')')
        return inner
      }
      case 'name':
        return this.#named(token)
      case 'operator':
        if (token.value === '-') return { kind: 'unary', operator: '-', operand: this.#expression(BINDING_OF_MINUS) }
        throw unexpected(token)
      case ')':
      case ',':
      case ']':
      case 'end':
        throw unexpected(token)
      default:
        return token.type satisfies never
    }
  }

  #named(token: Token): Expression {
    const name = token.value.toLowerCase()
    if (name === 'true' || name === 'false') return { kind: 'constant', value: name === 'true' }
    if (name === 'not') return { kind: 'unary', operator: 'not', operand: this.#expression(BINDING_OF_NOT) }
    if (isOperator(name)) throw unexpected(token)
    if (!isFunction(name)) throw new ExpressionError(`has no function ${token.value}`)
    return { kind: 'call', name, args: this.#arguments() }
  }

  #arguments(): readonly Expression[] {
    this.#expect('(')
    const args: Expression[] = []
    if (this.#next.type !== ')') {
      args.push(this.#expression(0))
      while (this.#next.type === ',') {
        this.#take()
        args.push(this.#expression(0))
      }
    }
    this.#expect(')')
    return args
  }

  #take(): Token {
    const token = this.#next
    if (token.type !== 'end') this.#next = readToken(this.#text, token.end)
    return token
  }

  #expect(type: TokenType): void {
    const token = this.#take()
    if (token.type !== type) throw unexpected(token)
  }
}

function operatorOf({ type, value }: Token): BinaryOperator | undefined {
  const name = type === 'name' ? value.toLowerCase() : value
  return (type === 'operator' || type === 'name') && isOperator(name) ? name : undefined
}

const toReference = ({ value }: Token): Expression => ({ kind: 'reference', key: value.slice(2, -1) })

const unexpected = ({ type, value, at }: Token): ExpressionError =>
  new ExpressionError(type === 'end' ? 'ends too early' : `has an unexpected ${value} at character ${at + 1}`)
