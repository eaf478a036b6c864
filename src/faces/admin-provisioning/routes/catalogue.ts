import type { Hono } from 'hono'
import { invalidRequest } from '../../../core/parse-input.ts'
import type { HttpEnv } from '../../../http/context.ts'
import type { DefineOperation } from '../../../http/operation.ts'
import { defined } from '../../defined.ts'
import type { AdminProvisioningDeps } from '../deps.ts'
import {
  AddedNumbersSchema,
  CityBody,
  CityIdParams,
  ImportedSchema,
  LineTypesBody,
  NumbersBody,
  ProductBody,
  ProductIdParams,
} from '../schemas/catalogue.ts'
import { ADMIN_TAG } from '../tag.ts'

/** A thousand numbers with all that can be said of them. */
const BODY_BYTES_MAX = 512 * 1024

/** What is offered: products, cities, numbers, and what is known of others' numbers. */
export function addCatalogueRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: AdminProvisioningDeps): void {
  const { catalogueImport, providers } = deps
  app.put(
    '/admin/provisioning/products/:productId',
    define(
      {
        operationId: 'putProduct',
        tag: ADMIN_TAG,
        summary: 'Add or replace a product of the catalogue',
        description: 'New prices are those of later orders. One that is not active is no longer shown; services go on.',
        access: 'admin',
        params: ProductIdParams,
        body: ProductBody,
        responses: { 204: { description: 'It is as it was sent' } },
        errors: ['in_use'],
      },
      async ({ params, body: { orderVerbs, ...body } }) => {
        if (!providers.has(body.provider)) {
          const message = `must be an adapter of this gateway: ${[...providers].join(', ')}`
          throw invalidRequest([{ field: 'provider', message }])
        }
        await catalogueImport.putProduct({ ...params, ...body, actions: orderVerbs })
        return { status: 204 }
      },
    ),
  )
  app.put(
    '/admin/provisioning/cities/:cityId',
    define(
      {
        operationId: 'putCity',
        tag: ADMIN_TAG,
        summary: 'Add or replace a city of the catalogue',
        access: 'admin',
        params: CityIdParams,
        body: CityBody,
        responses: { 204: { description: 'It is as it was sent' } },
        errors: ['product_not_found'],
      },
      async ({ params, body: { products, ...body } }) => {
        await catalogueImport.putCity({ ...params, ...body, productIds: products })
        return { status: 204 }
      },
    ),
  )
  addNumberRoutes(app, define, deps)
}

function addNumberRoutes(
  app: Hono<HttpEnv>,
  define: DefineOperation,
  { catalogueImport, lineTypes }: AdminProvisioningDeps,
): void {
  app.post(
    '/admin/provisioning/numbers',
    define(
      {
        operationId: 'addNumbers',
        tag: ADMIN_TAG,
        summary: 'Make up to 1,000 numbers available',
        access: 'admin',
        body: NumbersBody,
        bodyBytesMax: BODY_BYTES_MAX,
        responses: { 200: { description: 'They are there', schema: AddedNumbersSchema } },
        errors: ['product_not_found', 'resource_not_found'],
      },
      async ({ body }) => {
        const known = await catalogueImport.addNumbers(body)
        return { status: 200, json: { added: body.numbers.length - known.length, known } }
      },
    ),
  )
  app.post(
    '/admin/provisioning/line-types',
    define(
      {
        operationId: 'importLineTypes',
        tag: ADMIN_TAG,
        summary: 'Tell what kinds of lines numbers are',
        description:
          'For what the numbering plan does not say, such as which North American numbers are mobile. The longest prefix of a number decides.',
        access: 'admin',
        body: LineTypesBody,
        bodyBytesMax: BODY_BYTES_MAX,
        responses: { 200: { description: 'They are known', schema: ImportedSchema } },
      },
      async ({ body: { source, asOf, entries } }) => {
        const known = entries.map((entry) => ({ ...defined(entry), source, asOf: Date.parse(asOf) }))
        return { status: 200, json: { written: await lineTypes.import(known) } }
      },
    ),
  )
}
