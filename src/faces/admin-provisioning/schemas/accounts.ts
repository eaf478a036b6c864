import * as v from 'valibot'
import { CUSTOMER_STATUSES } from '../../../provisioning/model/account.ts'
import { idSchema } from '../../../provisioning/model/ids.ts'
import { idField, textField } from '../../zilkr/schemas/fields.ts'
import { CustomerParams, InvoiceParams } from '../../zilkr/schemas/parameters.ts'

export { CustomerParams, InvoiceParams }
export const NewConnectionParams = v.strictObject({
  ...CustomerParams.entries,
  connectionId: v.pipe(idSchema('connection'), v.description('The connection, by an id of your own: cnx_…')),
})

export const StatusBody = v.pipe(
  v.strictObject({
    status: v.pipe(v.picklist(CUSTOMER_STATUSES), v.description('Only an active customer can order and reserve')),
  }),
  v.metadata({ ref: 'CustomerStatusBody', title: 'What a customer may do' }),
)
export const ConnectionBody = v.pipe(
  v.strictObject({
    type: v.pipe(textField(50), v.description('sipTrunk, ipCircuit …')),
    name: textField(200),
    status: v.pipe(
      v.picklist(['active', 'suspended', 'ended']),
      v.description('One that has ended is no longer shown'),
    ),
    capacity: v.optional(
      v.strictObject({
        channels: v.pipe(v.number(), v.integer('must be a whole number'), v.minValue(1), v.maxValue(1_000_000)),
      }),
    ),
    locationId: v.optional(idField),
    provider: v.optional(textField(100)),
  }),
  v.metadata({ ref: 'ConnectionBody', title: 'A connection, as it is' }),
)
export const SettlementBody = v.pipe(
  v.strictObject({ status: v.picklist(['paid', 'void']) }),
  v.metadata({ ref: 'InvoiceSettlement', title: 'How an invoice was settled' }),
)
