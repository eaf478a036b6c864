import { sql, type RawBuilder } from 'kysely'
import type { ODataQuery } from '../../odata/query.ts'
import type { SearchPage, SearchSource } from '../../odata/search.ts'
import { appendAudit } from '../../store/audit.ts'
import type { Queries } from '../../store/database.ts'
import { REQUEST_STATUS } from '../model/status.ts'
import { lockEnvironment } from './environment-lock.ts'
import { auditChainOf, type EnvironmentChange } from './environments.ts'
import { runSearch, type SearchParts } from './run-search.ts'
import { textColumn } from './search-fields.ts'

/** An internal id that is allowed from now on, or no longer. */
export type AllowedIdChange = { readonly internalId: string; readonly isAllowed: boolean }

const sourceOf = (environmentId: number): SearchSource => ({
  from: sql`from allowed_internal_ids i where i.environment_id = ${environmentId}`,
  columns: sql`i.internal_id`,
  key: 'allowedInternalID',
  fields: { allowedInternalID: textColumn(sql`i.internal_id`) },
})

/**
 * What keeps requests from providers: while an environment is safeguarded, only those about internal ids that are
 * allowed are sent. A change makes the held requests due that may go on; what was sent is not called back. Whoever
 * holds a request must have `shareEnvironment` from before it looked, lest it is held after what would have released it.
 */
export class Safeguards {
  readonly #parts: SearchParts
  readonly #onChange: () => void

  /** `onChange`: requests may have become due. */
  constructor(parts: SearchParts, onChange: () => void) {
    this.#parts = parts
    this.#onChange = onChange
  }

  search(environmentId: number, query: ODataQuery): Promise<SearchPage<{ readonly internal_id: string }>> {
    return runSearch(this.#parts, { source: sourceOf(environmentId), query })
  }

  /** Allows these internal ids, or allows them no longer; each must be there once. The others stay as they are. */
  async update({
    environmentId,
    actor,
    changes,
  }: EnvironmentChange & { readonly changes: readonly AllowedIdChange[] }): Promise<void> {
    const idsOf = (isAllowed: boolean) =>
      changes.filter((change) => change.isAllowed === isAllowed).map(({ internalId }) => internalId)
    await this.#parts.database.transaction(async (tx) => {
      await lockEnvironment(tx, environmentId)
      const { rows: removed } = await sql<{ id: string }>`delete from allowed_internal_ids
        where environment_id = ${environmentId} and internal_id = any(${idsOf(false)}::text[])
        returning internal_id as id`.execute(tx)
      const { rows: added } = await sql<{ id: string }>`insert into allowed_internal_ids (environment_id, internal_id)
        select ${environmentId}, id from unnest(${idsOf(true)}::text[]) as given (id)
        on conflict do nothing returning internal_id as id`.execute(tx)
      if (removed.length === 0 && added.length === 0) return
      await release(tx, environmentId, sql`internal_id = any(${added.map(({ id }) => id)}::text[])`)
      await appendAudit(tx, [
        {
          ...auditOf(environmentId, actor),
          action: 'update',
          after: { allowed: added.map(({ id }) => id), notAllowed: removed.map(({ id }) => id) },
        },
      ])
    })
    this.#onChange()
  }

  /** Of an environment that is so already, nothing changes. */
  async set({ environmentId, actor, isEnabled }: EnvironmentChange & { readonly isEnabled: boolean }): Promise<void> {
    await this.#parts.database.transaction(async (tx) => {
      const { numUpdatedRows } = await tx
        .updateTable('environments')
        .set({ is_safeguarded: isEnabled })
        .where('environment_id', '=', environmentId)
        .where('is_safeguarded', '<>', isEnabled)
        .executeTakeFirst()
      if (numUpdatedRows === 0n) return
      if (!isEnabled) await release(tx, environmentId, sql`true`)
      await appendAudit(tx, [{ ...auditOf(environmentId, actor), action: isEnabled ? 'enable' : 'disable' }])
    })
    this.#onChange()
  }
}

/** The engine lets what is held and due go on, or holds it again. Orders of other APIs are held by their operators. */
async function release(tx: Queries, environmentId: number, isAllowed: RawBuilder<unknown>): Promise<void> {
  await sql`update provisioning_requests set due_at = now()
    where environment_id = ${environmentId} and status_id = ${REQUEST_STATUS.held} and order_item_id is null
      and ${isAllowed}`.execute(tx)
}

const auditOf = (environmentId: number, actor: string) => ({
  chain: auditChainOf(environmentId),
  actor,
  entity: 'safeguard',
  entityId: String(environmentId),
})
