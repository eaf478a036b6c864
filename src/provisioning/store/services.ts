import { sql, type Selectable } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import { toMoney, type Money } from '../model/money.ts'
import type { ProvisioningDatabase } from './database.ts'
import { listRows, type ListFields, type ListRequest, type Page } from './listing.ts'
import type { ProvisioningSchema } from './schema.ts'

/** A product in service at a customer: one number, or one service on a number. */
export type Service = {
  readonly serviceId: string
  readonly customerId: string
  readonly productId: string
  /** E.164 */
  readonly number: string
  readonly state: string
  readonly externalId?: string
  readonly locationId?: string
  readonly connectionId?: string
  readonly features: readonly string[]
  readonly callerName?: string
  readonly directoryListing?: string
  readonly monthly: Money
  readonly orderId: string
  readonly activatedAt: number
}

export const SERVICE_FIELDS = {
  number: { column: 'e164', kind: 'text', isSortable: true },
  productId: { column: 'product_id', kind: 'text', isSortable: true },
  state: { column: 'state', kind: 'text', isSortable: true },
  externalId: { column: 'external_id', kind: 'text' },
  locationId: { column: 'location_id', kind: 'text' },
  connectionId: { column: 'connection_id', kind: 'text' },
  orderId: { column: 'order_id', kind: 'text', isSortable: true },
  activatedAt: { column: 'activated_at', kind: 'time', isSortable: true },
} as const satisfies ListFields

type Row = Selectable<ProvisioningSchema['services']>

/** What customers have in service; orders begin, change and end it. */
export class Services {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  async list(customerId: string, request: ListRequest): Promise<Page<Service>> {
    const source = {
      table: 'services',
      idColumn: 'service_id',
      fields: SERVICE_FIELDS,
      where: sql`customer_id = ${customerId} and state <> 'ended'`,
    }
    const page = await this.#database.query((db) => listRows<Row>(db, source, request))
    return { ...page, items: page.items.map(toService) }
  }

  /** Rejects with `resource_not_found`, also for one that has ended. */
  async find(customerId: string, serviceId: string): Promise<Service> {
    const row = await this.#database.query((db) =>
      db
        .selectFrom('services')
        .selectAll()
        .where('service_id', '=', serviceId)
        .where('customer_id', '=', customerId)
        .where('state', '<>', 'ended')
        .executeTakeFirst(),
    )
    if (row === undefined) throw new GatewayError('resource_not_found')
    return toService(row)
  }
}

const toService = (row: Row): Service => ({
  serviceId: row.service_id,
  customerId: row.customer_id,
  productId: row.product_id,
  number: row.e164,
  state: row.state,
  ...(row.external_id !== null && { externalId: row.external_id }),
  ...(row.location_id !== null && { locationId: row.location_id }),
  ...(row.connection_id !== null && { connectionId: row.connection_id }),
  features: row.features,
  ...(row.caller_name !== null && { callerName: row.caller_name }),
  ...(row.directory_listing !== null && { directoryListing: row.directory_listing }),
  monthly: toMoney(row.monthly_price, row.currency),
  orderId: row.order_id,
  activatedAt: row.activated_at.getTime(),
})
