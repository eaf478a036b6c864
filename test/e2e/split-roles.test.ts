import { afterAll, beforeAll, expect, test } from 'vitest'
import { Cluster } from '../support/cluster.ts'
import { RedisProcess } from '../support/redis-process.ts'
import { until } from '../support/until.ts'

const SLOW = { timeout: 120_000 }

/** One instance for the API and the streams, one for the channels, one for the webhooks. */
const ROLES = ['http,provisioning', 'channels', 'webhooks']
let redis: RedisProcess
let cluster: Cluster
beforeAll(async () => {
  redis = await RedisProcess.start()
  cluster = await Cluster.start({ redisUrl: redis.url, instances: ROLES, users: 4 })
}, 60_000)
afterAll(async () => {
  await cluster[Symbol.asyncDispose]()
  await redis[Symbol.asyncDispose]()
})

test('roles in instances of their own do together what one does with all of them', SLOW, async () => {
  const [user = ''] = cluster.users
  const callId = await cluster.ring(user)
  await until('the call to be listed', async () =>
    ((await cluster.calls(0)) ?? []).some(({ call_id: id }) => id === callId),
  )
  await cluster.asApp(0).call('PUT', `/apps/${cluster.appId}/calls/${encodeURIComponent(callId)}/answer`)
  await until('the answer to be told by webhook', () => cluster.statesByWebhook(callId).at(-1) === 'active')
  await cluster.hangUp(callId)
  await until('the end to be told by webhook', () => cluster.statesByWebhook(callId).at(-1) === 'released')
  expect(cluster.statesByWebhook(callId)).toEqual(['ringing', 'active', 'released'])
  const told = () =>
    cluster.frames.filter(({ data }) => data?.['call_id'] === callId).map(({ data }) => data?.['state'])
  await until('the end to be told by the stream', () => told().at(-1) === 'released')
  expect(told()).toEqual(['ringing', 'active', 'released'])
  expect(cluster.witness.contradictions).toEqual([])
})

test('an instance without channels shows which subscribers are confirmed', SLOW, async () => {
  const { body } = await cluster.asAdmin(0).call('GET', `/admin/networks/${cluster.networkId}/channels`)
  expect(body).toMatchObject({ channels: [], subscriptions: { wanted: 4, active: 4, stale: 0 } })
})

test('a command that finds its call gone has the calls read again, without channels, too', SLOW, async () => {
  const [user = ''] = cluster.users
  const callId = await cluster.ring(user)
  await until('the call to be listed', async () => ((await cluster.calls(0)) ?? []).length === 1)
  await cluster.control.call('POST', '/failover', { resync: false })
  const path = `/apps/${cluster.appId}/calls/${encodeURIComponent(callId)}/answer`
  await expect(cluster.asApp(0).call('PUT', path)).rejects.toMatchObject({ status: 404 })
  // Long before anybody looks after calls that ring for too long.
  await until('the call to be released', async () => ((await cluster.calls(0)) ?? [callId]).length === 0, 20_000)
})

test('stopped channels are restarted by whatever instance serves the API', SLOW, async () => {
  const channels = async () =>
    ((await cluster.control.call('GET', '/channels')).body as { channels: { channel_id: string }[] }).channels
  const before = await channels()
  for (const { channel_id: id } of before) {
    await cluster.control.call('POST', `/channels/${id}/terminate`, { reason: 'DuplicateChannelSet' })
  }
  await until('the channels to be gone', async () => (await channels()).length === 0)
  await cluster.asAdmin(0).call('POST', `/admin/networks/${cluster.networkId}/channels/restart`)
  await until('the channels to be open again', async () => (await channels()).length === before.length)
  expect(before.length).toBe(2)
  await cluster.untilHotStandby()
})
