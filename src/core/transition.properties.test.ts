import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { disturb, seededRandom, simulateHistory, type History, type Report } from '../../test/support/call-history.ts'
import { describeCall, type CallDescription } from './call-description.ts'
import { isLive, type Call } from './call.ts'
import type { CallId } from './ids.ts'
import { EMPTY_STATE, type SubscriberState } from './subscriber-state.ts'
import { applyTransition, RULES, transition, type CallEvent, type Rule } from './transition.ts'

const HISTORIES = Number(process.env['CALLHALF_HISTORIES'] ?? 10_000)
const BAD = { loss: 0.5, duplication: 0.2, reorder: 12, snapshotDelay: 25 }
const NOW = 1_700_000_000_000

type Published = {
  readonly callId: CallId
  readonly restarts: boolean
  readonly event: CallEvent
  readonly knownAt: number
}

/** The reducer behind a connection: what it knows, and what it told. */
class Reducer {
  state: SubscriberState = EMPTY_STATE
  readonly published: Published[] = []
  /** How far the user's history had come by the newest report received. */
  #knownAt = 0
  readonly #without: ReadonlySet<Rule>

  constructor(without: ReadonlySet<Rule>) {
    this.#without = without
  }

  receive(reports: readonly Report[]): void {
    for (const { observation, trueAt } of reports) {
      this.#knownAt = Math.max(this.#knownAt, trueAt)
      const decided = transition(this.state, observation, { now: NOW, without: this.#without })
      this.state = applyTransition(this.state, decided)
      for (const { callId, restartsSequence, event } of decided.writes) {
        if (event !== undefined)
          this.published.push({ callId, restarts: restartsSequence, event, knownAt: this.#knownAt })
      }
    }
  }

  live(): readonly CallDescription[] {
    return sorted([...this.state.calls.values()].map(({ call }) => call).filter(({ state }) => isLive(state)))
  }

  /** The events of each leg: from the first of a call to the one before its id is opened again. */
  legs(): readonly (readonly Published[])[] {
    const open = new Map<CallId, Published[]>()
    const legs: Published[][] = []
    for (const item of this.published) {
      const leg = item.event.previousState === undefined ? undefined : open.get(item.callId)
      if (leg === undefined) {
        const opened = [item]
        open.set(item.callId, opened)
        legs.push(opened)
      } else {
        leg.push(item)
      }
    }
    return legs
  }
}

const sorted = (calls: readonly Call[]) =>
  calls.map(describeCall).toSorted((a, b) => (a.call_id < b.call_id ? -1 : a.call_id > b.call_id ? 1 : 0))

/** P3: what was told to be over is over, at the latest when the newest report received was made. */
function expectNoFalseRelease(reducer: Reducer, { endOf }: History): void {
  for (const { event, knownAt } of reducer.published) {
    if (event.call.state !== 'released') continue
    expect(endOf.get(event.call.remoteNumber) ?? Infinity).toBeLessThanOrEqual(knownAt)
  }
}

/** P5: a leg's numbers start when it opens, and each event continues the one before. */
function expectUnbrokenLegs(reducer: Reducer): void {
  const seen = new Set<CallId>()
  for (const leg of reducer.legs()) {
    let before: Call | undefined
    for (const { callId, restarts, event } of leg) {
      expect(event.previousState).toBe(before?.state)
      expect(restarts).toBe(before === undefined && seen.has(callId))
      before = event.call
    }
    if (before !== undefined) seen.add(before.callId)
  }
}

/** P6 */
function expectOneEndPerLeg(reducer: Reducer): void {
  for (const leg of reducer.legs()) {
    const end = leg.findIndex(({ event }) => event.call.state === 'released')
    if (end !== -1) expect(end).toBe(leg.length - 1)
  }
}

/** P8: what an app concludes from the events is what it would read. */
function expectEventsTellState(reducer: Reducer): void {
  const told = new Map<CallId, Call>()
  for (const { callId, event } of reducer.published) told.set(callId, event.call)
  expect(sorted([...told.values()])).toEqual(sorted([...reducer.state.calls.values()].map(({ call }) => call)))
}

function expectSafe(reducer: Reducer, history: History): void {
  expectNoFalseRelease(reducer, history)
  expectUnbrokenLegs(reducer)
  expectOneEndPerLeg(reducer)
  expectEventsTellState(reducer)
}

/** Each: a history, a connection, and what must be true afterwards. */
type Check = (random: () => number, steps: number, without: ReadonlySet<Rule>) => void

const CHECKS: Readonly<Record<string, Check>> = {
  'P7: everything once more changes nothing': (random, steps, without) => {
    const history = simulateHistory({ random, steps })
    const received = disturb(history.reports, random, { ...BAD, loss: random() * BAD.loss })
    const reducer = new Reducer(without)
    reducer.receive(received)
    const told = reducer.published.length
    const before = reducer.live()
    reducer.receive(received)
    expect(reducer.published.length).toBe(told)
    expect(reducer.live()).toEqual(before)
  },
  'P1, P3, P5, P6, P8: behind a bad connection, a snapshot restores the truth and later stragglers change nothing': (
    random,
    steps,
    without,
  ) => {
    const history = simulateHistory({ random, steps })
    const reducer = new Reducer(without)
    reducer.receive(disturb(history.reports, random, { ...BAD, loss: random() * BAD.loss }))
    reducer.receive([history.finalSnapshot])
    expect(reducer.live()).toEqual(sorted(history.live))
    expectSafe(reducer, history)
    const told = reducer.published.length
    reducer.receive(disturb(history.reports, random, { ...BAD, loss: 0.3 }))
    expect(reducer.published.length).toBe(told)
    expect(reducer.live()).toEqual(sorted(history.live))
  },
  'P2: without loss, any order and repetition gives the truth': (random, steps, without) => {
    const history = simulateHistory({ random, steps })
    const reducer = new Reducer(without)
    reducer.receive(disturb(history.reports, random, { ...BAD, loss: 0 }))
    expect(reducer.live()).toEqual(sorted(history.live))
    expectSafe(reducer, history)
  },
  'P4: in order with loss, each real call is one leg': (random, steps, without) => {
    const history = simulateHistory({ random, steps })
    const reducer = new Reducer(without)
    reducer.receive(
      disturb(history.reports, random, { loss: random() * 0.5, duplication: 0, reorder: 0, snapshotDelay: 0 }),
    )
    expectOneLegPerCall(reducer)
    expectSafe(reducer, history)
  },
  'P4: in order without loss, moved starts and sessions never split a call': (random, steps, without) => {
    const history = simulateHistory({ random, steps, movesStarts: true })
    const inBand = history.reports.filter(({ observation }, index) => !isOutOfBand(history.reports, observation, index))
    const reducer = new Reducer(without)
    reducer.receive(inBand)
    expectOneLegPerCall(reducer)
    expect(reducer.live()).toEqual(sorted(history.live))
    expectSafe(reducer, history)
  },
}

function expectOneLegPerCall(reducer: Reducer): void {
  const numbers = reducer.legs().map((leg) => [...new Set(leg.map(({ event }) => event.call.remoteNumber))])
  for (const ofLeg of numbers) expect(ofLeg).toHaveLength(1)
  expect(new Set(numbers.flat()).size).toBe(numbers.length)
}

/** An out-of-band snapshot repeats the position of the report before it. */
function isOutOfBand(reports: readonly Report[], { upstream }: Report['observation'], index: number): boolean {
  const before = reports[index - 1]?.observation.upstream
  return before?.generation === upstream.generation && before.sequence === upstream.sequence
}

const historyArbitrary = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 45 }))

const runCheck = (
  check: Check,
  options: { readonly histories: number; readonly without: ReadonlySet<Rule>; readonly seed?: number },
) =>
  fc.check(
    fc.property(historyArbitrary, ([seed, steps]) => check(seededRandom(seed), steps, options.without)),
    { numRuns: options.histories, ...(options.seed === undefined ? {} : { seed: options.seed, endOnFailure: true }) },
  )

const checks = Object.entries(CHECKS)
const TIMEOUT_MS = 60_000 + HISTORIES * 10

test.for(checks)('%s', { timeout: TIMEOUT_MS }, ([, check]) => {
  const details = runCheck(check, { histories: Math.ceil(HISTORIES / checks.length), without: new Set() })
  expect(fc.defaultReportMessage(details)).toBeUndefined()
})

test.for(RULES)('without the rule %s some property fails', { timeout: TIMEOUT_MS }, (rule) => {
  const without = new Set([rule])
  const isCaught = checks.some(([, check]) => runCheck(check, { histories: 3_000, without, seed: 1 }).failed)
  expect(isCaught).toBe(true)
})

test('the calls that a decision has worked out are those that its writes lead to', () => {
  for (let seed = 0; seed < 200; seed += 1) {
    const random = seededRandom(seed)
    const { reports } = simulateHistory({ random, steps: 40 })
    let state: SubscriberState = EMPTY_STATE
    for (const { observation } of disturb(reports, random, BAD)) {
      const before = structuredClone(state)
      const { calls, ...decided } = transition(state, observation, { now: NOW })
      expect(state).toEqual(before)
      const after = applyTransition(state, decided)
      expect(calls ?? after.calls).toEqual(after.calls)
      state = after
    }
  }
})
