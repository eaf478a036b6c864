import { createHash } from 'node:crypto'
import type { Adapter, AdapterContext, AdapterType, ChannelStatus, SubscriptionStatus } from '../core/adapter.ts'
import type { Clock } from '../core/clock.ts'
import type { CommandOf, CommandResults, CommandType } from '../core/command.ts'
import type { Directory } from '../core/directory.ts'
import { GatewayError } from '../core/errors.ts'
import type { NetworkId, SubscriberId } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { NetworkControl, NetworkLifecycle, NetworkStatus, SplitConfig } from '../core/network-control.ts'
import type { Network, NetworkRepository } from '../core/network.ts'
import { invalidRequest } from '../core/parse-input.ts'
import type { Service } from '../core/service.ts'
import { findAdapterType, joinConfig, splitConfig } from './network-config.ts'
import { NetworkRunner } from './network-runner.ts'
import { WantedView } from './wanted-view.ts'

/** What an adapter gets from the gateway besides its own network's record. */
type AdapterPorts = Omit<AdapterContext<unknown>, 'network' | 'config' | 'wanted' | 'channelSetId'>

export type NetworkSupervisorOptions = {
  readonly networks: NetworkRepository
  readonly directory: Directory
  readonly adapterTypes: readonly AdapterType[]
  readonly portsFor: (network: Network) => AdapterPorts
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
}

type Running = {
  readonly runner: NetworkRunner
  readonly wanted: WantedView
  readonly fingerprint: string | undefined
  /** The record that the runner was last compared with. */
  network: Network
}

const PARALLEL_CHANGES_MAX = 8
/** How long a change waits for an adapter's first attempt; the attempt itself goes on after that. */
const FIRST_ATTEMPT_WAIT_MS = 10_000
const RESTART_STOP_TIMEOUT_MS = 5_000
/** Changes of the directory within this time are looked at together: bulk provisioning makes thousands. */
const COALESCE_MS = 50
const RETRY_MAX_MS = 30_000

/**
 * Runs one adapter for each recorded network and follows the records: the instance that made a change
 * calls `apply`, the others learn of it from the directory. Changes of one network happen one after the
 * other, those of different networks side by side, and a network that fails never holds up another.
 */
export class NetworkSupervisor implements Service, NetworkControl, NetworkLifecycle {
  readonly name = 'networks'
  readonly #options: NetworkSupervisorOptions
  readonly #running = new Map<NetworkId, Running>()
  /** The last change of each network that is being changed now. */
  readonly #changes = new Map<NetworkId, Promise<void>>()
  #stopping = new AbortController()
  #following: Promise<void> | undefined
  #unsubscribe: (() => void) | undefined
  #isDirty = false
  #isCheckDue = false
  #wake: () => void = () => undefined

  constructor(options: NetworkSupervisorOptions) {
    this.#options = options
  }

  /** The networks that have an adapter here. */
  running(): readonly NetworkId[] {
    return [...this.#running.keys()]
  }

  async start(): Promise<void> {
    if (this.#following !== undefined) return
    this.#stopping = new AbortController()
    this.#unsubscribe = this.#options.directory.onChange(() => this.#markDirty())
    try {
      await this.#reconcile()
    } catch (error) {
      await this.stop(AbortSignal.timeout(RESTART_STOP_TIMEOUT_MS))
      throw error
    }
    this.#following = this.#follow(this.#stopping.signal)
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping.abort(new Error('the gateway is shutting down'))
    this.#unsubscribe?.()
    this.#wake()
    const runners = [...this.#running.values()]
    await Promise.all(runners.map(({ runner }) => runner.stop(deadline)))
    await this.#following
    await Promise.allSettled(this.#changes.values())
    this.#running.clear()
    this.#following = undefined
  }

  async execute<Type extends CommandType>(
    networkId: NetworkId,
    command: CommandOf<Type>,
    signal: AbortSignal,
  ): Promise<CommandResults[Type]> {
    const adapter = this.#running.get(networkId)?.runner.adapter
    if (adapter !== undefined) return adapter.execute(command, signal)
    throw new GatewayError('provider_unavailable', {
      detail: 'The gateway has no connection to the network at the moment.',
      fields: { sent: false },
      retryAfterSeconds: 5,
    })
  }

  channels(networkId: NetworkId): readonly ChannelStatus[] {
    return this.#running.get(networkId)?.runner.adapter?.channels() ?? []
  }

  subscriptions(networkId: NetworkId): SubscriptionStatus {
    const running = this.#running.get(networkId)
    const wanted = this.#options.directory.subscribersOf(networkId).length
    return running?.runner.adapter?.subscriptions() ?? { wanted, active: 0, stale: 0, failed: [] }
  }

  resynchronise(networkId: NetworkId, subscriberIds: readonly SubscriberId[] | undefined, reason: string): void {
    this.#running.get(networkId)?.runner.adapter?.resynchronise(subscriberIds, reason)
  }

  parseConfig(adapter: string, config: unknown, known?: SplitConfig): SplitConfig {
    return splitConfig(this.#adapterType(adapter), config, known)
  }

  status(networkId: NetworkId): NetworkStatus {
    const running = this.#running.get(networkId)
    return running?.runner.status ?? { state: 'stopped', since: this.#options.clock.now(), attempts: 0 }
  }

  /** Every network that this instance runs, and whether all its wanted subscribers have been confirmed. */
  overview(): readonly { readonly networkId: NetworkId; readonly status: NetworkStatus; readonly isReady: boolean }[] {
    return [...this.#running].map(([networkId, { runner }]) => ({
      networkId,
      status: runner.status,
      isReady: runner.adapter?.isReady() ?? false,
    }))
  }

  async apply(networkId: NetworkId): Promise<void> {
    const before = this.#changes.get(networkId) ?? Promise.resolve()
    const change = before.then(() => this.#applyNow(networkId))
    // What the next change waits for must not carry this one's failure, which our caller hears of.
    const settled = change.catch(() => undefined)
    this.#changes.set(networkId, settled)
    try {
      await change
    } finally {
      if (this.#changes.get(networkId) === settled) this.#changes.delete(networkId)
    }
  }

  async #applyNow(networkId: NetworkId): Promise<void> {
    const { networks } = this.#options
    // Read again here: a list made earlier may be older than the change that ran before this one.
    const network = await networks.find(networkId)
    const known = this.#running.get(networkId)
    if (network === undefined) return this.#stopRunning(networkId)
    const fingerprint = await this.#fingerprintOf(network)
    if (known !== undefined && known.fingerprint === fingerprint) {
      if (known.network.channelRestarts !== network.channelRestarts) known.runner.adapter?.restartChannels()
      known.network = network
      return
    }
    // What runs is not stopped for a record that cannot be read now.
    if (known !== undefined && fingerprint === undefined) throw new GatewayError('store_unavailable')
    await this.#stopRunning(networkId)
    if (this.#stopping.signal.aborted) return
    await this.#startRunner(network, fingerprint)
  }

  async #startRunner(network: Network, fingerprint: string | undefined): Promise<void> {
    const { clock, random, log, directory } = this.#options
    const wanted = new WantedView(directory, network.networkId)
    const runner = new NetworkRunner({
      create: () => this.#createAdapter(network, wanted),
      clock,
      random,
      log: log.child({ networkId: network.networkId }),
    })
    this.#running.set(network.networkId, { runner, wanted, fingerprint, network })
    const waiting = new AbortController()
    const longEnough = clock.wait(FIRST_ATTEMPT_WAIT_MS, waiting.signal).catch(() => undefined)
    await Promise.race([runner.start(), longEnough])
    waiting.abort()
  }

  async #stopRunning(networkId: NetworkId): Promise<void> {
    const running = this.#running.get(networkId)
    if (running === undefined) return
    await running.runner.stop(AbortSignal.timeout(RESTART_STOP_TIMEOUT_MS))
    this.#running.delete(networkId)
  }

  async #createAdapter(network: Network, wanted: WantedView): Promise<Adapter> {
    const type = this.#adapterType(network.adapter)
    const secrets = await this.#options.networks.secretsOf(network.networkId)
    return type.create({
      ...this.#options.portsFor(network),
      network: { networkId: network.networkId, shard: network.shard },
      config: joinConfig(type, { config: network.config, secrets }),
      wanted,
      channelSetId: network.channelSetId,
    })
  }

  /** Changes when the adapter must be restarted; undefined when that cannot be told. */
  async #fingerprintOf(network: Network): Promise<string | undefined> {
    try {
      const secrets = await this.#options.networks.secretsOf(network.networkId)
      const text = JSON.stringify([network.adapter, network.shard, network.channelSetId, network.config, secrets])
      return createHash('sha256').update(text).digest('base64')
    } catch (cause) {
      this.#options.log.warn({ err: cause, networkId: network.networkId }, 'network secrets could not be read')
      return undefined
    }
  }

  #adapterType(name: string): AdapterType {
    const type = findAdapterType(this.#options.adapterTypes, name)
    if (type !== undefined) return type
    const names = this.#options.adapterTypes.map((known) => known.name).join(', ')
    throw invalidRequest([{ field: 'adapter', message: `must be one of: ${names}` }])
  }

  #markDirty(): void {
    this.#isDirty = true
    this.#wake()
    this.#checkWantedSoon()
  }

  /** On its own, because a network that takes long to stop or to start must not keep subscribers waiting. */
  #checkWantedSoon(): void {
    if (this.#isCheckDue) return
    this.#isCheckDue = true
    void this.#options.clock.wait(COALESCE_MS, this.#stopping.signal).then(
      () => {
        this.#isCheckDue = false
        for (const { wanted } of this.#running.values()) wanted.check()
        return undefined
      },
      () => (this.#isCheckDue = false),
    )
  }

  /** Looks at the directory's changes until the signal aborts, and again after a failure. */
  async #follow(signal: AbortSignal): Promise<void> {
    let failures = 0
    while (!signal.aborted) {
      await this.#untilDirty(signal)
      const delayMs = failures === 0 ? COALESCE_MS : Math.min(RETRY_MAX_MS, 500 * 2 ** Math.min(failures, 10))
      const isOver = await this.#options.clock.wait(delayMs, signal).then(
        () => false,
        () => true,
      )
      if (isOver) return
      this.#isDirty = false
      try {
        await this.#reconcile()
        failures = 0
      } catch (cause) {
        failures += 1
        this.#isDirty = true
        const level = failures < 3 ? 'warn' : 'error'
        this.#options.log[level]({ err: cause, failures }, 'networks could not be compared with the records')
      }
    }
  }

  #untilDirty(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isDirty || signal.aborted) return resolve()
      this.#wake = resolve
    })
  }

  /** Applies every network whose record is newer than what runs, or gone. */
  async #reconcile(): Promise<void> {
    const records = await this.#options.networks.list()
    const recorded = new Set(records.map(({ networkId }) => networkId))
    const pending = [
      ...[...this.#running.keys()].filter((networkId) => !recorded.has(networkId)),
      ...records
        .filter((network) => hasChanged(network, this.#running.get(network.networkId)?.network))
        .map(({ networkId }) => networkId),
    ]
    const takeTurns = async () => {
      for (let next = pending.shift(); next !== undefined; next = pending.shift()) await this.apply(next)
    }
    const outcomes = await Promise.allSettled(Array.from({ length: PARALLEL_CHANGES_MAX }, takeTurns))
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  }
}

const hasChanged = (recorded: Network, known: Network | undefined): boolean =>
  recorded.updatedAt !== known?.updatedAt || recorded.channelRestarts !== known.channelRestarts
