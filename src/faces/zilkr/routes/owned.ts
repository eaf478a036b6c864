import type { Hono } from 'hono'
import * as v from 'valibot'
import { actorOf } from '../../../core/provisioning-scope.ts'
import type { HttpEnv } from '../../../http/context.ts'
import type { DefineOperation } from '../../../http/operation.ts'
import type { ListFields } from '../../../provisioning/store/listing.ts'
import type { OwnedRecords } from '../../../provisioning/store/owned-records.ts'
import { answerOnce, IDEMPOTENCY_HEADER } from '../../answer-once.ts'
import type { ZilkrDeps } from '../deps.ts'
import { ETAG_HEADER, entityTag, IF_MATCH_HEADER, versionOf } from '../entity-tag.ts'
import { LINK_HEADER, listQuery, replyWithPage, toListRequest } from '../list-query.ts'
import { CustomerParams, pathTo } from '../schemas/parameters.ts'
import { scopeOf } from '../../scope-of.ts'

type Versioned = { readonly version: number }

/** A sub-resource of a customer that is made, read, replaced and removed. */
export type OwnedResource<Row extends Versioned, Model extends Versioned, Input, Body extends object> = {
  /** The last part of the path. */
  readonly segment: 'contacts' | 'paymentMethods' | 'productLocations'
  /** The name of its id in the path. */
  readonly param: string
  /** For operation ids. */
  readonly names: { readonly one: string; readonly many: string }
  readonly tag: string
  readonly sentences: {
    readonly list: string
    readonly create: string
    readonly get: string
    readonly update: string
    readonly remove: string
  }
  readonly records: OwnedRecords<Row, Model, Input>
  readonly fields: ListFields
  readonly schema: v.GenericSchema
  readonly createBody: v.GenericSchema<unknown, Body>
  readonly replaceBody: v.GenericSchema<unknown, Body>
  readonly toInput: (body: Body) => Input
  readonly toResource: (model: Model) => { readonly id: string }
  /** Said of the removal where the document does not have one. */
  readonly removalIsOurs?: true
}

/** The routes of one kind of sub-resource. */
export function addOwnedRoutes<Row extends Versioned, Model extends Versioned, Input, Body extends object>(
  app: Hono<HttpEnv>,
  define: DefineOperation,
  { resource, deps }: { readonly resource: OwnedResource<Row, Model, Input, Body>; readonly deps: ZilkrDeps },
): void {
  const { segment, param, names, tag, sentences, records, schema, createBody, toInput, toResource } = resource
  const { customers, requests, clock } = deps
  const path = `/customers/:customerId/${segment}`
  app.get(
    path,
    define(
      {
        operationId: `list${names.many}`,
        tag,
        summary: sentences.list,
        access: 'provisioning',
        params: CustomerParams,
        query: listQuery(resource.fields),
        responses: { 200: { description: 'One page', schema: v.array(schema), headers: LINK_HEADER } },
        errors: ['customer_not_found'],
      },
      async ({ scope, params, query, c }) => {
        await customers.find(scopeOf(scope), params.customerId)
        return replyWithPage(c, await records.list(params.customerId, toListRequest(query)), toResource)
      },
    ),
  )
  app.post(
    path,
    define(
      {
        operationId: `create${names.one}`,
        tag,
        summary: sentences.create,
        access: 'provisioning',
        params: CustomerParams,
        body: createBody,
        headers: [IDEMPOTENCY_HEADER],
        responses: { 201: { description: 'Created', schema, headers: ETAG_HEADER } },
        errors: ['customer_not_found', 'already_exists', 'idempotency_in_progress', 'idempotency_mismatch'],
      },
      async ({ scope, params, body, c }) => {
        const caller = scopeOf(scope)
        const { customerId } = await customers.find(caller, params.customerId)
        const created = (model: Model) => {
          const json = toResource(model)
          const location = pathTo('customers', customerId, segment, json.id)
          return { status: 201, json, headers: { location, ...entityTag(model) } }
        }
        const route = `create${names.one}:${customerId}`
        return answerOnce(requests, { c, scope: caller, route, body }, async (keep) => {
          const change = { customerId, actor: actorOf(caller), correlationId: c.get('requestId'), now: clock.now() }
          const model = await records.create({ ...change, input: toInput(body) }, (tx, made) => keep(tx, created(made)))
          return created(model)
        })
      },
    ),
  )
  const route = { app, define, deps, path: `${path}/:${param}`, ...pathParams(param) }
  addReading(route, resource)
  addReplacement(route, resource)
  addRemoval(route, resource)
}

/** Where the operations on one of them are. */
type OneRoute = {
  readonly app: Hono<HttpEnv>
  readonly define: DefineOperation
  readonly deps: ZilkrDeps
  readonly path: string
} & ReturnType<typeof pathParams>

function addReading<Row extends Versioned, Model extends Versioned, Input, Body extends object>(
  { app, define, path, params, refOf, deps: { customers } }: OneRoute,
  resource: OwnedResource<Row, Model, Input, Body>,
): void {
  const { names, tag, sentences, records, schema, toResource } = resource
  app.get(
    path,
    define(
      {
        operationId: `get${names.one}`,
        tag,
        summary: sentences.get,
        access: 'provisioning',
        params,
        responses: { 200: { description: 'Found', schema, headers: ETAG_HEADER } },
        errors: ['customer_not_found', 'resource_not_found'],
      },
      async ({ scope, params: given }) => {
        const { customerId, id } = refOf(given)
        await customers.find(scopeOf(scope), customerId)
        const model = await records.find(customerId, id)
        return { status: 200, json: toResource(model), headers: entityTag(model) }
      },
    ),
  )
}

function addReplacement<Row extends Versioned, Model extends Versioned, Input, Body extends object>(
  { app, define, path, params, refOf, deps: { customers } }: OneRoute,
  resource: OwnedResource<Row, Model, Input, Body>,
): void {
  const { names, tag, sentences, records, schema, replaceBody, toInput, toResource } = resource
  app.put(
    path,
    define(
      {
        operationId: `update${names.one}`,
        tag,
        summary: sentences.update,
        description: 'All of it: what is left out is removed.',
        access: 'provisioning',
        params,
        body: replaceBody,
        headers: [IF_MATCH_HEADER],
        responses: { 200: { description: 'Changed', schema, headers: ETAG_HEADER } },
        errors: ['customer_not_found', 'resource_not_found', 'etag_mismatch'],
      },
      async ({ scope, params: given, body, c }) => {
        const caller = scopeOf(scope)
        const ref = refOf(given)
        await customers.find(caller, ref.customerId)
        const change = { ...ref, actor: actorOf(caller), correlationId: c.get('requestId'), version: versionOf(c) }
        const model = await records.replace({ ...change, input: toInput(body) })
        return { status: 200, json: toResource(model), headers: entityTag(model) }
      },
    ),
  )
}

function addRemoval<Row extends Versioned, Model extends Versioned, Input, Body extends object>(
  { app, define, path, params, refOf, deps: { customers } }: OneRoute,
  resource: OwnedResource<Row, Model, Input, Body>,
): void {
  const { names, tag, sentences, records } = resource
  app.delete(
    path,
    define(
      {
        operationId: `delete${names.one}`,
        tag,
        summary: sentences.remove,
        ...(resource.removalIsOurs === true && {
          description: 'Not in the Zilkr document, which has no way to remove one.',
        }),
        access: 'provisioning',
        params,
        headers: [IF_MATCH_HEADER],
        responses: { 204: { description: 'Removed' } },
        errors: ['customer_not_found', 'resource_not_found', 'in_use', 'etag_mismatch'],
      },
      async ({ scope, params: given, c }) => {
        const caller = scopeOf(scope)
        const ref = refOf(given)
        await customers.find(caller, ref.customerId)
        await records.remove({
          ...ref,
          actor: actorOf(caller),
          correlationId: c.get('requestId'),
          version: versionOf(c),
        })
        return { status: 204 }
      },
    ),
  )
}

/** The schema of a path with the customer's id and another one, and both of them. */
function pathParams(param: string) {
  const id = v.pipe(v.string(), v.minLength(1), v.maxLength(80))
  return {
    params: v.strictObject({ ...CustomerParams.entries, [param]: id }),
    refOf: (given: Readonly<Record<string, string>>) => ({
      customerId: given['customerId'] ?? '',
      id: given[param] ?? '',
    }),
  }
}
