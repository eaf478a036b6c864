import { systemClock } from '../core/clock.ts'
import { addZilkrFace } from '../faces/zilkr/face.ts'
import { addZipwhipFace } from '../faces/zipwhip/face.ts'
import { ZipwhipLines } from '../faces/zipwhip/lines.ts'
import type { AddFace } from '../http/app.ts'
import { Ordering } from '../provisioning/engine/ordering.ts'
import { Catalogue } from '../provisioning/store/catalogue.ts'
import { Connections } from '../provisioning/store/connections.ts'
import { createContacts } from '../provisioning/store/contacts.ts'
import { Customers } from '../provisioning/store/customers.ts'
import { toProvisioningDatabase } from '../provisioning/store/database.ts'
import { RequestLog } from '../provisioning/store/idempotency.ts'
import { Invoices } from '../provisioning/store/invoices.ts'
import { ProvisioningKeys } from '../provisioning/store/keys.ts'
import { createLocations } from '../provisioning/store/locations.ts'
import { searchAvailable } from '../provisioning/store/numbers-search.ts'
import { Orders } from '../provisioning/store/orders.ts'
import { createPaymentMethods } from '../provisioning/store/payment-methods.ts'
import { Reservations } from '../provisioning/store/reservations.ts'
import { Services } from '../provisioning/store/services.ts'
import type { RecordParts } from './records.ts'

/** The inventory, the orders, and the APIs over them. */
export function buildProvisioning({ records }: { readonly records: Pick<RecordParts, 'records'> }) {
  const database = toProvisioningDatabase(records.records)
  const { cipher } = records.records
  const keys = new ProvisioningKeys(database)
  const accounts = {
    customers: new Customers(database),
    contacts: createContacts(database),
    paymentMethods: createPaymentMethods(database),
    locations: createLocations(database),
    connections: new Connections(database),
    services: new Services(database),
    invoices: new Invoices(database),
    catalogue: new Catalogue(database),
  }
  const sales = {
    orders: new Orders(database),
    ordering: new Ordering({ database }),
    reservations: new Reservations({ database, clock: systemClock }),
    searchNumbers: (search: Parameters<typeof searchAvailable>[1]) =>
      database.query((db) => searchAvailable(db, search)),
  }
  const zilkr = {
    ...accounts,
    ...sales,
    requests: new RequestLog(database),
    encrypt: (token: string) => cipher.encrypt(token, TOKEN_PLACE),
    clock: systemClock,
  }
  const judge = new EligibilityJudge({
    database,
    lineTypes: new LineTypes(database),
    providers: new Map(),
    record: (provider) => (detail) => database.query((db) => recordQuestion(db, provider, detail)),
  })
  const lines = new Lines(database)
  const zipwhip = {
    lines: new ZipwhipLines({
      ordering: sales.ordering,
      lines,
      judge: (number, question) => judge.judge(number, question),
    }),
    customers: accounts.customers,
    credentials: new LineCredentials(database),
    optOuts: new OptOuts(database),
    keys,
    alwaysOk: settings.zipwhipAlwaysOk,
    clock: systemClock,
    log,
  }
  const faces: readonly AddFace[] = [
    (app, define) => addZilkrFace(app, define, zilkr),
    (app, define) => addZipwhipFace(app, define, zipwhip),
  ]
  return { database, keys, ...accounts, ...sales, faces }
}

/** What a token's encryption is bound to. The row's id is not known before it is written. */
const TOKEN_PLACE = { table: 'payment_methods', row: '', field: 'token' }

export type ProvisioningParts = ReturnType<typeof buildProvisioning>
