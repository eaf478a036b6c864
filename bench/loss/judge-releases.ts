import { groupBy, inSequence, orderProblems, type LedgerEntry } from '../soak/compare.ts'
import type { Arrival, RecordingApp } from '../soak/recording-app.ts'
import { summarise } from '../webhooks/rig/figures.ts'

/** How much the clocks of ledger and arrivals may differ after an hour, in ms. */
const CLOCK_TOLERANCE_MS = 50

/** What was wrong, by kind; one line each. */
export type ReleaseProblems = {
  /** Released although it lived, or heard of again after its release. */
  readonly released: readonly string[]
  /** Over, but not released in time. */
  readonly left: readonly string[]
  /** The gateway took an event of it, and yet the app never heard of it. */
  readonly untold: readonly string[]
  readonly order: readonly string[]
}

/**
 * Compares, call by call, when each one ended by the ledger, which has lost events as well, with when the
 * app was told. `limitMs` is the longest that a call may outlive its end.
 */
export function judgeReleases(options: {
  readonly ledger: readonly LedgerEntry[]
  readonly app: Pick<RecordingApp, 'webhookArrivals' | 'streamArrivals'>
  readonly limitMs: number
}): { readonly figures: Readonly<Record<string, number>>; readonly problems: ReleaseProblems } {
  const { ledger, app, limitMs } = options
  const released: string[] = []
  const left: string[] = []
  const untold: string[] = []
  const order: string[] = []
  const delays: number[] = []
  const delaysOfLost: number[] = []
  const entriesOf = groupBy(
    ledger.filter(({ call_id: callId, state }) => callId !== null && state !== null),
    ({ call_id: callId }) => callId ?? '',
  )
  let unheard = 0
  for (const [way, all] of [
    ['webhook', app.webhookArrivals],
    ['stream', app.streamArrivals],
  ] as const) {
    const arrivalsOf = groupBy(all, ({ callId }) => callId)
    for (const [callId, arrivals] of arrivalsOf) {
      order.push(...orderProblems(`${way} ${callId}`, arrivals, undefined))
      if (!entriesOf.has(callId)) released.push(`${way} ${callId}: not in the ledger`)
    }
    for (const [callId, entries] of entriesOf) {
      const name = `${way} ${callId}`
      const arrivals = inSequence(arrivalsOf.get(callId) ?? [])
      const end = entries.find(({ state }) => state === 'Released')
      if (arrivals.length === 0) {
        unheard += 1
        if (entries.some(isTakenWhileItLived)) untold.push(`${name}: never told`)
        continue
      }
      const releases = arrivals.filter(isRelease)
      const [first] = releases
      if (end === undefined) {
        if (first !== undefined) released.push(`${name}: released, but it never ended`)
        continue
      }
      if (first === undefined) {
        left.push(`${name}: never released`)
        continue
      }
      const delayMs = wallClockOf(first) - end.created_at
      if (delayMs < -CLOCK_TOLERANCE_MS) released.push(`${name}: released ${-delayMs} ms before its end`)
      if (releases.length > 1 || arrivals.at(-1) !== first) released.push(`${name}: heard of after its release`)
      if (delayMs > limitMs) left.push(`${name}: released ${delayMs} ms after its end`)
      delays.push(delayMs)
      if (end.expired_reason === 'lost') delaysOfLost.push(delayMs)
    }
  }
  const lost = ledger.filter(({ expired_reason: reason }) => reason === 'lost').length
  const [every, silent] = [summarise(delays), summarise(delaysOfLost)]
  return {
    figures: {
      'events in the ledger': ledger.length,
      'lost, per cent': (100 * lost) / ledger.length,
      'given up for another reason': ledger.filter(({ expired_reason: reason }) => reason !== null).length - lost,
      calls: entriesOf.size,
      'calls whose end was lost': [...entriesOf.values()].filter((entries) =>
        entries.some(({ state, expired_reason: reason }) => state === 'Released' && reason === 'lost'),
      ).length,
      'webhooks received': app.webhookArrivals.length,
      'of them made up by the gateway': app.webhookArrivals.filter(({ synthetic }) => synthetic).length,
      'stream events received': app.streamArrivals.length,
      'calls that no event told of, by way': unheard,
      'end to release, ms, p50': every.p50,
      'end to release, ms, p99': every.p99,
      'lost end to release, ms, p50': silent.p50,
      'lost end to release, ms, p99': silent.p99,
      'lost end to release, ms, max': silent.max,
    },
    problems: { released, left, untold, order },
  }
}

const isRelease = ({ state }: Arrival): boolean => state === 'released'

const isTakenWhileItLived = ({ state, ack_status: status }: LedgerEntry): boolean =>
  status === 200 && state !== 'Released'

const wallClockOf = ({ at }: Arrival): number => performance.timeOrigin + at
