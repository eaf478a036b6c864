import type { Fence } from './observation.ts'
import type { NetworkRef } from './ids.ts'

/** A lease held for a limited time. Aborts `lost` when it can no longer be proven to be held. */
export interface Lease {
  readonly fence: Fence
  readonly lost: AbortSignal
  /** Gives it back at once. */
  release(): Promise<void>
}

/** Exclusive, expiring, renewed grants with growing tokens. */
export interface LeaseStore {
  /** The lease if it is free now, undefined when somebody else holds it. `name` is unique in the network. */
  tryAcquire(network: NetworkRef, name: string): Promise<Lease | undefined>
}

/** Numbers the subscriptions of a network, so that positions of a newer one compare as later. */
export interface GenerationStore {
  /** The generation of a subscription, given at first sight and the same ever after. */
  generationOf(network: NetworkRef, subscriptionId: string): Promise<number>
}
