import { expect, test } from 'vitest'
import type { HeartbeatReply } from './heartbeat.ts'
import { heartbeatDelayMs, Liveness } from './heartbeat.ts'

test('three failed heartbeats in a row are the end, two and a success are not', () => {
  const liveness = new Liveness(15_000, 0)
  const replies: readonly HeartbeatReply[] = ['failed', 'failed', 'taken', 'failed', 'failed', 'failed']
  expect(replies.map((reply) => liveness.judge(reply))).toEqual([
    'doubtful',
    'doubtful',
    'alive',
    'doubtful',
    'doubtful',
    'dead',
  ])
})

test('a node that does not know the channel or the credentials ends it at once', () => {
  expect(new Liveness(15_000, 0).judge('channel_gone')).toBe('channel_gone')
  expect(new Liveness(15_000, 0).judge('unauthorized')).toBe('unauthorized')
})

test('a stream is silent after 2.5 intervals without a byte', () => {
  const liveness = new Liveness(15_000, 0)
  liveness.received(1000)
  expect(liveness.isSilent(38_499)).toBe(false)
  expect(liveness.isSilent(38_500)).toBe(true)
})

test('while nobody reads, silence says nothing, and reading again starts the time anew', () => {
  const liveness = new Liveness(15_000, 0)
  liveness.reading(false, 0)
  expect(liveness.isSilent(1_000_000)).toBe(false)
  liveness.reading(true, 1_000_000)
  expect(liveness.isSilent(1_037_499)).toBe(false)
  expect(liveness.isSilent(1_037_500)).toBe(true)
})

test('heartbeats come after 80 to 100 % of the interval', () => {
  expect([heartbeatDelayMs(15_000, 0), heartbeatDelayMs(15_000, 0.5)]).toEqual([12_000, 13_500])
})
