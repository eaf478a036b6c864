import * as v from 'valibot'
import { expect, test } from 'vitest'
import { looksSame } from './call-description.ts'
import { CallEventPayloadSchema } from './call-event.ts'
import { composePayload } from './call-payload.ts'
import type { Call } from './call.ts'
import { ShardSchema, toAppId, toCallId, toNetworkId, toSubscriberId } from './ids.ts'

const shard = v.parse(ShardSchema, 'main')
const call: Call = {
  callId: toCallId('callhalf-1:0'),
  state: 'released',
  direction: 'outgoing',
  remoteNumber: '+15550100',
  remoteName: 'Bo',
  trackingId: '1:1',
  startedAt: 1_000,
  answeredAt: 2_000,
  releasedAt: 3_000,
  releaseCause: 'busy',
  releasingParty: 'remote',
  redirect: { reason: 'no-answer', number: '+15550103' },
  heldAt: 2_500,
  canResume: true,
  flags: { recall: true, collecting: true, recording: 'paused' },
}

test('every field of a call that apps may see is in the payload, and no other', () => {
  const payload = composePayload(
    { type: 'call.released', call, previousState: 'held', synthetic: true },
    {
      app: { appId: toAppId('app-1'), shard },
      network: { networkId: toNetworkId('network-1'), shard },
      subscriberId: toSubscriberId('anna@example.net'),
      subscriberNumber: '+15550001',
      subscriberAccountId: 'account-1',
    },
    4_000,
  )
  expect(payload).toEqual({
    app_id: 'app-1',
    subscriber_id: 'anna@example.net',
    subscriber_number: '+15550001',
    subscriber_account_id: 'account-1',
    remote_number: '+15550100',
    remote_name: 'Bo',
    call_id: 'callhalf-1:0',
    direction: 'outgoing',
    state: 'released',
    timestamp: 4_000,
    event: 'call.released',
    network_id: 'network-1',
    previous_state: 'held',
    tracking_id: '1:1',
    started_at: 1_000,
    answered_at: 2_000,
    released_at: 3_000,
    release_cause: 'busy',
    releasing_party: 'remote',
    redirect: { number: '+15550103', reason: 'no-answer' },
    recording: 'paused',
    flags: ['collecting', 'recall'],
    synthetic: true,
  })
  expect(v.is(v.strictObject(CallEventPayloadSchema.entries), { ...payload, sequence_number: '1' })).toBe(true)
})

test('calls look the same whatever the order of their fields, and when only hidden facts differ', () => {
  expect(looksSame(call, { ...call, redirect: { number: '+15550103', reason: 'no-answer' } })).toBe(true)
  expect(looksSame(call, { ...call, heldAt: 2_600 })).toBe(true)
  expect(looksSame(call, { ...call, flags: { recall: true } })).toBe(false)
})
