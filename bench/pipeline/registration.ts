import type { ApiClient } from '../../src/cli/api-client.ts'
import { waitUntil } from '../webhooks/rig/wait.ts'

export type Registration = {
  readonly appId: string
  readonly xsp: readonly string[]
  readonly credentials: { readonly username: string; readonly password: string }
  readonly subscribers: readonly { readonly userId: string; readonly number: string }[]
}

/** As many as the configuration allows, so that the pace of subscribing measures the gateway. */
const SUBSCRIBE_PER_SECOND = 1_000
const REQUESTS_AT_ONCE = 8
const COVERED_TIMEOUT_MS = 180_000

/** Gives an app subscribers of a new network. Resolves with the network's id when all of them are monitored. */
export async function registerSubscribers(admin: ApiClient, registration: Registration): Promise<string> {
  const { appId, subscribers } = registration
  const networkId = await addNetwork(admin, registration)
  const left = subscribers.values()
  const register = async () => {
    for (const { userId, number } of left) {
      await admin.call('PUT', `/admin/apps/${appId}/subscribers/${encodeURIComponent(userId)}`, {
        network_id: networkId,
        subscriber_number: number,
      })
    }
  }
  await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, register))
  await untilCovered(admin, networkId, subscribers.length)
  return networkId
}

export async function addNetwork(
  admin: ApiClient,
  { xsp, credentials }: Pick<Registration, 'xsp' | 'credentials'>,
): Promise<string> {
  const { body } = await admin.call('POST', '/admin/networks', {
    name: 'bench',
    adapter: 'broadsoft',
    config: { xsp, ...credentials, subscribe: 'user', subscribe_per_second: SUBSCRIBE_PER_SECOND },
  })
  return (body as { network_id: string }).network_id
}

/** Resolves when so many of the network's subscribers are monitored. */
export async function untilCovered(admin: ApiClient, networkId: string, subscribers: number): Promise<void> {
  const isCovered = async () => {
    const { body } = await admin.call('GET', `/admin/networks/${networkId}/channels`)
    return (body as { subscriptions: { active: number } }).subscriptions.active >= subscribers
  }
  await waitUntil('every subscriber to be monitored', isCovered, { timeoutMs: COVERED_TIMEOUT_MS, pollMs: 100 })
}
