import type { Fence } from './observation.ts'
import type { InstanceId } from './instances.ts'
import type { NetworkRef } from './ids.ts'

/** A lease held for a limited time. Aborts `lost` when it can no longer be proven to be held. */
export interface Lease {
  readonly fence: Fence
  readonly lost: AbortSignal
  /** The note of the holder before, if that one ended without giving the lease back. */
  readonly leftBehind: string | undefined
  /** The instance that asked for it to be handed over, as of the last renewal. */
  readonly claimedBy: InstanceId | undefined
  /** Leaves a note for those who look at the lease and for the next holder; undefined removes it. */
  describe(note: string | undefined): Promise<void>
  /** Gives it back at once. */
  release(): Promise<void>
}

/** A lease as others see it. */
export type HeldLease = {
  /** How long ago its holder renewed it. */
  readonly renewedMsAgo: number
  /** What the holder says of itself. */
  readonly note?: string
}

/** Exclusive, expiring, renewed grants with growing tokens. All methods reject with `store_unavailable`. */
export interface LeaseStore {
  /** The lease if it is free now, undefined when somebody else holds it. `name` is unique in the network. */
  tryAcquire(network: NetworkRef, name: string): Promise<Lease | undefined>
  /** Who holds it now; undefined: nobody. */
  look(network: NetworkRef, name: string): Promise<HeldLease | undefined>
  /** Asks the holder to hand it over to `by`. It is for the holder to decide; the wish is forgotten after some seconds. */
  claim(network: NetworkRef, name: string, by: InstanceId): Promise<void>
}

/** Numbers the subscriptions of a network, so that positions of a newer one compare as later. */
export interface GenerationStore {
  /** The generation of a subscription, given at first sight and the same ever after. */
  generationOf(network: NetworkRef, subscriptionId: string): Promise<number>
}

/** Whether the calls of a network's subscribers have all been confirmed since events were last lost. */
export type Confirmation = {
  readonly isConfirmed: boolean
  /** Another value after each doubt. */
  readonly doubts: string
}

/**
 * What the instances tell each other of lost events, so that one of them confirms the calls and another
 * can go on where it died. All methods reject with `store_unavailable`.
 */
export interface ConfirmationBook {
  read(network: NetworkRef): Promise<Confirmation>
  /** Events may have been lost: nothing counts as confirmed any more. Resolves to the new `doubts`. */
  doubt(network: NetworkRef): Promise<string>
  /** Everything was confirmed after that doubt; without effect if there was another one since. */
  confirm(network: NetworkRef, doubts: string): Promise<void>
}
