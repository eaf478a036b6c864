import type { Redis } from 'ioredis'
import type { EventLog } from '../core/event-log.ts'
import type { AppRef, EndpointId } from '../core/ids.ts'
import { DeliveryStore } from './delivery-store.ts'

/**
 * Fixes where a new endpoint starts: at the top of its app's log. Called before the app is told that the
 * endpoint exists (created, or enabled again), so that no event after the answer can be missed; without
 * it the endpoint starts when the dispatcher first sees it, up to seconds later. Starting again does
 * nothing.
 */
export class EndpointOpener {
  readonly #store: DeliveryStore
  readonly #log: Pick<EventLog, 'top'>

  constructor(redis: Redis, log: Pick<EventLog, 'top'>) {
    this.#store = new DeliveryStore(redis)
    this.#log = log
  }

  async open(app: AppRef, endpointId: EndpointId): Promise<void> {
    await this.#store.open({ appId: app.appId, endpointId }, await this.#log.top(app))
  }
}
