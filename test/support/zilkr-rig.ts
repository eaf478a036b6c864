import * as v from 'valibot'
import { ApiRig } from './api-rig.ts'
import { textField, type ApiResponse, type RequestOptions } from './checked-request.ts'
import type { StoreName } from './records.ts'
import { until } from './until.ts'

export const PERSON = { firstName: 'Ada', lastName: 'Jones', email: 'ada@example.net', role: 'technical' }
export const CARD = { type: 'card', token: 'tok_4711', brand: 'Example', last4: '4242', expMonth: 12, expYear: 2030 }
export const SITE = { name: 'Head office', line1: '1 Main St', city: 'New York', postalCode: '10001', country: 'US' }
export const CUSTOMER = { name: 'Acme', country: 'US', currency: 'USD', metadata: { tier: 'gold' } }
export const PORTED = {
  losingCarrier: { name: 'Other Telephone', accountNumber: 'A-1', pin: '0000' },
  authorizedBy: { name: 'Ada Jones' },
  address: { line1: '1 Main St', city: 'New York', postalCode: '10001', country: 'US' },
}
export const LOCAL = 'prd_us-local'

const OrderState = v.looseObject({ state: v.string() })
const FINAL = new Set(['completed', 'partial', 'failed', 'cancelled'])

/** The API with the sandbox's catalogue, its orders carried out; with customers of an app that has a key of its own. */
export class ZilkrRig {
  readonly api: ApiRig

  static async start(store: StoreName): Promise<ZilkrRig> {
    return new ZilkrRig(await ApiRig.start({ store, provisions: true }))
  }

  private constructor(api: ApiRig) {
    this.api = api
  }

  /** An app and a key that sees all of its customers. */
  async addApp(): Promise<{ readonly appId: string; readonly key: string }> {
    const appId = textField(await this.api.admin('POST', '/admin/apps', { name: 'portal' }), 'app_id')
    return { appId, key: await this.issueKey(appId) }
  }

  async issueKey(appId: string, customerIds?: readonly string[]): Promise<string> {
    const body = customerIds === undefined ? {} : { customer_ids: customerIds }
    const issued = await this.api.admin('POST', `/admin/apps/${appId}/provisioning-keys`, body)
    return textField(issued, 'provisioning_key')
  }

  /** Sends a request as `key`. */
  as(key: string) {
    return (
      method: string,
      path: string,
      body?: unknown,
      headers: RequestOptions['headers'] = {},
    ): Promise<ApiResponse> => this.api.request(method, path, { key, headers, ...(body !== undefined && { body }) })
  }

  /** Makes something and returns its id; fails unless it is 201. */
  async make(key: string, path: string, body: unknown): Promise<string> {
    const made = await this.as(key)('POST', path, body)
    if (made.status !== 201) throw new Error(`${path} answered ${made.status}: ${JSON.stringify(made.body)}`)
    return textField(made, 'id')
  }

  /** The order, once it is final. */
  settled(key: string, customerId: string, orderId: string): Promise<ApiResponse> {
    return until(`order ${orderId} to be final`, async () => {
      const order = await this.as(key)('GET', `/customers/${customerId}/orders/${orderId}`)
      return FINAL.has(v.parse(OrderState, order.body).state) ? order : undefined
    })
  }

  stop(): Promise<void> {
    return this.api.stop()
  }
}
