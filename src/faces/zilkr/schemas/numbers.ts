import * as v from 'valibot'
import { MoneySchema } from '../../../provisioning/model/money.ts'
import { NUMBER_TYPES } from '../../../provisioning/model/number-filter.ts'
import { RESERVATION_STATES, type Reservation } from '../../../provisioning/model/reservation.ts'
import type { ProductPrices } from '../../../provisioning/store/catalogue.ts'
import type { AvailableNumber } from '../../../provisioning/store/numbers-search.ts'
import { countryField, currencyField, idField, numberField, timestamp, toTimestamp } from './fields.ts'
import { NumberFilterSchema } from './orders.ts'

const digits = v.pipe(v.string(), v.regex(/^\d{1,15}$/, 'must be 1 to 15 digits'))
const wholeNumber = (max: number) =>
  v.pipe(
    v.string(),
    v.regex(/^[1-9]\d{0,3}$/, `must be a number from 1 to ${max}`),
    v.check((text) => Number(text) <= max, `must be a number from 1 to ${max}`),
  )
const flag = v.picklist(['true', 'false'], 'must be true or false')

export const NumberQuery = v.strictObject({
  country: v.pipe(countryField, v.description('ISO 3166-1 alpha-2')),
  productId: v.optional(idField),
  type: v.optional(v.picklist(NUMBER_TYPES, `must be one of ${NUMBER_TYPES.join(', ')}`)),
  cityId: v.optional(idField),
  areaCode: v.optional(digits),
  contains: v.pipe(v.optional(digits), v.description('Digits of the national number')),
  startsWith: v.optional(digits),
  endsWith: v.optional(digits),
  features: v.pipe(
    v.optional(v.pipe(v.string(), v.regex(/^[\w-]+(,[\w-]+){0,19}$/, 'must be names, comma separated'))),
    v.description('All of these, comma separated'),
  ),
  consecutive: v.pipe(v.optional(wholeNumber(1_000)), v.description('Only runs of so many')),
  nearNumber: v.pipe(v.optional(numberField), v.description('The closest ones first')),
  excludeReserved: v.pipe(v.optional(flag), v.description('Whether to leave out what is held now; true if absent')),
  currency: v.pipe(v.optional(currencyField), v.description('For the prices, of which there are none without it')),
  quantity: v.pipe(v.optional(wholeNumber(500)), v.description('The same as limit')),
  limit: v.optional(wholeNumber(500)),
  cursor: v.pipe(v.optional(numberField), v.description('From the Link header of the page before')),
})

export const AvailableNumberSchema = v.pipe(
  v.object({
    number: v.string(),
    productId: v.string(),
    countryCode: v.string(),
    type: v.string(),
    cityId: v.optional(v.string()),
    region: v.optional(v.string()),
    areaCode: v.optional(v.string()),
    features: v.array(v.string()),
    oneTime: v.optional(MoneySchema),
    monthly: v.optional(MoneySchema),
    reservable: v.pipe(v.boolean(), v.description('False while somebody holds it')),
  }),
  v.metadata({ ref: 'AvailableNumber', title: 'A number that can be had' }),
)

export const toAvailableNumber = (found: AvailableNumber, prices: ProductPrices) => ({
  number: found.e164,
  productId: found.productId,
  countryCode: found.country,
  type: found.type,
  ...(found.cityId !== undefined && { cityId: found.cityId }),
  ...(found.region !== undefined && { region: found.region }),
  ...(found.areaCode !== undefined && { areaCode: found.areaCode }),
  features: found.features,
  ...prices.get(found.productId),
  reservable: found.isReservable,
})

const ttlSeconds = v.pipe(
  v.optional(v.pipe(v.number(), v.integer('must be a whole number'), v.minValue(60), v.maxValue(7_200))),
  v.description('60 to 7,200; 900 if absent'),
)
export const ReservationBody = v.pipe(
  v.strictObject({
    numbers: v.optional(
      v.pipe(
        v.array(numberField),
        v.minLength(1, 'must name at least one number'),
        v.maxLength(500, 'may name up to 500 numbers'),
        v.check((list) => new Set(list).size === list.length, 'must name each number once'),
      ),
    ),
    productId: v.optional(idField),
    quantity: v.optional(v.pipe(v.number(), v.integer('must be a whole number'), v.minValue(1), v.maxValue(500))),
    filter: v.optional(NumberFilterSchema),
    ttlSeconds,
    reservationId: v.pipe(v.optional(idField), v.description('Extends this one instead of making another')),
  }),
  v.forward(
    v.check(
      ({ numbers, quantity, reservationId }) =>
        [numbers, quantity, reservationId].filter((given) => given !== undefined).length === 1,
      'exactly one of numbers, quantity and reservationId is required',
    ),
    ['numbers'],
  ),
  v.forward(
    v.check(({ quantity, productId }) => (quantity === undefined) === (productId === undefined), 'goes with quantity'),
    ['productId'],
  ),
  v.forward(
    v.check(({ quantity, filter }) => quantity !== undefined || filter === undefined, 'goes with quantity'),
    ['filter'],
  ),
  v.metadata({ ref: 'ReservationBody', title: 'What is to be held' }),
)
export const ReservationSchema = v.pipe(
  v.object({
    id: v.string(),
    customerId: v.string(),
    state: v.picklist(RESERVATION_STATES),
    items: v.array(
      v.object({
        number: v.string(),
        state: v.picklist(['held', 'consumed', 'expired', 'released']),
        expiresAt: timestamp,
      }),
    ),
    ttlSeconds: v.number(),
    expiresAt: timestamp,
    maxExpiresAt: v.pipe(timestamp, v.description('No extension goes beyond this')),
    extendedCount: v.number(),
    createdAt: timestamp,
    updatedAt: timestamp,
  }),
  v.metadata({ ref: 'Reservation', title: 'A hold on numbers, which ends by itself' }),
)

export const toReservationResource = ({ reservationId, items, ...reservation }: Reservation) => ({
  id: reservationId,
  ...reservation,
  items: items.map((item) => ({ ...item, expiresAt: toTimestamp(item.expiresAt) })),
  expiresAt: toTimestamp(reservation.expiresAt),
  maxExpiresAt: toTimestamp(reservation.maxExpiresAt),
  createdAt: toTimestamp(reservation.createdAt),
  updatedAt: toTimestamp(reservation.updatedAt),
})
