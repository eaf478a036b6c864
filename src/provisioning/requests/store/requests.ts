import { sql } from 'kysely'
import type { ODataQuery } from '../../odata/query.ts'
import type { SearchPage, SearchSource } from '../../odata/search.ts'
import type { Queries } from '../../store/database.ts'
import { noAccess } from '../model/refusal.ts'
import type { RequestRef } from './request-rows.ts'
import { runSearch, type SearchParts } from './run-search.ts'
import { booleanColumn, indexed, integerColumn, millisecondColumn, nullable, textColumn } from './search-fields.ts'

type Authorship = {
  readonly created_at: Date
  readonly created_by: string
  readonly modified_at: Date
  readonly modified_by: string
}

/** A provisioning request with the names of what it refers to. */
export type ProvisioningRequest = Authorship & {
  readonly request_id: number
  readonly account_number: number | null
  readonly account_name: string | null
  readonly completed_at: Date | null
  readonly is_read_only: boolean
  readonly profile_id: number
  readonly profile_name: string
  readonly profile_description: string | null
  readonly profile_created_at: Date
  readonly profile_created_by: string
  readonly profile_modified_at: Date
  readonly profile_modified_by: string
  readonly object_code: string | null
  readonly internal_id: string | null
  readonly object_starts_at: Date | null
  readonly object_ends_at: Date | null
  readonly object_status_id: number | null
  readonly object_status: string | null
  readonly transition_id: number | null
  readonly transition: string | null
  readonly batch_id: number | null
  readonly total_object_count: number | null
  readonly links: readonly RequestLink[]
  readonly regenerated_from_id: number | null
  readonly regeneration_count: number
  readonly reprocessing: boolean
  readonly root_regenerated_from_id: number | null
  readonly status_id: number
  readonly status: string
  readonly status_note: string | null
  readonly was_forced: boolean
  readonly was_regenerated: boolean
  readonly work_item_instance_id: number | null
}

type RequestLink = { readonly linkTypeID: number; readonly linkType: string; readonly linkValue: string }

const COLUMNS = sql`r.request_id, r.account_number, r.account_name, r.completed_at, r.created_at, r.created_by,
  r.is_read_only, r.modified_at, r.modified_by, r.profile_id, p.name as profile_name,
  p.description as profile_description, p.created_at as profile_created_at, p.created_by as profile_created_by,
  p.modified_at as profile_modified_at, p.modified_by as profile_modified_by,
  r.object_code, r.internal_id, r.object_starts_at, r.object_ends_at, r.object_status_id, os.name as object_status,
  r.transition_id, ot.name as transition, r.batch_id, b.total_object_count, r.regenerated_from_id,
  r.regeneration_count, r.reprocessing, r.root_regenerated_from_id, r.status_id, rs.name as status, r.status_note,
  r.was_forced, r.was_regenerated, r.work_item_instance_id,
  (select coalesce(jsonb_agg(jsonb_build_object('linkTypeID', l.link_type_id, 'linkType', t.name,
      'linkValue', l.link_value) order by l.sequence_number), '[]')
    from request_links l join link_types t on t.environment_id = r.environment_id and t.link_type_id = l.link_type_id
    where l.request_id = r.request_id) as links`

const sourceOf = (environmentId: number): SearchSource => ({
  from: sql`from provisioning_requests r
    join profiles p on p.profile_id = r.profile_id
    join request_statuses rs on rs.status_id = r.status_id
    left join object_statuses os on os.status_id = r.object_status_id
    left join object_transitions ot on ot.transition_id = r.transition_id
    left join request_batches b on b.batch_id = r.batch_id
    where r.environment_id = ${environmentId}`,
  columns: COLUMNS,
  key: 'provisioningRequestID',
  fields: FIELDS,
  collections: {
    provisioningRequestLinks: {
      // As a plain product: only so can it be read by the links instead of by the requests.
      source: sql`from request_links l, link_types t where l.request_id = r.request_id
        and t.link_type_id = l.link_type_id and t.environment_id = r.environment_id`,
      fields: {
        linkTypeID: integerColumn(sql`l.link_type_id`),
        linkType: textColumn(sql`t.name`),
        linkValue: textColumn(sql`l.link_value`),
      },
    },
  },
})

const FIELDS: SearchSource['fields'] = {
  'accountInformation/accountNumber': indexed(nullable(integerColumn(sql`r.account_number`))),
  'accountInformation/name': nullable(textColumn(sql`r.account_name`)),
  completeDate: nullable(millisecondColumn(sql`r.completed_at`)),
  createDate: millisecondColumn(sql`r.created_at`),
  createUser: textColumn(sql`r.created_by`),
  lastModifiedDate: indexed(millisecondColumn(sql`r.modified_at`)),
  lastModifiedUser: textColumn(sql`r.modified_by`),
  isReadOnly: booleanColumn(sql`r.is_read_only`),
  profileID: integerColumn(sql`r.profile_id`),
  'profile/profileID': integerColumn(sql`r.profile_id`),
  'profile/name': textColumn(sql`p.name`),
  'profile/description': nullable(textColumn(sql`p.description`)),
  provisionedObjectCode: nullable(textColumn(sql`r.object_code`)),
  provisionedObjectEndDate: nullable(millisecondColumn(sql`r.object_ends_at`)),
  provisionedObjectInternalID: indexed(nullable(textColumn(sql`r.internal_id`))),
  provisionedObjectStartDate: nullable(millisecondColumn(sql`r.object_starts_at`)),
  provisionedObjectStatus: nullable(textColumn(sql`os.name`)),
  provisionedObjectStatusID: nullable(integerColumn(sql`r.object_status_id`)),
  provisionedObjectTransition: nullable(textColumn(sql`ot.name`)),
  provisionedObjectTransitionID: nullable(integerColumn(sql`r.transition_id`)),
  provisioningRequestBatchID: indexed(nullable(integerColumn(sql`r.batch_id`))),
  provisioningRequestBatchTotalObjectCount: nullable(integerColumn(sql`b.total_object_count`)),
  provisioningRequestID: indexed(integerColumn(sql`r.request_id`)),
  regeneratedFromProvisioningRequestID: nullable(integerColumn(sql`r.regenerated_from_id`)),
  regenerationCount: integerColumn(sql`r.regeneration_count`),
  reprocessing: booleanColumn(sql`r.reprocessing`),
  rootRegeneratedFromProvisioningRequestID: nullable(integerColumn(sql`r.root_regenerated_from_id`)),
  status: textColumn(sql`rs.name`),
  statusID: indexed(integerColumn(sql`r.status_id`)),
  statusNote: nullable(textColumn(sql`r.status_note`)),
  wasForced: booleanColumn(sql`r.was_forced`),
  wasRegenerated: booleanColumn(sql`r.was_regenerated`),
  workItemInstanceID: nullable(integerColumn(sql`r.work_item_instance_id`)),
}

/** Provisioning requests, to be read. They are made by `Submission` and run by `RequestRunner`. */
export class Requests {
  readonly #parts: SearchParts

  constructor(parts: SearchParts) {
    this.#parts = parts
  }

  search(environmentId: number, query: ODataQuery): Promise<SearchPage<ProvisioningRequest>> {
    return runSearch(this.#parts, { source: sourceOf(environmentId), query })
  }

  /** Rejects with `resource_not_found`. */
  find(ref: RequestRef): Promise<ProvisioningRequest> {
    return this.#parts.database.query((db) => readRequest(db, ref))
  }
}

/** The request as it stands for `queries`. Rejects with `resource_not_found`. */
export async function readRequest(
  queries: Queries,
  { environmentId, requestId }: RequestRef,
): Promise<ProvisioningRequest> {
  const { from } = sourceOf(environmentId)
  const { rows } = await sql<ProvisioningRequest>`
    select ${COLUMNS} ${from} and r.request_id = ${requestId}`.execute(queries)
  const [row] = rows
  if (row === undefined) throw noAccess('Provisioning Request', requestId, 'provisioningRequestId')
  return row
}
