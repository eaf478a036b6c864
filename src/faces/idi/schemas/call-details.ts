import * as v from 'valibot'
import { listField, nameField, optionalField } from '../../../provisioning/requests/model/fields.ts'
import type { CallDetail, CallDetailRow, NewCallDetail } from '../../../provisioning/requests/store/call-details.ts'
import { id, idInPath, present, timeField, timestamp } from './fields.ts'
import { RequestParams } from './requests.ts'

export const CallDetailParams = v.strictObject({
  ...RequestParams.entries,
  providerCallDetailId: idInPath('provider call detail', Number.MAX_SAFE_INTEGER),
})

const CONTENT_MAX = 65_536
const correlation = optionalField(v.pipe(v.string(), v.maxLength(200)))
const Scalar = v.union([v.pipe(v.string(), v.maxLength(4_000)), v.number(), v.boolean(), v.null()])

/** A call to a provider that a caller tells of. */
export const CallDetailBody = v.pipe(
  v.strictObject({
    content: optionalField(v.pipe(v.string(), v.maxLength(CONTENT_MAX))),
    correlationId: correlation,
    isResponse: v.boolean(),
    providerActionCode: optionalField(nameField),
    providerActionCorrelationID: correlation,
    providerCallDetailComponents: optionalField(listField(v.strictObject({ key: nameField, value: Scalar }))),
    timeStamp: timeField,
  }),
  v.metadata({ ref: 'IdiNewProviderCallDetail', title: 'What was sent to a provider, or came back' }),
)
export const toNewCallDetail = (body: v.InferOutput<typeof CallDetailBody>, requestId: number): NewCallDetail => ({
  requestId,
  isResponse: body.isResponse,
  correlationId: body.correlationId,
  actionCorrelationId: body.providerActionCorrelationID,
  content: body.content,
  components: body.providerCallDetailComponents ?? [],
  at: body.timeStamp,
})

/** What was sent to a provider, or came back, without its content. */
export const CallDetailItem = v.object({
  correlationID: v.optional(v.string()),
  isResponse: v.boolean(),
  provider: v.optional(v.string()),
  providerID: v.optional(id),
  providerAction: v.optional(v.string()),
  providerActionCorrelationID: v.optional(v.string()),
  providerActionID: v.optional(id),
  providerCallDetailID: id,
  timeStamp: timestamp,
})
/** The same with it. */
export const CallDetailAnswer = v.object({
  ...CallDetailItem.entries,
  content: v.optional(v.string()),
  providerCallDetailComponents: v.array(v.object({ key: v.string(), value: Scalar })),
})

export const toCallDetailItem = (row: CallDetailRow): v.InferOutput<typeof CallDetailItem> => ({
  ...present({
    correlationID: row.correlation_id,
    provider: row.provider,
    providerID: row.provider_id,
    providerAction: row.provider_action,
    providerActionCorrelationID: row.action_correlation_id,
    providerActionID: row.provider_action_id,
  }),
  isResponse: row.is_response,
  providerCallDetailID: row.call_detail_id,
  timeStamp: row.at.toISOString(),
})

export const toCallDetailAnswer = (row: CallDetail): v.InferOutput<typeof CallDetailAnswer> => ({
  ...toCallDetailItem(row),
  ...present({ content: row.content }),
  providerCallDetailComponents: [...row.components],
})
