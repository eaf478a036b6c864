import * as v from 'valibot'
import { expect, test } from 'vitest'
import type { StoredCall } from './call-reader.ts'
import type { Assignment } from './directory.ts'
import { ShardSchema, toAppId, toCallId, toNetworkId, toSubscriberId } from './ids.ts'
import { readLiveCalls } from './live-calls.ts'

const shard = v.parse(ShardSchema, 'main')
const networkOf = (name: string) => ({ networkId: toNetworkId(name), shard })
const assign = (network: string, subscriber: string): Assignment => ({
  app: { appId: toAppId('app-1'), shard },
  network: networkOf(network),
  subscriberId: toSubscriberId(subscriber),
  subscriberNumber: `number of ${subscriber} in ${network}`,
})
const stored = (network: string, subscriber: string, callId: string, startedAt: number): StoredCall => ({
  network: networkOf(network),
  subscriberId: toSubscriberId(subscriber),
  call: {
    callId: toCallId(callId),
    state: 'active',
    direction: 'incoming',
    remoteNumber: '+15550100',
    trackingId: 'track-1',
    startedAt,
  },
  sequence: 1,
  stale: false,
})

test('each network is asked once, and the calls of all come as one list, the oldest first', async () => {
  const asked: string[] = []
  const found = [stored('n1', 'ann', 'c', 3), stored('n2', 'ann', 'b', 1), stored('n1', 'bob', 'a', 3)]
  const calls = await readLiveCalls(
    {
      liveCalls: ({ networkId }, subscriberIds) => {
        asked.push(`${networkId}: ${subscriberIds.join(' ')}`)
        return Promise.resolve(found.filter(({ network }) => network.networkId === networkId))
      },
    },
    [assign('n1', 'ann'), assign('n2', 'ann'), assign('n1', 'bob')],
  )
  expect(asked).toEqual(['n1: ann bob', 'n2: ann'])
  expect(calls.map(({ call_id, subscriber_number }) => `${call_id} ${subscriber_number}`)).toEqual([
    'b number of ann in n2',
    'a number of bob in n1',
    'c number of ann in n1',
  ])
})

test('a call of somebody else is never shown, and without assignments nothing is asked', async () => {
  const found = [stored('n1', 'eve', 'c', 1)]
  expect(await readLiveCalls({ liveCalls: () => Promise.resolve(found) }, [assign('n1', 'ann')])).toEqual([])
  expect(await readLiveCalls({ liveCalls: () => Promise.reject(new Error('asked')) }, [])).toEqual([])
})
