import { sql, type RawBuilder, type Transaction } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import { newId, type IdKind } from '../model/ids.ts'
import { appendAudit } from './audit.ts'
import { lockCustomer } from './customer-lock.ts'
import type { ProvisioningDatabase } from './database.ts'
import { listRows, type ListFields, type ListRequest, type Page } from './listing.ts'
import type { ProvisioningSchema } from './schema.ts'

/** One kind of thing that belongs to customers: contacts, payment methods, locations. */
export type OwnedKind<Row extends object, Model, Input> = {
  readonly table: keyof ProvisioningSchema
  readonly idColumn: string
  readonly idKind: IdKind
  /** As the audit trail names it. */
  readonly entity: string
  readonly fields: ListFields
  readonly toModel: (row: Row) => Model
  /** Every column that a caller sets, null where it leaves one out. */
  readonly toColumns: (input: Input) => Readonly<Record<string, unknown>>
  /** Whether those of one customer depend on each other, so that only one of them may change at a time. */
  readonly isOneAtATime?: true
  /** Checks, and changes of siblings, that a new or changed one needs. */
  readonly beforeWrite?: (write: OwnedWrite<Input>) => Promise<void>
  /** What else must say the same as one that is new or changed. */
  readonly afterWrite?: (write: OwnedWrite<Input> & { readonly id: string }) => Promise<void>
  /** Rejects when it may not be removed. */
  readonly beforeRemove?: (tx: Transaction<ProvisioningSchema>, id: string) => Promise<void>
}

export type OwnedWrite<Input> = {
  readonly tx: Transaction<ProvisioningSchema>
  readonly customerId: string
  /** Absent of a new one. */
  readonly id?: string
  readonly input: Input
}

/** Who changes what, in whose name. */
export type ChangeContext = {
  readonly customerId: string
  readonly actor: string
  readonly correlationId?: string
  /** The version that the caller has read; absent: whatever it is. */
  readonly version?: number | undefined
}

type Versioned = { readonly version: number }

/** The records of one kind, each customer's for itself, every change audited. */
export class OwnedRecords<Row extends Versioned, Model, Input> {
  readonly #database: ProvisioningDatabase
  readonly #kind: OwnedKind<Row, Model, Input>

  constructor(database: ProvisioningDatabase, kind: OwnedKind<Row, Model, Input>) {
    this.#database = database
    this.#kind = kind
  }

  async list(customerId: string, request: ListRequest): Promise<Page<Model>> {
    const { table, idColumn, fields, toModel } = this.#kind
    const where = sql`customer_id = ${customerId}`
    const page = await this.#database.query((db) => listRows<Row>(db, { table, idColumn, fields, where }, request))
    return { ...page, items: page.items.map(toModel) }
  }

  /** Rejects with `resource_not_found`. */
  async find(customerId: string, id: string): Promise<Model> {
    const { rows } = await this.#database.query((db) =>
      sql<Row>`select * from ${this.#table()} where ${this.#is(id)} and customer_id = ${customerId}`.execute(db),
    )
    return this.#kind.toModel(existing(rows))
  }

  /** `onCreated` runs in the same transaction. */
  create(
    change: ChangeContext & { readonly input: Input; readonly now: number },
    onCreated: (tx: Transaction<ProvisioningSchema>, model: Model) => Promise<void>,
  ): Promise<Model> {
    const { customerId, input, now } = change
    const { idColumn, idKind, toColumns, toModel, beforeWrite, afterWrite } = this.#kind
    return this.#database.transaction(async (tx) => {
      await this.#lockCustomer(tx, customerId)
      await beforeWrite?.({ tx, customerId, input })
      const id = newId(idKind, now)
      const columns = { [idColumn]: id, customer_id: customerId, ...toColumns(input) }
      const { rows } = await sql<Row>`
        insert into ${this.#table()} (${sql.join(Object.keys(columns).map((name) => sql.ref(name)))})
        values (${sql.join(Object.values(columns))}) returning *`.execute(tx)
      const model = toModel(existing(rows))
      await afterWrite?.({ tx, customerId, id, input })
      await onCreated(tx, model)
      await this.#audit(tx, { change, id, action: 'create', after: model })
      return model
    })
  }

  /** Replaces all that a caller sets. Rejects with `resource_not_found` and `etag_mismatch`. */
  replace(change: ChangeContext & { readonly id: string; readonly input: Input }): Promise<Model> {
    const { customerId, id, input } = change
    const { toColumns, toModel, beforeWrite, afterWrite } = this.#kind
    return this.#database.transaction(async (tx) => {
      await this.#lockCustomer(tx, customerId)
      const before = await this.#lock(tx, change)
      await beforeWrite?.({ tx, customerId, id, input })
      const settings = Object.entries(toColumns(input)).map(([name, value]) => sql`${sql.ref(name)} = ${value}`)
      const { rows } = await sql<Row>`
        update ${this.#table()} set ${sql.join(settings)}, version = version + 1, updated_at = now()
        where ${this.#is(id)} returning *`.execute(tx)
      const model = toModel(existing(rows))
      await afterWrite?.({ tx, customerId, id, input })
      await this.#audit(tx, { change, id, action: 'update', before: toModel(before), after: model })
      return model
    })
  }

  /** Rejects with `resource_not_found`, `etag_mismatch`, or as `beforeRemove` does. */
  remove(change: ChangeContext & { readonly id: string }): Promise<void> {
    const { customerId, id } = change
    return this.#database.transaction(async (tx) => {
      await this.#lockCustomer(tx, customerId)
      const before = await this.#lock(tx, change)
      await this.#kind.beforeRemove?.(tx, id)
      await sql`delete from ${this.#table()} where ${this.#is(id)}`.execute(tx)
      await this.#audit(tx, { change, id, action: 'remove', before: this.#kind.toModel(before) })
    })
  }

  #lockCustomer(tx: Transaction<ProvisioningSchema>, customerId: string): Promise<void> {
    return lockCustomer(tx, customerId, { isAlone: this.#kind.isOneAtATime === true })
  }

  async #lock(
    tx: Transaction<ProvisioningSchema>,
    { customerId, id, version }: ChangeContext & { readonly id: string },
  ): Promise<Row> {
    const { rows } = await sql<Row>`
      select * from ${this.#table()} where ${this.#is(id)} and customer_id = ${customerId} for update`.execute(tx)
    const row = existing(rows)
    if (version !== undefined && row.version !== version) throw new GatewayError('etag_mismatch')
    return row
  }

  #audit(
    tx: Transaction<ProvisioningSchema>,
    entry: {
      readonly change: ChangeContext
      readonly id: string
      readonly action: string
      readonly before?: Model
      readonly after?: Model
    },
  ): Promise<void> {
    const { change, id, action, before, after } = entry
    const { customerId, actor, correlationId } = change
    return appendAudit(tx, [
      {
        chain: customerId,
        actor,
        entity: this.#kind.entity,
        entityId: id,
        action,
        ...(before !== undefined && { before }),
        ...(after !== undefined && { after }),
        ...(correlationId !== undefined && { correlationId }),
      },
    ])
  }

  #table(): RawBuilder<unknown> {
    return sql.table(this.#kind.table)
  }

  #is(id: string): RawBuilder<unknown> {
    return sql`${sql.ref(this.#kind.idColumn)} = ${id}`
  }
}

function existing<Row>(rows: readonly Row[]): Row {
  const [row] = rows
  if (row === undefined) throw new GatewayError('resource_not_found')
  return row
}
