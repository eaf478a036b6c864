import type { CallHalf } from '../call-half.ts'
import { callElement } from '../call-xml.ts'
import { ERROR_CODES, OK, asRoot, errorReply, rootElement } from '../reply.ts'
import type { Reply } from '../reply.ts'
import { param } from '../route.ts'
import type { Route, XspRequest } from '../route.ts'
import { element } from '../xml.ts'

/** List, details, dial, Talk, Hold, release, hook status (XSI Interface Specification 2020.07, pp. 208–227, 245). */
export const callRoutes: readonly Route[] = [
  { context: 'actions', method: 'GET', path: 'user/:userId/calls', run: listCalls },
  { context: 'actions', method: 'POST', path: 'user/:userId/calls/new', run: dial },
  { context: 'actions', method: 'GET', path: 'user/:userId/calls/hookstatus', run: readHookStatus },
  { context: 'actions', method: 'POST', path: 'user/:userId/calls/parkretrieve', run: retrieveParked },
  { context: 'actions', method: 'GET', path: 'user/:userId/calls/:callId', run: readCall },
  { context: 'actions', method: 'DELETE', path: 'user/:userId/calls/:callId', run: releaseCall },
  callCommand('talk', talk),
  callCommand('hold', ({ backend }, half) => backend.model.hold(half)),
  callCommand('reconnect', ({ backend }, half) => backend.transfers.reconnect(half)),
  callCommand('transmitdtmf', sendDigits),
  callCommand('clientsessioninfo', setSessionInfo),
  callCommand('park', (request, half) => request.backend.parking.park(half, addressOf(request))),
  callCommand('record', ({ backend }, half) => backend.recordings.start(half)),
  callCommand('pauserecording', ({ backend }, half) => backend.recordings.pause(half)),
  callCommand('resumerecording', ({ backend }, half) => backend.recordings.resume(half)),
  callCommand('stoprecording', ({ backend }, half) => backend.recordings.stop(half)),
]

/** A `PUT calls/<callid>/<name>`: 200 and an empty body, unless it refuses by a reply of its own. */
export function callCommand(name: string, run: (request: XspRequest, half: CallHalf) => Reply | void): Route {
  return {
    context: 'actions',
    method: 'PUT',
    path: `user/:userId/calls/:callId/${name}`,
    run: (request) => run(request, halfOf(request)) ?? OK,
  }
}

/** The call of the path. Throws GatewayError `call_not_found`. */
export const halfOf = (request: XspRequest, name = 'callId'): CallHalf =>
  request.backend.model.require(param(request, name), param(request, 'userId'))

/** The `address` of the query, if it is a plausible one. */
export function addressOf(request: XspRequest): string | undefined {
  const address = request.query.get('address')?.trim()
  return address === undefined || address === '' ? undefined : address
}

export const missing = (parameter: string): Reply =>
  errorReply(400, { code: ERROR_CODES.badRequest, summary: `Missing or invalid parameter ${parameter}` })

/** 201 with the place and the id of a call that a command has begun. */
export function callStarted(request: XspRequest, half: CallHalf, status = 201): Reply {
  const location = `${request.origin}/com.broadsoft.xsi-actions${callPath(half)}`
  return {
    status,
    document: rootElement('CallStartInfo', [
      element('callId', half.callId),
      element('externalTrackingId', half.trackingId),
    ]),
    ...(status === 201 ? { headers: { Location: location } } : {}),
  }
}

const callPath = (half: CallHalf): string => `/v2.0/user/${half.userId}/calls/${half.callId}`

function listCalls(request: XspRequest): Reply {
  const { model, conferences } = request.backend
  const calls = model.callsOf(param(request, 'userId')).map((half) =>
    element('call', [element('callId', half.callId), element('uri', callPath(half))], {
      attributes: { inConference: String(conferences.isInConference(half)) },
    }),
  )
  return { status: 200, document: rootElement('Calls', calls) }
}

function readCall(request: XspRequest): Reply {
  return { status: 200, document: asRoot(callElement(halfOf(request), request.backend.publisher.dialect, 'Call')) }
}

function dial(request: XspRequest): Reply {
  const address = addressOf(request)
  if (address === undefined || !/^((tel|sip):)?[\w+*#.@;=:() -]+$/i.test(address)) return missing('address')
  const { model, users } = request.backend
  return callStarted(request, model.dial(users.require(param(request, 'userId')), address))
}

/** Talk answers a ringing call and retrieves a held one. */
function talk({ backend }: XspRequest, half: CallHalf): void {
  if (half.state === 'Held') backend.model.retrieve(half)
  else backend.model.answer(half)
}

function releaseCall(request: XspRequest): Reply {
  const { model } = request.backend
  const half = halfOf(request)
  if (half.state !== 'Alerting' || half.personality !== 'Terminator') {
    model.release(half, 'localRelease')
    return OK
  }
  if (request.query.get('decline')?.toLowerCase() !== 'true') {
    model.silence(half)
    return OK
  }
  const reason = request.query.get('declineReason') ?? 'Busy'
  if (reason !== 'Busy' && reason !== 'TemporarilyUnavailable') return missing('declineReason')
  model.decline(half, reason === 'Busy' ? 'Busy' : 'Temporarily Unavailable')
  return OK
}

function sendDigits({ query }: XspRequest, half: CallHalf): Reply | void {
  const digits = query.get('playdtmf') ?? ''
  if (!/^[\d*#A-D,]{1,128}$/i.test(digits)) return missing('playdtmf')
  if (half.answerTime === undefined) {
    return errorReply(403, { code: ERROR_CODES.conflict, summary: 'The call is not answered' })
  }
  half.dtmf = (half.dtmf + digits).slice(-1_024)
}

function setSessionInfo({ query, backend }: XspRequest, half: CallHalf): Reply | void {
  const info = query.get('info')
  if (info === null || info === '') return missing('info')
  for (const end of [half, half.peer]) {
    if (end === undefined) continue
    end.clientSessionInfo = info
    backend.model.notify('CallClientSessionInfoUpdatedEvent', end)
  }
}

function retrieveParked(request: XspRequest): Reply {
  const user = request.backend.users.require(param(request, 'userId'))
  const half = request.backend.parking.retrieve(user, addressOf(request))
  return half === undefined
    ? errorReply(404, { code: ERROR_CODES.notFound, summary: 'No call is parked there' })
    : callStarted(request, half)
}

function readHookStatus(request: XspRequest): Reply {
  const hookStatus = request.backend.model.hookStatusOf(param(request, 'userId'))
  return { status: 200, document: rootElement('HookStatus', [element('hookStatus', hookStatus)]) }
}
