import * as v from 'valibot'
import { CONTACT_ROLES, CUSTOMER_STATUSES, PAYMENT_TYPES } from '../../../provisioning/model/account.ts'
import type { Contact } from '../../../provisioning/store/contacts.ts'
import type { Customer } from '../../../provisioning/store/customers.ts'
import type { ProductLocation } from '../../../provisioning/store/locations.ts'
import type { PaymentMethod } from '../../../provisioning/store/payment-methods.ts'
import {
  countryField,
  currencyField,
  emailField,
  idField,
  languageField,
  metadataField,
  numberField,
  textField,
  timestamp,
  timeZoneField,
  toTimestamp,
} from './fields.ts'

const customerFields = {
  name: textField(200),
  externalId: v.pipe(v.optional(textField(100)), v.description('Yours; unique among your customers')),
  country: countryField,
  currency: v.pipe(currencyField, v.description('In which it is charged')),
  timeZone: v.optional(timeZoneField),
  defaultPaymentMethodId: v.optional(idField),
  metadata: v.optional(metadataField, {}),
}
export const CustomerBody = v.pipe(
  v.strictObject({
    ...customerFields,
    appId: v.pipe(
      v.optional(idField),
      v.description('Only with the admin key: the app whose keys see it and that is told of its orders'),
    ),
  }),
  v.metadata({ ref: 'CustomerBody', title: 'A customer, as it is to be' }),
)
const owned = { customerId: v.string(), createdAt: timestamp, updatedAt: timestamp, version: v.number() }
export const CustomerSchema = v.pipe(
  v.object({
    id: v.string(),
    ...customerFields,
    appId: v.optional(v.string()),
    status: v.picklist(CUSTOMER_STATUSES),
    createdAt: timestamp,
    updatedAt: timestamp,
    version: v.pipe(v.number(), v.description('Also the ETag')),
  }),
  v.metadata({ ref: 'Customer', title: 'An account that searches, orders and pays' }),
)

const contactFields = {
  firstName: textField(100),
  lastName: textField(100),
  email: emailField,
  phone: v.optional(numberField),
  role: v.picklist(CONTACT_ROLES),
  language: v.optional(languageField),
}
export const ContactBody = v.pipe(
  v.strictObject(contactFields),
  v.metadata({ ref: 'ContactBody', title: 'A contact, as it is to be' }),
)
export const ContactSchema = v.pipe(
  v.object({ id: v.string(), ...contactFields, ...owned }),
  v.metadata({ ref: 'Contact', title: 'A person at a customer' }),
)

const paymentFields = {
  type: v.picklist(PAYMENT_TYPES),
  brand: v.optional(textField(50)),
  last4: v.optional(v.pipe(v.string(), v.regex(/^\d{4}$/, 'must be four digits'))),
  expMonth: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(12))),
  expYear: v.optional(v.pipe(v.number(), v.integer(), v.minValue(2000), v.maxValue(2100))),
  isDefault: v.optional(v.boolean(), false),
}
const token = v.pipe(
  v.string(),
  v.regex(/^[\x21-\x7e]{1,500}$/, 'must be a reference of up to 500 visible characters'),
  // What looks like a card number must not be kept.
  v.check((text) => !/^\d{12,19}$/.test(text.replaceAll(/[ -]/g, '')), 'must be a reference, not a card number'),
  v.description('The reference of your payment provider; write-only, never a card number'),
)
export const NewPaymentMethodBody = v.pipe(
  v.strictObject({ ...paymentFields, token: v.optional(token) }),
  v.forward(
    v.check(
      (method) => method.type === 'invoice' || method.token !== undefined,
      'is required unless the type is invoice',
    ),
    ['token'],
  ),
  v.metadata({ ref: 'NewPaymentMethodBody', title: 'A new payment method' }),
)
export const PaymentMethodBody = v.pipe(
  v.strictObject({ ...paymentFields, token: v.optional(token) }),
  v.metadata({ ref: 'PaymentMethodBody', title: 'A payment method, as it is to be; without a token it keeps its own' }),
)
export const PaymentMethodSchema = v.pipe(
  v.object({ id: v.string(), ...paymentFields, status: v.string(), ...owned }),
  v.metadata({ ref: 'PaymentMethod', title: 'How a customer pays' }),
)

const locationFields = {
  name: textField(200),
  line1: textField(200),
  line2: v.optional(textField(200)),
  city: textField(100),
  region: v.optional(textField(100)),
  postalCode: textField(20),
  country: countryField,
  latitude: v.optional(v.pipe(v.number(), v.minValue(-90), v.maxValue(90))),
  longitude: v.optional(v.pipe(v.number(), v.minValue(-180), v.maxValue(180))),
}
export const LocationBody = v.pipe(
  v.strictObject(locationFields),
  v.metadata({ ref: 'ProductLocationBody', title: 'A location, as it is to be' }),
)
export const LocationSchema = v.pipe(
  v.object({
    id: v.string(),
    ...locationFields,
    emergencyAddressStatus: v.picklist(['none', 'pending', 'validated', 'rejected']),
    ...owned,
  }),
  v.metadata({ ref: 'ProductLocation', title: 'A site of a customer' }),
)

type Stamped = { readonly createdAt: number; readonly updatedAt: number }
const stamps = ({ createdAt, updatedAt }: Stamped) => ({
  createdAt: toTimestamp(createdAt),
  updatedAt: toTimestamp(updatedAt),
})

export const toCustomerResource = ({ customerId, ...customer }: Customer) => ({
  id: customerId,
  ...customer,
  ...stamps(customer),
})
export const toContactResource = ({ contactId, ...contact }: Contact) => ({
  id: contactId,
  ...contact,
  ...stamps(contact),
})
export const toPaymentMethodResource = ({ paymentMethodId, ...method }: PaymentMethod) => ({
  id: paymentMethodId,
  ...method,
  ...stamps(method),
})
export const toLocationResource = ({ locationId, ...location }: ProductLocation) => ({
  id: locationId,
  ...location,
  ...stamps(location),
})
