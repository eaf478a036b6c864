import * as v from 'valibot'
import { GatewayError } from '../../core/errors.ts'
import { TERMINATION_REASONS } from '../channels.ts'
import type { Channel } from '../channels.ts'
import { invalidRequest, parseInput } from '../../core/parse-input.ts'
import { Load, LoadSchema } from '../load.ts'
import type { Subscription } from '../subscriptions.ts'
import { NO_CONTENT, paramOf } from './route.ts'
import type { ControlReply, ControlRequest, ControlRoute } from './route.ts'

const integer = (max: number) =>
  v.pipe(v.string(), v.regex(/^\d{1,15}$/, 'must be a whole number'), v.transform(Number), v.maxValue(max))
const LedgerQuerySchema = v.object({
  after: v.optional(integer(Number.MAX_SAFE_INTEGER), '0'),
  limit: v.optional(integer(100_000), '1000'),
})
const LOADS_MAX = 100

/** Settings, faults, channels, subscriptions, failover, load and the ledger. */
export const systemControls: readonly ControlRoute[] = [
  { method: 'GET', path: 'healthz', run: () => ({ status: 200, body: { status: 'ok' } }) },
  { method: 'GET', path: 'settings', run: ({ backend }) => ({ status: 200, body: backend.settings.current }) },
  {
    method: 'PUT',
    path: 'settings',
    run: ({ backend, body }) => ({ status: 200, body: backend.settings.update(body) }),
  },
  { method: 'GET', path: 'faults', run: ({ backend }) => ({ status: 200, body: backend.faults.current }) },
  { method: 'PUT', path: 'faults', run: ({ backend, body }) => ({ status: 200, body: backend.faults.replace(body) }) },
  { method: 'DELETE', path: 'faults', run: ({ backend }) => ({ status: 200, body: backend.faults.replace({}) }) },
  { method: 'POST', path: 'failover', run: failOver },
  { method: 'GET', path: 'channels', run: listChannels },
  { method: 'POST', path: 'channels/:channel_id/drop', run: dropChannel },
  { method: 'POST', path: 'channels/:channel_id/terminate', run: terminateChannel },
  { method: 'GET', path: 'subscriptions', run: listSubscriptions },
  { method: 'DELETE', path: 'subscriptions/:subscription_id', run: deleteSubscription },
  { method: 'POST', path: 'load', run: startLoad },
  { method: 'GET', path: 'load/:load_id', run: readLoad },
  { method: 'GET', path: 'ledger', run: readLedger },
  { method: 'GET', path: 'ledger/summary', run: ({ backend }) => ({ status: 200, body: backend.ledger.summary() }) },
  { method: 'DELETE', path: 'ledger', run: clearLedger },
]

function failOver({ backend, body }: ControlRequest): ControlReply {
  const { resync } = parseInput(v.strictObject({ resync: v.optional(v.boolean(), false) }), body)
  return { status: 200, body: { dropped_calls: backend.failOver({ resync }) } }
}

function listChannels({ backend }: ControlRequest): ControlReply {
  return { status: 200, body: { channels: [...backend.channels.list()].map((channel) => channelView(channel)) } }
}

function dropChannel(request: ControlRequest): ControlReply {
  request.backend.channels.drop(requireChannel(request))
  return NO_CONTENT
}

function terminateChannel(request: ControlRequest): ControlReply {
  const { reason } = parseInput(
    v.strictObject({ reason: v.optional(v.picklist(TERMINATION_REASONS), 'ExplicitDelete') }),
    request.body,
  )
  request.backend.channels.terminate(requireChannel(request), reason)
  return NO_CONTENT
}

function listSubscriptions({ backend }: ControlRequest): ControlReply {
  const subscriptions = [...backend.subscriptions.list()].map(subscriptionView)
  return { status: 200, body: { subscriptions } }
}

function deleteSubscription(request: ControlRequest): ControlReply {
  const subscription = request.backend.subscriptions.find(paramOf(request, 'subscription_id'))
  if (subscription === undefined) throw notFound('subscription_id')
  request.backend.endSubscription(subscription)
  return NO_CONTENT
}

function startLoad({ backend, loads, body }: ControlRequest): ControlReply {
  const plan = parseInput(LoadSchema, body)
  if (backend.users.size === 0) {
    throw invalidRequest([{ field: 'users', message: 'there are none' }])
  }
  const load = new Load(backend.newId(), backend, plan)
  const [oldest] = loads.keys()
  if (loads.size >= LOADS_MAX && oldest !== undefined) loads.delete(oldest)
  loads.set(load.id, load)
  load.run()
  return { status: 202, body: { load_id: load.id } }
}

function readLoad(request: ControlRequest): ControlReply {
  const load = request.loads.get(paramOf(request, 'load_id'))
  if (load === undefined) throw notFound('load_id')
  return { status: 200, body: load.progress }
}

function readLedger({ backend, query }: ControlRequest): ControlReply {
  const { after, limit } = parseInput(LedgerQuerySchema, Object.fromEntries(query))
  return { status: 200, body: backend.ledger.read(after, limit) }
}

function clearLedger({ backend }: ControlRequest): ControlReply {
  backend.ledger.clear()
  return NO_CONTENT
}

function requireChannel(request: ControlRequest): Channel {
  const channel = request.backend.channels.find(paramOf(request, 'channel_id'))
  if (channel === undefined) throw notFound('channel_id')
  return channel
}

const channelView = (channel: Channel) => ({
  channel_id: channel.id,
  owner_id: channel.ownerId,
  channel_set_id: channel.channelSetId,
  application_id: channel.applicationId ?? null,
  priority: channel.priority,
  weight: channel.weight,
  xsp_index: channel.xspIndex,
  opened_at: channel.openedAt,
  last_heartbeat_at: channel.lastHeartbeatAt,
  expires_at: Number.isFinite(channel.expiresAt) ? channel.expiresAt : null,
})

const subscriptionView = (subscription: Subscription) => ({
  subscription_id: subscription.id,
  owner_id: subscription.ownerId,
  target: subscription.target,
  packages: subscription.packages,
  channel_set_id: subscription.channelSetId,
  application_id: subscription.applicationId,
  next_sequence_number: subscription.nextSequence,
  expires_at: Number.isFinite(subscription.expiresAt) ? subscription.expiresAt : null,
})

const notFound = (field: string): GatewayError =>
  new GatewayError('route_not_found', { detail: `unknown ${field}`, fields: { field } })
