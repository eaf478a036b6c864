import { sql } from 'kysely'
import type { ODataQuery } from '../../odata/query.ts'
import type { SearchPage, SearchSource } from '../../odata/search.ts'
import type { Queries } from '../../store/database.ts'
import { noAccess } from '../model/refusal.ts'
import { INSTALLATION_COLUMNS, INSTALLATION_FIELDS, type Installation } from './installations.ts'
import { runSearch, type SearchParts } from './run-search.ts'
import { integerColumn, textColumn } from './search-fields.ts'

export type Provider = { readonly provider_id: number; readonly name: string; readonly description: string }
export type ProviderActionRow = {
  readonly provider_action_id: number
  readonly name: string
  readonly description: string
}
/** What an action can be told, see `ACTION_CATALOGUE`. */
export type ActionDataDefinition = {
  readonly data_definition_id: number
  readonly data_type_id: number
  readonly default_value: string | null
  readonly description: string
  readonly is_required: boolean
  readonly name: string
  readonly sequence_number: number
}

/** A provider's action: both ids are of the path. */
export type ActionKey = { readonly providerId: number; readonly actionId: number }

const PROVIDERS: SearchSource = {
  from: sql`from action_providers p where true`,
  columns: sql`p.provider_id, p.name, p.description`,
  key: 'providerID',
  fields: {
    providerID: integerColumn(sql`p.provider_id`),
    name: textColumn(sql`p.name`),
    description: textColumn(sql`p.description`),
  },
}

const actionsOf = (providerId: number): SearchSource => ({
  from: sql`from provider_actions a where a.provider_id = ${providerId}`,
  columns: sql`a.provider_action_id, a.name, a.description`,
  key: 'providerActionID',
  fields: {
    providerActionID: integerColumn(sql`a.provider_action_id`),
    name: textColumn(sql`a.name`),
    description: textColumn(sql`a.description`),
  },
})

const versionsOf = (providerId: number): SearchSource => ({
  from: sql`from installations i join installation_types t using (installation_type_id)
    where t.provider_id = ${providerId}`,
  columns: INSTALLATION_COLUMNS,
  key: 'installationID',
  fields: INSTALLATION_FIELDS,
})

/** The providers that requests can have something done by; `synchroniseProviders` writes them. */
export class Providers {
  readonly #parts: SearchParts

  constructor(parts: SearchParts) {
    this.#parts = parts
  }

  search(query: ODataQuery): Promise<SearchPage<Provider>> {
    return runSearch(this.#parts, { source: PROVIDERS, query })
  }

  /** Rejects with `resource_not_found`, like all that take a provider's id. */
  find(providerId: number): Promise<Provider> {
    return this.#parts.database.query((db) => findProvider(db, providerId))
  }

  async versions(providerId: number, query: ODataQuery): Promise<SearchPage<Installation>> {
    await this.find(providerId)
    return runSearch(this.#parts, { source: versionsOf(providerId), query })
  }

  async actions(providerId: number, query: ODataQuery): Promise<SearchPage<ProviderActionRow>> {
    await this.find(providerId)
    return runSearch(this.#parts, { source: actionsOf(providerId), query })
  }

  action(key: ActionKey): Promise<ProviderActionRow> {
    return this.#parts.database.query((db) => findAction(db, key))
  }

  /** In the order of their sequence numbers. */
  dataDefinitions(key: ActionKey): Promise<readonly ActionDataDefinition[]> {
    return this.#parts.database.query(async (db) => {
      await findAction(db, key)
      return db
        .selectFrom('action_data_definitions')
        .selectAll()
        .where('provider_action_id', '=', key.actionId)
        .orderBy('sequence_number')
        .execute()
    })
  }
}

async function findProvider(queries: Queries, providerId: number): Promise<Provider> {
  const row = await queries
    .selectFrom('action_providers')
    .selectAll()
    .where('provider_id', '=', providerId)
    .executeTakeFirst()
  if (row === undefined) throw noAccess('provider', providerId, 'providerId')
  return row
}

async function findAction(queries: Queries, { providerId, actionId }: ActionKey): Promise<ProviderActionRow> {
  await findProvider(queries, providerId)
  const row = await queries
    .selectFrom('provider_actions')
    .selectAll()
    .where('provider_id', '=', providerId)
    .where('provider_action_id', '=', actionId)
    .executeTakeFirst()
  if (row === undefined) throw noAccess('provider action', actionId, 'actionId')
  return row
}
