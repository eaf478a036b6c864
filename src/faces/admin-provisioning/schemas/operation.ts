import * as v from 'valibot'
import { pageFields } from '../../../http/schemas/page.ts'
import type { AuditRecord } from '../../../provisioning/store/audit-trail.ts'
import type { HeldFulfilment } from '../../../provisioning/store/held-orders.ts'
import { timestamp, toTimestamp } from '../../zilkr/schemas/fields.ts'

export const HeldQuery = v.strictObject(pageFields)
const HeldFulfilmentSchema = v.object({
  fulfilmentId: v.string(),
  orderId: v.string(),
  customerId: v.string(),
  productId: v.string(),
  provider: v.string(),
  action: v.pipe(v.string(), v.description('What the provider was asked for: begin, port, enable, change, move, end')),
  isCompensation: v.pipe(v.boolean(), v.description('Whether it undoes what was done in vain')),
  providerRef: v.optional(v.string()),
  attempts: v.number(),
  reason: v.optional(v.string()),
  since: timestamp,
  numbers: v.array(v.string()),
})
export const HeldPageSchema = v.pipe(
  v.object({ held: v.array(HeldFulfilmentSchema), cursor: v.optional(v.string()) }),
  v.metadata({ ref: 'HeldOrders', title: 'Requests to providers that wait for an operator' }),
)
export const toHeldResource = (held: HeldFulfilment): v.InferOutput<typeof HeldFulfilmentSchema> => ({
  ...held,
  numbers: [...held.numbers],
  since: toTimestamp(held.since),
})

export const ResumeParams = v.strictObject({
  orderId: v.pipe(v.string(), v.minLength(1), v.maxLength(80), v.description('The order')),
})
export const ResumeBody = v.pipe(
  v.strictObject({
    resumption: v.pipe(
      v.picklist(['continue', 'repeat', 'done', 'failed']),
      v.description(
        'continue: go on where it was; repeat: send it again, as the provider never carried it out; done, failed: what the provider says on the telephone',
      ),
    ),
  }),
  v.metadata({ ref: 'OrderResumption', title: 'How an order that is held goes on' }),
)

export const AuditQuery = v.strictObject({
  chain: v.pipe(
    v.string(),
    v.minLength(1),
    v.maxLength(80),
    v.description("A customer's id, or `installation` for what is no customer's"),
  ),
  limit: pageFields.limit,
  cursor: v.optional(
    v.pipe(v.string(), v.regex(/^\d{1,15}$/, 'must be that of the page before'), v.description('For the next page')),
  ),
  check: v.pipe(
    v.optional(v.picklist(['page', 'chain'], 'must be page or chain'), 'page'),
    v.description('What is checked: the page, or up to 100,000 entries from there on'),
  ),
})
export const AuditPageSchema = v.pipe(
  v.object({
    entries: v.array(
      v.object({
        seq: v.number(),
        at: timestamp,
        actor: v.pipe(v.string(), v.description('admin, key:<key id>, or engine')),
        entity: v.string(),
        entityId: v.string(),
        action: v.string(),
        before: v.optional(v.unknown()),
        after: v.optional(v.unknown()),
        correlationId: v.optional(v.string()),
        hash: v.pipe(v.string(), v.description('SHA-256 over the entry and the hash of the one before it')),
      }),
    ),
    cursor: v.optional(v.string()),
    length: v.pipe(v.number(), v.description('Of the whole chain')),
    isIntact: v.pipe(
      v.boolean(),
      v.description('Whether every entry that was checked is as it was written and follows on the one before it'),
    ),
    checkedTo: v.pipe(v.number(), v.description('The last entry that was checked, from the one after the cursor on')),
    brokenAt: v.pipe(v.optional(v.number()), v.description('The first entry checked that is not, or is missing')),
  }),
  v.metadata({ ref: 'AuditTrail', title: 'What was changed, by whom' }),
)
export const toAuditResource = (record: AuditRecord) => ({ ...record, at: toTimestamp(record.at) })
