import type { AckStatus } from '../delivery.ts'
import { ERROR_CODES, OK, errorReply } from '../reply.ts'
import type { Reply } from '../reply.ts'
import type { Route, XspRequest } from '../route.ts'
import { textOf } from '../xml.ts'

/** The acknowledgement of an event (XSD XSIBaseEvent `EventResponse`). */
export const eventResponseRoutes: readonly Route[] = [
  { context: 'events', method: 'POST', path: 'channel/eventresponse', run: takeEventResponse },
]

const STATUSES: readonly AckStatus[] = [200, 400, 404, 481, 500]

function takeEventResponse(request: XspRequest): Reply {
  const body = request.body()
  const eventId = textOf(body, 'eventID')
  const status = STATUSES.find((known) => String(known) === textOf(body, 'statusCode'))
  const isComplete = body?.name === 'EventResponse' && textOf(body, 'reason') !== undefined
  if (!isComplete || eventId === undefined || status === undefined) {
    return errorReply(400, { code: ERROR_CODES.badRequest, summary: 'Not a valid EventResponse' })
  }
  return request.backend.delivery.acknowledge(eventId, status, request.xspIndex)
    ? OK
    : errorReply(404, { code: ERROR_CODES.notFound, summary: 'The event or its channel does not exist here' })
}
