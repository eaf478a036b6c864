import { SUBSCRIBER_ASSIGNED, SUBSCRIBER_UNASSIGNED } from './core/call-event.ts'
import type { SubscriberDeparturePayload, SubscriberEventPayload } from './core/call-event.ts'
import type { Clock } from './core/clock.ts'
import type { Directory } from './core/directory.ts'
import type { EventLog } from './core/event-log.ts'
import type { AppRef } from './core/ids.ts'
import type { Logger } from './core/logger.ts'
import { Loop } from './core/loop.ts'
import type { Service } from './core/service.ts'
import type { Departure, Subscriber, SubscriberRepository } from './core/subscriber.ts'
import { Waker } from './core/waker.ts'

export type AnnouncerOptions = {
  readonly subscribers: Pick<SubscriberRepository, 'unannounced' | 'markAnnounced' | 'departures' | 'forgetDeparture'>
  readonly directory: Pick<Directory, 'app' | 'onChange'>
  readonly eventLog: Pick<EventLog, 'append'>
  readonly log: Logger
  readonly clock: Clock
}

const POLL_MS = 5_000
const PAGE_SIZE = 100

/**
 * Tells apps in their logs which subscribers they were given and which they lost, each once. The records say
 * what is still to be told and the log refuses a repetition by its id, so a crash between the two, or several
 * announcers at once, tell once. (The log remembers ids for a day: only an announcer that died right after
 * appending, with nothing running for a day, would repeat itself.)
 *
 * What is told of one subscriber is told in the order in which it came about: the records withhold an
 * assignment while a departure before it waits, and a departure whose assignment may not have been told yet
 * tells that first, so that an announcer that is late with it cannot tell it afterwards.
 */
export class Announcer implements Service {
  readonly name = 'announcer'
  readonly #options: AnnouncerOptions
  readonly #waker: Waker
  readonly #loop = new Loop()
  #unwatch: (() => void) | undefined

  constructor(options: AnnouncerOptions) {
    this.#options = options
    this.#waker = new Waker(options.clock)
  }

  start(): Promise<void> {
    this.#unwatch = this.#options.directory.onChange(() => this.#waker.wake())
    this.#loop.start((signal) => this.#run(signal))
    return Promise.resolve()
  }

  async stop(): Promise<void> {
    this.#unwatch?.()
    this.#unwatch = undefined
    await this.#loop.stop()
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#announceAll(signal).catch((error: unknown) => {
        this.#options.log.warn({ err: error }, 'assignments and departures could not be announced')
      })
      await this.#waker.wait(POLL_MS, signal)
    }
  }

  async #announceAll(signal: AbortSignal): Promise<void> {
    const { subscribers } = this.#options
    for (let told = PAGE_SIZE; told > 0 && !signal.aborted;) {
      told = 0
      for (const departure of await subscribers.departures(PAGE_SIZE)) {
        if (signal.aborted) return
        if (await this.#announceDeparture(departure)) told += 1
      }
      for (const subscriber of await subscribers.unannounced(PAGE_SIZE)) {
        if (signal.aborted) return
        if (await this.#announce(subscriber)) told += 1
      }
    }
  }

  /** False when the app is not known here yet (or any more): the next round sees. */
  async #announce(subscriber: Subscriber): Promise<boolean> {
    const { directory, subscribers, log } = this.#options
    const { appId, networkId } = subscriber
    const app = directory.app(appId)
    if (app === undefined) return false
    await this.#appendAssignment(app, subscriber)
    await subscribers.markAnnounced(subscriber)
    log.info({ app_id: appId, network_id: networkId }, 'subscriber assignment announced')
    return true
  }

  /** As for {@link #announce}. */
  async #announceDeparture({ departureId, subscriber }: Departure): Promise<boolean> {
    const { directory, eventLog, subscribers, log } = this.#options
    const { appId, networkId, subscriberId, announcedAt } = subscriber
    const app = directory.app(appId)
    if (app === undefined) return false
    if (announcedAt === undefined) await this.#appendAssignment(app, subscriber)
    await eventLog.append(app, {
      id: `${SUBSCRIBER_UNASSIGNED}:${networkId}:${subscriberId}:${departureId}`,
      type: SUBSCRIBER_UNASSIGNED,
      orderKey: orderKeyOf(subscriber),
      subscriberId,
      payload: JSON.stringify(toDeparturePayload(subscriber)),
    })
    await subscribers.forgetDeparture(departureId)
    log.info({ app_id: appId, network_id: networkId }, 'subscriber departure announced')
    return true
  }

  async #appendAssignment(app: AppRef, subscriber: Subscriber): Promise<void> {
    const { networkId, subscriberId, createdAt } = subscriber
    await this.#options.eventLog.append(app, {
      // The time tells an assignment from one that was removed and made again.
      id: `${SUBSCRIBER_ASSIGNED}:${networkId}:${subscriberId}:${createdAt}`,
      type: SUBSCRIBER_ASSIGNED,
      orderKey: orderKeyOf(subscriber),
      subscriberId,
      payload: JSON.stringify(toPayload(subscriber)),
    })
  }
}

const orderKeyOf = ({ networkId, subscriberId }: Subscriber): string => `subscriber:${networkId}:${subscriberId}`

const toPayload = (subscriber: Subscriber): SubscriberEventPayload => ({
  app_id: subscriber.appId,
  subscriber_id: subscriber.subscriberId,
  subscriber_number: subscriber.subscriberNumber,
  ...(subscriber.subscriberName !== undefined && { subscriber_name: subscriber.subscriberName }),
  ...(subscriber.subscriberAccountId !== undefined && { subscriber_account_id: subscriber.subscriberAccountId }),
  network_id: subscriber.networkId,
})

const toDeparturePayload = (subscriber: Subscriber): SubscriberDeparturePayload => ({
  app_id: subscriber.appId,
  subscriber_id: subscriber.subscriberId,
  subscriber_number: subscriber.subscriberNumber,
  network_id: subscriber.networkId,
})
