import { expect, test } from 'vitest'
import { TransportChoice } from './transport-choice.ts'

function open() {
  const choice = new TransportChoice(['websocket', 'sse', 'poll'])
  const lose = (wasLive = false) => choice.note({ name: 'connection_lost' }, { wasLive })
  return { choice, lose }
}

test('when none gets through all have their turn, the first one twice', () => {
  const { choice, lose } = open()
  const seen = Array.from({ length: 9 }, () => {
    const { current } = choice
    lose()
    return current
  })
  expect(seen).toEqual(['websocket', 'websocket', 'sse', 'poll', 'websocket', 'websocket', 'sse', 'poll', 'websocket'])
})

test('one that was live in between is kept', () => {
  const { choice, lose } = open()
  lose()
  lose(true)
  lose()
  expect(choice.current).toBe('websocket')
  lose()
  lose(true)
  expect(choice.current).toBe('sse')
})

test.each(['no_token', 'draining', 'unavailable', 'refused'])('%s says nothing against the transport', (name) => {
  const { choice } = open()
  for (let count = 0; count < 5; count += 1) choice.note({ name }, { wasLive: false })
  expect(choice.current).toBe('websocket')
})

test('the first one is tried again, ever more rarely, and one failure is enough to go back', () => {
  const { choice, lose } = open()
  expect(choice.trialAfterMs).toBeUndefined()
  for (let count = 0; count < 3; count += 1) lose()
  expect([choice.current, choice.trialAfterMs]).toEqual(['poll', 60_000])
  const waits = Array.from({ length: 5 }, () => {
    choice.planTrial()
    lose(true)
    expect(choice.current).toBe('websocket')
    choice.note({ name: 'no_token' }, { wasLive: false })
    expect(choice.current).toBe('websocket')
    lose()
    expect(choice.current).toBe('poll')
    return choice.trialAfterMs
  })
  expect(waits).toEqual([120_000, 240_000, 480_000, 600_000, 600_000])
})

test('a trial that becomes a stream is the end of it', () => {
  const { choice, lose } = open()
  for (let count = 0; count < 2; count += 1) lose()
  choice.planTrial()
  lose(true)
  lose(true)
  lose()
  expect(choice.current).toBe('websocket')
  lose()
  expect([choice.current, choice.trialAfterMs]).toEqual(['sse', 60_000])
})
