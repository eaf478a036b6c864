import { SUBSCRIBER_ASSIGNED } from './core/call-event.ts'
import type { SubscriberEventPayload } from './core/call-event.ts'
import type { Clock } from './core/clock.ts'
import type { Directory } from './core/directory.ts'
import type { EventLog } from './core/event-log.ts'
import type { Logger } from './core/logger.ts'
import type { Service } from './core/service.ts'
import type { Subscriber, SubscriberRepository } from './core/subscriber.ts'
import { Waker } from './core/waker.ts'

export type AnnouncerOptions = {
  readonly subscribers: Pick<SubscriberRepository, 'unannounced' | 'markAnnounced'>
  readonly directory: Pick<Directory, 'app' | 'onChange'>
  readonly eventLog: Pick<EventLog, 'append'>
  readonly log: Logger
  readonly clock: Clock
}

const POLL_MS = 5_000
const PAGE_SIZE = 100

/**
 * Puts the Subscriber Webhook's event into the app's log once per assignment. The records say what is
 * still to be announced and the log refuses a repetition by its id, so a crash between the two, or two
 * announcers at once, announce once. (The log remembers ids for a day: only an announcer that died right
 * after appending, with nothing running for a day, would repeat itself.)
 */
export class Announcer implements Service {
  readonly name = 'announcer'
  readonly #options: AnnouncerOptions
  readonly #waker: Waker
  #stopping = new AbortController()
  #running: Promise<void> = Promise.resolve()
  #unwatch: (() => void) | undefined

  constructor(options: AnnouncerOptions) {
    this.#options = options
    this.#waker = new Waker(options.clock)
  }

  start(): Promise<void> {
    this.#stopping = new AbortController()
    this.#unwatch = this.#options.directory.onChange(() => this.#waker.wake())
    this.#running = this.#run(this.#stopping.signal)
    return Promise.resolve()
  }

  async stop(): Promise<void> {
    this.#unwatch?.()
    this.#unwatch = undefined
    this.#stopping.abort()
    await this.#running
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#announceAll(signal).catch((error: unknown) => {
        this.#options.log.warn({ err: error }, 'assignments could not be announced')
      })
      await this.#waker.wait(POLL_MS, signal)
    }
  }

  async #announceAll(signal: AbortSignal): Promise<void> {
    for (let announced = PAGE_SIZE; announced > 0 && !signal.aborted;) {
      announced = 0
      for (const subscriber of await this.#options.subscribers.unannounced(PAGE_SIZE)) {
        if (signal.aborted) return
        if (await this.#announce(subscriber)) announced += 1
      }
    }
  }

  /** False when the app is not known here yet (or any more): the next round sees. */
  async #announce(subscriber: Subscriber): Promise<boolean> {
    const { directory, eventLog, subscribers, log } = this.#options
    const { appId, networkId, subscriberId, createdAt } = subscriber
    const app = directory.app(appId)
    if (app === undefined) return false
    await eventLog.append(app, {
      // The time tells an assignment from one that was removed and made again.
      id: `${SUBSCRIBER_ASSIGNED}:${networkId}:${subscriberId}:${createdAt}`,
      type: SUBSCRIBER_ASSIGNED,
      orderKey: `subscriber:${networkId}:${subscriberId}`,
      payload: JSON.stringify(toPayload(subscriber)),
    })
    await subscribers.markAnnounced(subscriber)
    log.info({ app_id: appId, network_id: networkId }, 'subscriber assignment announced')
    return true
  }
}

const toPayload = (subscriber: Subscriber): SubscriberEventPayload => ({
  app_id: subscriber.appId,
  subscriber_id: subscriber.subscriberId,
  subscriber_number: subscriber.subscriberNumber,
  ...(subscriber.subscriberName !== undefined && { subscriber_name: subscriber.subscriberName }),
  ...(subscriber.subscriberAccountId !== undefined && { subscriber_account_id: subscriber.subscriberAccountId }),
  network_id: subscriber.networkId,
})
