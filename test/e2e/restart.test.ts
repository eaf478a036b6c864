import { expect, onTestFinished, test } from 'vitest'
import { ApiClient } from '../../src/cli/api-client.ts'
import { addTenant, startGateway, startInstallation } from '../support/installation.ts'
import { until } from '../support/until.ts'

const ANN = { id: 'ann@example.net', number: '+15550100001' }

test('after a restart a call that ended meanwhile is ended, and one that goes on is still there', async () => {
  const installation = await startInstallation()
  onTestFinished(() => installation.stop())
  const { control, dataDir } = installation
  const tenant = await addTenant(installation, [ANN])
  const path = `/users/${encodeURIComponent(ANN.id)}/incoming-calls`
  const ring = async (from: string) =>
    ((await control.call('POST', path, { from })).body as { call_id: string }).call_id
  const [ending, lasting] = [await ring('+15550199001'), await ring('+15550199002')]
  const listed = async (client: ApiClient) =>
    (await client.call('GET', tenant.path('/calls'))).body as { call_id: string; stale?: boolean }[]
  await until('both calls to be known', async () => ((await listed(tenant.client)).length === 2 ? true : undefined))

  await installation.gateway.stop()
  await control.call('POST', `/calls/${encodeURIComponent(ending)}/remote/hangup`)
  const restarted = await startGateway(dataDir)
  onTestFinished(() => restarted.stop())
  const client = new ApiClient({ baseUrl: restarted.url, key: tenant.apiKey })
  const calls = await until('the calls to be confirmed', async () => {
    const found = await listed(client)
    return found.length === 1 && found.every((call) => call.stale !== true) ? found : undefined
  })
  expect(calls).toMatchObject([{ call_id: lasting, state: 'ringing' }])
  const { body } = await control.call('GET', '/subscriptions')
  expect((body as { subscriptions: unknown[] }).subscriptions).toHaveLength(1)
})

test('a second gateway on the same data directory is refused and leaves the first one working', async () => {
  const installation = await startInstallation()
  onTestFinished(() => installation.stop())
  await expect(startGateway(installation.dataDir)).rejects.toMatchObject({ code: 'store_unavailable' })
  const { body } = await installation.admin.call('GET', '/readyz')
  expect(body).toMatchObject({ ready: true })
})
