import type { NetworkRef, SubscriberId } from '../../src/core/ids.ts'
import type { DeliveryOutcome, Fence, Observation, ObservationSink } from '../../src/core/observation.ts'
import type { UpstreamPosition } from '../../src/core/upstream-position.ts'
import { compareUpstream } from '../../src/core/upstream-position.ts'

/** Remembers every observation; `beforeStore` may make it wait or fail, `outcome` says what becomes of it. */
export class RecordingSink implements ObservationSink {
  readonly delivered: { readonly observation: Observation; readonly fence: Fence }[] = []
  readonly stale: (readonly SubscriberId[])[] = []
  readonly #newest = new Map<SubscriberId, UpstreamPosition>()
  beforeStore: (observation: Observation) => Promise<void> = async () => undefined
  outcome: (observation: Observation) => DeliveryOutcome = () => 'changed'

  async deliver(observation: Observation, fence: Fence): Promise<DeliveryOutcome> {
    await this.beforeStore(observation)
    this.delivered.push({ observation, fence })
    const outcome = this.outcome(observation)
    if (outcome === 'dropped') return outcome
    const { subscriberId, upstream } = observation
    const newest = this.#newest.get(subscriberId)
    if (newest === undefined || compareUpstream(upstream, newest) > 0) this.#newest.set(subscriberId, upstream)
    return outcome
  }

  async markStale(_networkId: NetworkRef['networkId'], subscriberIds: readonly SubscriberId[]): Promise<void> {
    this.stale.push(subscriberIds)
  }

  async newestUpstream(
    _networkId: NetworkRef['networkId'],
    subscriberId: SubscriberId,
  ): Promise<UpstreamPosition | undefined> {
    return this.#newest.get(subscriberId)
  }

  snapshotsOf(subscriberId: string): readonly Observation[] {
    return this.#of(subscriberId, 'snapshot')
  }

  /** The states of the subscriber's calls as they were reported one by one. */
  statesOf(subscriberId: string): readonly string[] {
    return this.#of(subscriberId, 'calls').flatMap(({ body }) => body.calls.map(({ state }) => state))
  }

  #of(subscriberId: string, type: Observation['body']['type']): readonly Observation[] {
    return this.delivered
      .map(({ observation }) => observation)
      .filter((observation) => observation.subscriberId === subscriberId && observation.body.type === type)
  }
}
