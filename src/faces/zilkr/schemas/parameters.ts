import * as v from 'valibot'

/** An id of the wrong kind is simply not found. */
const id = (what: string) => v.pipe(v.string(), v.minLength(1), v.maxLength(80), v.description(what))

const customerId = id('The customer')
export const CustomerParams = v.strictObject({ customerId })
export const InvoiceParams = v.strictObject({ customerId, invoiceId: id('The invoice') })
export const ProductParams = v.strictObject({ productId: id('The product (prd_…)') })
export const OrderProductParams = v.strictObject({ customerId, productId: id('The product that is ordered (prd_…)') })
export const OrderParams = v.strictObject({ customerId, orderId: id('The order') })
export const ReservationParams = v.strictObject({ customerId, reservationId: id('The reservation') })
const countryCode = id('ISO 3166-1 alpha-2')
export const CountryParams = v.strictObject({ countryCode })
export const CityParams = v.strictObject({ countryCode, cityId: id('The city') })

/** The path of what is named by these segments. */
export const pathTo = (...segments: readonly string[]): string => `/${segments.map(encodeURIComponent).join('/')}`
