import { sql } from 'kysely'
import { GatewayError } from '../../../core/errors.ts'
import { invalidRequest } from '../../../core/parse-input.ts'
import type { ODataQuery } from '../../odata/query.ts'
import type { SearchPage, SearchSource } from '../../odata/search.ts'
import { appendAudit } from '../../store/audit.ts'
import type { Queries } from '../../store/database.ts'
import { ComputationError, type ComputationType, type ComputedItem } from '../model/computed-items.ts'
import { auditChainOf, type Environment } from '../store/environments.ts'
import { findRequestRow, lockRequest, type RequestRef, type RequestRow } from '../store/request-rows.ts'
import { runSearch, type SearchParts } from '../store/run-search.ts'
import { booleanColumn, hiddenColumn, nullable, textColumn } from '../store/search-fields.ts'
import { computeRequest } from './computation.ts'

/** An item of a request, as it was given. */
export type GivenItem = { readonly key_name: string; readonly value: string }
/** An item of a request, and what it comes to. */
export type ComputedRow = {
  readonly key_name: string
  readonly value: string | null
  readonly is_required: boolean
  readonly computation_type: ComputationType
}
/** Which outcome a request has of a variable. */
export type OutcomeRow = { readonly variable_code: string; readonly outcome_code: string }

/** The order of items unless another is asked for: that of the request, or of the definitions. */
const POSITION = '#position'

const givenSource = (requestId: number): SearchSource => ({
  from: sql`from request_items i where i.request_id = ${requestId}`,
  columns: sql`i.key_name, i.value`,
  key: POSITION,
  fields: {
    [POSITION]: hiddenColumn(sql`i.sequence_number`),
    keyName: textColumn(sql`i.key_name`),
    value: textColumn(sql`i.value`),
  },
})

const COMPUTED_COLUMNS = sql`i.key_name, i.value, i.is_required, i.computation_type`
const COMPUTED_FIELDS: SearchSource['fields'] = {
  [POSITION]: hiddenColumn(sql`i.sequence_number`),
  keyName: textColumn(sql`i.key_name`),
  value: nullable(textColumn(sql`i.value`)),
  isRequired: booleanColumn(sql`i.is_required`),
  isComputed: booleanColumn(sql`(i.computation_type <> 'Request')`),
  computationType: textColumn(sql`i.computation_type`),
}

/** What was computed just now, as if it were a table. */
const computedSource = (items: readonly ComputedItem[]): SearchSource => ({
  from: sql`from unnest(${items.map((item) => item.keyName)}::text[],
      ${items.map((item) => item.value ?? null)}::text[], ${items.map((item) => item.isRequired)}::boolean[],
      ${items.map((item) => item.computationType)}::text[])
    with ordinality as i (key_name, value, is_required, computation_type, sequence_number) where true`,
  columns: COMPUTED_COLUMNS,
  key: POSITION,
  fields: COMPUTED_FIELDS,
})

const snapshotSource = (requestId: number): SearchSource => ({
  from: sql`from request_snapshot_items i where i.request_id = ${requestId}`,
  columns: COMPUTED_COLUMNS,
  key: POSITION,
  fields: COMPUTED_FIELDS,
})

const outcomeSource = (requestId: number): SearchSource => ({
  from: sql`from request_variable_outcomes o where o.request_id = ${requestId}`,
  columns: sql`o.variable_code, o.outcome_code`,
  key: 'VariableCode',
  fields: { OutcomeCode: textColumn(sql`o.outcome_code`), VariableCode: textColumn(sql`o.variable_code`) },
})

/** What requests have one per key: items as given, computed and frozen, and outcomes of variables. */
export class RequestItems {
  readonly #parts: SearchParts

  constructor(parts: SearchParts) {
    this.#parts = parts
  }

  /** All searches reject with `resource_not_found` for a request that there is not. */
  given(ref: RequestRef, query: ODataQuery): Promise<SearchPage<GivenItem>> {
    return this.#search(ref, query, ({ request_id: requestId }) => givenSource(requestId))
  }

  outcomes(ref: RequestRef, query: ODataQuery): Promise<SearchPage<OutcomeRow>> {
    return this.#search(ref, query, ({ request_id: requestId }) => outcomeSource(requestId))
  }

  /** As things stand. Rejects with `invalid_request` when an item cannot be computed any more. */
  computed(ref: RequestRef, query: ODataQuery): Promise<SearchPage<ComputedRow>> {
    return this.#search(ref, query, async (request, queries) => computedSource(await compute(queries, request)))
  }

  /** As they were when the snapshot was saved. Rejects with `resource_not_found` when none was. */
  snapshot(ref: RequestRef, query: ODataQuery): Promise<SearchPage<ComputedRow>> {
    return this.#search(ref, query, ({ request_id: requestId, snapshot_at: savedAt }) => {
      if (savedAt !== null) return snapshotSource(requestId)
      throw new GatewayError('resource_not_found', {
        detail: `There is no snapshot of provisioning request Id ${requestId}.`,
        fields: { field: 'provisioningRequestId' },
      })
    })
  }

  /** Keeps the computed items as they are now, in place of those that were kept before. */
  async saveSnapshot({
    environment: { environmentId },
    actor,
    requestId,
  }: {
    readonly environment: Environment
    readonly actor: string
    readonly requestId: number
  }): Promise<void> {
    await this.#parts.database.transaction(async (tx) => {
      const request = await lockRequest(tx, { environmentId, requestId })
      const items = await compute(tx, request)
      await tx.deleteFrom('request_snapshot_items').where('request_id', '=', requestId).execute()
      await insertSnapshot(tx, requestId, items)
      await tx
        .updateTable('provisioning_requests')
        .set({ snapshot_at: sql<Date>`now()` })
        .where('request_id', '=', requestId)
        .execute()
      await appendAudit(tx, [
        {
          chain: auditChainOf(environmentId),
          actor,
          entity: 'provisioning_request',
          entityId: String(requestId),
          action: 'save_snapshot',
        },
      ])
    })
  }

  #search<Row extends object>(
    ref: RequestRef,
    query: ODataQuery,
    sourceOf: (request: RequestRow, queries: Queries) => SearchSource | Promise<SearchSource>,
  ): Promise<SearchPage<Row>> {
    const source = async (db: Queries) => sourceOf(await findRequestRow(db, ref), db)
    return runSearch(this.#parts, { source, query })
  }
}

async function compute(queries: Queries, request: RequestRow): Promise<readonly ComputedItem[]> {
  try {
    return await computeRequest(queries, request)
  } catch (error) {
    if (error instanceof ComputationError) throw invalidRequest([{ field: error.keyName, message: error.message }])
    throw error
  }
}

async function insertSnapshot(tx: Queries, requestId: number, items: readonly ComputedItem[]): Promise<void> {
  if (items.length === 0) return
  const rows = items.map((item, at) => ({
    request_id: requestId,
    sequence_number: at + 1,
    key_name: item.keyName,
    value: item.value ?? null,
    is_required: item.isRequired,
    computation_type: item.computationType,
  }))
  await tx.insertInto('request_snapshot_items').values(rows).execute()
}
