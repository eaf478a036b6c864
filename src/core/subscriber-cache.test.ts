import { expect, test } from 'vitest'
import type { StoredSubscriber } from './call-store.ts'
import { toCallId } from './ids.ts'
import { SubscriberCache } from './subscriber-cache.ts'
import type { CallRecord } from './subscriber-state.ts'

const record: CallRecord = {
  call: {
    callId: toCallId('callhalf-1:0'),
    state: 'ringing',
    direction: 'incoming',
    remoteNumber: '+15550100',
    trackingId: '1:1',
    startedAt: 1_000,
  },
  upstream: { generation: 1, sequence: 1 },
  incarnation: 1,
  changedAt: 0,
  confirmedAt: 0,
}

const withCalls = (count: number): StoredSubscriber => ({
  version: 'v',
  state: {
    head: { stale: false },
    calls: new Map(Array.from({ length: count }, (_, index) => [toCallId(`callhalf-${index}:0`), record])),
  },
})

test('the least recently used give way when the calls become too many', () => {
  const cache = new SubscriberCache(10)
  cache.set('a', withCalls(3))
  cache.set('b', withCalls(3))
  cache.get('a')
  cache.set('c', withCalls(3))
  expect(['a', 'b', 'c'].map((key) => cache.get(key) !== undefined)).toEqual([true, false, true])
})

test('replacing and deleting give their room back', () => {
  const cache = new SubscriberCache(10)
  for (let round = 0; round < 20; round += 1) cache.set('a', withCalls(4))
  cache.set('b', withCalls(4))
  expect(cache.size).toBe(2)
  cache.delete('a')
  cache.set('c', withCalls(4))
  expect(cache.size).toBe(2)
  cache.clear()
  expect(cache.size).toBe(0)
})

test('a subscriber larger than the bound is kept alone', () => {
  const cache = new SubscriberCache(2)
  cache.set('a', withCalls(0))
  cache.set('b', withCalls(5))
  expect([cache.get('a'), cache.get('b')?.state.calls.size]).toEqual([undefined, 5])
})
