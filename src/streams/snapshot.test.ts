import { expect, test } from 'vitest'
import * as v from 'valibot'
import { aCall } from '../../test/support/state-rig.ts'
import { FixedDirectory } from '../../test/support/fixed-directory.ts'
import type { CallReader } from '../core/call-reader.ts'
import { ShardSchema, toAppId, toNetworkId, toSubscriberId } from '../core/ids.ts'
import { AssignedSubscribers } from './assigned-subscribers.ts'
import { Filter } from './filter.ts'
import type { AppLog } from './app-log.ts'
import { Snapshot, SnapshotReader, type SnapshotCall } from './snapshot.ts'

const call = (user: string): SnapshotCall => ({
  subscriberId: toSubscriberId(user),
  state: 'ringing',
  json: JSON.stringify({ subscriber_id: user }),
})
const ids = (...users: string[]) => new Set(users.map((user) => toSubscriberId(user)))
const shard = v.parse(ShardSchema, 's1')
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

test('one that waits for its turn gets no call of a subscriber that the app has lost meanwhile', async () => {
  const [network, app] = [
    { networkId: toNetworkId('network-1'), shard },
    { appId: toAppId('app-1'), shard },
  ]
  const assign = (user: string) => ({ app, network, subscriberId: toSubscriberId(user), subscriberNumber: '+15550100' })
  const directory = new FixedDirectory({ networks: [network], assignments: [assign('a'), assign('b')] })
  const subscribers = new AssignedSubscribers(directory, app.appId)
  const liveCalls: CallReader['liveCalls'] = (_, asked) =>
    Promise.resolve(asked.map((subscriberId) => ({ network, subscriberId, call: aCall(), sequence: 1, stale: false })))
  let turns = 0
  const pace = {
    turn: () => {
      turns += 1
      if (turns === 1) directory.assignments = [assign('b')]
      return Promise.resolve()
    },
  }
  const log = { app, subscribers, top: () => Promise.resolve(position) } as unknown as AppLog
  const reader = new SnapshotReader({
    log,
    calls: { liveCalls, findCalls: () => Promise.resolve([]) },
    directory,
    pace,
  })
  const snapshot = await reader.readInTurn(() => true)
  expect(JSON.parse(snapshot.callsFor(undefined))).toMatchObject([{ subscriber_id: 'b' }])
  expect(turns).toBe(2)
  // Whose client has left is not waited for.
  turns = 0
  directory.assignments = [assign('a'), assign('b')]
  await reader.readInTurn(() => false)
  expect(turns).toBe(1)
})
