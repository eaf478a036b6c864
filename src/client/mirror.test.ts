import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CallState, EventFrame, SnapshotCall } from './frames.ts'
import { Mirror, callKey } from './mirror.ts'

const EPOCH = '1732212345678901'

const callOf = (id: string, state: CallState, sequence: number, subscriber = 'ann'): SnapshotCall => ({
  subscriber_id: subscriber,
  subscriber_number: '+15550100',
  remote_number: '+15550199',
  call_id: id,
  direction: 'incoming',
  state,
  sequence_number: String(sequence),
  network_id: 'network-1',
  tracking_id: 't',
  started_at: 1,
})

const eventOf = (call: SnapshotCall, offset: number, epoch = EPOCH): EventFrame => ({
  type: 'event',
  event: `call.${call.state}`,
  position: { epoch, offset },
  data: { ...call, app_id: 'app', timestamp: 2, event: `call.${call.state}` },
})

const lostSubscriber = (subscriber: string, network = 'network-1'): EventFrame => ({
  type: 'event',
  event: 'subscriber.unassigned',
  position: { epoch: EPOCH, offset: 9 },
  data: { app_id: 'app', subscriber_id: subscriber, subscriber_number: '+15550100', network_id: network },
})

const statesOf = (mirror: Mirror) =>
  Object.fromEntries([...mirror.calls.values()].map((call) => [call.call_id, `${call.state} ${call.sequence_number}`]))

describe('a mirror', () => {
  test('begins with a snapshot and replaces everything by the next one', () => {
    const mirror = new Mirror()
    expect(mirror.isComplete).toBe(false)
    mirror.replace([callOf('a', 'active', 2), callOf('b', 'held', 5)], { epoch: EPOCH, offset: 7 })
    mirror.replace([callOf('b', 'active', 6)], { epoch: EPOCH, offset: 8 })
    expect(mirror.isComplete).toBe(true)
    expect(statesOf(mirror)).toEqual({ b: 'active 6' })
  })

  test('has a call in one form, whether a snapshot or an event told it', () => {
    const [told, listed] = [new Mirror(), new Mirror()]
    const call = { ...callOf('a', 'active', 2), remote_name: 'Zoë', answered_at: 5, can_answer: true as const }
    told.apply(eventOf(call, 1))
    listed.replace([call], { epoch: EPOCH, offset: 1 })
    expect([...told.calls]).toEqual([...listed.calls])
    expect(told.calls.get(callKey(call))).not.toHaveProperty('can_answer')
  })

  test('takes an event with a greater number, and no other', () => {
    const mirror = new Mirror()
    mirror.replace([callOf('a', 'active', 10)], { epoch: EPOCH, offset: 0 })
    mirror.apply(eventOf(callOf('a', 'ringing', 9), 1))
    mirror.apply(eventOf(callOf('a', 'held', 10), 2))
    mirror.apply(eventOf(callOf('a', 'released', 2), 3))
    expect(statesOf(mirror)).toEqual({ a: 'active 10' })
    mirror.apply(eventOf(callOf('a', 'held', 11), 4))
    expect(statesOf(mirror)).toEqual({ a: 'held 11' })
  })

  test('takes a smaller number of a greater epoch, and no number of a smaller one', () => {
    const mirror = new Mirror()
    mirror.replace([callOf('a', 'active', 10)], { epoch: '999', offset: 0 })
    mirror.apply(eventOf(callOf('a', 'held', 1), 1, '1000'))
    expect(statesOf(mirror)).toEqual({ a: 'held 1' })
    mirror.apply(eventOf(callOf('a', 'released', 99), 50, '999'))
    expect(statesOf(mirror)).toEqual({ a: 'held 1' })
  })

  test('forgets released calls, so that an id that is used again begins at 1', () => {
    const mirror = new Mirror()
    mirror.apply(eventOf(callOf('a', 'released', 4), 1))
    mirror.apply(eventOf(callOf('a', 'ringing', 1), 2))
    expect(statesOf(mirror)).toEqual({ a: 'ringing 1' })
  })

  test('tells two halves of a call apart', () => {
    const mirror = new Mirror()
    mirror.apply(eventOf(callOf('a', 'ringing', 1, 'ann'), 1))
    mirror.apply(eventOf(callOf('a', 'alerting', 1, 'bert'), 2))
    mirror.apply(eventOf(callOf('a', 'released', 2, 'ann'), 3))
    expect([...mirror.calls.values()].map((call) => call.subscriber_id)).toEqual(['bert'])
  })

  test('loses the calls of a subscriber that the app has lost, in that network', () => {
    const mirror = new Mirror()
    mirror.apply(eventOf(callOf('a', 'active', 1, 'ann'), 1))
    mirror.apply(eventOf(callOf('b', 'active', 1, 'bert'), 2))
    mirror.apply(lostSubscriber('ann', 'network-2'))
    expect(statesOf(mirror)).toEqual({ a: 'active 1', b: 'active 1' })
    mirror.apply(lostSubscriber('ann'))
    expect(statesOf(mirror)).toEqual({ b: 'active 1' })
  })

  test('takes an event of a type that is newer than the client', () => {
    const mirror = new Mirror()
    const event = { ...eventOf(callOf('a', 'active', 1), 1), event: 'call.transferred' } as unknown as EventFrame
    mirror.apply(event)
    expect(statesOf(mirror)).toEqual({ a: 'active 1' })
  })
})

/** What may happen to one of three call ids: a new call, its next event, or its end. */
const Step = fc.record({ id: fc.constantFrom('a', 'b', 'c'), ends: fc.boolean() })

/** The log of some calls, whose ids are used again, and the live calls after each entry. */
function play(steps: readonly { readonly id: string; readonly ends: boolean }[]) {
  const live = new Map<string, SnapshotCall>()
  const log: EventFrame[] = []
  const history = [[] as readonly SnapshotCall[]]
  for (const { id, ends } of steps) {
    const known = live.get(id)
    const sequence = known === undefined ? 1 : Number(known.sequence_number) + 1
    const state = known === undefined ? 'ringing' : ends ? 'released' : sequence % 2 === 0 ? 'active' : 'held'
    const call = callOf(id, state, sequence)
    if (state === 'released') live.delete(id)
    else live.set(id, call)
    log.push(eventOf(call, log.length + 1))
    history.push([...live.values()])
  }
  return { log, history }
}

describe('whatever happened,', () => {
  test('a snapshot that is newer than its position, and the events after it, lead to the live calls', () => {
    fc.assert(
      fc.property(fc.array(Step, { maxLength: 60 }), fc.nat(), fc.nat(), (steps, from, ahead) => {
        const { log, history } = play(steps)
        const position = from % (log.length + 1)
        const seen = position + (ahead % (log.length - position + 1))
        const mirror = new Mirror()
        mirror.replace(history[seen] ?? [], { epoch: EPOCH, offset: position })
        for (const frame of log.slice(position)) mirror.apply(frame)
        const expected = (history.at(-1) ?? []).map((call) => [callKey(call), `${call.state} ${call.sequence_number}`])
        expect(
          Object.fromEntries([...mirror.calls].map(([key, call]) => [key, `${call.state} ${call.sequence_number}`])),
        ).toEqual(Object.fromEntries(expected))
      }),
    )
  })

  test('changes that a later one of the same call makes superfluous may be left out, ends may not', () => {
    fc.assert(
      fc.property(fc.array(Step, { maxLength: 60 }), fc.array(fc.boolean()), (steps, drops) => {
        const { log, history } = play(steps)
        const isLast = (frame: EventFrame, index: number) =>
          log
            .slice(index + 1)
            .every(
              (later) => (later.data as { call_id: string }).call_id !== (frame.data as { call_id: string }).call_id,
            )
        const mirror = new Mirror()
        log.forEach((frame, index) => {
          const mayGo = frame.event !== 'call.released' && !isLast(frame, index)
          if (!mayGo || drops[index] !== true) mirror.apply(frame)
        })
        expect([...mirror.calls.keys()].toSorted()).toEqual((history.at(-1) ?? []).map(callKey).toSorted())
      }),
    )
  })
})
