import type { AppId, EndpointId } from './ids.ts'

/** A registered webhook URL, as recorded; its secret is kept apart, encrypted. */
export type Endpoint = {
  readonly endpointId: EndpointId
  readonly appId: AppId
  readonly url: string
  readonly description?: string
  /** Event types it wants, exact or by prefix (`call.*`); undefined means all. */
  readonly eventTypes?: readonly string[]
  readonly enabled: boolean
  readonly createdAt: number
  readonly updatedAt: number
}

export type NewEndpoint = Pick<Endpoint, 'appId' | 'url' | 'description' | 'eventTypes' | 'enabled'> & {
  /** `whsec_…` */
  readonly secret: string
}

export type EndpointChange = {
  readonly url?: string
  readonly description?: string
  /** `null` asks for all event types again. */
  readonly eventTypes?: readonly string[] | null
  readonly enabled?: boolean
}

export interface EndpointRepository {
  /** Rejects with `app_not_found`, and with `too_many_webhooks` when the app has its maximum. */
  create(endpoint: NewEndpoint): Promise<Endpoint>
  list(appId: AppId): Promise<readonly Endpoint[]>
  find(appId: AppId, endpointId: EndpointId): Promise<Endpoint | undefined>
  update(appId: AppId, endpointId: EndpointId, change: EndpointChange): Promise<Endpoint | undefined>
  remove(appId: AppId, endpointId: EndpointId): Promise<boolean>
  /** The decrypted signing secrets, newest first, for the deliverer only; empty when it was removed. */
  secretsOf(endpointId: EndpointId): Promise<readonly string[]>
}

/** Whether an endpoint with this filter wants events of this type. */
export const wantsEvent = (filter: readonly string[] | undefined, type: string): boolean =>
  filter === undefined ||
  filter.some((wanted) => (wanted.endsWith('.*') ? type.startsWith(wanted.slice(0, -1)) : wanted === type))
