import * as v from 'valibot'
import { expect, test } from 'vitest'
import type { StoredCall } from './call-reader.ts'
import { CallResourceSchema, toCallResource } from './call-resource.ts'
import type { Assignment } from './directory.ts'
import { ShardSchema, toAppId, toCallId, toNetworkId, toSubscriberId } from './ids.ts'

const shard = v.parse(ShardSchema, 's1')
const network = { networkId: toNetworkId('network-1'), shard }
const assignment: Assignment = {
  app: { appId: toAppId('app-1'), shard },
  network,
  subscriberId: toSubscriberId('ann@example.net'),
  subscriberNumber: '+15550100',
}
const minimal: StoredCall = {
  network,
  subscriberId: toSubscriberId('ann@example.net'),
  call: {
    callId: toCallId('callhalf-1:0'),
    state: 'ringing',
    direction: 'incoming',
    remoteNumber: '',
    trackingId: 'track-1',
    startedAt: 1_700_000_000_000,
  },
  sequence: 1,
  stale: false,
}

test('a call of which little is known has only the fields that are known', () => {
  expect(toCallResource(minimal, assignment)).toStrictEqual({
    subscriber_id: 'ann@example.net',
    subscriber_number: '+15550100',
    remote_number: '',
    call_id: 'callhalf-1:0',
    direction: 'incoming',
    state: 'ringing',
    sequence_number: '1',
    network_id: 'network-1',
    tracking_id: 'track-1',
    started_at: 1_700_000_000_000,
  })
})

test('a call of which everything is known has every field of the schema', () => {
  const resource = toCallResource(
    {
      ...minimal,
      call: {
        ...minimal.call,
        remoteName: 'Zoe',
        answeredAt: 1_700_000_001_000,
        canAnswer: true,
        canResume: true,
        flags: { recording: 'started' },
        redirect: { number: '+15550177', reason: 'no-answer' },
      },
      sequence: 12,
      stale: true,
    },
    { ...assignment, subscriberName: 'Ann' },
  )
  expect(resource).toMatchObject({
    subscriber_name: 'Ann',
    remote_name: 'Zoe',
    sequence_number: '12',
    answered_at: 1_700_000_001_000,
    can_answer: true,
    can_resume: true,
    stale: true,
    recording: 'started',
    redirect: { number: '+15550177', reason: 'no-answer' },
  })
  const fields = Object.keys(CallResourceSchema.entries)
  expect(Object.keys(resource).toSorted()).toEqual(fields.toSorted())
  expect(v.parse(v.strictObject(CallResourceSchema.entries), resource)).toEqual(resource)
})
