import { setKeyOf } from '../channels.ts'
import { isEventPackage } from '../event-types.ts'
import { ERROR_CODES, OK, errorReply, rootElement } from '../reply.ts'
import type { Reply } from '../reply.ts'
import { param } from '../route.ts'
import type { Route, RouteFunction, XspRequest } from '../route.ts'
import type { NewSubscription, Subscription, Target } from '../subscriptions.ts'
import { childOf, childrenOf, contentOf, element, optional, textOf } from '../xml.ts'
import type { XmlElement } from '../xml.ts'
import { parseExpires } from './expires.ts'

const subscribe =
  (targetOf: (request: XspRequest) => Target): RouteFunction =>
  (request) =>
    addSubscription(request, targetOf(request))

const userTarget = (request: XspRequest): Target => ({ type: 'User', id: param(request, 'userId') })
const enterpriseTarget = (request: XspRequest): Target => ({
  type: 'ServiceProvider',
  id: param(request, 'enterpriseId'),
})
const groupTarget = (request: XspRequest): Target => ({
  type: 'Group',
  id: param(request, 'groupId'),
  parentId: param(request, 'enterpriseId'),
})
const systemTarget = (): Target => ({ type: 'System', id: '' })

const post = (path: string, targetOf: (request: XspRequest) => Target): Route => ({
  context: 'events',
  method: 'POST',
  path,
  run: subscribe(targetOf),
})

/** Subscribe, list, refresh, delete (XSI Interface Specification 2020.07, pp. 346–351, 362–369). */
export const subscriptionRoutes: readonly Route[] = [
  post('user/:userId', userTarget),
  post('user/:userId/subscription', userTarget),
  post('enterprise/:enterpriseId', enterpriseTarget),
  post('serviceprovider/:enterpriseId', enterpriseTarget),
  post('enterprise/:enterpriseId/group/:groupId', groupTarget),
  post('serviceprovider/:enterpriseId/group/:groupId', groupTarget),
  post('system', systemTarget),
  { context: 'events', method: 'GET', path: 'subscription', run: listSubscriptions },
  { context: 'events', method: 'GET', path: 'subscription/:subscriptionId', run: readSubscription },
  { context: 'events', method: 'PUT', path: 'subscription/:subscriptionId', run: refreshSubscription },
  { context: 'events', method: 'DELETE', path: 'subscription/:subscriptionId', run: deleteSubscription },
]

function addSubscription(request: XspRequest, target: Target): Reply {
  const { backend, principal } = request
  if (target.type !== 'User' && !principal.isAdministrator) return refuse(403, ERROR_CODES.forbidden, 'Out of scope')
  const body = request.body()
  if (body?.name !== 'Subscription') return refuse(400, ERROR_CODES.badRequest, 'A Subscription is needed')
  const channelSetId = textOf(body, 'channelSetId')
  if (channelSetId === undefined) {
    return refuse(400, ERROR_CODES.badRequest, 'A channelSetId is needed; httpContact is not simulated')
  }
  const list = childOf(body, 'eventPackageList')
  const packages = childrenOf(list ?? body, 'event').map(contentOf)
  if (packages.length === 0 || !packages.every(isEventPackage)) {
    return refuse(400, ERROR_CODES.badRequest, 'Unknown event package')
  }
  const expires = parseExpires(body)
  if (expires === 'invalid') return refuse(400, ERROR_CODES.badRequest, 'expires must be a number of seconds')
  const { subscribe404Ms, subscriptionLimit, snapshotBeforeReply } = backend.settings.current
  const ageMs = backend.channels.ageOfSet(setKeyOf(principal.userId, channelSetId))
  if (ageMs !== undefined && ageMs < subscribe404Ms) {
    return refuse(404, ERROR_CODES.notFound, 'The channel set is not known here')
  }
  const wanted: NewSubscription = {
    ownerId: principal.userId,
    target,
    packages: list === undefined ? packages.slice(0, 1) : packages,
    isPackageList: list !== undefined,
    channelSetId,
    applicationId: textOf(body, 'applicationId') ?? 'unnamed',
    grantedSeconds: backend.grantSeconds(expires),
  }
  const isNew = !backend.subscriptions.isReplacing(wanted)
  if (isNew && backend.subscriptions.countOf(principal.userId) >= subscriptionLimit) {
    return refuse(403, ERROR_CODES.forbidden, 'Too many subscriptions')
  }
  const subscription = backend.subscriptions.add(wanted)
  return withSnapshot(request, subscription, { wanted: wanted.grantedSeconds, isBefore: snapshotBeforeReply })
}

function refreshSubscription(request: XspRequest): Reply {
  const subscription = ownSubscription(request)
  if (subscription === undefined) return unknownSubscription()
  const expires = parseExpires(request.body())
  if (expires === 'invalid') return refuse(403, ERROR_CODES.badRequest, 'expires must be a number of seconds')
  const grantedSeconds = request.backend.grantSeconds(expires)
  request.backend.subscriptions.refresh(subscription, grantedSeconds)
  const { snapshotBeforeReply } = request.backend.settings.current
  return withSnapshot(request, subscription, { wanted: grantedSeconds, isBefore: snapshotBeforeReply })
}

/** The reply of subscribe and refresh, with the snapshot before or after it. */
function withSnapshot(
  { backend }: XspRequest,
  subscription: Subscription,
  granted: { readonly wanted: number; readonly isBefore: boolean },
): Reply {
  const reply: Reply = {
    status: 200,
    document: rootElement('Subscription', [
      element('subscriptionId', subscription.id),
      element('expires', granted.wanted),
    ]),
  }
  if (granted.isBefore) {
    backend.publisher.publishSnapshot(subscription)
    return reply
  }
  return { ...reply, afterwards: () => backend.publisher.publishSnapshot(subscription) }
}

function readSubscription(request: XspRequest): Reply {
  const subscription = ownSubscription(request)
  if (subscription === undefined) return unknownSubscription()
  return {
    status: 200,
    document: rootElement('Subscription', subscriptionChildren(request, subscription)),
  }
}

function deleteSubscription(request: XspRequest): Reply {
  const subscription = ownSubscription(request)
  if (subscription === undefined) return unknownSubscription()
  const { backend } = request
  return { ...OK, afterwards: () => backend.endSubscription(subscription) }
}

function listSubscriptions(request: XspRequest): Reply {
  const { query, principal, backend } = request
  const subscriberId = query.get('subscriberId') ?? principal.userId
  if (subscriberId !== principal.userId && !principal.isAdministrator) {
    return refuse(403, ERROR_CODES.forbidden, 'Out of scope')
  }
  const type = query.get('targetEntityType') ?? 'User'
  const parentId = query.get('targetGrpParentId')
  const targetId = query.get('targetId')
  if (type === 'Group' && parentId === null) return refuse(400, ERROR_CODES.badRequest, 'targetGrpParentId is needed')
  const event = query.get('event')
  const applicationId = query.get('extAppId')
  const found = [...backend.subscriptions.list()].filter(
    ({ ownerId, target, packages, applicationId: own }) =>
      ownerId === subscriberId &&
      target.type === type &&
      (targetId === null || target.id === targetId) &&
      (target.type !== 'Group' || target.parentId === parentId) &&
      (event === null || packages.includes(event)) &&
      (applicationId === null || own === applicationId),
  )
  const list = found.map((subscription) => element('subscription', subscriptionChildren(request, subscription)))
  return { status: 200, document: rootElement('SubscriptionList', list) }
}

/** In the order of the XSD type `Subscription`. */
function subscriptionChildren({ backend }: XspRequest, subscription: Subscription): (XmlElement | undefined)[] {
  const { target, packages } = subscription
  const events = packages.map((name) => element('event', name))
  return [
    element('subscriptionId', subscription.id),
    element('subscriberId', subscription.ownerId),
    element('targetIdType', target.type),
    target.type === 'Group' ? element('targetGrpParentId', target.parentId) : undefined,
    optional('targetId', target.id),
    subscription.isPackageList ? element('eventPackageList', events) : events[0],
    element('expires', backend.subscriptions.secondsLeft(subscription)),
    element('channelSetId', subscription.channelSetId),
    element('applicationId', subscription.applicationId),
  ]
}

function ownSubscription(request: XspRequest): Subscription | undefined {
  const subscription = request.backend.subscriptions.find(param(request, 'subscriptionId'))
  const isVisible = request.principal.isAdministrator || subscription?.ownerId === request.principal.userId
  return isVisible ? subscription : undefined
}

const unknownSubscription = (): Reply => refuse(403, ERROR_CODES.subscriptionUnknown, 'The subscription does not exist')
const refuse = (status: number, code: number, summary: string): Reply => errorReply(status, { code, summary })
