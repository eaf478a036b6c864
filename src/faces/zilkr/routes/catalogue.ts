import type { Hono } from 'hono'
import { getCountryCallingCode, isSupportedCountry } from 'libphonenumber-js/max'
import * as v from 'valibot'
import type { HttpEnv } from '../../../http/context.ts'
import type { DefineOperation } from '../../../http/operation.ts'
import { CITY_FIELDS, PRODUCT_FIELDS, type CountryOffer } from '../../../provisioning/store/catalogue.ts'
import type { ZilkrDeps } from '../deps.ts'
import { LINK_HEADER, listQuery, replyWithPage, toListRequest } from '../list-query.ts'
import {
  CitySchema,
  CountrySchema,
  ProductSchema,
  toCityResource,
  toCountryResource,
  toProductResource,
} from '../schemas/catalogue.ts'
import { CityParams, CountryParams, ProductParams } from '../schemas/parameters.ts'
import { TAGS } from '../tags.ts'

const ProductQuery = v.strictObject({
  ...listQuery(PRODUCT_FIELDS).entries,
  country: v.optional(v.pipe(v.string(), v.maxLength(10), v.description('Offered in this country'))),
})

/** What is offered: GET /products, /countries and their cities. */
export function addCatalogueRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: ZilkrDeps): void {
  const { catalogue } = deps
  app.get(
    '/products',
    define(
      {
        operationId: 'listProducts',
        tag: TAGS.catalogue,
        summary: 'Get the products catalog',
        access: 'provisioning',
        query: ProductQuery,
        responses: { 200: { description: 'One page', schema: v.array(ProductSchema), headers: LINK_HEADER } },
      },
      async ({ query: { country, ...query }, c }) => {
        const page = await catalogue.products({ ...toListRequest(query), countryCode: country })
        return replyWithPage(c, page, toProductResource)
      },
    ),
  )
  app.get(
    '/products/:productId',
    define(
      {
        operationId: 'getProduct',
        tag: TAGS.catalogue,
        summary: 'Get details on a specific product in the catalog',
        access: 'provisioning',
        params: ProductParams,
        responses: { 200: { description: 'The product', schema: ProductSchema } },
        errors: ['product_not_found'],
      },
      async ({ params }) => ({ status: 200, json: toProductResource(await catalogue.product(params.productId)) }),
    ),
  )
  addCountryRoutes(app, define, deps)
}

function addCountryRoutes(app: Hono<HttpEnv>, define: DefineOperation, { catalogue }: ZilkrDeps): void {
  app.get(
    '/countries',
    define(
      {
        operationId: 'listCountries',
        tag: TAGS.catalogue,
        summary: 'Get a list of countries where products are offered',
        description: 'All of them at once, by code.',
        access: 'provisioning',
        query: v.strictObject({}),
        responses: { 200: { description: 'The countries', schema: v.array(CountrySchema) } },
      },
      async () => ({ status: 200, json: (await catalogue.countries()).map(describeCountry) }),
    ),
  )
  app.get(
    '/countries/:countryCode',
    define(
      {
        operationId: 'getCountry',
        tag: TAGS.catalogue,
        summary: 'Gets one specific country where products are offered',
        access: 'provisioning',
        params: CountryParams,
        responses: { 200: { description: 'The country', schema: CountrySchema } },
        errors: ['resource_not_found'],
      },
      async ({ params }) => ({ status: 200, json: describeCountry(await catalogue.country(params.countryCode)) }),
    ),
  )
  app.get(
    '/countries/:countryCode/cities',
    define(
      {
        operationId: 'listCities',
        tag: TAGS.catalogue,
        summary: 'Get a list of cities for a country where one or more products are offered',
        access: 'provisioning',
        params: CountryParams,
        query: listQuery(CITY_FIELDS),
        responses: { 200: { description: 'One page', schema: v.array(CitySchema), headers: LINK_HEADER } },
        errors: ['resource_not_found'],
      },
      async ({ params, query, c }) =>
        replyWithPage(c, await catalogue.cities(params.countryCode, toListRequest(query)), toCityResource),
    ),
  )
  app.get(
    '/countries/:countryCode/cities/:cityId',
    define(
      {
        operationId: 'getCity',
        tag: TAGS.catalogue,
        summary: 'Gets one specific city where products are offered',
        access: 'provisioning',
        params: CityParams,
        responses: { 200: { description: 'The city', schema: CitySchema } },
        errors: ['resource_not_found'],
      },
      async ({ params }) => ({
        status: 200,
        json: toCityResource(await catalogue.city(params.countryCode, params.cityId)),
      }),
    ),
  )
}

const describeCountry = (offer: CountryOffer) =>
  toCountryResource(offer, isSupportedCountry(offer.countryCode) ? getCountryCallingCode(offer.countryCode) : '')
