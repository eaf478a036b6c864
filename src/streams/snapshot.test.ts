import { expect, test } from 'vitest'
import { toSubscriberId } from '../core/ids.ts'
import { Filter } from './filter.ts'
import { Snapshot, type SnapshotCall } from './snapshot.ts'

const call = (user: string): SnapshotCall => ({
  subscriberId: toSubscriberId(user),
  state: 'ringing',
  json: JSON.stringify({ subscriber_id: user }),
})
const ids = (...users: string[]) => new Set(users.map((user) => toSubscriberId(user)))
const position = { epoch: 'e1', offset: 7 }
const filterFor = (user: string) => new Filter({ subscriber_ids: [toSubscriberId(user)] })

function callsIn(json: string): readonly unknown[] {
  const { snapshot: calls } = JSON.parse(json) as { snapshot: { subscriber_id: string }[] }
  return calls.map(({ subscriber_id: user }) => user)
}

test('clients with the same filter, or none, share what they are sent', () => {
  const snapshot = new Snapshot(position, [call('a'), call('b')])
  const onlyA = filterFor('a')
  for (const filter of [undefined, onlyA]) {
    expect(snapshot.subscribedFrame(undefined, filter)).toBe(snapshot.subscribedFrame(undefined, filter))
    expect(snapshot.snapshotFrame(position, filter)).toBe(snapshot.snapshotFrame(position, filter))
  }
})

test('each gets the calls of its filter, its reason and its position', () => {
  const snapshot = new Snapshot(position, [call('a'), call('b')])
  const [onlyA, onlyB] = [filterFor('a'), filterFor('b')]
  const earlier = { epoch: 'e1', offset: 3 }
  const frames = [undefined, onlyA, onlyB].flatMap((filter) => [
    snapshot.subscribedFrame(undefined, filter),
    snapshot.subscribedFrame('trimmed', filter),
    snapshot.snapshotFrame(position, filter),
    snapshot.snapshotFrame(earlier, filter),
  ])
  expect(frames.map(({ json }) => callsIn(json))).toEqual([
    ...Array.from({ length: 4 }, () => ['a', 'b']),
    ...Array.from({ length: 4 }, () => ['a']),
    ...Array.from({ length: 4 }, () => ['b']),
  ])
  expect(frames.map((frame) => frame.position?.offset)).toEqual([7, 7, 7, 3, 7, 7, 7, 3, 7, 7, 7, 3])
  expect(frames.filter(({ json }) => json.includes('trimmed'))).toHaveLength(3)
})

test('it is of some subscribers only, whatever else they are', () => {
  const snapshot = new Snapshot(position, [call('a'), call('b')])
  const both = ids('a', 'b', 'c')
  expect([both, ids('a', 'c'), both, ids()].map((of) => snapshot.isOnlyOf(of))).toEqual([true, false, true, false])
  expect(new Snapshot(position, []).isOnlyOf(ids())).toBe(true)
})
