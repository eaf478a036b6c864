import * as v from 'valibot'
import type { ChannelStatus, SubscriptionStatus } from '../../core/adapter.ts'
import { ShardSchema } from '../../core/ids.ts'
import type { NetworkStatus } from '../../core/network-control.ts'
import type { Network } from '../../core/network.ts'
import { milliseconds, nameField } from './fields.ts'

const config = v.pipe(
  v.record(v.string(), v.unknown()),
  v.description(
    'What the adapter needs. broadsoft: `xsp` (list of HTTPS URLs), `username`, `password`, `subscribe` ' +
      '(`user`, `group`, `enterprise` or `system`), `enterprise_id`, `group_id`. Credentials are kept encrypted and never returned.',
  ),
)

export const NewNetworkSchema = v.pipe(
  v.strictObject({
    name: nameField,
    adapter: v.pipe(v.string(), v.maxLength(64), v.description('The kind of provider system: `broadsoft`')),
    config,
    shard: v.optional(v.pipe(ShardSchema, v.description('Where its calls are kept; must equal that of its apps'))),
  }),
  v.metadata({ ref: 'NewNetwork', title: 'A network to connect' }),
)

export const NetworkChangeSchema = v.pipe(
  v.strictObject({
    name: v.optional(nameField),
    config: v.optional(
      v.pipe(
        v.record(v.string(), v.unknown()),
        v.description('Fields given replace, null removes, others stay; the adapter restarts with the result'),
      ),
    ),
  }),
  v.metadata({ ref: 'NetworkChange', title: 'What to change of a network' }),
)

const statusSchema = v.object({
  state: v.picklist(['starting', 'running', 'retrying', 'stopped']),
  since: milliseconds,
  attempts: v.pipe(v.number(), v.integer()),
  reason: v.optional(v.string()),
  retry_at: v.optional(milliseconds),
})

export const NetworkResourceSchema = v.pipe(
  v.object({
    network_id: v.string(),
    name: v.string(),
    adapter: v.string(),
    shard: v.string(),
    config: v.pipe(v.record(v.string(), v.unknown()), v.description('Without credentials')),
    status: v.pipe(statusSchema, v.description('Of the adapter on the instance that answers')),
    connection: v.pipe(
      v.object({
        open: v.pipe(v.number(), v.integer(), v.description('Channels that are open')),
        total: v.pipe(v.number(), v.integer(), v.description('Channels, usually one per provider node')),
        reasons: v.pipe(v.array(v.string()), v.description('Why the others are not open')),
      }),
      v.description("The network's channels on the instance that answers; 0 open: nothing is heard of its calls here"),
    ),
    created_at: milliseconds,
    updated_at: milliseconds,
  }),
  v.metadata({ ref: 'Network', title: 'A network' }),
)

export const NetworkChannelsSchema = v.pipe(
  v.object({
    network_id: v.string(),
    status: statusSchema,
    channels: v.array(
      v.object({
        node: v.string(),
        state: v.pipe(
          v.picklist(['connecting', 'open', 'waiting', 'standby', 'stopped']),
          v.description('`standby`: this instance has no channel to the node, others have'),
        ),
        role: v.optional(
          v.pipe(
            v.picklist(['owner', 'standby', 'none']),
            v.description(
              'Of this instance for the node. `owner`: its channel gets the events. `standby`: its channel, of a lower ' +
                "priority, gets them as soon as the owner's is gone. While one takes over from the other there are both.",
            ),
          ),
        ),
        channel_id: v.optional(v.string()),
        since: milliseconds,
        last_received_at: v.optional(milliseconds),
        expires_at: v.optional(milliseconds),
        reason: v.optional(v.string()),
        retry_at: v.optional(milliseconds),
        attempts: v.pipe(v.number(), v.integer()),
      }),
    ),
    subscriptions: v.object({
      wanted: v.pipe(v.number(), v.integer()),
      active: v.pipe(v.number(), v.integer()),
      stale: v.pipe(v.number(), v.integer()),
      failed: v.array(v.object({ subscriber_id: v.string(), code: v.string() })),
    }),
  }),
  v.metadata({ ref: 'NetworkChannels', title: "The health of a network's channels and subscriptions" }),
)

const toStatus = (status: NetworkStatus): v.InferOutput<typeof statusSchema> => ({
  state: status.state,
  since: status.since,
  attempts: status.attempts,
  ...(status.reason !== undefined && { reason: status.reason }),
  ...(status.retryAt !== undefined && { retry_at: status.retryAt }),
})

export const toNetworkResource = (
  network: Network,
  status: NetworkStatus,
  channels: readonly ChannelStatus[],
): v.InferOutput<typeof NetworkResourceSchema> => ({
  network_id: network.networkId,
  name: network.name,
  adapter: network.adapter,
  shard: network.shard,
  config: network.config,
  status: toStatus(status),
  connection: {
    open: channels.filter(({ state }) => state === 'open').length,
    total: channels.length,
    reasons: [...new Set(channels.filter(({ state }) => state !== 'open').map(({ state, reason }) => reason ?? state))],
  },
  created_at: network.createdAt,
  updated_at: network.updatedAt,
})

export const toNetworkChannels = (found: {
  readonly networkId: string
  readonly status: NetworkStatus
  readonly channels: readonly ChannelStatus[]
  readonly subscriptions: SubscriptionStatus
}): v.InferOutput<typeof NetworkChannelsSchema> => ({
  network_id: found.networkId,
  status: toStatus(found.status),
  channels: found.channels.map(toChannel),
  subscriptions: {
    wanted: found.subscriptions.wanted,
    active: found.subscriptions.active,
    stale: found.subscriptions.stale,
    failed: found.subscriptions.failed.map(({ subscriberId, code }) => ({ subscriber_id: subscriberId, code })),
  },
})

const toChannel = (channel: ChannelStatus) => ({
  node: channel.node,
  state: channel.state,
  ...(channel.role !== undefined && { role: channel.role }),
  ...(channel.channelId !== undefined && { channel_id: channel.channelId }),
  since: channel.since,
  ...(channel.lastReceivedAt !== undefined && { last_received_at: channel.lastReceivedAt }),
  ...(channel.expiresAt !== undefined && { expires_at: channel.expiresAt }),
  ...(channel.reason !== undefined && { reason: channel.reason }),
  ...(channel.retryAt !== undefined && { retry_at: channel.retryAt }),
  attempts: channel.attempts,
})
