import type { ChannelStatus } from '../core/adapter.ts'
import type { Clock } from '../core/clock.ts'
import type { NetworkRef } from '../core/ids.ts'
import type { InstanceRegistry } from '../core/instances.ts'
import type { HeldLease, LeaseStore } from '../core/lease.ts'
import type { Logger } from '../core/logger.ts'
import { Waker } from '../core/waker.ts'
import type { Duty, PostView } from './duty.ts'
import { decideDuties } from './duty.ts'
import type { BroadsoftMetrics } from './metrics.ts'
import type { ChannelRole, Supervisor } from './supervisor.ts'
import { leaseNameOf } from './supervisor.ts'

export type NodeDutyOptions = {
  readonly network: NetworkRef
  readonly node: URL
  readonly instances: InstanceRegistry
  readonly leases: LeaseStore
  /** Makes the supervisor of one of the two channels; `onChange` is to be called when anything about it changes. */
  readonly supervise: (role: ChannelRole, onChange: () => void) => Supervisor
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: BroadsoftMetrics
}

/** The role of instances that have channels at all. */
const ROLE = 'channels'
const LOOK_MS = 1_000

/** What was seen of a lease that somebody else holds, or nobody. Times are monotonic. */
type Sighting = { freeSince: number | undefined; downSince: number | undefined }

/**
 * One node of a network, seen from one instance: keeps the owner's or the standby's channel, or none, as the
 * order of the living instances says (see `decideDuties`). Looks once a second, and when anything changes.
 */
export class NodeDuty {
  readonly owner: Supervisor
  readonly standby: Supervisor
  readonly #options: NodeDutyOptions
  readonly #key: string
  readonly #waker: Waker
  readonly #closing = new AbortController()
  readonly #seen: Readonly<Record<ChannelRole, Sighting>> = {
    owner: { freeSince: undefined, downSince: undefined },
    standby: { freeSince: undefined, downSince: undefined },
  }
  #since: number
  #hasLooked = false
  #isStoreAway = false

  constructor(options: NodeDutyOptions) {
    this.#options = options
    this.#key = `${options.network.networkId} ${options.node.host}`
    this.#waker = new Waker(options.clock)
    this.#since = options.clock.now()
    const wake = () => this.#waker.wake()
    this.owner = options.supervise('owner', wake)
    this.standby = options.supervise('standby', wake)
  }

  get isOpen(): boolean {
    return this.owner.isOpen || this.standby.isOpen
  }

  /** There is nothing to wait for at a start: it stands by, or could not open its channel. */
  get hasSettled(): boolean {
    return this.#hasLooked && !this.isOpen && (!this.owner.isHeld || this.owner.hasFailed)
  }

  /** One entry, or two while one channel takes over from the other. */
  status(): readonly ChannelStatus[] {
    const held = [this.owner, this.standby].filter(({ isHeld }) => isHeld)
    if (held.length > 0) return held.map((supervisor) => supervisor.status())
    const without = this.#isStoreAway
      ? ({ state: 'waiting', reason: 'store_unavailable' } as const)
      : ({ state: 'standby', reason: 'lease_held_elsewhere' } as const)
    return [{ node: this.#options.node.host, role: 'none', since: this.#since, attempts: 0, ...without }]
  }

  /** Works until `close`. */
  async run(): Promise<void> {
    const { random, instances, log, node } = this.#options
    const { signal } = this.#closing
    const unwatch = instances.onChange(() => this.#waker.wake())
    try {
      while (!signal.aborted) {
        const isAway = await this.#turn(signal).then(
          () => false,
          (error: unknown) => {
            log.debug({ err: error, node: node.host }, 'leases cannot be looked at')
            return true
          },
        )
        this.#note(isAway)
        await this.#waker.wait(LOOK_MS * (0.75 + 0.5 * random()), signal)
      }
    } finally {
      unwatch()
    }
  }

  restart(): void {
    this.owner.restart()
    this.standby.restart()
  }

  /** Gives up both channels, within about 2 s. */
  async close(deadline: AbortSignal): Promise<void> {
    this.#closing.abort()
    await Promise.all([this.owner.close(deadline), this.standby.close(deadline)])
  }

  async whenAcknowledged(): Promise<void> {
    await Promise.all([this.owner.whenAcknowledged(), this.standby.whenAcknowledged()])
  }

  #note(isStoreAway: boolean): void {
    this.#hasLooked = true
    if (isStoreAway === this.#isStoreAway) return
    this.#isStoreAway = isStoreAway
    this.#since = this.#options.clock.now()
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { instances } = this.#options
    const wasHeld = this.owner.isHeld || this.standby.isHeld
    const duties = decideDuties({
      self: instances.self.instanceId,
      ranked: instances.ranked(ROLE, this.#key),
      steadyMs: instances.steadyMs(),
      owner: { ...this.#viewOf('owner'), downMs: this.#agoOf(this.#seen.owner.downSince) },
      standby: this.#viewOf('standby'),
    })
    for (const duty of duties) {
      if (signal.aborted || (await this.#perform(duty, signal))) break
    }
    if (!this.owner.isHeld) await this.#look('owner')
    if (!this.owner.isHeld && !this.standby.isHeld) await this.#look('standby')
    if (wasHeld && !this.owner.isHeld && !this.standby.isHeld) this.#since = this.#options.clock.now()
  }

  /** True when it changed what else there is to do. */
  async #perform(duty: Duty, signal: AbortSignal): Promise<boolean> {
    switch (duty) {
      case 'take_owner':
        return this.#take('owner')
      case 'take_standby':
        return this.#take('standby')
      case 'claim_owner':
        return this.#claim('owner')
      case 'claim_standby':
        return this.#claim('standby')
      case 'leave_owner':
        return this.#leave('owner', signal)
      case 'leave_standby':
        break
    }
    return this.#leave('standby', signal)
  }

  async #take(role: ChannelRole): Promise<boolean> {
    if (!(await this.#supervisorOf(role).tryTake())) return false
    this.#seen[role].freeSince = undefined
    this.#seen[role].downSince = undefined
    this.#count(role, 'taken')
    return true
  }

  async #claim(role: ChannelRole): Promise<boolean> {
    const { leases, network, node, instances } = this.#options
    await leases.claim(network, leaseNameOf(role, node), instances.self.instanceId)
    return false
  }

  async #leave(role: ChannelRole, signal: AbortSignal): Promise<boolean> {
    await this.#supervisorOf(role).leave(signal)
    this.#count(role, 'handed_over')
    return true
  }

  #count(role: ChannelRole, change: 'taken' | 'handed_over'): void {
    const { metrics, network, node, log } = this.#options
    metrics.roleChanges.inc({ network: network.networkId, node: node.host, role, change })
    log.info({ node: node.host, role }, change === 'taken' ? 'channel role taken' : 'channel role handed over')
  }

  async #look(role: ChannelRole): Promise<void> {
    const { leases, network, node, clock } = this.#options
    const found = await leases.look(network, leaseNameOf(role, node))
    const seen = this.#seen[role]
    const now = clock.monotonic()
    seen.freeSince = found === undefined ? (seen.freeSince ?? now) : undefined
    seen.downSince = isDown(found) ? (seen.downSince ?? now) : undefined
  }

  #viewOf(role: ChannelRole): PostView {
    const { isHeld, isOpen, isStopped, unchangedMs, claimedBy } = this.#supervisorOf(role)
    const freeMs = isHeld ? 0 : this.#agoOf(this.#seen[role].freeSince)
    return { isHeld, isOpen, isStopped, unchangedMs, claimedBy, freeMs }
  }

  #supervisorOf(role: ChannelRole): Supervisor {
    return role === 'owner' ? this.owner : this.standby
  }

  #agoOf(since: number | undefined): number {
    return since === undefined ? 0 : this.#options.clock.monotonic() - since
  }
}

/** A holder whose channel is open leaves a note. */
const isDown = (found: HeldLease | undefined): boolean => found !== undefined && found.note === undefined
