import { conferenceElement } from '../call-xml.ts'
import type { CallHalf } from '../call-half.ts'
import { ERROR_CODES, OK, asRoot, errorReply } from '../reply.ts'
import type { Reply } from '../reply.ts'
import { param } from '../route.ts'
import type { Route, XspRequest } from '../route.ts'
import type { Conference } from '../notice.ts'
import { childOf, childrenOf, textOf } from '../xml.ts'
import { halfOf } from './call-commands.ts'

type Change = (request: XspRequest, conference: Conference) => void
type CallChange = (request: XspRequest, conference: Conference, half: CallHalf) => void

const change = (name: string, run: Change): Route => ({
  context: 'actions',
  method: 'PUT',
  path: `user/:userId/calls/conference/${name}`,
  run: (request) => {
    run(request, request.backend.conferences.require(param(request, 'userId')))
    return OK
  },
})

const callChange = (suffix: string, run: CallChange): Route => ({
  context: 'actions',
  method: 'PUT',
  path: `user/:userId/calls/conference/:callId${suffix}`,
  run: (request) => {
    run(request, request.backend.conferences.require(param(request, 'userId')), halfOf(request))
    return OK
  },
})

/** The user's conference (XSI Interface Specification 2020.07, pp. 234–240). */
export const conferenceRoutes: readonly Route[] = [
  { context: 'actions', method: 'GET', path: 'user/:userId/calls/conference', run: readConference },
  { context: 'actions', method: 'POST', path: 'user/:userId/calls/conference', run: createConference },
  { context: 'actions', method: 'DELETE', path: 'user/:userId/calls/conference', run: releaseConference },
  change('hold', ({ backend }, conference) => backend.conferences.hold(conference)),
  change('talk', ({ backend }, conference) => backend.conferences.retrieve(conference)),
  change('mute', ({ backend }, conference) => backend.conferences.mute(conference, true)),
  change('unmute', ({ backend }, conference) => backend.conferences.mute(conference, false)),
  callChange('', ({ backend }, conference, half) => backend.conferences.add(conference, half)),
  callChange('/mute', ({ backend }, conference, half) => backend.conferences.muteCall(conference, half, true)),
  callChange('/unmute', ({ backend }, conference, half) => backend.conferences.muteCall(conference, half, false)),
  callChange('/deaf', ({ backend }, conference, half) => backend.conferences.deafenCall(conference, half, true)),
  callChange('/undeaf', ({ backend }, conference, half) => backend.conferences.deafenCall(conference, half, false)),
]

function readConference(request: XspRequest): Reply {
  const conference = request.backend.conferences.find(param(request, 'userId'))
  if (conference === undefined) {
    return errorReply(404, { code: ERROR_CODES.notFound, summary: 'There is no conference' })
  }
  return { status: 200, document: asRoot(conferenceElement(conference, 'Conference')) }
}

function createConference(request: XspRequest): Reply {
  const list = childOf(request.body(), 'conferenceParticipantList')
  const callIds = childrenOf(list, 'conferenceParticipant').map((participant) => textOf(participant, 'callId') ?? '')
  request.backend.conferences.create(param(request, 'userId'), callIds)
  const location = `${request.origin}/com.broadsoft.xsi-actions/v2.0/user/${param(request, 'userId')}/calls/Conference`
  return { status: 201, headers: { Location: location } }
}

function releaseConference(request: XspRequest): Reply {
  const { conferences } = request.backend
  conferences.release(conferences.require(param(request, 'userId')))
  return OK
}
