import type { Clock } from '../core/clock.ts'
import { isGatewayError } from '../core/errors.ts'
import type { NetworkRef } from '../core/ids.ts'
import type { ConfirmationBook, Lease, LeaseStore } from '../core/lease.ts'
import type { Logger } from '../core/logger.ts'
import type { Fence, ObservationSink } from '../core/observation.ts'
import { Waker } from '../core/waker.ts'
import { backoffMs, WORK_BACKOFF } from './backoff.ts'
import type { Coverage } from './coverage.ts'
import type { Resynchroniser } from './resynchroniser.ts'
import type { Subscriptions } from './subscriptions.ts'

export type ReconcilerOptions = {
  readonly network: NetworkRef
  readonly leases: LeaseStore
  readonly confirmations: ConfirmationBook
  readonly sink: ObservationSink
  readonly coverage: Coverage
  readonly subscriptions: Pick<Subscriptions, 'reconcile' | 'adopt' | 'resign'>
  readonly resynchroniser: Pick<Resynchroniser, 'request' | 'readRequested' | 'forgetAll'>
  readonly isAnyChannelOpen: () => boolean
  /** This instance should have an owner's channel, as it holds a node's lease. */
  readonly isAnyChannelDue: () => boolean
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  /** How long a channel may take to come back before the calls are read without one. */
  readonly graceMs?: number
}

/** The lease of the one instance that looks after a network's subscriptions. */
const LEASE_NAME = 'subscriptions'
const LEASE_RETRY_MS = 2_000
/** How often the keeper looks whether another instance has lost events. */
const KEEPER_LOOK_MS = 2_000
const CONFIRMED_LOOK_MS = 500
const LOOK_AGAIN_MS = 60_000
/** Most channels are back sooner, and the snapshots of renewed subscriptions are cheaper than reads. */
const GRACE_MS = 3_000
/** What every instance notices by itself, such as that Redis lost data, all have noticed after this. */
const NOTICED_MS = 2_000

/** Why everybody's calls must be confirmed anew. */
type Need = {
  readonly reason: string
  /** Whether the other instances must hear of it, and calls count as unconfirmed until then. */
  readonly isLoss: boolean
  /** The others have heard of it. */
  isTold: boolean
}

/**
 * Sees to it that after every loss of events every wanted subscriber is confirmed by a snapshot, and that
 * nobody is asked again without one.
 *
 * The instance that has an open channel and the network's lease for it is the keeper: it compares the
 * subscriptions with what is wanted and renews them. The others tell it of losses through the confirmation
 * book. When the keeper dies, the next one goes on where it ended, if it can prove that nothing was lost:
 * it had a channel of the set open since before it last saw the keeper alive (what that one had not
 * acknowledged was delivered again there, and what it had acknowledged is stored), and the book says that
 * everything was confirmed. Otherwise it confirms everybody.
 *
 * Without a channel and without a keeper anywhere the calls are read, after a pause.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions
  readonly #waker: Waker
  #lease: Lease | undefined
  /** The lease is new: it is not decided yet whether to go on or to confirm everybody. */
  #isNew = false
  /** Since when this instance has had a channel of the set open without a break; monotonic, like the other times. */
  #coveredSince: number | undefined
  /** The keeper was seen alive after that. */
  #isContinuous = false
  /** Another instance is the keeper. */
  #isKept = false
  /** Since when there is no channel. */
  #closedAt: number | undefined
  #need: Need | undefined = { reason: 'start', isLoss: false, isTold: true }
  /** The doubt that this keeper has seen to, or is seeing to. */
  #doubts: string | undefined
  /** When the confirmation of everybody that goes on now began. */
  #confirmingSince: number | undefined
  #failures = 0
  #telling: Promise<void> = Promise.resolve()

  constructor(options: ReconcilerOptions) {
    this.#options = options
    this.#waker = new Waker(options.clock)
  }

  /** Proof of the keeper's lease, while it is held. */
  get fence(): Fence | undefined {
    return this.#lease === undefined || this.#lease.lost.aborted ? undefined : this.#lease.fence
  }

  /** Another instance was seen to look after the subscriptions. */
  get isKeptElsewhere(): boolean {
    return this.#isKept
  }

  /** A channel opened. */
  opened(): void {
    this.#coveredSince ??= this.#options.clock.monotonic()
    this.#waker.wake()
  }

  /** A channel is gone, as it was to be: the set goes on with the others, if there are any. */
  ended(): void {
    if (!this.#options.isAnyChannelOpen()) {
      this.#coveredSince = undefined
      this.#isContinuous = false
      this.#options.coverage.doubtAll()
      this.#need ??= { reason: 'channel_lost', isLoss: false, isTold: true }
    }
    this.#waker.wake()
  }

  /** Events may be lost from now on, so nothing is confirmed any more. */
  lost(reason = 'channel_lost'): void {
    this.ended()
    this.#options.coverage.doubtAll()
    this.#need = { reason, isLoss: true, isTold: false }
    this.#telling = this.#tell().catch(() => undefined) // the next turn does it again
    this.#waker.wake()
  }

  /**
   * Everybody must be confirmed anew for a reason that every instance notices by itself, such as that Redis
   * may have lost what was stored. The keeper does it, and no other goes on in its place unless it sees the
   * keeper live on after that.
   */
  renew(reason: string): void {
    if (this.#coveredSince !== undefined) {
      this.#coveredSince = this.#options.clock.monotonic() + NOTICED_MS
      this.#isContinuous = false
    }
    if (this.fence !== undefined) this.#need = { reason, isLoss: true, isTold: false }
    this.#waker.wake()
  }

  /** Something about the channels or leases changed. */
  wake(): void {
    this.#waker.wake()
  }

  /** Works until `signal` aborts, then gives the lease back. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) await this.#waker.wait(await this.#turn(signal), signal)
    } finally {
      await this.#resign()
    }
  }

  /** Does what is due; the result says when to look again, in ms. */
  async #turn(signal: AbortSignal): Promise<number> {
    const { isAnyChannelOpen, random, log } = this.#options
    try {
      await this.#telling
      await this.#tell()
      const waitMs = isAnyChannelOpen() ? await this.#withChannel(signal) : await this.#withoutChannel()
      this.#failures = 0
      return waitMs
    } catch (error) {
      if (signal.aborted) return 0
      this.#failures += 1
      const retryMs = backoffMs(this.#failures, random(), WORK_BACKOFF)
      const code = isGatewayError(error) ? error.code : 'internal'
      log.warn({ code, failures: this.#failures, retry_ms: retryMs }, 'reconciling failed')
      return retryMs
    }
  }

  async #withChannel(signal: AbortSignal): Promise<number> {
    const { random } = this.#options
    this.#closedAt = undefined
    await this.#acquire()
    if (this.#lease === undefined) {
      await this.#followKeeper()
      return LEASE_RETRY_MS * (0.5 + random())
    }
    await this.#keep(signal, this.#lease)
    return this.#confirmingSince === undefined ? KEEPER_LOOK_MS : CONFIRMED_LOOK_MS
  }

  /** Another instance with a channel can do what this one cannot. */
  async #withoutChannel(): Promise<number> {
    const { isAnyChannelDue, clock, random, graceMs, coverage, resynchroniser } = this.#options
    await this.#resign()
    const now = clock.monotonic()
    this.#closedAt ??= now
    const waitMs = this.#closedAt + (graceMs ?? GRACE_MS) - now
    if (waitMs > 0) return waitMs
    await this.#followKeeper()
    if (this.#need?.isTold === false) return 0
    // At a start without any node to look after, those who have one see to everything.
    const isIdle = this.#need === undefined || (this.#need.reason === 'start' && !isAnyChannelDue())
    if (isIdle) return LEASE_RETRY_MS * (0.5 + random())
    const { reason } = this.#need ?? { reason: 'start' }
    this.#need = undefined
    coverage.doubtAll()
    resynchroniser.request(undefined, reason)
    return LOOK_AGAIN_MS
  }

  async #acquire(): Promise<void> {
    const { leases, network, subscriptions, resynchroniser } = this.#options
    if (this.fence !== undefined) return
    if (this.#lease !== undefined) {
      this.#lease = undefined
      subscriptions.resign()
      // The next keeper confirms everybody anew if this one had not come to the end.
      if (this.#confirmingSince === undefined) resynchroniser.readRequested()
      else resynchroniser.forgetAll()
      this.#confirmingSince = undefined
    }
    const lease = await leases.tryAcquire(network, LEASE_NAME)
    if (lease === undefined) return
    this.#lease = lease
    this.#isNew = true
    this.#isKept = false
    lease.lost.addEventListener('abort', () => this.#waker.wake(), { once: true })
  }

  /** The keeper's work. */
  async #keep(signal: AbortSignal, lease: Lease): Promise<void> {
    const { confirmations, network, coverage, clock } = this.#options
    const { isConfirmed, doubts } = await confirmations.read(network)
    if (this.#isNew) {
      const wasAdopted =
        isConfirmed && this.#isContinuous && !this.#isLossPending() && (await this.#adopt(signal, lease))
      if (wasAdopted) {
        this.#doubts = doubts
        this.#need = undefined
      } else if (!this.#isLossPending()) this.#need = { reason: 'lease_acquired', isLoss: true, isTold: false }
      this.#isNew = false
      await this.#tell()
    } else if (doubts !== this.#doubts && this.#need === undefined) {
      this.#need = { reason: 'doubted', isLoss: false, isTold: true }
      this.#doubts = doubts
    }
    if (this.#need !== undefined) {
      const startedAt = clock.monotonic()
      await this.#confirmAll(signal, lease, this.#need)
      this.#confirmingSince = startedAt
    }
    if (this.#confirmingSince === undefined || !coverage.areAllConfirmedSince(this.#confirmingSince)) return
    if (this.#doubts !== undefined) await confirmations.confirm(network, this.#doubts)
    this.#confirmingSince = undefined
  }

  #isLossPending(): boolean {
    return this.#need?.isLoss === true
  }

  async #adopt(signal: AbortSignal, lease: Lease): Promise<boolean> {
    const { subscriptions, coverage } = this.#options
    const missing = await subscriptions.adopt(AbortSignal.any([signal, lease.lost]))
    if (missing === undefined) return false
    coverage.confirmAll()
    coverage.doubt(missing)
    return true
  }

  async #confirmAll(signal: AbortSignal, lease: Lease, need: Need): Promise<void> {
    const { coverage, subscriptions, resynchroniser } = this.#options
    coverage.doubtAll()
    await subscriptions.reconcile(AbortSignal.any([signal, lease.lost]))
    resynchroniser.request(undefined, need.reason)
    if (this.#need === need) this.#need = undefined
  }

  /** Looks whether another instance is the keeper, and what it has confirmed. */
  async #followKeeper(): Promise<void> {
    const { leases, network, confirmations, coverage, clock } = this.#options
    const askedAt = clock.monotonic()
    const need = this.#need
    const keeper = await leases.look(network, LEASE_NAME)
    this.#isKept = keeper !== undefined
    if (keeper === undefined) return coverage.doubtOthers()
    if (this.#coveredSince !== undefined && askedAt - keeper.renewedMsAgo >= this.#coveredSince) {
      this.#isContinuous = true
    }
    // It has heard of it.
    if (this.#need === need) this.#need = undefined
    const { isConfirmed } = await confirmations.read(network)
    if (isConfirmed) coverage.confirmAll()
    else coverage.doubtAll()
  }

  /** Tells the other instances of a loss. */
  async #tell(): Promise<void> {
    const { sink, network, coverage, confirmations } = this.#options
    const need = this.#need
    if (need === undefined || need.isTold) return
    this.#doubts = await confirmations.doubt(network)
    await sink.markStale(network.networkId, coverage.wanted())
    need.isTold = true
  }

  async #resign(): Promise<void> {
    const lease = this.#lease
    this.#lease = undefined
    if (lease === undefined) return
    this.#confirmingSince = undefined
    this.#options.subscriptions.resign()
    // Not given back, it expires.
    await lease.release().catch(() => undefined)
  }
}
