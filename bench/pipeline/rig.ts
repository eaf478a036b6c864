import { setTimeout as delay } from 'node:timers/promises'
import { ApiClient } from '../../src/cli/api-client.ts'
import { Child } from '../webhooks/rig/child.ts'
import { waitUntil } from '../webhooks/rig/wait.ts'
import type { ArrivalReport, Timing } from './arrivals.ts'
import type { FeedCalls } from './feed.ts'
import { GatewayProcess } from './gateway-process.ts'
import { startMeter, type CpuUse } from './cpu-meter.ts'
import type { ReceiverCalls } from './receiver.ts'
import { registerSubscribers } from './registration.ts'
import { planEvents, type Schedule } from './schedule.ts'
import type { Stores } from './stores.ts'
import type { StreamReaderCalls } from './stream-reader.ts'

const CREDENTIALS = { username: 'admin@bench.example.net', password: 'bench-secret' }
/** What has not come after so long without anything coming is lost. */
const STALL_MS = 10_000
const CATCH_UP_POLL_MS = 20
const SAMPLE_MS = 250
const ALLOW_EVERY_MS = 10
/** More than any run has. */
const EVENTS_MAX = 200_000
/** What an app with one busy endpoint would ask for. */
const MAX_IN_FLIGHT = 50

export type RunReport = {
  readonly events: number
  /** Of the schedule. */
  readonly seconds: number
  readonly webhook: ArrivalReport
  readonly stream: ArrivalReport
  /** Events that the simulator emitted and that were not through everywhere, sampled four times a second. */
  readonly backlog: readonly number[]
  readonly unacknowledged: number
  /** How late the simulator itself was. */
  readonly lateP99Ms: number
  readonly cpu: CpuUse
}

export type RigOptions = { readonly users: number; readonly execArgv?: readonly string[] }

/** Simulator, gateway, receiver and one client of the stream, each a process; wired up through the gateway's API. */
export class PipelineRig implements AsyncDisposable {
  readonly gateway: GatewayProcess
  readonly feed: Child<FeedCalls>
  readonly receiver: Child<ReceiverCalls>
  readonly reader: Child<StreamReaderCalls>
  readonly #stores: Stores
  readonly #users: number
  #runs = 0

  private constructor(
    stores: Stores,
    users: number,
    processes: Pick<PipelineRig, 'gateway' | 'feed' | 'receiver' | 'reader'>,
  ) {
    this.#stores = stores
    this.#users = users
    this.gateway = processes.gateway
    this.feed = processes.feed
    this.receiver = processes.receiver
    this.reader = processes.reader
  }

  static async start(stores: Stores, { users, execArgv = [] }: RigOptions): Promise<PipelineRig> {
    const feed = new Child<FeedCalls>(import.meta.resolve('./feed.ts'), { name: 'simulator' })
    const receiver = new Child<ReceiverCalls>(import.meta.resolve('./receiver.ts'), { name: 'receiver' })
    const reader = new Child<StreamReaderCalls>(import.meta.resolve('./stream-reader.ts'), { name: 'stream reader' })
    const children = [feed, receiver, reader]
    let gateway: GatewayProcess | undefined
    try {
      gateway = await GatewayProcess.start({ dataDir: stores.dataDir, env: stores.env, execArgv })
      const rig = new PipelineRig(stores, users, { gateway, feed, receiver, reader })
      await rig.#setUp()
      return rig
    } catch (error) {
      await Promise.all(children.map((child) => child.end('SIGTERM')))
      await gateway?.end()
      throw error
    }
  }

  async #setUp(): Promise<void> {
    const { admin, url } = this.gateway
    const xsp = await this.feed.call('start', { users: this.#users, ...CREDENTIALS })
    const { body: app } = await admin.call('POST', '/admin/apps', { name: 'bench' })
    const { app_id: appId, api_key: key } = app as { app_id: string; api_key: string }
    await new ApiClient({ baseUrl: url, key }).call('POST', `/apps/${appId}/webhooks`, {
      url: await this.receiver.call('listen'),
      event_types: ['call.*'],
      max_in_flight: MAX_IN_FLIGHT,
    })
    await registerSubscribers(admin, {
      appId,
      xsp: [xsp],
      credentials: CREDENTIALS,
      subscribers: await this.feed.call('users'),
    })
    await this.reader.call('connect', { url: `${url.replace('http', 'ws')}/apps/${appId}/stream`, key })
    await this.feed.call('liftHandsets')
    await this.#untilQuiet()
  }

  /** An open loop at an even pace. */
  async atPace(perSecond: number, seconds: number): Promise<RunReport> {
    const schedule = await this.#begin(planEvents(++this.#runs, this.#users, perSecond * seconds))
    const used = await this.#meter()
    const playing = this.feed.call('play', { schedule, perSecond })
    const { result: timing, backlog } = await this.#watchBacklog(playing)
    const playedSeconds = schedule.events / perSecond
    await this.#untilThrough(schedule.events)
    return this.#report(await used(), { schedule, timing, backlog, seconds: playedSeconds })
  }

  /** As many events as come through with `window` of them under way; `perSecond` is the result. */
  async atFullPace(seconds: number, window: number): Promise<RunReport & { readonly perSecond: number }> {
    const unlimited = planEvents(++this.#runs, this.#users, EVENTS_MAX)
    const schedule = await this.#begin(unlimited)
    await this.feed.call('allow', window)
    const used = await this.#meter()
    const startedAt = performance.now()
    const over = new AbortController()
    const pushing = this.feed.call('push', { schedule, seconds }).finally(() => over.abort())
    // Its failure is noticed below, unless the rig's is first.
    pushing.catch(() => undefined)
    for (let [through, movedAt] = [-1, startedAt]; !over.signal.aborted; await delay(ALLOW_EVERY_MS)) {
      const now = await this.#through()
      await this.feed.call('allow', window + now)
      if (now > through) [through, movedAt] = [now, performance.now()]
      if (performance.now() - movedAt > STALL_MS) throw new Error(`the pipeline stands still after ${now} events`)
    }
    const events = await pushing
    await this.#untilThrough(events)
    const took = (performance.now() - startedAt) / 1_000
    const report = await this.#report(await used(), {
      schedule: { ...schedule, events },
      timing: { startedAt: 0, perSecond: 1, lateP99Ms: Number.NaN },
      backlog: [],
      seconds: took,
    })
    return { ...report, perSecond: events / took }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.reader.end('SIGTERM'), this.gateway.end()])
    await Promise.all([this.receiver.end('SIGTERM'), this.feed.end('SIGTERM')])
  }

  async #begin(schedule: Schedule): Promise<Schedule> {
    await this.#untilQuiet()
    await Promise.all([this.receiver.call('begin', schedule), this.reader.call('begin', schedule)])
    return schedule
  }

  /** How many events of the run were received at both ends. */
  async #through(): Promise<number> {
    const arrived = await Promise.all([this.receiver.call('arrived'), this.reader.call('arrived')])
    return Math.min(...arrived)
  }

  async #watchBacklog<Result>(playing: Promise<Result>) {
    const backlog: number[] = []
    const over = new AbortController()
    const done = playing.finally(() => over.abort())
    for (;;) {
      await Promise.race([done, delay(SAMPLE_MS)])
      if (over.signal.aborted) return { result: await done, backlog }
      const [{ emitted, unacknowledged }, through] = await Promise.all([this.feed.call('counts'), this.#through()])
      backlog.push(Math.max(unacknowledged, emitted - through))
    }
  }

  /** Ends also when nothing comes any more: what is missing then is told by the report. */
  async #untilThrough(events: number): Promise<void> {
    let [left, movedAt] = [Number.POSITIVE_INFINITY, performance.now()]
    while (performance.now() - movedAt < STALL_MS) {
      const [through, { unacknowledged }] = await Promise.all([this.#through(), this.feed.call('counts')])
      const leftNow = events - through + unacknowledged
      if (leftNow === 0) return
      if (leftNow < left) [left, movedAt] = [leftNow, performance.now()]
      await delay(CATCH_UP_POLL_MS)
    }
  }

  /** Until what is being recorded of the last run is recorded, and nothing is on its way. */
  async #untilQuiet(): Promise<void> {
    await waitUntil('all events to be acknowledged', async () => {
      const { unacknowledged } = await this.feed.call('counts')
      return unacknowledged === 0
    })
    for (let idle = 0; idle < 2;) {
      const before = await this.gateway.ask('usage')
      await delay(SAMPLE_MS)
      const after = await this.gateway.ask('usage')
      idle = after.cpuUs - before.cpuUs < SAMPLE_MS * 150 ? idle + 1 : 0
    }
  }

  #meter(): Promise<() => Promise<CpuUse>> {
    const { gateway, feed, receiver, reader } = this
    return startMeter({
      gateway,
      stores: this.#stores,
      simulator: feed.pid,
      receiver: receiver.pid,
      reader: reader.pid,
    })
  }

  async #report(
    cpu: CpuUse,
    run: {
      readonly schedule: Schedule
      readonly timing: Timing & { readonly lateP99Ms: number }
      readonly backlog: readonly number[]
      readonly seconds: number
    },
  ): Promise<RunReport> {
    const [webhook, stream, { unacknowledged }] = await Promise.all([
      this.receiver.call('report', run.timing),
      this.reader.call('report', run.timing),
      this.feed.call('counts'),
    ])
    const { seconds, backlog, timing, schedule } = run
    const { events } = schedule
    return { events, seconds, webhook, stream, backlog, unacknowledged, lateP99Ms: timing.lateP99Ms, cpu }
  }
}
