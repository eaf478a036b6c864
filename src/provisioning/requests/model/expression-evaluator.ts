import {
  EXPRESSION_LIMITS,
  ExpressionError,
  type BinaryOperator,
  type Expression,
  type ExpressionValue,
  type Template,
} from './expression.ts'
import {
  callFunction,
  checkCount,
  checkLength,
  checkNumber,
  toBoolean,
  toNumber,
  toText,
} from './expression-functions.ts'

/** Computes templates, all of them together in a bounded number of steps and of characters. */
export class Evaluator {
  readonly #lookUp: (key: string) => string
  #steps = 0
  #characters = 0

  /** `lookUp` gives the value of a reference, or throws an ExpressionError. */
  constructor(lookUp: (key: string) => string) {
    this.#lookUp = lookUp
  }

  /** What the parts come to, one after the other. Throws an ExpressionError. */
  evaluate(template: Template): string {
    let text = ''
    for (const part of template) {
      text += toText(this.#value(part))
      checkLength(text.length)
    }
    return text
  }

  #value(expression: Expression): ExpressionValue {
    this.#steps += 1
    if (this.#steps > EXPRESSION_LIMITS.stepsMax) {
      throw new ExpressionError(`takes more than ${EXPRESSION_LIMITS.stepsMax} steps`)
    }
    const value = this.#compute(expression)
    if (typeof value === 'string') this.#checkText(value)
    return typeof value === 'number' ? checkNumber(value) : value
  }

  /** A step may take as long as its text. */
  #checkText({ length }: string): void {
    checkLength(length)
    this.#characters += length
    if (this.#characters > EXPRESSION_LIMITS.readMax) {
      throw new ExpressionError(`reads more than ${EXPRESSION_LIMITS.readMax} characters`)
    }
  }

  #compute(expression: Expression): ExpressionValue {
    switch (expression.kind) {
      case 'constant':
        return expression.value
      case 'reference':
        return this.#lookUp(expression.key)
      case 'call':
        return this.#call(expression)
      case 'unary': {
        const operand = this.#value(expression.operand)
        return expression.operator === 'not' ? !toBoolean(operand) : -toNumber(operand)
      }
      case 'binary':
        return this.#binary(expression)
      default:
        return expression satisfies never
    }
  }

  #call({ name, args }: Extract<Expression, { kind: 'call' }>): ExpressionValue {
    checkCount(name, args.length)
    const [condition, then, otherwise] = args
    if (name === 'if' && condition !== undefined && then !== undefined && otherwise !== undefined) {
      return this.#value(toBoolean(this.#value(condition)) ? then : otherwise)
    }
    return callFunction(
      name,
      args.map((arg) => this.#value(arg)),
    )
  }

  #binary({ operator, left, right }: Extract<Expression, { kind: 'binary' }>): ExpressionValue {
    const first = this.#value(left)
    if (operator === 'and') return toBoolean(first) && toBoolean(this.#value(right))
    if (operator === 'or') return toBoolean(first) || toBoolean(this.#value(right))
    const second = this.#value(right)
    return operator === '+' || operator === '-' || operator === '*' || operator === '/'
      ? calculate(operator, toNumber(first), toNumber(second))
      : compare(operator, first, second)
  }
}

function calculate(operator: '+' | '-' | '*' | '/', left: number, right: number): number {
  switch (operator) {
    case '+':
      return left + right
    case '-':
      return left - right
    case '*':
      return left * right
    case '/':
      if (right === 0) throw new ExpressionError('divides by zero')
      return left / right
    default:
      return operator satisfies never
  }
}

type Comparison = Exclude<BinaryOperator, 'and' | 'or' | '+' | '-' | '*' | '/'>

/** As numbers if one of the two is a number, as true or false if one of them is that, else as texts. */
function compare(operator: Comparison, first: ExpressionValue, second: ExpressionValue): boolean {
  if (typeof first === 'number' || typeof second === 'number') {
    return holds(operator, toNumber(first), toNumber(second))
  }
  if (typeof first === 'boolean' || typeof second === 'boolean') {
    if (operator !== '=' && operator !== '<>') throw new ExpressionError('orders what is true or false')
    return (toBoolean(first) === toBoolean(second)) === (operator === '=')
  }
  return holds(operator, first, second)
}

function holds<Ordered extends number | string>(operator: Comparison, left: Ordered, right: Ordered): boolean {
  switch (operator) {
    case '=':
      return left === right
    case '<>':
      return left !== right
    case '<':
      return left < right
    case '<=':
      return left <= right
    case '>':
      return left > right
    case '>=':
      return left >= right
    default:
      return operator satisfies never
  }
}
