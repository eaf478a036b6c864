import { getCountryCallingCode, isSupportedCountry } from 'libphonenumber-js/max'
import * as v from 'valibot'
import { LINE_TYPES } from '../../../provisioning/model/eligibility.ts'
import { idSchema } from '../../../provisioning/model/ids.ts'
import { NUMBER_TYPES } from '../../../provisioning/model/number-filter.ts'
import { ORDER_ACTIONS, type OrderAction } from '../../../provisioning/model/order.ts'
import { countryField, currencyField, numberField, textField, timeField } from '../../zilkr/schemas/fields.ts'

export const ProductIdParams = v.strictObject({
  productId: v.pipe(idSchema('product'), v.description('The product, by an id of your own: prd_…')),
})
export const CityIdParams = v.strictObject({
  cityId: v.pipe(idSchema('city'), v.description('The city, by an id of your own: cty_…')),
})

/** What numbers and what messaging can be ordered by; both can be changed and ended. */
const VERBS: Readonly<Record<'number' | 'messaging', ReadonlySet<OrderAction>>> = {
  number: new Set(ORDER_ACTIONS.filter((action) => action !== 'add')),
  messaging: new Set(['add', 'change', 'delete', 'deleteAll']),
}
const amount = v.pipe(
  v.string(),
  // So that the price of the largest order can be kept, too.
  v.regex(/^\d{1,9}(\.\d{1,6})?$/, 'must be a decimal number in text, below 1,000,000,000, such as "12.50"'),
)
const feature = v.pipe(v.string(), v.regex(/^[a-z][A-Za-z0-9_-]{0,39}$/, 'must be the name of a feature'))
const features = v.pipe(v.array(feature), v.maxLength(20))
const isDistinct = (list: readonly unknown[]): boolean => new Set(list).size === list.length

export const ProductBody = v.pipe(
  v.strictObject({
    name: textField(200),
    kind: v.picklist(['number', 'messaging']),
    numberType: v.pipe(v.optional(v.picklist(NUMBER_TYPES)), v.description('Of a product of numbers, and only of one')),
    provider: v.pipe(textField(50), v.description('The adapter that delivers it: sandbox, zipwhip')),
    orderVerbs: v.pipe(
      v.array(v.picklist(ORDER_ACTIONS)),
      v.check((list) => isDistinct(list), 'must name each once'),
    ),
    features: v.optional(features, []),
    requirements: v.optional(v.pipe(v.array(textField(200)), v.maxLength(20)), []),
    countries: v.pipe(
      v.array(countryField),
      v.maxLength(250),
      v.check((list) => isDistinct(list), 'must name each once'),
    ),
    prices: v.pipe(
      v.array(v.strictObject({ currency: currencyField, oneTime: amount, monthly: amount })),
      v.maxLength(200),
      v.check((prices) => isDistinct(prices.map((price) => price.currency)), 'must name each currency once'),
      v.description('Customers in other currencies cannot order it'),
    ),
    isActive: v.pipe(v.optional(v.boolean(), true), v.description('Whether it can be ordered')),
  }),
  v.forward(
    v.check(
      ({ kind, numberType }) => (kind === 'number') === (numberType !== undefined),
      'is required of a product of numbers, and of no other',
    ),
    ['numberType'],
  ),
  v.forward(
    v.check(
      ({ kind, orderVerbs }) => orderVerbs.every((verb) => VERBS[kind].has(verb)),
      'must be verbs that a product of this kind can have',
    ),
    ['orderVerbs'],
  ),
  v.metadata({ ref: 'ProductBody', title: 'A product, as it is to be' }),
)
export const CityBody = v.pipe(
  v.strictObject({
    countryCode: countryField,
    name: textField(200),
    region: v.optional(textField(100)),
    areaCodes: v.pipe(v.array(v.pipe(v.string(), v.regex(/^\d{1,10}$/, 'must be 1 to 10 digits'))), v.maxLength(100)),
    products: v.pipe(
      v.array(idSchema('product')),
      v.maxLength(500),
      v.description('Ids of the products offered there; without any the city is not shown'),
    ),
  }),
  v.metadata({ ref: 'CityBody', title: 'A city, as it is to be' }),
)

const NUMBERS_MAX = 1_000
export const NumbersBody = v.pipe(
  v.strictObject({
    productId: idSchema('product'),
    countryCode: countryField,
    numbers: v.pipe(
      v.array(
        v.strictObject({
          number: numberField,
          cityId: v.optional(idSchema('city')),
          areaCode: v.optional(v.pipe(v.string(), v.regex(/^\d{1,10}$/, 'must be 1 to 10 digits'))),
          region: v.optional(textField(100)),
          lineType: v.optional(v.picklist(LINE_TYPES)),
          features: v.optional(features),
        }),
      ),
      v.minLength(1, 'must name at least one number'),
      v.maxLength(NUMBERS_MAX, `may name up to ${NUMBERS_MAX} numbers`),
      v.check((list) => isDistinct(list.map(({ number }) => number)), 'must name each number once'),
    ),
  }),
  v.forward(
    v.check(
      ({ countryCode, numbers }) =>
        isSupportedCountry(countryCode) &&
        numbers.every(({ number }) => number.startsWith(`+${getCountryCallingCode(countryCode)}`)),
      "must begin with the country's calling code",
    ),
    ['numbers'],
  ),
  v.metadata({ ref: 'NumbersBody', title: 'Numbers that somebody may have' }),
)
export const AddedNumbersSchema = v.pipe(
  v.object({
    added: v.number(),
    known: v.pipe(v.array(v.string()), v.description('Those that were known already, and were left as they are')),
  }),
  v.metadata({ ref: 'AddedNumbers', title: 'What became of numbers' }),
)

export const LineTypesBody = v.pipe(
  v.strictObject({
    source: v.pipe(textField(200), v.description('Whose knowledge it is')),
    asOf: v.pipe(timeField, v.description('Of what time it is; of two, the later one counts')),
    entries: v.pipe(
      v.array(
        v.strictObject({
          prefix: v.pipe(
            v.string(),
            v.regex(/^\+[1-9]\d{0,14}$/, 'must be + and the digits that numbers begin with, or a whole number'),
          ),
          lineType: v.picklist(LINE_TYPES),
          carrier: v.optional(textField(200)),
        }),
      ),
      v.minLength(1, 'must have at least one entry'),
      v.maxLength(NUMBERS_MAX, `may have up to ${NUMBERS_MAX} entries`),
    ),
  }),
  v.metadata({ ref: 'LineTypesBody', title: 'What kinds of lines numbers are' }),
)
export const ImportedSchema = v.pipe(
  v.object({ written: v.pipe(v.number(), v.description('Without those of which something later was known')) }),
  v.metadata({ ref: 'ImportedLineTypes', title: 'How many entries were written' }),
)
