import { defaultParser } from '@odata/parser'
import * as v from 'valibot'
import type { Expression, Literal } from '../../src/provisioning/odata/expression.ts'
import { unquote } from '../../src/provisioning/odata/tokens.ts'

/** A tree that two parsers can agree on: `and` and `or` have all of their operands, whichever way they were grouped. */
export type PlainTree = { readonly kind: string; readonly parts: readonly (string | PlainTree)[] }

const plain = (kind: string, ...parts: readonly (string | PlainTree)[]): PlainTree => ({ kind, parts })

/** What the other parser makes of a filter; undefined if it refuses it. */
export function askOracle(filter: string): OracleToken | undefined {
  try {
    return v.parse(TOKEN, defaultParser.filter(filter))
  } catch (error) {
    if (error instanceof v.ValiError) throw error
    return undefined
  }
}

const TOKEN = v.object({ type: v.string(), raw: v.string(), value: v.unknown() })
type OracleToken = v.InferOutput<typeof TOKEN>

/** Every token in it, itself first. */
export function tokensOf(token: OracleToken): readonly OracleToken[] {
  return [token, ...insideOf(token.value).flatMap(tokensOf)]
}

function insideOf(value: unknown): readonly OracleToken[] {
  if (v.is(TOKEN, value)) return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(insideOf) : []
}

const COMPARISONS: Readonly<Record<string, string>> = {
  EqualsExpression: 'eq',
  NotEqualsExpression: 'ne',
  GreaterThanExpression: 'gt',
  GreaterOrEqualsExpression: 'ge',
  LesserThanExpression: 'lt',
  LesserOrEqualsExpression: 'le',
}
const CHAINS: Readonly<Record<string, string>> = { AndExpression: 'and', OrExpression: 'or' }
const CALL = v.object({ method: v.string(), parameters: v.array(TOKEN) })
const LAMBDA = v.object({ variable: TOKEN, predicate: TOKEN })

/** The other parser's tree in the common form. Throws for what ours does not have. */
export function plainOracleTree(token: OracleToken): PlainTree {
  const { type, raw, value } = token
  const comparison = COMPARISONS[type]
  if (comparison !== undefined) return plain(comparison, ...insideOf(value).map(plainOracleTree))
  const chain = CHAINS[type]
  if (chain !== undefined) return chainOf(chain, insideOf(value).map(plainOracleTree))
  const [inner] = insideOf(value)
  switch (type) {
    case 'BoolParenExpression':
    case 'ParenExpression':
    case 'CommonExpression':
    case 'LambdaPredicateExpression':
      return inner === undefined ? plain('nothing') : plainOracleTree(inner)
    case 'NotExpression':
      return inner === undefined ? plain('nothing') : plain('not', plainOracleTree(inner))
    case 'FirstMemberExpression':
      return plainMember(token)
    case 'MethodCallExpression': {
      const { method, parameters } = v.parse(CALL, value)
      return plain('call', method, ...parameters.map(plainOracleTree))
    }
    case 'Literal':
      return plainLiteral(raw)
    default:
      throw new Error(`a ${type}: ${raw}`)
  }
}

function plainMember(member: OracleToken): PlainTree {
  const lambda = tokensOf(member).find(({ type }) => type === 'AnyExpression' || type === 'AllExpression')
  if (lambda === undefined) return plain('field', member.raw)
  const kind = lambda.type === 'AnyExpression' ? 'any' : 'all'
  const path = member.raw.slice(0, member.raw.indexOf(`/${kind}(`))
  if (!v.is(LAMBDA, lambda.value)) return plain(kind, path)
  const { variable, predicate } = lambda.value
  return plain(kind, path, variable.raw, plainOracleTree(predicate))
}

function plainLiteral(raw: string): PlainTree {
  if (raw.startsWith("'")) return plain('text', unquote(raw))
  if (raw === 'null') return plain('null')
  if (raw === 'true' || raw === 'false') return plain('boolean', raw)
  return plain(/^\d{4}-/.test(raw) ? 'time' : 'number', raw)
}

/** Our tree in the common form. */
export function plainTree(tree: Expression): PlainTree {
  switch (tree.kind) {
    case 'literal':
      return plainOwnLiteral(tree.literal)
    case 'field':
      return plain('field', tree.path)
    case 'call':
      return plain('call', tree.name, ...tree.args.map(plainTree))
    case 'compare':
      return plain(tree.operator, plainTree(tree.left), plainTree(tree.right))
    case 'in':
      return plain('in', plainTree(tree.left), ...tree.items.map(plainOwnLiteral))
    case 'not':
      return plain('not', plainTree(tree.operand))
    case 'and':
    case 'or':
      return chainOf(tree.kind, [tree.left, tree.right].map(plainTree))
    case 'any':
    case 'all':
      break
  }
  const { kind, path, variable, condition } = tree
  return condition === undefined ? plain(kind, path) : plain(kind, path, variable, plainTree(condition))
}

const plainOwnLiteral = (literal: Literal): PlainTree =>
  literal.type === 'null' ? plain('null') : plain(literal.type, String(literal.value))

const chainOf = (kind: string, operands: readonly PlainTree[]): PlainTree =>
  plain(kind, ...operands.flatMap((operand) => (operand.kind === kind ? operand.parts : [operand])))
