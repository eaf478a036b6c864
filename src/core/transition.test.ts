import { expect, test } from 'vitest'
import { type Call } from './call.ts'
import { toCallId, toNetworkId, toSubscriberId } from './ids.ts'
import type { CallChange, Observation } from './observation.ts'
import { EMPTY_STATE, TOMBSTONE_TTL_MS, type SubscriberState } from './subscriber-state.ts'
import { applyTransition, releaseCall, transition, type Transition } from './transition.ts'

const NOW = 1_700_000_000_000
const callId = toCallId('callhalf-1:0')

const aCall = (changes: Partial<Call> = {}): Call => ({
  callId,
  state: 'ringing',
  direction: 'incoming',
  remoteNumber: '+15550100',
  trackingId: '1:1',
  startedAt: 1_000,
  ...changes,
})

const observation = (sequence: number, body: Observation['body']): Observation => ({
  networkId: toNetworkId('network'),
  subscriberId: toSubscriberId('anna@example.net'),
  upstream: { generation: 1, sequence },
  body,
})

const report = (sequence: number, call: Call, change: CallChange = 'state') =>
  observation(sequence, { type: 'calls', change, calls: [call] })
const snapshot = (sequence: number, ...calls: readonly Call[]) => observation(sequence, { type: 'snapshot', calls })

/** The state after some observations, and what the last one did. */
function after(...observations: readonly Observation[]): { state: SubscriberState; last: Transition } {
  let state = EMPTY_STATE
  let last: Transition = { outcome: 'dropped', head: state.head, writes: [] }
  for (const each of observations) {
    last = transition(state, each, { now: NOW })
    state = applyTransition(state, last)
  }
  return { state, last }
}

const eventsOf = ({ writes }: Transition) =>
  writes.flatMap(({ event }) => (event === undefined ? [] : [[event.type, event.previousState, event.synthetic]]))

test('the first report of a call is the event of its state, without a previous one', () => {
  expect(eventsOf(after(report(1, aCall())).last)).toEqual([['call.ringing', undefined, undefined]])
})

test('a change of state names the state before; any other change is an update', () => {
  const answered = aCall({ state: 'active', answeredAt: 2_000 })
  expect(eventsOf(after(report(1, aCall()), report(2, answered, 'answered')).last)).toEqual([
    ['call.active', 'ringing', undefined],
  ])
  expect(eventsOf(after(report(1, aCall()), report(2, aCall({ remoteName: 'Bo' }))).last)).toEqual([
    ['call.updated', 'ringing', undefined],
  ])
})

test('snapshot fence: what was reported up to a snapshot is dropped, also for an unknown call', () => {
  const { last } = after(snapshot(5), report(5, aCall()))
  expect(last).toMatchObject({ outcome: 'dropped', rule: 'snapshot_fence', writes: [] })
})

test('watermark: an older report of a call is dropped, also when a report without a change came in between', () => {
  const held = aCall({ state: 'held', answeredAt: 2_000 })
  const active = aCall({ state: 'active', answeredAt: 2_000 })
  const { last } = after(report(1, held), report(5, held), report(3, active))
  expect(last).toMatchObject({ outcome: 'dropped', rule: 'watermark', writes: [] })
})

test('terminal: a released call stays released, also one first heard of by its release', () => {
  const released = aCall({ state: 'released', releasedAt: 3_000, releaseCause: 'busy' })
  expect(eventsOf(after(report(4, released)).last)).toEqual([['call.released', undefined, undefined]])
  expect(after(report(4, released), report(9, aCall())).last).toMatchObject({ outcome: 'dropped', rule: 'terminal' })
})

test('noop: a report that shows apps nothing new moves the watermark and tells nothing', () => {
  const { state, last } = after(report(1, aCall()), report(2, aCall({ canAnswer: true })))
  expect(last).toMatchObject({ outcome: 'noop', rule: 'noop' })
  expect(eventsOf(last)).toEqual([])
  expect(state.calls.get(callId)).toMatchObject({ upstream: { sequence: 2 }, call: { canAnswer: true } })
})

test('ghost: a call missing from a snapshot ends as reconciled', () => {
  const { state, last } = after(report(1, aCall()), snapshot(2))
  expect(eventsOf(last)).toEqual([['call.released', 'ringing', true]])
  expect(state.calls.get(callId)?.call).toMatchObject({ releaseCause: 'reconciled', releasedAt: NOW })
})

test('race guard: a snapshot neither ends nor changes a call that was reported after it', () => {
  const { last } = after(report(3, aCall()), snapshot(2))
  expect(eventsOf(last)).toEqual([])
  expect(eventsOf(after(report(3, aCall()), snapshot(2, aCall({ remoteName: 'Old' }))).last)).toEqual([])
})

test('snapshot order: an older snapshot is ignored, one of the same position is not', () => {
  expect(after(snapshot(5), snapshot(4, aCall())).last).toMatchObject({ outcome: 'dropped', rule: 'snapshot_order' })
  expect(eventsOf(after(snapshot(5, aCall()), snapshot(5)).last)).toEqual([['call.released', 'ringing', true]])
})

test('a call first seen in a snapshot is told in its present state, as concluded', () => {
  const held = aCall({ state: 'held', answeredAt: 2_000 })
  expect(eventsOf(after(snapshot(2, held)).last)).toEqual([['call.held', undefined, true]])
})

test('incarnation: a later start and another tracking id end the call as superseded and open another', () => {
  const other = aCall({ startedAt: 9_000, trackingId: '2:1', remoteNumber: '+15550199' })
  const { state, last } = after(report(1, aCall()), report(2, other))
  expect(
    last.writes.map(({ record, restartsSequence, event }) => [
      event?.type,
      record?.call.releaseCause,
      restartsSequence,
    ]),
  ).toEqual([
    ['call.released', 'superseded', false],
    ['call.ringing', undefined, true],
  ])
  expect(state.calls.get(callId)).toMatchObject({ incarnation: 2, call: { remoteNumber: '+15550199' } })
})

test('incarnation: the id of a released call may be used again', () => {
  const released = aCall({ state: 'released', releasedAt: 3_000 })
  const { last } = after(report(1, released), report(2, aCall({ startedAt: 9_000, trackingId: '2:1' })))
  expect(last.writes).toMatchObject([{ restartsSequence: true, event: { type: 'call.ringing' } }])
})

test('incarnation: neither a moved start alone, nor another session alone, nor a session change is another call', () => {
  for (const changed of [
    report(2, aCall({ startedAt: 9_000 })),
    report(2, aCall({ trackingId: '2:1' })),
    report(2, aCall({ startedAt: 9_000, trackingId: '2:1' }), 'session'),
  ]) {
    expect(eventsOf(after(report(1, aCall()), changed).last)).toEqual([['call.updated', 'ringing', undefined]])
  }
})

test('incarnation: a late report of the call before does not touch the one that has its id now', () => {
  const other = aCall({ startedAt: 9_000, trackingId: '2:1' })
  const late = aCall({ state: 'released', releasedAt: 3_000 })
  expect(after(snapshot(1, other), report(2, late)).last).toMatchObject({ outcome: 'dropped', rule: 'incarnation' })
})

test('click-to-dial guard: an initiating call may change start and session and stays the same call', () => {
  const initiating = aCall({ state: 'initiating', direction: 'outgoing' })
  const flipped = aCall({ state: 'alerting', direction: 'outgoing', startedAt: 9_000, trackingId: '2:1' })
  expect(eventsOf(after(report(1, initiating), report(2, flipped)).last)).toEqual([
    ['call.alerting', 'initiating', undefined],
  ])
})

test('active without an answer keeps the state: the network is collecting digits', () => {
  const collecting = aCall({ state: 'active', direction: 'outgoing', flags: { collecting: true } })
  const { state } = after(report(1, collecting))
  expect(state.calls.get(callId)?.call).toMatchObject({ state: 'alerting', flags: { collecting: true } })
})

test('an answer without a time is timed here, and later reports keep it', () => {
  const { state } = after(
    report(1, aCall()),
    report(2, aCall({ state: 'active' }), 'answered'),
    report(3, aCall({ state: 'held' })),
  )
  expect(state.calls.get(callId)?.call).toMatchObject({ state: 'held', answeredAt: NOW })
})

test('a blind transfer may take an answered call back to alerting', () => {
  const active = aCall({ state: 'active', direction: 'outgoing', answeredAt: 2_000 })
  const again = aCall({ state: 'alerting', direction: 'outgoing', answeredAt: 2_000 })
  expect(eventsOf(after(report(1, active, 'answered'), report(2, again)).last)).toEqual([
    ['call.alerting', 'active', undefined],
  ])
})

test('one notification of several calls changes each', () => {
  const second = aCall({ callId: toCallId('callhalf-2:0'), state: 'detached' })
  const both = observation(2, { type: 'calls', change: 'state', calls: [aCall({ state: 'detached' }), second] })
  expect(eventsOf(after(report(1, aCall()), both).last)).toEqual([
    ['call.detached', 'ringing', undefined],
    ['call.detached', undefined, undefined],
  ])
})

test('a snapshot ends the doubt about a subscriber, an event does not', () => {
  const stale: SubscriberState = { ...EMPTY_STATE, head: { stale: true } }
  expect(transition(stale, report(1, aCall()), { now: NOW }).head.stale).toBe(true)
  expect(transition(stale, snapshot(1), { now: NOW }).head.stale).toBe(false)
})

test('tombstones are forgotten after a day, and the oldest beyond 256 at once', () => {
  let state = EMPTY_STATE
  for (let index = 1; index <= 300; index += 1) {
    const call = aCall({ callId: toCallId(`callhalf-${index}:0`), state: 'released', releasedAt: 3_000 })
    state = applyTransition(state, transition(state, report(index, call), { now: NOW + index }))
  }
  expect(state.calls.size).toBe(256)
  expect(state.calls.has(toCallId('callhalf-44:0'))).toBe(false)
  expect(state.calls.has(toCallId('callhalf-45:0'))).toBe(true)
  const tomorrow = transition(state, report(301, aCall()), { now: NOW + 301 + TOMBSTONE_TTL_MS })
  expect([...applyTransition(state, tomorrow).calls.keys()]).toEqual([callId])
})

test('a call is released as lost only while nothing has confirmed it', () => {
  const { state } = after(report(1, aCall()))
  const lost = { callId, cause: 'lost' as const }
  expect(releaseCall(state, { ...lost, unconfirmedSince: NOW - 1 }, NOW + 5).outcome).toBe('dropped')
  expect(eventsOf(releaseCall(state, { ...lost, unconfirmedSince: NOW }, NOW + 5))).toEqual([
    ['call.released', 'ringing', true],
  ])
})
