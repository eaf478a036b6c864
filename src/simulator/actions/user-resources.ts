import { CALL_LOG_KINDS } from '../call-logs.ts'
import type { CallLogEntry, CallLogKind } from '../call-logs.ts'
import { OK, rootElement } from '../reply.ts'
import type { Reply } from '../reply.ts'
import { param } from '../route.ts'
import type { Route, XspRequest } from '../route.ts'
import { element, optional } from '../xml.ts'
import type { XmlElement } from '../xml.ts'

/** Profile, call logs and versions (XSI Interface Specification 2020.07, pp. 43, 267–271, 335). */
export const userRoutes: readonly Route[] = [
  { context: 'actions', method: 'GET', path: 'versions', run: readVersions },
  { context: 'events', method: 'GET', path: 'versions', run: readVersions },
  { context: 'actions', method: 'GET', path: 'user/:userId/profile', run: readProfile },
  { context: 'actions', method: 'GET', path: 'user/:userId/directories/calllogs', run: readCallLogs },
  { context: 'actions', method: 'DELETE', path: 'user/:userId/directories/calllogs', run: clearCallLogs },
  ...CALL_LOG_KINDS.flatMap((kind): Route[] => [
    {
      context: 'actions',
      method: 'GET',
      path: `user/:userId/directories/calllogs/${kind}`,
      run: (request) => readCallLog(request, kind),
    },
    {
      context: 'actions',
      method: 'DELETE',
      path: `user/:userId/directories/calllogs/${kind}`,
      run: (request) => {
        request.backend.callLogs.clear(param(request, 'userId'), kind)
        return OK
      },
    },
  ]),
]

function readVersions(): Reply {
  return { status: 200, document: rootElement('Versions', [element('version', '2.0')]) }
}

function readProfile(request: XspRequest): Reply {
  const user = request.backend.users.require(param(request, 'userId'))
  const details = element('details', [
    element('userId', user.user_id),
    element('firstName', user.first_name),
    element('lastName', user.last_name),
    element('groupId', user.group_id),
    element('serviceProvider', user.enterprise_id, { attributes: { isEnterprise: 'true' } }),
    element('number', user.number),
    optional('extension', user.extension),
  ])
  return { status: 200, document: rootElement('Profile', [details]), isLatin1: true }
}

/** All three lists under a root with the namespace. */
function readCallLogs(request: XspRequest): Reply {
  const { callLogs } = request.backend
  const userId = param(request, 'userId')
  const lists = CALL_LOG_KINDS.map((kind) => element(kind, callLogs.read(userId, kind).map(entryElement)))
  return { status: 200, document: rootElement('CallLogs', lists), isLatin1: true }
}

/** One list as a bare root: no wrapper and no namespace, which is what phones expect. */
function readCallLog(request: XspRequest, kind: CallLogKind): Reply {
  const entries = request.backend.callLogs.read(param(request, 'userId'), kind)
  return { status: 200, document: element(kind, entries.map(entryElement)), isLatin1: true }
}

function clearCallLogs(request: XspRequest): Reply {
  for (const kind of CALL_LOG_KINDS) request.backend.callLogs.clear(param(request, 'userId'), kind)
  return OK
}

const entryElement = (entry: CallLogEntry): XmlElement =>
  element('callLogsEntry', [
    element('phoneNumber', entry.number),
    element('name', entry.name),
    element('time', new Date(entry.time).toISOString().replace('Z', '+00:00')),
    element('callLogId', entry.id),
  ])
