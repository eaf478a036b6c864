import { sql, type Selectable } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import { appendAudit } from './audit.ts'
import { lockCustomer } from './customer-lock.ts'
import type { ProvisioningDatabase } from './database.ts'
import { listRows, type ListFields, type ListRequest, type Page } from './listing.ts'
import type { ProvisioningSchema } from './schema.ts'

/** A SIP trunk, an IP circuit or the like that carries a customer's services. */
export type Connection = {
  readonly connectionId: string
  readonly customerId: string
  readonly type: string
  readonly name: string
  readonly status: string
  readonly channels?: number
  readonly locationId?: string
  readonly provider?: string
  readonly createdAt: number
}

export const CONNECTION_FIELDS = {
  name: { column: 'name', kind: 'text', isSortable: true },
  type: { column: 'type', kind: 'text', isSortable: true },
  status: { column: 'status', kind: 'text', isSortable: true },
  createdAt: { column: 'created_at', kind: 'time', isSortable: true },
} as const satisfies ListFields

type Row = Selectable<ProvisioningSchema['connections']>

/** Connections come about in the operator's own systems, which tell us of them; customers only read those that have not ended. */
export class Connections {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  async list(customerId: string, request: ListRequest): Promise<Page<Connection>> {
    const source = {
      table: 'connections',
      idColumn: 'connection_id',
      fields: CONNECTION_FIELDS,
      where: sql`customer_id = ${customerId} and status <> 'ended'`,
    }
    const page = await this.#database.query((db) => listRows<Row>(db, source, request))
    return { ...page, items: page.items.map(toConnection) }
  }

  /** Rejects with `resource_not_found`, also for one that has ended. */
  async find(customerId: string, connectionId: string): Promise<Connection> {
    const row = await this.#database.query((db) =>
      db
        .selectFrom('connections')
        .selectAll()
        .where('connection_id', '=', connectionId)
        .where('customer_id', '=', customerId)
        .where('status', '<>', 'ended')
        .executeTakeFirst(),
    )
    if (row === undefined) throw new GatewayError('resource_not_found')
    return toConnection(row)
  }

  /** Creates or replaces one. Rejects with `customer_not_found` and `resource_not_found` (the location). */
  put(connection: Omit<Connection, 'createdAt'>): Promise<Connection> {
    const { customerId, connectionId, locationId } = connection
    return this.#database.transaction(async (tx) => {
      await lockCustomer(tx, customerId)
      if (locationId !== undefined) {
        const location = await tx
          .selectFrom('product_locations')
          .select('location_id')
          .where('location_id', '=', locationId)
          .where('customer_id', '=', customerId)
          .executeTakeFirst()
        if (location === undefined)
          throw new GatewayError('resource_not_found', { detail: 'There is no such location.' })
      }
      const values = {
        type: connection.type,
        name: connection.name,
        status: connection.status,
        channels: connection.channels ?? null,
        location_id: locationId ?? null,
        provider: connection.provider ?? null,
      }
      const row = await tx
        .insertInto('connections')
        .values({ connection_id: connectionId, customer_id: customerId, ...values })
        .onConflict((conflict) =>
          conflict
            .column('connection_id')
            .doUpdateSet({ ...values, updated_at: sql`now()` })
            .where('connections.customer_id', '=', customerId),
        )
        .returningAll()
        .executeTakeFirst()
      // The id is another customer's.
      if (row === undefined) throw new GatewayError('already_exists')
      await appendAudit(tx, [
        {
          chain: customerId,
          actor: 'admin',
          entity: 'connection',
          entityId: connectionId,
          action: 'put',
          after: toConnection(row),
        },
      ])
      return toConnection(row)
    })
  }
}

const toConnection = (row: Row): Connection => ({
  connectionId: row.connection_id,
  customerId: row.customer_id,
  type: row.type,
  name: row.name,
  status: row.status,
  ...(row.channels !== null && { channels: row.channels }),
  ...(row.location_id !== null && { locationId: row.location_id }),
  ...(row.provider !== null && { provider: row.provider }),
  createdAt: row.created_at.getTime(),
})
