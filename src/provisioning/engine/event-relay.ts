import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { Clock } from '../../core/clock.ts'
import type { Directory } from '../../core/directory.ts'
import { isGatewayError } from '../../core/errors.ts'
import type { EventLog } from '../../core/event-log.ts'
import { toAppId, type AppRef } from '../../core/ids.ts'
import type { Logger } from '../../core/logger.ts'
import { Loop } from '../../core/loop.ts'
import type { Service } from '../../core/service.ts'
import { Waker } from '../../core/waker.ts'
import type { ProvisioningDatabase } from '../store/database.ts'
import { holdLease, releaseLease } from '../store/leases.ts'
import { deleteEvents, readEvents, type WaitingEvent } from '../store/outbox.ts'

export type EventRelayOptions = {
  readonly database: ProvisioningDatabase
  readonly directory: Pick<Directory, 'app'>
  readonly eventLog: Pick<EventLog, 'append'>
  readonly clock: Clock
  readonly log: Logger
  readonly registry: Registry
  /** Names this process among those of the installation. */
  readonly holder: string
  /** How long another waits for one that has died; 10 s unless given. */
  readonly leaseMs?: number
  /** How often to look for events; 500 ms unless given. */
  readonly pollMs?: number
}

const LEASE = 'event-relay'
const LEASE_MS = 10_000
const POLL_MS = 500
const PAGE = 200
const DELAY_SECONDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600]

/**
 * Tells apps in their logs what came of orders and numbers: takes events from the outbox in order, appends them to
 * the logs, and deletes them. The log refuses a repetition by its id, so an event is told once although the process
 * may die between the two, or two relays be at work when a lease has run out unnoticed. (The log remembers ids for a
 * day: only if its deletion alone failed for longer than that would an event be told twice.)
 *
 * Events of one order, or of one number, are told in order: one that cannot be told holds up those after it and no
 * others. An event of an app that is not known here yet waits; those of a removed app went with it.
 */
export class EventRelay implements Service {
  readonly name = 'event-relay'
  readonly #options: EventRelayOptions
  readonly #waker: Waker
  readonly #loop = new Loop()
  readonly #told: Counter<'type'>
  readonly #delay: Histogram
  readonly #oldest: Gauge

  constructor(options: EventRelayOptions) {
    this.#options = options
    this.#waker = new Waker(options.clock)
    const registers = [options.registry]
    this.#told = new Counter({
      name: 'callhalf_provisioning_events_total',
      help: 'Events of orders and numbers put into the logs of apps by this instance',
      labelNames: ['type'],
      registers,
    })
    this.#delay = new Histogram({
      name: 'callhalf_provisioning_event_delay_seconds',
      help: 'From when an event of an order or number came about until the log of its app had it',
      buckets: DELAY_SECONDS,
      registers,
    })
    this.#oldest = new Gauge({
      name: 'callhalf_provisioning_event_age_seconds',
      help: 'How long the event that waits for the longest has waited, as the relaying instance sees it; 0 for none',
      registers,
    })
  }

  start(): Promise<void> {
    this.#loop.start((signal) => this.#run(signal))
    return Promise.resolve()
  }

  /** Ends after the page under way, and lets another instance go on at once. */
  async stop(): Promise<void> {
    const { database, holder, log } = this.#options
    await this.#loop.stop()
    await database
      .query((db) => releaseLease(db, { name: LEASE, holder }))
      .catch((error: unknown) => {
        log.info({ err: error }, 'the lease of the event relay runs out by itself')
      })
  }

  /** There may be something to tell. */
  wake(): void {
    this.#waker.wake()
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { log, pollMs = POLL_MS } = this.#options
    while (!signal.aborted) {
      await this.#relayAll(signal).catch((error: unknown) => {
        log.warn({ err: error }, 'events of orders and numbers could not be told')
      })
      await this.#waker.wait(pollMs, signal)
    }
  }

  /** Goes through the outbox once. */
  async #relayAll(signal: AbortSignal): Promise<void> {
    const { database, holder, leaseMs = LEASE_MS } = this.#options
    const heldUp = new Set<string>()
    for (let after = 0; !signal.aborted;) {
      if (!(await database.query((db) => holdLease(db, { name: LEASE, holder, leaseMs })))) {
        this.#oldest.set(0)
        return
      }
      const events = await database.query((db) => readEvents(db, { after, limit: PAGE }))
      if (after === 0) this.#oldest.set((events[0]?.ageMs ?? 0) / 1_000)
      await this.#relayPage(events, heldUp)
      const last = events.at(-1)
      if (last === undefined || events.length < PAGE) return
      after = last.eventId
    }
  }

  /** Tells the events of each key one after the other, and those of several keys at once. */
  async #relayPage(events: readonly WaitingEvent[], heldUp: Set<string>): Promise<void> {
    const chains = [...Map.groupBy(events, keyOf)].map(([key, chain]) => this.#relayChain(key, chain, heldUp))
    const results = await Promise.all(chains)
    await this.#options.database.query((db) =>
      deleteEvents(
        db,
        results.flatMap(({ done }) => done),
      ),
    )
    const failed = results.find(({ unavailable }) => unavailable !== undefined)
    if (failed !== undefined) throw failed.unavailable
  }

  /** Never rejects. */
  async #relayChain(
    key: string,
    chain: readonly WaitingEvent[],
    heldUp: Set<string>,
  ): Promise<{ readonly done: readonly number[]; readonly unavailable?: unknown }> {
    const { directory, log } = this.#options
    const done: number[] = []
    for (const event of chain) {
      const app = directory.app(toAppId(event.appId))
      if (app === undefined || heldUp.has(key)) {
        heldUp.add(key)
        return { done }
      }
      try {
        await this.#append(app, event)
      } catch (error) {
        heldUp.add(key)
        if (isGatewayError(error, 'store_unavailable')) return { done, unavailable: error }
        log.error({ err: error, app_id: event.appId, type: event.type }, 'an event cannot be told and holds up others')
        return { done }
      }
      done.push(event.eventId)
    }
    return { done }
  }

  async #append(app: AppRef, { eventId, createdAt, ageMs, type, orderKey, payload }: WaitingEvent): Promise<void> {
    const startedAt = this.#options.clock.monotonic()
    // The time tells it from an event that a restored database gave the same number.
    await this.#options.eventLog.append(app, { id: `provisioning:${eventId}:${createdAt}`, type, orderKey, payload })
    this.#told.inc({ type })
    this.#delay.observe((ageMs + this.#options.clock.monotonic() - startedAt) / 1_000)
  }
}

const keyOf = ({ appId, orderKey }: WaitingEvent): string => `${appId} ${orderKey}`
