import type { OpenAPIV3_1 } from 'openapi-types'
import { resolve } from './documented-body.ts'

type Schema = OpenAPIV3_1.SchemaObject
type Value = { readonly field: string; readonly what: string; readonly value: unknown }
export type BadBody = { readonly field: string; readonly what: string; readonly body: unknown }

/**
 * Bodies each of which differs from a valid one in one thing that its schema in the OpenAPI document forbids: a field
 * of another type, out of its bounds, missing, unknown. `field` is what must be named as wrong.
 */
export function badBodies(document: OpenAPIV3_1.Document, schema: Schema, valid: object): readonly BadBody[] {
  return badObjects({ document, schema, valid, field: '' }).map(({ value, ...rest }) => ({ ...rest, body: value }))
}

type Place = {
  readonly document: OpenAPIV3_1.Document
  readonly schema: OpenAPIV3_1.SchemaObject | OpenAPIV3_1.ReferenceObject
  readonly valid: unknown
  readonly field: string
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const within = (field: string, name: string | number): string => (field === '' ? String(name) : `${field}.${name}`)

function badObjects({ document, schema, valid, field }: Place): readonly Value[] {
  const known = resolve(document, schema)
  const object = isObject(valid) ? valid : {}
  const properties = Object.entries(known.properties ?? {})
  const missing = (known.required ?? []).map((name) => {
    const { [name]: _, ...value } = object
    return { field: within(field, name), what: 'missing', value }
  })
  const inner = properties.flatMap(([name, property]) =>
    badValues({ document, schema: property, valid: object[name], field: within(field, name) }).map((bad) => ({
      ...bad,
      value: { ...object, [name]: bad.value },
    })),
  )
  const unknown = { field: within(field, 'surprise'), what: 'unknown', value: { ...object, surprise: 1 } }
  return [...missing, ...inner, ...(properties.length === 0 ? [] : [unknown])]
}

function badValues({ document, schema, valid, field }: Place): readonly Value[] {
  const known = resolve(document, schema)
  const bad = (what: string, value: unknown): Value => ({ field, what, value })
  const wrongTypes = [null, 'text', 7.5, true, [], {}].filter((value) => !isOfType(known, value))
  const wrong = wrongTypes.map((value) => bad(`of another type: ${JSON.stringify(value)}`, value))
  if (known.type === 'string') return [...wrong, ...badTexts(known).map((value) => bad('not such a text', value))]
  if (known.type === 'number' || known.type === 'integer') {
    return [...wrong, ...badNumbers(known).map((value) => bad('out of bounds', value))]
  }
  if (known.type === 'array') {
    const item = Array.isArray(valid) ? valid[0] : undefined
    const items = 'items' in known ? known.items : {}
    const { minItems = 0, maxItems } = known
    return [
      ...wrong,
      ...(minItems > 0 ? [bad('empty', [])] : []),
      ...(maxItems !== undefined && item !== undefined
        ? [
            bad(
              'too many',
              Array.from({ length: maxItems + 1 }, () => item),
            ),
          ]
        : []),
      ...badValues({ document, schema: items, valid: item, field: within(field, 0) }).map((inner) => ({
        ...inner,
        value: [inner.value],
      })),
    ]
  }
  if (known.type === 'object' && isObject(valid)) {
    return [...wrong, ...badObjects({ document, schema: known, valid, field })]
  }
  return wrong
}

function isOfType({ type, enum: values, const: only }: Schema & { const?: unknown }, value: unknown): boolean {
  if (values !== undefined || only !== undefined) return false
  if (type === undefined) return true
  if (type === 'array') return Array.isArray(value)
  if (type === 'object') return isObject(value)
  return typeof value === (type === 'integer' ? 'number' : type)
}

/** Texts that the schema does not allow; what it says only in words is for tests of its own. */
function badTexts({ pattern, minLength = 0, maxLength, enum: values }: Schema): readonly string[] {
  const candidates = ['', ' ', '§', 'x'.repeat((maxLength ?? 0) + 1)]
  return candidates.filter(
    (text) =>
      (values !== undefined && !values.includes(text)) ||
      (pattern !== undefined && !new RegExp(pattern).test(text)) ||
      text.length < minLength ||
      (maxLength !== undefined && text.length > maxLength),
  )
}

const badNumbers = ({ minimum, maximum, type }: Schema): readonly number[] => [
  ...(minimum === undefined ? [] : [minimum - 1]),
  ...(maximum === undefined ? [] : [maximum + 1]),
  ...(type === 'integer' ? [1.5] : []),
]
