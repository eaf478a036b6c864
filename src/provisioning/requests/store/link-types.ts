import { sql } from 'kysely'
import type { ODataQuery } from '../../odata/query.ts'
import type { SearchPage, SearchSource } from '../../odata/search.ts'
import { appendAudit } from '../../store/audit.ts'
import type { Queries } from '../../store/database.ts'
import type { CallbackTarget } from '../model/callback.ts'
import { noAccess } from '../model/refusal.ts'
import { lockEnvironment } from './environment-lock.ts'
import { auditChainOf, type Environment } from './environments.ts'
import { runSearch, type SearchParts } from './run-search.ts'
import { integerColumn, textColumn } from './search-fields.ts'

/** What requests can be linked to, and who is told of their end. */
export type LinkType = {
  readonly linkTypeId: number
  readonly name: string
  /** Of the end of a request that has such a link. */
  readonly requestCallback?: CallbackTarget
  /** Of the end of a batch that has such a request. */
  readonly batchCallback?: CallbackTarget
}

const sourceOf = (environmentId: number): SearchSource => ({
  from: sql`from link_types l where l.environment_id = ${environmentId}`,
  columns: sql`l.link_type_id as "linkTypeId", l.name`,
  key: 'linkTypeId',
  fields: { linkTypeId: integerColumn(sql`l.link_type_id`), name: textColumn(sql`l.name`) },
})

/** The link types of environments; the operator makes them. */
export class LinkTypes {
  readonly #parts: SearchParts

  constructor(parts: SearchParts) {
    this.#parts = parts
  }

  search(environmentId: number, query: ODataQuery): Promise<SearchPage<Pick<LinkType, 'linkTypeId' | 'name'>>> {
    return runSearch(this.#parts, { source: sourceOf(environmentId), query })
  }

  /** Rejects with `resource_not_found`. */
  async find(environmentId: number, linkTypeId: number): Promise<LinkType> {
    const found = await this.#parts.database.query((db) => findLinkType(db, environmentId, linkTypeId))
    if (found === undefined) throw noAccess('link type', linkTypeId, 'linkTypeId')
    return found
  }

  /** Makes it, or puts it in place of the one of this id. Rejects with `already_exists` for the name of another one. */
  async put({ environmentId }: Pick<Environment, 'environmentId'>, linkType: LinkType): Promise<void> {
    await this.#parts.database.transaction(async (tx) => {
      await lockEnvironment(tx, environmentId)
      const before = await findLinkType(tx, environmentId, linkType.linkTypeId)
      const columns = {
        name: linkType.name,
        request_callback: linkType.requestCallback === undefined ? null : JSON.stringify(linkType.requestCallback),
        batch_callback: linkType.batchCallback === undefined ? null : JSON.stringify(linkType.batchCallback),
      }
      await tx
        .insertInto('link_types')
        .values({ environment_id: environmentId, link_type_id: linkType.linkTypeId, ...columns })
        .onConflict((conflict) => conflict.columns(['environment_id', 'link_type_id']).doUpdateSet(columns))
        .execute()
      await appendAudit(tx, [
        {
          chain: auditChainOf(environmentId),
          actor: 'admin',
          entity: 'link_type',
          entityId: String(linkType.linkTypeId),
          action: before === undefined ? 'create' : 'update',
          ...(before !== undefined && { before }),
          after: linkType,
        },
      ])
    })
  }
}

async function findLinkType(
  queries: Queries,
  environmentId: number,
  linkTypeId: number,
): Promise<LinkType | undefined> {
  const row = await queries
    .selectFrom('link_types')
    .selectAll()
    .where('environment_id', '=', environmentId)
    .where('link_type_id', '=', linkTypeId)
    .executeTakeFirst()
  if (row === undefined) return undefined
  return {
    linkTypeId,
    name: row.name,
    ...(row.request_callback !== null && { requestCallback: row.request_callback }),
    ...(row.batch_callback !== null && { batchCallback: row.batch_callback }),
  }
}
