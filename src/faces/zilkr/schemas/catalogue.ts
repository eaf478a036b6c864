import * as v from 'valibot'
import { MoneySchema } from '../../../provisioning/model/money.ts'
import { ORDER_ACTIONS } from '../../../provisioning/model/order.ts'
import type { City, CountryOffer, Product } from '../../../provisioning/store/catalogue.ts'

export const ProductSchema = v.pipe(
  v.object({
    id: v.string(),
    name: v.string(),
    kind: v.picklist(['number', 'messaging']),
    numberType: v.optional(v.string()),
    countries: v.array(v.string()),
    prices: v.array(v.object({ currency: v.string(), oneTime: MoneySchema, monthly: MoneySchema })),
    orderVerbs: v.pipe(v.array(v.picklist(ORDER_ACTIONS)), v.description('Which orders there are of it')),
    features: v.array(v.string()),
    requirements: v.array(v.string()),
  }),
  v.metadata({ ref: 'CatalogProduct', title: 'What can be ordered' }),
)
export const CountrySchema = v.pipe(
  v.object({
    countryCode: v.string(),
    name: v.string(),
    callingCode: v.string(),
    products: v.pipe(v.array(v.string()), v.description('Ids of the products offered there')),
  }),
  v.metadata({ ref: 'Country', title: 'A country in which something is offered' }),
)
export const CitySchema = v.pipe(
  v.object({
    cityId: v.string(),
    countryCode: v.string(),
    name: v.string(),
    region: v.optional(v.string()),
    areaCodes: v.array(v.string()),
    products: v.array(v.string()),
  }),
  v.metadata({ ref: 'City', title: 'A city in which something is offered' }),
)

export const toProductResource = ({ productId, actions, ...product }: Product) => ({
  id: productId,
  ...product,
  orderVerbs: actions,
})
export const toCountryResource = ({ countryCode, productIds }: CountryOffer, callingCode: string) => ({
  countryCode,
  name: new Intl.DisplayNames(['en'], { type: 'region' }).of(countryCode) ?? countryCode,
  callingCode,
  products: productIds,
})
export const toCityResource = ({ productIds, ...city }: City) => ({ ...city, products: productIds })
