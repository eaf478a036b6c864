/**
 * A process with the XSI simulator, whose calls follow a schedule: an open loop, or as many events under way
 * as allowed. Started by `Child`.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { Backend } from '../../src/simulator/backend.ts'
import type { CallHalf } from '../../src/simulator/call-half.ts'
import { channelRoutes } from '../../src/simulator/events-api/channel.ts'
import { eventResponseRoutes } from '../../src/simulator/events-api/event-response.ts'
import { heartbeatRoutes } from '../../src/simulator/events-api/heartbeat.ts'
import { subscriptionRoutes } from '../../src/simulator/events-api/subscription.ts'
import { Router } from '../../src/simulator/route.ts'
import { Xsp } from '../../src/simulator/xsp.ts'
import { answerCalls } from '../webhooks/rig/child.ts'
import { preciseNow, summarise } from '../webhooks/rig/figures.ts'
import { paced } from '../webhooks/rig/wait.ts'
import type { Timing } from './arrivals.ts'
import { callerName, STEPS, toPlace, type Schedule } from './schedule.ts'

export type FeedPlan = {
  readonly users: number
  readonly username: string
  readonly password: string
}

/** Longer than any backlog of a bench: what is late there is late, not lost. */
const ACK_TIMEOUT_MS = 120_000
/** A phone that rings longer than any run takes would otherwise be sent to voice mail. */
const NO_ANSWER_MS = 600_000

let backend: Backend | undefined
let xsp: Xsp | undefined
let userIds: readonly string[] = []
/** By user: the call whose steps are being played. */
const live: (CallHalf | undefined)[] = []
let emitted = 0
let allowed = 0
let captured: string[] | undefined

function playing(): Backend {
  if (backend === undefined) throw new Error('the feed has not been started')
  return backend
}

/** What each step does with a call; the first one makes it. */
const PLAY: Readonly<Record<Exclude<(typeof STEPS)[number], 'receive'>, (half: CallHalf) => void>> = {
  answer: (half) => playing().model.answer(half),
  hold: (half) => playing().model.hold(half),
  retrieve: (half) => playing().model.retrieve(half),
  release: (half) => playing().model.release(half, 'remoteRelease'),
}

/** Lets event number `index` happen. */
function emit(index: number, schedule: Schedule): void {
  const { model, users } = playing()
  const place = toPlace(index, schedule)
  const step = STEPS[place.step] ?? 'receive'
  const half = live[place.user]
  emitted += 1
  if (step === 'receive') {
    const user = users.require(userIds[place.user] ?? '')
    live[place.user] = model.receive(user, `+1555${8_000_000 + place.user}`, callerName(place))
  } else if (half === undefined) throw new Error('a call was not begun')
  else PLAY[step](half)
}

const calls = {
  /** Returns the URL of the XSP. */
  async start({ users, username, password }: FeedPlan): Promise<string> {
    backend = new Backend({
      administrator: { username, password },
      settings: { ackTimeoutMs: ACK_TIMEOUT_MS, noAnswerMs: NO_ANSWER_MS },
      clock: systemClock,
      random: Math.random,
      newId: randomUUID,
      log: silentLogger,
    })
    userIds = backend.users.addRange({ ...RANGE, count: users }).map(({ user_id: userId }) => userId)
    xsp = new Xsp({
      index: 0,
      host: '127.0.0.1',
      port: 0,
      tls: undefined,
      backend,
      router: new Router([...eventResponseRoutes, ...heartbeatRoutes, ...channelRoutes, ...subscriptionRoutes]),
      urls: () => [],
    })
    await xsp.start()
    return xsp.url
  },
  users: (): readonly { readonly userId: string; readonly number: string }[] =>
    userIds.map((userId) => ({ userId, number: playing().users.require(userId).number })),
  subscriptions: () => [...playing().subscriptions.list()].length,
  /**
   * Gives each user a call that is on hold for good: the handset is up then, so that the steps of the other
   * calls come with no hook events, one event each.
   */
  liftHandsets(): void {
    const { model, users } = playing()
    for (const userId of userIds) {
      const half = model.receive(users.require(userId), '+15557000000', 'on hold')
      model.answer(half)
      model.hold(half)
    }
  },
  /** Plays a schedule at an even pace. Resolves when the last event has happened, with how late they were. */
  async play({ schedule, perSecond }: { readonly schedule: Schedule; readonly perSecond: number }) {
    playing().ledger.clear()
    emitted = 0
    const startedAt = preciseNow()
    const late: number[] = []
    await paced({ perSecond, seconds: schedule.events / perSecond }, (index) => {
      late.push(preciseNow() - (startedAt + (index * 1_000) / perSecond))
      emit(index, schedule)
    })
    return { startedAt, perSecond, lateP99Ms: summarise(late).p99 } satisfies Timing & { lateP99Ms: number }
  },
  /** Plays a schedule as fast as `allow` lets it, for so long; resolves with how many events there were. */
  async push({ schedule, seconds }: { readonly schedule: Schedule; readonly seconds: number }): Promise<number> {
    playing().ledger.clear()
    emitted = 0
    const until = preciseNow() + seconds * 1_000
    const perRound = schedule.users * STEPS.length
    // Whole calls to the end, so that none is left over for the next run.
    const isOver = () => emitted >= schedule.events || (preciseNow() >= until && emitted % perRound === 0)
    while (!isOver()) {
      while (emitted < allowed && !isOver()) emit(emitted, schedule)
      await delay(1)
    }
    return emitted
  },
  /** So many events of the present run may happen in all. */
  allow(events: number): void {
    allowed = events
  },
  /** Events of the present run so far, and those of all runs that were not acknowledged. */
  counts: () => ({ emitted, unacknowledged: playing().delivery.pendingCount }),
  /** Keeps the documents that are sent from now on, for {@link captured}. */
  capture(): void {
    captured = []
    for (const { stream } of playing().channels.list()) {
      const write = stream.writeEvent.bind(stream)
      stream.writeEvent = (document) => {
        if (captured !== undefined && captured.length < CAPTURED_MAX) captured.push(document)
        write(document)
      }
    }
  },
  captured(): readonly string[] {
    const documents = captured ?? []
    captured = undefined
    return documents
  },
}

const CAPTURED_MAX = 5_000
const RANGE = {
  prefix: 'user',
  domain: 'bench.example.net',
  first_number: '+15552000000',
  group_id: 'group-1',
  enterprise_id: 'enterprise-1',
}

export type FeedCalls = typeof calls

answerCalls(calls, async () => {
  backend?.stop()
  await xsp?.stop()
})
