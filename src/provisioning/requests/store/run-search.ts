import type { ODataQuery } from '../../odata/query.ts'
import { searchRows, type SearchPage, type SearchSource } from '../../odata/search.ts'
import type { ProvisioningDatabase, Queries } from '../../store/database.ts'

/** What a search needs of the installation. */
export type SearchParts = {
  readonly database: ProvisioningDatabase
  /** What skip tokens are signed with. */
  readonly secret: Buffer
}

/**
 * A page of a source. A source that is a function is made first, which rejects if there is not what its rows belong
 * to. Rejects with `invalid_request` as `searchRows` does.
 */
export function runSearch<Row extends object>(
  { database, secret }: SearchParts,
  search: {
    readonly source: SearchSource | ((queries: Queries) => SearchSource | Promise<SearchSource>)
    readonly query: ODataQuery
  },
): Promise<SearchPage<Row>> {
  const { source, query } = search
  return database.query(async (db) =>
    searchRows<Row>(db, { source: typeof source === 'function' ? await source(db) : source, query, secret }),
  )
}
