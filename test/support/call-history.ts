import type { Call, CallState } from '../../src/core/call.ts'
import { toCallId, toNetworkId, toSubscriberId, type CallId } from '../../src/core/ids.ts'
import type { CallChange, Observation, ObservationBody } from '../../src/core/observation.ts'
import { compareUpstream, type UpstreamPosition } from '../../src/core/upstream-position.ts'

const NETWORK_ID = toNetworkId('0b5b6e0e-network')
const SUBSCRIBER_ID = toSubscriberId('anna@example.net')

/** Uniform in [0, 1) from a seed (mulberry32), so that a failing history can be made again. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Something that the network says, and how far the user's history had come when it was true. */
export type Report = { readonly observation: Observation; readonly trueAt: number }

export type History = {
  /** In the order in which a perfect connection would deliver them. */
  readonly reports: readonly Report[]
  /** The calls that exist at the end. */
  readonly live: readonly Call[]
  /** For each real call, by its unique remote number: when it ended; undefined while it exists. */
  readonly endOf: ReadonlyMap<string, number | undefined>
  /** A snapshot of the end, later than every report. */
  readonly finalSnapshot: Report
}

type RealCall = {
  call: Call
  /** `plain` calls may have their id reused; the others may have their session or their start changed. */
  readonly kind: 'plain' | 'click_to_dial' | 'session' | 'shift'
}

/**
 * A user of a network, with everything that makes reports ambiguous: ids given to another call, the
 * flip of a click-to-dial call, consult transfers, blind transfers back to alerting, moved starts,
 * resubscriptions, snapshots in band and out of band (whose content is newer than their position), and
 * sequence numbers that wrap.
 *
 * Left out, because no rule can decide them: the id of a call whose session changed, or of a
 * click-to-dial call, is not used again; within one call the start and the session do not both change
 * (unless `movesStarts`); neither an in-band snapshot nor a report of a click-to-dial call is under way
 * during an out-of-band snapshot.
 */
class SimulatedUser {
  readonly #random: () => number
  readonly #movesStarts: boolean
  readonly #calls = new Map<CallId, RealCall>()
  readonly #endOf = new Map<string, number | undefined>()
  readonly #reusable: CallId[] = []
  readonly #clickToDial = new Set<CallId>()
  readonly #reports: Report[] = []
  #upstream: UpstreamPosition
  #now = 1_000
  #made = 0

  constructor(random: () => number, movesStarts: boolean) {
    this.#random = random
    this.#movesStarts = movesStarts
    this.#upstream = { generation: 1, sequence: random() < 0.2 ? 2_147_483_647 - this.#below(20) : 1 }
  }

  act(): void {
    this.#now += 1 + this.#below(3)
    const choice = this.#random()
    if (choice < 0.06) this.#snapshotInBand()
    else if (choice < 0.1) this.#snapshotOutOfBand()
    else if (choice < 0.12) this.#resubscribe()
    else if (choice < 0.3 && this.#calls.size < 3) this.#startCall()
    else if (this.#calls.size === 0) this.#startCall()
    else this.#progress(this.#pick([...this.#calls.values()]))
  }

  finish(): History {
    const reports = [...this.#reports]
    this.#snapshotInBand()
    const finalSnapshot = this.#reports.at(-1)
    if (finalSnapshot === undefined) throw new Error('a snapshot was reported')
    return { reports, live: this.#live(), endOf: this.#endOf, finalSnapshot }
  }

  #startCall(): void {
    const reused = this.#random() < 0.5 ? this.#reusable.shift() : undefined
    const kind =
      reused === undefined ? this.#pick(['plain', 'plain', 'click_to_dial', 'session', 'shift'] as const) : 'plain'
    const incoming = kind !== 'click_to_dial' && this.#random() < 0.5
    this.#made += 1
    const call: Call = {
      callId: reused ?? toCallId(`callhalf-${this.#made}:0`),
      state: kind === 'click_to_dial' ? 'initiating' : incoming ? 'ringing' : 'alerting',
      direction: incoming ? 'incoming' : 'outgoing',
      remoteNumber: `+1555${String(this.#made).padStart(7, '0')}`,
      trackingId: `${this.#made}:1`,
      startedAt: this.#now,
      ...(incoming ? { canAnswer: true as const } : {}),
    }
    if (kind === 'click_to_dial') this.#clickToDial.add(call.callId)
    const real = { call, kind }
    this.#calls.set(call.callId, real)
    this.#endOf.set(call.remoteNumber, undefined)
    this.#report('state', call)
  }

  #progress(real: RealCall): void {
    const { state } = real.call
    const next = this.#pick(STEPS[state])
    if (next === 'flip') return this.#become(real, 'alerting', { startedAt: this.#now })
    if (next === 'rename') return this.#become(real, state, { remoteName: `Name ${this.#below(3)}` })
    if (next === 'session') return this.#changeSession(real)
    if (next === 'released') return this.#release(real)
    if (next !== 'answer') return this.#become(real, next, {})
    return this.#become(real, 'active', { answeredAt: real.call.answeredAt ?? this.#now }, 'answered')
  }

  #changeSession(real: RealCall): void {
    const trackingId = `${real.call.trackingId}x`
    if (real.kind === 'session' || real.kind === 'click_to_dial') {
      const start = this.#movesStarts ? { startedAt: this.#now } : {}
      return this.#become(real, real.call.state, { trackingId, ...start }, 'session')
    }
    if (real.kind === 'shift') this.#become(real, real.call.state, { startedAt: this.#now })
  }

  #release(real: RealCall): void {
    const { callId, remoteNumber } = real.call
    this.#become(real, 'released', { releasedAt: this.#now, releaseCause: 'normal' })
    this.#calls.delete(callId)
    this.#endOf.set(remoteNumber, this.#now)
    if (real.kind === 'plain') this.#reusable.push(callId)
  }

  #become(real: RealCall, state: CallState, changes: Partial<Call>, change: CallChange = 'state'): void {
    const { canAnswer: _canAnswer, canResume: _canResume, ...known } = real.call
    real.call = {
      ...known,
      ...changes,
      state,
      ...(state === 'ringing' ? { canAnswer: true as const } : {}),
      ...(state === 'held' ? { canResume: true as const } : {}),
    }
    this.#report(change, real.call)
  }

  #report(change: CallChange, call: Call): void {
    this.#say({ type: 'calls', change, calls: [call] })
  }

  #snapshotInBand(): void {
    this.#say({ type: 'snapshot', calls: this.#live() })
  }

  /** Read now, while up to three reports are still under way: it takes the position before them. */
  #snapshotOutOfBand(): void {
    const at = this.#reports.length - 1 - this.#below(4)
    const base = this.#reports[at]
    const underWay = this.#reports.slice(at + 1)
    if (base === undefined || underWay.some((report) => isSnapshot(report) || this.#isOfClickToDial(report))) return
    const last = this.#reports.slice(0, at + 1).findLast(isSnapshot)
    const { upstream } = base.observation
    if (last !== undefined && compareUpstream(upstream, last.observation.upstream) <= 0) return
    this.#reports.splice(at + 1, 0, this.#toReport({ type: 'snapshot', calls: this.#live() }, upstream))
  }

  #isOfClickToDial({ observation }: Report): boolean {
    return observation.body.calls.some(({ callId }) => this.#clickToDial.has(callId))
  }

  #resubscribe(): void {
    this.#upstream = { generation: this.#upstream.generation + 1, sequence: 1 }
    this.#snapshotInBand()
  }

  #say(body: ObservationBody): void {
    this.#reports.push(this.#toReport(body, this.#upstream))
    const { generation, sequence } = this.#upstream
    this.#upstream = { generation, sequence: sequence === 2_147_483_647 ? 1 : sequence + 1 }
  }

  #toReport(body: ObservationBody, upstream: UpstreamPosition): Report {
    return { observation: { networkId: NETWORK_ID, subscriberId: SUBSCRIBER_ID, upstream, body }, trueAt: this.#now }
  }

  #live(): readonly Call[] {
    return [...this.#calls.values()].map(({ call }) => call)
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  #pick<Item>(items: readonly [Item, ...Item[]] | readonly Item[]): Item {
    const item = items[this.#below(items.length)]
    if (item === undefined) throw new Error('there is something to pick')
    return item
  }
}

const isSnapshot = ({ observation }: Report): boolean => observation.body.type === 'snapshot'

type Step = CallState | 'flip' | 'answer' | 'rename' | 'session'

/** What may happen to a call in each state; repeated entries are more likely. */
const STEPS: Readonly<Record<CallState, readonly Step[]>> = {
  initiating: ['flip', 'flip', 'released'],
  ringing: ['answer', 'answer', 'rename', 'detached', 'released'],
  alerting: ['answer', 'answer', 'rename', 'session', 'released'],
  active: ['held', 'remote_held', 'session', 'session', 'rename', 'alerting', 'released', 'released'],
  held: ['active', 'session', 'released'],
  remote_held: ['active', 'released'],
  detached: ['released'],
  released: [],
}

export function simulateHistory(options: {
  readonly random: () => number
  readonly steps: number
  /** Session changes move the start, too: only a connection without loss and reordering tells them apart. */
  readonly movesStarts?: boolean
}): History {
  const user = new SimulatedUser(options.random, options.movesStarts ?? false)
  for (let step = 0; step < options.steps; step += 1) user.act()
  return user.finish()
}

/** What a bad connection makes of the reports. */
export function disturb(
  reports: readonly Report[],
  random: () => number,
  faults: {
    readonly loss: number
    readonly duplication: number
    readonly reorder: number
    readonly snapshotDelay: number
  },
): readonly Report[] {
  const arriving: { readonly report: Report; readonly at: number }[] = []
  for (const [index, report] of reports.entries()) {
    const delay = report.observation.body.type === 'snapshot' ? random() * faults.snapshotDelay : 0
    const arrive = () => arriving.push({ report, at: index + random() * faults.reorder + delay })
    if (random() >= faults.loss) arrive()
    if (random() < faults.duplication) arrive()
  }
  return arriving.toSorted((a, b) => a.at - b.at).map(({ report }) => report)
}
