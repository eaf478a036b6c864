import type { OpenAPIV3_1 } from 'openapi-types'

type Schema = OpenAPIV3_1.SchemaObject | OpenAPIV3_1.ReferenceObject

/** Fields of an answer that its schema in the OpenAPI document does not have, as dotted paths. */
export function undocumentedFields(document: OpenAPIV3_1.Document, schema: Schema, value: unknown): readonly string[] {
  const known = resolve(document, schema)
  if (Array.isArray(value)) {
    const items = 'items' in known ? known.items : undefined
    return items === undefined
      ? ['[]']
      : value.flatMap((item, index) => undocumentedFields(document, items, item).map((field) => `${index}.${field}`))
  }
  if (typeof value !== 'object' || value === null || known.properties === undefined) return []
  return Object.entries(value).flatMap(([name, field]) => {
    const property = known.properties?.[name]
    if (property === undefined) return [name]
    return undocumentedFields(document, property, field).map((inner) => `${name}.${inner}`)
  })
}

/** The schema itself, where there is a reference to a component. */
export function resolve(document: OpenAPIV3_1.Document, schema: Schema): OpenAPIV3_1.SchemaObject {
  if (!('$ref' in schema)) return schema
  const name = schema.$ref.split('/').at(-1) ?? ''
  const found = document.components?.schemas?.[name]
  if (found === undefined) throw new Error(`the document has no ${schema.$ref}`)
  return resolve(document, found)
}
