import { setTimeout as delay } from 'node:timers/promises'
import * as v from 'valibot'
import { ApiClient } from '../api-client.ts'
import type { SampleApp } from './sample-app.ts'

/** The people of the demo, as the simulator and the gateway know them. */
export const SUBSCRIBERS = [
  { id: 'ann@demo.example.net', number: '+15550100001', extension: '1001', first: 'Ann', last: 'Albers' },
  { id: 'bob@demo.example.net', number: '+15550100002', extension: '1002', first: 'Bob', last: 'Brandão' },
  { id: 'cho@demo.example.net', number: '+15550100003', extension: '1003', first: 'Cho', last: 'Chevalier' },
] as const

const NAME = 'demo'

const Created = v.object({ network_id: v.string() })
const CreatedApp = v.object({ app_id: v.string(), api_key: v.string() })
const CreatedWebhook = v.object({ webhook_id: v.string(), secret: v.string() })
const Listed = v.array(
  v.object({ name: v.string(), app_id: v.optional(v.string()), network_id: v.optional(v.string()) }),
)

export type DemoSetUp = {
  readonly networkId: string
  readonly appId: string
  readonly apiKey: string
  readonly webhookId: string
}

/**
 * Makes the demo's network, app, webhook and subscribers through the public API, as an operator would.
 * What an earlier demo left in the same data directory is removed first.
 */
export async function setUp(options: {
  readonly admin: ApiClient
  readonly simulator: ApiClient
  readonly xspUrls: readonly string[]
  readonly credentials: { readonly username: string; readonly password: string }
  readonly app: SampleApp
  readonly webhookUrl: string
}): Promise<DemoSetUp> {
  const { admin, simulator } = options
  await removeEarlier(admin)
  for (const person of SUBSCRIBERS) {
    await simulator.call('POST', '/users', {
      user_id: person.id,
      number: person.number,
      extension: person.extension,
      first_name: person.first,
      last_name: person.last,
    })
  }
  const network = v.parse(
    Created,
    (
      await admin.call('POST', '/admin/networks', {
        name: NAME,
        adapter: 'broadsoft',
        config: { xsp: options.xspUrls, ...options.credentials, subscribe: 'user' },
      })
    ).body,
  )
  const app = v.parse(CreatedApp, (await admin.call('POST', '/admin/apps', { name: NAME })).body)
  const appClient = new ApiClient({ baseUrl: admin.baseUrl, key: app.api_key })
  const webhook = v.parse(
    CreatedWebhook,
    (await appClient.call('POST', `/apps/${app.app_id}/webhooks`, { url: options.webhookUrl })).body,
  )
  options.app.trust(webhook.secret)
  for (const person of SUBSCRIBERS) {
    await admin.call('PUT', `/admin/apps/${app.app_id}/subscribers/${encodeURIComponent(person.id)}`, {
      network_id: network.network_id,
      subscriber_number: person.number,
      subscriber_name: `${person.first} ${person.last}`,
      subscriber_account_id: 'demo-account',
    })
  }
  await untilMonitored(admin, network.network_id)
  return {
    networkId: network.network_id,
    appId: app.app_id,
    apiKey: app.api_key,
    webhookId: webhook.webhook_id,
  }
}

const MONITORED_TIMEOUT_MS = 15_000
const Coverage = v.object({ subscriptions: v.object({ active: v.number() }) })

/** Waits until the network reports the calls of every subscriber. */
async function untilMonitored(admin: ApiClient, networkId: string): Promise<void> {
  const deadline = performance.now() + MONITORED_TIMEOUT_MS
  for (;;) {
    const { body } = await admin.call('GET', `/admin/networks/${networkId}/channels`)
    if (v.parse(Coverage, body).subscriptions.active >= SUBSCRIBERS.length) return
    if (performance.now() > deadline) throw new Error('the subscribers are not monitored')
    await delay(20)
  }
}

async function removeEarlier(admin: ApiClient): Promise<void> {
  const apps = v.parse(Listed, (await admin.call('GET', '/admin/apps')).body)
  for (const app of apps.filter(({ name }) => name === NAME)) await admin.call('DELETE', `/admin/apps/${app.app_id}`)
  const networks = v.parse(Listed, (await admin.call('GET', '/admin/networks')).body)
  for (const network of networks.filter(({ name }) => name === NAME)) {
    await admin.call('DELETE', `/admin/networks/${network.network_id}`)
  }
}
