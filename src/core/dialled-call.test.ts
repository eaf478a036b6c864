import { expect, test } from 'vitest'
import type { Call } from './call.ts'
import { toCallId, toNetworkId, toSubscriberId } from './ids.ts'
import type { Observation, ObservationBody } from './observation.ts'
import { EMPTY_STATE, type SubscriberState } from './subscriber-state.ts'
import { applyTransition, transition, type CallEvent } from './transition.ts'

const PLACED = toCallId('callhalf-1:0')
const RUNG_OUT = toCallId('callhalf-2:0')

const aCall = (changes: Partial<Call>): Call => ({
  callId: PLACED,
  state: 'initiating',
  direction: 'outgoing',
  remoteNumber: '+15550199001',
  trackingId: 'session-1',
  startedAt: 1_000,
  ...changes,
})
const rungOut = (changes: Partial<Call> = {}): Call =>
  aCall({ callId: RUNG_OUT, state: 'alerting', startedAt: 2_000, ...changes })

/** Applies reports in the order given, each with its place in the network's sequence; collects what apps are told. */
function tell(reports: readonly (readonly [sequence: number, body: ObservationBody])[]) {
  const told: string[] = []
  let state: SubscriberState = EMPTY_STATE
  for (const [sequence, body] of reports) {
    const observation: Observation = {
      networkId: toNetworkId('network-1'),
      subscriberId: toSubscriberId('ann@example.net'),
      upstream: { generation: 1, sequence },
      body,
    }
    const decided = transition(state, observation, { now: 10_000 })
    const events = decided.writes.map(({ event }) => event).filter((event): event is CallEvent => event !== undefined)
    told.push(...events.map(({ type, call }) => `${type} ${call.callId}`))
    state = applyTransition(state, decided)
  }
  return { told, state }
}

const report = (call: Call): ObservationBody => ({ type: 'calls', change: 'state', calls: [call] })
const snapshot = (...calls: Call[]): ObservationBody => ({ type: 'snapshot', calls })

test('a placed call that gets another id as it rings out goes on under the id that the app has', () => {
  const { told, state } = tell([
    [1, report(aCall({}))],
    [2, report(rungOut())],
    [3, { type: 'calls', change: 'answered', calls: [rungOut({ state: 'active', answeredAt: 3_000 })] }],
    [4, report(rungOut({ state: 'released', answeredAt: 3_000, releasedAt: 4_000 }))],
  ])
  expect(told).toEqual([
    'call.initiating callhalf-1:0',
    'call.alerting callhalf-1:0',
    'call.active callhalf-1:0',
    'call.released callhalf-1:0',
  ])
  expect(state.calls.get(PLACED)?.call.networkCallId).toBe(RUNG_OUT)
})

test('a snapshot that lists the call under its new id confirms it, and one without it ends it', () => {
  const { told } = tell([
    [1, report(aCall({}))],
    [2, snapshot(rungOut())],
    [3, snapshot(rungOut())],
    [4, snapshot()],
  ])
  expect(told).toEqual(['call.initiating callhalf-1:0', 'call.alerting callhalf-1:0', 'call.released callhalf-1:0'])
})

test('a beginning that was overtaken by the call under its new id is old news', () => {
  const { told } = tell([
    [2, report(rungOut())],
    [1, report(aCall({}))],
  ])
  expect(told).toEqual(['call.alerting callhalf-2:0'])
})

test('another call of the subscriber is not taken for the placed one', () => {
  const { told } = tell([
    [1, report(aCall({}))],
    [2, report(rungOut({ trackingId: 'session-2' }))],
    [3, report(aCall({ callId: toCallId('callhalf-3:0'), state: 'ringing', direction: 'incoming' }))],
  ])
  expect(told).toEqual(['call.initiating callhalf-1:0', 'call.alerting callhalf-2:0', 'call.ringing callhalf-3:0'])
})

test('a later call that is given the new id of an ended one is a call of its own', () => {
  const { told } = tell([
    [1, report(aCall({}))],
    [2, report(rungOut())],
    [3, report(rungOut({ state: 'released', releasedAt: 3_000 }))],
    [4, report(rungOut({ trackingId: 'session-9', startedAt: 9_000 }))],
  ])
  expect(told.slice(2)).toEqual(['call.released callhalf-1:0', 'call.alerting callhalf-2:0'])
})
