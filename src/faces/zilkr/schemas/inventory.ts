import * as v from 'valibot'
import { MoneySchema, toMoney } from '../../../provisioning/model/money.ts'
import type { Connection } from '../../../provisioning/store/connections.ts'
import type { Invoice } from '../../../provisioning/store/invoices.ts'
import type { Service } from '../../../provisioning/store/services.ts'
import { timestamp, toTimestamp } from './fields.ts'

export const ConnectionSchema = v.pipe(
  v.object({
    id: v.string(),
    customerId: v.string(),
    type: v.pipe(v.string(), v.description('sipTrunk, ipCircuit …')),
    name: v.string(),
    status: v.string(),
    capacity: v.optional(v.object({ channels: v.number() })),
    locationId: v.optional(v.string()),
    provider: v.optional(v.string()),
    createdAt: timestamp,
  }),
  v.metadata({ ref: 'Connection', title: 'A SIP trunk, an IP circuit or the like' }),
)
export const ServiceSchema = v.pipe(
  v.object({
    id: v.string(),
    customerId: v.string(),
    catalogProductId: v.string(),
    number: v.string(),
    state: v.string(),
    externalId: v.optional(v.string()),
    locationId: v.optional(v.string()),
    connectionId: v.optional(v.string()),
    features: v.array(v.string()),
    callerName: v.optional(v.string()),
    directoryListing: v.optional(v.string()),
    monthlyPrice: MoneySchema,
    orderId: v.string(),
    activatedAt: timestamp,
  }),
  v.metadata({ ref: 'InventoryProduct', title: 'A product in service' }),
)
export const InvoiceSchema = v.pipe(
  v.object({
    id: v.string(),
    number: v.number(),
    customerId: v.string(),
    orderId: v.string(),
    status: v.picklist(['draft', 'open', 'paid', 'void']),
    currency: v.string(),
    lines: v.array(
      v.object({
        orderId: v.string(),
        description: v.string(),
        quantity: v.number(),
        unitAmount: MoneySchema,
        amount: MoneySchema,
      }),
    ),
    subtotal: MoneySchema,
    tax: MoneySchema,
    total: MoneySchema,
    issuedAt: timestamp,
    dueAt: timestamp,
  }),
  v.metadata({ ref: 'Invoice', title: 'What a completed order costs' }),
)

export const toConnectionResource = ({ connectionId, channels, createdAt, ...connection }: Connection) => ({
  id: connectionId,
  ...connection,
  ...(channels !== undefined && { capacity: { channels } }),
  createdAt: toTimestamp(createdAt),
})
export const toServiceResource = ({ serviceId, productId, monthly, activatedAt, ...service }: Service) => ({
  id: serviceId,
  catalogProductId: productId,
  ...service,
  monthlyPrice: monthly,
  activatedAt: toTimestamp(activatedAt),
})
export const toInvoiceResource = ({ invoiceId, lines, issuedAt, dueAt, ...invoice }: Invoice) => ({
  id: invoiceId,
  ...invoice,
  lines: lines.map(({ unitAmount, amount, ...line }) => ({
    ...line,
    unitAmount: toMoney(unitAmount, invoice.currency),
    amount: toMoney(amount, invoice.currency),
  })),
  issuedAt: toTimestamp(issuedAt),
  dueAt: toTimestamp(dueAt),
})
