import { sql, type RawBuilder, type Selectable, type Transaction } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import { actorOf, type Scope } from '../../core/provisioning-scope.ts'
import type { CustomerStatus } from '../model/account.ts'
import { newId } from '../model/ids.ts'
import { appendAudit } from './audit.ts'
import type { ProvisioningDatabase } from './database.ts'
import { listRows, type ListFields, type ListRequest, type Page } from './listing.ts'
import type { ProvisioningSchema } from './schema.ts'

/** An account that searches, orders and pays. */
export type Customer = CustomerInput & {
  readonly customerId: string
  readonly status: CustomerStatus
  readonly createdAt: number
  readonly updatedAt: number
  readonly version: number
}

/** What a caller sets. */
export type CustomerInput = {
  /** The app that is told of its orders and whose keys see it; absent: the installation's own. */
  readonly appId?: string | undefined
  readonly externalId?: string | undefined
  readonly name: string
  readonly country: string
  readonly currency: string
  readonly timeZone?: string | undefined
  readonly defaultPaymentMethodId?: string | undefined
  readonly metadata: Readonly<Record<string, string>>
}

export const CUSTOMER_FIELDS = {
  name: { column: 'name', kind: 'text', isSortable: true },
  externalId: { column: 'external_id', kind: 'text' },
  status: { column: 'status', kind: 'text', isSortable: true },
  country: { column: 'country', kind: 'text', isSortable: true },
  currency: { column: 'currency', kind: 'text', isSortable: true },
  createdAt: { column: 'created_at', kind: 'time', isSortable: true },
  updatedAt: { column: 'updated_at', kind: 'time', isSortable: true },
} as const satisfies ListFields

type Row = Selectable<ProvisioningSchema['customers']>
type Tx = Transaction<ProvisioningSchema>
type Change = {
  readonly scope: Scope
  readonly customerId: string
  readonly version?: number | undefined
  readonly correlationId?: string
}

/** Customers as far as a caller may see them; anything else is `customer_not_found`. */
export class Customers {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  async list(scope: Scope, request: ListRequest): Promise<Page<Customer>> {
    const source = { table: 'customers', idColumn: 'customer_id', fields: CUSTOMER_FIELDS, where: visibleTo(scope) }
    const page = await this.#database.query((db) => listRows<Row>(db, source, request))
    return { ...page, items: page.items.map(toCustomer) }
  }

  async find(scope: Scope, customerId: string): Promise<Customer> {
    const { rows } = await this.#database.query((db) =>
      sql<Row>`select * from customers where customer_id = ${customerId} and ${visibleTo(scope)}`.execute(db),
    )
    return toCustomer(existing(rows))
  }

  /** Rejects with `app_not_found`, or `already_exists` when the app has a customer of that `externalId`. */
  create(
    request: {
      readonly scope: Scope
      readonly input: CustomerInput
      readonly now: number
      readonly correlationId?: string
    },
    onCreated: (tx: Tx, customer: Customer) => Promise<void>,
  ): Promise<Customer> {
    const { scope, input, now, correlationId } = request
    // A key that was issued for some customers would not see a further one.
    if (scope.kind === 'key' && scope.customerIds !== undefined) throw new GatewayError('scope_exceeded')
    return this.#database.transaction(async (tx) => {
      const row = await tx
        .insertInto('customers')
        .values({
          customer_id: newId('customer', now),
          app_id: (scope.kind === 'key' ? scope.appId : input.appId) ?? null,
          status: 'active',
          ...columnsOf(input),
        })
        .returningAll()
        .executeTakeFirstOrThrow()
      const customer = toCustomer(row)
      await onCreated(tx, customer)
      await audit(tx, { scope, customerId: customer.customerId, action: 'create', after: customer, correlationId })
      return customer
    })
  }

  /** Replaces all that a caller sets. Rejects as `create` does, and with `etag_mismatch`. */
  replace(change: Change & { readonly input: CustomerInput }): Promise<Customer> {
    const { scope, customerId, input } = change
    return this.#database.transaction(async (tx) => {
      const before = await lock(tx, change)
      await setDefault(tx, customerId, input.defaultPaymentMethodId)
      const row = await tx
        .updateTable('customers')
        .set({
          ...columnsOf(input),
          ...(scope.kind === 'admin' && { app_id: input.appId ?? null }),
          updated_at: sql`now()`,
          version: before.version + 1,
        })
        .where('customer_id', '=', customerId)
        .returningAll()
        .executeTakeFirstOrThrow()
      const customer = toCustomer(row)
      await audit(tx, { ...change, action: 'update', before: toCustomer(before), after: customer })
      return customer
    })
  }

  /** What the operator decides: a customer that is not active cannot order. */
  setStatus(change: Change & { readonly status: CustomerStatus }): Promise<Customer> {
    return this.#database.transaction(async (tx) => {
      const before = await lock(tx, change)
      const row = await tx
        .updateTable('customers')
        .set({ status: change.status, updated_at: sql`now()`, version: before.version + 1 })
        .where('customer_id', '=', change.customerId)
        .returningAll()
        .executeTakeFirstOrThrow()
      await audit(tx, { ...change, action: 'update', before: toCustomer(before), after: toCustomer(row) })
      return toCustomer(row)
    })
  }

  /**
   * Removes the account; orders, invoices and the audit trail stay for the books. Rejects with `customer_in_use`,
   * naming what is in the way.
   */
  remove(change: Change): Promise<void> {
    const { customerId } = change
    return this.#database.transaction(async (tx) => {
      const before = await lock(tx, change)
      const { rows } = await sql<{ reason: string }>`
        select 'services' as reason where exists
          (select from services where customer_id = ${customerId} and state <> 'ended')
        union all select 'orders' where exists
          (select from orders where customer_id = ${customerId} and completed_at is null)
        union all select 'reservations' where exists
          (select from reservations where customer_id = ${customerId} and state = 'active' and expires_at > now())
        union all select 'invoices' where exists
          (select from invoices where customer_id = ${customerId} and status in ('draft', 'open'))`.execute(tx)
      if (rows.length > 0) {
        const reasons = rows.map((row) => row.reason)
        throw new GatewayError('customer_in_use', {
          detail: `It still has ${reasons.join(', ')}.`,
          fields: { reasons },
        })
      }
      await tx.deleteFrom('provisioning_key_customers').where('customer_id', '=', customerId).execute()
      await tx
        .updateTable('customers')
        .set({ status: 'closed', removed_at: sql`now()`, updated_at: sql`now()`, version: before.version + 1 })
        .where('customer_id', '=', customerId)
        .execute()
      await audit(tx, { ...change, action: 'remove', before: toCustomer(before) })
    })
  }
}

/** Which customers a caller may see. */
function visibleTo(scope: Scope): RawBuilder<unknown> {
  if (scope.kind === 'admin') return sql`removed_at is null`
  const own = sql`removed_at is null and app_id = ${scope.appId}`
  return scope.customerIds === undefined ? own : sql`${own} and customer_id = any(${[...scope.customerIds]}::text[])`
}

async function lock(tx: Tx, { scope, customerId, version }: Change): Promise<Row> {
  const { rows } = await sql<Row>`
    select * from customers where customer_id = ${customerId} and ${visibleTo(scope)} for update`.execute(tx)
  const row = existing(rows)
  if (version !== undefined && row.version !== version) throw new GatewayError('etag_mismatch')
  return row
}

/** The payment methods say which of them is the default, too; the old one first, as there can only be one. */
async function setDefault(tx: Tx, customerId: string, paymentMethodId: string | undefined): Promise<void> {
  await sql`
    update payment_methods set is_default = false, version = version + 1, updated_at = now()
    where customer_id = ${customerId} and is_default and payment_method_id <> ${paymentMethodId ?? ''}`.execute(tx)
  if (paymentMethodId === undefined) return
  const { rows } = await sql`
    update payment_methods set is_default = true, version = version + case when is_default then 0 else 1 end,
      updated_at = case when is_default then updated_at else now() end
    where customer_id = ${customerId} and payment_method_id = ${paymentMethodId}
    returning payment_method_id`.execute(tx)
  if (rows.length === 0) {
    throw new GatewayError('resource_not_found', {
      detail: 'The customer has no such payment method.',
      fields: { field: 'defaultPaymentMethodId' },
    })
  }
}

const columnsOf = (input: CustomerInput) => ({
  external_id: input.externalId ?? null,
  name: input.name,
  country: input.country,
  currency: input.currency,
  time_zone: input.timeZone ?? null,
  default_payment_method_id: input.defaultPaymentMethodId ?? null,
  metadata: JSON.stringify(input.metadata),
})

function audit(
  tx: Tx,
  entry: {
    readonly scope: Scope
    readonly customerId: string
    readonly action: string
    readonly before?: Customer
    readonly after?: Customer
    readonly correlationId?: string | undefined
  },
): Promise<void> {
  const { scope, customerId, action, before, after, correlationId } = entry
  return appendAudit(tx, [
    {
      chain: customerId,
      actor: actorOf(scope),
      entity: 'customer',
      entityId: customerId,
      action,
      ...(before !== undefined && { before }),
      ...(after !== undefined && { after }),
      ...(correlationId !== undefined && { correlationId }),
    },
  ])
}

function existing(rows: readonly Row[]): Row {
  const [row] = rows
  if (row === undefined) throw new GatewayError('customer_not_found')
  return row
}

function toCustomer(row: Row): Customer {
  return {
    customerId: row.customer_id,
    ...(row.app_id !== null && { appId: row.app_id }),
    ...(row.external_id !== null && { externalId: row.external_id }),
    name: row.name,
    status: row.status,
    country: row.country,
    currency: row.currency,
    ...(row.time_zone !== null && { timeZone: row.time_zone }),
    ...(row.default_payment_method_id !== null && { defaultPaymentMethodId: row.default_payment_method_id }),
    metadata: row.metadata,
    createdAt: row.created_at.getTime(),
    updatedAt: row.updated_at.getTime(),
    version: row.version,
  }
}
