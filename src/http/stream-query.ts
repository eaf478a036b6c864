import * as v from 'valibot'
import { invalidRequest, parseInput } from '../core/parse-input.ts'
import type { Position } from '../core/position.ts'
import { parsePosition } from '../core/position.ts'
import type { StreamFilter } from '../streams/filter.ts'
import { StreamFilterSchema } from '../streams/filter.ts'
import type { HttpContext } from './context.ts'
import type { StreamRequest } from './stream-authentication.ts'

/** The query fields of a filter, each of which may be repeated; {@link readFilter} checks all of them. */
export const filterFields = {
  subscriber_id: v.optional(
    v.pipe(v.string(), v.description('Of events about a subscriber, only those about this one; may be repeated')),
  ),
  event_type: v.optional(
    v.pipe(v.string(), v.description('Only events of this type, exact or by prefix (`call.*`); may be repeated')),
  ),
}

/** The query field of the position to resume after. */
export const afterField = {
  after: v.optional(v.pipe(v.string(), v.description('The position to resume after: `epoch:offset`'))),
}

/** Who wants to open a stream and from where, as the request's headers say. */
export const readCredentials = (c: HttpContext): Pick<StreamRequest, 'authorization' | 'origin'> => ({
  authorization: c.req.header('authorization'),
  origin: c.req.header('origin'),
})

/** The headers by which a page of another origin that may open streams may read the answer, too. */
export const allowOrigin = (origin: string | undefined): Readonly<Record<string, string>> =>
  origin === undefined ? {} : { 'access-control-allow-origin': origin, vary: 'origin' }

/** The filter that the query of a request describes; undefined for none. Throws `invalid_request`. */
export function readFilter(c: HttpContext): StreamFilter | undefined {
  const { subscriber_ids, event_types } = StreamFilterSchema.entries
  const subscriberIds = parseInput(subscriber_ids, c.req.queries('subscriber_id'), 'subscriber_id')
  const eventTypes = parseInput(event_types, c.req.queries('event_type'), 'event_type')
  if (subscriberIds === undefined && eventTypes === undefined) return undefined
  return {
    ...(subscriberIds !== undefined && { subscriber_ids: subscriberIds }),
    ...(eventTypes !== undefined && { event_types: eventTypes }),
  }
}

/** The position in a query or header; null for none. Throws `invalid_request`. */
export function readAfter(text: string | undefined): Position | null {
  if (text === undefined || text === '') return null
  const position = parsePosition(text)
  if (position === undefined) {
    throw invalidRequest([{ field: 'after', message: 'must be a position of this stream, as epoch:offset' }])
  }
  return position
}
