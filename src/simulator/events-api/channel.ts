import type { Channel } from '../channels.ts'
import { setKeyOf } from '../channels.ts'
import { ERROR_CODES, OK, errorReply, rootElement } from '../reply.ts'
import type { Reply } from '../reply.ts'
import { param } from '../route.ts'
import type { Route, XspRequest } from '../route.ts'
import { StreamWriter } from '../stream-writer.ts'
import { XML_DECLARATION, element, optional, serialisePlain, textOf } from '../xml.ts'
import type { XmlElement } from '../xml.ts'
import { commonHeaders } from '../xsp-headers.ts'
import { isPositive, parseExpires } from './expires.ts'

/** Channel add, refresh, delete and list (XSI Interface Specification 2020.07, pp. 340–346, 375–377). */
export const channelRoutes: readonly Route[] = [
  { context: 'async', method: 'POST', path: 'channel', run: openChannel },
  { context: 'async', method: 'DELETE', path: 'channel/:channelId', run: deleteChannel },
  { context: 'events', method: 'PUT', path: 'channel/:channelId', run: refreshChannel },
  { context: 'events', method: 'DELETE', path: 'channel/:channelId', run: deleteChannel },
  { context: 'events', method: 'GET', path: 'channelset/:channelSetId', run: listChannelSet },
]

/** The channel of the path when this XSP holds it and the sender owns it, otherwise the refusal. */
export function channelOf(request: XspRequest): { readonly channel: Channel } | { readonly refusal: Reply } {
  const channel = request.backend.channels.find(param(request, 'channelId'))
  if (channel === undefined || channel.xspIndex !== request.xspIndex) {
    return { refusal: errorReply(404, { code: ERROR_CODES.notFound, summary: 'The channel does not exist' }) }
  }
  if (channel.ownerId !== request.principal.userId && !request.principal.isAdministrator) {
    return { refusal: errorReply(403, { code: ERROR_CODES.forbidden, summary: 'Out of scope' }) }
  }
  return { channel }
}

function openChannel(request: XspRequest): Reply | undefined {
  const { backend, response } = request
  const body = request.body()
  const channelSetId = textOf(body, 'channelSetId')
  if (body?.name !== 'Channel' || channelSetId === undefined || channelSetId.length > 256) {
    return badRequest('A Channel with a channelSetId of at most 256 characters is needed')
  }
  const priority = textOf(body, 'priority') ?? '1'
  const weight = textOf(body, 'weight') ?? '50'
  if (!isPositive(priority) || !isPositive(weight)) return badRequest('priority and weight must be positive')
  const expires = parseExpires(body)
  if (expires === 'invalid') return badRequest('expires must be a number of seconds')
  const ownerId = request.principal.userId
  const open = backend.channels.inSet(setKeyOf(ownerId, channelSetId)).length
  if (open >= backend.settings.current.channelsPerSetMax) {
    return errorReply(403, { code: ERROR_CODES.forbidden, summary: 'Too many channels in the channel set' })
  }

  const grantedSeconds = backend.grantSeconds(expires)
  const id = backend.channels.newChannelId()
  const { faults, timers, random } = backend
  const stream = new StreamWriter({ response, faults, timers, random })
  response.writeHead(200, {
    ...commonHeaders(request.message, { context: 'async', xspIndex: request.xspIndex, newId: backend.newId }),
    'Content-Type': 'text/xml;charset=UTF-8',
    'Transfer-Encoding': 'chunked',
  })
  // The only document of a stream with a line feed after its declaration (seen in the field).
  stream.writeReply(`${XML_DECLARATION}\n${serialisePlain(grantDocument(id, grantedSeconds))}`)
  const channel = backend.channels.open(id, {
    ownerId,
    channelSetId,
    applicationId: textOf(body, 'applicationId'),
    priority: Number(priority),
    weight: Number(weight),
    xspIndex: request.xspIndex,
    stream,
    grantedSeconds,
  })
  request.bindChannel(channel)
  return undefined
}

function refreshChannel(request: XspRequest): Reply {
  const found = channelOf(request)
  if ('refusal' in found) return found.refusal
  const expires = parseExpires(request.body())
  if (expires === 'invalid') return badRequest('expires must be a number of seconds')
  const grantedSeconds = request.backend.grantSeconds(expires)
  request.backend.channels.refresh(found.channel, grantedSeconds)
  return { status: 200, document: grantDocument(found.channel.id, grantedSeconds) }
}

function deleteChannel(request: XspRequest): Reply {
  const found = channelOf(request)
  if ('refusal' in found) return found.refusal
  const { backend } = request
  return { ...OK, afterwards: () => backend.channels.terminate(found.channel, 'ExplicitDelete') }
}

function listChannelSet(request: XspRequest): Reply {
  const { channels } = request.backend
  const open = channels.inSet(setKeyOf(request.principal.userId, param(request, 'channelSetId')))
  if (open.length === 0) {
    return errorReply(404, { code: ERROR_CODES.channelSetUnknown, summary: 'The channel set does not exist' })
  }
  const list = open.map((channel) =>
    element('channel', [
      element('channelId', channel.id),
      element('channelSetId', channel.channelSetId),
      element('priority', channel.priority),
      element('weight', channel.weight),
      element('expires', channels.secondsLeft(channel)),
      optional('applicationId', channel.applicationId),
    ]),
  )
  return { status: 200, document: rootElement('ChannelSet', list) }
}

const grantDocument = (id: string, grantedSeconds: number): XmlElement =>
  rootElement('Channel', [element('channelId', id), element('expires', grantedSeconds)])

const badRequest = (summary: string): Reply => errorReply(400, { code: ERROR_CODES.badRequest, summary })
