import type { ChannelStatus, SubscriptionStatus } from './adapter.ts'
import type { CommandOf, CommandResults, CommandType } from './command.ts'
import type { NetworkId, SubscriberId } from './ids.ts'

/** A network's configuration split by what may be shown and what is kept encrypted. */
export type SplitConfig = {
  readonly config: Readonly<Record<string, unknown>>
  readonly secrets: Readonly<Record<string, string>>
}

/** The running adapters, seen from the routes and from call control. */
export interface NetworkControl {
  /** Rejects with `provider_unavailable` when the network's adapter does not run here. */
  execute<Type extends CommandType>(
    networkId: NetworkId,
    command: CommandOf<Type>,
    signal: AbortSignal,
  ): Promise<CommandResults[Type]>
  channels(networkId: NetworkId): readonly ChannelStatus[]
  subscriptions(networkId: NetworkId): SubscriptionStatus
  resynchronise(networkId: NetworkId, subscriberIds: readonly SubscriberId[] | undefined, reason: string): void
  /**
   * Validates the `config` of a new network, or of a changed one when `known` holds what is recorded.
   * Rejects with `invalid_request` naming the field.
   */
  parseConfig(adapter: string, config: unknown, known?: SplitConfig): SplitConfig
}

/** How one network's adapter is doing on this instance. */
export type NetworkStatus = {
  /** `retrying`: it could not be started and will be tried again at `retryAt`. */
  readonly state: 'starting' | 'running' | 'retrying' | 'stopped'
  readonly since: number
  /** Attempts to start it since it last ran. */
  readonly attempts: number
  /** Why it does not run, in words for an operator. */
  readonly reason?: string
  readonly retryAt?: number
}

/** The part of the supervisor that the routes need after they changed a network's record. */
export interface NetworkLifecycle {
  /**
   * Makes the running adapter follow the record of this network: starts, restarts or stops it.
   * Resolves once that has been tried; a network that cannot be started does not make it reject.
   */
  apply(networkId: NetworkId): Promise<void>
  status(networkId: NetworkId): NetworkStatus
}
