import * as v from 'valibot'
import { AppIdSchema } from '../../core/ids.ts'
import { OPERATOR_EVENT_TYPES } from '../../core/operator-event.ts'
import type { OperatorEvent } from '../../core/operator-event.ts'
import { milliseconds } from './fields.ts'
import { pageFields } from './page.ts'

export const OperatorEventQuery = v.strictObject({
  type: v.optional(v.pipe(v.picklist(OPERATOR_EVENT_TYPES), v.description('Only events of this type'))),
  app_id: v.optional(v.pipe(AppIdSchema, v.description('Only events about this app'))),
  ...pageFields,
})

const OperatorEventSchema = v.pipe(
  v.object({
    event_id: v.string(),
    type: v.picklist(OPERATOR_EVENT_TYPES),
    at: milliseconds,
    app_id: v.optional(v.string()),
    webhook_id: v.optional(v.string()),
    details: v.pipe(v.record(v.string(), v.union([v.string(), v.number()])), v.description('What there is to know')),
  }),
  v.metadata({ ref: 'OperatorEvent', title: 'Something that the operator should hear of' }),
)
export const OperatorEventPageSchema = v.pipe(
  v.object({ events: v.array(OperatorEventSchema), cursor: v.optional(v.string()) }),
  v.metadata({ ref: 'OperatorEventPage', title: 'A page of events, newest first; `cursor` leads to the next one' }),
)

export const toOperatorEventResource = (event: OperatorEvent): v.InferOutput<typeof OperatorEventSchema> => ({
  event_id: event.eventId,
  type: event.type,
  at: event.at,
  ...(event.appId !== undefined && { app_id: event.appId }),
  ...(event.endpointId !== undefined && { webhook_id: event.endpointId }),
  details: { ...event.details },
})
