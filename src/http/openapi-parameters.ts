import { toJsonSchema } from '@valibot/to-json-schema'
import type { OpenAPIV3, OpenAPIV3_1 } from 'openapi-types'
import type * as v from 'valibot'

/** A request header that an operation looks at, or that a webhook carries. */
export type HeaderParameter = {
  readonly name: string
  readonly description: string
  readonly required?: boolean
  readonly schema: OpenAPIV3.SchemaObject
}

/** OpenAPI parameters from the very schema that validates them; all of them are text. */
export function schemaParameters(
  place: 'path' | 'query',
  schema: { readonly entries: Readonly<Record<string, v.GenericSchema>> } | undefined,
): OpenAPIV3_1.ParameterObject[] {
  return Object.entries(schema?.entries ?? {}).map(([name, entry]) => {
    const { description, minLength, maxLength, pattern, enum: values } = toJsonSchema(entry, { errorMode: 'ignore' })
    const bounds: OpenAPIV3.SchemaObject = {
      type: 'string',
      ...(minLength !== undefined && { minLength }),
      ...(maxLength !== undefined && { maxLength }),
      ...(pattern !== undefined && { pattern }),
      ...(values !== undefined && { enum: [...values] }),
    }
    const required = entry.type !== 'optional'
    return { name, in: place, required, ...(description !== undefined && { description }), schema: bounds }
  })
}

export const headerParameters = (headers: readonly HeaderParameter[]): OpenAPIV3_1.ParameterObject[] =>
  headers.map(({ name, ...header }) => ({ name, in: 'header', ...header }))
