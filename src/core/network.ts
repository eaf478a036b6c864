import type { NetworkId, Shard } from './ids.ts'

/** One provider deployment, as recorded. `config` holds no secret: those are kept apart, encrypted. */
export type Network = {
  readonly networkId: NetworkId
  readonly shard: Shard
  readonly name: string
  /** The name of an adapter type. */
  readonly adapter: string
  readonly config: Readonly<Record<string, unknown>>
  /** Chosen once, kept for ever: the provider's subscriptions hang on it (XSI spec, channelSetId). */
  readonly channelSetId: string
  /** How often an operator has asked for its channels to be restarted. */
  readonly channelRestarts: number
  readonly createdAt: number
  readonly updatedAt: number
}

export type NewNetwork = {
  readonly name: string
  readonly shard: Shard
  readonly adapter: string
  readonly config: Readonly<Record<string, unknown>>
  readonly secrets: Readonly<Record<string, string>>
}

export type NetworkChange = {
  readonly name?: string
  readonly config?: Readonly<Record<string, unknown>>
  /** Replaces the named secrets, keeps the others. */
  readonly secrets?: Readonly<Record<string, string>>
}

export interface NetworkRepository {
  create(network: NewNetwork): Promise<Network>
  list(): Promise<readonly Network[]>
  find(networkId: NetworkId): Promise<Network | undefined>
  /** Undefined when there is no such network. */
  update(networkId: NetworkId, change: NetworkChange): Promise<Network | undefined>
  /** Asks every instance to restart the network's stopped channels; false when there is no such network. */
  requestChannelRestart(networkId: NetworkId): Promise<boolean>
  /** False when there is no such network; rejects with `in_use` while subscribers belong to it. */
  remove(networkId: NetworkId): Promise<boolean>
  /** The decrypted secrets, for the adapter only. */
  secretsOf(networkId: NetworkId): Promise<Readonly<Record<string, string>>>
}
