import type { Hono } from 'hono'
import type { HttpEnv } from '../../../http/context.ts'
import type { DefineOperation } from '../../../http/operation.ts'
import { CONTACT_FIELDS } from '../../../provisioning/store/contacts.ts'
import { LOCATION_FIELDS } from '../../../provisioning/store/locations.ts'
import { PAYMENT_METHOD_FIELDS } from '../../../provisioning/store/payment-methods.ts'
import type { ZilkrDeps } from '../deps.ts'
import {
  ContactBody,
  ContactSchema,
  LocationBody,
  LocationSchema,
  NewPaymentMethodBody,
  PaymentMethodBody,
  PaymentMethodSchema,
  toContactResource,
  toLocationResource,
  toPaymentMethodResource,
} from '../schemas/accounts.ts'
import { TAGS } from '../tags.ts'
import { addOwnedRoutes } from './owned.ts'

/** Contacts, payment methods and locations of a customer. */
export function addAccountRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: ZilkrDeps): void {
  addContactRoutes(app, define, deps)
  addPaymentMethodRoutes(app, define, deps)
  addLocationRoutes(app, define, deps)
}

function addContactRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: ZilkrDeps): void {
  addOwnedRoutes(app, define, {
    deps,
    resource: {
      segment: 'contacts',
      param: 'contactId',
      names: { one: 'Contact', many: 'Contacts' },
      tag: TAGS.contacts,
      sentences: {
        list: 'Get all contacts of a customer',
        create: 'Create a new contact for a customer',
        get: 'Get a specific contact',
        update: 'Update a specific contact',
        remove: 'Remove a specific contact',
      },
      records: deps.contacts,
      fields: CONTACT_FIELDS,
      schema: ContactSchema,
      createBody: ContactBody,
      replaceBody: ContactBody,
      toInput: (body) => body,
      toResource: toContactResource,
    },
  })
}

function addPaymentMethodRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: ZilkrDeps): void {
  addOwnedRoutes(app, define, {
    deps,
    resource: {
      segment: 'paymentMethods',
      param: 'paymentMethodId',
      names: { one: 'PaymentMethod', many: 'PaymentMethods' },
      tag: TAGS.paymentMethods,
      sentences: {
        list: 'Get all payment methods of a customer',
        create: 'Create a new payment method for a customer',
        get: 'Get a specific payment method',
        update: 'Update a specific payment method',
        remove: 'Remove a specific payment method',
      },
      records: deps.paymentMethods,
      fields: PAYMENT_METHOD_FIELDS,
      schema: PaymentMethodSchema,
      createBody: NewPaymentMethodBody,
      replaceBody: PaymentMethodBody,
      toInput: (body) => ({
        ...body,
        ...(body.token !== undefined && { token: deps.encrypt(body.token) }),
      }),
      toResource: toPaymentMethodResource,
      removalIsOurs: true,
    },
  })
}

function addLocationRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: ZilkrDeps): void {
  addOwnedRoutes(app, define, {
    deps,
    resource: {
      segment: 'productLocations',
      param: 'locationId',
      names: { one: 'ProductLocation', many: 'ProductLocations' },
      tag: TAGS.locations,
      sentences: {
        list: 'Get all product locations of a customer',
        create: 'Create a new product location for a customer',
        get: 'Get a specific product location',
        update: 'Update a specific product location',
        remove: 'Remove a specific product location',
      },
      records: deps.locations,
      fields: LOCATION_FIELDS,
      schema: LocationSchema,
      createBody: LocationBody,
      replaceBody: LocationBody,
      toInput: (body) => body,
      toResource: toLocationResource,
    },
  })
}
