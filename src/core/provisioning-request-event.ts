import * as v from 'valibot'

/** A run of a provisioning request has ended, for better or worse; a batch has all its members, and all have ended. */
export const REQUEST_ENDED = 'provisioning_request.ended'
export const BATCH_ENDED = 'provisioning_batch.ended'

/** In which statuses a run of a request ends; one that is `In Error` may be run again, and ends again. */
export const ENDED_STATUSES = ['Complete', 'In Error', 'Cancelled'] as const

const text = v.string()
const whole = v.pipe(v.number(), v.integer())
const common = {
  app_id: text,
  environment: v.pipe(text, v.description('Name of the environment')),
  link: v.pipe(
    v.object({ link_type_id: whole, link_type: text, link_value: text }),
    v.description('The link for which it is told'),
  ),
  callback: v.pipe(
    v.object({ callback_id: whole, service: text, service_version: text, relative_path: text }),
    v.description('As the link type has it; the gateway itself calls nothing but webhooks'),
  ),
  timestamp: v.pipe(whole, v.description('When it happened')),
}

/** What an app is told, for each link whose type asks for it, when a request of one of its environments ends. */
export const RequestEventPayloadSchema = v.pipe(
  v.object({
    ...common,
    event: v.literal(REQUEST_ENDED),
    provisioning_request_id: whole,
    provisioning_request_batch_id: v.optional(whole),
    provisioned_object_code: v.optional(text),
    provisioned_object_internal_id: v.optional(text),
    status_id: whole,
    status: v.pipe(v.picklist(ENDED_STATUSES), v.description('In Error: it may be run again, and ends again')),
    status_note: v.optional(text),
  }),
  v.metadata({ ref: 'ProvisioningRequestEvent', title: 'A provisioning request has ended' }),
)
export type RequestEventPayload = v.InferOutput<typeof RequestEventPayloadSchema>

/** The same for a batch; a link that several of its members have is told once. */
export const BatchEventPayloadSchema = v.pipe(
  v.object({
    ...common,
    event: v.literal(BATCH_ENDED),
    provisioning_request_batch_id: whole,
    total_object_count: whole,
  }),
  v.metadata({ ref: 'ProvisioningBatchEvent', title: 'A batch of provisioning requests has ended' }),
)
export type BatchEventPayload = v.InferOutput<typeof BatchEventPayloadSchema>
