import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { DEFAULT_POLICIES, POLICY_LIMITS, classOf, matchesType, policyFor } from './delivery-policy.ts'
import type { DeliveryClass } from './delivery-policy.ts'

test.each<[string, DeliveryClass]>([
  ['call.initiating', 'act_now'],
  ['call.alerting', 'act_now'],
  ['call.ringing', 'act_now'],
  ['call.active', 'state'],
  ['call.held', 'state'],
  ['call.remote_held', 'state'],
  ['call.something_new', 'state'],
  ['call.released', 'record'],
  ['subscriber.assigned', 'record'],
  ['order.completed', 'record'],
  ['webhook.challenge', 'record'],
  ['caller.ringing', 'record'],
])('%s is of the class %s', (type, expected) => {
  expect(classOf(type)).toBe(expected)
})

test('without overrides a type has the policy of its class', () => {
  expect(policyFor('call.ringing', undefined)).toEqual({
    ttlMs: 30_000,
    delaysMs: [250, 500, 1_000, 2_000, 4_000, 8_000],
    timeoutMs: 5_000,
  })
  expect(policyFor('call.released', {})).toBe(DEFAULT_POLICIES.record)
})

test('each part comes from the most specific override that has it, however they are listed', () => {
  const overrides = {
    'call.ringing': { ttlMs: 10_000 },
    '*': { ttlMs: 1_000, timeoutMs: 1_000, delaysMs: [100] },
    'call.*': { ttlMs: 5_000, timeoutMs: 2_000 },
    'subscriber.*': { ttlMs: 7_000 },
  }
  expect(policyFor('call.ringing', overrides)).toEqual({ ttlMs: 10_000, timeoutMs: 2_000, delaysMs: [100] })
  expect(policyFor('call.held', overrides)).toEqual({ ttlMs: 5_000, timeoutMs: 2_000, delaysMs: [100] })
  expect(policyFor('order.completed', overrides)).toEqual({ ttlMs: 1_000, timeoutMs: 1_000, delaysMs: [100] })
})

test('a type of one letter is more specific than its prefix', () => {
  expect(policyFor('order.x', { 'order.x': { ttlMs: 1_000 }, 'order.*': { ttlMs: 2_000 } }).ttlMs).toBe(1_000)
  expect(policyFor('order.x', { 'order.*': { ttlMs: 2_000 }, 'order.x': { ttlMs: 1_000 } }).ttlMs).toBe(1_000)
})

test.each([
  ['*', 'call.ringing', true],
  ['call.*', 'call.ringing', true],
  ['call.*', 'caller.ringing', false],
  ['call.*', 'call', false],
  ['call.ringing', 'call.ringing', true],
  ['call.ringing', 'call.ringing_twice', false],
  ['call.ring*', 'call.ringing', false],
  ['order.status.*', 'order.status.done', true],
  ['order.status.*', 'order.statuses', false],
])('the pattern %s and the type %s: %s', (pattern, type, matches) => {
  expect(matchesType(pattern, type)).toBe(matches)
})

test('the order in which overrides are listed never matters', () => {
  const patterns = fc.constantFrom('*', 'call.*', 'call.held', 'call.ringing', 'order.*', 'order.x')
  const overrides = fc.uniqueArray(fc.tuple(patterns, fc.integer({ min: 1_000, max: 9_000 })), {
    selector: ([pattern]) => pattern,
  })
  fc.assert(
    fc.property(
      overrides,
      fc.constantFrom('call.held', 'call.ringing', 'order.x', 'subscriber.assigned'),
      (own, type) => {
        const listed = (entries: readonly (readonly [string, number])[]) =>
          policyFor(type, Object.fromEntries(entries.map(([pattern, ttlMs]) => [pattern, { ttlMs }])))
        expect(listed(own)).toEqual(listed(own.toReversed()))
        const others = own.filter(([pattern]) => pattern !== type)
        expect(listed([...others, [type, 1_234]]).ttlMs).toBe(1_234)
        expect(listed([[type, 1_234], ...others]).ttlMs).toBe(1_234)
      },
    ),
  )
})

test('the defaults are within the bounds of what an endpoint may ask for', () => {
  for (const { ttlMs, delaysMs, timeoutMs } of Object.values(DEFAULT_POLICIES)) {
    expect(ttlMs).toBeLessThanOrEqual(POLICY_LIMITS.ttlMs.max)
    expect(timeoutMs).toBeLessThanOrEqual(POLICY_LIMITS.timeoutMs.max)
    expect(delaysMs.length).toBeLessThanOrEqual(POLICY_LIMITS.delays)
    expect(Math.max(...delaysMs)).toBeLessThanOrEqual(POLICY_LIMITS.delayMs.max)
    expect(Math.min(...delaysMs)).toBeGreaterThanOrEqual(POLICY_LIMITS.delayMs.min)
    expect(delaysMs).toEqual(delaysMs.toSorted((a, b) => a - b))
  }
})
