import { ExpressionError, type Expression, type Template } from './expression.ts'
import { Evaluator } from './expression-evaluator.ts'
import { isComputed } from './expression-parser.ts'
import { TemplateReader } from './template-reader.ts'

/** A data definition of what is provisioned, as the request's transition has it. */
export type ItemDefinition = {
  readonly name: string
  readonly isRequired: boolean
  readonly defaultValue: string | undefined
}

/**
 * Where a value is from: given in the request, had by the object before (`State`, the document's word), or the
 * definition's default; of the request's and the default, `Reference` and `Expression` are those that are computed.
 */
export type ComputationType = 'Request' | 'State' | 'Default' | 'Reference' | 'Expression'

/** What an extended information item of a request comes to. */
export type ComputedItem = {
  readonly keyName: string
  /** Absent when nobody has given one. */
  readonly value?: string
  readonly isRequired: boolean
  readonly computationType: ComputationType
}

/** What items are computed from. */
export type ItemSources = {
  readonly definitions: readonly ItemDefinition[]
  /** Of the request, by key. */
  readonly given: ReadonlyMap<string, string>
  /** Of the object that was provisioned before, by key. */
  readonly previous: ReadonlyMap<string, string>
}

/** What is wrong with one item. */
export class ComputationError extends ExpressionError {
  readonly keyName: string

  constructor(keyName: string, message: string) {
    super(`${keyName} ${message}`)
    this.keyName = keyName
  }
}

/** An item before it is computed; `template` when there is something to compute. */
type Source = {
  readonly keyName: string
  readonly isRequired: boolean
  readonly computationType: ComputationType
  readonly text: string | undefined
  readonly template?: Template
}

/**
 * Computes the items of a request: those of its definitions, in their order, and those that it has besides. What the
 * request gives goes before what the object had, and that before the default. What the object had is a value, and is
 * not computed again. Throws a ComputationError.
 */
export function computeItems({ definitions, given, previous }: ItemSources): readonly ComputedItem[] {
  const names = new Set(definitions.map(({ name }) => name))
  const others = [...given.keys()].filter((key) => !names.has(key))
  const reading = { given, previous, templates: new TemplateReader() }
  const sources = [
    ...definitions.map((definition) => toSource(definition, reading)),
    ...others.map((name) => toSource({ name, isRequired: false, defaultValue: undefined }, reading)),
  ]
  const values = evaluateAll(new Map(sources.map((source) => [source.keyName, source])))
  return sources.map(({ keyName, isRequired, computationType }) => {
    const value = values.get(keyName)
    return { keyName, isRequired, computationType, ...(value !== undefined && { value }) }
  })
}

/** Items that must have a value and have none. */
export const missingItems = (items: readonly ComputedItem[]): readonly string[] =>
  items.filter(({ isRequired, value = '' }) => isRequired && value === '').map(({ keyName }) => keyName)

type Reading = Pick<ItemSources, 'given' | 'previous'> & { readonly templates: TemplateReader }

function toSource(
  { name: keyName, isRequired, defaultValue }: ItemDefinition,
  { given, previous, templates }: Reading,
): Source {
  const common = { keyName, isRequired }
  const ofRequest = given.get(keyName)
  if (ofRequest !== undefined)
    return { ...common, ...toComputation(keyName, ofRequest, { literal: 'Request', templates }) }
  const before = previous.get(keyName)
  if (before !== undefined) return { ...common, text: before, computationType: 'State' }
  if (defaultValue !== undefined)
    return { ...common, ...toComputation(keyName, defaultValue, { literal: 'Default', templates }) }
  return { ...common, text: undefined, computationType: 'Default' }
}

function toComputation(
  keyName: string,
  text: string,
  { literal, templates }: { readonly literal: 'Request' | 'Default'; readonly templates: TemplateReader },
) {
  if (!isComputed(text)) return { text, computationType: literal }
  const template = named(keyName, () => templates.read(text))
  const isPlain = template.every(({ kind }) => kind === 'constant' || kind === 'reference')
  return { text, template, computationType: isPlain ? ('Reference' as const) : ('Expression' as const) }
}

/** Every item after those that it refers to. */
function evaluateAll(sources: ReadonlyMap<string, Source>): ReadonlyMap<string, string | undefined> {
  const values = new Map<string, string | undefined>()
  const evaluator = new Evaluator((key) => {
    if (!sources.has(key)) throw new ExpressionError(`refers to ${key}, which there is not`)
    return values.get(key) ?? ''
  })
  for (const keyName of inOrder(sources)) {
    const source = sources.get(keyName)
    const template = source?.template
    values.set(keyName, template === undefined ? source?.text : named(keyName, () => evaluator.evaluate(template)))
  }
  return values
}

/** Depth first, without recursion: there may be as many items in a row as there are items. */
function inOrder(sources: ReadonlyMap<string, Source>): readonly string[] {
  const order: string[] = []
  const done = new Set<string>()
  for (const start of sources.keys()) {
    const path = [{ key: start, waiting: referencesOf(sources.get(start)) }]
    const isOnPath = new Set([start])
    for (let top = path.at(-1); top !== undefined && !done.has(start); top = path.at(-1)) {
      const next = top.waiting.pop()
      if (next === undefined) {
        path.pop()
        isOnPath.delete(top.key)
        done.add(top.key)
        order.push(top.key)
      } else if (isOnPath.has(next)) {
        const cycle = path.slice(path.findIndex(({ key }) => key === next)).map(({ key }) => key)
        throw new ComputationError(next, `refers to itself: ${[...cycle, next].slice(0, 10).join(' → ')}`)
      } else if (!done.has(next) && sources.has(next)) {
        path.push({ key: next, waiting: referencesOf(sources.get(next)) })
        isOnPath.add(next)
      }
    }
  }
  return order
}

function referencesOf(source: Source | undefined): string[] {
  const keys = new Set<string>()
  const waiting: Expression[] = [...(source?.template ?? [])]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next.kind === 'reference') keys.add(next.key)
    else if (next.kind === 'call') waiting.push(...next.args)
    else if (next.kind === 'unary') waiting.push(next.operand)
    else if (next.kind === 'binary') waiting.push(next.left, next.right)
  }
  return [...keys].toReversed()
}

/** Says of which item an error is. */
function named<Result>(keyName: string, work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    if (error instanceof ExpressionError) throw new ComputationError(keyName, error.message)
    throw error
  }
}
