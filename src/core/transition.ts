import { isLive, type Call, type CallState, type ReleaseCause } from './call.ts'
import { looksSame } from './call-description.ts'
import type { CallEventType } from './call-event.ts'
import { hasGoneOn, underKnownId } from './dialled-call.ts'
import type { CallId } from './ids.ts'
import type { CallChange, Observation } from './observation.ts'
import {
  expiredTombstones,
  isLiveRecord,
  type CallRecord,
  type SubscriberHead,
  type SubscriberState,
} from './subscriber-state.ts'
import { compareUpstream, type UpstreamPosition } from './upstream-position.ts'

/**
 * The rules that make any order, repetition and loss of reports harmless. Each can be switched off, to
 * prove by test that each is needed.
 *
 * - `snapshot_fence`: what was reported up to a snapshot is in the snapshot.
 * - `watermark`: what was reported up to a call's last report is old news about that call.
 * - `terminal`: a released call stays released, also one that was first heard of by its release.
 * - `noop`: apps are told changes only.
 * - `ghost`: a live call missing from a snapshot, and not newer than it, has ended.
 * - `race_guard`: a snapshot never touches a call that was reported after it.
 * - `snapshot_order`: a snapshot older than the last one is ignored.
 * - `incarnation`: a later start and another tracking id, outside of a session change, is another call
 *   that the network gave the same id; an earlier start and another tracking id is the call before, whose
 *   reports may still arrive when a snapshot read out of band has shown its successor.
 * - `click_to_dial_guard`: not so while the call is initiating, where both legitimately change.
 */
export const RULES = [
  'snapshot_fence',
  'watermark',
  'terminal',
  'noop',
  'ghost',
  'race_guard',
  'snapshot_order',
  'incarnation',
  'click_to_dial_guard',
] as const
export type Rule = (typeof RULES)[number]

/** A change that apps are told. */
export type CallEvent = {
  readonly type: CallEventType
  readonly call: Call
  /** Absent on the first event of a call. */
  readonly previousState?: CallState
  /** Concluded, not reported as it happened. */
  readonly synthetic?: true
}

type CallWrite = {
  readonly callId: CallId
  /** Undefined forgets the call. */
  readonly record: CallRecord | undefined
  /** The first write of a further call under a used id. */
  readonly restartsSequence: boolean
  readonly event?: CallEvent
}

export type Transition = {
  /** `changed`: apps are told something; `noop`: only what is known of the network moved; `dropped`: nothing. */
  readonly outcome: 'changed' | 'noop' | 'dropped'
  /** The rule that decided a `dropped` or a `noop`. */
  readonly rule?: Rule
  readonly head: SubscriberHead
  /** In order; a superseded call is written twice, its end before the new call. */
  readonly writes: readonly CallWrite[]
  /** All calls after the writes, where deciding has worked them out. */
  readonly calls?: ReadonlyMap<CallId, CallRecord>
}

export type TransitionOptions = {
  /** Our clock, in milliseconds since the epoch. */
  readonly now: number
  /** Rules switched off: for proving them, never for running. */
  readonly without?: ReadonlySet<Rule>
}

/**
 * Decides what an observation changes. Pure: the same state, observation and time give the same result.
 * Every report carries the whole call, so reports need not be put in order before: later ones win.
 */
export function transition(state: SubscriberState, observation: Observation, options: TransitionOptions): Transition {
  const decision = new Decision(state, observation.upstream, options)
  if (observation.body.type === 'snapshot') decision.applySnapshot(observation.body.calls)
  else decision.applyCalls(observation.body.calls, observation.body.change)
  return decision.conclude()
}

/**
 * Ends a live call that nothing has confirmed since `unconfirmedSince` (our clock, milliseconds since
 * the epoch). Changes nothing when it was confirmed after all, or has ended.
 */
export function releaseCall(
  state: SubscriberState,
  release: { readonly callId: CallId; readonly cause: ReleaseCause; readonly unconfirmedSince: number },
  now: number,
): Transition {
  const record = state.calls.get(release.callId)
  if (record === undefined || !isLiveRecord(record) || record.confirmedAt > release.unconfirmedSince) {
    return { outcome: 'dropped', rule: 'terminal', head: state.head, writes: [] }
  }
  return { outcome: 'changed', head: state.head, writes: [endOf(record, release.cause, now)] }
}

/** The state after a transition. */
export function applyTransition(state: SubscriberState, { head, writes, calls: after }: Transition): SubscriberState {
  if (writes.length === 0) return head === state.head ? state : { head, calls: state.calls }
  if (after !== undefined) return { head, calls: after }
  const calls = new Map(state.calls)
  for (const { callId, record } of writes) {
    if (record === undefined) calls.delete(callId)
    else calls.set(callId, record)
  }
  return { head, calls }
}

/** The work of one transition: the calls as they become, and the writes so far. */
class Decision {
  readonly #before: SubscriberState
  readonly #upstream: UpstreamPosition
  readonly #now: number
  readonly #without: ReadonlySet<Rule>
  /** A copy, made for the first write: a subscriber has up to hundreds of calls, most of them ended. */
  #written: Map<CallId, CallRecord> | undefined
  readonly #writes: CallWrite[] = []
  #head: SubscriberHead
  #rule: Rule | undefined
  #accepted = false

  constructor(state: SubscriberState, upstream: UpstreamPosition, { now, without }: TransitionOptions) {
    this.#before = state
    this.#upstream = upstream
    this.#now = now
    this.#without = without ?? NO_RULES
    this.#head = state.head
  }

  get #calls(): ReadonlyMap<CallId, CallRecord> {
    return this.#written ?? this.#before.calls
  }

  applyCalls(calls: readonly Call[], change: CallChange): void {
    const fence = this.#head.snapshotUpstream
    if (fence !== undefined && compareUpstream(this.#upstream, fence) <= 0 && this.#on('snapshot_fence')) {
      this.#rule = 'snapshot_fence'
      return
    }
    for (const reported of calls) {
      const call = underKnownId(this.#calls, reported)
      const record = this.#calls.get(call.callId)
      const isOld = record === undefined && hasGoneOn(this.#calls, call, this.#upstream) && this.#on('watermark')
      if (isOld) {
        this.#rule = 'watermark'
      } else if (
        record !== undefined &&
        compareUpstream(this.#upstream, record.upstream) <= 0 &&
        this.#on('watermark')
      ) {
        this.#rule = 'watermark'
      } else {
        this.#applyCall(record, call, change)
      }
    }
    if (this.#accepted) this.#head = { ...this.#head, newestUpstream: this.#newest() }
  }

  applySnapshot(calls: readonly Call[]): void {
    const last = this.#head.snapshotUpstream
    if (last !== undefined && compareUpstream(this.#upstream, last) < 0 && this.#on('snapshot_order')) {
      this.#rule = 'snapshot_order'
      return
    }
    this.#accepted = true
    const listed = new Set<CallId>()
    for (const reported of calls) {
      const call = underKnownId(this.#calls, reported)
      listed.add(call.callId)
      const record = this.#calls.get(call.callId)
      if (record === undefined ? isLive(call.state) : this.#isCovered(record)) this.#applyCall(record, call, 'snapshot')
    }
    for (const [callId, record] of this.#before.calls) {
      if (!listed.has(callId) && isLiveRecord(record) && this.#isCovered(record) && this.#on('ghost')) {
        this.#write(endOf(record, 'reconciled', this.#now))
      }
    }
    this.#head = { snapshotUpstream: this.#upstream, newestUpstream: this.#newest(), stale: false }
  }

  conclude(): Transition {
    if (!this.#accepted) {
      return {
        outcome: 'dropped',
        ...(this.#rule === undefined ? {} : { rule: this.#rule }),
        head: this.#before.head,
        writes: [],
      }
    }
    for (const callId of expiredTombstones(this.#calls, this.#now)) {
      this.#write({ callId, record: undefined, restartsSequence: false })
    }
    const after = { head: this.#head, writes: this.#writes, calls: this.#calls }
    return this.#writes.some(({ event }) => event !== undefined)
      ? { outcome: 'changed', ...after }
      : { outcome: 'noop', rule: 'noop', ...after }
  }

  #applyCall(record: CallRecord | undefined, call: Call, change: CallChange | 'snapshot'): void {
    if (record === undefined) return this.#open(call, change, 1)
    if (this.#isCallBefore(record.call, call, change)) {
      this.#rule = 'incarnation'
      return
    }
    if (this.#isAnotherCall(record.call, call, change)) {
      if (isLiveRecord(record)) this.#write(endOf(record, 'superseded', this.#now))
      return this.#open(call, change, record.incarnation + 1)
    }
    if (!isLiveRecord(record) && this.#on('terminal')) {
      this.#rule = 'terminal'
      return
    }
    this.#update(record, call, change)
  }

  #open(call: Call, change: CallChange | 'snapshot', incarnation: number): void {
    const settled = settle({ call, previous: undefined, change, now: this.#now })
    this.#accepted = true
    this.#write({
      callId: call.callId,
      record: {
        call: settled,
        upstream: this.#upstream,
        incarnation,
        changedAt: this.#now,
        confirmedAt: this.#now,
      },
      restartsSequence: incarnation > 1,
      event: { type: `call.${settled.state}`, call: settled, ...syntheticIf(change) },
    })
  }

  #update(record: CallRecord, call: Call, change: CallChange | 'snapshot'): void {
    const settled = settle({ call, previous: record.call, change, now: this.#now })
    const stateChanged = settled.state !== record.call.state
    this.#accepted = true
    this.#write({
      callId: call.callId,
      record: {
        call: settled,
        upstream: this.#upstream,
        incarnation: record.incarnation,
        changedAt: stateChanged ? this.#now : record.changedAt,
        confirmedAt: this.#now,
      },
      restartsSequence: false,
      ...(looksSame(settled, record.call) && this.#on('noop')
        ? {}
        : {
            event: {
              type: stateChanged ? (`call.${settled.state}` as const) : 'call.updated',
              call: settled,
              previousState: record.call.state,
              ...syntheticIf(change),
            },
          }),
    })
  }

  /** Whether a snapshot may speak about this call: it was not reported after the snapshot was taken. */
  #isCovered(record: CallRecord): boolean {
    return compareUpstream(record.upstream, this.#upstream) <= 0 || !this.#on('race_guard')
  }

  #isAnotherCall(known: Call, reported: Call, change: CallChange | 'snapshot'): boolean {
    if (!this.#on('incarnation')) return false
    // Nothing happens in the session of a released call, so there a session change proves nothing.
    if (change === 'session' && isLive(known.state)) return false
    if (known.state === 'initiating' && this.#on('click_to_dial_guard')) return false
    return reported.startedAt > known.startedAt && reported.trackingId !== known.trackingId
  }

  /** A snapshot is never about a call before: it shows what exists. */
  #isCallBefore(known: Call, reported: Call, change: CallChange | 'snapshot'): boolean {
    if (!this.#on('incarnation') || change === 'snapshot' || change === 'session') return false
    return reported.startedAt < known.startedAt && reported.trackingId !== known.trackingId
  }

  #write(write: CallWrite): void {
    this.#writes.push(write)
    const calls = (this.#written ??= new Map(this.#before.calls))
    if (write.record === undefined) calls.delete(write.callId)
    else calls.set(write.callId, write.record)
  }

  #newest(): UpstreamPosition {
    const newest = this.#head.newestUpstream
    return newest !== undefined && compareUpstream(newest, this.#upstream) > 0 ? newest : this.#upstream
  }

  #on(rule: Rule): boolean {
    return !this.#without.has(rule)
  }
}

const NO_RULES: ReadonlySet<Rule> = new Set()

const syntheticIf = (change: CallChange | 'snapshot') => (change === 'snapshot' ? ({ synthetic: true } as const) : {})

/** The end of a call that the network did not report. */
function endOf(record: CallRecord, releaseCause: ReleaseCause, now: number): CallWrite {
  const { canAnswer: _canAnswer, canResume: _canResume, ...known } = record.call
  const call: Call = { ...known, state: 'released', releasedAt: now, releaseCause }
  return {
    callId: call.callId,
    record: { ...record, call, changedAt: now },
    restartsSequence: false,
    event: { type: 'call.released', call, previousState: record.call.state, synthetic: true },
  }
}

const ANSWERED_STATES: readonly CallState[] = ['active', 'held', 'remote_held']

/**
 * Completes a report with what the network left out. A call is answered only by an answer: XSI reports
 * Active also while digits are collected, so `active` without an answer keeps the state it had.
 */
function settle({
  call,
  previous,
  change,
  now,
}: {
  readonly call: Call
  readonly previous: Call | undefined
  readonly change: CallChange | 'snapshot'
  readonly now: number
}): Call {
  const isAnswer = change === 'answered' && call.state !== 'released'
  const answeredAt = call.answeredAt ?? previous?.answeredAt ?? (isAnswer ? now : undefined)
  const answered = answeredAt === call.answeredAt || answeredAt === undefined ? call : { ...call, answeredAt }
  if (call.state === 'released') return { ...answered, releasedAt: call.releasedAt ?? now }
  if (answeredAt !== undefined) return answered
  const wasAnswered = previous !== undefined && ANSWERED_STATES.includes(previous.state)
  if (call.state !== 'active' || wasAnswered) return call
  const unanswered = call.direction === 'incoming' ? 'ringing' : 'alerting'
  return { ...call, state: previous === undefined || !isLive(previous.state) ? unanswered : previous.state }
}
