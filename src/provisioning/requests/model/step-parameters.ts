import { ExpressionError } from './expression.ts'
import { Evaluator } from './expression-evaluator.ts'
import { isComputed } from './expression-parser.ts'
import type { ParameterSource } from './parameter-scope.ts'
import { TemplateReader } from './template-reader.ts'

/** What a parameter of a step comes to; a secret is for the provider alone. */
export type StepValue = { readonly value: string; readonly isSecret: boolean }
export type StepValues = ReadonlyMap<string, StepValue>

/** What parameters refer to. */
export type StepContext = {
  /** Computed items of the request, by key; undefined: there is one, and it has no value. */
  readonly items: ReadonlyMap<string, string | undefined>
  /** Fields of the request by their names in the document, such as `provisionedObjectInternalID`. */
  readonly fields: ReadonlyMap<string, string>
  /** Global information items, by name. */
  readonly globals: ReadonlyMap<string, StepValue>
}

/**
 * The values of a step's parameters: of each the first source that comes to something. An item goes before a field of
 * the request of the same name. Throws an ExpressionError that begins with the parameter's name.
 */
export function resolveParameters(
  sources: ReadonlyMap<string, readonly ParameterSource[]>,
  context: StepContext,
): StepValues {
  const values = new Map<string, StepValue>()
  const compute = computerOf(context)
  for (const [name, candidates] of sources) {
    for (const source of candidates) {
      const found = named(name, () => resolve(source, context, compute))
      if (found === undefined || found.value === '') continue
      values.set(name, found)
      break
    }
  }
  return values
}

function resolve(
  { scope, value }: ParameterSource,
  context: StepContext,
  compute: (text: string) => string,
): StepValue | undefined {
  switch (scope) {
    case 'Literal':
      return { value: isComputed(value) ? compute(value) : value, isSecret: false }
    case 'Request': {
      const found = context.items.get(value) ?? context.fields.get(value)
      return found === undefined ? undefined : { value: found, isSecret: false }
    }
    case 'Global':
      return context.globals.get(value)
    default:
      return scope satisfies never
  }
}

/** For all parameters of a step, whose limits are those of one. */
function computerOf({ items, fields }: StepContext): (text: string) => string {
  const templates = new TemplateReader()
  const evaluator = new Evaluator((key) => {
    if (!items.has(key) && !fields.has(key)) throw new ExpressionError(`refers to ${key}, which there is not`)
    return items.get(key) ?? fields.get(key) ?? ''
  })
  return (text) => evaluator.evaluate(templates.read(text))
}

function named<Result>(name: string, work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    if (error instanceof ExpressionError) throw new ExpressionError(`${name} ${error.message}`)
    throw error
  }
}
