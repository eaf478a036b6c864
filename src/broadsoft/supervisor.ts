import type { ChannelStatus } from '../core/adapter.ts'
import type { Clock } from '../core/clock.ts'
import type { NetworkRef } from '../core/ids.ts'
import type { Lease, LeaseStore } from '../core/lease.ts'
import type { Logger } from '../core/logger.ts'
import type { Fence } from '../core/observation.ts'
import { Waker } from '../core/waker.ts'
import { backoffMs, CHANNEL_BACKOFF } from './backoff.ts'
import type { Channel } from './channel.ts'
import type { BroadsoftMetrics } from './metrics.ts'
import type { ChannelEnd } from './termination.ts'
import { decideAfterEnd } from './termination.ts'

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
  'run' | 'close' | 'whenAcknowledged' | 'channelId' | 'openedAt' | 'lastReceivedAt' | 'expiresAt'
>

export type SupervisorOptions = {
  readonly network: NetworkRef
  readonly node: URL
  readonly leases: LeaseStore
  readonly openChannel: (terms: ChannelTerms) => SupervisedChannel
  readonly onOpen: () => void
  readonly onLost: () => void
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: BroadsoftMetrics
}

/** A standby asks for the lease this often; half as jitter. */
const STANDBY_RETRY_MS = 2_000
/** A channel that was open this long was healthy: the next failure counts as the first. */
const HEALTHY_MS = 10_000
/** Only a restart ends the wait of a stopped channel; a timer needs some end. */
const STOPPED_WAIT_MS = 3_600_000

/**
 * Keeps one channel to one node open, while this instance holds the lease of that node: opens it, waits
 * by backoff after each end and opens it again, or stops and raises an alarm when going on would do harm.
 * A stopped supervisor keeps its lease, so that no other instance repeats the harm, and goes on only when
 * an operator says so.
 */
export class Supervisor {
  readonly #options: SupervisorOptions
  #state: ChannelStatus['state'] = 'connecting'
  #since: number
  #reason: string | undefined
  #retryAt: number | undefined
  #attempts = 0
  #hasFailed = false
  #stoppedFor: string | undefined
  #lease: Lease | undefined
  #channel: SupervisedChannel | undefined
  readonly #restarted: Waker
  /** Aborts when there is to be no further lease and no further channel. */
  readonly #closing = new AbortController()
  /** Aborts when the last channel has said good-bye. */
  readonly #closed = new AbortController()

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#since = options.clock.now()
    this.#restarted = new Waker(options.clock)
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  get state(): ChannelStatus['state'] {
    return this.#state
  }

  /** At least one attempt failed, or it stands by: nothing to wait for at a start. */
  get hasFailed(): boolean {
    return this.#hasFailed
  }

  /** Proof of the node's lease, while it is held. */
  get fence(): Fence | undefined {
    return this.#lease === undefined || this.#lease.lost.aborted ? undefined : this.#lease.fence
  }

  status(): ChannelStatus {
    const channel = this.#channel
    return {
      node: this.#options.node.host,
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

  /** Works until `close`, then gives the lease back. */
  async run(): Promise<void> {
    for (;;) {
      const lease = await this.#acquire(this.#closing.signal)
      if (lease === undefined) return
      this.#lease = lease
      try {
        await this.#hold(lease)
      } finally {
        this.#lease = undefined
        // Not given back, it expires.
        await lease.release().catch(() => undefined)
      }
    }
  }

  /** An operator wants a stopped channel to be tried again. */
  restart(): void {
    this.#stoppedFor = undefined
    this.#restarted.wake()
  }

  /** Says good-bye to the node, within about 2 s, and ends `run`. */
  async close(deadline: AbortSignal): Promise<void> {
    this.#closing.abort()
    await this.#channel?.close(deadline)
    this.#closed.abort()
  }

  /** Resolves when the answers under way are taken by the node, or given up. */
  async whenAcknowledged(): Promise<void> {
    await this.#channel?.whenAcknowledged()
  }

  /** The lease, waited for; undefined when `signal` aborts first. */
  async #acquire(signal: AbortSignal): Promise<Lease | undefined> {
    const { leases, network, node, clock, random } = this.#options
    while (!signal.aborted) {
      try {
        const lease = await leases.tryAcquire(network, `channel:${node.host}`)
        if (lease !== undefined) return lease
        this.#enter('standby', 'lease_held_elsewhere')
      } catch {
        this.#enter('waiting', 'store_unavailable')
      }
      this.#hasFailed = true
      await clock.wait(STANDBY_RETRY_MS * (0.5 + 0.5 * random()), signal).catch(() => undefined)
    }
    return undefined
  }

  async #hold(lease: Lease): Promise<void> {
    const signal = AbortSignal.any([this.#closing.signal, lease.lost])
    const { clock, random, network, node, metrics, log } = this.#options
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
      const delayMs = Math.max(backoffMs(failures, random(), CHANNEL_BACKOFF), decision.notBeforeMs ?? 0)
      failures += 1
      this.#enter('waiting', decision.reason)
      this.#retryAt = clock.now() + delayMs
      await clock.wait(delayMs, signal).catch(() => undefined)
    }
  }

  /** One session, from the request to its end; `openedAt` is monotonic. */
  async #attempt(lease: Lease): Promise<{ readonly end: ChannelEnd; readonly openedAt: number | undefined }> {
    const { openChannel, onOpen, onLost, metrics, network, node } = this.#options
    const labels = { network: network.networkId, node: node.host }
    this.#attempts += 1
    this.#enter('connecting', undefined)
    const channel = openChannel({
      fence: lease.fence,
      signal: AbortSignal.any([this.#closed.signal, lease.lost]),
      endOnAbort: () => ({ type: lease.lost.aborted ? 'lease_lost' : 'closed' }),
      onOpen: () => {
        this.#attempts = 0
        this.#enter('open', undefined)
        metrics.channelsOpen.set(labels, 1)
        onOpen()
      },
    })
    this.#channel = channel
    const end = await channel.run()
    this.#channel = undefined
    metrics.channelsOpen.set(labels, 0)
    const { openedAt } = channel
    if (openedAt !== undefined) {
      this.#enter('waiting', decideAfterEnd(end).reason)
      onLost()
    }
    return { end, openedAt }
  }

  async #untilRestarted(reason: string, signal: AbortSignal): Promise<void> {
    const { metrics, network, node, log } = this.#options
    const labels = { network: network.networkId, node: node.host, reason }
    this.#enter('stopped', reason)
    metrics.channelStopped.set(labels, 1)
    log.error({ node: node.host, reason }, 'channel stopped until an operator restarts it')
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
