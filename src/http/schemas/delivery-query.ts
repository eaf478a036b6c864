import * as v from 'valibot'
import {
  ATTEMPT_OUTCOMES,
  DELIVERY_STATUSES,
  ENDED_STATUSES,
  FAILED_STATUSES,
  REPLAY_MAX,
} from '../../core/delivery-record.ts'
import type { DeliveryFilter, DeliveryStatus } from '../../core/delivery-record.ts'
import { AppIdSchema, CallIdSchema, EndpointIdSchema } from '../../core/ids.ts'
import type { AppId, EndpointId } from '../../core/ids.ts'
import { pageFields } from './page.ts'
import { eventTypePattern } from './webhook-settings.ts'

const STATUS = DELIVERY_STATUSES.join('|')
const time = v.pipe(v.string(), v.regex(/^\d{1,15}$/, 'must be a time in milliseconds since 1970'))

const filterFields = {
  call_id: v.optional(v.pipe(CallIdSchema, v.description('Only of events of this call'))),
  event_type: v.optional(eventTypePattern),
  status: v.optional(
    v.pipe(
      v.string(),
      v.regex(
        new RegExp(`^(?:${STATUS})(?:,(?:${STATUS}))*$`),
        `must be one of ${DELIVERY_STATUSES.join(', ')}, or several, separated by commas`,
      ),
      v.maxLength(100),
      v.description(`${DELIVERY_STATUSES.map((status) => `\`${status}\``).join(', ')}; several separated by commas`),
    ),
  ),
  outcome: v.optional(v.pipe(v.picklist(ATTEMPT_OUTCOMES), v.description('What came of the last attempt'))),
  since: v.optional(v.pipe(time, v.description('Only those created at this time (ms since 1970) or later'))),
  until: v.optional(v.pipe(time, v.description('Only those created before this time (ms since 1970)'))),
}
const webhookField = v.optional(v.pipe(EndpointIdSchema, v.description('Only those of this webhook')))

export const WebhookDeliveryQuery = v.strictObject({ ...filterFields, ...pageFields })
export const AppDeliveryQuery = v.strictObject({ webhook_id: webhookField, ...filterFields, ...pageFields })
export const AdminDeliveryQuery = v.strictObject({
  app_id: v.optional(v.pipe(AppIdSchema, v.description('Only those of this app'))),
  webhook_id: webhookField,
  ...filterFields,
  ...pageFields,
})

type Scope = { readonly appId?: AppId | undefined; readonly endpointId?: EndpointId | undefined }

/** The filter of a query, within the app or webhook that the path names. */
export function toDeliveryFilter(
  query: v.InferOutput<typeof WebhookDeliveryQuery>,
  { appId, endpointId }: Scope,
): DeliveryFilter {
  return {
    ...(appId !== undefined && { appId }),
    ...(endpointId !== undefined && { endpointId }),
    ...(query.call_id !== undefined && { callId: query.call_id }),
    ...(query.event_type !== undefined && { type: query.event_type }),
    ...(query.status !== undefined && { statuses: toStatuses(query.status) }),
    ...(query.outcome !== undefined && { outcome: query.outcome }),
    ...(query.since !== undefined && { since: Number(query.since) }),
    ...(query.until !== undefined && { until: Number(query.until) }),
  }
}

const toStatuses = (list: string): readonly DeliveryStatus[] =>
  DELIVERY_STATUSES.filter((status) => list.split(',').includes(status))

const REPLAY_DEFAULT = 1_000
const REPLAY_MESSAGE = `must be a whole number from 1 to ${REPLAY_MAX}`
const timeField = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(999_999_999_999_999))

export const ReplayFilterSchema = v.pipe(
  v.strictObject({
    event_type: v.optional(eventTypePattern),
    call_id: v.optional(CallIdSchema),
    statuses: v.optional(
      v.pipe(
        v.array(v.picklist(ENDED_STATUSES)),
        v.minLength(1, 'must have at least one'),
        v.maxLength(ENDED_STATUSES.length, 'must not repeat one'),
        v.description(`Those that failed if absent: ${FAILED_STATUSES.join(', ')}`),
      ),
    ),
    outcome: v.optional(v.pipe(v.picklist(ATTEMPT_OUTCOMES), v.description('What came of the last attempt'))),
    never_attempted: v.optional(v.pipe(v.boolean(), v.description('Only those that were never sent'))),
    since: v.optional(v.pipe(timeField, v.description('Only those created at this time (ms since 1970) or later'))),
    until: v.optional(v.pipe(timeField, v.description('Only those created before this time (ms since 1970)'))),
    dry_run: v.optional(v.pipe(v.boolean(), v.description('Only count'))),
    limit: v.optional(
      v.pipe(
        v.number(REPLAY_MESSAGE),
        v.integer(REPLAY_MESSAGE),
        v.minValue(1, REPLAY_MESSAGE),
        v.maxValue(REPLAY_MAX, REPLAY_MESSAGE),
        v.description(`At most this many, oldest first; ${REPLAY_DEFAULT} if absent`),
      ),
    ),
  }),
  v.metadata({ ref: 'ReplayFilter', title: 'Which deliveries of a webhook to send again; all that failed if empty' }),
)
type ReplayFilter = v.InferOutput<typeof ReplayFilterSchema>

export const toReplayOptions = ({ dry_run: dryRun = false, limit = REPLAY_DEFAULT }: ReplayFilter) => ({
  dryRun,
  limit,
})

export const toReplayFilter = (body: ReplayFilter, scope: Required<Scope>): DeliveryFilter => ({
  ...(scope.appId !== undefined && { appId: scope.appId }),
  ...(scope.endpointId !== undefined && { endpointId: scope.endpointId }),
  ...(body.event_type !== undefined && { type: body.event_type }),
  ...(body.call_id !== undefined && { callId: body.call_id }),
  statuses: body.statuses ?? FAILED_STATUSES,
  ...(body.outcome !== undefined && { outcome: body.outcome }),
  ...(body.never_attempted === true && { neverAttempted: true }),
  ...(body.since !== undefined && { since: body.since }),
  ...(body.until !== undefined && { until: body.until }),
})
