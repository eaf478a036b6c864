import { sql, type Selectable, type Transaction } from 'kysely'
import { invalidRequest } from '../../core/parse-input.ts'
import { ownedOf, type Owned, type PaymentType } from '../model/account.ts'
import type { ProvisioningDatabase } from './database.ts'
import type { ListFields } from './listing.ts'
import { OwnedRecords, type OwnedWrite } from './owned-records.ts'
import type { ProvisioningSchema } from './schema.ts'

export type PaymentMethodInput = {
  readonly type: PaymentType
  /** The payment provider's reference, encrypted; absent of a replacement: the one there is stays. */
  readonly token?: string | undefined
  readonly brand?: string | undefined
  readonly last4?: string | undefined
  readonly expMonth?: number | undefined
  readonly expYear?: number | undefined
  readonly isDefault: boolean
}
/** How a customer pays: never the token, which only the database has, encrypted. */
export type PaymentMethod = Omit<PaymentMethodInput, 'token'> &
  Owned & { readonly paymentMethodId: string; readonly status: string }

export const PAYMENT_METHOD_FIELDS = {
  type: { column: 'type', kind: 'text', isSortable: true },
  status: { column: 'status', kind: 'text', isSortable: true },
  isDefault: { column: 'is_default', kind: 'boolean' },
  createdAt: { column: 'created_at', kind: 'time', isSortable: true },
  updatedAt: { column: 'updated_at', kind: 'time', isSortable: true },
} as const satisfies ListFields

type Row = Selectable<ProvisioningSchema['payment_methods']>
export type PaymentMethods = OwnedRecords<Row, PaymentMethod, PaymentMethodInput>

export const createPaymentMethods = (database: ProvisioningDatabase): PaymentMethods =>
  new OwnedRecords<Row, PaymentMethod, PaymentMethodInput>(database, {
    table: 'payment_methods',
    idColumn: 'payment_method_id',
    idKind: 'paymentMethod',
    entity: 'payment_method',
    fields: PAYMENT_METHOD_FIELDS,
    toModel: toPaymentMethod,
    toColumns: (input) => ({
      type: input.type,
      ...(input.token !== undefined && { token: input.token }),
      brand: input.brand ?? null,
      last4: input.last4 ?? null,
      exp_month: input.expMonth ?? null,
      exp_year: input.expYear ?? null,
      is_default: input.isDefault,
      status: 'active',
    }),
    isOneAtATime: true,
    beforeWrite: async (write) => {
      await requireToken(write)
      await giveUpDefault(write)
    },
    afterWrite: tellDefault,
    beforeRemove: forgetDefault,
  })

/** One that was an invoice has none, and is of no use as anything else without it. */
async function requireToken({ tx, id, input }: OwnedWrite<PaymentMethodInput>): Promise<void> {
  if (id === undefined || input.type === 'invoice' || input.token !== undefined) return
  const row = await tx
    .selectFrom('payment_methods')
    .select('token')
    .where('payment_method_id', '=', id)
    .executeTakeFirst()
  if (row?.token === null) throw invalidRequest([{ field: 'token', message: 'is required unless the type is invoice' }])
}

/** A customer has at most one default: the new one takes its place. */
async function giveUpDefault({ tx, customerId, id, input }: OwnedWrite<PaymentMethodInput>): Promise<void> {
  if (!input.isDefault) return
  await sql`
    update payment_methods set is_default = false, version = version + 1, updated_at = now()
    where customer_id = ${customerId} and is_default and payment_method_id <> ${id ?? ''}`.execute(tx)
}

/** The customer names its default, too. */
async function tellDefault({ tx, customerId, id, input }: OwnedWrite<PaymentMethodInput> & { id: string }) {
  await sql`
    update customers set default_payment_method_id = ${input.isDefault ? id : null}, version = version + 1,
      updated_at = now()
    where customer_id = ${customerId} and ${
      input.isDefault ? sql`default_payment_method_id is distinct from ${id}` : sql`default_payment_method_id = ${id}`
    }`.execute(tx)
}

async function forgetDefault(tx: Transaction<ProvisioningSchema>, id: string): Promise<void> {
  await sql`
    update customers set default_payment_method_id = null, version = version + 1, updated_at = now()
    where default_payment_method_id = ${id}`.execute(tx)
}

const toPaymentMethod = (row: Row): PaymentMethod => ({
  paymentMethodId: row.payment_method_id,
  type: row.type,
  ...(row.brand !== null && { brand: row.brand }),
  ...(row.last4 !== null && { last4: row.last4 }),
  ...(row.exp_month !== null && { expMonth: row.exp_month }),
  ...(row.exp_year !== null && { expYear: row.exp_year }),
  isDefault: row.is_default,
  status: row.status,
  ...ownedOf(row),
})
