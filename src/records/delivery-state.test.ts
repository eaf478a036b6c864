import { expect, test } from 'vitest'
import type { EndedStatus } from '../core/delivery-record.ts'
import { applyFact, newState, type DeliveryState } from './delivery-state.ts'

type Fact = Parameters<typeof applyFact>[1]

const attempted = (number: number, change: Partial<Extract<Fact, { kind: 'attempted' }>> = {}): Fact => ({
  kind: 'attempted',
  factId: `a${number}`,
  deliveryId: 'msg_1',
  attempt: { number, startedAt: 100 * number, target: 'primary', outcome: 'timeout', timing: { totalMs: 5 } },
  ...change,
})
const ended = (factId: string, at: number, status: EndedStatus = 'expired'): Fact => ({
  kind: 'ended',
  factId,
  deliveryId: 'msg_1',
  class: 'record',
  at,
  status,
})
const replayed = (factId: string, expiresAt: number): Fact => ({
  kind: 'replayed',
  factId,
  deliveryId: 'msg_1',
  at: 1,
  expiresAt,
})
const fold = (...facts: readonly Fact[]): DeliveryState => facts.reduce(applyFact, newState(1_000))

test('an attempt that is to be repeated says when, until the next one', () => {
  expect(fold(attempted(1, { nextAttemptAt: 150 }))).toEqual({
    status: 'pending',
    attempts: 1,
    replays: 0,
    expiresAt: 1_000,
    lastAttemptAt: 100,
    lastOutcome: 'timeout',
    nextAttemptAt: 150,
    marks: [],
  })
  const second = fold(attempted(1, { nextAttemptAt: 150 }), attempted(2))
  expect(second).toMatchObject({ attempts: 2, lastAttemptAt: 200 })
  expect(second).not.toHaveProperty('nextAttemptAt')
})

test('the last status is that of the last attempt, also when it had none', () => {
  const answered = attempted(1, {
    attempt: {
      number: 1,
      startedAt: 1,
      target: 'primary',
      outcome: 'http_status',
      status: 503,
      timing: { totalMs: 1 },
    },
  })
  expect(fold(answered)).toMatchObject({ lastStatus: 503, lastOutcome: 'http_status' })
  expect(fold(answered, attempted(2))).not.toHaveProperty('lastStatus')
})

test('the first end stands, and ends the waiting for a retry', () => {
  const state = fold(attempted(1, { nextAttemptAt: 150 }), ended('e1', 120), ended('e2', 130, 'delivered'))
  expect(state).toMatchObject({ status: 'expired', endedAt: 120 })
  expect(state).not.toHaveProperty('nextAttemptAt')
  expect(fold(ended('e1', 120), attempted(1, { nextAttemptAt: 150 }))).not.toHaveProperty('nextAttemptAt')
})

test('what arrived although it was dropped was delivered, whether its end tells so or its attempt', () => {
  const answered = attempted(1, {
    attempt: {
      number: 1,
      startedAt: 125,
      target: 'primary',
      outcome: 'delivered',
      status: 204,
      timing: { totalMs: 5.25 },
    },
  })
  expect(fold(ended('e1', 120, 'dropped'), ended('e2', 130, 'delivered'))).toMatchObject({
    status: 'delivered',
    endedAt: 130,
  })
  expect(fold(ended('e1', 120, 'dropped'), answered)).toMatchObject({ status: 'delivered', endedAt: 130 })
  expect(fold(ended('e1', 120, 'dropped'), attempted(1), ended('e2', 130))).toMatchObject({
    status: 'dropped',
    endedAt: 120,
  })
  expect(fold(ended('e1', 120, 'parked'), answered)).toMatchObject({ status: 'parked', endedAt: 120 })
})

test('a replay makes it pending again with a new end of life, and then another end counts', () => {
  const again = fold(ended('e1', 120), replayed('r1', 9_000))
  expect(again).toMatchObject({ status: 'pending', replays: 1, expiresAt: 9_000 })
  expect(again).not.toHaveProperty('endedAt')
  expect(applyFact(again, ended('e2', 500, 'delivered'))).toMatchObject({ status: 'delivered', endedAt: 500 })
})

test('an end or a replay that is reported again changes nothing', () => {
  const state = fold(ended('e1', 120), ended('ignored', 121), replayed('r1', 9_000))
  for (const fact of [ended('e1', 120), ended('ignored', 121), replayed('r1', 9_000)]) {
    expect(applyFact(state, fact)).toBe(state)
  }
})

test('of very many replays a bounded number of facts is remembered', () => {
  let state = newState(1)
  for (let n = 0; n < 500; n += 1) state = applyFact(state, replayed(`r${n}`, n))
  expect(state).toMatchObject({ replays: 500, expiresAt: 499 })
  expect(state.marks).toHaveLength(100)
})
