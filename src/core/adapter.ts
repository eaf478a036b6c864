import type * as v from 'valibot'
import type { Clock } from './clock.ts'
import type { CommandOf, CommandResults, CommandType } from './command.ts'
import type { NetworkRef, SubscriberId } from './ids.ts'
import type { InstanceRegistry } from './instances.ts'
import type { ConfirmationBook, GenerationStore, LeaseStore } from './lease.ts'
import type { Logger } from './logger.ts'
import type { ObservationSink } from './observation.ts'
import type { Service } from './service.ts'

/** The health of one channel, as an operator sees it. */
export type ChannelStatus = {
  /** The provider node it is connected to (host and port). */
  readonly node: string
  /** `standby`: this instance has no channel to the node, as others have; `role` says so, too. */
  readonly state: 'connecting' | 'open' | 'waiting' | 'standby' | 'stopped'
  /**
   * `owner`: the channel that gets the node's events. `standby`: a channel of the same set with a lower
   * priority, which gets them as soon as the owner's is gone. `none`: no channel of this instance's.
   */
  readonly role?: 'owner' | 'standby' | 'none'
  readonly channelId?: string
  readonly since: number
  /** When anything last arrived on it. */
  readonly lastReceivedAt?: number
  readonly expiresAt?: number
  /** Why it is not open, in one word an alert can match. */
  readonly reason?: string
  /** When the next attempt starts. */
  readonly retryAt?: number
  readonly attempts: number
}

/** How far the wanted subscribers are covered. */
export type SubscriptionStatus = {
  readonly wanted: number
  readonly active: number
  readonly stale: number
  readonly failed: readonly { readonly subscriberId: string; readonly code: string }[]
}

/**
 * The port through which a provider system is reached: one instance per network. Between `start` and
 * `stop` it keeps the network connected and hands every observation to the sink.
 */
export interface Adapter extends Service {
  /** Runs a command at the network. Rejects with `provider_*`, `call_not_found`, `call_state_conflict`. */
  execute<Type extends CommandType>(command: CommandOf<Type>, signal: AbortSignal): Promise<CommandResults[Type]>
  channels(): readonly ChannelStatus[]
  subscriptions(): SubscriptionStatus
  /**
   * Asks for the subscribers' calls to be read again from the network, soon. Undefined means all of them, for a
   * reason that every instance notices by itself: the one that looks after the subscriptions does it.
   */
  resynchronise(subscriberIds: readonly SubscriberId[] | undefined, reason: string): void
  /**
   * Starts channels again that stopped for good (a refused login, a duplicate channel set), with one more try
   * of the credentials, and reads everything again: an operator has looked at the cause. Nothing if none has stopped.
   */
  restartChannels(): void
  /** True once every wanted subscriber has been confirmed after the start. */
  isReady(): boolean
}

/** The subscribers to monitor, as they are now. */
export interface WantedSubscribers {
  list(): readonly SubscriberId[]
  onChange(listener: () => void): () => void
}

export type AdapterContext<Config> = {
  readonly network: NetworkRef
  readonly config: Config
  readonly sink: ObservationSink
  readonly wanted: WantedSubscribers
  /** Whether this process takes on channels; if not, they are other processes', and it sends commands and reads calls. */
  readonly takesChannels: boolean
  readonly leases: LeaseStore
  readonly generations: GenerationStore
  readonly confirmations: ConfirmationBook
  readonly instances: InstanceRegistry
  /** The network's immutable channel set, kept in records: the same for every instance, for ever. */
  readonly channelSetId: string
  /** Unique to the network: of two with the same the provider ends one (XSI, `DuplicateChannelSet`). */
  readonly applicationId: string
  readonly log: Logger
  readonly clock: Clock
  /** Uniform in [0, 1), for jitter. */
  readonly random: () => number
}

/** One kind of provider system. */
export interface AdapterType<Schema extends v.GenericSchema = v.GenericSchema> {
  /** The value of `adapter` in a network. */
  readonly name: string
  /** Validates a network's `config`. */
  readonly configSchema: Schema
  /** Names of config fields that are kept encrypted and never returned. */
  readonly secretFields: readonly string[]
  create(context: AdapterContext<v.InferOutput<Schema>>): Adapter
}
