import { sql } from 'kysely'
import { invalidRequest } from '../../../core/parse-input.ts'
import type { SearchField } from '../../odata/registry.ts'
import { appendAudit } from '../../store/audit.ts'
import type { ProvisioningDatabase, Queries } from '../../store/database.ts'
import { parseVersion } from '../model/installed-version.ts'
import { noAccess } from '../model/refusal.ts'
import { auditChainOf } from './environments.ts'
import type { InstalledAdapter } from './provider-registry.ts'
import { booleanColumn, integerColumn, textColumn, timeColumn } from './search-fields.ts'

/** A version of an adapter that runs here, or did. */
export type Installation = {
  readonly installation_id: number
  readonly installation_type_id: number
  readonly name: string
  readonly description: string
  readonly major_version: number
  readonly minor_version: number
  readonly service_pack: number
  readonly build_number: number
  readonly installed_at: Date
  readonly is_active: boolean
}
/** An adapter, with the version of it that is active. */
export type InstallationType = {
  readonly installation_type_id: number
  readonly name: string
  readonly display_name: string
  readonly active_name: string | null
  readonly active_id: number | null
}

export const INSTALLATION_COLUMNS = sql`i.*`
/** Of the rows `i` of a search. */
export const INSTALLATION_FIELDS: Readonly<Record<string, SearchField>> = {
  installationID: integerColumn(sql`i.installation_id`),
  installationTypeID: integerColumn(sql`i.installation_type_id`),
  name: textColumn(sql`i.name`),
  description: textColumn(sql`i.description`),
  majorVersion: integerColumn(sql`i.major_version`),
  minorVersion: integerColumn(sql`i.minor_version`),
  servicePack: integerColumn(sql`i.service_pack`),
  buildNumber: integerColumn(sql`i.build_number`),
  installationDate: timeColumn(sql`i.installed_at`),
  isActive: booleanColumn(sql`i.is_active`),
}

/** Versions of adapters, see `synchroniseProviders`. They are the same in every environment. */
export class Installations {
  readonly #database: ProvisioningDatabase
  readonly #adapters: readonly InstalledAdapter[]

  /** `adapters`: what runs in this process. */
  constructor(database: ProvisioningDatabase, adapters: readonly InstalledAdapter[]) {
    this.#database = database
    this.#adapters = adapters
  }

  types(): Promise<readonly InstallationType[]> {
    return this.#database.query((db) =>
      db
        .selectFrom('installation_types as t')
        .leftJoin('installations as i', (join) =>
          join.onRef('i.installation_type_id', '=', 't.installation_type_id').on('i.is_active', '=', true),
        )
        .select([
          't.installation_type_id',
          't.name',
          't.display_name',
          'i.name as active_name',
          'i.installation_id as active_id',
        ])
        .orderBy('t.installation_type_id')
        .execute(),
    )
  }

  /** In the order in which they came. Rejects with `resource_not_found`. */
  list(installationTypeId: number): Promise<readonly Installation[]> {
    return this.#database.query(async (db) => {
      await findType(db, installationTypeId)
      return db
        .selectFrom('installations')
        .selectAll()
        .where('installation_type_id', '=', installationTypeId)
        .orderBy('installation_id')
        .execute()
    })
  }

  /**
   * Makes it the active one of its type. Rejects with `resource_not_found`, or with `invalid_request` for a version
   * that does not run here, as after an upgrade.
   */
  async activate({
    environmentId,
    actor,
    installationTypeId,
    installationId,
  }: {
    readonly environmentId: number
    readonly actor: string
    readonly installationTypeId: number
    readonly installationId: number
  }): Promise<void> {
    await this.#database.transaction(async (tx) => {
      const code = await findType(tx, installationTypeId)
      const known = await tx
        .selectFrom('installations')
        .selectAll()
        .where('installation_type_id', '=', installationTypeId)
        .forUpdate()
        .execute()
      const wanted = known.find((row) => row.installation_id === installationId)
      if (wanted === undefined) throw noAccess('installation', installationId, 'installationId')
      if (!this.#runs(code, wanted)) {
        throw invalidRequest([{ field: 'installationId', message: 'must be that of a version that is installed' }])
      }
      if (wanted.is_active) return
      const former = known.find((row) => row.is_active)
      await sql`update installations set is_active = false
        where installation_type_id = ${installationTypeId} and is_active`.execute(tx)
      await tx
        .updateTable('installations')
        .set({ is_active: true })
        .where('installation_id', '=', installationId)
        .execute()
      await appendAudit(tx, [
        {
          chain: auditChainOf(environmentId),
          actor,
          entity: 'installation',
          entityId: String(installationId),
          action: 'activate',
          ...(former !== undefined && { before: { installationId: former.installation_id, name: former.name } }),
          after: { installationId, name: wanted.name },
        },
      ])
    })
  }

  #runs(code: string, row: Installation): boolean {
    const version = parseVersion(this.#adapters.find(({ id }) => id === code)?.about.version ?? '')
    return (
      version?.majorVersion === row.major_version &&
      version.minorVersion === row.minor_version &&
      version.servicePack === row.service_pack &&
      version.buildNumber === row.build_number
    )
  }
}

/** The id of the adapter. */
async function findType(queries: Queries, installationTypeId: number): Promise<string> {
  const row = await queries
    .selectFrom('installation_types as t')
    .innerJoin('action_providers as p', 'p.provider_id', 't.provider_id')
    .select('p.code')
    .where('t.installation_type_id', '=', installationTypeId)
    .executeTakeFirst()
  if (row === undefined) throw noAccess('installation type', installationTypeId, 'installationTypeId')
  return row.code
}
