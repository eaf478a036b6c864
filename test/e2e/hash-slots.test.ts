import { expect, test } from 'vitest'
import { Cluster } from '../support/cluster.ts'
import { RedisProcess } from '../support/redis-process.ts'
import { until } from '../support/until.ts'

// Such a server has every slot itself and refuses only what in a cluster could not be done at all.
test('no command and no script names keys of two hash slots', { timeout: 150_000 }, async () => {
  await using redis = await RedisProcess.start({ 'cluster-enabled': 'yes', 'cluster-require-full-coverage': 'no' })
  await redis.run(async (client) => {
    await client.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    await until('the slots to be served', async () => {
      const state = String(await client.call('CLUSTER', 'INFO'))
      return state.includes('cluster_state:ok') ? true : undefined
    })
  })
  await using cluster = await Cluster.start({ redisUrl: redis.url, instances: 2 })
  const [ann = '', bert = ''] = cluster.users
  const callId = await cluster.ring(ann)
  const path = `/apps/${cluster.appId}/calls/${encodeURIComponent(callId)}`
  await until('the ringing call', () => (cluster.statesByWebhook(callId).join() === 'ringing' ? true : undefined))
  await cluster.asApp(1).call('PUT', `${path}/answer`)
  await cluster.asApp(0).call('DELETE', path)
  await cluster.ring(bert)
  await until('the whole call', () => (cluster.statesByWebhook(callId).length === 3 ? true : undefined))
  expect(cluster.statesByWebhook(callId)).toEqual(['ringing', 'active', 'released'])
  const errors = await redis.run((client) => client.info('errorstats'))
  expect(errors).not.toContain('CROSSSLOT')
})
