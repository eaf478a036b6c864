import { deepStrictEqual, strictEqual } from 'node:assert'
import type { OpenAPIV3_1 } from 'openapi-types'
import { textField, type ApiResponse } from '../support/checked-request.ts'
import { undocumentedFields } from '../support/documented-body.ts'
import { LOCAL, type ZilkrRig } from '../support/zilkr-rig.ts'
import { ZILKR_OPERATIONS, type ZilkrOperation } from './zilkr-operations.ts'

/** Calls operations by their ids, holds each answer against the list and the document, and remembers which it had. */
export class Walk {
  readonly done = new Set<string>()
  readonly ids: Record<string, string> = { productId: LOCAL, countryCode: 'US', cityId: 'cty_us-new-york' }
  readonly rig: ZilkrRig
  readonly key: string
  readonly #document: OpenAPIV3_1.Document

  constructor(rig: ZilkrRig, document: OpenAPIV3_1.Document, key: string) {
    this.rig = rig
    this.key = key
    this.#document = document
  }

  async call(operationId: string, { body, query = '' }: { body?: unknown; query?: string } = {}): Promise<ApiResponse> {
    const known = operation(operationId)
    const path = known.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => this.ids[name] ?? `no-${name}`)
    const answer = await this.rig.as(this.key)(known.method, `${path}${query}`, body)
    const told = `${operationId}: ${JSON.stringify(answer.body)}`
    strictEqual(answer.status, known.status, told)
    const schema = schemaOf(this.#document, known)
    if (schema === undefined) strictEqual(answer.body, undefined, told)
    else deepStrictEqual(undocumentedFields(this.#document, schema, answer.body), [], told)
    if (known.status === 201) {
      const made = await this.rig.as(this.key)('GET', answer.headers.get('location') ?? '')
      strictEqual(textField(made, 'id'), textField(answer, 'id'))
    }
    this.done.add(operationId)
    return answer
  }

  /** Places an order and waits for its end. */
  async order(operationId: string, body: unknown): Promise<ApiResponse> {
    const placed = await this.call(operationId, { body })
    strictEqual(textField(placed, 'state'), 'acknowledged')
    const settled = await this.rig.settled(this.key, this.ids['customerId'] ?? '', textField(placed, 'id'))
    strictEqual(textField(settled, 'state'), 'completed', JSON.stringify(settled.body))
    return settled
  }
}

const operation = (operationId: string): ZilkrOperation => {
  const found = ZILKR_OPERATIONS.find((known) => known.operationId === operationId)
  if (found === undefined) throw new Error(`no operation ${operationId}`)
  return found
}

/** As the OpenAPI document names a method. */
export const lower = (method: string) => {
  if (method === 'POST') return 'post'
  if (method === 'PUT') return 'put'
  if (method === 'PATCH') return 'patch'
  return method === 'DELETE' ? 'delete' : 'get'
}

/** The schema of an operation's answer in the OpenAPI document. */
export function schemaOf(document: OpenAPIV3_1.Document, known: ZilkrOperation) {
  const response = document.paths?.[known.path]?.[lower(known.method)]?.responses?.[known.status]
  return response !== undefined && 'content' in response ? response.content?.['application/json']?.schema : undefined
}

/** The component that a schema refers to; `[]` behind it for a list. */
export function refOf(schema: ReturnType<typeof schemaOf>): string | undefined {
  if (schema === undefined) return undefined
  if ('$ref' in schema) return schema.$ref.split('/').at(-1)
  return 'items' in schema ? `${refOf(schema.items)}[]` : 'inline'
}
