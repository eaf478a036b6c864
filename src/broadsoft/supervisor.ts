import type { ChannelStatus } from '../core/adapter.ts'
import type { Clock } from '../core/clock.ts'
import type { NetworkRef } from '../core/ids.ts'
import type { InstanceId } from '../core/instances.ts'
import type { Lease, LeaseStore } from '../core/lease.ts'
import type { Logger } from '../core/logger.ts'
import type { Fence } from '../core/observation.ts'
import { Waker } from '../core/waker.ts'
import { backoffMs, CHANNEL_BACKOFF, STANDBY_BACKOFF } from './backoff.ts'
import type { Channel } from './channel.ts'
import type { BroadsoftMetrics } from './metrics.ts'
import type { ChannelEnd } from './termination.ts'
import { decideAfterEnd } from './termination.ts'
import { untilAborted } from './until-aborted.ts'

/** Which of a node's two channels: see {@link ChannelStatus}. */
export type ChannelRole = 'owner' | 'standby'

/** What a supervisor gives to the channel it makes. */
export type ChannelTerms = {
  readonly fence: Fence
  /** Aborts when the channel must end at once. */
  readonly signal: AbortSignal
  readonly endOnAbort: () => ChannelEnd
  readonly onOpen: (channelId: string) => void
}

/** A channel as far as its supervisor needs it. */
export type SupervisedChannel = Pick<
  Channel,
  'run' | 'drain' | 'settled' | 'close' | 'whenAcknowledged' | 'channelId' | 'openedAt' | 'lastReceivedAt' | 'expiresAt'
>

export type SupervisorOptions = {
  readonly network: NetworkRef
  readonly node: URL
  readonly role: ChannelRole
  readonly leases: LeaseStore
  readonly openChannel: (terms: ChannelTerms) => SupervisedChannel
  /** Deletes the channel of a holder that ended without doing so; must not reject. */
  readonly removeChannel: (channelId: string, signal: AbortSignal) => Promise<void>
  readonly onOpen: () => void
  /** A channel that was open is over. */
  readonly onEnd: (end: ChannelEnd) => void
  /** Anything about the lease or the channel changed. */
  readonly onChange: () => void
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: BroadsoftMetrics
}

/** A channel that was open this long was healthy: the next failure counts as the first. */
const HEALTHY_MS = 10_000
/** Only a restart ends the wait of a stopped channel; a timer needs some end. */
const STOPPED_WAIT_MS = 3_600_000
/** For finishing what a channel has taken in before it is handed over. */
const DRAIN_MS = 5_000

/** The lease's name: the owner's fence and the standby's are counted apart. */
export const leaseNameOf = (role: ChannelRole, node: URL): string =>
  `${role === 'owner' ? 'channel' : 'standby'}:${node.host}`

type Term = {
  readonly lease: Lease
  /** Aborts when the lease is to be handed over. */
  readonly leaving: AbortController
  /** Resolves when the lease is given back; does not reject. */
  ended: Promise<void>
}

/**
 * Keeps one channel to one node open, from the moment it gets the lease of that channel until the lease is
 * lost or handed over: opens it, waits by backoff after each end and opens it again, or stops and raises an
 * alarm when going on would do harm. A stopped supervisor keeps its lease, so that no other instance repeats
 * the harm, and goes on only when an operator says so.
 */
export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #leaseName: string
  #state: ChannelStatus['state'] = 'connecting'
  #since: number
  #reason: string | undefined
  #retryAt: number | undefined
  #attempts = 0
  #hasFailed = false
  #stoppedFor: string | undefined
  #term: Term | undefined
  #channel: SupervisedChannel | undefined
  /** The channel of the holder before, until it is deleted. */
  #leftBehind: string | undefined
  /** Since when the channel is open, or not; monotonic. */
  #changedAt: number
  readonly #restarted: Waker
  /** Aborts when there is to be no further lease and no further channel. */
  readonly #closing = new AbortController()
  /** Aborts when the last channel has said good-bye. */
  readonly #closed = new AbortController()

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#leaseName = leaseNameOf(options.role, options.node)
    this.#since = options.clock.now()
    this.#changedAt = options.clock.monotonic()
    this.#restarted = new Waker(options.clock)
  }

  /** The lease is held, perhaps for a last moment. */
  get isHeld(): boolean {
    return this.#term !== undefined
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  get isStopped(): boolean {
    return this.#state === 'stopped'
  }

  /** At least one attempt to open the channel failed. */
  get hasFailed(): boolean {
    return this.#hasFailed
  }

  /** For how long the channel has been open, or has not been, in ms. */
  get unchangedMs(): number {
    return this.#options.clock.monotonic() - this.#changedAt
  }

  /** The instance that asks for the lease to be handed over. */
  get claimedBy(): InstanceId | undefined {
    return this.#term?.lease.claimedBy
  }

  /** Proof of the lease, while it is held. */
  get fence(): Fence | undefined {
    return this.#term === undefined || this.#term.lease.lost.aborted ? undefined : this.#term.lease.fence
  }

  status(): ChannelStatus {
    const channel = this.#channel
    return {
      node: this.#options.node.host,
      role: this.#options.role,
      state: this.#state,
      since: this.#since,
      attempts: this.#attempts,
      ...defined('channelId', channel?.channelId),
      ...defined('lastReceivedAt', channel?.lastReceivedAt),
      ...defined('expiresAt', channel?.expiresAt),
      ...defined('reason', this.#reason),
      ...defined('retryAt', this.#retryAt),
    }
  }

  /** Takes the lease if it is free, and then works in the background. Rejects with `store_unavailable`. */
  async tryTake(): Promise<boolean> {
    const { leases, network, clock } = this.#options
    if (this.#closing.signal.aborted) return false
    if (this.#term !== undefined) return true
    const lease = await leases.tryAcquire(network, this.#leaseName)
    if (lease === undefined) return false
    if (this.#closing.signal.aborted) {
      await lease.release().catch(() => undefined)
      return false
    }
    const term: Term = { lease, leaving: new AbortController(), ended: Promise.resolve() }
    this.#term = term
    this.#leftBehind = lease.leftBehind
    this.#changedAt = clock.monotonic()
    this.#attempts = 0
    this.#enter('connecting', undefined)
    term.ended = this.#serve(term)
    return true
  }

  /** An operator wants a stopped channel to be tried again. */
  restart(): void {
    this.#stoppedFor = undefined
    this.#restarted.wake()
  }

  /**
   * Hands the lease over: finishes what was taken in, deletes the channel and gives the lease back. An owner
   * meanwhile sends new events to the next channel of the set; a standby gets none where there is an owner.
   * Resolves when that is done, within about 7 s.
   */
  async leave(signal: AbortSignal): Promise<void> {
    const term = this.#term
    if (term === undefined) return
    const channel = this.#channel
    if (channel !== undefined) {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(DRAIN_MS)])
      const finished = this.#options.role === 'owner' ? channel.drain() : channel.settled()
      await untilAborted(
        finished.then(() => channel.whenAcknowledged()),
        limit,
      )
    }
    term.leaving.abort()
    await this.#channel?.close(signal)
    await term.ended
  }

  /** Says good-bye to the node, within about 2 s, gives the lease back and takes none any more. */
  async close(deadline: AbortSignal): Promise<void> {
    this.#closing.abort()
    await this.#channel?.close(deadline)
    this.#closed.abort()
    await this.#term?.ended
  }

  /** Resolves when the answers under way are taken by the node, or given up. */
  async whenAcknowledged(): Promise<void> {
    await this.#channel?.whenAcknowledged()
  }

  async #serve(term: Term): Promise<void> {
    const { log, node, role, onChange } = this.#options
    try {
      await this.#hold(term)
    } catch (error) {
      log.error({ err: error, node: node.host, role }, 'channel supervisor failed')
    }
    // Not given back, it expires.
    await term.lease.release().catch(() => undefined)
    this.#term = undefined
    onChange()
  }

  async #hold({ lease, leaving }: Term): Promise<void> {
    const signal = AbortSignal.any([this.#closing.signal, leaving.signal, lease.lost])
    const { clock, random, network, node, role, metrics, log } = this.#options
    let failures = 0
    while (!signal.aborted) {
      if (this.#stoppedFor !== undefined) await this.#untilRestarted(this.#stoppedFor, signal)
      if (signal.aborted) return
      const startedAt = clock.monotonic()
      const { end, openedAt } = await this.#attempt(lease)
      const decision = decideAfterEnd(end)
      metrics.channelEnds.inc({ network: network.networkId, node: node.host, reason: decision.reason })
      log[decision.action === 'stop' ? 'error' : 'info'](
        {
          node: node.host,
          role,
          reason: decision.reason,
          ...('detail' in end ? { detail: end.detail } : {}),
          duration_ms: Math.round(clock.monotonic() - startedAt),
          attempts: this.#attempts,
        },
        'channel ended',
      )
      if (decision.action === 'none') return this.#enter('waiting', decision.reason)
      this.#hasFailed = true
      if (decision.action === 'stop') {
        this.#stoppedFor = decision.reason
        continue
      }
      if (openedAt !== undefined && clock.monotonic() - openedAt >= HEALTHY_MS) failures = 0
      const backoff = role === 'owner' ? CHANNEL_BACKOFF : STANDBY_BACKOFF
      const delayMs = Math.max(backoffMs(failures, random(), backoff), decision.notBeforeMs ?? 0)
      failures += 1
      this.#enter('waiting', decision.reason)
      this.#retryAt = clock.now() + delayMs
      await clock.wait(delayMs, signal).catch(() => undefined)
    }
  }

  /** One session, from the request to its end; `openedAt` is monotonic. */
  async #attempt(lease: Lease): Promise<{ readonly end: ChannelEnd; readonly openedAt: number | undefined }> {
    const { openChannel, onEnd, onChange, metrics, network, node, role, clock } = this.#options
    const labels = { network: network.networkId, node: node.host, role }
    this.#attempts += 1
    this.#enter('connecting', undefined)
    const channel = openChannel({
      fence: lease.fence,
      signal: AbortSignal.any([this.#closed.signal, lease.lost]),
      endOnAbort: () => ({ type: lease.lost.aborted ? 'lease_lost' : 'closed' }),
      onOpen: (channelId) => this.#onOpen(lease, channelId),
    })
    this.#channel = channel
    const end = await channel.run()
    this.#channel = undefined
    metrics.channelsOpen.set(labels, 0)
    const { openedAt } = channel
    if (openedAt !== undefined) {
      this.#changedAt = clock.monotonic()
      this.#enter('waiting', decideAfterEnd(end).reason)
      void lease.describe(undefined).catch(() => undefined) // a note of a channel that is gone does no harm
      onEnd(end)
      onChange()
    }
    return { end, openedAt }
  }

  #onOpen(lease: Lease, channelId: string): void {
    const { onOpen, onChange, removeChannel, metrics, network, node, role, clock } = this.#options
    this.#attempts = 0
    this.#changedAt = clock.monotonic()
    this.#enter('open', undefined)
    metrics.channelsOpen.set({ network: network.networkId, node: node.host, role }, 1)
    // Without it, a channel that is left behind is not deleted, which only costs time.
    void lease.describe(channelId).catch(() => undefined)
    // Its holder was killed, or hangs: then the network would go on to send events into it.
    if (this.#leftBehind !== undefined) void removeChannel(this.#leftBehind, this.#closing.signal)
    this.#leftBehind = undefined
    onOpen()
    onChange()
  }

  async #untilRestarted(reason: string, signal: AbortSignal): Promise<void> {
    const { metrics, network, node, role, log } = this.#options
    const labels = { network: network.networkId, node: node.host, reason }
    this.#enter('stopped', reason)
    metrics.channelStopped.set(labels, 1)
    log.error({ node: node.host, role, reason }, 'channel stopped until an operator restarts it')
    while (this.#stoppedFor !== undefined && !signal.aborted) await this.#restarted.wait(STOPPED_WAIT_MS, signal)
    metrics.channelStopped.remove(labels)
  }

  #enter(state: ChannelStatus['state'], reason: string | undefined): void {
    if (state !== this.#state) this.#since = this.#options.clock.now()
    this.#state = state
    this.#reason = reason
    this.#retryAt = undefined
  }
}

const defined = <Key extends string, Value>(key: Key, value: Value | undefined): { readonly [K in Key]?: Value } => {
  if (value === undefined) return {}
  const field: { [K in Key]?: Value } = {}
  field[key] = value
  return field
}
