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

/** That an app lost a subscriber and its log does not say so yet. Ids grow. */
export type Departure = {
  readonly departureId: string
  /** As it was; without `announcedAt` its assignment may not be in the log either. */
  readonly subscriber: Subscriber
}

export type NewSubscriber = Omit<Subscriber, 'createdAt' | 'announcedAt'>

export interface SubscriberRepository {
  /**
   * Creates or replaces; `created` says which. One app knows a subscriber id in one network only: to be moved
   * to another is a departure and a new assignment.
   */
  put(subscriber: NewSubscriber): Promise<{ readonly subscriber: Subscriber; readonly created: boolean }>
  find(appId: AppId, subscriberId: SubscriberId): Promise<Subscriber | undefined>
  /** In order of subscriber id; `after` is the last id of the page before. */
  list(appId: AppId, page: { readonly after?: SubscriberId; readonly limit: number }): Promise<readonly Subscriber[]>
  /** Leaves a departure. A removed app leaves none. */
  remove(appId: AppId, subscriberId: SubscriberId): Promise<boolean>
  /** The oldest departures that are not in their apps' logs yet. */
  departures(limit: number): Promise<readonly Departure[]>
  forgetDeparture(departureId: string): Promise<void>
  /**
   * The oldest assignments whose event is not in the app's log yet. One that follows a departure of the same
   * subscriber is none of them until the departure is forgotten.
   */
  unannounced(limit: number): Promise<readonly Subscriber[]>
  markAnnounced(subscriber: Subscriber): Promise<void>
}
