import { sql, type Selectable, type Transaction } from 'kysely'
import { GatewayError } from '../../core/errors.ts'
import { ownedOf, type Owned } from '../model/account.ts'
import type { ProvisioningDatabase } from './database.ts'
import type { ListFields } from './listing.ts'
import { OwnedRecords } from './owned-records.ts'
import type { ProvisioningSchema } from './schema.ts'

type LocationInput = {
  readonly name: string
  readonly line1: string
  readonly line2?: string | undefined
  readonly city: string
  readonly region?: string | undefined
  readonly postalCode: string
  /** ISO 3166-1 alpha-2 */
  readonly country: string
  readonly latitude?: number | undefined
  readonly longitude?: number | undefined
}
/** A site of a customer at which services are delivered. */
export type ProductLocation = LocationInput &
  Owned & { readonly locationId: string; readonly emergencyAddressStatus: string }

export const LOCATION_FIELDS = {
  name: { column: 'name', kind: 'text', isSortable: true },
  city: { column: 'city', kind: 'text', isSortable: true },
  country: { column: 'country', kind: 'text', isSortable: true },
  postalCode: { column: 'postal_code', kind: 'text', isSortable: true },
  emergencyAddressStatus: { column: 'emergency_address_status', kind: 'text', isSortable: true },
  createdAt: { column: 'created_at', kind: 'time', isSortable: true },
  updatedAt: { column: 'updated_at', kind: 'time', isSortable: true },
} as const satisfies ListFields

type Row = Selectable<ProvisioningSchema['product_locations']>
export type Locations = OwnedRecords<Row, ProductLocation, LocationInput>

export const createLocations = (database: ProvisioningDatabase): Locations =>
  new OwnedRecords(database, {
    table: 'product_locations',
    idColumn: 'location_id',
    idKind: 'location',
    entity: 'product_location',
    fields: LOCATION_FIELDS,
    toModel: toLocation,
    toColumns: (input) => ({
      name: input.name,
      line1: input.line1,
      line2: input.line2 ?? null,
      city: input.city,
      region: input.region ?? null,
      postal_code: input.postalCode,
      country: input.country,
      latitude: input.latitude ?? null,
      longitude: input.longitude ?? null,
      // A changed address has not been validated by anybody.
      emergency_address_status: 'none',
    }),
    beforeRemove: refuseWhileUsed,
  })

/** Services that have ended keep no location, so that history does not stand in the way. */
async function refuseWhileUsed(tx: Transaction<ProvisioningSchema>, locationId: string): Promise<void> {
  const { rows } = await sql`
    select 1 from services where location_id = ${locationId} and state <> 'ended'
    union all select 1 from connections where location_id = ${locationId} limit 1`.execute(tx)
  if (rows.length > 0) throw new GatewayError('in_use', { detail: 'Services or connections are at this location.' })
  await sql`update services set location_id = null where location_id = ${locationId}`.execute(tx)
}

const toLocation = (row: Row): ProductLocation => ({
  locationId: row.location_id,
  name: row.name,
  line1: row.line1,
  ...(row.line2 !== null && { line2: row.line2 }),
  city: row.city,
  ...(row.region !== null && { region: row.region }),
  postalCode: row.postal_code,
  country: row.country,
  ...(row.latitude !== null && { latitude: row.latitude }),
  ...(row.longitude !== null && { longitude: row.longitude }),
  emergencyAddressStatus: row.emergency_address_status,
  ...ownedOf(row),
})
