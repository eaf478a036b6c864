import type { Redis } from 'ioredis'
import type { EventLog } from '../core/event-log.ts'
import type { AppRef, EndpointId } from '../core/ids.ts'
import type { EndpointRef } from './delivery.ts'
import { DeliveryStore } from './delivery-store.ts'
import { forgetEndpoint } from './endpoint-removal.ts'
import type { EndpointRemovalOptions } from './endpoint-removal.ts'
import type { EndpointStatus } from './store-replies.ts'

/** Runs commands on a shared connection; rejects with `store_unavailable`. */
export type RedisRunner = <Result>(work: (redis: Redis) => Promise<Result>) => Promise<Result>

/** What managing an endpoint asks of its state in Redis. Everything rejects with `store_unavailable`. */
export class EndpointState {
  readonly #run: RedisRunner
  readonly #log: Pick<EventLog, 'top'>

  constructor(run: RedisRunner, log: Pick<EventLog, 'top'>) {
    this.#run = run
    this.#log = log
  }

  /**
   * Fixes where a new endpoint starts: at the top of its app's log. Called before the app is told that the
   * endpoint exists (created, or enabled again), so that no event after the answer can be missed; without
   * it the endpoint starts when the dispatcher first sees it, up to seconds later. Starting again does
   * nothing.
   */
  async open(app: AppRef, endpointId: EndpointId): Promise<void> {
    const top = await this.#log.top(app)
    await this.#run((redis) => new DeliveryStore(redis).open({ appId: app.appId, endpointId }, top))
  }

  /** Does at once what the sweeper would do some seconds after an endpoint was disabled: see {@link forgetEndpoint}. */
  async forget(endpoint: EndpointRef, records: Omit<EndpointRemovalOptions, 'store'>): Promise<void> {
    await this.#run((redis) => forgetEndpoint({ store: new DeliveryStore(redis), ...records }, endpoint))
  }

  /** Starts its failures, breaker and pause anew. */
  forgetFailures(endpoint: EndpointRef): Promise<void> {
    return this.#run((redis) => new DeliveryStore(redis).forgetFailures(endpoint))
  }

  /** How endpoints fare. */
  status(endpointIds: readonly EndpointId[]): Promise<ReadonlyMap<EndpointId, EndpointStatus>> {
    return this.#run((redis) => new DeliveryStore(redis).status(endpointIds))
  }
}
