import type { AppId, NetworkId, SubscriberId } from './ids.ts'

/** An app's assignment to a subscriber, as recorded. */
export type Subscriber = {
  readonly appId: AppId
  readonly networkId: NetworkId
  readonly subscriberId: SubscriberId
  readonly subscriberNumber: string
  readonly subscriberName?: string
  readonly subscriberAccountId?: string
  readonly createdAt: number
  /** When the Subscriber Webhook's event was put into the app's log. */
  readonly announcedAt?: number
}

export type NewSubscriber = Omit<Subscriber, 'createdAt' | 'announcedAt'>

export interface SubscriberRepository {
  /** Creates or replaces; `created` says which. One app knows a subscriber id in one network only. */
  put(subscriber: NewSubscriber): Promise<{ readonly subscriber: Subscriber; readonly created: boolean }>
  find(appId: AppId, subscriberId: SubscriberId): Promise<Subscriber | undefined>
  /** In order of subscriber id; `after` is the last id of the page before. */
  list(appId: AppId, page: { readonly after?: SubscriberId; readonly limit: number }): Promise<readonly Subscriber[]>
  remove(appId: AppId, subscriberId: SubscriberId): Promise<boolean>
  /** The oldest assignments whose event is not in the app's log yet. */
  unannounced(limit: number): Promise<readonly Subscriber[]>
  markAnnounced(subscriber: Subscriber): Promise<void>
}
