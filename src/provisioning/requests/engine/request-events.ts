import { sql, type RawBuilder, type Selectable } from 'kysely'
import {
  BATCH_ENDED,
  ENDED_STATUSES,
  REQUEST_ENDED,
  type BatchEventPayload,
  type RequestEventPayload,
} from '../../../core/provisioning-request-event.ts'
import { GatewayError } from '../../../core/errors.ts'
import type { Queries } from '../../store/database.ts'
import { appendEvents, type OutboxEvent } from '../../store/outbox.ts'
import type { CallbackTarget } from '../model/callback.ts'
import type { RequestRow } from '../store/request-rows.ts'
import type { RequestTables } from '../store/schema.ts'

/** Keeps what the environment's app is to be told of the end of a request, for each link that asks for it. */
export async function tellRequestEnd(tx: Queries, request: RequestRow): Promise<void> {
  const { rows: links } = await linksOf({
    callback: 'request_callback',
    members: sql`l.request_id = ${request.request_id}`,
    environmentId: request.environment_id,
  }).execute(tx)
  if (links.length === 0) return
  const { name } = await tx
    .selectFrom('request_statuses')
    .select('name')
    .where('status_id', '=', request.status_id)
    .executeTakeFirstOrThrow()
  const status = ENDED_STATUSES.find((ended) => ended === name)
  if (status === undefined) throw new GatewayError('internal', { cause: new Error(`a request does not end ${name}`) })
  const events = links.map((link): OutboxEvent => {
    const payload: RequestEventPayload = {
      ...commonOf(link),
      event: REQUEST_ENDED,
      provisioning_request_id: request.request_id,
      ...(request.batch_id !== null && { provisioning_request_batch_id: request.batch_id }),
      ...(request.object_code !== null && { provisioned_object_code: request.object_code }),
      ...(request.internal_id !== null && { provisioned_object_internal_id: request.internal_id }),
      status_id: request.status_id,
      status,
      ...(request.status_note !== null && { status_note: request.status_note }),
    }
    return toEvent(link, payload, `provisioning_request:${request.request_id}`)
  })
  await appendEvents(tx, events)
}

/** The same for a batch, for each link of its members; a link that several of them have is told once. */
export async function tellBatchEnd(tx: Queries, batch: Selectable<RequestTables['request_batches']>): Promise<void> {
  const wanted = linksOf({
    callback: 'batch_callback',
    members: sql`l.request_id in (select request_id from provisioning_requests where batch_id = ${batch.batch_id})`,
    environmentId: batch.environment_id,
  })
  // A batch may have any number of members, each of which may have many.
  await sql`declare batch_links no scroll cursor for ${wanted}`.execute(tx)
  for (;;) {
    const { rows: links } = await sql<Link>`fetch ${sql.lit(LINKS_AT_ONCE)} from batch_links`.execute(tx)
    if (links.length === 0) break
    const events = links.map((link): OutboxEvent => {
      const payload: BatchEventPayload = {
        ...commonOf(link),
        event: BATCH_ENDED,
        provisioning_request_batch_id: batch.batch_id,
        total_object_count: batch.total_object_count,
      }
      return toEvent(link, payload, `provisioning_batch:${batch.batch_id}`)
    })
    await appendEvents(tx, events)
  }
  await sql`close batch_links`.execute(tx)
}

const LINKS_AT_ONCE = 1_000

type Link = {
  readonly app_id: string
  readonly environment: string
  readonly link_type_id: number
  readonly link_type: string
  readonly link_value: string
  readonly callback: CallbackTarget
  readonly now: Date
}

/** An environment that is no app's has nobody to tell. */
const linksOf = ({
  callback,
  members,
  environmentId,
}: {
  readonly callback: 'request_callback' | 'batch_callback'
  readonly members: RawBuilder<unknown>
  readonly environmentId: number
}): RawBuilder<Link> =>
  sql<Link>`
    select distinct e.app_id, e.name as environment, l.link_type_id, t.name as link_type, l.link_value,
      t.${sql.ref(callback)} as callback, now() as now
    from request_links l
      join link_types t on t.environment_id = ${environmentId} and t.link_type_id = l.link_type_id
      join environments e on e.environment_id = t.environment_id
    where ${members} and t.${sql.ref(callback)} is not null and e.app_id is not null
    order by l.link_type_id, l.link_value`

const commonOf = ({ app_id, environment, link_type_id, link_type, link_value, callback, now }: Link) => ({
  app_id,
  environment,
  link: { link_type_id, link_type, link_value },
  callback: {
    callback_id: callback.callbackId,
    service: callback.service,
    service_version: callback.serviceVersion,
    relative_path: callback.relativePath,
  },
  timestamp: now.getTime(),
})

const toEvent = (link: Link, payload: RequestEventPayload | BatchEventPayload, orderKey: string): OutboxEvent => ({
  appId: link.app_id,
  type: payload.event,
  orderKey,
  payload: JSON.stringify(payload),
})
