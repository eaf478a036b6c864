import { sql } from 'kysely'
import { invalidRequest } from '../../../core/parse-input.ts'
import type { ODataQuery } from '../../odata/query.ts'
import type { SearchPage, SearchSource } from '../../odata/search.ts'
import { appendAudit } from '../../store/audit.ts'
import type { Queries } from '../../store/database.ts'
import { noAccess } from '../model/refusal.ts'
import { auditChainOf, type Environment } from './environments.ts'
import { findRequestRow, type RequestRef } from './request-rows.ts'
import { runSearch, type SearchParts } from './run-search.ts'
import { booleanColumn, integerColumn, nullable, textColumn, timeColumn } from './search-fields.ts'

/** One fact of a provider call, such as an id; the document's sample has a number as its value. */
type CallComponent = { readonly key: string; readonly value: string | number | boolean | null }

/** What was sent to a provider, or came from it, or would have been sent. */
export type NewCallDetail = {
  readonly requestId: number
  readonly providerActionId?: number | undefined
  readonly isResponse: boolean
  readonly correlationId?: string | undefined
  /** Tells which arguments of the action it belongs to. */
  readonly actionCorrelationId?: string | undefined
  readonly content?: string | undefined
  readonly components?: readonly CallComponent[]
  /** In milliseconds since 1970; now unless given. */
  readonly at?: number
}

/** A call detail without its content. */
export type CallDetailRow = {
  readonly call_detail_id: number
  readonly is_response: boolean
  readonly correlation_id: string | null
  readonly action_correlation_id: string | null
  readonly at: Date
  readonly provider_id: number | null
  readonly provider: string | null
  readonly provider_action_id: number | null
  readonly provider_action: string | null
}

/** The same with it. */
export type CallDetail = CallDetailRow & {
  readonly content: string | null
  readonly components: readonly CallComponent[]
}

const CORRELATION = sql`coalesce(d.correlation_id, c.correlation_id)`
const FROM = sql`from call_details d
  left join provider_calls c on c.call_id = d.call_id
  left join provider_actions a on a.provider_action_id = d.provider_action_id
  left join action_providers p on p.provider_id = a.provider_id`
const COLUMNS = sql`d.call_detail_id, d.is_response, ${CORRELATION} as correlation_id, d.action_correlation_id, d.at,
  p.provider_id, coalesce(p.name, c.provider) as provider, a.provider_action_id,
  coalesce(a.name, c.action) as provider_action`

const sourceOf = (requestId: number): SearchSource => ({
  from: sql`${FROM} where d.request_id = ${requestId}`,
  columns: COLUMNS,
  key: 'providerCallDetailID',
  fields: {
    correlationID: nullable(textColumn(CORRELATION)),
    isResponse: booleanColumn(sql`d.is_response`),
    provider: nullable(textColumn(sql`coalesce(p.name, c.provider)`)),
    providerID: nullable(integerColumn(sql`p.provider_id`)),
    providerAction: nullable(textColumn(sql`coalesce(a.name, c.action)`)),
    providerActionCorrelationID: nullable(textColumn(sql`d.action_correlation_id`)),
    providerActionID: nullable(integerColumn(sql`a.provider_action_id`)),
    providerCallDetailID: integerColumn(sql`d.call_detail_id`),
    timeStamp: timeColumn(sql`d.at`),
  },
})

/** What was sent to providers for requests, and what came back. */
export class CallDetails {
  readonly #parts: SearchParts

  constructor(parts: SearchParts) {
    this.#parts = parts
  }

  /** Rejects with `resource_not_found`. */
  search(ref: RequestRef, query: ODataQuery): Promise<SearchPage<CallDetailRow>> {
    const source = async (db: Queries) => {
      await findRequestRow(db, ref)
      return sourceOf(ref.requestId)
    }
    return runSearch(this.#parts, { source, query })
  }

  /** Rejects with `resource_not_found`. */
  find(ref: RequestRef & { readonly callDetailId: number }): Promise<CallDetail> {
    return this.#parts.database.query(async (db) => {
      await findRequestRow(db, ref)
      const { rows } = await sql<CallDetail>`
        select ${COLUMNS}, coalesce(d.content, c.content) as content,
          case when d.call_id is null then d.components else c.components end as components
        ${FROM} where d.request_id = ${ref.requestId} and d.call_detail_id = ${ref.callDetailId}`.execute(db)
      const [row] = rows
      if (row === undefined) throw noAccess('Provider Call Detail', ref.callDetailId, 'providerCallDetailId')
      return row
    })
  }

  /**
   * Keeps one that a caller tells of, also of a request that has ended or is read-only. Rejects with
   * `resource_not_found`, or `invalid_request` when no provider has an action of this code.
   */
  async add({
    environment: { environmentId },
    actor,
    actionCode,
    detail,
  }: {
    readonly environment: Environment
    readonly actor: string
    readonly actionCode: string | undefined
    readonly detail: NewCallDetail
  }): Promise<void> {
    await this.#parts.database.transaction(async (tx) => {
      await findRequestRow(tx, { environmentId, requestId: detail.requestId })
      const providerActionId = actionCode === undefined ? undefined : await findAction(tx, actionCode)
      await appendCallDetail(tx, { ...detail, providerActionId })
      await appendAudit(tx, [
        {
          chain: auditChainOf(environmentId),
          actor,
          entity: 'provisioning_request',
          entityId: String(detail.requestId),
          action: 'add_call_detail',
        },
      ])
    })
  }
}

/** Providers may have actions of the same code; the first of them is meant. */
async function findAction(tx: Queries, code: string): Promise<number> {
  const row = await tx
    .selectFrom('provider_actions')
    .select('provider_action_id')
    .where('code', '=', code)
    .orderBy('provider_action_id')
    .limit(1)
    .executeTakeFirst()
  if (row !== undefined) return row.provider_action_id
  throw invalidRequest([{ field: 'providerActionCode', message: 'must be the code of an action of a provider' }])
}

/** Keeps what did not come from an adapter; what adapters send and receive is kept by itself. */
export async function appendCallDetail(tx: Queries, detail: NewCallDetail): Promise<void> {
  await tx
    .insertInto('call_details')
    .values({
      request_id: detail.requestId,
      provider_action_id: detail.providerActionId ?? null,
      is_response: detail.isResponse,
      correlation_id: detail.correlationId ?? null,
      action_correlation_id: detail.actionCorrelationId ?? null,
      content: detail.content ?? null,
      components: JSON.stringify(detail.components ?? []),
      ...(detail.at !== undefined && { at: new Date(detail.at) }),
    })
    .execute()
}
