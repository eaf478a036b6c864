import { HEARTBEAT_DOCUMENT } from '../events.ts'
import { OK } from '../reply.ts'
import type { Reply } from '../reply.ts'
import type { Route, XspRequest } from '../route.ts'
import { channelOf } from './channel.ts'

/** The heartbeat: 200 here, and an echo on the stream (XSI Interface Specification 2020.07, p. 341). */
export const heartbeatRoutes: readonly Route[] = [
  { context: 'events', method: 'PUT', path: 'channel/:channelId/heartbeat', run: takeHeartbeat },
]

function takeHeartbeat(request: XspRequest): Reply {
  const found = channelOf(request)
  if ('refusal' in found) return found.refusal
  request.backend.channels.heartbeat(found.channel)
  found.channel.stream.writeDocument(HEARTBEAT_DOCUMENT)
  return OK
}
