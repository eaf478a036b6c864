import * as v from 'valibot'
import type { Assignment } from '../core/directory.ts'
import { DirectionSchema } from '../core/call.ts'
import { SubscriberIdSchema } from '../core/ids.ts'
import { invalidRequest } from '../core/parse-input.ts'
import { isSameNumber, toDialable } from './phone-number.ts'

const number = v.pipe(v.string(), v.minLength(1), v.maxLength(64))
const name = v.pipe(v.string(), v.maxLength(255))

/** The body of `POST /apps/{app_id}/calls`, field for field that of the calls API document. */
export const PlaceCallSchema = v.pipe(
  v.strictObject({
    subscriber_id: v.pipe(SubscriberIdSchema, v.description('The subscriber who calls')),
    subscriber_number: v.pipe(
      number,
      v.description('The number the subscriber is assigned with; punctuation does not matter'),
    ),
    remote_number: v.pipe(
      number,
      v.description('Whom to call: E.164 starting with +, or an extension of 2 to 10 digits'),
    ),
    subscriber_name: v.optional(v.pipe(name, v.description('Repeated in the answer; the assigned name if absent'))),
    remote_name: v.optional(v.pipe(name, v.description('Repeated in the answer'))),
  }),
  v.metadata({ ref: 'PlaceCall', title: 'A call to place' }),
)
export type PlaceCall = v.InferOutput<typeof PlaceCallSchema>

/** The answer to a placed call, field for field that of the calls API document. */
export const PlacedCallSchema = v.pipe(
  v.object({
    subscriber_id: v.string(),
    subscriber_number: v.string(),
    remote_number: v.string(),
    subscriber_name: v.optional(v.string()),
    remote_name: v.optional(v.string()),
    call_id: v.string(),
    direction: DirectionSchema,
  }),
  v.metadata({ ref: 'PlacedCall', title: 'A call that was placed' }),
)
export type PlacedCall = v.InferOutput<typeof PlacedCallSchema>

/** A request that passed every check, with the number as it will be dialled and the names as they were given. */
export type DialRequest = {
  readonly assignment: Assignment
  readonly remoteNumber: string
  readonly subscriberName: string | undefined
  readonly remoteName: string | undefined
}

/**
 * Checks a request against the assignment of its subscriber. The document requires `subscriber_number`
 * although the id alone says who calls: a number that is not the assigned one is a mix-up of the app's,
 * and refusing it is safer than calling from another line than it believes.
 * Throws `invalid_request` naming the field.
 */
export function checkPlaceCall(request: PlaceCall, assignment: Assignment): DialRequest {
  const remoteNumber = toDialable(request.remote_number)
  if (remoteNumber === undefined) {
    const message = 'must be an E.164 number such as +15129104114, or an extension of 2 to 10 digits'
    throw invalidRequest([{ field: 'remote_number', message }])
  }
  if (!isSameNumber(request.subscriber_number, assignment.subscriberNumber)) {
    throw invalidRequest([{ field: 'subscriber_number', message: 'is not the number assigned to this subscriber' }])
  }
  return {
    assignment,
    remoteNumber,
    subscriberName: request.subscriber_name,
    remoteName: request.remote_name,
  }
}

/** The document's answer for the call that a request became. */
export function toPlacedCall(request: DialRequest, callId: string): PlacedCall {
  const subscriberName = request.subscriberName ?? request.assignment.subscriberName
  return {
    subscriber_id: request.assignment.subscriberId,
    subscriber_number: request.assignment.subscriberNumber,
    remote_number: request.remoteNumber,
    ...(subscriberName !== undefined && { subscriber_name: subscriberName }),
    ...(request.remoteName !== undefined && { remote_name: request.remoteName }),
    call_id: callId,
    direction: 'outgoing',
  }
}
