import type { Selectable } from 'kysely'
import { ownedOf, type ContactRole, type Owned } from '../model/account.ts'
import type { ProvisioningDatabase } from './database.ts'
import { OwnedRecords } from './owned-records.ts'
import type { ProvisioningSchema } from './schema.ts'
import type { ListFields } from './listing.ts'

export type ContactInput = {
  readonly firstName: string
  readonly lastName: string
  readonly email: string
  /** E.164 */
  readonly phone?: string | undefined
  readonly role: ContactRole
  /** BCP 47 */
  readonly language?: string | undefined
}
/** A person at a customer. */
export type Contact = ContactInput & Owned & { readonly contactId: string }

export const CONTACT_FIELDS = {
  firstName: { column: 'first_name', kind: 'text', isSortable: true },
  lastName: { column: 'last_name', kind: 'text', isSortable: true },
  email: { column: 'email', kind: 'text', isSortable: true },
  role: { column: 'role', kind: 'text', isSortable: true },
  createdAt: { column: 'created_at', kind: 'time', isSortable: true },
  updatedAt: { column: 'updated_at', kind: 'time', isSortable: true },
} as const satisfies ListFields

type Row = Selectable<ProvisioningSchema['contacts']>
export type Contacts = OwnedRecords<Row, Contact, ContactInput>

export const createContacts = (database: ProvisioningDatabase): Contacts =>
  new OwnedRecords(database, {
    table: 'contacts',
    idColumn: 'contact_id',
    idKind: 'contact',
    entity: 'contact',
    fields: CONTACT_FIELDS,
    toModel: toContact,
    toColumns: (input) => ({
      first_name: input.firstName,
      last_name: input.lastName,
      email: input.email,
      phone: input.phone ?? null,
      role: input.role,
      language: input.language ?? null,
    }),
  })

const toContact = (row: Row): Contact => ({
  contactId: row.contact_id,
  firstName: row.first_name,
  lastName: row.last_name,
  email: row.email,
  ...(row.phone !== null && { phone: row.phone }),
  role: row.role,
  ...(row.language !== null && { language: row.language }),
  ...ownedOf(row),
})
