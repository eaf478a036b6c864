import type { Redis } from 'ioredis'
import type { EventLog } from '../core/event-log.ts'
import type { AppRef, EndpointId } from '../core/ids.ts'
import { DeliveryStore } from './delivery-store.ts'

/** Runs commands on a shared connection; rejects with `store_unavailable`. */
export type RedisRunner = <Result>(work: (redis: Redis) => Promise<Result>) => Promise<Result>

/**
 * Fixes where a new endpoint starts: at the top of its app's log. Called before the app is told that the
 * endpoint exists (created, or enabled again), so that no event after the answer can be missed; without
 * it the endpoint starts when the dispatcher first sees it, up to seconds later. Starting again does
 * nothing.
 */
export class EndpointOpener {
  readonly #run: RedisRunner
  readonly #log: Pick<EventLog, 'top'>

  constructor(run: RedisRunner, log: Pick<EventLog, 'top'>) {
    this.#run = run
    this.#log = log
  }

  async open(app: AppRef, endpointId: EndpointId): Promise<void> {
    const top = await this.#log.top(app)
    await this.#run((redis) => new DeliveryStore(redis).open({ appId: app.appId, endpointId }, top))
  }
}
