import type { TimerClock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import { CallLogs } from './call-logs.ts'
import { CallModel } from './calls.ts'
import { Channels } from './channels.ts'
import { Conferences } from './conferences.ts'
import { Delivery } from './delivery.ts'
import { FaultPlan } from './faults.ts'
import { Ledger } from './ledger.ts'
import { Parking } from './parking.ts'
import { Publisher } from './publisher.ts'
import { Recordings } from './recordings.ts'
import { LiveSettings } from './settings.ts'
import type { SimulatorSettings } from './settings.ts'
import { NEVER_SECONDS, Subscriptions } from './subscriptions.ts'
import type { Subscription } from './subscriptions.ts'
import { Timers } from './timers.ts'
import { Transfers } from './transfers.ts'
import { Users } from './users.ts'

export type BackendOptions = {
  readonly administrator: { readonly username: string; readonly password: string }
  readonly settings?: Partial<SimulatorSettings> | undefined
  readonly clock: TimerClock
  readonly random: () => number
  readonly newId: () => string
  readonly log: Logger
}

/** Everything behind the XSPs: the state that they share, and what happens in it. */
export class Backend {
  readonly administrator: { readonly username: string; readonly password: string }
  readonly random: () => number
  readonly newId: () => string
  readonly log: Logger
  readonly timers: Timers
  readonly settings: LiveSettings
  readonly faults = new FaultPlan()
  readonly ledger = new Ledger()
  readonly users = new Users()
  readonly callLogs = new CallLogs()
  readonly model: CallModel
  readonly transfers: Transfers
  readonly parking: Parking
  readonly conferences: Conferences
  readonly recordings: Recordings
  readonly channels: Channels
  readonly subscriptions: Subscriptions
  readonly delivery: Delivery
  readonly publisher: Publisher

  constructor(options: BackendOptions) {
    const { random, newId } = options
    this.administrator = options.administrator
    this.random = random
    this.newId = newId
    this.log = options.log
    this.timers = new Timers(options.clock, options.log)
    this.settings = new LiveSettings(options.settings)
    const { users, settings, timers, faults, ledger } = this
    this.model = new CallModel({ users, settings, timers, newId })
    this.transfers = new Transfers({ model: this.model, users, timers })
    this.parking = new Parking(this.model, users)
    this.conferences = new Conferences(this.model)
    this.recordings = new Recordings(this.model, settings)
    this.channels = new Channels({ timers, settings, random, newId })
    this.subscriptions = new Subscriptions({
      timers,
      newId,
      onExpired: (subscription) => this.publisher.publishTerminated(subscription),
    })
    this.delivery = new Delivery({
      channels: this.channels,
      ledger,
      settings,
      faults,
      timers,
      newId,
      random,
      removeSubscription: (subscription) => {
        this.subscriptions.remove(subscription)
        this.delivery.forget(subscription)
      },
    })
    this.publisher = new Publisher({
      users,
      model: this.model,
      conferences: this.conferences,
      parking: this.parking,
      subscriptions: this.subscriptions,
      delivery: this.delivery,
      settings,
      faults,
      timers,
    })
    this.model.listen((notice) => this.publisher.publishNotice(notice))
    this.model.onEnd((half) => this.callLogs.record(half))
  }

  /** The lifetime granted for one asked for, in seconds. */
  grantSeconds(asked: number | undefined): number {
    const { grantedExpiresSeconds, channelExpiresMinSeconds, expiresMaxSeconds } = this.settings.current
    if (grantedExpiresSeconds !== null) return grantedExpiresSeconds
    return Math.min(
      Math.max(asked ?? channelExpiresMinSeconds, channelExpiresMinSeconds),
      expiresMaxSeconds,
      NEVER_SECONDS,
    )
  }

  /** Ends a subscription and says so on its channel set. */
  endSubscription(subscription: Subscription): void {
    if (this.subscriptions.remove(subscription)) this.publisher.publishTerminated(subscription)
  }

  /** Removes a user with calls, channels and subscriptions; false when there is none. */
  removeUser(userId: string): boolean {
    if (this.users.find(userId) === undefined) return false
    for (const half of this.model.callsOf(userId)) this.model.release(half, 'localRelease')
    for (const subscription of this.subscriptions.list()) {
      const isAbout = subscription.target.type === 'User' && subscription.target.id === userId
      if (isAbout || subscription.ownerId === userId) this.endSubscription(subscription)
    }
    for (const channel of this.channels.list()) {
      if (channel.ownerId === userId) this.channels.terminate(channel, 'UserDeleted')
    }
    this.publisher.forgetUser(userId)
    this.users.remove(userId)
    return true
  }

  /** The application server dies and another takes over: all calls are gone without an event. */
  failOver(options: { readonly resync: boolean }): number {
    const callCount = [...this.model.list()].length
    this.conferences.clear()
    this.parking.clear()
    const userIds = this.model.dropAll()
    if (options.resync) this.publisher.publishResync(userIds)
    return callCount
  }

  stop(): void {
    this.delivery.stop()
    this.timers.stop()
  }
}
