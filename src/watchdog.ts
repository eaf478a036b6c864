import type { CallState } from './core/call.ts'
import type { CallStore, WatchedCall } from './core/call-store.ts'
import type { Clock } from './core/clock.ts'
import type { Directory } from './core/directory.ts'
import type { CallId, NetworkId, NetworkRef, SubscriberId } from './core/ids.ts'
import type { Logger } from './core/logger.ts'
import type { NetworkControl } from './core/network-control.ts'
import type { Service } from './core/service.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** How long a call may ring, or be answered, before the network is asked about it. */
type Dwell = { readonly ringingMs: number; readonly answeredMs: number }

/** How long a call may stay in each state before the network is asked about it. */
const limitsOf = ({ ringingMs, answeredMs }: Dwell): Readonly<Record<CallState, number>> => ({
  initiating: Math.min(MINUTE_MS, ringingMs),
  ringing: ringingMs,
  alerting: ringingMs,
  detached: Math.min(10 * MINUTE_MS, answeredMs),
  active: answeredMs,
  held: answeredMs,
  remote_held: answeredMs,
  released: Infinity,
})

/** A call that goes on for long is still asked about this often, so that only a lost one is ever unconfirmed for a day. */
const DWELL_STEP_MAX_MS = 8 * HOUR_MS
const SCAN_PERIOD_MS = 10_000
/** A look that was not answered is repeated after this. */
const REPEAT_MS = MINUTE_MS
/** Nothing confirmed the call for this long: it is over, whatever the network says one day. */
const UNCONFIRMED_MAX_MS = 24 * HOUR_MS
/**
 * Subscribers asked about per network and scan, as many as a network is asked at its usual pace until the
 * next scan; the others' turn comes with the next scans.
 */
const LOOKS_PER_SCAN_MAX = 500

/** What the watchdog does about a call that nothing confirmed for a day; implemented by ingest. */
interface CallReleaser {
  release(call: {
    readonly networkId: NetworkId
    readonly subscriberId: SubscriberId
    readonly callId: CallId
    readonly cause: 'lost'
    readonly unconfirmedSince: number
  }): Promise<boolean>
}

export type WatchdogOptions = {
  readonly store: Pick<CallStore, 'scanLive'>
  readonly directory: Pick<Directory, 'network'>
  /** The networks whose adapters run in this process. */
  readonly networks: () => readonly NetworkId[]
  readonly control: Pick<NetworkControl, 'resynchronise'>
  readonly releaser: CallReleaser
  readonly dwell: Dwell
  readonly clock: Clock
  readonly log: Logger
}

/** When the network was last asked about a call in its present state, and when it is asked again. */
type Look = {
  readonly changedAt: number
  readonly allowedMs: number
  readonly askedAt: number
  readonly scan: number
}

/**
 * Finds calls that have stayed in a state suspiciously long: the network may have forgotten to say that
 * they ended (a BroadWorks application server that fails over says nothing). Such a call's subscriber is
 * read again; a call that is confirmed may stay twice as long until the next look. A call that nothing
 * confirms for a day is released as `lost`.
 */
export class Watchdog implements Service {
  readonly name = 'watchdog'
  readonly #options: WatchdogOptions
  readonly #limits: Readonly<Record<CallState, number>>
  /** Bounded by the live calls: what a whole scan did not meet is dropped. */
  readonly #looks = new Map<string, Look>()
  #scan = 0
  #stopped = new AbortController()
  #running: Promise<void> | undefined

  constructor(options: WatchdogOptions) {
    this.#options = options
    this.#limits = limitsOf(options.dwell)
  }

  start(): Promise<void> {
    this.#stopped = new AbortController()
    this.#running = this.#run(this.#stopped.signal)
    return Promise.resolve()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#running
  }

  /** Looks at every live call once; one network's failure does not keep the others from being looked at. */
  async scan(signal: AbortSignal): Promise<void> {
    this.#scan += 1
    for (const networkId of this.#options.networks()) {
      const network = this.#options.directory.network(networkId)
      if (network === undefined || signal.aborted) continue
      try {
        await this.#scanNetwork(network, signal)
      } catch (error) {
        this.#options.log.warn({ err: error, networkId }, 'live calls could not be looked at')
        this.#keepLooks(networkId)
      }
    }
    for (const [key, look] of this.#looks) if (look.scan !== this.#scan) this.#looks.delete(key)
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#options.clock.wait(SCAN_PERIOD_MS, signal)
      } catch {
        return
      }
      await this.scan(signal)
    }
  }

  async #scanNetwork(network: NetworkRef, signal: AbortSignal): Promise<void> {
    const suspicious = new Set<SubscriberId>()
    let cursor = '0'
    do {
      const page = await this.#options.store.scanLive(network, cursor)
      cursor = page.cursor
      for (const call of page.calls) {
        if (this.#isLost(network, call)) await this.#release(network, call)
        else if (this.#isDue(network, call, suspicious)) suspicious.add(call.subscriberId)
      }
    } while (cursor !== '0' && !signal.aborted)
    if (suspicious.size === 0) return
    this.#options.log.info({ networkId: network.networkId, subscribers: suspicious.size }, 'calls stay long; asking')
    this.#options.control.resynchronise(network.networkId, [...suspicious], 'dwell')
  }

  /** Nothing confirmed it for a day, although the network was asked and had time to answer. */
  #isLost(network: NetworkRef, { subscriberId, record }: WatchedCall): boolean {
    const now = this.#options.clock.now()
    const look = this.#looks.get(keyOf(network.networkId, subscriberId, record.call.callId))
    const isUnanswered = look !== undefined && look.askedAt > record.confirmedAt && now - look.askedAt >= REPEAT_MS
    return isUnanswered && now - record.confirmedAt >= UNCONFIRMED_MAX_MS
  }

  /** Whether the network is to be asked about the call now; remembers that it is. */
  #isDue(network: NetworkRef, { subscriberId, record }: WatchedCall, asked: ReadonlySet<SubscriberId>): boolean {
    const now = this.#options.clock.now()
    const key = keyOf(network.networkId, subscriberId, record.call.callId)
    const known = this.#looks.get(key)
    const last = known?.changedAt === record.changedAt ? known : undefined
    const allowedMs = last?.allowedMs ?? this.#limits[record.call.state]
    const isConfirmed = last !== undefined && record.confirmedAt >= last.askedAt
    const nextMs = isConfirmed ? Math.min(allowedMs * 2, allowedMs + DWELL_STEP_MAX_MS) : allowedMs
    const isDue =
      last !== undefined && !isConfirmed ? now - last.askedAt >= REPEAT_MS : now - record.changedAt >= nextMs
    const hasRoom = asked.has(subscriberId) || asked.size < LOOKS_PER_SCAN_MAX
    if (isDue && hasRoom) {
      this.#looks.set(key, { changedAt: record.changedAt, allowedMs: nextMs, askedAt: now, scan: this.#scan })
      return true
    }
    if (last !== undefined) this.#looks.set(key, { ...last, scan: this.#scan })
    return false
  }

  async #release(network: NetworkRef, { subscriberId, record }: WatchedCall): Promise<void> {
    const { callId } = record.call
    const { networkId } = network
    const unconfirmedSince = record.confirmedAt
    await this.#options.releaser.release({ networkId, subscriberId, callId, cause: 'lost', unconfirmedSince })
  }

  #keepLooks(networkId: NetworkId): void {
    for (const [key, look] of this.#looks) {
      if (key.startsWith(`${networkId}/`)) this.#looks.set(key, { ...look, scan: this.#scan })
    }
  }
}

const keyOf = (networkId: NetworkId, subscriberId: SubscriberId, callId: CallId): string =>
  `${networkId}/${subscriberId}/${callId}`
