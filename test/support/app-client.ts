import assert from 'node:assert/strict'
import type { ApiRig, RigTenant } from './api-rig.ts'
import { textField } from './checked-request.ts'
import type { ApiResponse } from './checked-request.ts'

/** Where webhooks of tests point that say nothing else; nothing is ever sent there. */
export const HOOK_URL = 'https://hooks.example.net/calls'

/** What an app does over the API, with its own key. */
export class AppClient {
  readonly rig: ApiRig
  readonly tenant: RigTenant

  constructor(rig: ApiRig, tenant: RigTenant) {
    this.rig = rig
    this.tenant = tenant
  }

  /** `suffix` is what follows the app in the path. */
  readonly request = (method: string, suffix: string, body?: unknown): Promise<ApiResponse> => {
    const { appId, key } = this.tenant
    return this.rig.request(method, `/apps/${appId}${suffix}`, { key, ...(body !== undefined && { body }) })
  }

  /** Resolves with the id of a new webhook. */
  async register(settings: object = {}): Promise<string> {
    return textField(await this.request('POST', '/webhooks', { url: HOOK_URL, ...settings }), 'webhook_id')
  }

  /** Has a webhook for as long as `use` takes. */
  async withWebhook(settings: object, use: (id: string, created: object) => Promise<void>): Promise<void> {
    const created = await this.request('POST', '/webhooks', { url: HOOK_URL, ...settings })
    assert.equal(created.status, 201, 'the webhook is registered')
    const id = textField(created, 'webhook_id')
    try {
      await use(id, Object(created.body))
    } finally {
      await this.request('DELETE', `/webhooks/${id}`)
    }
  }
}
