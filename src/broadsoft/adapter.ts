import type { Adapter, AdapterContext, AdapterType, ChannelStatus, SubscriptionStatus } from '../core/adapter.ts'
import type { CommandOf, CommandResults, CommandType } from '../core/command.ts'
import { isGatewayError } from '../core/errors.ts'
import type { SubscriberId } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { Fence } from '../core/observation.ts'
import { Channel } from './channel.ts'
import { ChannelRequests } from './channel-requests.ts'
import { XsiClient } from './client.ts'
import { readCalls } from './commands/list.ts'
import type { BroadsoftConfig } from './config.ts'
import { BROADSOFT_SECRET_FIELDS, BroadsoftConfigSchema, isPlainText } from './config.ts'
import { Coverage } from './coverage.ts'
import { CommandExecutor } from './execute.ts'
import { GapWatch } from './gap-watch.ts'
import { Intake } from './intake.ts'
import type { BroadsoftMetrics } from './metrics.ts'
import { NodeDuty } from './node-duty.ts'
import { ReadLease } from './read-lease.ts'
import { Reconciler } from './reconciler.ts'
import { Resynchroniser } from './resynchroniser.ts'
import { SubscriptionRequests } from './subscription-requests.ts'
import { collectionTarget } from './subscription-target.ts'
import { Subscriptions } from './subscriptions.ts'
import type { ChannelRole, ChannelTerms } from './supervisor.ts'
import { Supervisor } from './supervisor.ts'
import type { ChannelEnd } from './termination.ts'
import { mayLoseEvents } from './termination.ts'
import { untilAborted } from './until-aborted.ts'

/** The adapter type for Cisco BroadWorks (XSI). */
export const broadsoft = (metrics: BroadsoftMetrics): AdapterType<typeof BroadsoftConfigSchema> => ({
  name: 'broadsoft',
  configSchema: BroadsoftConfigSchema,
  secretFields: BROADSOFT_SECRET_FIELDS,
  create: (context) => new BroadsoftAdapter(context, metrics),
})

/** Of the open channels of a set, those with the lowest number get the events (2020.07, p. 346). */
const CHANNEL_PRIORITY: Readonly<Record<ChannelRole, number>> = { owner: 1, standby: 2 }
const CHANNEL_WEIGHT = 50
/** A number that is missing for longer is lost. A collection does not keep the order over its users. */
const GAP_GRACE_MS = 250
const COLLECTION_GAP_GRACE_MS = 2_000
const DRAIN_MS = 5_000

/**
 * One BroadWorks network: the channels to its XSPs, the subscriptions, and the commands.
 *
 * Each XSP has an owner's channel on one instance of the gateway and a standby's on another, in one channel
 * set: an instance that dies takes no event with it. Which instance has which is decided per XSP (NodeDuty).
 *
 * An event's way: channel → intake → sink → acknowledgement. A gap's way: supervisor → reconciler, or gap
 * watch → resynchroniser; then snapshot event, or read → sink.
 */
class BroadsoftAdapter implements Adapter {
  readonly name: string
  readonly #context: AdapterContext<BroadsoftConfig>
  readonly #metrics: BroadsoftMetrics
  readonly #log: Logger
  readonly #client: XsiClient
  readonly #commands: CommandExecutor
  readonly #coverage = new Coverage()
  readonly #gaps: GapWatch
  readonly #intake: Intake
  readonly #subscriptions: Subscriptions
  readonly #resynchroniser: Resynchroniser
  readonly #reconciler: Reconciler
  readonly #duties: readonly NodeDuty[]
  /** Ends what asks the network for things; channels live on until they are drained. */
  readonly #stopWork = new AbortController()
  #working: Promise<unknown> = Promise.resolve()
  #supervising: Promise<unknown> = Promise.resolve()
  #stopping: Promise<void> | undefined
  #release: readonly (() => void)[] = []
  #isReady = false

  constructor(context: AdapterContext<BroadsoftConfig>, metrics: BroadsoftMetrics) {
    const { network, config, sink, clock, random } = context
    this.name = `broadsoft ${network.networkId}`
    this.#context = context
    this.#metrics = metrics
    this.#log = context.log.child({ component: 'broadsoft', network_id: network.networkId })
    this.#client = this.#createClient()
    this.#commands = new CommandExecutor(this.#client)
    const collection = collectionTarget(config)
    const common = { network, sink, coverage: this.#coverage, clock, random, log: this.#log, metrics }
    this.#gaps = new GapWatch({
      graceMs: collection === undefined ? GAP_GRACE_MS : COLLECTION_GAP_GRACE_MS,
      clock,
      signal: this.#stopWork.signal,
      onGap: (subscriberId) => this.#onGap(collection === undefined ? [subscriberId] : undefined),
    })
    this.#intake = this.#createIntake()
    this.#subscriptions = new Subscriptions({
      ...common,
      requests: this.#createSubscriptionRequests(),
      channelSetId: context.channelSetId,
      collection,
      perSecond: config.subscribe_per_second,
      onSnapshotDue: (subscriberId, since) => this.#resynchroniser.expectSnapshot(subscriberId, since),
      onCollectionCreated: () => this.#resynchroniser.request(undefined, 'subscription_created'),
    })
    this.#resynchroniser = new Resynchroniser({
      ...common,
      perSecond: config.subscribe_per_second,
      requestSnapshot: (subscriberId, delayMs) => this.#subscriptions.requestSnapshot(subscriberId, delayMs),
      readCalls: (subscriberId, signal) => readCalls(this.#client, subscriberId, signal),
      generationFor: (subscriberId) => this.#generationFor(subscriberId),
      lease: new ReadLease({ ...common, leases: context.leases, heldFence: () => this.#heldFence() }),
    })
    this.#reconciler = new Reconciler({
      ...common,
      leases: context.leases,
      confirmations: context.confirmations,
      subscriptions: this.#subscriptions,
      resynchroniser: this.#resynchroniser,
      isAnyChannelOpen: () => this.#duties.some(({ isOpen }) => isOpen),
      isAnyChannelDue: () => this.#duties.some(({ owner }) => owner.isHeld),
    })
    this.#duties = context.takesChannels ? config.xsp.map((node) => this.#createDuty(new URL(node))) : []
  }

  async start(): Promise<void> {
    const { network, wanted, config } = this.#context
    const plain = config.xsp.filter(isPlainText)
    if (plain.length > 0) this.#log.warn({ nodes: plain }, 'credentials are sent without encryption')
    this.#followWanted()
    this.#release = [
      wanted.onChange(() => this.#followWanted()),
      this.#metrics.followCoverage(network.networkId, () => this.#coverage.counts()),
    ]
    const { signal } = this.#stopWork
    this.#working = Promise.all([
      this.#subscriptions.run(signal),
      this.#resynchroniser.run(signal),
      this.#reconciler.run(signal),
    ])
    this.#supervising = Promise.all(this.#duties.map((duty) => duty.run()))
    // They do not reject; a bug that makes them must not end the process.
    this.#working.catch((error: unknown) => this.#log.error({ err: error }, 'adapter failed'))
    this.#supervising.catch((error: unknown) => this.#log.error({ err: error }, 'adapter failed'))
  }

  /**
   * Sends new events to the next channel of the set, finishes those taken in, deletes the channels. The
   * subscriptions stay: they go on with the next channel of the set (2020.07, p. 346).
   */
  stop(deadline: AbortSignal): Promise<void> {
    this.#stopping ??= this.#shutDown(deadline)
    return this.#stopping
  }

  async execute<Type extends CommandType>(
    command: CommandOf<Type>,
    signal: AbortSignal,
  ): Promise<CommandResults[Type]> {
    try {
      return await this.#commands.execute(command, signal)
    } catch (error) {
      const isGone = isGatewayError(error, 'call_not_found')
      // The call was thought to live, or somebody guesses: the network knows.
      if (isGone || (isGatewayError(error) && error.fields['maybe_gone'] === true)) {
        this.#resynchroniser.request([command.subscriberId], 'call_not_found', true)
      }
      throw error
    }
  }

  channels(): readonly ChannelStatus[] {
    return this.#duties.flatMap((duty) => duty.status())
  }

  subscriptions(): SubscriptionStatus {
    return this.#coverage.status()
  }

  resynchronise(subscriberIds: readonly SubscriberId[] | undefined, reason: string): void {
    if (subscriberIds === undefined) this.#reconciler.renew(reason)
    else this.#resynchroniser.request(subscriberIds, reason)
  }

  restartChannels(): void {
    const { isLockedOut } = this.#client
    const isStopped = this.channels().some(({ state }) => state === 'stopped')
    if (isLockedOut) this.#client.resetCredentials()
    for (const duty of this.#duties) duty.restart()
    if (isStopped) this.#reconciler.lost('operator')
  }

  isReady(): boolean {
    // An instance that does not look after the subscribers, be it standing by or cut off, has nothing to wait for.
    this.#isReady ||=
      this.#coverage.isSettled() ||
      this.#reconciler.isKeptElsewhere ||
      this.#duties.every(({ hasSettled }) => hasSettled)
    return this.#isReady
  }

  #createClient(): XsiClient {
    const { config, clock } = this.#context
    return new XsiClient({
      nodes: config.xsp.map((node) => new URL(node)),
      credentials: { username: config.username, password: config.password },
      allowedHosts: config.redirect_hosts,
      actionsPath: config.actions_path,
      log: this.#log,
      clock,
      ...(config.ca === undefined ? {} : { ca: config.ca }),
    })
  }

  #createSubscriptionRequests(): SubscriptionRequests {
    const { network, config, channelSetId, applicationId } = this.#context
    return new SubscriptionRequests({
      network: network.networkId,
      client: this.#client,
      eventsPath: config.events_path,
      channelSetId,
      applicationId,
      expiresSeconds: config.expires_seconds,
      metrics: this.#metrics,
    })
  }

  #createIntake(): Intake {
    const { network, sink, generations, clock } = this.#context
    return new Intake({
      network,
      sink,
      generations,
      clock,
      log: this.#log,
      metrics: this.#metrics,
      isWanted: (subscriberId) => this.#coverage.isWanted(subscriberId),
      listener: {
        onSequence: (event) => this.#gaps.observe(event),
        onSnapshot: (subscriberId) => this.#resynchroniser.confirm(subscriberId),
        onDoubt: (subscriberId, reason) => this.#resynchroniser.request([subscriberId], reason),
        onSubscriptionTerminated: (subscriptionId, subscriberId) => {
          this.#gaps.forget(subscriptionId)
          this.#subscriptions.onTerminated(subscriptionId, subscriberId)
        },
        onUnassigned: (subscriptionId) => this.#subscriptions.onUnassigned(subscriptionId),
      },
    })
  }

  #createDuty(node: URL): NodeDuty {
    const { network, leases, instances, clock, random } = this.#context
    const shared = { network, node, leases, clock, random, log: this.#log, metrics: this.#metrics }
    return new NodeDuty({
      ...shared,
      instances,
      supervise: (role, onChange) =>
        new Supervisor({
          ...shared,
          role,
          openChannel: (terms) => this.#createChannel(node, role, terms),
          removeChannel: (channelId, signal) => this.#removeChannel(node, channelId, signal),
          onOpen: () => this.#onOpen(role),
          onEnd: (end) => this.#onEnd(role, end),
          onChange: () => {
            onChange()
            this.#reconciler.wake()
          },
        }),
    })
  }

  #createChannel(node: URL, role: ChannelRole, terms: ChannelTerms): Channel {
    const { network, config, clock, random, channelSetId, applicationId } = this.#context
    return new Channel({
      ...terms,
      network: network.networkId,
      node,
      requests: this.#requestsFor(terms.signal),
      request: {
        channelSetId,
        priority: CHANNEL_PRIORITY[role],
        weight: CHANNEL_WEIGHT,
        expiresSeconds: config.expires_seconds,
        applicationId,
      },
      heartbeatMs: config.heartbeat_seconds * 1000,
      clock,
      random,
      log: this.#log,
      metrics: this.#metrics,
      accept: (document, origin) => this.#intake.accept(document, origin),
    })
  }

  #requestsFor(signal: AbortSignal): ChannelRequests {
    const { events_path: eventsPath, channel_path: channelPath } = this.#context.config
    return new ChannelRequests({ client: this.#client, eventsPath, channelPath, signal })
  }

  async #removeChannel(node: URL, channelId: string, signal: AbortSignal): Promise<void> {
    const wasThere = await this.#requestsFor(signal).remove(node, channelId, signal)
    if (wasThere) this.#log.info({ node: node.host, channel_id: channelId }, 'channel of a dead instance deleted')
  }

  #onOpen(role: ChannelRole): void {
    // What came before, other instances have seen: their numbers would be missing here.
    if (role === 'owner' && this.#isSoleReceiver()) this.#gaps.clear()
    this.#reconciler.opened()
  }

  #onEnd(role: ChannelRole, end: ChannelEnd): void {
    if (this.#stopWork.signal.aborted) return
    this.#gaps.clear()
    if (mayLoseEvents(role, end)) this.#reconciler.lost()
    else this.#reconciler.ended()
  }

  /** Every channel that usually gets events is here. */
  #isSoleReceiver(): boolean {
    return this.#duties.every(({ owner }) => owner.isOpen)
  }

  /** While another instance's channel gets some of each subscription's events, a missing number says nothing here. */
  #onGap(subscriberIds: readonly SubscriberId[] | undefined): void {
    if (!this.#isSoleReceiver()) return
    this.#metrics.gaps.inc({ network: this.#context.network.networkId })
    this.#resynchroniser.request(subscriberIds, 'gap')
  }

  #followWanted(): void {
    const { added, removed } = this.#coverage.want(this.#context.wanted.list())
    this.#subscriptions.change(added, removed)
    for (const subscriberId of removed) this.#resynchroniser.forget(subscriberId)
    // Otherwise the keeper, or the next comparison, does it.
    if (this.#subscriptions.isKeeper && added.length > 0) this.#resynchroniser.request(added, 'subscriber_added')
  }

  async #generationFor(subscriberId: SubscriberId): Promise<number | undefined> {
    const subscriptionId = this.#subscriptions.subscriptionIdFor(subscriberId)
    if (subscriptionId === undefined) return undefined
    const { generations, network } = this.#context
    return generations.generationOf(network, subscriptionId)
  }

  /** Proof of any lease that this instance holds. */
  #heldFence(): Fence | undefined {
    const supervisors = this.#duties.flatMap(({ owner, standby }) => [owner, standby])
    return this.#reconciler.fence ?? supervisors.find(({ fence }) => fence !== undefined)?.fence
  }

  async #shutDown(deadline: AbortSignal): Promise<void> {
    for (const release of this.#release) release()
    this.#intake.drain()
    this.#stopWork.abort()
    const limit = AbortSignal.any([deadline, AbortSignal.timeout(DRAIN_MS)])
    await untilAborted(this.#drain(), limit)
    await Promise.all(this.#duties.map((duty) => duty.close(deadline)))
    await untilAborted(Promise.all([this.#working, this.#supervising]), limit)
    await this.#client.close()
  }

  async #drain(): Promise<void> {
    await this.#intake.whenIdle()
    await Promise.all(this.#duties.map((duty) => duty.whenAcknowledged()))
  }
}
