import { systemClock } from '../core/clock.ts'
import type { AppRepository } from '../core/app.ts'
import type { Logger } from '../core/logger.ts'
import { addAdminProvisioning } from '../faces/admin-provisioning/face.ts'
import { isIdiPath, toCanonicalIdiPath } from '../faces/idi/canonical-path.ts'
import { answerIdiError } from '../faces/idi/errors.ts'
import { addIdiFace } from '../faces/idi/face.ts'
import { addZilkrFace } from '../faces/zilkr/face.ts'
import { answerZipwhipError } from '../faces/zipwhip/call.ts'
import { isZipwhipPath } from '../faces/zipwhip/call-adder.ts'
import { addZipwhipFace } from '../faces/zipwhip/face.ts'
import { ZipwhipLines } from '../faces/zipwhip/lines.ts'
import type { Face } from '../http/app.ts'
import type { SandboxProvider } from '../provisioning/adapters/sandbox/provider.ts'
import type { EligibilityJudge } from '../provisioning/eligibility/judge.ts'
import type { Ordering } from '../provisioning/engine/ordering.ts'
import { Environments } from '../provisioning/requests/store/environments.ts'
import type { InstalledAdapter } from '../provisioning/requests/store/provider-registry.ts'
import { AuditTrail } from '../provisioning/store/audit-trail.ts'
import { CatalogueImport } from '../provisioning/store/catalogue-import.ts'
import { Catalogue } from '../provisioning/store/catalogue.ts'
import { Connections } from '../provisioning/store/connections.ts'
import { createContacts } from '../provisioning/store/contacts.ts'
import { Customers } from '../provisioning/store/customers.ts'
import type { ProvisioningDatabase } from '../provisioning/store/database.ts'
import { HeldOrders } from '../provisioning/store/held-orders.ts'
import { RequestLog } from '../provisioning/store/idempotency.ts'
import { Invoices } from '../provisioning/store/invoices.ts'
import type { ProvisioningKeys } from '../provisioning/store/keys.ts'
import type { LineTypes } from '../provisioning/store/line-types.ts'
import { LineCredentials } from '../provisioning/store/line-credentials.ts'
import { Lines } from '../provisioning/store/lines.ts'
import { createLocations } from '../provisioning/store/locations.ts'
import { searchAvailable, type NumberSearch } from '../provisioning/store/numbers-search.ts'
import { OptOuts } from '../provisioning/store/opt-outs.ts'
import { Orders } from '../provisioning/store/orders.ts'
import { createPaymentMethods } from '../provisioning/store/payment-methods.ts'
import { Reservations } from '../provisioning/store/reservations.ts'
import { Services } from '../provisioning/store/services.ts'
import type { Cipher } from '../records/cipher.ts'
import { buildIdi } from './idi.ts'

/** What a payment token's encryption is bound to; its row has no id yet when it is encrypted. */
const TOKEN_PLACE = { table: 'payment_methods', row: '', field: 'token' }

type FaceParts = {
  readonly database: ProvisioningDatabase
  readonly ordering: Ordering
  readonly keys: ProvisioningKeys
  readonly judge: EligibilityJudge
  readonly lineTypes: LineTypes
  readonly apps: Pick<AppRepository, 'find'>
  readonly sandbox: SandboxProvider
  /** The ids of the adapters that there are. */
  readonly providers: ReadonlySet<string>
  /** The adapters themselves. */
  readonly adapters: readonly InstalledAdapter[]
  readonly cipher: Cipher
  /** Provisioning requests may have become due. */
  readonly onRequestsDue: () => void
  readonly zipwhipAlwaysOk: boolean
  readonly log: Logger
}

/** The provisioning APIs. */
export function buildFaces(parts: FaceParts): readonly Face[] {
  const shared = buildShared(parts)
  const zilkr = buildZilkr(parts, shared)
  const zipwhip = buildZipwhip(parts, shared)
  const idi = buildIdi({ ...parts, environments: shared.environments })
  const admin = { ...buildAdmin(parts, shared), linkTypes: idi.linkTypes }
  return [
    { addRoutes: (app, define) => addZilkrFace(app, define, zilkr) },
    {
      addRoutes: (app, define) => addZipwhipFace(app, define, zipwhip),
      answerMissing: (error, c) => (isZipwhipPath(c.req.path) ? answerZipwhipError(error, c, zipwhip) : undefined),
    },
    {
      addRoutes: (app, define) => addIdiFace(app, define, idi),
      toCanonicalPath: toCanonicalIdiPath,
      answerMissing: (error, c) => (isIdiPath(c.req.path) ? answerIdiError(error, c, idi.log) : undefined),
    },
    { addRoutes: (app, define) => addAdminProvisioning(app, define, admin) },
  ]
}

const buildShared = ({ database }: FaceParts) => ({
  customers: new Customers(database),
  connections: new Connections(database),
  invoices: new Invoices(database),
  credentials: new LineCredentials(database),
  optOuts: new OptOuts(database),
  environments: new Environments(database),
  clock: systemClock,
})
type Shared = ReturnType<typeof buildShared>

const buildZilkr = (
  { database, ordering, cipher }: FaceParts,
  { customers, connections, invoices, clock }: Shared,
) => ({
  customers,
  contacts: createContacts(database),
  paymentMethods: createPaymentMethods(database),
  locations: createLocations(database),
  connections,
  services: new Services(database),
  invoices,
  catalogue: new Catalogue(database),
  orders: new Orders(database),
  ordering,
  reservations: new Reservations({ database, clock }),
  searchNumbers: (search: NumberSearch) => database.query((db) => searchAvailable(db, search)),
  requests: new RequestLog(database),
  encrypt: (token: string) => cipher.encrypt(token, TOKEN_PLACE),
  clock,
})

const buildZipwhip = (
  { database, ordering, keys, judge, zipwhipAlwaysOk, log }: FaceParts,
  { customers, credentials, optOuts, clock }: Shared,
) => ({
  lines: new ZipwhipLines({
    ordering,
    lines: new Lines(database),
    credentials,
    judge: (number, asked) => judge.judge(number, asked),
  }),
  customers,
  credentials,
  optOuts,
  keys,
  alwaysOk: zipwhipAlwaysOk,
  clock,
  log,
})

const buildAdmin = (
  { database, ordering, keys, apps, lineTypes, providers, sandbox }: FaceParts,
  { customers, connections, invoices, credentials, optOuts, environments, clock }: Shared,
) => ({
  apps,
  keys,
  customers,
  connections,
  invoices,
  catalogueImport: new CatalogueImport(database),
  lineTypes,
  credentials,
  optOuts,
  environments,
  heldOrders: new HeldOrders(database),
  ordering,
  auditTrail: new AuditTrail(database),
  providers,
  sandbox,
  clock,
})
