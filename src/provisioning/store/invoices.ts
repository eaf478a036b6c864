import { sql, type Selectable } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import type { InvoiceLine } from '../model/account.ts'
import { toMoney, type Money } from '../model/money.ts'
import { appendAudit } from './audit.ts'
import type { ProvisioningDatabase } from './database.ts'
import { listRows, type ListFields, type ListRequest, type Page } from './listing.ts'
import type { ProvisioningSchema } from './schema.ts'

/** What a customer must pay for one completed order. */
export type Invoice = {
  readonly invoiceId: string
  readonly number: number
  readonly customerId: string
  readonly orderId: string
  readonly status: string
  readonly currency: string
  readonly lines: readonly InvoiceLine[]
  readonly subtotal: Money
  readonly tax: Money
  readonly total: Money
  readonly issuedAt: number
  readonly dueAt: number
}

export const INVOICE_FIELDS = {
  number: { column: 'number', kind: 'integer', isSortable: true },
  status: { column: 'status', kind: 'text', isSortable: true },
  currency: { column: 'currency', kind: 'text', isSortable: true },
  orderId: { column: 'order_id', kind: 'text', isSortable: true },
  issuedAt: { column: 'issued_at', kind: 'time', isSortable: true },
  dueAt: { column: 'due_at', kind: 'time', isSortable: true },
} as const satisfies ListFields

type Row = Selectable<ProvisioningSchema['invoices']>

/** Invoices; the order engine writes them, the operator's accounting says when they are paid. */
export class Invoices {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  async list(customerId: string, request: ListRequest): Promise<Page<Invoice>> {
    const source = {
      table: 'invoices',
      idColumn: 'invoice_id',
      fields: INVOICE_FIELDS,
      where: sql`customer_id = ${customerId}`,
    }
    const page = await this.#database.query((db) => listRows<Row>(db, source, request))
    return { ...page, items: page.items.map(toInvoice) }
  }

  /** Rejects with `resource_not_found`. */
  async find(customerId: string, invoiceId: string): Promise<Invoice> {
    const row = await this.#database.query((db) =>
      db
        .selectFrom('invoices')
        .selectAll()
        .where('invoice_id', '=', invoiceId)
        .where('customer_id', '=', customerId)
        .executeTakeFirst(),
    )
    if (row === undefined) throw new GatewayError('resource_not_found')
    return toInvoice(row)
  }

  /** Rejects with `resource_not_found`, and with `in_use` for an invoice that is settled already. */
  settle(change: {
    readonly customerId: string
    readonly invoiceId: string
    readonly status: 'paid' | 'void'
  }): Promise<Invoice> {
    const { customerId, invoiceId, status } = change
    return this.#database.transaction(async (tx) => {
      const row = await tx
        .selectFrom('invoices')
        .selectAll()
        .where('invoice_id', '=', invoiceId)
        .where('customer_id', '=', customerId)
        .forUpdate()
        .executeTakeFirst()
      if (row === undefined) throw new GatewayError('resource_not_found')
      if (row.status !== 'open') throw new GatewayError('in_use', { detail: `The invoice is ${row.status}.` })
      const settled = await tx
        .updateTable('invoices')
        .set({ status, updated_at: sql`now()` })
        .where('invoice_id', '=', invoiceId)
        .returningAll()
        .executeTakeFirstOrThrow()
      await appendAudit(tx, [
        {
          chain: customerId,
          actor: 'admin',
          entity: 'invoice',
          entityId: invoiceId,
          action: status === 'paid' ? 'pay' : 'void',
          before: { status: row.status },
          after: { status },
        },
      ])
      return toInvoice(settled)
    })
  }
}

const toInvoice = (row: Row): Invoice => ({
  invoiceId: row.invoice_id,
  number: row.number,
  customerId: row.customer_id,
  orderId: row.order_id,
  status: row.status,
  currency: row.currency,
  lines: row.lines,
  subtotal: toMoney(row.subtotal, row.currency),
  tax: toMoney(row.tax, row.currency),
  total: toMoney(row.total, row.currency),
  issuedAt: row.issued_at.getTime(),
  dueAt: row.due_at.getTime(),
})
